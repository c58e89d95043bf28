//! How one record of a BTF type section is laid out (include/uapi/linux/btf.h:struct btf_type).
//!
//! ```text
//! 0  name_off   u32   into the string section
//! 4  info       u32   bits 0-15 vlen, 24-28 kind, 31 kind_flag
//! 8  size/type  u32   bytes of the type, or the id of another one
//! 12 a tail whose length follows from kind and vlen
//! ```

/// Bytes of the part that every record has.
pub(crate) const HEAD_LEN: usize = 12;

/// Kind of a type; the numbers are the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Int,
    Ptr,
    Array,
    Struct,
    Union,
    Enum,
    Fwd,
    Typedef,
    Volatile,
    Const,
    Restrict,
    Func,
    FuncProto,
    Var,
    Datasec,
    Float,
    DeclTag,
    TypeTag,
    Enum64,
}

impl Kind {
    /// Whether it has members.
    #[inline]
    pub(crate) fn has_members(self) -> bool {
        matches!(self, Self::Struct | Self::Union)
    }

    /// Whether it is only another name or a qualifier of the type it refers to.
    pub(crate) fn is_alias(self) -> bool {
        matches!(self, Self::Typedef | Self::Volatile | Self::Const | Self::Restrict | Self::TypeTag)
    }

    /// Whether its third word is its size.
    pub(crate) fn has_size(self) -> bool {
        self.has_members() || matches!(self, Self::Int | Self::Enum | Self::Enum64 | Self::Float)
    }
}

/// Each kind by its number less one, with its tail: fixed bytes, and bytes for each of `vlen`.
const KINDS: [(Kind, usize, usize); 19] = [
    (Kind::Int, 4, 0),
    (Kind::Ptr, 0, 0),
    (Kind::Array, 12, 0),
    (Kind::Struct, 0, 12),
    (Kind::Union, 0, 12),
    (Kind::Enum, 0, 8),
    (Kind::Fwd, 0, 0),
    (Kind::Typedef, 0, 0),
    (Kind::Volatile, 0, 0),
    (Kind::Const, 0, 0),
    (Kind::Restrict, 0, 0),
    (Kind::Func, 0, 0),
    (Kind::FuncProto, 0, 8),
    (Kind::Var, 4, 0),
    (Kind::Datasec, 0, 12),
    (Kind::Float, 0, 0),
    (Kind::DeclTag, 4, 0),
    (Kind::TypeTag, 0, 0),
    (Kind::Enum64, 0, 12),
];

/// One record; its tail is left where it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub kind: Kind,
    /// Offset of its name in the string section; 0 for none.
    pub name: u32,
    /// For a struct or union: member offsets carry a bit-field width in their top byte.
    pub kind_flag: bool,
    /// The third word: a size in bytes or a type id, as the kind has it.
    pub word: u32,
    /// Bytes from this record to the next.
    pub len: usize,
}

/// Why a record cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadRecord {
    /// It reaches past the end of the section.
    Cut,
    /// Its kind is not one of the nineteen: without its length nothing behind it can be found.
    Unknown(u32),
}

/// Decodes the record at `at` of a type section and checks that all of it, tail included, is there.
#[inline]
pub(crate) fn record(types: &[u8], at: usize) -> Result<Record, BadRecord> {
    let rest = types.get(at..).ok_or(BadRecord::Cut)?;
    let head: &[u8; HEAD_LEN] = rest.first_chunk().ok_or(BadRecord::Cut)?;
    let [n0, n1, n2, n3, v0, v1, _, k, w0, w1, w2, w3] = *head;
    let number = k & 0x1f;
    let (kind, fixed, each) = usize::from(number)
        .checked_sub(1)
        .and_then(|n| KINDS.get(n))
        .copied()
        .ok_or(BadRecord::Unknown(u32::from(number)))?;
    let vlen = usize::from(u16::from_le_bytes([v0, v1]));
    let len = HEAD_LEN + fixed + each * vlen;
    if len > rest.len() {
        return Err(BadRecord::Cut);
    }
    Ok(Record {
        kind,
        name: u32::from_le_bytes([n0, n1, n2, n3]),
        kind_flag: k & 0x80 != 0,
        word: u32::from_le_bytes([w0, w1, w2, w3]),
        len,
    })
}

/// The little-endian u32 at `at`, if it is there.
pub(crate) fn word_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}
