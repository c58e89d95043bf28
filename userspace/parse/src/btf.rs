//! A reader of the kernel's own type information, `/sys/kernel/btf/vmlinux`: which member lies where.
//!
//! The blob is a header, a section of type records that can only be walked from its start, and a
//! section of NUL-terminated names (Documentation/bpf/btf.rst). It holds more than 100,000 types, of which
//! this program asks for about twenty, so nothing is unpacked: one walk checks the records, notes where each
//! 64th lies, and finds all names that are wanted.

pub mod index;
mod kind;
pub mod member;
pub(crate) mod number;

use std::cell::{Cell, RefCell};

use crate::btf::kind::{BadRecord, HEAD_LEN, Kind, Record, record, word_at};

/// Bytes of `struct btf_header` (include/uapi/linux/btf.h) as far as it is read.
const HEADER_LEN: usize = 24;
/// A position is noted for each so many types.
const STRIDE: u32 = 64;

/// Why BTF gives no answer. Offsets are in bytes from the start of the blob.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// Too short for a header, or a header that contradicts itself.
    #[error("btf header is damaged at offset {offset}: {what}")]
    Header {
        /// Where in the section, in bytes.
        offset: usize,
        /// Which field, and what is wrong with it.
        what: &'static str,
    },
    /// The first two bytes are not BTF's.
    #[error("btf magic is {found:#06x}, not 0xeb9f (little endian)")]
    Magic {
        /// What they are.
        found: u16,
    },
    /// A type record reaches past the end of its section.
    #[error("btf type {id} is cut off at offset {offset}")]
    Cut {
        /// Id of the type.
        id: u32,
        /// Where it starts.
        offset: usize,
    },
    /// A kind this reader does not know, so that the length of the record is unknown too.
    #[error("btf type {id} at offset {offset} has unknown kind {kind}")]
    UnknownKind {
        /// Id of the type.
        id: u32,
        /// Where it starts.
        offset: usize,
        /// The kind's number in include/uapi/linux/btf.h.
        kind: u32,
    },
    /// A type id that is not in the blob.
    #[error("btf has no type {id}")]
    NoType {
        /// The id that was asked for.
        id: u32,
    },
    /// The type is not a struct or union, so that it has no members.
    #[error("btf type {id} at offset {offset} has no members")]
    NoMembers {
        /// Id of the type.
        id: u32,
        /// Where it starts.
        offset: usize,
    },
    /// The struct has no member of that name, not in anonymous members either.
    #[error("btf type {id} at offset {offset} has no member {name}")]
    NoMember {
        /// The struct's id.
        id: u32,
        /// Where it starts.
        offset: usize,
        /// Its path, as it was asked for.
        name: String,
    },
    /// The member is not what the program can read.
    #[error("member {name} of btf type {id} is {what}")]
    Shape {
        /// The struct's id.
        id: u32,
        /// Its path, as it was asked for.
        name: String,
        /// What it is.
        what: String,
    },
    /// A type without a size: void, a function, a forward declaration.
    #[error("btf type {id} has no size")]
    Unsized {
        /// Id of the type.
        id: u32,
    },
    /// Types that refer to each other in a circle, or nest deeper than any kernel's.
    #[error("btf type {id} nests without end")]
    Endless {
        /// The type at which it was given up.
        id: u32,
    },
}

/// Number of a type within one blob; 0 is void. What the kernel calls `btf_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeId(pub u32);

/// What may be looked up by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Named {
    /// A struct or union with a body.
    Struct,
    /// A function of the kernel (kind FUNC).
    Func,
    /// A typedef: `btf_trace_NAME` stands for the tracepoint NAME.
    Typedef,
}

impl Named {
    /// What a kind is looked up as.
    #[inline]
    pub(super) fn of(kind: Kind) -> Option<Self> {
        if kind.has_members() {
            Some(Self::Struct)
        } else if kind == Kind::Func {
            Some(Self::Func)
        } else if kind == Kind::Typedef {
            Some(Self::Typedef)
        } else {
            None
        }
    }
}

/// A checked BTF blob, borrowed.
#[derive(Clone, Debug)]
pub struct Btf<'a> {
    pub(super) types: &'a [u8],
    pub(super) names: &'a [u8],
    /// Where the type section starts in the blob.
    pub(super) base: usize,
    /// Where the section of names starts.
    pub(super) names_base: usize,
    pub(super) places: Places,
    /// What was looked for by name, sorted, and the first type that has it.
    pub(super) found: Vec<(Wanted, Option<TypeId>)>,
    /// Each type that was asked for, and its position in `types`, as it came.
    pub(super) asked: RefCell<Vec<(TypeId, u32)>>,
}

/// Where types lie in the type section.
#[derive(Clone, Debug)]
pub(super) enum Places {
    /// All of them are known: positions of the types 1, 1 + STRIDE, 1 + 2 * STRIDE, .., and how many types there are.
    Marks { marks: Vec<u32>, count: u32 },
    /// Some are, sorted by id; whether another was asked for.
    Some { known: Vec<(TypeId, u32)>, went_beyond: Cell<bool> },
}

