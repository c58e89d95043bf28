//! Tests of writing and reading files, on the file system of the temporary directory and on small ones of our own.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use crate::host::files::*;

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn fallback(dir: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, WriteError> {
    let folder = Folder::open(dir)?;
    let draft = folder.named_draft(NewFile { name, bytes }, 0o600)?;
    folder.publish(&draft)
}

/// Check content, permissions and that nothing else is left, in both ways of writing.
#[test]
fn a_file_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = write_new(dir.path(), "mm-1.img", b"abc", 0o600).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"abc");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    let path = fallback(dir.path(), "mm-2.img", b"def").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"def");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(names(dir.path()), ["mm-1.img", "mm-2.img"]);
}

/// Check that whatever has the name keeps it: a file, a link to a file, a link to nowhere, a directory.
#[test]
fn nothing_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("file"), b"old").unwrap();
    symlink(at("file"), at("link")).unwrap();
    symlink(at("nowhere"), at("dangling")).unwrap();
    std::fs::create_dir(at("dir")).unwrap();
    let before = names(dir.path());
    for name in ["file", "link", "dangling", "dir"] {
        for result in [write_new(dir.path(), name, b"new", 0o600), fallback(dir.path(), name, b"new")] {
            assert!(matches!(result, Err(WriteError::AlreadyExists(path)) if path == at(name)), "{name}");
        }
    }
    assert_eq!(std::fs::read(at("file")).unwrap(), b"old");
    assert_eq!(names(dir.path()), before);
}

/// Check that the last step refuses too, for a name that was taken while we wrote.
#[test]
fn a_name_taken_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    for named in [false, true] {
        let folder = Folder::open(dir.path()).unwrap();
        let new = NewFile { name: "x", bytes: b"ours" };
        let draft = if named { folder.named_draft(new, 0o600) } else { folder.draft(new, 0o600) }.unwrap();
        symlink("nowhere", dir.path().join("x")).unwrap();
        let published = folder.publish(&draft);
        drop(draft);
        assert!(matches!(published, Err(WriteError::AlreadyExists(_))));
        assert_eq!(names(dir.path()), ["x"]);
        std::fs::remove_file(dir.path().join("x")).unwrap();
    }
}

/// Check that names cannot lead elsewhere and that a missing directory is named.
#[test]
fn bad_names_and_directories() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["", ".", "..", "a/b", "../x", "/x"] {
        assert!(matches!(write_new(dir.path(), name, b"", 0o600), Err(WriteError::BadName(_))), "{name}");
    }
    let missing = dir.path().join("missing");
    assert!(
        matches!(write_new(&missing, "x", b"", 0o600), Err(WriteError::NoDirectory(path)) if path == missing)
    );
    std::fs::write(dir.path().join("plain"), b"").unwrap();
    assert!(matches!(write_new(&dir.path().join("plain"), "x", b"", 0o600), Err(WriteError::NoDirectory(_))));
}

/// Check that of a pair both or none appear, whichever name is taken.
#[test]
fn a_pair_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let pair = [NewFile { name: "a", bytes: b"1" }, NewFile { name: "b", bytes: b"2" }];
    let paths = write_all(dir.path(), &pair, 0o600).unwrap();
    let bytes: Vec<_> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert_eq!(bytes, [b"1", b"2"]);
    for taken in ["a", "b"] {
        let dir = tempfile::tempdir().unwrap();
        symlink("nowhere", dir.path().join(taken)).unwrap();
        assert!(matches!(write_all(dir.path(), &pair, 0o600), Err(WriteError::AlreadyExists(_))));
        assert_eq!(names(dir.path()), [taken]);
    }
    let same = [NewFile { name: "c", bytes: b"1" }, NewFile { name: "c", bytes: b"2" }];
    assert!(matches!(write_all(dir.path(), &same, 0o600), Err(WriteError::AlreadyExists(_))));
    assert_eq!(names(dir.path()), ["a", "b"]);
}

/// Check that removing our own file spares one that somebody put in its place.
#[test]
fn only_our_own_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    let path = write_new(dir.path(), "x", b"ours", 0o600).unwrap();
    let ours = identity(File::open(&path).unwrap());
    std::fs::write(dir.path().join("y"), b"theirs").unwrap();
    std::fs::rename(dir.path().join("y"), &path).unwrap();
    folder.remove_if("x", ours);
    assert_eq!(std::fs::read(&path).unwrap(), b"theirs");
}

fn mount(kind: &str, source: &Path, at: &Path, options: &str) -> bool {
    let answer =
        Command::new("mount").args(["-t", kind, "-o", options]).arg(source).arg(at).output().unwrap();
    answer.status.success()
}

