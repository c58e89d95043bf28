//! The driver of `aioinspect watch`: started by a hook, listened to, ended, asked what it said.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use aioinspect_kernel::census::probe::Probe;
use aioinspect_kernel::host::system;
use aioinspect_kernel::trace::tracer::{Sizes, Tracer};
use serde_json::Value;

use crate::pages;
use crate::programs::{bin, skip};

/// For what must happen on a slow machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A watch under way. Dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    child: Child,
    lines: Receiver<String>,
    messages: Option<JoinHandle<String>>,
    /// The events so far.
    pub events: Vec<Value>,
}

/// A watch that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// All it said on standard output.
    pub events: Vec<Value>,
    /// All it said on standard error.
    pub stderr: String,
    /// Its exit code; `None` after a signal.
    pub code: Option<i32>,
}

impl Watch {
    /// Starts `watch --ndjson -v` with these arguments, and waits until it watches; what it said if it ended instead.
    ///
    /// # Panics
    /// If it cannot be started, or does neither within a minute.
    pub fn start(args: &[&str]) -> Result<Watch, Ended> {
        let mut command = Command::new(bin("aioinspect"));
        command.args(["watch", "--ndjson", "-v"]).args(args);
        Watch::of(command)
    }

    /// The same for a prepared command.
    ///
    /// # Panics
    /// As `start`.
    pub fn of(mut command: Command) -> Result<Watch, Ended> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else { panic!("no pipes") };
        let (say, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                // Whoever listened may have given up.
                let _ = say.send(line);
            }
        });
        let (ready, is_ready) = channel();
        let messages = thread::spawn(move || {
            let (mut said, mut err) = (String::new(), BufReader::new(err));
            let mut line = String::new();
            while err.read_line(&mut line).is_ok_and(|read| read > 0) {
                if line.starts_with("aioinspect: watching") {
                    let _ = ready.send(());
                }
                said.push_str(&line);
                line.clear();
            }
            said
        });
        let mut watch = Watch { child, lines, messages: Some(messages), events: Vec::new() };
        match is_ready.recv_timeout(PATIENCE) {
            Ok(()) => Ok(watch),
            Err(RecvTimeoutError::Disconnected) => Err(watch.collect()),
            Err(RecvTimeoutError::Timeout) => panic!("the watch does not begin"),
        }
    }

    /// Its PID.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for an event, which may have been told already, and returns the first such.
    ///
    /// # Panics
    /// If it does not come within a minute.
    pub fn expect(&mut self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        let mut looked = 0;
        loop {
            if let Some(found) = self.events.iter().skip(looked).find(|event| is(event)) {
                return found.clone();
            }
            looked = self.events.len();
            let left = PATIENCE.saturating_sub(begun.elapsed());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.events.push(parsed(&line)),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("never: {what}, in {:#?}", self.events)
                }
            }
        }
    }

    /// Asks it to end, as Ctrl-C does, and waits.
    ///
    /// # Panics
    /// If it does not end within a minute.
    pub fn end(self) -> Ended {
        self.end_by(rustix::process::Signal::INT)
    }

    /// Asks it to end by another signal.
    ///
    /// # Panics
    /// As `end`.
    pub fn end_by(mut self, signal: rustix::process::Signal) -> Ended {
        let pid = i32::try_from(self.pid()).ok().and_then(rustix::process::Pid::from_raw);
        // One that has ended by itself is waited for as well.
        let _ = pid.map(|pid| rustix::process::kill_process(pid, signal));
        self.collect()
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// As `end`.
    pub fn await_end(mut self) -> Ended {
        self.collect()
    }

    fn collect(&mut self) -> Ended {
        let begun = Instant::now();
        let code = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break status.code(),
                Ok(None) => {}
                Err(error) => panic!("wait for the watch: {error}"),
            }
            assert!(begun.elapsed() < PATIENCE, "the watch does not end");
            thread::sleep(Duration::from_millis(2));
        };
        while let Ok(line) = self.lines.recv() {
            self.events.push(parsed(&line));
        }
        let stderr = self.messages.take().and_then(|messages| messages.join().ok()).unwrap_or_default();
        Ended { events: std::mem::take(&mut self.events), stderr, code }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // `Child` sends nothing once it has been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// The events of one process, of one kind.
    pub fn of(&self, pid: u32, kind: &str) -> Vec<&Value> {
        self.events.iter().filter(|event| is_of(event, pid) && event["event"] == kind).collect()
    }

    /// The sum of the counts of all events of this kind.
    pub fn counted(&self, kind: &str) -> u64 {
        self.events
            .iter()
            .filter(|event| event["event"] == kind)
            .filter_map(|event| event["count"].as_u64())
            .sum()
    }

    /// The three numbers of the comparison that `-v` ends with: entries, contexts, differences.
    ///
    /// # Panics
    /// If there is none.
    pub fn comparison(&self) -> [u64; 3] {
        let line = self.stderr.lines().find(|line| line.starts_with("aioinspect: map: "));
        let line = line.unwrap_or_else(|| panic!("no comparison in {}", self.stderr));
        let mut numbers = line.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok());
        [(); 3].map(|()| numbers.next().unwrap_or_else(|| panic!("no three numbers in {line}")))
    }
}

