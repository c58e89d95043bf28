//! Directories that dump cannot write into: nothing is left in them, and nobody was stopped for nothing.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::programs::{Output, bin, run};
use rustix::thread::CapabilitySet;

use crate::refused::{accepts, can, refused, refuses};
use crate::sandbox::{Yard, names_in, read_only, with_mounts};

fn dump_into(fixture: &Fixture, dir: &Path) -> Output {
    run(Command::new(bin("aioinspect")).args(["dump", &fixture.pid().to_string(), "-D"]).arg(dir))
}

/// A process with a thread in io_getevents, which any freeze makes return EINTR.
fn blocked() -> Fixture {
    let mut fixture = Fixture::spawn();
    fixture.run("threads 1 getevents");
    fixture
}

fn eintr(fixture: &mut Fixture) -> u64 {
    fixture.truth().threads[0].eintr
}

/// Check that a directory which is missing, or a file, is named before anybody is stopped.
#[test]
fn no_directory() {
    if !can("no_directory") {
        return;
    }
    let mut fixture = blocked();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "kept").unwrap();
    fs::write(dir.path().join("other"), "").unwrap();
    for wrong in [dir.path().join("missing"), file.clone(), file.join("below"), "/dev/null".into()] {
        refused(&dump_into(&fixture, &wrong), 1, &["no directory", wrong.to_str().unwrap()]);
    }
    refuses(&["dump", &fixture.pid().to_string(), "-D", ""], 2, &["--images-dir"]);
    assert_eq!(fs::read(&file).unwrap(), b"kept");
    assert_eq!(names_in(dir.path()), ["file", "other"]);
    assert_eq!(eintr(&mut fixture), 0);
}

/// Check that a directory of somebody else's is refused to nobody before anybody is stopped.
#[test]
fn not_ours() {
    if !can("not_ours") {
        return;
    }
    let (yard, mut fixture) = (Yard::new(), blocked());
    let dir = yard.dir("private", 0);
    let set = CapabilitySet::BPF
        | CapabilitySet::PERFMON
        | CapabilitySet::SYS_PTRACE
        | CapabilitySet::DAC_READ_SEARCH;
    let args = ["dump", &fixture.pid().to_string(), "-D", dir.to_str().unwrap()];
    refused(&yard.nobody(set, &args), 1, &["cannot write into directory", dir.to_str().unwrap()]);
    assert_eq!(names_in(&dir), [""; 0]);
    assert_eq!(eintr(&mut fixture), 0);
}

/// Check that a read-only file system is named before anybody is stopped.
#[test]
fn read_only_file_system() {
    if !can("read_only_file_system") {
        return;
    }
    let mut fixture = blocked();
    let text = with_mounts(&[(c"tmpfs", c"/mnt", c"")], || {
        read_only(c"/mnt");
        dump_into(&fixture, Path::new("/mnt"))
    });
    refused(&text, 1, &["cannot write into directory /mnt", "Read-only"]);
    assert_eq!(eintr(&mut fixture), 0);
}

/// Check that a full file system leaves neither file, whichever of the two found no room.
#[test]
fn full() {
    if !can("full") {
        return;
    }
    let mut fixture = Fixture::spawn();
    fixture.run("setup-many 200 1");
    for options in [c"size=4k", c"size=16k", c"size=20k", c"nr_inodes=1", c"nr_inodes=2"] {
        let (output, names) = with_mounts(&[(c"tmpfs", c"/mnt", options)], || {
            (dump_into(&fixture, Path::new("/mnt")), names_in(Path::new("/mnt")))
        });
        refused(&output, 1, &["no space left to write /mnt/"]);
        assert_eq!(names, [""; 0], "{options:?}");
    }
    assert_eq!(fixture.truth().contexts.len(), 200);
}

/// Check that a path that is no UTF-8 is written into like any other, and shown escaped.
#[test]
fn odd_path() {
    if !can("odd_path") {
        return;
    }
    let fixture = Fixture::spawn();
    let dir = tempfile::tempdir().unwrap();
    let odd = dir.path().join(std::ffi::OsStr::from_bytes(b"\xff\x1b[31m\nx"));
    fs::create_dir(&odd).unwrap();
    let output = dump_into(&fixture, &odd);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(!output.stdout.contains('\u{1b}'), "{output:?}");
    assert_eq!(names_in(&odd).len(), 2);
    let show = run(Command::new(bin("aioinspect")).arg("show").arg(&odd));
    assert_eq!(show.code, 0, "{show:?}");
    assert!(!show.stdout.contains('\u{1b}'), "{show:?}");
    let again = dump_into(&fixture, &odd);
    refused(&again, 1, &["exists already"]);
    assert!(!again.stderr.contains('\u{1b}') && again.stderr.lines().count() == 1, "{again:?}");
}

/// Check that where to write evidence of list and check is checked as well, and their results are shown all the same.
#[test]
fn evidence_of_list_and_check() {
    if !can("evidence_of_list_and_check") {
        return;
    }
    let fixture = Fixture::spawn();
    let pid = fixture.pid().to_string();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.evidence");
    let path = path.to_str().unwrap();
    accepts(&["list", "--evidence", path]);
    accepts(&["list", "--from", path]);
    let before = fs::read(path).unwrap();
    for args in [&["list"][..], &["check", &pid, "--freeze", "ptrace"]] {
        for (to, what) in
            [(path, "exists already"), ("/nowhere/x", "no directory /nowhere"), ("/", "not a file name")]
        {
            let output = run(Command::new(bin("aioinspect")).args(args).args(["--evidence", to]));
            assert_eq!(output.code, 1, "{output:?}");
            assert!(output.stderr.contains(what) && output.stderr.lines().count() == 1, "{output:?}");
        }
    }
    assert_eq!(fs::read(path).unwrap(), before);
}
