//! What dump writes, and that it writes nothing else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread;

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::programs::{run, run_aioinspect, skip};
use serde_json::Value;

use crate::tool::{aios, aios_of, at_rest, can_run, directory, dump, json, names, states};

fn idle_fixture() -> Fixture {
    let mut fixture = Fixture::spawn();
    for n in [1, 128, 1000] {
        fixture.setup(n);
    }
    fixture.run("poll #1 5");
    fixture.run("complete #1 5");
    fixture.run("reap #1 5");
    fixture
}

/// Check that an idle process gives an image with its contexts and the evidence for it, both readable by their owner alone.
#[test]
fn an_idle_process() {
    if !can_run("an_idle_process") {
        return;
    }
    let mut fixture = idle_fixture();
    let pid = fixture.pid();
    let (output, into) = dump(pid, &[]);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{output:?}");
    let wanted = [format!("aioinspect-{pid}.evidence"), format!("mm-{pid}.img")];
    assert_eq!(names(&into), wanted);
    for name in &wanted {
        let path = into.path().join(name);
        assert!(output.stdout.contains(&format!("wrote {}", path.display())), "{output:?}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let mut found = aios(&into, pid);
    found.sort_unstable();
    let truth = fixture.truth();
    let mut ids: Vec<_> =
        truth.contexts.iter().map(|one| (one.id, u64::from(one.max_reqs), one.ring_len)).collect();
    ids.sort_unstable();
    assert_eq!(found, ids);
    let text = run_aioinspect(&["show", into.path().to_str().unwrap()]);
    assert_eq!(text.code, 0);
    for one in &truth.contexts {
        assert!(text.stdout.contains(&format!("{:#x}", one.id)), "{}", text.stdout);
    }
    // What is there is not overwritten.
    let again = run_aioinspect(&["dump", &pid.to_string(), "-D", into.path().to_str().unwrap()]);
    assert_eq!(again.code, 1, "{again:?}");
    at_rest(pid);
    assert_eq!(states(pid), "S", "it runs on");
}

/// Check that CRIU's own tool reads the contexts out of the image, and writes the same bytes back.
#[test]
fn crit_agrees() {
    if !can_run("crit_agrees") {
        return;
    }
    if !Command::new("crit").arg("--help").output().is_ok_and(|output| output.status.success()) {
        return skip("crit_agrees", "needs crit (apt-get install criu)");
    }
    let mut fixture = idle_fixture();
    let pid = fixture.pid();
    let (output, into) = dump(pid, &[]);
    assert_eq!(output.code, 0, "{output:?}");
    let image = into.path().join(format!("mm-{pid}.img"));
    let decoded = run(Command::new("crit").args(["decode", "-i"]).arg(&image));
    assert_eq!(decoded.code, 0, "{decoded:?}");
    let by_crit: Value = serde_json::from_str(&decoded.stdout).unwrap();
    assert_eq!(by_crit["magic"], "MM");
    assert_eq!(aios_of(&by_crit), aios(&into, pid));
    let truth = fixture.truth();
    assert_eq!(by_crit["entries"][0]["mm_brk"].as_u64(), Some(truth.brk));
    assert_eq!(by_crit["entries"][0]["dumpable"].as_u64(), Some(u64::from(truth.dumpable)));
    let (text, back) = (into.path().join("text"), into.path().join("back"));
    fs::write(&text, &decoded.stdout).unwrap();
    let encoded = run(Command::new("crit").args(["encode", "-i"]).arg(&text).arg("-o").arg(&back));
    assert_eq!(encoded.code, 0, "{encoded:?}");
    assert_eq!(fs::read(back).unwrap(), fs::read(image).unwrap());
}

/// Check that what is refused leaves no file and says which context, what is pending and what to do; in JSON too.
#[test]
fn refusals_leave_nothing() {
    if !can_run("refusals_leave_nothing") {
        return;
    }
    let mut fixture = idle_fixture();
    let pid = fixture.pid();
    fixture.run("poll #1 2");
    let id = fixture.truth().contexts[1].id;
    let (output, into) = dump(pid, &[]);
    assert_eq!((output.code, output.stdout.as_str(), names(&into).len()), (5, "", 0), "{output:?}");
    assert!(
        output.stderr.contains(&format!("{id:#x}: 2 requests in flight; wait for them with --wait")),
        "{output:?}"
    );
    assert!(
        output.stderr.contains("is not idle: 1 of 3 contexts (not stopped"),
        "refused unfrozen: {output:?}"
    );
    let (output, into) = dump(pid, &["-J", "--freeze", "none"]);
    assert_eq!((output.code, names(&into).len()), (5, 0), "{output:?}");
    assert_eq!(json(&output)["verdict"], "not-idle");
    assert_eq!(json(&output)["pause_ns"], 0);
}

/// Check that completions may be kept in the ring if the user says so, and only then; requests in flight never.
#[test]
fn unreaped_may_be_kept() {
    if !can_run("unreaped_may_be_kept") {
        return;
    }
    let mut fixture = idle_fixture();
    let pid = fixture.pid();
    fixture.run("poll #1 3");
    fixture.run("complete #1 2");
    for more in [&[][..], &["--allow-unreaped"]] {
        let (output, into) = dump(pid, more);
        assert_eq!((output.code, names(&into).len()), (5, 0), "{output:?}");
    }
    fixture.run("complete #1 1");
    let (output, into) = dump(pid, &[]);
    assert_eq!((output.code, names(&into).len()), (5, 0), "{output:?}");
    let (output, into) = dump(pid, &["--allow-unreaped"]);
    assert_eq!((output.code, aios(&into, pid).len()), (0, 3), "{output:?}");
    assert_eq!(fixture.number("reap #1 9", "reaped"), 3, "they are still there");
}

/// Check that dumps side by side of one process do no harm to it: each gives its image, or says who traces it.
#[test]
fn two_at_a_time() {
    if !can_run("two_at_a_time") {
        return;
    }
    let fixture = idle_fixture();
    let pid = fixture.pid();
    at_rest(pid);
    let into = directory();
    let outputs: Vec<_> = thread::scope(|scope| {
        let start = |k: u32| {
            let path = into.path().join(k.to_string());
            fs::create_dir(&path).unwrap();
            scope.spawn(move || run_aioinspect(&["dump", &pid.to_string(), "-D", path.to_str().unwrap()]))
        };
        let threads: Vec<_> = (0..8).map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for output in &outputs {
        assert!(output.code == 0 || output.stderr.contains("traced"), "{output:?}");
    }
    assert!(outputs.iter().any(|output| output.code == 0), "{outputs:?}");
    at_rest(pid);
    assert_eq!(states(pid), "S");
}
