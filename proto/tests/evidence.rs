//! Evidence files: what is written is read, what is damaged is refused by name.

use aioinspect_proto::evidence::{self, EvidenceError, MAGIC, MAX_MESSAGE_LEN, MAX_MESSAGES};
use aioinspect_proto::schema::evidence::{
    AddressSpace, CensusSource, Evidence, Fact, Lack, Look, Process, SystemFacts,
};
use proptest::prelude::*;

fn sample() -> Evidence {
    Evidence {
        system: Some(SystemFacts { aio_nr: 7, kernel_release: "6.18".to_owned(), ..SystemFacts::default() }),
        source: CensusSource::Bpf.into(),
        target_pid: Some(0),
        root_pid: None,
        spaces: vec![AddressSpace {
            processes: vec![Process { pid: 1, comm: b"a\xff\n".to_vec(), ..Process::default() }],
            looks: vec![Look::default(); 2],
            ..AddressSpace::default()
        }],
        lacks: vec![Lack { fact: Fact::Tail.into(), why: "no tail".to_owned() }],
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    let len = message.len().to_le_bytes();
    [&MAGIC[..], &1_u32.to_le_bytes(), &len[..4], message].concat()
}

#[test]
fn what_is_written_is_read() {
    let bytes = evidence::encode(&sample()).unwrap();
    assert_eq!(evidence::decode(&bytes).unwrap(), sample());
    assert_eq!(
        evidence::decode(&evidence::encode(&Evidence::default()).unwrap()).unwrap(),
        Evidence::default()
    );
}

#[test]
fn every_truncation_is_refused_as_one() {
    let bytes = evidence::encode(&sample()).unwrap();
    for len in 0..bytes.len() {
        let want = if len < 16 { 16 } else { bytes.len() };
        assert_eq!(
            evidence::decode(&bytes[..len]),
            Err(EvidenceError::Truncated { want, have: len }),
            "{len}"
        );
    }
}

#[test]
fn each_damage_has_its_error() {
    let bytes = evidence::encode(&sample()).unwrap();
    let changed = |at: usize, with: &[u8]| {
        let mut copy = bytes.clone();
        copy[at..at + with.len()].copy_from_slice(with);
        evidence::decode(&copy).unwrap_err()
    };
    assert_eq!(changed(0, b"\n"), EvidenceError::NotEvidence);
    assert_eq!(changed(8, &[2]), EvidenceError::Version(2));
    assert_eq!(changed(12, &[0xff; 4]), EvidenceError::TooLarge(0xffff_ffff));
    assert_eq!(changed(12, &[0]), EvidenceError::TrailingBytes(bytes.len() - 16));
    assert_eq!(evidence::decode(b"\x89aiox"), Err(EvidenceError::NotEvidence));
    // `source` as a string.
    assert!(matches!(evidence::decode(&framed(&[0x12, 1, b'x'])), Err(EvidenceError::Decode(_))));
}

/// Check that two bytes in a file cannot become hundreds in memory, a million times over.
#[test]
fn more_parts_than_a_real_file_has_are_refused() {
    let looks = [0x1a, 0].repeat(MAX_MESSAGES + 1);
    let mut space = vec![0x22];
    prost::encode_length_delimiter(looks.len(), &mut space).unwrap();
    space.extend_from_slice(&looks);
    let lacks = [0x2a, 0].repeat(MAX_MESSAGES + 1);
    for many in [space, lacks] {
        let error = evidence::decode(&framed(&many)).unwrap_err();
        assert_eq!(error.to_string(), format!("malformed message: more than {MAX_MESSAGES} messages"));
    }
}

/// Check that nothing is written that could not be read.
#[test]
fn too_much_is_not_written() {
    let system = SystemFacts { kernel_release: "x".repeat(MAX_MESSAGE_LEN), ..SystemFacts::default() };
    let large = Evidence { system: Some(system), ..Evidence::default() };
    assert!(matches!(evidence::encode(&large), Err(EvidenceError::TooLarge(_))));
}

proptest! {
    #[test]
    fn garbage_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = evidence::decode(&bytes);
        let _ = evidence::decode(&framed(&bytes));
    }
}
