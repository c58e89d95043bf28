//! The 32 bytes at the start of every ring: what the process claims, since it can write all of it.
//!
//! ```text
//! 0  id     4  nr      8 head              12 tail
//! 16 magic  20 compat  24 incompat         28 header_length
//! ```
//! Eight little-endian u32 (fs/aio.c:struct aio_ring), written by fs/aio.c:aio_setup_ring, `id` by
//! fs/aio.c:ioctx_add_table, `tail` by fs/aio.c:aio_complete, `head` by whoever reaps.

use std::fmt;

use crate::units::RING_HEADER_LEN;

/// `AIO_RING_MAGIC`
pub const RING_MAGIC: u32 = 0xa10a_10a1;
/// `AIO_RING_COMPAT_FEATURES`
pub const RING_COMPAT: u32 = 1;
/// `AIO_RING_INCOMPAT_FEATURES`
pub const RING_INCOMPAT: u32 = 0;
/// `sizeof(struct aio_ring)`, as the ring itself says it.
pub const RING_HEADER_LENGTH: u32 = 32;

/// A ring header as claimed; nothing in it is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingHeader {
    /// Index in the kernel's table of contexts.
    pub id: u32,
    /// Ring entries (the kernel's nr_events).
    pub nr: u32,
    /// Next ring entry to be reaped.
    pub head: u32,
    /// Next ring entry to be filled.
    pub tail: u32,
    /// `RING_MAGIC`.
    pub magic: u32,
    /// `RING_COMPAT`.
    pub compat_features: u32,
    /// `RING_INCOMPAT`.
    pub incompat_features: u32,
    /// `RING_HEADER_LENGTH`.
    pub header_length: u32,
}

impl RingHeader {
    /// Takes the bytes apart; any bytes are some header.
    pub fn decode(bytes: &[u8; RING_HEADER_LEN]) -> Self {
        let (words, _) = bytes.as_chunks::<4>();
        let mut words = words.iter().map(|word| u32::from_le_bytes(*word));
        let mut next = || words.next().unwrap_or_default();
        Self {
            id: next(),
            nr: next(),
            head: next(),
            tail: next(),
            magic: next(),
            compat_features: next(),
            incompat_features: next(),
            header_length: next(),
        }
    }

    /// The bytes of this header.
    pub fn encode(&self) -> [u8; RING_HEADER_LEN] {
        let words = [
            self.id,
            self.nr,
            self.head,
            self.tail,
            self.magic,
            self.compat_features,
            self.incompat_features,
            self.header_length,
        ];
        let mut bytes = [0; RING_HEADER_LEN];
        for (place, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }
        bytes
    }

    /// Every field that is not what the kernel wrote, in the header's order; empty if all agree.
    pub fn faults(&self, known: &HeaderFacts) -> Vec<HeaderFault> {
        let equal = |field, claimed, expected| {
            (claimed != expected).then_some(HeaderFault {
                field,
                claimed,
                expected: Expected::Exactly(expected),
            })
        };
        let below = |field, claimed| {
            let entries = known.nr_events.filter(|entries| claimed >= *entries)?;
            Some(HeaderFault { field, claimed, expected: Expected::Below(entries) })
        };
        let tail = match known.tail {
            Some(tail) => equal(HeaderField::Tail, self.tail, tail),
            None => below(HeaderField::Tail, self.tail),
        };
        [
            known.id.and_then(|id| equal(HeaderField::Id, self.id, id)),
            known.nr_events.and_then(|nr_events| equal(HeaderField::Nr, self.nr, nr_events)),
            below(HeaderField::Head, self.head),
            tail,
            equal(HeaderField::Magic, self.magic, RING_MAGIC),
            equal(HeaderField::CompatFeatures, self.compat_features, RING_COMPAT),
            equal(HeaderField::IncompatFeatures, self.incompat_features, RING_INCOMPAT),
            equal(HeaderField::HeaderLength, self.header_length, RING_HEADER_LENGTH),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// What a header is held against. Where the kernel was not asked, `nr_events` follows from the ring's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderFacts {
    /// Index in the kernel's table; `None`: not known.
    pub id: Option<u32>,
    /// Slots; `None`: not known.
    pub nr_events: Option<u32>,
    /// `kioctx.tail`; `None`: not known, or the process may have run since.
    pub tail: Option<u32>,
}

/// A field of the header; the names are the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderField {
    /// `id`
    Id,
    /// `nr`
    Nr,
    /// `head`
    Head,
    /// `tail`
    Tail,
    /// `magic`
    Magic,
    /// `compat_features`
    CompatFeatures,
    /// `incompat_features`
    IncompatFeatures,
    /// `header_length`
    HeaderLength,
}

/// What a field ought to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// This number.
    Exactly(u32),
    /// Any less than this.
    Below(u32),
}

/// One field that is not what the kernel wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderFault {
    /// The field that differs.
    pub field: HeaderField,
    /// What the process has there.
    pub claimed: u32,
    /// What belongs there.
    pub expected: Expected,
}

impl fmt::Display for HeaderField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HeaderField::Id => "id",
            HeaderField::Nr => "nr",
            HeaderField::Head => "head",
            HeaderField::Tail => "tail",
            HeaderField::Magic => "magic",
            HeaderField::CompatFeatures => "compat_features",
            HeaderField::IncompatFeatures => "incompat_features",
            HeaderField::HeaderLength => "header_length",
        })
    }
}