/// Check a full and a read-only disk, in both ways of writing: a clear error, and nothing left.
#[test]
fn a_full_and_a_read_only_disk() {
    let dir = tempfile::tempdir().unwrap();
    if !mount("tmpfs", Path::new("none"), dir.path(), "size=64k") {
        return writeln!(
            io::stderr(),
            "SKIPPED a_full_and_a_read_only_disk: needs CAP_SYS_ADMIN to mount a tmpfs"
        )
        .unwrap();
    }
    let big = vec![1; 1 << 20];
    let full = [write_new(dir.path(), "x", &big, 0o600), fallback(dir.path(), "x", &big)];
    let pair = [NewFile { name: "a", bytes: b"1" }, NewFile { name: "b", bytes: &big }];
    let full_pair = write_all(dir.path(), &pair, 0o600);
    let left = names(dir.path());
    let fits = write_new(dir.path(), "y", b"fits", 0o600);
    let read_only = Command::new("mount").args(["-o", "remount,ro"]).arg(dir.path()).status().unwrap();
    let refused = write_new(dir.path(), "z", b"", 0o600);
    Command::new("umount").arg(dir.path()).status().unwrap();
    for result in full {
        assert!(matches!(result, Err(WriteError::NoSpace(_))), "{result:?}");
    }
    assert!(matches!(full_pair, Err(WriteError::NoSpace(_))), "{full_pair:?}");
    assert!(left.is_empty(), "{left:?}");
    fits.unwrap();
    assert!(read_only.success());
    assert!(matches!(refused, Err(WriteError::NotWritable { error: Errno::ROFS, .. })), "{refused:?}");
}

/// Check that files and pipes are read, and the limit is kept for both.
#[test]
fn reading() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, b"12345").unwrap();
    assert_eq!(read_bounded(&path, 5).unwrap(), b"12345");
    assert!(matches!(read_bounded(&path, 4), Err(ReadError::TooLarge { max: 4, .. })));
    let (reader, mut writer) = io::pipe().unwrap();
    let pipe = PathBuf::from(format!("/proc/self/fd/{}", reader.as_raw_fd()));
    let late = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(50));
        writer.write_all(b"late").unwrap();
    });
    assert_eq!(read_bounded(&pipe, 10).unwrap(), b"late");
    late.join().unwrap();
    let (reader, mut writer) = io::pipe().unwrap();
    let pipe = PathBuf::from(format!("/proc/self/fd/{}", reader.as_raw_fd()));
    writer.write_all(b"123456").unwrap();
    assert!(matches!(read_bounded(&pipe, 5), Err(ReadError::TooLarge { max: 5, .. })));
}

/// Check that what is no file is refused, and a pipe without a writer does not hang us.
#[test]
fn reading_other_things() {
    let dir = tempfile::tempdir().unwrap();
    for path in ["/dev/zero", "/dev/null", "/proc/self", "/"] {
        assert!(matches!(read_bounded(Path::new(path), 10), Err(ReadError::NotAFile(_))), "{path}");
    }
    let socket = dir.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert!(matches!(read_bounded(&socket, 10), Err(ReadError::NotAFile(_))));
    assert!(matches!(read_bounded(&dir.path().join("none"), 10), Err(ReadError::NotFound(_))));
    let fifo = dir.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    assert_eq!(read_bounded(&fifo, 10).unwrap(), b"");
}

/// Check that Ctrl-C and its kin wait while a pair is written, in the thread that writes, and take effect again afterwards.
#[test]
fn ctrl_c_waits_for_a_pair() {
    const SIGINT: u64 = 1 << (libc::SIGINT - 1);
    let is_held_back = |tid: rustix::process::Pid| {
        let path = format!("/proc/self/task/{}/status", tid.as_raw_nonzero());
        let status = std::fs::read_to_string(path).unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:\t")).unwrap();
        u64::from_str_radix(mask, 16).unwrap() & SIGINT != 0
    };
    let dir = tempfile::tempdir().unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let me = rustix::thread::gettid();
            tell.send(me).unwrap();
            for round in 0_u32.. {
                if done.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                let (one, other) = (format!("{round}.img"), format!("{round}.evidence"));
                let file = |name| NewFile { name, bytes: b"content" };
                write_all(dir.path(), &[file(&one), file(&other)], 0o600).unwrap();
            }
            is_held_back(me)
        });
        let tid = told.recv().unwrap();
        let begun = std::time::Instant::now();
        let seen = std::iter::repeat_with(|| is_held_back(tid))
            .find(|seen| *seen || begun.elapsed().as_secs() >= 20)
            .unwrap();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(seen, "it is never held back");
        assert!(!writer.join().unwrap(), "still held back");
    });
}
