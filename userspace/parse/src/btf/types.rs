//! Types out of a BTF blob, to be changed and put into another: for tests.

use std::collections::BTreeMap;

use crate::btf::kind::{Kind, word_at};
use crate::btf::tests::Builder;
use crate::btf::{Btf, Named, TypeId, TypeRecord, Wanted};

/// A type; ids are places in [`Types`], counted from 1, and 0 is void.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// `encoding` is the word of an int.
    Int {
        bytes: u32,
        encoding: u32,
    },
    /// To nothing: what pointers point to is not kept.
    Pointer,
    Array {
        of: u32,
        count: u32,
    },
    Body {
        name: String,
        union: bool,
        bytes: u32,
        fields: Vec<Field>,
    },
    /// Any other, such as an enum: only its size is kept.
    Opaque {
        bytes: u32,
    },
    Func {
        name: String,
    },
}

/// A member of a struct or union, as a test declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub name: String,
    pub id: u32,
    pub bit: u32,
    /// Bits of a declared bit field, else 0.
    pub width: u32,
}

/// A set of types that is complete in itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Types(pub Vec<Type>);

impl Types {
    /// What is `wanted`, and all types that it is made of. Members whose name is not in `keep`, if it is given, are left out.
    pub(crate) fn of(btf: &Btf<'_>, wanted: &[Wanted], keep: Option<&[&str]>) -> Self {
        let mut types = Self::default();
        let mut known = BTreeMap::new();
        for (kind, name) in wanted {
            let Some(id) = btf.find(*kind, name) else { continue };
            if *kind == Named::Struct {
                types.take(btf, id, keep, &mut known);
            } else {
                types.add(Type::Func { name: (*name).to_owned() });
            }
        }
        types
    }

    /// Adds a type; its id.
    pub(crate) fn add(&mut self, one: Type) -> u32 {
        self.0.push(one);
        u32::try_from(self.0.len()).unwrap()
    }

    /// The type of that id.
    pub(crate) fn get(&self, id: u32) -> &Type {
        &self.0[usize::try_from(id).unwrap() - 1]
    }

    /// The same, to be changed.
    pub(crate) fn get_mut(&mut self, id: u32) -> &mut Type {
        &mut self.0[usize::try_from(id).unwrap() - 1]
    }

    /// The id of the first struct of that name.
    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        let found = self.0.iter().position(|one| matches!(one, Type::Body { name: of, .. } if of == name));
        found.map(|at| u32::try_from(at).unwrap() + 1)
    }

    /// Where C finds the member: the struct that has it and the bits before that struct.
    pub(crate) fn declared(&self, of: u32, name: &str) -> Option<(u32, usize, u64)> {
        let Type::Body { fields, .. } = self.get(of) else { return None };
        if let Some(field) = fields.iter().position(|field| field.name == name) {
            return Some((of, field, 0));
        }
        fields.iter().filter(|field| field.name.is_empty() && field.id != 0).find_map(|field| {
            let (body, at, before) = self.declared(field.id, name)?;
            Some((body, at, before + u64::from(field.bit)))
        })
    }

    /// What sizeof is.
    pub(crate) fn bytes_of(&self, id: u32) -> u32 {
        match self.get(id) {
            Type::Int { bytes, .. } | Type::Body { bytes, .. } | Type::Opaque { bytes } => *bytes,
            Type::Pointer => 8,
            Type::Array { of, count } => self.bytes_of(*of) * count,
            Type::Func { .. } => 0,
        }
    }

    /// Bytes of a type and whether it is signed, if it is a number; `atomic_t` is one.
    pub(crate) fn number_of(&self, id: u32) -> Option<(u32, bool)> {
        match self.get(id) {
            Type::Int { bytes, encoding } => Some((*bytes, encoding >> 24 & 1 != 0)),
            Type::Opaque { bytes } | Type::Body { bytes, .. } if *bytes == 0 => None,
            Type::Opaque { bytes } => Some((*bytes, false)),
            Type::Body { fields, union: false, .. } if fields.len() == 1 => self.number_of(fields[0].id),
            Type::Body { .. } | Type::Pointer | Type::Array { .. } | Type::Func { .. } => None,
        }
    }

    fn take(
        &mut self,
        btf: &Btf<'_>,
        id: TypeId,
        keep: Option<&[&str]>,
        known: &mut BTreeMap<TypeId, u32>,
    ) -> u32 {
        let Ok(at) = btf.unqualified(id) else { return 0 };
        if let Some(known) = known.get(&at.id) {
            return *known;
        }
        let new = self.add(Type::Pointer);
        known.insert(at.id, new);
        let (kind, bytes) = (at.record.kind, at.record.word);
        let one = if kind == Kind::Int {
            Type::Int { bytes, encoding: word_at(btf.tail(&at), 0).unwrap() }
        } else if kind == Kind::Ptr {
            Type::Pointer
        } else if kind == Kind::Array {
            let (of, count) = btf.array(&at);
            Type::Array { of: self.take(btf, of, keep, known), count }
        } else if kind.has_members() {
            self.body(btf, &at, keep, known)
        } else {
            Type::Opaque { bytes }
        };
        *self.get_mut(new) = one;
        new
    }

    fn body(
        &mut self,
        btf: &Btf<'_>,
        at: &TypeRecord,
        keep: Option<&[&str]>,
        known: &mut BTreeMap<TypeId, u32>,
    ) -> Type {
        let mut fields = Vec::new();
        for (name, member) in btf.members(at) {
            let name = btf.text(name).to_owned();
            if !name.is_empty() && keep.is_some_and(|keep| !keep.contains(&name.as_str())) {
                continue;
            }
            let id = self.take(btf, member.type_id, keep, known);
            fields.push(Field { name, id, bit: u32::try_from(member.bit).unwrap(), width: member.width });
        }
        Type::Body {
            name: btf.text(at.record.name).to_owned(),
            union: at.record.kind == Kind::Union,
            bytes: at.record.word,
            fields,
        }
    }

    /// As a blob.
    pub(crate) fn blob(&self) -> Vec<u8> {
        let mut b = Builder::default();
        for one in &self.0 {
            match one {
                Type::Int { bytes, encoding } => b.add("int", 1, 0, false, *bytes, &[*encoding]),
                Type::Pointer => b.pointer(0),
                Type::Array { of, count } => b.array(*of, *count),
                Type::Opaque { bytes } => b.add("opaque", 6, 0, false, *bytes, &[]),
                Type::Func { name } => b.add(name, 12, 0, false, 0, &[]),
                Type::Body { name, union, bytes, fields } => {
                    let flag = fields.iter().any(|field| field.width != 0);
                    let fields: Vec<_> = fields
                        .iter()
                        .map(|field| (field.name.as_str(), field.id, field.bit | field.width << 24))
                        .collect();
                    b.composite(if *union { 5 } else { 4 }, name, *bytes, flag, &fields)
                }
            };
        }
        b.blob()
    }
}