impl fmt::Display for HeaderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, claimed, expected } = self;
        match (field, expected) {
            (HeaderField::Magic, Expected::Exactly(n)) => write!(f, "{field} is {claimed:#x}, not {n:#x}"),
            (_, Expected::Exactly(n)) => write!(f, "{field} is {claimed}, not {n}"),
            (_, Expected::Below(n)) => write!(f, "{field} is {claimed}, not below {n}"),
        }
    }
}

/// Completions that the process has not reaped: `(tail - head) mod nr`.
///
/// `None` where a number is outside the ring. fs/aio.c:aio_read_events_ring takes such a head modulo `nr`, so that
/// no event is lost by it, but nobody but a forger writes it.
pub fn unreaped(head: u32, tail: u32, nr: u32) -> Option<u32> {
    if head >= nr || tail >= nr {
        return None;
    }
    tail.checked_sub(head).or_else(|| nr.checked_sub(head)?.checked_add(tail))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The header of a fresh `io_setup(128)` with two possible CPUs, as read from a ring.
    const FRESH: [u8; 32] = [
        0, 0, 0, 0, 0x7f, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xa1, 0x10, 0x0a, 0xa1, 1, 0, 0, 0, 0, 0, 0, 0,
        32, 0, 0, 0,
    ];
    const FACTS: HeaderFacts = HeaderFacts { id: Some(0), nr_events: Some(383), tail: Some(0) };

    /// Check that a ring as the kernel makes it agrees.
    #[test]
    fn a_fresh_ring() {
        let header = RingHeader::decode(&FRESH);
        assert_eq!((header.nr, header.magic, header.header_length), (383, RING_MAGIC, 32));
        assert_eq!(header.faults(&FACTS), []);
    }

    /// Check that each field is looked at, and named by the words a person reads.
    #[test]
    fn each_forgery_is_named() {
        let expected = [
            "id is 255, not 0",
            "nr is 255, not 383",
            "head is 511, not below 383",
            "tail is 255, not 0",
            "magic is 0xa10a10ff, not 0xa10a10a1",
            "compat_features is 255, not 1",
            "incompat_features is 255, not 0",
            "header_length is 255, not 32",
        ];
        for (n, says) in expected.into_iter().enumerate() {
            let mut bytes = FRESH;
            bytes[4 * n] = 0xff;
            bytes[4 * n + 1] = if n == 2 {
                1
            } else if n == 4 {
                0x10
            } else {
                0
            };
            let faults = RingHeader::decode(&bytes).faults(&FACTS);
            assert_eq!(faults.iter().map(ToString::to_string).collect::<Vec<_>>(), [says]);
        }
    }

    /// Check that what is not known is not held against the header, but a tail outside the ring still is.
    #[test]
    fn facts_that_are_missing() {
        let unknown = HeaderFacts { id: None, tail: None, ..FACTS };
        let header = RingHeader { id: 9, tail: 382, ..RingHeader::decode(&FRESH) };
        assert_eq!(header.faults(&unknown), []);
        let outside = RingHeader { tail: 383, ..header };
        assert_eq!(outside.faults(&unknown).len(), 1);
        let without_slots = HeaderFacts { nr_events: None, ..unknown };
        let other = RingHeader { nr: 127, head: 400, ..outside };
        assert_eq!(other.faults(&without_slots), []);
        assert_eq!(RingHeader { magic: 0, ..other }.faults(&without_slots).len(), 1);
    }

    /// Check wrapping and hostile values.
    #[test]
    fn unreaped_counts_round_the_ring() {
        assert_eq!(unreaped(0, 0, 383), Some(0));
        assert_eq!(unreaped(382, 0, 383), Some(1));
        assert_eq!(unreaped(1, 0, 383), Some(382));
        assert_eq!(unreaped(383, 0, 383), None);
        assert_eq!(unreaped(0, 383, 383), None);
        assert_eq!(unreaped(0, 0, 0), None);
        assert_eq!(unreaped(u32::MAX - 1, 0, u32::MAX), Some(1));
    }

    proptest! {
        /// Check that decoding loses nothing, and that unreaped entries lead from head to tail.
        #[test]
        fn laws(bytes: [u8; 32], head: u32, tail: u32, nr: u32) {
            let header = RingHeader::decode(&bytes);
            prop_assert_eq!(header.encode(), bytes);
            let _ = header.faults(&FACTS);
            match unreaped(head, tail, nr) {
                Some(n) => prop_assert_eq!((u64::from(head) + u64::from(n)) % u64::from(nr), u64::from(tail)),
                None => prop_assert!(head >= nr || tail >= nr),
            }
        }

        /// Check the same where both are inside the ring.
        #[test]
        fn laws_inside(nr in 1..u32::MAX, head: u32, tail: u32) {
            let (head, tail) = (head % nr, tail % nr);
            let n = unreaped(head, tail, nr).unwrap();
            prop_assert!(n < nr);
            prop_assert_eq!((u64::from(head) + u64::from(n)) % u64::from(nr), u64::from(tail));
        }
    }
}
