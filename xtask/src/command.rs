//! Commands as they are run and shown: each that changes something is printed before it runs, each that only asks is not.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A command to be run, and the text by which a user could run it.
#[derive(Debug)]
pub(crate) struct Cmd {
    inner: Command,
    variables: Vec<String>,
    shown: Vec<String>,
}

/// Arguments of nice(1) for what runs beside the suites of this machine: it has a third of what they have where both want a CPU, for they
/// measure time.
pub(crate) const GIVES_WAY: [&str; 2] = ["-n", "5"];

/// How long a streamed command may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Until it says what shows that it has started.
    pub start: Duration,
    /// Until it ends.
    pub whole: Duration,
}

/// What [`Cmd::stream`] tells of a command that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By itself, with this exit code (128 + signal where a signal ended it).
    Code(i32),
    /// By us, after this long.
    Deadline(Duration),
}

impl Cmd {
    /// A command with an empty standard input.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let mut inner = Command::new(&program);
        inner.stdin(Stdio::null());
        Self { inner, variables: Vec::new(), shown: vec![quoted(program.as_ref())] }
    }

    /// Adds one argument.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.shown.push(quoted(arg.as_ref()));
        self.inner.arg(arg);
        self
    }

    /// Adds arguments.
    pub(crate) fn arguments<A: AsRef<OsStr>>(self, args: impl IntoIterator<Item = A>) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    /// Sets a variable, and shows it.
    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.inner.env(key, &value);
        self.variables.push(format!("{key}={}", quoted(value.as_ref())));
        self
    }

    /// Keeps every variable for which `drop` is false.
    pub(crate) fn without_env(mut self, drop: impl Fn(&str) -> bool) -> Self {
        for (key, _) in env::vars_os() {
            if key.to_str().is_some_and(&drop) {
                self.inner.env_remove(key);
            }
        }
        self
    }

    /// Runs in this directory.
    pub(crate) fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.inner.current_dir(dir);
        self
    }

    /// The command as a line of shell.
    pub(crate) fn shown(&self) -> String {
        [self.variables.as_slice(), &self.shown].concat().join(" ")
    }

    /// Asks something quietly: standard output as text, `None` when it could not be run or said no.
    pub(crate) fn ask(mut self) -> Option<String> {
        let output = self.inner.stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Prints the command and runs it, all its output on standard error.
    pub(crate) fn run(mut self) -> Result<()> {
        announce(&self.shown());
        let status =
            self.inner.stdout(Stdio::from(io::stderr())).status().with_context(|| self.cannot_run())?;
        if !status.success() {
            bail!("`{}` failed: {status}", self.shown());
        }
        Ok(())
    }

    /// Like [`Cmd::run`], ended after `limit`.
    pub(crate) fn run_within(mut self, limit: Duration) -> Result<()> {
        announce(&self.shown());
        let child = self.inner.stdout(Stdio::from(io::stderr())).spawn();
        let mut child = child.with_context(|| self.cannot_run())?;
        match wait_until(&mut child, Instant::now(), limit)? {
            Ended::Code(0) => Ok(()),
            Ended::Code(code) => bail!("`{}` failed with exit code {code}", self.shown()),
            Ended::Deadline(limit) => bail!("`{}` did not end within {} s", self.shown(), limit.as_secs()),
        }
    }

    /// Runs a cargo command, silent while cargo has nothing to do: the command is printed with its first line of output.
    /// Returns standard output.
    pub(crate) fn run_cargo(mut self) -> Result<String> {
        if io::stderr().is_terminal() {
            self.inner.env("CARGO_TERM_COLOR", "always");
        }
        let spawned = self.inner.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.with_context(|| self.cannot_run())?;
        let stderr = child.stderr.take().context("no pipe")?;
        let shown = self.shown();
        let reader = thread::spawn(move || {
            let mut announced = false;
            for line in lines(stderr) {
                if !announced && is_idle_chatter(&line) {
                    continue;
                }
                if !announced {
                    announce(&shown);
                    announced = true;
                }
                note(&line);
            }
        });
        let output = child.wait_with_output().with_context(|| self.cannot_run())?;
        drop(reader.join());
        if !output.status.success() {
            bail!("`{}` failed: {}", self.shown(), output.status);
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Prints the command, runs it, and hands each line of both its outputs to `each` as it comes, which answers whether the
    /// line shows that the command has started; ends it and all its children at the limits.
    pub(crate) fn stream(mut self, limits: Limits, each: &mut dyn FnMut(&str) -> bool) -> Result<Ended> {
        announce(&self.shown());
        let start = Instant::now();
        let spawned = self.inner.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.with_context(|| self.cannot_run())?;
        let (send, receive) = mpsc::channel();
        let (out, err) = (child.stdout.take().context("no pipe")?, child.stderr.take().context("no pipe")?);
        let (send_out, send_err) = (send.clone(), send);
        thread::spawn(move || lines(out).for_each(|line| drop(send_out.send(line))));
        thread::spawn(move || lines(err).for_each(|line| drop(send_err.send(line))));
        let mut ended = None;
        let mut limit = limits.whole.min(limits.start);
        loop {
            match receive.recv_timeout(Duration::from_millis(100)) {
                Ok(line) => {
                    if each(&line) {
                        limit = limits.whole;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break,
                // A child of the command may hold its output open: do not wait for that one once the command has ended.
                Err(RecvTimeoutError::Timeout) if ended.is_some() => break,
                Err(RecvTimeoutError::Timeout) => {
                    ended = child.try_wait()?.map(code_of).map(Ended::Code);
                }
            }
            if ended.is_none() && start.elapsed() > limit {
                end_tree(&child);
                child.wait()?;
                ended = Some(Ended::Deadline(limit));
            }
        }
        match ended {
            Some(ended) => Ok(ended),
            None => wait_until(&mut child, start, limit),
        }
    }

    /// Becomes the command: standard streams and exit code are its own.
    pub(crate) fn exec(mut self) -> Result<ExitCode> {
        let error = self.inner.stdin(Stdio::inherit()).exec();
        Err(error).with_context(|| self.cannot_run())
    }

    fn cannot_run(&self) -> String {
        format!("cannot run `{}`", self.shown())
    }
}

/// Prints a line on standard error.
pub(crate) fn note(line: &str) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}

/// Prints a result on standard output.
pub(crate) fn say(line: &str) {
    drop(writeln!(io::stdout().lock(), "{line}"));
}

/// Prints a command that is about to run, dimmed on a terminal.
pub(crate) fn announce(shown: &str) {
    let colour = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    note(&if colour { format!("\x1b[2m$ {shown}\x1b[0m") } else { format!("$ {shown}") });
}

fn lines(from: impl io::Read) -> impl Iterator<Item = String> {
    let mut from = BufReader::new(from);
    std::iter::from_fn(move || {
        let mut line = Vec::new();
        match from.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned()),
        }
    })
}

fn wait_until(child: &mut Child, start: Instant, limit: Duration) -> Result<Ended> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Ended::Code(code_of(status)));
        }
        if start.elapsed() > limit {
            end_tree(child);
            child.wait()?;
            return Ok(Ended::Deadline(limit));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Ends the child and all that descends from it. It is in our own process group, so that Ctrl-C reaches it as well: only the
/// tree tells which processes are its.
fn end_tree(child: &Child) {
    let pids: Vec<String> = tree(child.id(), &parents()).iter().map(u32::to_string).collect();
    drop(Command::new("kill").arg("-KILL").args(pids).stderr(Stdio::null()).status());
}

/// Every process with its parent.
fn parents() -> Vec<(u32, u32)> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let parent = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name is in brackets and may hold anything; after it come the state and the parent.
        let (_, fields) = stat.rsplit_once(')')?;
        Some((pid, fields.split_whitespace().nth(1)?.parse().ok()?))
    };
    pids.filter_map(parent).collect()
}

