//! Whether a member is a number, and which bits of the struct it is.
//!
//! Bit fields have two encodings: a width in the member's record (kind_flag), or an int type that is narrower than its bytes. The tail of an int is
//! one word: bits 0-7 how many bits count, 16-23 the first of them, 24 signed (include/uapi/linux/btf.h).

use aioinspect_ebpf::Place;

use crate::btf::kind::{Kind, word_at};
use crate::btf::member::DEPTH;
use crate::btf::{Btf, BtfError, TypeId, TypeRecord};

/// What a member must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// An integer, a bool or an enum that is never negative.
    Number,
    /// An integer that may be negative.
    Signed,
    /// A pointer, to whatever.
    Pointer,
    /// An array of at least 16 bytes, of which the first 8 are the place.
    Name,
    /// A whole int of so many bytes, or as many bytes in an array: a scalar to the verifier.
    Plain(u8),
}

impl Btf<'_> {
    /// Where the member at `path` lies, if it is of that shape. [`Btf::member`] says what a path is.
    pub fn place(&self, of: TypeId, path: &str, shape: Shape) -> Result<Place, BtfError> {
        let member = self.member(of, path)?;
        let refuse = |what: String| BtfError::Shape { id: of.0, name: path.to_owned(), what };
        let at = self.innermost(member.type_id)?;
        let (kind, size) = (at.record.kind, self.size_of(at.id)?);
        let is_int = kind == Kind::Int;
        let fits = match shape {
            Shape::Number | Shape::Signed => is_int || matches!(kind, Kind::Enum | Kind::Enum64),
            Shape::Pointer => kind == Kind::Ptr,
            Shape::Name => self.is_bytes(&at)? && size >= 16,
            Shape::Plain(1) => is_int || self.is_bytes(&at)?,
            Shape::Plain(_) => is_int,
        };
        if !fits {
            return Err(refuse(format!("{} of {size} bytes", noun(kind))));
        }
        let size = if kind == Kind::Array { if shape == Shape::Name { 8 } else { 1 } } else { size };
        let int = if is_int { word_at(self.tail(&at), 0).unwrap_or_default() } else { 0 };
        let whole = 8 * size;
        let (first, bits) = match (is_int, u64::from(member.width)) {
            (true, 0) => (u64::from(int >> 16 & 0xff), u64::from(int & 0xff)),
            (_, 0) => (0, whole),
            (_, width) => (0, width),
        };
        let place = member.bit.checked_add(first).and_then(|bit| place(bit, bits));
        let place =
            place.filter(|_| bits <= whole).ok_or_else(|| refuse(format!("{bits} bits of {size} bytes")))?;
        let signed = int >> 24 & 1 != 0;
        if shape == Shape::Signed && !signed && place.bits() == 0 && place.size() != 8 {
            return Err(refuse("an unsigned number".to_owned()));
        }
        if shape == Shape::Signed && !signed && place.bits() != 0 {
            return Err(refuse("an unsigned bit field".to_owned()));
        }
        if let Shape::Plain(wanted) = shape
            && (place.size() != wanted || place.bits() != 0)
        {
            return Err(refuse(format!("{bits} bits, not {wanted} bytes")));
        }
        Ok(place)
    }

    /// The type of a member behind typedefs, qualifiers, and structs that hold it and nothing else (`atomic_t`).
    fn innermost(&self, id: TypeId) -> Result<TypeRecord, BtfError> {
        let mut at = self.unqualified(id)?;
        for _ in 0..DEPTH {
            if at.record.kind != Kind::Struct {
                return Ok(at);
            }
            let Some(only) = self.only_member(&at).filter(|only| only.bit == 0 && only.width == 0) else {
                return Ok(at);
            };
            let inner = self.unqualified(only.type_id)?;
            if self.size_of(inner.id)? != u64::from(at.record.word) {
                return Ok(at);
            }
            at = inner;
        }
        Err(BtfError::Endless { id: id.0 })
    }

    /// Whether it is an array of ints of one byte.
    fn is_bytes(&self, at: &TypeRecord) -> Result<bool, BtfError> {
        if at.record.kind != Kind::Array {
            return Ok(false);
        }
        let element = self.unqualified(self.array(at).0)?;
        Ok(element.record.kind == Kind::Int && element.record.word == 1)
    }
}

/// The smallest aligned bytes that hold `bits` bits from the bit `first` on; `None` if no 8 do.
fn place(first: u64, bits: u64) -> Option<Place> {
    if bits == 0 {
        return None;
    }
    let byte = u32::try_from(first / 8).ok()?;
    if first.is_multiple_of(8) && matches!(bits, 8 | 16 | 32 | 64) {
        return Some(Place::whole(byte, u8::try_from(bits / 8).ok()?));
    }
    [1_u8, 2, 4, 8].into_iter().find_map(|size| {
        let unit = 8 * u64::from(size);
        let shift = first % unit;
        let offset = u32::try_from((first - shift) / 8).ok()?;
        let fits = shift + bits <= unit;
        let (shift, bits) = (u8::try_from(shift).ok()?, u8::try_from(bits).ok()?);
        fits.then(|| Place::bit_field(offset, size, shift, bits))
    })
}

fn noun(kind: Kind) -> &'static str {
    match kind {
        Kind::Int => "an integer",
        Kind::Ptr => "a pointer",
        Kind::Array => "an array",
        Kind::Struct => "a struct",
        Kind::Union => "a union",
        Kind::Enum | Kind::Enum64 => "an enum",
        Kind::Float => "a floating-point number",
        Kind::Fwd
        | Kind::Typedef
        | Kind::Volatile
        | Kind::Const
        | Kind::Restrict
        | Kind::Func
        | Kind::FuncProto
        | Kind::Var
        | Kind::Datasec
        | Kind::DeclTag
        | Kind::TypeTag => "something",
    }
}
