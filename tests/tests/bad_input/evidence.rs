//! Files of evidence and images that are sound but not what was asked for.

use std::fs;
use std::path::PathBuf;

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::programs::run_aioinspect;
use tempfile::TempDir;

use crate::refused::{accepts, can, refuses};
use crate::sandbox::names_in;

/// An image and an evidence file of a fixture with three contexts.
pub struct Made {
    pub dir: TempDir,
    pub image: PathBuf,
    pub evidence: PathBuf,
    pub pid: u32,
}

pub fn made() -> Made {
    let mut fixture = Fixture::spawn();
    fixture.run("setup-many 3 16");
    let (pid, dir) = (fixture.pid(), tempfile::tempdir().unwrap());
    accepts(&["dump", &pid.to_string(), "-D", dir.path().to_str().unwrap(), "--wait", "30s"]);
    let image = dir.path().join(format!("mm-{pid}.img"));
    let evidence = dir.path().join(format!("aioinspect-{pid}.evidence"));
    Made { dir, image, evidence, pid }
}

/// Check that an image is not taken for evidence, and that evidence of another process is exit 3.
#[test]
fn of_something_else() {
    if !can("of_something_else") {
        return;
    }
    let made = made();
    let (image, evidence) = (made.image.to_str().unwrap(), made.evidence.to_str().unwrap());
    let out = tempfile::tempdir().unwrap();
    let out_path = out.path().to_str().unwrap();
    for args in [
        &["list", "--from", image][..],
        &["check", "--from", image],
        &["dump", "--from", image, "-D", out_path],
    ] {
        refuses(args, 1, &[image, "not an evidence file"]);
    }
    refuses(&["list", "--from", evidence, "-p", "1"], 3, &["no process 1"]);
    // The verdict, which check prints as its result, and dump as a message.
    let check = run_aioinspect(&["check", "1", "--from", evidence]);
    assert_eq!((check.code, &*check.stdout, &*check.stderr), (3, "pid 1: no such process\n", ""));
    let dump = run_aioinspect(&["dump", "1", "--from", evidence, "-D", out_path]);
    assert_eq!((dump.code, &*dump.stdout, &*dump.stderr), (3, "", "pid 1: no such process\n"));
    assert_eq!(names_in(out.path()), [""; 0]);
}

/// Check that evidence of the whole host says which PID is wanted, and makes no image, which it has no facts for.
#[test]
fn of_the_whole_host() {
    if !can("of_the_whole_host") {
        return;
    }
    let mut others: Vec<_> = (0..2).map(|_| Fixture::spawn()).collect();
    for fixture in &mut others {
        fixture.setup(4);
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("host.evidence");
    let path = path.to_str().unwrap();
    accepts(&["list", "--evidence", path]);
    refuses(&["check", "--from", path], 2, &[path, "name one PID"]);
    refuses(&["dump", "--from", path], 2, &[path, "name one PID"]);
    let pid = others[0].pid().to_string();
    accepts(&["list", "--from", path, "-p", &pid]);
    let out = tempfile::tempdir().unwrap();
    let dump = ["dump", &pid, "--from", path, "-D", out.path().to_str().unwrap()];
    let dump = run_aioinspect(&dump);
    assert!(dump.code == 1 || dump.code == 5, "{dump:?}");
    assert_eq!((&*dump.stdout, names_in(out.path())), ("", vec![]), "{dump:?}");
}

/// Check that a replay writes the same image, also where the process is gone, and refuses existing names.
#[test]
fn again() {
    if !can("again") {
        return;
    }
    let made = made();
    let out = tempfile::tempdir().unwrap();
    let args = ["dump", "--from", made.evidence.to_str().unwrap(), "-D", out.path().to_str().unwrap()];
    accepts(&args);
    let name = format!("mm-{}.img", made.pid);
    assert_eq!(fs::read(out.path().join(&name)).unwrap(), fs::read(&made.image).unwrap());
    refuses(&args, 1, &[&name, "exists already"]);
}

/// Check that a directory without anything to show is exit 3, and one with a damaged file names it.
#[test]
fn directories() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    fs::write(dir.path().join("pstree.img"), "x").unwrap();
    let empty = run_aioinspect(&["show", path]);
    assert_eq!(empty.code, 3, "{empty:?}");
    fs::write(dir.path().join("mm-1.img"), "x").unwrap();
    let damaged = run_aioinspect(&["show", path]);
    assert_eq!(damaged.code, 1, "{damaged:?}");
    assert!(damaged.stderr.contains("mm-1.img"), "{damaged:?}");
    for args in [&["list", "--from", path][..], &["check", "--from", path], &["dump", "--from", path]] {
        refuses(args, 1, &[path, "neither a file nor a pipe"]);
    }
}
