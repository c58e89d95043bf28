//! Where the types lie that one walk was asked for, so that the same questions need no walk the next time.
//!
//! An index holds positions and nothing else: each answer still comes from the kernel's own bytes. It has a digest of all that lies at
//! the positions (records, the names of types and of members) and of what has which name, so that positions of another blob are found out before the first question. A
//! question that the walk was not asked is found out too.
//!
//! As bytes: words of 4 bytes, little endian. The blob's length, the digest (two), three counts, then ids and positions of types, ids of what was
//! looked for by name (0: no such thing) in the order of kinds and names, and the numbers of the pages of the blob that all of it lies in.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::btf::kind::word_at;
use crate::btf::{Btf, Named, Places, TypeId, TypeRecord, Wanted};

/// Bytes of a page of the blob, as an index counts them.
pub const PAGE: usize = 4096;
/// More types than any layout takes.
const MOST: usize = 4096;

/// Positions in one blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    len: u32,
    digest: u64,
    types: Vec<(TypeId, u32)>,
    found: Vec<u32>,
    pages: Vec<u32>,
}

impl Index {
    /// Of all that `btf`, a blob of `len` bytes, was asked since it was parsed.
    pub fn of(btf: &Btf<'_>, len: usize) -> Option<Self> {
        let mut types = btf.asked.borrow().clone();
        let unasked = btf.found.iter().filter_map(|(_, id)| *id);
        let unasked: Vec<TypeId> = unasked.filter(|id| !types.iter().any(|(asked, _)| asked == id)).collect();
        for id in unasked {
            let at = btf.record(id).ok()?.at;
            types.push((id, u32::try_from(at).ok()?));
        }
        types.sort_unstable();
        types.dedup();
        let mut pages = BTreeSet::from([0]);
        let records = types.iter().map(|(id, at)| btf.record_at(*id, *at)).collect::<Option<Vec<_>>>()?;
        btf.visit(&records, |at, bytes| pages.extend(at / PAGE..=(at + bytes.len()) / PAGE));
        // The end of the names is looked at too.
        pages.insert(len.checked_sub(1)? / PAGE);
        let found: Vec<u32> = btf.found.iter().map(|(_, id)| id.map_or(0, |id| id.0)).collect();
        Some(Self {
            len: u32::try_from(len).ok()?,
            digest: btf.digest(&records, &found),
            types,
            found,
            pages: pages.into_iter().map(|page| u32::try_from(page).ok()).collect::<Option<_>>()?,
        })
    }

    /// The pages of the blob that are looked at.
    pub fn pages(&self) -> impl Iterator<Item = usize> {
        self.pages.iter().filter_map(|page| usize::try_from(*page).ok())
    }

    /// To be kept.
    pub fn to_bytes(&self) -> Vec<u8> {
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let mut bytes = self.len.to_le_bytes().to_vec();
        bytes.extend(self.digest.to_le_bytes());
        let counts = [count(self.types.len()), count(self.found.len()), count(self.pages.len())];
        let types = self.types.iter().flat_map(|(id, at)| [id.0, *at]);
        let words = counts.into_iter().chain(types).chain(self.found.iter().copied());
        bytes.extend(words.chain(self.pages.iter().copied()).flat_map(u32::to_le_bytes));
        bytes
    }

    /// From what was kept; `None`: it is no index.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<24>()?;
        let count = |at| usize::try_from(word_at(head, at)?).ok().filter(|count| *count <= MOST);
        let (types, found, pages) = (count(12)?, count(16)?, count(20)?);
        let words: Vec<u32> = rest.chunks(4).map(|word| word_at(word, 0)).collect::<Option<_>>()?;
        if words.len() != 2 * types + found + pages {
            return None;
        }
        let (type_words, rest) = words.split_at(2 * types);
        let (found, pages) = rest.split_at(found);
        let pair = |pair: &[u32]| pair.first().zip(pair.last()).map(|(id, at)| (TypeId(*id), *at));
        Some(Self {
            len: word_at(head, 0)?,
            digest: u64::from(word_at(head, 8)?) << 32 | u64::from(word_at(head, 4)?),
            types: type_words.chunks(2).filter_map(pair).collect(),
            found: found.to_vec(),
            pages: pages.to_vec(),
        })
    }
}

impl<'a> Btf<'a> {
    /// The blob by an index of it, without a walk; `None`: it is the index of another blob, or of other questions.
    pub fn indexed(blob: &'a [u8], wanted: &[Wanted], index: &Index) -> Option<Self> {
        let known = index.types.clone();
        let sorted = known.is_sorted_by(|(one, _), (next, _)| one < next);
        let places = Places::Some { known, went_beyond: Cell::new(false) };
        let mut btf = Self::open(blob, wanted, places).ok()?;
        if !sorted || usize::try_from(index.len) != Ok(blob.len()) || btf.found.len() != index.found.len() {
            return None;
        }
        let types = index.types.iter().map(|(id, at)| btf.record_at(*id, *at)).collect::<Option<Vec<_>>>()?;
        if btf.digest(&types, &index.found) != index.digest {
            return None;
        }
        let mut found = std::mem::take(&mut btf.found);
        for (((kind, name), slot), id) in found.iter_mut().zip(&index.found).filter(|(_, id)| **id != 0) {
            let record = btf.record(TypeId(*id)).ok()?.record;
            if Named::of(record.kind) != Some(*kind) || !btf.name_is(record.name, name) {
                return None;
            }
            *slot = Some(TypeId(*id));
        }
        btf.found = found;
        Some(btf)
    }

    /// Whether it was asked for a type that its index does not have: its answers are worth nothing then.
    pub fn went_beyond(&self) -> bool {
        matches!(&self.places, Places::Some { went_beyond, .. } if went_beyond.get())
    }

    /// Shows all that answers can depend on: records, and the names in them. Positions are those in the blob.
    fn visit(&self, types: &[TypeRecord], mut see: impl FnMut(usize, &[u8])) {
        let name = |offset: u32, see: &mut dyn FnMut(usize, &[u8])| {
            let name = self.names_from(offset).and_then(|rest| rest.split(|byte| *byte == 0).next());
            let at = usize::try_from(offset).unwrap_or(usize::MAX).saturating_add(self.names_base);
            see(at, name.unwrap_or_default());
        };
        for found in types {
            see(
                self.offset(found),
                self.types.get(found.at..found.at + found.record.len).unwrap_or_default(),
            );
            name(found.record.name, &mut see);
            if found.record.kind.has_members() {
                self.members(found).for_each(|(offset, _)| name(offset, &mut see));
            }
        }
    }

    fn digest(&self, types: &[TypeRecord], found: &[u32]) -> u64 {
        let mut hasher = DefaultHasher::new();
        found.hash(&mut hasher);
        for found in types {
            found.id.hash(&mut hasher);
        }
        self.visit(types, |at, bytes| (at, bytes).hash(&mut hasher));
        hasher.finish()
    }
}

#[cfg(test)]
mod tests;
