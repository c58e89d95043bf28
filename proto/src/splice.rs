//! Changes the contexts of an encoded mm image and keeps every other byte.
//!
//! Decoding and encoding again would lose fields that this program does not know, which are CRIU's and
//! perhaps newer than it. So the encoded message is cut at its fields, and only those named `aios` change.

use prost::encoding::{WireType, encode_key, encode_varint};

use crate::fields::{FieldError, fields};
use crate::image::{self, ImageError, MM_ENTRY};
use crate::schema::criu::AioRingEntry;
use crate::shape::ShapeError;

/// Field number of `mm_entry.aios`.
const AIOS: u32 = 16;
/// Field number of `aio_ring_entry.nr_req`.
const NR_REQ: u32 = 2;

/// Replaces the `aios` of a whole mm image; the image must be one that [`image::decode`] takes.
pub fn replace_aios(bytes: &[u8], aios: &[AioRingEntry]) -> Result<Vec<u8>, ImageError> {
    image::decode(bytes)?;
    image::frame(&splice(image::message(bytes)?, aios)?)
}

/// What becomes of one entry of `aios`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// It stays, byte by byte.
    Keep,
    /// It gets another nr_req; whatever else it says stays.
    NrReq(u32),
    /// It goes.
    Drop,
}

/// Edits the `aios` of a whole mm image, an edit for each entry in the image's order; an entry without an edit stays. What this program
/// does not know within an entry stays too.
pub fn edit_aios(bytes: &[u8], edits: &[Edit]) -> Result<Vec<u8>, ImageError> {
    image::decode(bytes)?;
    let message = image::message(bytes)?;
    let malformed = |error| ShapeError::Field { message: MM_ENTRY.name, error };
    let mut out = Vec::with_capacity(message.len());
    let mut edits = edits.iter();
    for field in fields(message) {
        let field = field.map_err(malformed)?;
        let edit =
            if field.number == AIOS { edits.next().copied().unwrap_or(Edit::Keep) } else { Edit::Keep };
        match (edit, field.payload) {
            (Edit::Drop, _) => {}
            (Edit::NrReq(nr_req), Some(entry)) => {
                let entry = with_nr_req(entry, nr_req).map_err(malformed)?;
                encode_key(AIOS, WireType::LengthDelimited, &mut out);
                encode_varint(entry.len() as u64, &mut out);
                out.extend_from_slice(&entry);
            }
            (Edit::Keep | Edit::NrReq(_), _) => {
                out.extend_from_slice(message.get(field.range).unwrap_or_default());
            }
        }
    }
    image::frame(&out)
}

/// An encoded entry with another number in its field `nr_req`.
fn with_nr_req(entry: &[u8], nr_req: u32) -> Result<Vec<u8>, FieldError> {
    let mut out = Vec::with_capacity(entry.len() + 4);
    for field in fields(entry) {
        let field = field?;
        if field.number == NR_REQ {
            encode_key(NR_REQ, WireType::Varint, &mut out);
            encode_varint(nr_req.into(), &mut out);
        } else {
            out.extend_from_slice(entry.get(field.range).unwrap_or_default());
        }
    }
    Ok(out)
}

/// The new fields stand where the first old one stood; without one, where ascending field numbers want them.
fn splice(message: &[u8], aios: &[AioRingEntry]) -> Result<Vec<u8>, ImageError> {
    let all = fields(message)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| ShapeError::Field { message: MM_ENTRY.name, error })?;
    let place = all
        .iter()
        .position(|field| field.number == AIOS)
        .or_else(|| all.iter().position(|field| field.number > AIOS))
        .unwrap_or(all.len());
    let mut out = Vec::with_capacity(message.len());
    for (i, field) in all.iter().enumerate() {
        if i == place {
            put(aios, &mut out);
        }
        if field.number != AIOS {
            out.extend_from_slice(message.get(field.range.clone()).unwrap_or_default());
        }
    }
    if place == all.len() {
        put(aios, &mut out);
    }
    Ok(out)
}

