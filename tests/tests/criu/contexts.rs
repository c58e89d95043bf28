//! Contexts that are idle, or should not be believed.

use crate::bed::Bed;
use crate::outcome::{Case, Seen};

fn case(test: &str, name: &str, lines: &[&str], look: &dyn Fn(&mut Bed) -> String) -> Option<[Seen; 2]> {
    let prepare = |bed: &mut Bed| {
        for line in lines {
            bed.target.run(line);
        }
    };
    Case { name, test, needs_disk: false, prepare: &prepare, look }.run()
}

/// Words for a target that answers, with the number of its contexts.
fn contexts(bed: &mut Bed) -> String {
    let contexts = bed.target.truth().contexts.len();
    format!("{contexts} context{}", if contexts == 1 { "" } else { "s" })
}

/// Check that contexts which are smaller than their rings cost as much after a restore as before.
#[test]
fn small_contexts() {
    let seen = case("small_contexts", "64 x io_setup(16)", &["setup-many 64 16"], &contexts);
    let Some([alone, hooked]) = seen else { return };
    assert!(alone.words.contains("grows"), "{}", alone.words);
    assert_eq!(hooked.words, "64 contexts; aio-nr as before", "{}", hooked.dump.log);
}

/// Check that many contexts for one request can be restored at all.
#[test]
fn many_contexts() {
    let name = "1100 x io_setup(1)";
    let seen = case("many_contexts", name, &["setup-many 1100 1"], &contexts);
    let Some([alone, hooked]) = seen else { return };
    assert!(alone.words.contains("cannot be restored"), "{}", alone.words);
    assert_eq!(hooked.words, "1100 contexts; aio-nr as before", "{}", hooked.dump.log);
}

/// Check that a forked child is given no contexts for the rings it inherited.
#[test]
fn ghosts() {
    if !aioinspect_tests::fixture::forks_copy_rings() {
        aioinspect_tests::programs::skip("ghosts", "a fork copies no rings here");
        return;
    }
    let look = |bed: &mut Bed| {
        let child = bed.target.truth().children[0].pid;
        let errno = bed.target.run(&format!("child-getevents {child} #0"))["getevents_errno"].as_i64();
        if errno == Some(22) { "EINVAL in the child" } else { "the child's rings **work**" }.to_owned()
    };
    let name = "16 x io_setup(16) and a forked child";
    let seen = case("ghosts", name, &["setup-many 16 16", "fork-ghost"], &look);
    let Some([alone, hooked]) = seen else { return };
    assert!(alone.words.contains("work") && alone.words.contains("grows"), "{}", alone.words);
    assert_eq!(hooked.words, "EINVAL in the child; aio-nr as before", "{}", hooked.dump.log);
}

/// Check that completions which wait in the ring are kept, with the hook as without.
#[test]
fn unreaped() {
    let look = |bed: &mut Bed| format!("{} reaped", bed.target.run("reap #0 5")["reaped"]);
    let lines = ["setup 62", "poll #0 5", "complete #0 5"];
    let Some([alone, hooked]) = case("unreaped", "5 completions unreaped", &lines, &look) else { return };
    assert!(alone.words.starts_with("5 reaped"), "{}", alone.words);
    assert_eq!(hooked.words, "5 reaped; aio-nr as before", "{}", hooked.dump.log);
}

/// Check that a ring that moved is restored where it is.
#[test]
fn moved() {
    let look = |bed: &mut Bed| {
        bed.target.run("poll #0 1");
        bed.target.run("complete #0 1");
        format!("it works: {} reaped", bed.target.run("reap #0 1")["reaped"])
    };
    let seen = case("moved", "a ring that was moved", &["setup 16", "mremap #0"], &look);
    let Some([_, hooked]) = seen else { return };
    assert_eq!(hooked.words, "it works: 1 reaped; aio-nr as before", "{}", hooked.dump.log);
}

/// Check that a process whose ring is protected is not killed by CRIU: the hook refuses before CRIU touches it.
#[test]
fn protected() {
    let seen = case("protected", "a ring with PROT_NONE", &["setup 16", "mprotect #0 none"], &contexts);
    let Some([alone, hooked]) = seen else { return };
    assert!(alone.words.contains("dies"), "{}", alone.words);
    assert_eq!(hooked.words, "refused, the target runs on: 1 context", "{}", hooked.dump.log);
    assert_eq!(hooked.dump.names(), ["pre-dump"], "it was refused before anybody was stopped");
}

/// Check that a forged head is refused: CRIU would believe it.
#[test]
fn forged_head() {
    let lines = ["setup 16", "poll #0 2", "complete #0 2", "forge #0 head 1000"];
    let Some([_, hooked]) = case("forged_head", "a forged head", &lines, &contexts) else { return };
    assert_eq!(hooked.words, "refused, the target runs on: 1 context", "{}", hooked.dump.log);
    assert_eq!(hooked.dump.names(), ["pre-dump"], "it was refused before anybody was stopped");
}

/// Check that a forged magic is refused by name, and before anybody is stopped.
#[test]
fn forged_magic() {
    let lines = ["setup 16", "forge #0 magic 1"];
    let Some([_, hooked]) = case("forged_magic", "a forged magic", &lines, &contexts) else { return };
    assert_eq!(hooked.words, "refused, the target runs on: 1 context", "{}", hooked.dump.log);
    assert_eq!(hooked.dump.names(), ["pre-dump"], "it was refused before anybody was stopped");
}

/// Check several processes: children with contexts of their own beside the ghosts.
#[test]
fn processes() {
    let prepare = |bed: &mut Bed| {
        bed.target.run("setup-many 4 16");
        let child = bed.target.run("fork-ghost")["pid"].as_u64().unwrap();
        bed.target.run(&format!("child-setup {child} 32"));
        bed.target.run("threads 4 getevents");
    };
    let look = |bed: &mut Bed| {
        let truth = bed.target.truth();
        format!("{} contexts and {} of a child", truth.contexts.len(), truth.children[0].contexts.len())
    };
    let name = "2 processes with contexts, 4 threads in io_getevents";
    let case = Case { name, test: "processes", needs_disk: false, prepare: &prepare, look: &look };
    let Some([_, hooked]) = case.run() else { return };
    assert_eq!(hooked.words, "5 contexts and 1 of a child; aio-nr as before", "{}", hooked.dump.log);
}

/// Check a process that shares its memory, and so its contexts, with another: CRIU takes the two for two, unless it refuses them.
#[test]
fn siblings() {
    let lines = ["setup 16", "clone-vm-child 2 7 stay"];
    let name = "2 processes that share memory (CLONE_VM)";
    let Some([alone, hooked]) = case("siblings", name, &lines, &contexts) else { return };
    assert_eq!(alone.words, hooked.words, "{}", hooked.dump.log);
}

/// Check that a context in the middle of io_destroy is gone in the end, with all its requests, and costs nothing.
#[test]
fn dying() {
    let prepare = |bed: &mut Bed| {
        bed.target.run("setup 16");
        bed.target.run("setup 128");
        bed.submit(1, "read", 32);
        bed.target.run("destroy-waiting #1");
    };
    let name = "io_destroy that waits for 32 reads";
    let case = Case { name, test: "dying", needs_disk: true, prepare: &prepare, look: &contexts };
    let Some([_, hooked]) = case.run() else { return };
    assert_eq!(hooked.words, "1 context; aio-nr as before", "{}", hooked.dump.log);
}
