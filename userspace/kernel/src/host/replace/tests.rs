//! Tests of replacing files, on the file system of the temporary directory.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;

fn names(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn replace(dir: &Path, files: &[(&str, &[u8])]) -> Result<(), ReplaceError> {
    let directory = Directory::lock(dir)?;
    let old = files.iter().map(|(name, _)| directory.read(name, 100)).collect::<Result<Vec<_>, _>>()?;
    let files: Vec<_> =
        files.iter().zip(&old).map(|((name, bytes), old)| Replacement { name, old, bytes }).collect();
    directory.replace(&files)
}

/// Check content, permissions, that no draft is left, also none of somebody who was killed, and that a hard link keeps the old version.
#[test]
fn files_are_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in ["a", "b"] {
        std::fs::write(at(name), b"old").unwrap();
        std::fs::set_permissions(at(name), std::fs::Permissions::from_mode(0o640)).unwrap();
    }
    std::fs::hard_link(at("a"), at("link")).unwrap();
    std::fs::write(at(&format!("{DRAFT}0123")), b"half").unwrap();
    replace(dir.path(), &[("a", b"new a"), ("b", b"new b")]).unwrap();
    assert_eq!(std::fs::read(at("a")).unwrap(), b"new a");
    assert_eq!(std::fs::read(at("b")).unwrap(), b"new b");
    assert_eq!(std::fs::read(at("link")).unwrap(), b"old");
    assert_eq!(std::fs::metadata(at("a")).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(names(dir.path()), ["a", "b", "link"]);
}

/// Check that a directory is found by the path of a descriptor, as CRIU hands it to a script.
#[test]
fn a_descriptor_is_a_path() {
    use std::os::fd::AsRawFd;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a"), b"old").unwrap();
    let open = File::open(dir.path()).unwrap();
    let path = format!("/proc/{}/fd/{}", std::process::id(), open.as_raw_fd());
    replace(Path::new(&path), &[("a", b"new")]).unwrap();
    assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"new");
}

/// Check that links, directories and large files are refused, and left.
#[test]
fn what_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("file"), b"old").unwrap();
    symlink("file", at("link")).unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    std::fs::create_dir(at("dir")).unwrap();
    std::fs::write(at("large"), [0; 101]).unwrap();
    for name in ["link", "dangling", "dir"] {
        let refused = replace(dir.path(), &[("file", b"new"), (name, b"new")]);
        assert!(matches!(refused, Err(ReplaceError::NotAFile(path)) if path == at(name)), "{name}");
    }
    let large = replace(dir.path(), &[("large", b"new")]);
    assert!(matches!(large, Err(ReplaceError::TooLarge { max: 100, .. })));
    assert_eq!(std::fs::read(at("file")).unwrap(), b"old");
    assert!(matches!(Directory::lock(&at("file")), Err(ReplaceError::NoDirectory(_))));
    assert!(matches!(Directory::lock(&at("none")), Err(ReplaceError::NoDirectory(_))));
}

/// Check that a file which changed since it was read, or a second one at the same time, stops it before anything is replaced.
#[test]
fn somebody_else_is_at_it() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("a"), b"old").unwrap();
    std::fs::write(at("b"), b"old").unwrap();
    let directory = Directory::lock(dir.path()).unwrap();
    assert!(matches!(Directory::lock(dir.path()), Err(ReplaceError::Busy(_))));
    let (a, b) = (directory.read("a", 100).unwrap(), directory.read("b", 100).unwrap());
    std::fs::write(at("b"), b"other").unwrap();
    let files = [
        Replacement { name: "a", old: &a, bytes: b"new" },
        Replacement { name: "b", old: &b, bytes: b"new" },
    ];
    assert!(matches!(directory.replace(&files), Err(ReplaceError::Changed(path)) if path == at("b")));
    assert_eq!(std::fs::read(at("a")).unwrap(), b"old");
    assert_eq!(names(dir.path()), ["a", "b"]);
}

/// Check that a rename that fails in the middle gives the ones before it their old version back.
#[test]
fn undone_in_the_middle() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in ["a", "b"] {
        std::fs::write(at(name), b"old").unwrap();
    }
    let directory = Directory::lock(dir.path()).unwrap();
    let (a, b) = (directory.read("a", 100).unwrap(), directory.read("b", 100).unwrap());
    let first = directory.draft(&Replacement { name: "a", old: &a, bytes: b"new" }).unwrap();
    let second = directory.draft(&Replacement { name: "b", old: &b, bytes: b"new" }).unwrap();
    let exchanged = directory.put(&first).unwrap();
    assert_eq!(std::fs::read(at("a")).unwrap(), b"new");
    let error = directory.undo(&[(&first, exchanged)], &second, Errno::IO, 2);
    if exchanged {
        assert!(matches!(error, ReplaceError::Failed { .. }), "{error}");
        assert_eq!(std::fs::read(at("a")).unwrap(), b"old");
    } else {
        assert!(matches!(error, ReplaceError::Half { done: 1, all: 2, .. }), "{error}");
    }
    drop((first, second));
    assert_eq!(names(dir.path()), ["a", "b"]);
}
