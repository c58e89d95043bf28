//! I/O that is not looked at: a real io_uring and real requests of the C library, beside an idle verdict.
#![expect(unsafe_code, reason = "io_uring_setup and aio_read are raw calls")]

use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Child, ChildStdout, Command, Stdio};

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::programs::{Output, run_aioinspect, skip};
use serde_json::Value;

use crate::tool::{at_rest, can_run, check, directory, eventually, json, names, run_on};

/// Set for the child that a test makes of itself.
const IN_CHILD: &str = "AIOINSPECT_OTHER_IO";

/// A child that does one thing and waits until it is killed.
struct Helper(Child);

impl Helper {
    /// Runs the test of this name again, which finds that it is in the child.
    fn start(test: &str) -> (Helper, ChildStdout) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--nocapture"]).env(IN_CHILD, "1");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let output = child.stdout.take().unwrap();
        (Helper(child), output)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether this is such a child.
fn is_helper() -> bool {
    std::env::var_os(IN_CHILD).is_some()
}

fn io_uring() -> io::Result<OwnedFd> {
    let mut params = [0_u8; 120];
    // SAFETY: a struct io_uring_params of zeroes, 120 bytes, which the kernel fills.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 4, params.as_mut_ptr()) };
    match i32::try_from(fd) {
        // SAFETY: a new descriptor that nobody else owns.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What the child does: it has two io_urings, one of them by two descriptors.
fn has_io_urings() {
    let (one, _two) = (io_uring().unwrap(), io_uring().unwrap());
    let _again = one.try_clone().unwrap();
    wait_for_end();
}

/// What the child does: three requests of aio_read that nothing answers, for the pipe stays empty.
fn has_posix_aio() {
    let mut requests = Vec::new();
    for _ in 0..3 {
        // A stream: the library reads it by read or pread, whichever it tries, in a thread of its own.
        let (from, to) = io::pipe().unwrap();
        // SAFETY: zeroes are a request without notification.
        let mut request: Box<libc::aiocb> = Box::new(unsafe { std::mem::zeroed() });
        let room = Box::leak(vec![0_u8; 8].into_boxed_slice());
        request.aio_fildes = from.as_raw_fd();
        request.aio_buf = room.as_mut_ptr().cast();
        request.aio_nbytes = room.len();
        request.aio_sigevent.sigev_notify = libc::SIGEV_NONE;
        // SAFETY: the request and its room live until the process ends.
        assert_eq!(unsafe { libc::aio_read(&raw mut *request) }, 0);
        requests.push((request, from, to));
    }
    wait_for_end();
}

fn wait_for_end() {
    println!("made");
    io::stdout().flush().unwrap();
    // The test keeps the other end open until it kills us.
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
}

/// Waits until the child has said that it is done.
fn made(output: ChildStdout) -> bool {
    let mut output = io::BufReader::new(output);
    let mut line = String::new();
    while io::BufRead::read_line(&mut output, &mut line).unwrap() > 0 {
        if line.contains("made") {
            return true;
        }
        line.clear();
    }
    false
}

fn dump_strictly(pid: u32) -> (Output, Vec<String>) {
    at_rest(pid);
    let into = directory();
    let output = run_aioinspect(&["dump", &pid.to_string(), "--strict", "-D", into.path().to_str().unwrap()]);
    (output, names(&into))
}

/// Checks that it is idle as far as contexts go, says these words and number, and strictly is refused and leaves no image.
fn is_said(pid: u32, words: &str, key: &str, count: u32) {
    let text = run_on("check", pid, &[]);
    assert!(text.code == 0 && text.stdout.contains(words), "no {words:?} in {text:?}");
    let (code, loose) = check(pid, &[]);
    assert_eq!((code, &loose["not_looked_at"][key]), (0, &count.into()), "{loose}");
    let (code, strict) = check(pid, &["--strict"]);
    assert_eq!((code, &strict["verdict"]), (5, &"unproven".into()), "{strict}");
    assert!(strict["reasons"].to_string().contains(words), "{strict}");
    let text = run_on("check", pid, &["--strict"]);
    assert_eq!(text.stdout.matches(words).count(), 1, "{text:?}");
    let (output, left) = dump_strictly(pid);
    assert_eq!((output.code, left), (5, Vec::new()), "{output:?}");

    let into = directory();
    let output = run_aioinspect(&["dump", &pid.to_string(), "-D", into.path().to_str().unwrap()]);
    assert!(output.code == 0 && output.stdout.contains(words), "{output:?}");
    let evidence = into.path().join(format!("aioinspect-{pid}.evidence"));
    let shown = json(&run_aioinspect(&["show", "-J", evidence.to_str().unwrap()]));
    let keys: Vec<&Value> =
        shown["spaces"].as_array().unwrap().iter().map(|one| &one["not_looked_at"][key]).collect();
    assert_eq!(keys, [&Value::from(count)], "{shown}");
    let again = run_aioinspect(&["check", "--strict", "--from", evidence.to_str().unwrap()]);
    assert!(again.code == 5 && again.stdout.contains(words), "{again:?}");
}

/// Check that each io_uring is counted once and said by check and dump, and that neither is idle strictly.
#[test]
fn two_io_urings() {
    if is_helper() {
        return has_io_urings();
    }
    if !can_run("two_io_urings") {
        return;
    }
    let one = match io_uring() {
        Ok(one) => one,
        Err(error) => {
            skip(
                "two_io_urings",
                &format!("this kernel makes no io_uring (kernel.io_uring_disabled): {error}"),
            );
            return;
        }
    };
    let (helper, output) = Helper::start("other_io::two_io_urings");
    assert!(made(output), "the helper made no io_uring");
    // Before 5.12 all of them are one inode, and nothing else tells them apart.
    let inode = |of: &OwnedFd| rustix::fs::fstat(of).unwrap().st_ino;
    let count = if inode(&io_uring().unwrap()) == inode(&one) { 1 } else { 2 };
    is_said(helper.pid(), &format!("{count} io_uring, not looked at"), "io_uring", count);
}

/// Check that requests of aio_read that are under way are seen by the threads that serve them.
#[test]
fn posix_aio() {
    if is_helper() {
        return has_posix_aio();
    }
    if !can_run("posix_aio") {
        return;
    }
    let (helper, output) = Helper::start("other_io::posix_aio");
    assert!(made(output), "the helper made no request");
    eventually("three threads serve", || {
        check(helper.pid(), &[]).1["not_looked_at"]["posix_aio_threads"] == 3
    });
    is_said(helper.pid(), "3 threads that may serve POSIX AIO, not looked at", "posix_aio_threads", 3);
}

/// Check that a process without either is idle strictly, and that nothing is said of what it has not.
#[test]
fn neither() {
    if !can_run("neither") {
        return;
    }
    let fixture = Fixture::spawn();
    at_rest(fixture.pid());
    let (code, found) = check(fixture.pid(), &["--strict"]);
    let none = &found["not_looked_at"];
    assert_eq!((code, &none["io_uring"], &none["posix_aio_threads"]), (0, &0.into(), &0.into()), "{found}");
    let text = run_on("check", fixture.pid(), &["--strict"]);
    assert!(!text.stdout.contains("not looked at"), "{text:?}");
}
