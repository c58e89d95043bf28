//! Images of CRIU 4.2: decoded to what crit says, encoded to the same bytes; damaged ones refused.

use aioinspect_proto::crit::image_json;
use aioinspect_proto::image::{self, ImageError};
use proptest::prelude::*;
use serde::Serialize as _;

const SAMPLES: [(&[u8], &str); 3] = [
    (include_bytes!("fixtures/criu-4.2-mm-0-ctx.img"), include_str!("fixtures/criu-4.2-mm-0-ctx.json")),
    (include_bytes!("fixtures/criu-4.2-mm-1-ctx.img"), include_str!("fixtures/criu-4.2-mm-1-ctx.json")),
    (include_bytes!("fixtures/criu-4.2-mm-16-ctx.img"), include_str!("fixtures/criu-4.2-mm-16-ctx.json")),
];

/// Check that values, spelling, key order and even the layout of the text are crit's.
#[test]
fn samples_decode_to_what_crit_says() {
    for (bytes, crit) in SAMPLES {
        let ours = image_json(&image::decode(bytes).unwrap());
        let theirs: serde_json::Value = serde_json::from_str(crit).unwrap();
        assert_eq!(ours, theirs);
        let mut text = Vec::new();
        let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
        ours.serialize(&mut serde_json::Serializer::with_formatter(&mut text, indent)).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), crit.trim_end());
    }
}

#[test]
fn samples_encode_to_the_same_bytes() {
    for (bytes, _) in SAMPLES {
        assert_eq!(image::encode(&image::decode(bytes).unwrap()).unwrap(), bytes);
    }
}

#[test]
fn every_truncation_is_refused_as_one() {
    let bytes = SAMPLES[1].0;
    for len in 0..bytes.len() {
        let want = if len < 12 { 12 } else { bytes.len() };
        assert_eq!(image::decode(&bytes[..len]), Err(ImageError::Truncated { want, have: len }), "{len}");
    }
}

/// Check that a message cut short inside an intact frame is malformed or lacks a field, or is a shorter image.
#[test]
fn every_truncated_message_is_survived() {
    let message = image::message(SAMPLES[2].0).unwrap();
    let whole = image::decode(SAMPLES[2].0).unwrap();
    let mut taken = 0;
    for len in 0..message.len() {
        if let Ok(entry) = image::decode(&image::frame(&message[..len]).unwrap()) {
            assert_ne!(entry, whole);
            assert_eq!(entry.exe_file_id, whole.exe_file_id);
            taken += 1;
        }
    }
    assert!(taken > 0 && taken < message.len() / 2, "{taken}");
}

#[test]
fn each_damage_has_its_error() {
    let bytes = SAMPLES[0].0;
    let changed = |at: usize, with: &[u8]| {
        let mut copy = bytes.to_vec();
        copy[at..at + with.len()].copy_from_slice(with);
        image::decode(&copy).unwrap_err()
    };
    assert_eq!(changed(0, b"\x7fELF"), ImageError::NotAnImage);
    assert_eq!(changed(4, b"abcd"), ImageError::OtherKind(0x6463_6261));
    assert_eq!(changed(8, &[0xff; 4]), ImageError::TooLarge(0xffff_ffff));
    assert_eq!(changed(8, &[1, 0, 0, 0]), ImageError::TrailingBytes(bytes.len() - 13));
    assert_eq!(image::decode(&[bytes, &[0]].concat()), Err(ImageError::TrailingBytes(1)));
    assert_eq!(image::decode(b"\x19CV-"), Err(ImageError::NotAnImage));
    // Field 1 as a string where mm_start_code is a number.
    let text = image::frame(&[&[0x0a, 1, b'x'], image::message(bytes).unwrap()].concat()).unwrap();
    assert!(matches!(image::decode(&text), Err(ImageError::Decode(_))));
    assert_eq!(
        image::decode(&image::frame(&[]).unwrap()).unwrap_err().to_string(),
        "malformed message: mm_entry has no mm_start_code"
    );
}

/// Check that a huge file of empty mappings is refused before it becomes memory.
#[test]
fn empty_mappings_are_refused() {
    let message = [0x72, 0].repeat(1 << 20);
    let error = image::decode(&image::frame(&message).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "malformed message: vma_entry has no start");
    assert_eq!(image::frame(&vec![0; image::MAX_MESSAGE_LEN + 1]), Err(ImageError::TooLarge(67_108_865)));
}

proptest! {
    #[test]
    fn garbage_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = image::decode(&bytes);
        let _ = image::decode(&image::frame(&bytes).unwrap());
    }

    /// Check that what is decoded from a damaged image can be printed and encoded, and is then stable.
    #[test]
    fn damage_is_survived(at in 12_usize..1785, with in any::<u8>()) {
        let mut bytes = SAMPLES[2].0.to_vec();
        bytes[at] = with;
        if let Ok(entry) = image::decode(&bytes) {
            image_json(&entry);
            let again = image::encode(&entry).unwrap();
            prop_assert_eq!(image::decode(&again).unwrap(), entry);
        }
    }
}
