//! `aioinspect criu-hook`: what is right for each step of CRIU's.
//!
//! | step | tasks | what is done |
//! |---|---|---|
//! | pre-dump | run, or are frozen by their control group | refuse what can never be dumped; wait; drain if they are frozen |
//! | network-lock | CRIU has stopped them; nothing is written | drain, prove idle |
//! | post-dump | the same stop; images are written | prove idle again, and that no image misses a completion; amend |
//! | pre-restore | are not there | will it restore here? |
//! | post-restore | restored, asleep in CRIU's restorer | are the contexts as they were? |
//!
//! A step that fails makes CRIU give up: a dump lets the tasks run on, a restore ends them. All other steps pass.

mod drained;
mod dumped;
mod restoring;

use std::io::Write;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::cli::{CriuHookArgs, Freeze};
use crate::commands::bpf_log_level;
use crate::commands::exit::{Exit, UsageError};
use crate::commands::settle::{Judged, Settled, Want, Whom, is_in_flight, settle};
use aioinspect_kernel::look::evidence_source::Source;
use aioinspect_kernel::look::live::Live;
use aioinspect_kernel::proc::group::Group;
use aioinspect_kernel::proc::held::{Holder, has_other_network, holder, is_ancestor};
use aioinspect_model::units::Pid;
use aioinspect_model::verdict::{DumpVerdict, Policy, space_of};
use aioinspect_model::{known, not_looked_at};
use aioinspect_render::escape::escape;
use aioinspect_render::verdict::{self, Report};

/// Pause between two looks of `--wait`.
const BETWEEN: Duration = Duration::from_millis(20);

/// The tree that CRIU is at, and how to look at it.
struct Tree<'a> {
    args: &'a CriuHookArgs,
    step: &'a str,
    root: Pid,
    source: Live,
    /// What could not be seen in the last look.
    notes: Vec<String>,
}

/// Does what is right for the step that CRIU names. CRIU's log takes standard output and error alike.
pub(super) fn run(args: &CriuHookArgs, verbose: u8, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let Some(step) = args.action.as_deref() else {
        let how = "CRIU starts this: criu dump .. --action-script /usr/libexec/aioinspect/criu-hook";
        return Err(UsageError(how.to_owned()).into());
    };
    let dir = || args.images_dir.as_deref().context("CRIU names no directory of images (CRTOOLS_IMAGE_DIR)");
    if step == "pre-restore" {
        return restoring::before(dir()?, out);
    }
    if !matches!(step, "pre-dump" | "network-lock" | "post-dump" | "post-restore") {
        return Ok(Exit::Fine);
    }
    let root = Pid(args.root.context("CRIU names no process (CRTOOLS_INIT_PID)")?);
    let mut tree =
        Tree { args, step, root, source: Live::new(true, bpf_log_level(verbose)), notes: Vec::new() };
    match step {
        "pre-dump" => tree.before_dump(args.images_dir.as_deref(), out),
        "network-lock" => tree.locked(out),
        "post-dump" => dumped::verify_and_amend(&mut tree, dir()?, out),
        _ => restoring::after(&mut tree, dir()?, out),
    }
}