/// The process, its children, and theirs.
fn tree(root: u32, parents: &[(u32, u32)]) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&of) = found.get(next) {
        let children = parents.iter().filter(|&&(pid, parent)| parent == of && !found.contains(&pid));
        let children: Vec<u32> = children.map(|&(pid, _)| pid).collect();
        found.extend(children);
        next += 1;
    }
    found
}

fn code_of(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1)
}

/// The line cargo prints when all is fresh.
fn is_idle_chatter(line: &str) -> bool {
    let plain =
        line.replace("\x1b[1m", "").replace("\x1b[32m", "").replace("\x1b[92m", "").replace("\x1b[0m", "");
    plain.trim_start().starts_with("Finished ")
}

fn quoted(arg: &OsStr) -> String {
    let text = OsString::from(arg).to_string_lossy().into_owned();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(whole: u64) -> Limits {
        Limits { start: Duration::from_secs(60), whole: Duration::from_millis(whole) }
    }

    /// Check that a command which says much, but never that it has started, is ended at the first limit.
    #[test]
    fn a_command_that_does_not_start_is_ended() {
        let limits = Limits { start: Duration::from_millis(300), whole: Duration::from_secs(600) };
        let cmd = Cmd::new("sh").arg("-c").arg("while :; do echo warning; sleep 0.05; done");
        assert_eq!(cmd.stream(limits, &mut |_| false).unwrap(), Ended::Deadline(limits.start));
    }

    /// Check that what is printed can be pasted into a shell.
    #[test]
    fn shows_what_a_shell_would_take() {
        let cmd = Cmd::new("cc").arg("-D").arg("a b'c").env("X", "1 2");
        assert_eq!(cmd.shown(), r"X='1 2' cc -D 'a b'\''c'");
    }

    /// Check that both outputs are streamed and the exit code is passed on.
    #[test]
    fn streams_both_outputs() {
        let mut seen = Vec::new();
        let cmd = Cmd::new("sh").arg("-c").arg("printf 'one\\r\\n'; echo two >&2; exit 3");
        let ended = cmd
            .stream(limits(60_000), &mut |line| {
                seen.push(line.to_owned());
                true
            })
            .unwrap();
        seen.sort();
        assert_eq!((ended, seen), (Ended::Code(3), vec!["one".to_owned(), "two".to_owned()]));
    }

    /// Check that a command which hangs, and the child it waits for, are ended at the deadline.
    #[test]
    fn a_hanging_command_is_ended() {
        let start = Instant::now();
        let limit = Duration::from_millis(300);
        let ended =
            Cmd::new("sh").arg("-c").arg("sleep 1000 & wait").stream(limits(300), &mut |_| true).unwrap();
        assert_eq!(ended, Ended::Deadline(limit));
        assert!(start.elapsed() < Duration::from_secs(20));
        assert!(Cmd::new("sleep").arg("1000").run_within(limit).is_err());
    }

    /// Check that a tree is the process and its descendants, and nobody else.
    #[test]
    fn a_tree_is_all_descendants() {
        let parents = [(1, 0), (2, 1), (3, 2), (4, 3), (5, 1), (6, 3)];
        assert_eq!(tree(2, &parents), [2, 3, 4, 6]);
        let own = std::process::id();
        assert!(super::parents().iter().any(|&(pid, _)| pid == own));
    }

    /// Check that cargo's line for "nothing to do" is known with and without colour.
    #[test]
    fn idle_chatter_is_known() {
        assert!(is_idle_chatter("    Finished `release` profile [optimized] target(s) in 0.02s"));
        assert!(is_idle_chatter("\x1b[1m\x1b[32m    Finished\x1b[0m `dev` profile target(s) in 0.02s"));
        assert!(!is_idle_chatter("   Compiling aioinspect v0.1.0"));
    }
}
