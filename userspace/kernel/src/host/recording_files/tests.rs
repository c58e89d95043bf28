//! The files of a recording: what is written where, what is removed, and what is never touched.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::{fs, io};

use tempfile::TempDir;

use super::*;

const HEAD: &[u8] = b"HEAD";
const ALL: Limits = Limits { bytes: u64::MAX, age_ns: u64::MAX };

/// A recording of these tests begins with [`HEAD`]; the number after it is the time of its first record, and `!` is no part of it.
fn inspect(file: &File) -> Option<Inspected> {
    let bytes = read_at(file, 0, 1000).unwrap();
    let rest = bytes.strip_prefix(HEAD)?;
    let cut = rest.iter().take_while(|byte| **byte != b'!').count();
    let first_unix_ns = rest.first().map(|digit| u64::from(*digit - b'0'));
    Some(Inspected { first_unix_ns, end: u64::try_from(HEAD.len() + cut).unwrap() })
}

fn open(path: &Path, limits: Limits) -> Result<RecordingFiles, RecordingFilesError> {
    RecordingFiles::open(path, limits, HEAD, inspect)
}

fn content(dir: &TempDir) -> Vec<(String, String)> {
    let entries = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let mut all: Vec<_> =
        entries.map(|path| (name(&path), fs::read_to_string(&path).unwrap_or_default())).collect();
    all.sort();
    all
}

fn record(files: &mut RecordingFiles, second: u64) {
    let text = second.to_string().repeat(10);
    files.make_room(text.len(), second).unwrap();
    files.append(text.as_bytes(), second).unwrap();
}

/// Check that the next recorder goes on in the same file, that it is for its user alone, and that a second one at the same time is refused.
#[test]
fn goes_on() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("r");
    let mut files = open(&path, ALL).unwrap();
    record(&mut files, 1);
    assert!(matches!(open(&path, ALL), Err(RecordingFilesError::Busy(_))));
    drop(files);
    let mut files = open(&path, ALL).unwrap();
    record(&mut files, 2);
    assert_eq!(content(&dir), [("r".to_owned(), format!("HEAD{}{}", "1".repeat(10), "2".repeat(10)))]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
}

/// Check that what is no recording of ours is refused, and stays as it was: other files, links, directories, files of which others may read.
#[test]
fn others_are_left_alone() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    let make = |name: &str, text: &str, mode: u32| {
        fs::write(at(name), text).unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    make("other", "something", 0o600);
    make("read", "HEAD1", 0o640);
    make("one.3", "something", 0o600);
    symlink(at("gone"), at("link")).unwrap();
    fs::create_dir(at("dir")).unwrap();
    let before = content(&dir);
    assert!(matches!(open(&at("other"), ALL), Err(RecordingFilesError::NotARecording(_))));
    assert!(matches!(open(&at("read"), ALL), Err(RecordingFilesError::NotOurs(_))));
    assert!(matches!(open(&at("one"), ALL), Err(RecordingFilesError::NotARecording(_))));
    assert!(matches!(open(&at("link"), ALL), Err(RecordingFilesError::NotAFile(_))));
    assert!(matches!(open(&at("dir"), ALL), Err(RecordingFilesError::NotAFile(_))));
    assert!(matches!(open(&at("no/such"), ALL), Err(RecordingFilesError::NoDirectory(_))));
    assert!(matches!(open(Path::new("/"), ALL), Err(RecordingFilesError::BadName(_))));
    assert_eq!(content(&dir), before);
}

/// Check that all files together never have more bytes than were asked for, that the newest are kept, and that a number that is missing is filled.
#[test]
fn never_more() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("r");
    let limits = Limits { bytes: 8 * 24, ..ALL };
    let mut files = open(&path, limits).unwrap();
    for second in 10..99 {
        record(&mut files, second);
        let sum: usize = content(&dir).iter().map(|(_, text)| text.len()).sum();
        assert_eq!(u64::try_from(sum).unwrap(), files.bytes());
        assert!(files.bytes() <= limits.bytes);
    }
    let expected: Vec<_> =
        (0..8).map(|older| (older, format!("HEAD{}", (98 - older).to_string().repeat(10)))).collect();
    let found: Vec<_> = content(&dir).into_iter().map(|(_, text)| text).collect();
    assert_eq!(found, expected.iter().map(|(_, text)| text.clone()).collect::<Vec<_>>());
    assert!(matches!(files.make_room(21, 99), Err(RecordingFilesError::TooLarge(21))));
    drop(files);
    // With less, what is too much goes when the next file begins.
    fs::remove_file(dir.path().join("r.2")).unwrap();
    let mut files = open(&path, limits).unwrap();
    record(&mut files, 99);
    let names: Vec<_> = content(&dir).into_iter().map(|(name, text)| (name, text.len())).collect();
    assert_eq!(names.len(), 8, "{names:?}");
    assert!(content(&dir)[2].1.contains("97"), "{:?}", content(&dir));
    drop(files);
    let fewer = Limits { bytes: 8 * 24 / 2 + 8 * 12, ..ALL };
    let mut files = open(&path, fewer).unwrap();
    for second in 10..20 {
        record(&mut files, second);
    }
    assert!(files.bytes() <= fewer.bytes);
}

/// Check that what is older than was asked for is removed, and that a file does not grow older than an eighth of it.
#[test]
fn never_older() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("r");
    let mut files = open(&path, Limits { age_ns: 80, ..ALL }).unwrap();
    for second in 0..1000 {
        record(&mut files, second);
        let oldest = files.older.last().map_or(second, |oldest| oldest.first_unix_ns.unwrap());
        assert!(second - oldest <= 80, "{second}: {oldest}");
        assert!(second < 100 || second - oldest >= 60, "{second}: {oldest}");
    }
}

/// Check that a record that was cut off stays in a file of its own.
#[test]
fn cut_off() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("r");
    fs::write(&path, "HEAD1111!11").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    record(&mut open(&path, ALL).unwrap(), 2);
    let expected = [("r", format!("HEAD{}", "2".repeat(10))), ("r.1", "HEAD1111!11".to_owned())];
    assert_eq!(content(&dir), expected.map(|(name, text)| (name.to_owned(), text)));
}

/// Check that a file that was taken away is begun anew, and that one that was put in its place is not written to.
#[test]
fn taken_away() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("r");
    let mut files = open(&path, ALL).unwrap();
    fs::rename(&path, dir.path().join("moved")).unwrap();
    assert!(files.make_room(1, 1).unwrap());
    record(&mut files, 1);
    assert_eq!(content(&dir).len(), 2);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "HEAD of another").unwrap();
    assert!(matches!(files.make_room(1, 2), Err(RecordingFilesError::Changed(_))));
    assert_eq!(fs::read_to_string(&path).unwrap(), "HEAD of another");
}

/// Check that the files are read oldest first, also where a number is missing.
#[test]
fn read_in_order() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("r");
    for (name, text) in [("r", "4"), ("r.1", "3"), ("r.3", "2"), ("r.7", "1"), ("r.8", "0")] {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let files = open_to_read(&path).unwrap();
    let read: Vec<Vec<u8>> = files.iter().map(|file| read_at(file, 0, 9).unwrap()).collect();
    assert_eq!(read.concat(), b"1234");
    assert!(read_at(&files[0], 5, 9).unwrap().is_empty());
    fs::remove_file(&path).unwrap();
    assert_eq!(open_to_read(&path).unwrap().len(), 3, "the older ones alone");
    assert_eq!(open_to_read(&dir.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
}
