//! Images that CRIU 4.2 wrote, through `show`.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::blessed::{Comparison, root, text_of};
use crate::session::{Session, aioinspect};

const SAMPLES: [&str; 3] = ["criu-4.2-mm-0-ctx", "criu-4.2-mm-1-ctx", "criu-4.2-mm-16-ctx"];
const PLACE: &str = "proto/tests/fixtures";

/// Check the text of each sample.
#[test]
fn are_readable() {
    let mut all = Comparison::default();
    for sample in SAMPLES {
        let image = root().join(PLACE).join(format!("{sample}.img"));
        let mut session = Session::hiding(&[(&root().join(PLACE).join(""), "")]);
        assert_eq!(session.run(&["show", image.to_str().unwrap()]).code, 0);
        let expected =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{sample}.show.txt"));
        all.compare(&expected, &session.text);
    }
    all.done();
}

/// Check that `show -J` is what crit prints: values, spelling and order of the keys.
#[test]
fn are_what_crit_says() {
    for sample in SAMPLES {
        let image = root().join(PLACE).join(format!("{sample}.img"));
        let said = aioinspect(&["show", "-J", image.to_str().unwrap()]);
        let crit = text_of(&format!("{PLACE}/{sample}.json"));
        assert_eq!(in_crits_layout(&said.stdout), in_crits_layout(&crit), "{sample}");
        assert_eq!(in_crits_layout(&crit), crit.trim_end(), "{sample}: crit's own layout");
    }
}

fn in_crits_layout(text: &str) -> String {
    let value: Value = serde_json::from_str(text).unwrap();
    let mut out = Vec::new();
    let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, indent)).unwrap();
    String::from_utf8(out).unwrap()
}

/// Check that a directory is shown file by file, as text and as one JSON object.
#[test]
fn are_shown_by_directory() {
    let dir = root().join(PLACE);
    let empty = aioinspect(&["show", dir.to_str().unwrap()]);
    // Their names are not CRIU's, so nothing there is taken for an image.
    assert_eq!(empty.code, 3, "{empty:?}");
    let copies = tempfile::tempdir().unwrap();
    for (ordinal, sample) in SAMPLES.iter().enumerate() {
        let from = dir.join(format!("{sample}.img"));
        std::fs::copy(from, copies.path().join(format!("mm-{}.img", ordinal + 1))).unwrap();
    }
    let path = copies.path().to_str().unwrap();
    let text = aioinspect(&["show", path]).stdout;
    let json: Value = serde_json::from_str(&aioinspect(&["show", "-J", path]).stdout).unwrap();
    for name in ["mm-1.img", "mm-2.img", "mm-3.img"] {
        assert!(text.contains(&format!("{path}/{name}:\nmm image: ")), "{text}");
        assert!(json[format!("{path}/{name}")]["entries"].is_array(), "{json}");
    }
}
