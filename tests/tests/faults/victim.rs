//! A process that aioinspect is let loose on, and what must be true of it afterwards.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aioinspect_kernel::proc::files::ProcDir;
use aioinspect_model::units::{Pid, Tid};
use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::programs::{self, Output, bin, run, run_aioinspect};
use rustix::process::{Signal, kill_process};
use tempfile::TempDir;

/// Longer than anything takes on a slow machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A fixture with a thread that counts all the time, and a directory to dump it into.
pub struct Victim {
    pub fixture: Fixture,
    pub dir: TempDir,
    contexts: usize,
}

impl Victim {
    /// With so many idle contexts and blocked threads.
    pub fn new(contexts: usize, threads: usize) -> Victim {
        let mut fixture = Fixture::spawn();
        if contexts > 0 {
            fixture.run(&format!("setup-many {contexts} 1"));
        }
        if threads > 0 {
            fixture.run(&format!("threads {threads} sleep"));
        }
        fixture.run("spin");
        Victim { fixture, dir: tempfile::tempdir().unwrap(), contexts }
    }

    pub fn pid(&self) -> String {
        self.fixture.pid().to_string()
    }

    /// `aioinspect dump` of it, to be started.
    pub fn dump(&self) -> Command {
        dump(self.fixture.pid(), self.dir.path())
    }

    /// Checks that all its threads run as before, that nobody traces them, and that its counter goes on.
    #[track_caller]
    pub fn assert_unharmed(&mut self) {
        assert_free(self.fixture.pid());
        let report = self.fixture.run("spin-report");
        assert!(report["readings"].as_u64().unwrap() > 0, "{report}");
        assert_eq!(self.fixture.truth().contexts.len(), self.contexts);
    }
}

/// `aioinspect dump` of that process into that directory, to be started.
pub fn dump(pid: u32, dir: &Path) -> Command {
    // A starved machine is not the target's fault: no thread that can stop takes so long.
    dump_within("30s", pid, dir)
}

/// The same, where a thread may take that long to stop.
pub fn dump_within(freeze_timeout: &str, pid: u32, dir: &Path) -> Command {
    let mut command = Command::new(bin("aioinspect"));
    command.args(["dump", &pid.to_string(), "--freeze-timeout", freeze_timeout, "-D"]).arg(dir);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Checks that every thread of a process is let go: none stopped, none traced.
#[track_caller]
pub fn assert_free(pid: u32) {
    let dir = ProcDir::open(Pid(pid)).unwrap();
    for tid in dir.threads().unwrap() {
        let free = || {
            let stopped = dir.state_of(tid).is_ok_and(|state| matches!(state.letter, 't' | 'T'));
            !stopped && dir.tracer_of(tid).is_ok_and(|tracer| tracer == Tid(0)) || dir.state_of(tid).is_err()
        };
        assert!(within(free), "thread {tid}: {:?}, tracer {:?}", dir.state_of(tid), dir.tracer_of(tid));
    }
}

/// What a dump left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    Nothing,
    /// A complete image; aioinspect was killed before its evidence got its name.
    ImageAlone,
    Both,
}

/// Checks that a directory holds complete files of that process or none, and empties it.
#[track_caller]
pub fn take_files(dir: &Path, pid: u32) -> Left {
    let (image, evidence) = (format!("mm-{pid}.img"), format!("aioinspect-{pid}.evidence"));
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let left = match names.iter().map(|name| name.to_str().unwrap()).collect::<Vec<_>>()[..] {
        [] => return Left::Nothing,
        [one] if one == image => Left::ImageAlone,
        [one, other] if one == evidence && other == image => Left::Both,
        _ => panic!("odd files: {names:?}"),
    };
    let shown = run_aioinspect(&["show", dir.to_str().unwrap()]);
    assert_eq!(shown.code, 0, "{shown:?}");
    if left == Left::Both {
        let judged = run_aioinspect(&["check", "--from", dir.join(evidence).to_str().unwrap()]);
        assert_eq!(judged.code, 0, "{judged:?}");
    }
    for name in names {
        fs::remove_file(dir.join(name)).unwrap();
    }
    left
}

/// Checks that the program refused with this code and words, without a result.
#[track_caller]
pub fn refused(output: &Output, code: i32, words: &[&str]) {
    assert_eq!((output.code, &*output.stdout), (code, ""), "{output:?}");
    for word in words {
        assert!(output.stderr.contains(word), "no {word:?} in {output:?}");
    }
    sound(output);
}

/// Checks that it ended by itself, with at most one message of ours.
#[track_caller]
pub fn sound(output: &Output) {
    assert!((0..=7).contains(&output.code), "{output:?}");
    assert!(!output.stderr.contains("panicked"), "{output:?}");
    assert!(output.stderr.matches("aioinspect: ").count() <= 1, "{output:?}");
}

/// Runs it to its end.
pub fn finish(command: &mut Command) -> Output {
    run(command)
}

/// Waits for its end: exit code, or minus the signal.
pub fn end_of(mut child: Child) -> i32 {
    let end = within(|| child.try_wait().unwrap().is_some());
    if !end {
        let _ = child.kill();
    }
    let status = child.wait().unwrap();
    assert!(end, "aioinspect did not end");
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    status.code().or(signal.map(|signal| -signal)).unwrap()
}

/// Sends a signal to a child of ours, which is not waited for yet.
pub fn signal(child: &Child, signal: Signal) {
    kill_process(rustix::process::Pid::from_child(child), signal).unwrap();
}

/// Whether it comes true in time.
pub fn within(mut condition: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !condition() {
        if begun.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    true
}

/// Random delays, the same again for the same seed.
pub struct Delays(u64);

impl Delays {
    /// Prints the seed.
    pub fn new(test: &str) -> Delays {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let seed = u64::from(now.subsec_nanos()) | 1;
        println!("{test}: seed {seed}");
        Delays(seed)
    }

    /// A time below that.
    pub fn below(&mut self, most: Duration) -> Duration {
        // xorshift64: only has to hit everywhere.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Duration::from_nanos(self.0 % u64::try_from(most.as_nanos()).unwrap().max(1))
    }
}

/// How long that takes here and now: the longest of three times.
pub fn typical(mut run: impl FnMut()) -> Duration {
    let mut time = || {
        let begun = Instant::now();
        run();
        begun.elapsed()
    };
    (0..3).map(|_| time()).max().unwrap()
}

/// Whether the test can run: it needs root. Says so if not.
pub fn can(test: &str) -> bool {
    let root = programs::is_root();
    if !root {
        programs::skip(test, "needs root");
    }
    root
}
