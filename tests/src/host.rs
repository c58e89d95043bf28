//! The host as a shared thing: `fs.aio-nr` is one number for all, so one test at a time may measure it.
//!
//! A lock file holds apart the tests of this and of other test processes. Other programs of the host may hold
//! contexts too, and may come and go at any time: compare differences, and only over short times.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

/// Whether this is a virtual machine of ours, where nobody else runs anything.
pub fn is_own_machine() -> bool {
    std::env::var_os("AIOINSPECT_VM").is_some()
}

/// Longer than any test holds the host.
const PATIENCE: Duration = Duration::from_secs(300);

/// The host for one test alone: no other test of ours makes or destroys contexts.
#[derive(Debug)]
pub struct HostLock(#[expect(dead_code, reason = "its descriptor holds the lock")] File);

/// The host shared with other tests, none of which measures sums.
#[derive(Debug)]
pub struct Share(#[expect(dead_code, reason = "its descriptor holds the lock")] File);

impl HostLock {
    /// Waits until no other test has a fixture. The same test must not hold one either: use
    /// `Fixture::spawn_alone`.
    ///
    /// # Panics
    /// If that takes more than five minutes.
    pub fn take() -> HostLock {
        HostLock(locked(FlockOperation::NonBlockingLockExclusive))
    }
}

impl Share {
    /// Waits until no test has the host for itself.
    ///
    /// # Panics
    /// If that takes more than five minutes.
    pub fn take() -> Share {
        Share(locked(FlockOperation::NonBlockingLockShared))
    }
}

fn locked(how: FlockOperation) -> File {
    let path = std::env::temp_dir().join("aioinspect-tests.lock");
    let opened =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o666).open(&path);
    let file = opened.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let begun = Instant::now();
    while let Err(error) = flock(&file, how) {
        assert_eq!(error, rustix::io::Errno::WOULDBLOCK, "{}", path.display());
        assert!(begun.elapsed() < PATIENCE, "another test has held {} for long", path.display());
        thread::sleep(Duration::from_millis(2));
    }
    file
}

fn number(name: &str) -> u64 {
    let path = format!("/proc/sys/fs/{name}");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.trim().parse().unwrap_or_else(|error| panic!("{path}: {text:?}: {error}"))
}

/// `fs.aio-nr`, the sum of max_reqs over all contexts of the host.
///
/// # Panics
/// If it cannot be read.
pub fn aio_nr() -> u64 {
    number("aio-nr")
}

/// `fs.aio-max-nr`.
///
/// # Panics
/// If it cannot be read.
pub fn aio_max_nr() -> u64 {
    number("aio-max-nr")
}
