//! Targets that never rest, and several of us at once.

use aioinspect_tests::programs::run_aioinspect;

use crate::victim::{Left, Victim, can, end_of, finish, sound, take_files};

/// Check that a process whose mappings change all the time is dumped or called busy, and runs on.
#[test]
fn mappings_change() {
    if !can("mappings_change") {
        return;
    }
    let mut victim = Victim::new(8, 8);
    victim.fixture.run("busy");
    let mut codes = [0_u32; 8];
    for _ in 0..40 {
        let output = finish(&mut victim.dump());
        sound(&output);
        assert!(output.code == 0 || output.code == 5 && output.stderr.contains("busy"), "{output:?}");
        codes[usize::try_from(output.code).unwrap()] += 1;
        let left = take_files(victim.dir.path(), victim.fixture.pid());
        assert_eq!(left == Left::Both, output.code == 0);
        victim.assert_unharmed();
    }
    println!("mappings_change: exit codes {codes:?}");
    assert!(codes[0] > 0, "never dumped");
    assert!(victim.fixture.number("busy-stop", "turns") > 0);
}

/// Check that a process that submits and reaps all the time is refused or caught at an idle instant, and loses nothing.
#[test]
fn requests_come_and_go() {
    if !can("requests_come_and_go") {
        return;
    }
    let mut victim = Victim::new(0, 8);
    victim.fixture.run("churn");
    let mut codes = [0_u32; 8];
    for _ in 0..60 {
        let output = finish(&mut victim.dump());
        sound(&output);
        assert!([0, 5].contains(&output.code), "{output:?}");
        codes[usize::try_from(output.code).unwrap()] += 1;
        let left = take_files(victim.dir.path(), victim.fixture.pid());
        assert_eq!(left == Left::Both, output.code == 0);
        crate::victim::assert_free(victim.fixture.pid());
    }
    println!("requests_come_and_go: exit codes {codes:?}");
    // Each of its submissions was completed and reaped.
    assert!(victim.fixture.number("churn-stop", "turns") > 0);
    let check = run_aioinspect(&["check", &victim.pid(), "--freeze", "ptrace"]);
    assert_eq!(check.code, 0, "{check:?}");
}

/// Check that of two dumps of one process at once one writes the files and the other says why it did not.
#[test]
fn two_of_us() {
    if !can("two_of_us") {
        return;
    }
    let mut victim = Victim::new(300, 32);
    for round in 0..40 {
        let both = [victim.dump().spawn().unwrap(), victim.dump().spawn().unwrap()];
        let outputs = both.map(|child| child.wait_with_output().unwrap());
        let mut codes = outputs.each_ref().map(|output| output.status.code());
        codes.sort_unstable();
        assert_eq!(codes, [Some(0), Some(1)], "round {round}: {outputs:?}");
        let loser = outputs.iter().find(|output| !output.status.success()).unwrap();
        let why = String::from_utf8_lossy(&loser.stderr);
        assert!(why.contains("already traced") || why.contains("exists already"), "round {round}: {why}");
        assert_eq!(take_files(victim.dir.path(), victim.fixture.pid()), Left::Both);
        victim.assert_unharmed();
    }
}

/// Check that many checks and dumps at once leave the target as it was.
#[test]
fn many_of_us() {
    if !can("many_of_us") {
        return;
    }
    let mut victim = Victim::new(16, 16);
    let dirs: Vec<_> = (0..8).map(|_| tempfile::tempdir().unwrap()).collect();
    for _ in 0..5 {
        let children: Vec<_> = dirs
            .iter()
            .map(|dir| crate::victim::dump(victim.fixture.pid(), dir.path()).spawn().unwrap())
            .collect();
        for (child, dir) in children.into_iter().zip(&dirs) {
            let code = end_of(child);
            assert!(code == 0 || code == 1, "{code}");
            let left = take_files(dir.path(), victim.fixture.pid());
            assert_eq!(left == Left::Both, code == 0);
        }
        victim.assert_unharmed();
    }
}
