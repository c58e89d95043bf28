//! Where a member of a struct lies (include/uapi/linux/btf.h:struct btf_member).
//!
//! ```text
//! 0  name_off  u32
//! 4  type      u32
//! 8  offset    u32   in bits; with kind_flag only 24 bits of it, the top byte being a bit field's width
//! ```

use crate::btf::kind::{Kind, word_at};
use crate::btf::{Btf, BtfError, TypeId, TypeRecord};

/// Bytes of a member's record.
const MEMBER_LEN: usize = 12;
/// Bytes of a pointer: every kernel with AIO contexts worth asking for has 64 bits.
pub(crate) const POINTER_LEN: u64 = 8;
/// How deep anonymous members, and chains of typedefs and qualifiers, are followed.
pub(crate) const DEPTH: u32 = 32;
/// How many members one lookup may visit: a real one needs a few hundred.
const BUDGET: u32 = 1 << 18;

/// A member found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Bits from the start of the struct that was asked.
    pub bit: u64,
    /// Bits of a bit field that is declared as one; 0 for any other.
    pub width: u32,
    /// Its type, as declared.
    pub type_id: TypeId,
}

impl Btf<'_> {
    /// The member at a dotted path (`se.sum_exec_runtime`) of a struct or union.
    ///
    /// Each name is sought among the members and, since C does so too, among those of anonymous members. `*` is any one member whose struct
    /// has no name, so that it is part of the declaration; two that would serve are none. A number is an element of an array. No path
    /// goes through a pointer.
    pub fn member(&self, of: TypeId, path: &str) -> Result<Member, BtfError> {
        let mut here = Member { bit: 0, width: 0, type_id: of };
        let mut steps = path.split('.');
        while let Some(step) = steps.next() {
            let body = self.unqualified(here.type_id)?;
            let wanted = match (step, step.parse()) {
                ("*", _) => Step::Anywhere(steps.next().unwrap_or_default()),
                (_, Ok(index)) => Step::Element(index),
                (name, Err(_)) => Step::Name(name),
            };
            let mut search = Search { btf: self, budget: BUDGET };
            let found = match wanted {
                Step::Name(name) => search.in_body(&body, name, DEPTH)?,
                Step::Anywhere(name) => {
                    let mut found = Vec::new();
                    search.in_inner_bodies(&body, name, DEPTH, &mut found)?;
                    found.pop().filter(|_| found.is_empty())
                }
                Step::Element(index) => self.element(&body, index)?,
            };
            let found = found.filter(|_| here.width == 0).ok_or_else(|| BtfError::NoMember {
                id: body.id.0,
                offset: self.offset(&body),
                name: path.to_owned(),
            })?;
            let bit = here.bit.checked_add(found.bit).ok_or(BtfError::Endless { id: body.id.0 })?;
            here = Member { bit, ..found };
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
                let (element, count) = self.array(&at);
                id = element;
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

    /// Type of the elements of an array, and how many there are; 0 for one whose length is not declared.
    pub(crate) fn array(&self, at: &TypeRecord) -> (TypeId, u32) {
        let tail = self.tail(at);
        let (element, count) = word_at(tail, 0).zip(word_at(tail, 8)).unwrap_or_default();
        (TypeId(element), count)
    }

    /// An element of an array. One whose length is not declared has as many as there are.
    fn element(&self, array: &TypeRecord, index: u32) -> Result<Option<Member>, BtfError> {
        if array.record.kind != Kind::Array {
            return Ok(None);
        }
        let (type_id, count) = self.array(array);
        if count != 0 && index >= count {
            return Ok(None);
        }
        let bit = self.size_of(type_id)?.checked_mul(8 * u64::from(index));
        Ok(bit.map(|bit| Member { bit, width: 0, type_id }))
    }

    /// The only member of a struct, if there is but one.
    pub(crate) fn only_member(&self, body: &TypeRecord) -> Option<Member> {
        let mut members = self.members(body);
        members.next().map(|(_, member)| member).filter(|_| members.next().is_none())
    }

    /// Offset of the name and place of each member of a struct or union.
    pub(crate) fn members(&self, body: &TypeRecord) -> impl Iterator<Item = (u32, Member)> {
        let flag = body.record.kind_flag;
        self.tail(body).chunks_exact(MEMBER_LEN).filter_map(move |member| {
            let (name, type_id, place) = (word_at(member, 0)?, word_at(member, 4)?, word_at(member, 8)?);
            let (width, bit) = if flag { (place >> 24, place & 0xff_ffff) } else { (0, place) };
            Some((name, Member { bit: u64::from(bit), width, type_id: TypeId(type_id) }))
        })
    }

    /// The type behind typedefs and qualifiers.
    pub(crate) fn unqualified(&self, id: TypeId) -> Result<TypeRecord, BtfError> {
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
}

/// One step of a path.
enum Step<'a> {
    Name(&'a str),
    Anywhere(&'a str),
    Element(u32),
}

/// The search for one step.
struct Search<'a> {
    btf: &'a Btf<'a>,
    budget: u32,
}

impl Search<'_> {
    /// The member of that name, if there is one.
    fn in_body(&mut self, body: &TypeRecord, wanted: &str, depth: u32) -> Result<Option<Member>, BtfError> {
        let (id, offset) = (body.id.0, self.btf.offset(body));
        if !body.record.kind.has_members() {
            return Err(BtfError::NoMembers { id, offset });
        }
        let depth = depth.checked_sub(1).ok_or(BtfError::Endless { id })?;
        for (name, member) in self.btf.members(body) {
            self.budget = self.budget.checked_sub(1).ok_or(BtfError::Endless { id })?;
            if name != 0 {
                if !wanted.is_empty() && self.btf.name_is(name, wanted) {
                    return Ok(Some(member));
                }
                continue;
            }
            // An anonymous member's members are the outer struct's. An anonymous bit field is padding.
            let Some(inner) = self.body_of(&member)? else { continue };
            if let Some(found) = self.in_body(&inner, wanted, depth)? {
                return Ok(Some(Member { bit: member.bit.saturating_add(found.bit), ..found }));
            }
        }
        Ok(None)
    }

    /// The members of that name in named members whose struct is declared in place; those of anonymous members are the outer struct's here too.
    fn in_inner_bodies(
        &mut self,
        body: &TypeRecord,
        wanted: &str,
        depth: u32,
        found: &mut Vec<Member>,
    ) -> Result<(), BtfError> {
        let id = body.id.0;
        let depth = depth.checked_sub(1).ok_or(BtfError::Endless { id })?;
        for (name, member) in self.btf.members(body) {
            self.budget = self.budget.checked_sub(1).ok_or(BtfError::Endless { id })?;
            let Some(inner) = self.body_of(&member)?.filter(|inner| inner.record.name == 0) else { continue };
            let known = found.len();
            if name == 0 {
                self.in_inner_bodies(&inner, wanted, depth, found)?;
            } else {
                found.extend(self.in_body(&inner, wanted, depth)?);
            }
            for new in found.iter_mut().skip(known) {
                new.bit = new.bit.saturating_add(member.bit);
            }
        }
        Ok(())
    }

    /// The struct or union that a member is.
    fn body_of(&self, member: &Member) -> Result<Option<TypeRecord>, BtfError> {
        if member.width != 0 || !member.bit.is_multiple_of(8) || member.type_id.0 == 0 {
            return Ok(None);
        }
        Ok(Some(self.btf.unqualified(member.type_id)?).filter(|body| body.record.kind.has_members()))
    }
}