impl Tree<'_> {
    /// Looks once, without touching anybody. `drain`: they are held, and their requests are waited for.
    fn look(&mut self, drain: Option<Duration>, image: bool) -> anyhow::Result<Settled> {
        // CRIU keeps completions in the ring.
        self.look_with(drain, image, true)
    }

    /// The same; `allow_unreaped`: whether completions may wait in a ring.
    fn look_with(
        &mut self,
        drain: Option<Duration>,
        image: bool,
        allow_unreaped: bool,
    ) -> anyhow::Result<Settled> {
        let want = Want {
            whom: Whom::Group(Group::Tree(self.root)),
            freeze: Freeze::None,
            freeze_idle: false,
            freeze_timeout: Duration::ZERO,
            drain,
            is_held: drain.is_some(),
            wait: None,
            image,
            policy: Policy { allow_unreaped, unverified: false, image: false },
            strict: self.args.strict,
        };
        let settled = settle(&mut self.source, &want)?;
        self.notes = self.source.notes();
        self.notes.extend(known::notes(&settled.evidence.lacks));
        Ok(settled)
    }

    /// Who holds all of the tree, and whoever else was seen to share memory with it.
    fn holder(&self, seen: Option<&Settled>) -> anyhow::Result<Holder> {
        let mut members = Group::Tree(self.root).members()?;
        let spaces = seen.into_iter().flat_map(|settled| &settled.evidence.spaces);
        members.extend(spaces.flat_map(|space| &space.processes).map(|process| process.pid));
        members.sort_unstable();
        members.dedup();
        Ok(holder(&members)?)
    }

    fn before_dump(&mut self, dir: Option<&Path>, out: &mut dyn Write) -> anyhow::Result<Exit> {
        if self.holder(None)? == Holder::Freezer {
            let exit = self.drained(out)?;
            if let Some(dir) = dir.filter(|_| exit == Exit::Fine) {
                drained::mark(dir)?;
            }
            return Ok(exit);
        }
        let deadline = self.args.wait.and_then(|wait| Instant::now().checked_add(wait));
        let will_be_locked = has_other_network(self.root).context("cannot compare network namespaces")?;
        loop {
            let settled = self.look(None, false)?;
            if settled.judged.iter().any(|one| never(one, &settled, self.args.strict)) {
                self.say(
                    &settled,
                    "CRIU cannot dump these processes in this state, and waiting does not help",
                    out,
                )?;
                return Ok(Exit::CheckFailed);
            }
            if settled.is_idle() {
                if let Some(dir) = dir.filter(|_| !will_be_locked) {
                    drained::mark_idle(&settled, dir)?;
                }
                self.say(&settled, "", out)?;
                return Ok(Exit::Fine);
            }
            if deadline.is_some_and(|deadline| Instant::now() < deadline) {
                sleep(BETWEEN);
                continue;
            }
            if settled.exit() == Exit::Lacks {
                self.say(&settled, "", out)?;
                return Ok(Exit::Lacks);
            }
            if will_be_locked && deadline.is_none() {
                self.say(
                    &settled,
                    "CRIU will stop all processes; then their requests in flight are waited for",
                    out,
                )?;
                return Ok(Exit::Fine);
            }
            if is_in_flight(&settled) {
                let why = if will_be_locked {
                    "is still not idle"
                } else {
                    "a dump would lose the requests in flight, and CRIU does not let us wait for them, because these processes have no \
                     network namespace of their own. Freeze their control group and use criu's --freeze-cgroup, or set AIOINSPECT_WAIT"
                };
                self.say(&settled, why, out)?;
                return Ok(if deadline.is_some() { Exit::TimedOut } else { Exit::CheckFailed });
            }
            // It runs, and nothing was seen in flight: the step after the dump proves it or refuses.
            self.say(
                &settled,
                "runs, and no request in flight was seen; after CRIU has written the images we check again",
                out,
            )?;
            return Ok(Exit::Fine);
        }
    }

    /// CRIU holds all of them, and has written nothing.
    fn locked(&mut self, out: &mut dyn Write) -> anyhow::Result<Exit> {
        self.must_be_held(None)?;
        self.drained(out)
    }

    /// Waits for the requests of processes that are held, and proves that none is left.
    fn drained(&mut self, out: &mut dyn Write) -> anyhow::Result<Exit> {
        let begun = Instant::now();
        let held = self.holder(None)?;
        let settled = self.look(Some(self.args.drain), false)?;
        let waited = begun.elapsed().as_millis();
        // If CRIU was killed meanwhile they run again; and who shares their memory must be held as well.
        if self.holder(Some(&settled))? != held {
            bail!("{}: not all processes were held while their requests were waited for", self.step);
        }
        if settled.is_idle() {
            self.say(&settled, &format!("no request is in flight, after {waited} ms"), out)?;
        } else {
            self.say(
                &settled,
                &format!("is not idle after {waited} ms; what did not complete is named above"),
                out,
            )?;
        }
        Ok(settled.exit())
    }

    /// Every thread must be stopped by the CRIU that started us.
    fn must_be_held(&self, seen: Option<&Settled>) -> anyhow::Result<()> {
        match self.holder(seen)? {
            Holder::Tracer(tracer) if is_ancestor(Pid(tracer.0)) => Ok(()),
            Holder::Freezer => Ok(()),
            Holder::Tracer(tracer) => {
                bail!(
                    "{}: process {tracer} holds the tree of pid {}, and did not start us",
                    self.step,
                    self.root
                )
            }
            Holder::Nobody(thread) => {
                bail!("{}: thread {thread} of the tree of pid {} is not held stopped", self.step, self.root)
            }
        }
    }

    /// A line for each process with contexts, and what stands against it.
    fn say(&self, settled: &Settled, what: &str, out: &mut dyn Write) -> anyhow::Result<()> {
        let Settled { evidence, picture, judged, .. } = settled;
        for note in &self.notes {
            self.line(&escape(note.as_bytes()), out)?;
        }
        for one in judged {
            let space = space_of(picture, one.pid);
            let is_plain = space.is_some_and(|space| space.contexts.is_empty());
            if is_plain && matches!(one.verdict, DumpVerdict::Idle { .. }) && judged.len() > 1 {
                continue;
            }
            let report = Report { evidence, picture, pid: one.pid, verdict: &one.verdict, wrote: &[] };
            let mut text = Vec::new();
            verdict::write(&mut text, &report)?;
            // Of what is idle one line is enough: the rest is in the evidence.
            let is_idle = matches!(one.verdict, DumpVerdict::Idle { .. });
            let lines = if is_idle { 1 } else { usize::MAX };
            for line in String::from_utf8_lossy(&text).lines().take(lines) {
                self.line(line, out)?;
            }
        }
        if !what.is_empty() {
            self.line(&format!("tree of pid {}: {what}", self.root), out)?;
        }
        Ok(())
    }

    fn line(&self, line: &str, out: &mut dyn Write) -> std::io::Result<()> {
        line_of(self.step, line, out)
    }
}

/// One line in CRIU's log, which says whose it is.
fn line_of(step: &str, line: &str, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "aioinspect {step}: {line}")
}

/// Whether waiting cannot help: a ring that CRIU cannot dump, or that it would kill the process for.
fn never(one: &Judged, settled: &Settled, strict: bool) -> bool {
    let (reasons, settles) = match &one.verdict {
        DumpVerdict::Refused { reasons } => (reasons, true),
        DumpVerdict::Busy { seen } => (seen, false),
        DumpVerdict::Idle { .. } | DumpVerdict::NoSuchProcess => return false,
    };
    let by_ring = reasons.iter().filter_map(|reason| reason.finding).any(|finding| {
        finding.is_wrong()
            && !finding.is_dying()
            && finding.remedy().is_some()
            && (settles || !finding.may_pass())
    });
    let other_io = not_looked_at::of(&settled.evidence, one.pid);
    by_ring || (strict && other_io.is_none_or(|found| !not_looked_at::lines(&found).is_empty()))
}
