//! Where a member of a struct lies, and how large it is (include/uapi/linux/btf.h:struct btf_member).
//!
//! ```text
//! 0  name_off  u32
//! 4  type      u32
//! 8  offset    u32   in bits; with kind_flag only 24 bits of it, the top byte being a bit field's width
//! ```

use super::btf::{Btf, BtfError, Found, TypeId};
use super::btf_kind::{Kind, word_at};

/// Bytes of a member's record.
const MEMBER_LEN: usize = 12;
/// Bytes of a pointer: every kernel with AIO contexts worth asking for has 64 bits.
const POINTER_LEN: u64 = 8;
/// How deep anonymous members, and chains of typedefs and qualifiers, are followed.
const DEPTH: u32 = 32;
/// How many members one lookup may visit: a real one needs a few hundred.
const BUDGET: u32 = 1 << 18;

/// A member found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Bytes from the start of the struct that was asked.
    pub offset: u32,
    /// Its type, as declared.
    pub type_id: TypeId,
}

impl Btf<'_> {
    /// The member at a dotted path (`se.sum_exec_runtime`) of a struct or union.
    ///
    /// Each name is sought among the members and, since C does so too, among those of anonymous members.
    /// Only structs lead on: a path goes neither through a pointer nor into an array.
    pub fn member(&self, of: TypeId, path: &str) -> Result<Member, BtfError> {
        let mut here = Member { offset: 0, type_id: of };
        for name in path.split('.') {
            let mut search = Search { btf: self, name, budget: BUDGET };
            let body = self.unqualified(here.type_id)?;
            let (bits, type_id) = search.in_body(&body, DEPTH)?.ok_or_else(|| BtfError::NoMember {
                id: body.id.0,
                offset: self.offset(&body),
                name: name.to_owned(),
            })?;
            let endless = BtfError::Endless { id: body.id.0 };
            let bytes = u32::try_from(bits / 8).map_err(|_| endless.clone())?;
            here = Member { offset: here.offset.checked_add(bytes).ok_or(endless)?, type_id };
        }
        Ok(here)
    }

    /// Bytes of a type, typedefs and qualifiers looked through, arrays multiplied out.
    pub fn size_of(&self, id: TypeId) -> Result<u64, BtfError> {
        let (mut id, mut times) = (id, 1_u64);
        for _ in 0..DEPTH {
            let at = self.unqualified(id)?;
            let kind = at.record.kind;
            if kind == Kind::Array {
                let tail = self.tail(&at);
                let (element, count) = word_at(tail, 0).zip(word_at(tail, 8)).unwrap_or_default();
                id = TypeId(element);
                times = times.checked_mul(u64::from(count)).ok_or(BtfError::Endless { id: at.id.0 })?;
                continue;
            }
            let one = if kind.has_size() {
                u64::from(at.record.word)
            } else if kind == Kind::Ptr {
                POINTER_LEN
            } else {
                return Err(BtfError::Unsized { id: at.id.0 });
            };
            return times.checked_mul(one).ok_or(BtfError::Endless { id: at.id.0 });
        }
        Err(BtfError::Endless { id: id.0 })
    }

    /// The type behind typedefs and qualifiers.
    fn unqualified(&self, id: TypeId) -> Result<Found, BtfError> {
        let mut id = id;
        for _ in 0..DEPTH {
            if id.0 == 0 {
                return Err(BtfError::Unsized { id: 0 });
            }
            let at = self.record(id)?;
            if !at.record.kind.is_alias() {
                return Ok(at);
            }
            id = TypeId(at.record.word);
        }
        Err(BtfError::Endless { id: id.0 })
    }

    /// Whether a member that is no declared bit field is one by its type: the old encoding, an int narrower than its bytes.
    fn is_narrow_int(&self, id: TypeId) -> Result<bool, BtfError> {
        if id.0 == 0 {
            return Ok(false);
        }
        let at = self.unqualified(id)?;
        if at.record.kind != Kind::Int {
            return Ok(false);
        }
        let encoding = word_at(self.tail(&at), 0).unwrap_or_default();
        let (shift, bits) = ((encoding >> 16) & 0xff, encoding & 0xff);
        Ok(shift != 0 || u64::from(bits) != 8 * u64::from(at.record.word))
    }
}

/// The search for one name.
struct Search<'a> {
    btf: &'a Btf<'a>,
    name: &'a str,
    budget: u32,
}

impl Search<'_> {
    /// Bits from the start of `body` and the type of the member, if there is one.
    fn in_body(&mut self, body: &Found, depth: u32) -> Result<Option<(u64, TypeId)>, BtfError> {
        let (id, offset) = (body.id.0, self.btf.offset(body));
        if !body.record.kind.has_members() {
            return Err(BtfError::NoMembers { id, offset });
        }
        let depth = depth.checked_sub(1).ok_or(BtfError::Endless { id })?;
        for member in self.btf.tail(body).chunks_exact(MEMBER_LEN) {
            self.budget = self.budget.checked_sub(1).ok_or(BtfError::Endless { id })?;
            let (Some(name), Some(type_id), Some(place)) =
                (word_at(member, 0), word_at(member, 4), word_at(member, 8))
            else {
                break;
            };
            let (width, bits) =
                if body.record.kind_flag { (place >> 24, place & 0xff_ffff) } else { (0, place) };
            let (bits, type_id) = (u64::from(bits), TypeId(type_id));
            if self.btf.name_is(name, self.name) && !self.name.is_empty() {
                if width != 0 || bits % 8 != 0 || self.btf.is_narrow_int(type_id)? {
                    return Err(BtfError::BitField { id, offset, name: self.name.to_owned() });
                }
                return Ok(Some((bits, type_id)));
            }
            // An anonymous member's members are the outer struct's. An anonymous bit field is padding.
            if !self.btf.name_is(name, "") || width != 0 || bits % 8 != 0 || type_id.0 == 0 {
                continue;
            }
            let inner = self.btf.unqualified(type_id)?;
            if inner.record.kind.has_members()
                && let Some((more, type_id)) = self.in_body(&inner, depth)?
            {
                return Ok(Some((bits.saturating_add(more), type_id)));
            }
        }
        Ok(None)
    }
}
