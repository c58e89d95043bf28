//! `/proc/PID/auxv`: the words the kernel gave the program at exec, in pairs of a key and a value.

/// The most bytes `/proc/PID/auxv` can have: `AT_VECTOR_SIZE` is 56 words today; this allows for eight times as many.
const LIMIT: usize = 8 * 56 * 8;

/// Why the bytes are no auxiliary vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuxvError {
    /// Not a whole number of words.
    #[error("auxv has {len} bytes, not a multiple of 8")]
    Ragged {
        /// Bytes read.
        len: usize,
    },
    /// More than any kernel's.
    #[error("auxv has {len} bytes, more than any kernel gives")]
    TooLong {
        /// Bytes read.
        len: usize,
    },
}

/// The words as read, AT_NULL and all behind it included. A process without memory has none.
pub fn parse(bytes: &[u8]) -> Result<Vec<u64>, AuxvError> {
    let len = bytes.len();
    if len > LIMIT {
        return Err(AuxvError::TooLong { len });
    }
    let (words, []) = bytes.as_chunks::<8>() else { return Err(AuxvError::Ragged { len }) };
    Ok(words.iter().map(|word| u64::from_le_bytes(*word)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check words, an empty vector, and what is none.
    #[test]
    fn words() {
        let mut bytes = Vec::new();
        for word in [6, 4096, 0, 0_u64] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        assert_eq!(parse(&bytes), Ok(vec![6, 4096, 0, 0]));
        assert_eq!(parse(&[]), Ok(vec![]));
        assert_eq!(parse(&bytes[..9]), Err(AuxvError::Ragged { len: 9 }));
        assert_eq!(parse(&[0; LIMIT + 8]), Err(AuxvError::TooLong { len: LIMIT + 8 }));
    }

    /// Check this process's own: it ends with AT_NULL and names the page size.
    #[test]
    fn own() {
        let words = parse(&std::fs::read("/proc/self/auxv").unwrap()).unwrap();
        assert_eq!(words[words.len() - 2], 0);
        assert!(words.chunks_exact(2).any(|pair| pair[0] == 6 && pair[1].is_power_of_two()));
    }
}
