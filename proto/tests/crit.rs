//! Debian's crit as the judge of our images: it decodes them to what we say, and encodes that to our bytes.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

use aioinspect_proto::crit::image_json;
use aioinspect_proto::image;
use aioinspect_proto::schema::criu::{AioRingEntry, MmEntry, VmaEntry};

const CRIT: &str = "/usr/bin/crit";

fn crit(verb: &str, from: &Path, to: &Path) {
    let run = Command::new(CRIT)
        .args([verb, "-i"])
        .arg(from)
        .arg("-o")
        .arg(to)
        .args((verb == "decode").then_some("--pretty"))
        .output();
    let output = run.unwrap_or_else(|e| panic!("{CRIT} cannot be run: {e}"));
    assert!(output.status.success(), "crit {verb}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Numbers at their limits, flags known and unknown; no bit whose name crit 3.17 does not know yet.
fn odd() -> MmEntry {
    let vma = |n: u32| VmaEntry {
        start: u64::from(n) << 12,
        end: u64::MAX,
        prot: n,
        flags: 1 << n,
        status: 1 << (n % 14),
        fd: -1 - i64::from(n),
        madv: n.is_multiple_of(2).then_some(1 << n),
        fdflags: n.is_multiple_of(3).then_some(n),
        ..VmaEntry::default()
    };
    MmEntry {
        mm_brk: u64::MAX,
        exe_file_id: u32::MAX,
        mm_saved_auxv: vec![33, u64::MAX, 0, 0],
        vmas: (0..32).filter(|n| *n != 3).map(vma).collect(),
        dumpable: Some(2),
        aios: vec![AioRingEntry { id: u64::MAX, nr_req: u32::MAX, ring_len: 1 }; 3],
        thp_disabled: Some(true),
        ..MmEntry::default()
    }
}

#[test]
fn crit_reads_and_writes_our_images() {
    if !Path::new(CRIT).exists() {
        return writeln!(
            io::stderr(),
            "SKIPPED crit_reads_and_writes_our_images: no {CRIT} (apt-get install criu)"
        )
        .unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let [ours, json, theirs] = ["ours.img", "crit.json", "theirs.img"].map(|name| dir.path().join(name));
    let sample = image::decode(include_bytes!("fixtures/criu-4.2-mm-16-ctx.img")).unwrap();
    for entry in [odd(), sample, MmEntry::default()] {
        let bytes = image::encode(&entry).unwrap();
        fs::write(&ours, &bytes).unwrap();
        crit("decode", &ours, &json);
        let said: serde_json::Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
        assert_eq!(said, image_json(&entry));
        crit("encode", &json, &theirs);
        assert_eq!(fs::read(&theirs).unwrap(), bytes);
    }
}