/// A type that is looked for.
pub type Wanted = (Named, &'static str);

impl<'a> Btf<'a> {
    /// Checks the header; nothing is known yet.
    pub(super) fn open(blob: &'a [u8], wanted: &[Wanted], places: Places) -> Result<Self, BtfError> {
        let damaged = |offset, what| BtfError::Header { offset, what };
        let head: &[u8; HEADER_LEN] = blob.first_chunk().ok_or(damaged(blob.len(), "too short"))?;
        let [m0, m1, version, ..] = *head;
        let found = u16::from_le_bytes([m0, m1]);
        if found != 0xeb9f {
            return Err(BtfError::Magic { found });
        }
        if version != 1 {
            return Err(damaged(2, "version is not 1"));
        }
        let field =
            |at| word_at(head, at).and_then(|n| usize::try_from(n).ok()).ok_or(damaged(at, "missing"));
        let hdr_len = field(4)?;
        if hdr_len < HEADER_LEN {
            return Err(damaged(4, "hdr_len is less than 24"));
        }
        let section = |at| -> Result<(usize, &'a [u8]), BtfError> {
            let start = hdr_len.checked_add(field(at)?).ok_or(damaged(at, "section starts past the end"))?;
            let end = start.checked_add(field(at + 4)?).ok_or(damaged(at, "section ends past the end"))?;
            Ok((start, blob.get(start..end).ok_or(damaged(at, "section ends past the end"))?))
        };
        let (base, types) = section(8)?;
        let (names_base, names) = section(16)?;
        if names.first() != Some(&0) || names.last() != Some(&0) {
            return Err(damaged(16, "string section does not begin and end with NUL"));
        }
        let mut found: Vec<_> = wanted.iter().map(|wanted| (*wanted, None)).collect();
        found.sort_unstable();
        found.dedup();
        Ok(Self { types, names, base, names_base, places, found, asked: RefCell::default() })
    }

    /// Checks the header and walks all types once, on the lookout for what is `wanted`: nothing else can be found by name later.
    pub fn parse(blob: &'a [u8], wanted: &[Wanted]) -> Result<Self, BtfError> {
        let mut btf = Self::open(blob, wanted, Places::Marks { marks: Vec::new(), count: 0 })?;
        let (types, base) = (btf.types, btf.base);
        let mut marks = Vec::with_capacity(types.len() / 1024);
        let sieves = [Named::Struct, Named::Func, Named::Typedef].map(|kind| Sieve::of(wanted, kind));
        let mut walk = Walk { types, base, at: 0, id: 1 };
        loop {
            let (id, at) = (walk.id, walk.at);
            let Some(step) = walk.next() else { break };
            let record = step?;
            if (id - 1).is_multiple_of(STRIDE) {
                let what = "section of more than 4 GiB";
                marks.push(u32::try_from(at).map_err(|_| BtfError::Header { offset: 12, what })?);
            }
            let [structs, funcs, typedefs] = &sieves;
            let sieve = match Named::of(record.kind) {
                Some(Named::Struct) => structs,
                Some(Named::Func) => funcs,
                Some(Named::Typedef) => typedefs,
                None => continue,
            };
            btf.note(sieve, &record, TypeId(id));
        }
        btf.places = Places::Marks { marks, count: walk.id - 1 };
        Ok(btf)
    }

    /// Notes a type if it is the first of a name that is wanted.
    #[inline]
    fn note(&mut self, sieve: &Sieve, record: &Record, id: TypeId) {
        let Some(name) = self.names_from(record.name) else { return };
        if !sieve.may_hold(name) {
            return;
        }
        for ((of, text), slot) in &mut self.found {
            if slot.is_none() && Named::of(record.kind) == Some(*of) && is_name(name, text) {
                *slot = Some(id);
            }
        }
    }

    /// How many types there are, void not counted.
    #[cfg(test)]
    pub(super) fn count(&self) -> u32 {
        match &self.places {
            Places::Marks { count, .. } => *count,
            Places::Some { known, .. } => u32::try_from(known.len()).unwrap_or(0),
        }
    }

    /// The first type of this kind and name, which must have been among the wanted.
    pub fn find(&self, kind: Named, name: &str) -> Option<TypeId> {
        let at = self.found.binary_search_by(|((of, text), _)| (*of, *text).cmp(&(kind, name)));
        debug_assert!(at.is_ok(), "{name} was not looked for");
        self.found.get(at.ok()?).and_then(|(_, id)| *id)
    }

    /// The record of a type.
    pub(super) fn record(&self, id: TypeId) -> Result<TypeRecord, BtfError> {
        let found = match &self.places {
            Places::Marks { marks, count } => self.walk_to(id, marks, *count)?,
            Places::Some { known, went_beyond } => {
                let at = known.binary_search_by_key(&id, |(id, _)| *id).ok().and_then(|n| known.get(n));
                let found = at.and_then(|(_, at)| self.record_at(id, *at));
                went_beyond.set(went_beyond.get() || found.is_none());
                found.ok_or(BtfError::NoType { id: id.0 })?
            }
        };
        self.asked.borrow_mut().extend(u32::try_from(found.at).ok().map(|at| (id, at)));
        Ok(found)
    }

    /// From the nearest mark before it.
    fn walk_to(&self, id: TypeId, marks: &[u32], count: u32) -> Result<TypeRecord, BtfError> {
        let no_type = BtfError::NoType { id: id.0 };
        let index = id.0.checked_sub(1).filter(|n| *n < count).ok_or(no_type.clone())?;
        let mark = usize::try_from(index / STRIDE).ok().and_then(|n| marks.get(n)).ok_or(no_type.clone())?;
        let at = usize::try_from(*mark).map_err(|_| no_type.clone())?;
        let mut walk = Walk { types: self.types, base: self.base, at, id: id.0 - index % STRIDE };
        loop {
            let at = walk.at;
            let here = walk.id == id.0;
            let record = walk.next().ok_or(no_type.clone())??;
            if here {
                return Ok(TypeRecord { id, record, at });
            }
        }
    }

    /// What lies at a position of the type section, if it is a record.
    pub(super) fn record_at(&self, id: TypeId, at: u32) -> Option<TypeRecord> {
        let at = usize::try_from(at).ok()?;
        Some(TypeRecord { id, record: record(self.types, at).ok()?, at })
    }

    /// The bytes behind the head of a record.
    pub(super) fn tail(&self, of: &TypeRecord) -> &'a [u8] {
        self.types.get(of.at..of.at + of.record.len).and_then(|all| all.get(HEAD_LEN..)).unwrap_or_default()
    }

    /// Where a record lies in the blob.
    pub(super) fn offset(&self, of: &TypeRecord) -> usize {
        self.base.saturating_add(of.at)
    }

    /// Whether the name at `offset` of the string section is `text`.
    pub(super) fn name_is(&self, offset: u32, text: &str) -> bool {
        self.names_from(offset).is_some_and(|name| is_name(name, text))
    }

    /// The name at `offset` of the string section.
    #[cfg(test)]
    pub(super) fn text(&self, offset: u32) -> &'a str {
        let name = self.names_from(offset).and_then(|name| name.split(|byte| *byte == 0).next());
        std::str::from_utf8(name.unwrap_or_default()).unwrap_or_default()
    }

    /// The string section from `offset` on.
    #[inline]
    pub(super) fn names_from(&self, offset: u32) -> Option<&'a [u8]> {
        self.names.get(usize::try_from(offset).ok()?..)
    }
}

