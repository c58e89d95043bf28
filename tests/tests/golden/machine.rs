//! A replay says the same on any machine: what it needs of the host is in the evidence.

use std::fs;

use aioinspect_formats::evidence_to_bytes;
use aioinspect_tests::record::RECIPES;
use serde_json::Value;

use crate::captures::capture;
use crate::session::aioinspect;

/// More CPUs than a kernel can have: no machine that runs this test has as many.
const CPUS: u32 = 8191;

fn with_cpus(name: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let mut evidence = capture(name);
    evidence.system.possible_cpus = CPUS;
    let path = dir.path().join("other.evidence");
    fs::write(&path, evidence_to_bytes(&evidence).unwrap()).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

/// Check that the number of CPUs is the evidence's, and that nothing a capture says depends on this machine's.
#[test]
fn possible_cpus_are_those_of_the_evidence() {
    for recipe in RECIPES {
        let (_dir, other) = with_cpus(recipe.name);
        let here = crate::blessed::captures().join(format!("{}.evidence", recipe.name));
        let list = |from: &str| -> Value {
            serde_json::from_str(&aioinspect(&["list", "-J", "--from", from]).stdout).unwrap()
        };
        let (mut there, here) = (list(&other), list(here.to_str().unwrap()));
        assert_eq!(there["system"]["possible_cpus"], CPUS);
        assert_eq!(here["system"]["possible_cpus"], capture(recipe.name).system.possible_cpus);
        there["system"]["possible_cpus"] = here["system"]["possible_cpus"].clone();
        if recipe.name == "ring-full" {
            // Whether the credits that are left make a batch depends on the number of CPUs.
            let findings = |list: &Value| list["contexts"][0]["findings"].clone();
            assert_eq!(findings(&here), serde_json::json!(["in-flight", "ring-full"]));
            assert_eq!(findings(&there), serde_json::json!(["in-flight"]));
            continue;
        }
        assert_eq!(there, here, "{}", recipe.name);
    }
}

/// Check that an image is made for the evidence's host unless another is named, and refused where no nr_req can work.
#[test]
fn images_are_for_the_host_of_the_evidence() {
    let (dir, other) = with_cpus("dump");
    let images = dir.path().join("images");
    fs::create_dir(&images).unwrap();
    let args = ["dump", "--from", &other, "-D", images.to_str().unwrap()];
    let said = aioinspect(&args);
    assert_eq!(said.code, 5, "{said:?}");
    assert!(said.stderr.contains(&format!("on {CPUS} possible cpus: ")), "{said:?}");
    assert_eq!(fs::read_dir(&images).unwrap().count(), 0);
    let cpus = format!("cpus={}", capture("dump").system.possible_cpus);
    let said = aioinspect(&[&args[..], &["--restore-on", &cpus]].concat());
    assert_eq!(said.code, 0, "{said:?}");
}
