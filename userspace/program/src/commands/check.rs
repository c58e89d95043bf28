//! `aioinspect check PID`: the verdict of dump, nothing written.

use std::io::Write;
use std::path::Path;

use crate::cli::{Asked, CheckArgs, Freeze, ProofArgs};
use crate::commands::exit::{Exit, UsageError};
use crate::commands::settle::{Settled, Want, settle};
use crate::commands::{bpf_log_level, restore, saved, say, say_lacks};
use aioinspect_kernel::look::evidence_source::{Recorded, Source};
use aioinspect_kernel::look::live::Live;
use aioinspect_model::evidence::Evidence;
use aioinspect_model::units::Pid;
use aioinspect_model::verdict::Policy;
use aioinspect_render::escape::escape;
use aioinspect_render::verdict::{self, Report};

/// The step before which CRIU has stopped nobody and can still be told not to: the exit code decides.
const BEFORE_DUMP: &str = "pre-dump";

/// How many processes of an evidence are named where one must be chosen; of more, the first ones.
const LISTED: usize = 20;

/// Looks, judges, prints.
pub(super) fn run(
    args: &CheckArgs,
    verbose: u8,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<Exit> {
    if args.pid.is_none() && args.criu_action.as_deref().is_some_and(|action| action != BEFORE_DUMP) {
        return Ok(Exit::Fine);
    }
    if let Some(Asked::Saved(path)) = &args.pid {
        return restore::of_saved(path, args, out);
    }
    let asked = args.pid.as_ref().and_then(Asked::pid).or(args.criu_pid);
    let (mut source, pid) = source(&args.proof, asked, true, verbose)?;
    let want = Want {
        pid,
        freeze: if args.proof.from.is_some() { Freeze::None } else { args.freeze },
        freeze_idle: false,
        freeze_timeout: args.proof.freeze_timeout,
        wait: if args.proof.from.is_some() { None } else { args.proof.wait },
        image: false,
        policy: Policy { allow_unreaped: args.proof.allow_unreaped, unverified: false, image: false },
        strict: args.proof.strict,
    };
    let settled = settle(source.as_mut(), &want)?;
    say(err, &source.notes())?;
    say_lacks(err, &settled.evidence.lacks)?;
    let exit = match args.restore_on {
        None => {
            report(&settled, pid, &[], args.proof.json, out)?;
            settled.exit()
        }
        Some(host) => restore::beside(&settled, pid, host, args.proof.json, out)?,
    };
    if let Some(path) = &args.evidence {
        let path = saved::write(path, &settled.evidence)?;
        writeln!(err, "aioinspect: wrote {}", escape(path.as_os_str().as_encoded_bytes()))?;
    }
    Ok(exit)
}

/// The source that the arguments name, and the process they ask about.
pub(super) fn source(
    args: &ProofArgs,
    pid: Option<u32>,
    use_bpf: bool,
    verbose: u8,
) -> anyhow::Result<(Box<dyn Source>, Pid)> {
    let Some(path) = &args.from else {
        let pid = pid.ok_or_else(|| UsageError("no process given: name its PID".to_owned()))?;
        return Ok((Box::new(Live::new(use_bpf, bpf_log_level(verbose))), Pid(pid)));
    };
    let evidence = saved::read(path)?;
    let pid =
        pid.map(Pid).or_else(|| only_process(&evidence)).ok_or_else(|| UsageError(whom(path, &evidence)))?;
    Ok((Box::new(Recorded(evidence)), pid))
}

/// The process an evidence is about.
fn only_process(evidence: &Evidence) -> Option<Pid> {
    evidence.target.or_else(|| match evidence.spaces.as_slice() {
        [space] => space.processes.first().map(|process| process.pid),
        _ => None,
    })
}

/// Why a PID is needed, and which there are.
fn whom(path: &Path, evidence: &Evidence) -> String {
    let pids = evidence.spaces.iter().filter_map(|space| space.processes.first());
    let pids: Vec<String> = pids.map(|process| process.pid.to_string()).collect();
    match (pids.as_slice(), pids.get(..LISTED)) {
        ([], _) => format!("{} contains no process", path.display()),
        (_, None) => {
            format!("{} contains several processes: name one PID ({})", path.display(), pids.join(", "))
        }
        (_, Some(first)) => {
            format!(
                "{} contains {} processes: name one PID ({}, ..)",
                path.display(),
                pids.len(),
                first.join(", ")
            )
        }
    }
}

/// Prints the verdict.
pub(super) fn report(
    settled: &Settled,
    pid: Pid,
    wrote: &[std::path::PathBuf],
    json: bool,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let report = Report {
        evidence: &settled.evidence,
        picture: &settled.picture,
        pid,
        verdict: &settled.verdict,
        wrote,
    };
    if json { verdict::write_json(out, &report) } else { verdict::write(out, &report) }
}