/// One type: its id, its record, and where that lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct TypeRecord {
    pub id: TypeId,
    pub record: Record,
    /// Position in the type section.
    pub at: usize,
}

/// A walk over the type section.
struct Walk<'a> {
    types: &'a [u8],
    base: usize,
    at: usize,
    id: u32,
}

impl Walk<'_> {
    /// The record at `at`, and on to the next; `None` at the end.
    #[inline]
    fn next(&mut self) -> Option<Result<Record, BtfError>> {
        if self.at >= self.types.len() {
            return None;
        }
        let (id, offset) = (self.id, self.base.saturating_add(self.at));
        Some(match record(self.types, self.at) {
            Ok(record) => {
                self.at += record.len;
                self.id += 1;
                Ok(record)
            }
            Err(BadRecord::Cut) => Err(BtfError::Cut { id, offset }),
            Err(BadRecord::Unknown(kind)) => Err(BtfError::UnknownKind { id, offset, kind }),
        })
    }
}

/// A set of names that tells most others apart by their first three bytes, without a comparison for each.
struct Sieve {
    /// One bit for each hash of a prefix.
    bits: u64,
}

impl Sieve {
    fn of(wanted: &[Wanted], kind: Named) -> Self {
        let names = wanted.iter().filter(|(of, _)| *of == kind);
        Self { bits: names.fold(0, |bits, (_, name)| bits | Self::bit(name.as_bytes()).unwrap_or(u64::MAX)) }
    }

    /// False only if no wanted name starts like this one. `name` may run on past its NUL.
    #[inline]
    fn may_hold(&self, name: &[u8]) -> bool {
        Self::bit(name).is_none_or(|bit| self.bits & bit != 0)
    }

    /// `None`: too short to tell.
    #[inline]
    fn bit(name: &[u8]) -> Option<u64> {
        let [a, b, c] = *name.first_chunk()?;
        let word = u32::from_le_bytes([a, b, c, 0]);
        Some(1 << (word.wrapping_mul(0x9e37_79b1) >> 26))
    }
}

/// Whether the NUL-terminated name that starts here is `text`.
#[inline]
fn is_name(name: &[u8], text: &str) -> bool {
    name.strip_prefix(text.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
}

#[cfg(test)]
pub(super) mod tests;

#[cfg(test)]
pub(crate) mod types;
