//! The driver of `aio-fixture`: one process, told line by line what to do, and asked for the truth.
//!
//! In a test:
//! ```no_run
//! use aioinspect_tests::fixture::Fixture;
//! let mut fixture = Fixture::spawn();
//! let id = fixture.setup(128);
//! fixture.run(&format!("poll {id:#x} 5 0"));
//! assert_eq!(fixture.truth().context(0).map(|c| c.in_flight), Some(5));
//! ```

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::Value;
use tempfile::TempDir;

use crate::host::{HostLock, Share};
use crate::programs::bin;
use crate::truth::Truth;

/// Longer than any command takes, in seconds.
const PATIENCE_S: i64 = 60;

/// A running fixture. Dropping it ends it and everything it started.
#[derive(Debug)]
pub struct Fixture {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    _share: Option<Share>,
    _litter: TempDir,
}

/// What a command answers when it fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandError {
    /// What failed, in words.
    pub error: String,
    /// The errno, 0 if the fixture itself refused.
    pub errno: i32,
}

/// Whether a fork gives the child its parent's rings, found by trying. Kernels since 7.1 do not: there are no ghosts by fork, and no shared rings.
///
/// # Panics
/// If the fixture cannot fork.
pub fn forks_copy_rings() -> bool {
    static COPIED: OnceLock<bool> = OnceLock::new();
    *COPIED.get_or_init(|| {
        let mut fixture = Fixture::spawn();
        fixture.setup(1);
        let child = fixture.pid_of("fork-ghost");
        let maps = fs::read_to_string(format!("/proc/{child}/maps"));
        maps.unwrap_or_else(|error| panic!("{error}")).contains("/[aio]")
    })
}

