//! Whether a ring in CRIU's pages is the ring as it is: if it is not, a completion came after CRIU had copied it.

use crate::units::{ContextId, Pid, RING_HEADER_LEN};

/// A ring header of a process that is held, beside what CRIU wrote of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenRing {
    /// The process.
    pub pid: Pid,
    /// Its context.
    pub context: ContextId,
    /// The header in memory, after CRIU has written.
    pub now: [u8; RING_HEADER_LEN],
    /// The header in the images; `None`: this dump does not have that page (an earlier iteration has it, or it was sent elsewhere).
    pub written: Option<[u8; RING_HEADER_LEN]>,
}

/// What all of them tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// A sentence for each that differs: the images lack a completion.
    pub late: Vec<String>,
    /// A sentence for each that cannot be compared.
    pub open: Vec<String>,
}

impl Compared {
    /// Whether the images may be restored. `was_drained`: no request was in flight when CRIU began to copy, so that none can be late.
    pub fn is_good(&self, was_drained: bool) -> bool {
        self.late.is_empty() && (was_drained || self.open.is_empty())
    }
}

/// Compares every ring.
pub fn compare(rings: &[WrittenRing]) -> Compared {
    let mut compared = Compared::default();
    for WrittenRing { pid, context, now, written } in rings {
        match written {
            Some(written) if written == now => {}
            Some(_) => compared.late.push(format!(
                "pid {pid}: context {context}: a request completed after CRIU had written the ring, so its completion is not in the images"
            )),
            None => compared.open.push(format!(
                "pid {pid}: context {context}: its ring is not among the pages of this dump, so it is not compared"
            )),
        }
    }
    compared
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::RingHeader;

    fn header(tail: u32) -> [u8; RING_HEADER_LEN] {
        RingHeader { tail, ..RingHeader::decode(&[0; RING_HEADER_LEN]) }.encode()
    }

    fn ring(now: u32, written: Option<u32>) -> WrittenRing {
        WrittenRing {
            pid: Pid(7),
            context: ContextId(0x1000),
            now: header(now),
            written: written.map(header),
        }
    }

    /// Check that a completion which came too late refuses whatever was done before, and one that cannot be known of only without a drain.
    #[test]
    fn late_and_open() {
        let of = |rings: &[WrittenRing]| {
            let compared = compare(rings);
            (compared.is_good(true), compared.is_good(false), compared.late.len(), compared.open.len())
        };
        assert_eq!(of(&[]), (true, true, 0, 0));
        assert_eq!(of(&[ring(5, Some(5)), ring(0, Some(0))]), (true, true, 0, 0));
        assert_eq!(of(&[ring(5, Some(5)), ring(6, Some(5))]), (false, false, 1, 0));
        assert_eq!(of(&[ring(5, None), ring(5, Some(5))]), (true, false, 0, 1));
        assert_eq!(of(&[ring(5, None), ring(0, Some(382))]), (false, false, 1, 1));
        assert!(
            compare(&[ring(6, Some(5))]).late[0].starts_with("pid 7: context 0x1000: a request completed")
        );
    }
}
