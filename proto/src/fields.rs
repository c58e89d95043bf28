//! The fields of an encoded protobuf message, without its schema: what is needed to count, check and splice.

use std::ops::Range;

/// Why bytes are not a protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// The message ends inside a field.
    #[error("the message ends inside the field at byte {0}")]
    Truncated(usize),
    /// A varint of more than 64 bits.
    #[error("the varint at byte {0} has more than 64 bits")]
    Varint(usize),
    /// Field number 0 or above 2^29 - 1.
    #[error("the key at byte {0} has no valid field number")]
    Number(usize),
    /// Groups (wire types 3 and 4), which no known writer uses, or wire types that do not exist.
    #[error("the field at byte {0} has unsupported wire type {1}")]
    WireType(usize, u8),
}

/// One field as it lies in the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    /// Field number.
    pub number: u32,
    /// Where the whole field lies, key included.
    pub range: Range<usize>,
    /// The bytes of a length-delimited field; `None` for numbers.
    pub payload: Option<&'a [u8]>,
}

/// Walks over the fields of `message`; ends after the first error.
pub(crate) fn fields(message: &[u8]) -> impl Iterator<Item = Result<Field<'_>, FieldError>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= message.len() {
            return None;
        }
        let field = field(message, at);
        at = field.as_ref().map_or(message.len(), |f| f.range.end);
        Some(field)
    })
}

fn field(message: &[u8], start: usize) -> Result<Field<'_>, FieldError> {
    let truncated = FieldError::Truncated(start);
    let (key, at) = varint(message, start)?;
    let number = u32::try_from(key >> 3).ok().filter(|n| (1..1 << 29).contains(n));
    let number = number.ok_or(FieldError::Number(start))?;
    let (end, payload) = match key & 7 {
        0 => (varint(message, at)?.1, None),
        1 => (at.checked_add(8).ok_or(truncated)?, None),
        2 => {
            let (len, at) = varint(message, at)?;
            let len = usize::try_from(len).map_err(|_| truncated)?;
            let end = at.checked_add(len).ok_or(truncated)?;
            (end, Some(message.get(at..end).ok_or(truncated)?))
        }
        5 => (at.checked_add(4).ok_or(truncated)?, None),
        // The mask leaves three bits.
        other => return Err(FieldError::WireType(start, u8::try_from(other).unwrap_or(u8::MAX))),
    };
    if end > message.len() {
        return Err(truncated);
    }
    Ok(Field { number, range: start..end, payload })
}

/// The varint at `start`, and where it ends.
fn varint(message: &[u8], start: usize) -> Result<(u64, usize), FieldError> {
    let rest = message.get(start..).unwrap_or_default();
    let mut value = 0_u64;
    for (i, byte) in rest.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        if i == 9 && bits > 1 {
            break;
        }
        value |= bits << (7 * i);
        if byte & 0x80 == 0 {
            return Ok((value, start + i + 1));
        }
    }
    if rest.len() < 10 { Err(FieldError::Truncated(start)) } else { Err(FieldError::Varint(start)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_wire_type_is_walked() {
        let message =
            [0x08, 0x96, 0x01, 0x12, 0x02, b'h', b'i', 0x1d, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8];
        let all: Vec<_> = fields(&message).collect::<Result<_, _>>().unwrap();
        let short: Vec<_> = all.iter().map(|f| (f.number, f.range.clone(), f.payload)).collect();
        assert_eq!(
            short,
            [(1, 0..3, None), (2, 3..7, Some(&b"hi"[..])), (3, 7..12, None), (4, 12..21, None)]
        );
    }

    #[test]
    fn what_is_no_field_is_named() {
        let first = |bytes: &[u8]| fields(bytes).next().unwrap().unwrap_err();
        assert_eq!(first(&[0x08]), FieldError::Truncated(1));
        assert_eq!(first(&[0x12, 0x05, 0]), FieldError::Truncated(0));
        assert_eq!(
            first(&[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
            FieldError::Truncated(0)
        );
        assert_eq!(first(&[0x00, 0x00]), FieldError::Number(0));
        assert_eq!(first(&[0x0b]), FieldError::WireType(0, 3));
        assert_eq!(first(&[0x0e]), FieldError::WireType(0, 6));
        assert_eq!(
            first(&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]),
            FieldError::Varint(1)
        );
        assert_eq!(first(&[0xff; 11]), FieldError::Varint(0));
    }

    proptest! {
        /// Check that fields lie one after the other without gaps, whatever the bytes are.
        #[test]
        fn fields_tile_the_message(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut at = 0;
            for field in fields(&bytes) {
                let Ok(field) = field else { return Ok(()) };
                prop_assert_eq!(field.range.start, at);
                prop_assert!(field.range.end > at);
                at = field.range.end;
            }
            prop_assert_eq!(at, bytes.len());
        }
    }
}
