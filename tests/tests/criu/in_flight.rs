//! Requests in flight at the dump.

use aioinspect_tests::pages;

use crate::bed::{BYTES, Bed};
use crate::outcome::{Case, reaped, reaped_of};

/// Runs a case of which CRIU alone loses requests, and with the hook none.
fn lost_and_kept(case: &Case<'_>) {
    let Some([alone, hooked]) = case.run() else { return };
    assert!(alone.words.contains("never come"), "{}", alone.words);
    assert!(hooked.words.starts_with("all reaped, all right; aio-nr as before"), "{}", hooked.dump.log);
}

fn requests(test: &str, name: &str, kind: &str, count: u64) {
    let prepare = |bed: &mut Bed| {
        bed.target.run("setup 128");
        bed.submit(0, kind, count);
    };
    let look = |bed: &mut Bed| reaped(bed, count);
    lost_and_kept(&Case { name, test, needs_disk: true, prepare: &prepare, look: &look });
}

/// Check that one read in flight is lost without the hook, and reaped with it.
#[test]
fn a_read() {
    requests("a_read", "1 read in flight", "read", 1);
}

/// Check the same for 32 of them.
#[test]
fn reads() {
    requests("reads", "32 reads in flight", "read", 32);
}

/// Check the same for as many as the context takes.
#[test]
fn many_reads() {
    requests("many_reads", "128 reads in flight", "read", 128);
}

/// Check the same for writes, and that what they wrote is on the disk.
#[test]
fn writes() {
    let prepare = |bed: &mut Bed| {
        bed.target.run("setup 128");
        bed.submit(0, "write", 32);
    };
    let look = |bed: &mut Bed| {
        let words = reaped(bed, 32);
        let bytes = bed.home.read(bed.disk(), "write");
        let written = usize::try_from(BYTES).unwrap();
        assert!(bytes[..written] == pages::content(0, BYTES)[..], "the disk does not hold what was written");
        words
    };
    let case = Case {
        name: "32 writes in flight",
        test: "writes",
        needs_disk: true,
        prepare: &prepare,
        look: &look,
    };
    lost_and_kept(&case);
}

/// Check that an fsync in flight is lost without the hook, and reaped with it.
#[test]
fn fsync() {
    let prepare = |bed: &mut Bed| {
        bed.target.run("setup 16");
        bed.submit_sync(0);
    };
    let look = |bed: &mut Bed| reaped(bed, 1);
    let case =
        Case { name: "an fsync in flight", test: "fsync", needs_disk: true, prepare: &prepare, look: &look };
    lost_and_kept(&case);
}

/// Check reads, writes and an fsync together, in three contexts.
#[test]
fn a_mixture() {
    let prepare = |bed: &mut Bed| {
        bed.target.run("setup-many 3 64");
        bed.submit_sync(2);
        bed.submit(1, "write", 16);
        bed.submit(0, "read", 16);
    };
    let look = |bed: &mut Bed| {
        let all = [(0, 16), (1, 16), (2, 1)].map(|(handle, count)| reaped_of(bed, handle, count));
        let worst = all.iter().find(|words| !words.starts_with("all reaped"));
        worst.unwrap_or(&all[0]).clone()
    };
    let name = "16 reads, 16 writes and an fsync in 3 contexts";
    let case = Case { name, test: "a_mixture", needs_disk: true, prepare: &prepare, look: &look };
    lost_and_kept(&case);
}

/// Check that polls, which nobody completes, are lost without the hook, and that the hook refuses them by name: the target runs on with them.
#[test]
fn polls() {
    let prepare = |bed: &mut Bed| {
        bed.target.run("setup 16");
        bed.target.run("poll #0 4");
    };
    let look = |bed: &mut Bed| {
        // io_cancel finds no request that is lost.
        match bed.target.ask("cancel #0 4").get("ok") {
            Some(_) => format!("all 4 are there: {} reaped", bed.target.run("reap #0 4")["reaped"]),
            None => "all 4 **are lost**".to_owned(),
        }
    };
    let case =
        Case { name: "4 polls in flight", test: "polls", needs_disk: false, prepare: &prepare, look: &look };
    let Some([alone, hooked]) = case.run() else { return };
    assert!(alone.words.contains("are lost"), "{}", alone.words);
    assert!(
        hooked.words.starts_with("refused, the target runs on: all 4 are there: 4 reaped"),
        "{}",
        hooked.dump.log
    );
    assert!(hooked.dump.said().contains("in flight"), "{}", hooked.dump.log);
}
