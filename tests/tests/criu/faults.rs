//! Whatever ends the hook or CRIU during a dump: the target runs on with what it had, and images are old or new, never half.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use aioinspect_tests::criu::{Action, Net, Round, Scripts};
use aioinspect_tests::programs::{run, skip};
use rustix::process::{Pid, Signal, kill_process};

use crate::bed::{Bed, hook};
use crate::outcome::reaped;

/// Reads in flight for two seconds, so that the hook drains for so long.
const READS: u64 = 32;

fn busy(test: &str) -> Option<Bed> {
    let mut bed = Bed::with_disk(test, Net::Own)?;
    bed.target.run("setup 128");
    bed.submit(0, "read", READS);
    Some(bed)
}

/// The target runs, none of its threads stopped, and loses nothing.
fn runs_on(bed: &mut Bed) {
    let begun = Instant::now();
    // CRIU lets it go a moment after the script has failed.
    while !bed.target.state().starts_with('S') {
        assert!(begun.elapsed() < Duration::from_secs(5), "the target is {:?}", bed.target.state());
    }
    assert_eq!(reaped(bed, READS), "all reaped, all right");
    assert_eq!(bed.reserved(), 128);
}

fn end(pid: u32) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
}

fn names(actions: &[Action]) -> Vec<&str> {
    actions.iter().map(|action| action.name.as_str()).collect()
}

/// The aios of each mm image, by file name.
fn contexts_in(images: &Path) -> Vec<(String, String)> {
    let files = fs::read_dir(images).unwrap().flatten().map(|entry| entry.path());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let mms = files.filter(|path| name(path).starts_with("mm-") && name(path).ends_with(".img"));
    let mut all: Vec<(String, String)> = mms
        .map(|path| {
            let shown =
                aioinspect_tests::programs::run_aioinspect(&["show", path.to_str().unwrap(), "--json"]);
            assert_eq!(shown.code, 0, "{}: {}", path.display(), shown.stderr);
            (name(&path), shown.stdout)
        })
        .collect();
    all.sort();
    all
}

/// Check that a drain that takes too long is a refusal: the target runs on with its requests.
#[test]
fn the_drain_takes_too_long() {
    let Some(mut bed) = busy("the_drain_takes_too_long") else { return };
    let scripts = hook().with("AIOINSPECT_DRAIN", "300ms");
    let dump = bed.home.dump(bed.target.inner, &scripts, &[]);
    assert_ne!(dump.code, 0, "{}", dump.log);
    assert_eq!(dump.names(), ["pre-dump", "network-lock", "network-unlock"], "{}", dump.log);
    assert!(dump.said().contains("in flight"), "{}", dump.said());
    let held = dump.took("network-lock").map_or(0, |took| took.as_millis());
    assert!((0..2000).contains(&held), "held for {held} ms");
    runs_on(&mut bed);
}

/// Check that the target runs on where the hook is killed in the drain.
#[test]
fn the_hook_is_killed_in_the_drain() {
    let Some(mut bed) = busy("the_hook_is_killed_in_the_drain") else { return };
    let mut dump = bed.home.begin_dump(bed.target.inner, &hook(), &[]);
    dump.await_action("network-lock");
    end(dump.await_process("aioinspect"));
    let dump = dump.wait();
    assert_ne!(dump.code, 0, "{}", dump.log);
    assert_eq!(dump.names().last(), Some(&"network-unlock"), "{}", dump.log);
    runs_on(&mut bed);
}

/// Check that the target runs on where CRIU is killed during the drain, and that the hook does not go on as if the target were still held.
#[test]
fn criu_is_killed_in_the_drain() {
    let Some(mut bed) = busy("criu_is_killed_in_the_drain") else { return };
    let mut dump = bed.home.begin_dump(bed.target.inner, &hook(), &[]);
    dump.await_action("network-lock");
    dump.await_process("aioinspect");
    end(dump.criu());
    let dump = dump.wait();
    assert_eq!(names(&dump.actions), ["pre-dump", "network-lock"], "{}", dump.log);
    runs_on(&mut bed);
}

/// Check that where the hook is killed after the images are written, the dump fails, and each mm image is whole: CRIU's own or amended.
#[test]
fn the_hook_is_killed_after_the_dump() {
    let Some(mut bed) = Bed::new("the_hook_is_killed_after_the_dump", Net::Own) else { return };
    bed.target.run("setup-many 64 16");
    let mut dump = bed.home.begin_dump(bed.target.inner, &hook(), &[]);
    dump.await_action("post-dump");
    end(dump.await_process("aioinspect"));
    let dump = dump.wait();
    assert_ne!(dump.code, 0, "{}", dump.log);
    assert_eq!(contexts_in(&bed.home.images()).len(), 1);
    assert_eq!(bed.target.truth().contexts.len(), 64);
}

/// A dump whose hook is preceded by a line of shell after the images are written.
fn spoiled(bed: &Bed, line: &str) -> Round {
    let spoiler = bed.home.dir().join("spoiler");
    let text = format!("#!/bin/sh\n[ \"$CRTOOLS_SCRIPT_ACTION\" != post-dump ] || {line}\nexit 0\n");
    fs::write(&spoiler, text).unwrap();
    make_executable(&spoiler);
    let mut scripts = hook();
    scripts.first = Some(spoiler);
    bed.home.dump(bed.target.inner, &scripts, &[])
}

/// The dump failed at its end, CRIU's own image is as it was, and the target runs on.
fn not_amended(bed: &mut Bed, dump: &Round) {
    assert_ne!(dump.code, 0, "{}", dump.log);
    assert_eq!(dump.names().last(), Some(&"network-unlock"), "{}", dump.log);
    assert_eq!(contexts_in(&bed.home.images()).len(), 1);
    assert_eq!(bed.target.truth().contexts.len(), 64);
    assert_eq!(bed.reserved(), 64 * 16);
}

/// Check that images in a directory that takes no files are no dump: the target runs on.
#[test]
fn the_directory_is_read_only() {
    const NAME: &str = "the_directory_is_read_only";
    let Some(mut bed) = Bed::new(NAME, Net::Own) else { return };
    bed.target.run("setup-many 64 16");
    let dump = spoiled(&bed, "chattr +i .");
    let made = run(Command::new("chattr").arg("-i").arg(bed.home.images()));
    if made.code != 0 || dump.log.contains("chattr:") {
        skip(NAME, "the file system of temporary files has no chattr +i");
        return;
    }
    not_amended(&mut bed, &dump);
}

/// Check the same where the disk is full.
#[test]
fn the_disk_is_full() {
    let Some(mut bed) = Bed::new("the_disk_is_full", Net::Own) else { return };
    bed.target.run("setup-many 64 16");
    bed.home.limit_images(8 << 10);
    let dump = spoiled(&bed, "cat /dev/zero >fill");
    not_amended(&mut bed, &dump);
}

fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Check that without a hook, scripts of this bed change nothing: its controls are CRIU alone.
#[test]
fn scripts_that_only_note() {
    let Some(bed) = Bed::new("scripts_that_only_note", Net::Hosts) else { return };
    let dump = bed.home.dump(bed.target.inner, &Scripts::none(), &[]);
    assert_eq!((dump.code, dump.names()), (0, vec!["pre-dump", "post-dump"]), "{}", dump.log);
}
