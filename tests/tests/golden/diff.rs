//! `diff`: captures and images against each other, word for word.

use std::fs;
use std::path::Path;

use aioinspect_proto::splice::replace_aios;

use crate::blessed::{Comparison, captures, root};
use crate::session::{Session, aioinspect};

fn at(name: &str) -> String {
    captures().join(format!("{name}.evidence")).display().to_string()
}

/// Check what is said of captures that differ in each way, of images, and of a directory against a file.
#[test]
fn sides_of_every_kind() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sample = fs::read(root().join("proto/tests/fixtures/criu-4.2-mm-1-ctx.img")).unwrap();
    let mut amended = aioinspect_proto::image::decode(&sample).unwrap().aios;
    for aio in &mut amended {
        aio.nr_req = 16;
    }
    fs::write(one.path().join("mm-7.img"), &sample).unwrap();
    fs::write(two.path().join("mm-7.img"), replace_aios(&sample, &amended).unwrap()).unwrap();
    let evidence = tempfile::tempdir().unwrap();
    fs::copy(at("host"), evidence.path().join("aioinspect.evidence")).unwrap();
    let (first, second) = (one.path().display().to_string(), two.path().display().to_string());
    let mut session = Session::hiding(&[
        (one.path(), "ONE"),
        (two.path(), "TWO"),
        (evidence.path(), "EVIDENCE"),
        (captures().join("").as_path(), ""),
    ]);
    session.run(&["diff", &at("idle"), &at("idle")]);
    session.run(&["diff", &at("idle"), &at("idle"), "--exit-code"]);
    session.run(&["diff", &at("idle"), &at("hostile-comm")]);
    session.run(&["diff", &at("host"), &at("host-no-max-reqs")]);
    session.run(&["diff", &at("unreaped"), &at("ghost"), "-J"]);
    session.run(&["diff", &first, &second]);
    session.run(&["diff", &first, &second, "--exit-code", "-J"]);
    session.run(&["diff", &format!("{first}/mm-7.img"), &second]);
    session.run(&["diff", &evidence.path().display().to_string(), &at("host")]);
    let mut texts = Comparison::default();
    texts.compare(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/diff.txt"), &session.text);
    texts.done();
}

/// Check that every capture is the same as itself, also as a directory, and that no pair of captures fails.
#[test]
fn captures_against_each_other() {
    for name in ["idle", "ghost", "host", "dying", "no-bpf", "unmapped-ring", "torn"] {
        let same = aioinspect(&["diff", &at(name), &at(name), "--exit-code"]);
        assert_eq!((same.code, &*same.stderr), (0, ""), "{name}: {same:?}");
        for other in ["busy", "dump", "host", "address-reused"] {
            let said = aioinspect(&["diff", &at(name), &at(other), "-J"]);
            let value: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
            assert_eq!(
                (said.code, &value["differs"]),
                (0, &serde_json::json!(name != other)),
                "{name} {other}"
            );
        }
    }
}

/// Check what cannot be compared.
#[test]
fn what_is_no_side() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let empty = aioinspect(&["diff", path, &at("idle")]);
    assert!(empty.code == 1 && empty.stderr.contains("no mm-*.img and no evidence file in"), "{empty:?}");
    let missing = aioinspect(&["diff", &at("idle"), "/no/such/file"]);
    assert!(missing.code == 1 && missing.stderr.contains("no file /no/such/file"), "{missing:?}");
}