/// Whether an event is of that process.
pub fn is_of(event: &Value, pid: u32) -> bool {
    event["pid"] == pid
}

/// Whether calls may be missed by that hook on this kernel; each that is is counted.
///
/// A kprobe has room for a few threads inside a call. And where programs are preempted, what comes on the same CPU meanwhile is passed over
/// (kernel/bpf/trampoline.c:__bpf_prog_enter_recur, kernel/trace/bpf_trace.c:__bpf_trace_run).
pub fn may_miss(hook: &str) -> bool {
    hook == "kprobe" || is_preempted()
}

/// Whether even a few threads inside a call may be too many for that hook: a kernel that does not preempt itself gives a kretprobe room for one
/// thread a CPU (kernel/kprobes.c:register_kretprobe), others for ten at least. How it was built stands in its version.
pub fn may_miss_few(hook: &str) -> bool {
    let preempts = rustix::system::uname().version().to_string_lossy().contains("PREEMPT");
    is_preempted() || (hook == "kprobe" && !preempts)
}

/// Whether this kernel takes the program that reads ring headers for a watch without privileges (since 5.18).
///
/// # Panics
/// If it takes none of the others.
pub fn reads_heads() -> bool {
    let buffer = u32::try_from(pages::size()).unwrap_or_else(|error| panic!("{error}"));
    let sizes = Sizes { buffer, ..Sizes::of(1) };
    let tracer = Tracer::start(sizes, None, None, 0, &mut Vec::new()).map(|(tracer, _)| tracer);
    tracer.unwrap_or_else(|error| panic!("{error}")).reads_heads()
}

/// Whether it has an iterator over mappings (since 5.12).
///
/// # Panics
/// If it has none over tasks.
pub fn walks_mappings() -> bool {
    let probe = Probe::load(cpus(), 0);
    let rings = probe.and_then(|mut probe| probe.rings());
    rings.unwrap_or_else(|error| panic!("{error}")).is_some()
}

fn cpus() -> u32 {
    system::possible_cpus().unwrap_or_else(|error| panic!("{error}"))
}

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
}

/// The hooks that this kernel takes, found by trying; those that it does not are named on standard error.
///
/// # Panics
/// If it takes none, or refuses one for another reason than that it lacks it.
pub fn hooks() -> Vec<&'static str> {
    let takes = |hook: &&str| match Watch::start(&["--hook", hook]) {
        Ok(watch) => {
            watch.end();
            true
        }
        Err(ended) => {
            assert_eq!(ended.code, Some(7), "hook {hook}: {}", ended.stderr);
            false
        }
    };
    let hooks: Vec<&str> =
        ["fentry", "kprobe", "tracepoint", "raw-tracepoint"].into_iter().filter(takes).collect();
    assert!(hooks.contains(&"raw-tracepoint"), "{hooks:?}");
    assert!(hooks.contains(&"tracepoint") || is_locked_down(), "{hooks:?}");
    hooks
}

/// Whether the kernel is locked down to confidentiality: no kprobes, no tracefs of our own.
pub fn is_locked_down() -> bool {
    std::fs::read_to_string("/sys/kernel/security/lockdown")
        .is_ok_and(|text| text.contains("[confidentiality]"))
}

/// The same hooks without those that count as lost what has nothing to do with the calls: programs at every system call, where they are preempted.
/// Which is said, and counted as skipped.
pub fn calm_hooks(test: &str) -> Vec<&'static str> {
    let mut hooks = hooks();
    if is_preempted() {
        skip(
            &format!("{test} by raw-tracepoint"),
            "this kernel preempts programs: each system call may count as lost",
        );
        hooks.retain(|hook| *hook != "raw-tracepoint");
    }
    hooks
}

/// Whether the kernel preempts a program in its midst, where it says so.
fn is_preempted() -> bool {
    let modes = ["/sys/kernel/debug", "/run/debug"]
        .map(|debugfs| std::fs::read_to_string(format!("{debugfs}/sched/preempt")).unwrap_or_default());
    modes.iter().any(|modes| modes.contains("(full)") || modes.contains("(lazy)"))
}
