//! Replaces the contexts of an encoded mm image and keeps every other byte.
//!
//! Decoding and encoding again would lose fields that this program does not know, which are CRIU's and
//! perhaps newer than it. So the encoded message is cut at its fields, and only those named `aios` change.

use crate::fields::fields;
use crate::image::{self, ImageError, MM_ENTRY};
use crate::schema::criu::AioRingEntry;
use crate::shape::ShapeError;

/// Field number of `mm_entry.aios`.
const AIOS: u32 = 16;

/// Replaces the `aios` of a whole mm image; the image must be one that [`image::decode`] takes.
pub fn replace_aios(bytes: &[u8], aios: &[AioRingEntry]) -> Result<Vec<u8>, ImageError> {
    image::decode(bytes)?;
    image::frame(&splice(image::message(bytes)?, aios)?)
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

    #[test]
    fn garbage_is_refused() {
        assert_eq!(replace_aios(b"", &[]).unwrap_err(), ImageError::Truncated { want: 12, have: 0 });
        assert_eq!(
            replace_aios(&ONE[..ONE.len() - 1], &[]).unwrap_err(),
            ImageError::Truncated { want: ONE.len(), have: ONE.len() - 1 }
        );
    }
}
