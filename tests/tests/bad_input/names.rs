//! What is already there under the names that dump writes: it stays, byte for byte, and nobody is stopped.

use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::Path;

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::programs::run_aioinspect;

use crate::refused::{accepts, can, refused};
use crate::sandbox::names_in;

/// Tries a dump into a directory where `make` has put something under each of the two names by turns; `kept` looks at it.
fn occupied(test: &str, make: impl Fn(&Path), kept: impl Fn(&Path)) {
    if !can(test) {
        return;
    }
    let mut fixture = Fixture::spawn();
    fixture.run("threads 1 getevents");
    let pid = fixture.pid();
    for name in [format!("mm-{pid}.img"), format!("aioinspect-{pid}.evidence")] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(&name);
        make(&path);
        let before = names_in(dir.path());
        for freeze in ["ptrace", "none"] {
            let args = ["dump", &pid.to_string(), "--freeze", freeze, "-D", dir.path().to_str().unwrap()];
            refused(&run_aioinspect(&args), 1, &[path.to_str().unwrap(), "exists already"]);
        }
        kept(&path);
        assert_eq!(names_in(dir.path()), before);
    }
    assert_eq!(fixture.truth().threads[0].eintr, 0, "stopped for nothing");
}

/// Check that an existing file is kept, an empty one too.
#[test]
fn a_file() {
    for content in ["kept", ""] {
        let kept = |path: &Path| assert_eq!(fs::read_to_string(path).unwrap(), content);
        occupied("a_file", |path| fs::write(path, content).unwrap(), kept);
    }
}

/// Check that a symbolic link is not followed: its target keeps its bytes and the link stays.
#[test]
fn a_link() {
    let target = |path: &Path| path.with_file_name("target");
    let make = |path: &Path| {
        fs::write(target(path), "kept").unwrap();
        symlink("target", path).unwrap();
    };
    let kept = |path: &Path| {
        assert_eq!(fs::read(target(path)).unwrap(), b"kept");
        assert_eq!(fs::read_link(path).unwrap(), Path::new("target"));
    };
    occupied("a_link", make, kept);
}

/// Check that a dangling link makes no file where it points.
#[test]
fn a_dangling_link() {
    let kept = |path: &Path| {
        assert_eq!(fs::read_link(path).unwrap(), Path::new("nothing"));
        assert!(!path.with_file_name("nothing").exists());
    };
    occupied("a_dangling_link", |path| symlink("nothing", path).unwrap(), kept);
}

/// Check that a directory, and a pipe, of that name stay.
#[test]
fn a_directory_or_a_pipe() {
    occupied("a_directory", |path| fs::create_dir(path).unwrap(), |path| assert!(path.is_dir()));
    let make = |path: &Path| {
        let mode = rustix::fs::Mode::RWXU;
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    };
    occupied("a_pipe", make, |path| assert!(path.metadata().unwrap().file_type().is_fifo()));
}

/// Check that the directory itself may be a link: it is the name in it that must be new.
#[test]
fn a_link_to_the_directory() {
    if !can("a_link_to_the_directory") {
        return;
    }
    let fixture = Fixture::spawn();
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("real")).unwrap();
    symlink("real", dir.path().join("link")).unwrap();
    let link = dir.path().join("link");
    accepts(&["dump", &fixture.pid().to_string(), "-D", link.to_str().unwrap()]);
    assert_eq!(names_in(&dir.path().join("real")).len(), 2);
}