fn put(aios: &[AioRingEntry], out: &mut Vec<u8>) {
    for entry in aios {
        prost::encoding::message::encode(AIOS, entry, out);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::schema::criu::MmEntry;

    const ONE: &[u8] = include_bytes!("../tests/fixtures/criu-4.2-mm-1-ctx.img");
    const NONE: &[u8] = include_bytes!("../tests/fixtures/criu-4.2-mm-0-ctx.img");

    fn entries(n: u32) -> Vec<AioRingEntry> {
        (0..n).map(|i| AioRingEntry { id: 0x7000_0000 + u64::from(i), nr_req: i, ring_len: 8192 }).collect()
    }

    #[test]
    fn the_same_entries_give_the_same_bytes() {
        for image in [ONE, NONE, include_bytes!("../tests/fixtures/criu-4.2-mm-16-ctx.img")] {
            let aios = image::decode(image).unwrap().aios;
            assert_eq!(replace_aios(image, &aios).unwrap(), image);
        }
    }

    /// Check that adding to an image without contexts gives what a full encoding would, and that removing
    /// them again gives the first image back.
    #[test]
    fn entries_come_and_go() {
        let with = replace_aios(NONE, &entries(3)).unwrap();
        let expected = MmEntry { aios: entries(3), ..image::decode(NONE).unwrap() };
        assert_eq!(with, image::encode(&expected).unwrap());
        assert_eq!(replace_aios(&with, &[]).unwrap(), NONE);
    }

    /// Check that unknown fields, also those of an unknown order between old entries, keep their bytes and order.
    #[test]
    fn unknown_fields_stay() {
        let known = image::message(NONE).unwrap();
        let unknown: [&[u8]; 3] =
            [&[0xa2, 0x06, 3, 1, 2, 3], &[0xa8, 0x06, 0x85, 0x00], &[0xad, 0x06, 1, 2, 3, 4]];
        let old = AioRingEntry { id: 1, nr_req: 2, ring_len: 3 };
        let mut message = unknown[0].to_vec();
        message.extend_from_slice(known);
        put(&[old], &mut message);
        message.extend_from_slice(unknown[1]);
        put(&[old], &mut message);
        message.extend_from_slice(unknown[2]);

        let mut expected = unknown[0].to_vec();
        expected.extend_from_slice(known);
        put(&entries(2), &mut expected);
        expected.extend_from_slice(unknown[1]);
        expected.extend_from_slice(unknown[2]);

        let spliced = replace_aios(&image::frame(&message).unwrap(), &entries(2)).unwrap();
        assert_eq!(image::message(&spliced).unwrap(), expected);
        assert_eq!(image::decode(&spliced).unwrap().aios, entries(2));
    }

    /// Check that an edited entry keeps what this program does not know in it, at its place, and the rest every byte.
    #[test]
    fn unknown_parts_of_an_entry_stay() {
        let known = image::message(NONE).unwrap();
        // id, nr_req, ring_len, then field 9 = 7, and before nr_req field 8 of three bytes; the key of aios not in its shortest form.
        let entry = |nr_req: &[u8]| {
            [&[0x08, 1, 0x42, 3, 1, 2, 3, 0x10][..], nr_req, &[0x18, 0x80, 0x40, 0x48, 7]].concat()
        };
        let field = |entry: &[u8]| [&[0x82, 0x01, u8::try_from(entry.len()).unwrap()], entry].concat();
        let image = |entries: &[Vec<u8>]| {
            let fields: Vec<u8> = entries.iter().flat_map(|entry| field(entry)).collect();
            image::frame(&[known, &fields, &[0xa8, 0x06, 0x85, 0x00]].concat()).unwrap()
        };
        let old = image(&[entry(&[62]), entry(&[0xbe, 0x01]), entry(&[9])]);
        let new = edit_aios(&old, &[Edit::NrReq(128), Edit::Drop]).unwrap();
        assert_eq!(new, image(&[entry(&[0x80, 0x01]), entry(&[9])]));
        assert_eq!(edit_aios(&old, &[]).unwrap(), old);
    }

    proptest! {
        /// Check on CRIU's own image that each edit does what it says, and that what is not in aios stays byte by byte.
        #[test]
        fn any_edits(edits in prop::collection::vec(
            prop_oneof![Just(Edit::Keep), Just(Edit::Drop), any::<u32>().prop_map(Edit::NrReq)], 0..20)
        ) {
            const MANY: &[u8] = include_bytes!("../tests/fixtures/criu-4.2-mm-16-ctx.img");
            let old = image::decode(MANY).unwrap().aios;
            let edits_of_all = edits.iter().copied().chain(std::iter::repeat(Edit::Keep));
            let expected: Vec<AioRingEntry> = old.iter().zip(edits_of_all).filter_map(|(entry, edit)| match edit {
                Edit::Keep => Some(*entry),
                Edit::NrReq(nr_req) => Some(AioRingEntry { nr_req, ..*entry }),
                Edit::Drop => None,
            }).collect();
            let new = edit_aios(MANY, &edits).unwrap();
            prop_assert_eq!(&image::decode(&new).unwrap().aios, &expected);
            prop_assert_eq!(&new, &replace_aios(MANY, &expected).unwrap());
            prop_assert_eq!(replace_aios(&new, &[]).unwrap(), replace_aios(MANY, &[]).unwrap());
        }
    }

    #[test]
    fn garbage_is_refused() {
        assert_eq!(replace_aios(b"", &[]).unwrap_err(), ImageError::Truncated { want: 12, have: 0 });
        assert_eq!(
            replace_aios(&ONE[..ONE.len() - 1], &[]).unwrap_err(),
            ImageError::Truncated { want: ONE.len(), have: ONE.len() - 1 }
        );
    }
}