impl Fixture {
    /// Starts a fixture without contexts. While it lives, no test measures the host's sums.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn spawn() -> Fixture {
        Fixture::start(Some(Share::take()), Command::new(bin("aio-fixture")))
    }

    /// The same, called so that its command line has these arguments, by a program before it that starts what it is given (unshare, setpriv):
    /// then the PID is that program's.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn spawn_called(before: &[&str], args: &[&str]) -> Fixture {
        let program = bin("aio-fixture");
        let mut command = match before.split_first() {
            None => Command::new(program),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        };
        command.arg("called").args(args);
        Fixture::start(Some(Share::take()), command)
    }

    /// Starts a fixture in a test that holds the host for itself, to measure its sums.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn spawn_alone(_proof: &HostLock) -> Fixture {
        Fixture::start(None, Command::new(bin("aio-fixture")))
    }

    fn start(share: Option<Share>, mut command: Command) -> Fixture {
        let litter = tempfile::Builder::new().prefix("aioinspect-test-").tempdir();
        let litter = litter.unwrap_or_else(|error| panic!("no temporary directory: {error}"));
        command.env("TMPDIR", litter.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = in_nursery(command).unwrap_or_else(|error| panic!("aio-fixture: {error}"));
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            panic!("aio-fixture: no pipes")
        };
        let output = BufReader::new(output);
        Fixture { child, input: Some(input), output, _share: share, _litter: litter }
    }

    /// Its PID.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Gives one command and waits for its answer.
    ///
    /// # Panics
    /// If the fixture does not answer with JSON.
    pub fn try_run(&mut self, line: &str) -> Result<Value, CommandError> {
        self.send(line);
        self.receive(line)
    }

    /// Gives one command without waiting, for a fixture that is stopped; `receive` gets the answer.
    ///
    /// # Panics
    /// If the fixture's input is closed.
    pub fn send(&mut self, line: &str) {
        let Some(input) = self.input.as_mut() else { panic!("{line:?}: the fixture's input is closed") };
        if let Err(error) = input.write_all(format!("{line}\n").as_bytes()).and_then(|()| input.flush()) {
            panic!("{line:?}: {error}");
        }
    }

    /// Waits for the answer to a line that was sent.
    ///
    /// # Panics
    /// If the fixture does not answer within a minute, or not with JSON.
    pub fn receive(&mut self, line: &str) -> Result<Value, CommandError> {
        self.await_answer(line);
        let mut text = String::new();
        let n = self.output.read_line(&mut text).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        assert!(n > 0, "{line:?}: the fixture has ended: {:?}", self.child.try_wait());
        let mut answer: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{line:?}: {text:?}: {error}"));
        if let Some(ok) = answer.get_mut("ok") {
            return Ok(ok.take());
        }
        let errno = answer.get("errno").and_then(Value::as_i64).and_then(|errno| i32::try_from(errno).ok());
        let error = answer.get("error").and_then(Value::as_str).unwrap_or(&text).to_owned();
        Err(CommandError { error, errno: errno.unwrap_or(0) })
    }

    /// A command that hangs is an error with a name, not a suite that never ends.
    fn await_answer(&self, line: &str) {
        let limit = Timespec { tv_sec: PATIENCE_S, tv_nsec: 0 };
        let begun = Instant::now();
        while self.output.buffer().is_empty() {
            match poll(&mut [PollFd::new(self.output.get_ref(), PollFlags::IN)], Some(&limit)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return,
                Err(error) => panic!("{line:?}: poll: {error}"),
            }
            let waited = begun.elapsed();
            assert!(waited.as_secs() < PATIENCE_S.unsigned_abs(), "{line:?}: no answer in {waited:?}");
        }
    }

    /// Gives one command that must succeed.
    ///
    /// # Panics
    /// If it fails, with the line.
    pub fn run(&mut self, line: &str) -> Value {
        self.try_run(line).unwrap_or_else(|failure| panic!("{line:?}: {failure:?}"))
    }

    /// As `run`.
    ///
    /// # Panics
    /// If it fails, with the line.
    pub fn command(&mut self, line: &str) -> Value {
        self.run(line)
    }

    /// Gives one command and returns a number of its answer.
    ///
    /// # Panics
    /// If it fails, or the answer has no such number.
    pub fn number(&mut self, line: &str, field: &str) -> u64 {
        let answer = self.run(line);
        let number = match answer.get(field) {
            Some(Value::String(text)) => {
                text.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok())
            }
            other => other.and_then(Value::as_u64),
        };
        number.unwrap_or_else(|| panic!("{line:?}: no number {field} in {answer}"))
    }

    /// Gives one command and returns the PID of its answer.
    ///
    /// # Panics
    /// If it fails, or the answer has no `pid`.
    pub fn pid_of(&mut self, line: &str) -> u32 {
        u32::try_from(self.number(line, "pid")).unwrap_or_else(|_| panic!("{line:?}: no PID"))
    }

    /// Makes a context for `n` requests and returns its id.
    ///
    /// # Panics
    /// If io_setup fails.
    pub fn setup(&mut self, n: u32) -> u64 {
        self.number(&format!("setup {n}"), "id")
    }

    /// What the fixture knows of itself.
    ///
    /// # Panics
    /// If the answer is not a `Truth`.
    pub fn truth(&mut self) -> Truth {
        let answer = self.run("truth");
        serde_json::from_value(answer).unwrap_or_else(|error| panic!("truth: {error}"))
    }

    /// Text of one of its files in /proc, empty where it cannot be read.
    pub fn proc(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.pid())).unwrap_or_default()
    }

    /// Closes its input and waits until it has ended by itself; its exit code.
    ///
    /// # Panics
    /// If it does not end within ten seconds.
    pub fn finish(mut self) -> Option<i32> {
        self.input = None;
        self.await_end()
    }

    /// Waits until it has ended, after `exit` or a signal; its exit code, `None` after a signal.
    ///
    /// # Panics
    /// If it does not end within ten seconds.
    pub fn await_end(&mut self) -> Option<i32> {
        let begun = Instant::now();
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return status.code(),
                Ok(None) => {}
                Err(error) => panic!("wait for the fixture: {error}"),
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "the fixture does not end");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.input = None;
        // `Child` sends nothing once it has been waited for, so no other process is ever meant.
        let _ = self.child.kill();
        let begun = Instant::now();
        // One that cannot die waits for requests that nobody completes: a bug, but none to wait for.
        while matches!(self.child.try_wait(), Ok(None)) && begun.elapsed().as_secs() < 10 {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Whether a process exists and is not a zombie.
pub fn is_alive(pid: u32) -> bool {
    let stat = fs::read(Path::new("/proc").join(pid.to_string()).join("stat")).unwrap_or_default();
    let text = String::from_utf8_lossy(&stat);
    text.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

type ToSpawn = (Command, Sender<io::Result<Child>>);

/// Starts a process from a thread that lives as long as this process does.
///
/// The fixture dies with the *thread* that started it (PR_SET_PDEATHSIG), so that thread must not be a test's.
fn in_nursery(command: Command) -> io::Result<Child> {
    static NURSERY: OnceLock<Sender<ToSpawn>> = OnceLock::new();
    let nursery = NURSERY.get_or_init(|| {
        let (outbox, inbox): (Sender<ToSpawn>, Receiver<ToSpawn>) = channel();
        thread::spawn(move || {
            for (mut command, reply) in inbox {
                // Whoever asked may have panicked.
                let _ = reply.send(command.spawn());
            }
        });
        outbox
    });
    let (reply, answer) = channel();
    nursery.send((command, reply)).map_err(io::Error::other)?;
    answer.recv().map_err(io::Error::other)?
}
