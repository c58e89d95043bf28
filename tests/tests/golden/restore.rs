//! `--restore-on`: images, evidence and replayed processes on other hosts, word for word.

use std::fs;
use std::path::Path;

use aioinspect_proto::schema::criu::AioRingEntry;
use aioinspect_proto::splice::replace_aios;
use tempfile::TempDir;

use crate::blessed::{Comparison, captures, root};
use crate::session::{Session, aioinspect};

/// The images of CRIU issues: nr_req, ring entries.
const ISSUES: [(&str, u32, u32); 4] =
    [("2677", 190, 383), ("2677-reversed", 1022, 2047), ("500", 62, 127), ("559", 381, 383)];

/// Writes an image of CRIU's with one context in place of its own.
fn image(dir: &Path, pid: u32, nr_req: u32, entries: u32) {
    let sample = fs::read(root().join("proto/tests/fixtures/criu-4.2-mm-1-ctx.img")).unwrap();
    let aio = AioRingEntry { id: 0x7f00_0000_0000, nr_req, ring_len: 32 + 32 * entries };
    fs::write(dir.join(format!("mm-{pid}.img")), replace_aios(&sample, &[aio]).unwrap()).unwrap();
}

fn images() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (pid, (_, nr_req, entries)) in (1..).zip(ISSUES) {
        image(dir.path(), pid, nr_req, entries);
    }
    // Names that are not CRIU's are no images.
    fs::write(dir.path().join("mm-x.img"), "").unwrap();
    fs::write(dir.path().join("pages-1.img"), "").unwrap();
    dir
}

/// Check what is said of the images of the issues, alone and together, here and there.
#[test]
fn images_on_other_hosts() {
    let dir = images();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let mut session = Session::hiding(&[(dir.path(), "DIR")]);
    let all = dir.path().display().to_string();
    for (name, cpus) in [
        ("mm-1.img", "cpus=47"),
        ("mm-1.img", "cpus=255"),
        ("mm-2.img", "255"),
        ("mm-2.img", "cpus=2,free=1022"),
        ("mm-2.img", "cpus=2,free=1021"),
        ("mm-3.img", "cpus=128"),
        ("mm-4.img", "cpus=2"),
        ("mm-4.img", "cpus=48"),
    ] {
        session.run(&["check", &at(name), "--restore-on", cpus]);
    }
    session.run(&["check", &all, "--restore-on", "cpus=2,free=65536"]);
    session.run(&["check", &all, "--restore-on", "cpus=2,free=65536", "-J"]);
    session.run(&["check", &all]);
    let mut texts = Comparison::default();
    texts.compare(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/restore-on.images.txt"),
        &session.text,
    );
    texts.done();
}

/// Check the same of evidence, and of processes that are judged at the same time.
#[test]
fn evidence_on_other_hosts() {
    let mut session = Session::hiding(&[(captures().join("").as_path(), "")]);
    let at = |name: &str| captures().join(format!("{name}.evidence")).display().to_string();
    let (idle, host, ghost) = (at("idle"), at("host"), at("ghost"));
    session.run(&["check", &idle, "--restore-on", "cpus=16,free=128"]);
    session.run(&["check", &idle, "--restore-on", "cpus=48"]);
    session.run(&["check", &host, "--restore-on", "cpus=2"]);
    session.run(&["check", &ghost, "--restore-on", "cpus=512,free=0"]);
    session.run(&["check", &idle, "--restore-on", "cpus=2", "-J"]);
    session.run(&["check", "--from", &idle, "--restore-on", "cpus=16"]);
    session.run(&["check", "--from", &idle, "--restore-on", "cpus=48"]);
    session.run(&["check", "--from", &at("in-flight-polls"), "--restore-on", "cpus=2"]);
    let json = session.run(&["check", "--from", &idle, "--restore-on", "cpus=2,free=1", "-J"]);
    let value: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((json.code, &value["verdict"]), (5, &serde_json::json!("idle")));
    assert_eq!(value["restore"]["enough"], serde_json::json!(false));
    let mut texts = Comparison::default();
    texts.compare(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/restore-on.evidence.txt"),
        &session.text,
    );
    texts.done();
}

/// Check that dump counts the slots there before it writes anything.
#[test]
fn dump_refuses_too_few_slots() {
    let dump = captures().join("dump.evidence").display().to_string();
    for (free, code, files) in [("0", 5, 0), ("65536", 0, 2)] {
        let dir = tempfile::tempdir().unwrap();
        let host = format!("cpus=2,free={free}");
        let into = dir.path().to_str().unwrap();
        let said = aioinspect(&["dump", "--from", &dump, "-D", into, "--restore-on", &host]);
        assert_eq!(said.code, code, "{said:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), files);
        assert!(code == 0 || said.stderr.contains("0 are free"), "{said:?}");
    }
}

/// Check that a directory without images, and a file with --from, are refused.
#[test]
fn what_cannot_be_asked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let said = aioinspect(&["check", path, "--restore-on", "cpus=2"]);
    assert_eq!((said.code, &*said.stdout), (1, ""), "{said:?}");
    assert!(said.stderr.contains("no mm-*.img in"), "{said:?}");
    let idle = captures().join("idle.evidence").display().to_string();
    let said = aioinspect(&["check", path, "--from", &idle, "--restore-on", "cpus=2"]);
    assert_eq!(said.code, 2, "{said:?}");
}
