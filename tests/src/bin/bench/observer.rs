//! Who watches the calls while they are measured: we, by each hook; bpftrace, doing the same; bpftrace, doing nothing; nobody.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use aioinspect_tests::programs::bin;
use anyhow::{Context, Result, bail};

/// One who watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Nobody watches: what the others are compared with.
    Nobody,
    /// aioinspect, by the hook of this name.
    Us(&'static str),
    /// bpftrace on the same four tracepoints: it keeps a map of contexts and prints each call.
    Bpftrace,
    /// bpftrace on them, with programs that do nothing.
    Empty,
}

/// What we do, in bpftrace's words: a map from the context to its size, and a line for each call with who and what.
const SCRIPT: &str = r#"
BEGIN { printf("ready\n"); }
tracepoint:syscalls:sys_enter_io_setup { @n[tid] = args->nr_events; @p[tid] = (uint64)args->ctxp; }
tracepoint:syscalls:sys_exit_io_setup /@p[tid]/ {
  if (args->ret == 0) {
    $context = *(uint64 *)@p[tid];
    @contexts[pid, $context] = @n[tid];
    printf("%llu setup %d %d %s %llx %d\n", nsecs, pid, tid, comm, $context, @n[tid]);
  } else {
    printf("%llu setup-failed %d %d %s %d %d\n", nsecs, pid, tid, comm, args->ret, @n[tid]);
  }
  delete(@n[tid]); delete(@p[tid]);
}
tracepoint:syscalls:sys_enter_io_destroy { @c[tid] = args->ctx; @t[tid] = nsecs; }
tracepoint:syscalls:sys_exit_io_destroy /@c[tid]/ {
  if (args->ret == 0) {
    printf("%llu destroy %d %d %s %llx %llu\n", nsecs, pid, tid, comm, @c[tid], nsecs - @t[tid]);
    delete(@contexts[pid, @c[tid]]);
  }
  delete(@c[tid]); delete(@t[tid]);
}
"#;

const NOTHING: &str = r#"
BEGIN { printf("ready\n"); }
tracepoint:syscalls:sys_enter_io_setup { }
tracepoint:syscalls:sys_exit_io_setup { }
tracepoint:syscalls:sys_enter_io_destroy { }
tracepoint:syscalls:sys_exit_io_destroy { }
"#;

impl Who {
    /// A name for the table.
    pub(crate) fn name(&self) -> String {
        match self {
            Who::Nobody => "nobody watches".to_owned(),
            Who::Us(hook) => format!("aioinspect watch, {hook}"),
            Who::Bpftrace => "bpftrace, the same".to_owned(),
            Who::Empty => "bpftrace, empty programs".to_owned(),
        }
    }

    /// Starts it, and waits until it is attached.
    pub(crate) fn start(&self) -> Result<Observer> {
        let mut command = match self {
            Who::Nobody => return Ok(Observer { child: None, drain: None }),
            Who::Us(hook) => {
                let mut command = Command::new(bin("aioinspect"));
                command.args(["watch", "--ndjson", "--hook", hook]);
                command
            }
            Who::Bpftrace => bpftrace(SCRIPT),
            Who::Empty => bpftrace(NOTHING),
        };
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut out = child.stdout.take().context("no output")?;
        let mut err = child.stderr.take().context("no messages")?;
        let ready = match self {
            Who::Us(_) => await_line(&mut BufReader::new(&mut err), "watching"),
            Who::Nobody | Who::Bpftrace | Who::Empty => await_line(&mut BufReader::new(&mut out), "ready"),
        };
        if let Err(error) = ready {
            let mut said = String::new();
            drop(child.kill());
            drop(err.read_to_string(&mut said));
            drop(child.wait());
            bail!("{}: {error} {}", self.name(), said.trim());
        }
        // Read, as whoever asked for it would.
        let drain = std::thread::spawn(move || {
            drop(std::io::copy(&mut out, &mut std::io::sink()));
            drop(std::io::copy(&mut err, &mut std::io::sink()));
        });
        Ok(Observer { child: Some(child), drain: Some(drain) })
    }
}

/// tracefs is mounted for it alone.
fn bpftrace(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c"]);
    command
        .arg("mount -t tracefs tracefs /sys/kernel/tracing && exec bpftrace -e \"$1\"")
        .arg("sh")
        .arg(script);
    command
}

fn await_line(from: &mut impl BufRead, word: &str) -> Result<()> {
    let mut line = String::new();
    loop {
        line.clear();
        if from.read_line(&mut line)? == 0 {
            bail!("ended before it was attached");
        }
        if line.contains(word) {
            return Ok(());
        }
    }
}

/// One who watches, until dropped.
pub(crate) struct Observer {
    child: Option<Child>,
    drain: Option<JoinHandle<()>>,
}

impl Observer {
    /// CPU time so far, and peak resident memory in KiB.
    pub(crate) fn cost(&self) -> Result<(Duration, u32)> {
        let pid = self.child.as_ref().context("nobody")?.id();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let after = stat.rsplit_once(") ").context("no comm")?.1;
        let field =
            |nth: usize| after.split(' ').nth(nth).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        let peak = peak.trim().trim_end_matches(" kB").parse()?;
        Ok((Duration::from_millis((field(11) + field(12)) * 10), peak))
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            if let Some(pid) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
            }
            drop(child.wait());
        }
        if let Some(drain) = self.drain.take() {
            drop(drain.join());
        }
    }
}
