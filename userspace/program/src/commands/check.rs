//! `aioinspect check PID`: the verdict of dump, nothing written.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::cli::{Asked, CheckArgs, Freeze, GroupArgs, ProofArgs};
use crate::commands::exit::{Exit, UsageError};
use crate::commands::settle::{Settled, Want, Whom, settle};
use crate::commands::{bpf_log_level, restore, saved, say, say_lacks};
use aioinspect_kernel::look::evidence_source::{Recorded, Source};
use aioinspect_kernel::look::live::Live;
use aioinspect_kernel::proc::group::Group;
use aioinspect_model::evidence::Evidence;
use aioinspect_model::units::Pid;
use aioinspect_model::verdict::{DumpVerdict, Policy};
use aioinspect_render::escape::escape_path;
use aioinspect_render::group_verdict::{self, GroupName, GroupReport};
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
    let (mut source, whom) = source(&args.proof, asked, &args.group, verbose)?;
    let replay = args.proof.from.is_some();
    let want = Want {
        whom,
        freeze: if replay { Freeze::None } else { args.freeze },
        freeze_idle: false,
        freeze_timeout: args.proof.freeze_timeout,
        drain: args.proof.drain,
        is_held: false,
        wait: if replay { None } else { args.proof.wait },
        image: false,
        policy: Policy { allow_unreaped: args.proof.allow_unreaped, unverified: false, image: false },
        strict: args.proof.strict,
    };
    let settled = settle(source.as_mut(), &want)?;
    say(err, &source.notes())?;
    say_lacks(err, &settled.evidence.lacks)?;
    if want.drain.is_some() && want.freeze == Freeze::None && !settled.is_held() {
        let note = "nobody holds it stopped, so nothing was drained: hold it with --freeze ptrace";
        say(err, &[note.to_owned()])?;
    }
    let exit = match args.restore_on {
        None => {
            report(&settled, &want.whom, &[], args.proof.json, out)?;
            settled.exit()
        }
        Some(host) => restore::beside(&settled, &want.whom, host, args.proof.json, out)?,
    };
    if let Some(path) = &args.evidence {
        let path = saved::write(path, &settled.evidence)?;
        writeln!(err, "aioinspect: wrote {}", escape_path(&path))?;
    }
    Ok(exit)
}

/// The source that the arguments name, and whom they ask about.
pub(super) fn source(
    args: &ProofArgs,
    pid: Option<u32>,
    group: &GroupArgs,
    verbose: u8,
) -> anyhow::Result<(Box<dyn Source>, Whom)> {
    let group = match group {
        GroupArgs { tree: Some(root), .. } => Some(Group::Tree(Pid(*root))),
        GroupArgs { tree: None, cgroup } => cgroup.clone().map(Group::Cgroup),
    };
    let Some(path) = &args.from else {
        let whom = match (group, pid) {
            (Some(group), _) => Whom::Group(group),
            (None, Some(pid)) => Whom::Process(Pid(pid)),
            (None, None) => return Err(UsageError("no process given: name its PID".to_owned()).into()),
        };
        return Ok((Box::new(Live::new(true, bpf_log_level(verbose))), whom));
    };
    let evidence = saved::read(path)?;
    if let Some(group) = group {
        if let Group::Tree(root) = group
            && evidence.root != Some(root)
        {
            return Err(UsageError(format!("{} is not about the tree of pid {root}", path.display())).into());
        }
        return Ok((Box::new(Recorded(evidence)), Whom::Group(group)));
    }
    let pid = pid.map(Pid).or_else(|| only_process(&evidence));
    let pid = pid.ok_or_else(|| UsageError(not_one(path, &evidence)))?;
    Ok((Box::new(Recorded(evidence)), Whom::Process(pid)))
}

/// The process an evidence is about.
fn only_process(evidence: &Evidence) -> Option<Pid> {
    evidence.target.or_else(|| match evidence.spaces.as_slice() {
        [space] => space.processes.first().map(|process| process.pid),
        _ => None,
    })
}

/// Why a PID is needed, and which there are.
fn not_one(path: &Path, evidence: &Evidence) -> String {
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
    whom: &Whom,
    wrote: &[PathBuf],
    json: bool,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let Settled { evidence, picture, judged, .. } = settled;
    let verdicts: Vec<(Pid, &DumpVerdict)> = judged.iter().map(|one| (one.pid, &one.verdict)).collect();
    let group = match whom {
        Whom::Process(_) => {
            let Some((pid, verdict)) = verdicts.first().copied() else { return Ok(()) };
            let report = Report { evidence, picture, pid, verdict, wrote };
            return if json { verdict::write_json(out, &report) } else { verdict::write(out, &report) };
        }
        Whom::Group(Group::Tree(root)) => GroupName::Tree(*root),
        Whom::Group(Group::Cgroup(path)) => GroupName::Cgroup(path.as_os_str().as_encoded_bytes()),
    };
    let report = GroupReport { group, evidence, picture, verdicts: &verdicts, wrote };
    if json { group_verdict::write_json(out, &report) } else { group_verdict::write(out, &report) }
}
