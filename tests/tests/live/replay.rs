//! `--from`: evidence gives the verdict again that the running process gave.

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::pages;
use aioinspect_tests::programs::run_aioinspect;
use serde_json::Value;

use crate::tool::{aios, can_run, directory, dump, json, run_on};

/// Check that the evidence beside an image replays to the same verdict, the same contexts and the same image.
#[test]
fn of_a_dump() {
    if !can_run("of_a_dump") {
        return;
    }
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid();
    for n in [1, 128, 1000] {
        fixture.setup(n);
    }
    fixture.run("poll #2 3");
    fixture.run("complete #2 3");
    let (output, into) = dump(pid, &["--allow-unreaped", "-J"]);
    assert_eq!(output.code, 0, "{output:?}");
    let (name, images) = (format!("aioinspect-{pid}.evidence"), aios(&into, pid));
    let evidence = into.path().join(name);
    let evidence = evidence.to_str().unwrap();
    let live = json(&output);
    drop(fixture);
    let replayed = run_aioinspect(&["check", "--allow-unreaped", "-J", "--from", evidence]);
    assert_eq!(replayed.code, 0, "{replayed:?}");
    assert_same(&json(&replayed), &live);
    let strict = run_aioinspect(&["check", "-J", "--from", evidence]);
    assert_eq!((strict.code, &json(&strict)["verdict"]), (5, &"not-idle".into()));
    let other = directory();
    let other_path = other.path().to_str().unwrap();
    let dumped = run_aioinspect(&["dump", "--allow-unreaped", "--from", evidence, "-D", other_path]);
    assert_eq!(dumped.code, 0, "{dumped:?}");
    assert_eq!(aios(&other, pid), images);
    let image = format!("mm-{pid}.img");
    assert_eq!(
        std::fs::read(into.path().join(&image)).unwrap(),
        std::fs::read(other.path().join(&image)).unwrap(),
        "the same image, byte for byte"
    );
    let listed = json(&run_aioinspect(&["list", "-J", "--from", evidence]));
    let max_reqs = |of: &Value| -> Vec<_> {
        of["contexts"].as_array().unwrap().iter().map(|one| one["max_reqs"].clone()).collect()
    };
    assert_eq!(max_reqs(&listed), max_reqs(&live));
    let shown = run_aioinspect(&["show", evidence]);
    assert!(shown.code == 0 && shown.stdout.contains(&pid.to_string()), "{shown:?}");
}

/// Check that the evidence of a refusal replays to the same refusal, in words and JSON, and that dump writes nothing of it.
#[test]
fn of_a_refusal() {
    if !can_run("of_a_refusal") {
        return;
    }
    let states: [&[&str]; 6] = [
        &["poll #0 3"],
        &["poll #0 3", "complete #0 3"],
        &["forge #0 magic 1"],
        &["mprotect #0 none"],
        &["munmap #0 all hold"],
        &["fork-ghost", "munmap #0 page 1 hold"],
    ];
    for lines in states {
        let mut fixture = Fixture::spawn();
        let pid = fixture.pid();
        // It has a second page.
        fixture.setup(pages::as_many_pages(128));
        for line in lines {
            fixture.run(line);
        }
        let into = directory();
        let path = into.path().join("it.evidence");
        let path = path.to_str().unwrap();
        let output = run_on("check", pid, &["-J", "--evidence", path]);
        assert_eq!(output.code, 5, "{lines:?}: {output:?}");
        let live = json(&output);
        drop(fixture);
        let replayed = run_aioinspect(&["check", "-J", "--from", path]);
        assert_eq!(replayed.code, 5, "{lines:?}: {replayed:?}");
        assert_same(&json(&replayed), &live);
        let images = directory();
        let dumped = run_aioinspect(&["dump", "--from", path, "-D", images.path().to_str().unwrap()]);
        assert_eq!((dumped.code, crate::tool::names(&images).len()), (5, 0), "{dumped:?}");
    }
}

fn assert_same(replayed: &Value, live: &Value) {
    for key in ["pid", "comm", "verdict", "proof", "manner", "pause_ns", "reasons", "contexts", "ghosts"] {
        assert_eq!(replayed[key], live[key], "{key}");
    }
}
