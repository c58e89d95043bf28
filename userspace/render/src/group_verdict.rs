//! What `check` and `dump` say of a group of processes: one verdict on all, then what there is to say of each.

use std::io::{self, Write};
use std::path::PathBuf;

use aioinspect_model::evidence::{Evidence, Manner};
use aioinspect_model::picture::{Picture, Proof, SpaceView};
use aioinspect_model::units::Pid;
use aioinspect_model::verdict::{DumpVerdict, space_of};

use crate::count::count;
use crate::escape::escaped;
use crate::json::SCHEMA_VERSION;
use crate::verdict::{self, Report};

/// Everything there is to say.
#[derive(Clone, Copy, Debug)]
pub struct GroupReport<'a> {
    /// What was asked about.
    pub group: GroupName<'a>,
    /// What was read: for names.
    pub evidence: &'a Evidence,
    /// What the judge made of it.
    pub picture: &'a Picture,
    /// The verdict on each address space, by its first process.
    pub verdicts: &'a [(Pid, &'a DumpVerdict)],
    /// The files that were written.
    pub wrote: &'a [PathBuf],
}

/// What a group is called.
#[derive(Clone, Copy, Debug)]
pub enum GroupName<'a> {
    /// A process and its descendants.
    Tree(Pid),
    /// What is in a control group; any bytes.
    Cgroup(&'a [u8]),
}

impl GroupName<'_> {
    fn text(self) -> String {
        match self {
            GroupName::Tree(root) => format!("tree of pid {root}"),
            GroupName::Cgroup(path) => format!("cgroup {}", escaped(path)),
        }
    }
}

/// The word for all verdicts together: that of the worst. `no-such-process` where there is no process with memory.
pub fn word(verdicts: &[(Pid, &DumpVerdict)]) -> &'static str {
    let words: Vec<&str> = verdicts.iter().map(|(_, verdict)| verdict::word(verdict)).collect();
    let worst = ["not-idle", "busy", "unproven", "idle"].into_iter().find(|word| words.contains(word));
    worst.unwrap_or("no-such-process")
}

/// Writes the verdict on all in one line, and then that on each process that is not idle or has contexts.
pub fn write(out: &mut dyn Write, report: &GroupReport<'_>) -> io::Result<()> {
    writeln!(out, "{} {}", report.group.text(), headline(report))?;
    for (pid, verdict) in report.verdicts {
        let space = space_of(report.picture, *pid);
        let is_plain =
            space.is_some_and(|space| space.contexts.is_empty()) && verdict::word(verdict) == "idle";
        if !is_plain {
            verdict::write(out, &of_one(report, *pid, verdict))?;
        }
    }
    for path in report.wrote {
        writeln!(out, "wrote {}", escaped(path.as_os_str().as_encoded_bytes()))?;
    }
    out.flush()
}

/// The same as JSON: what holds of all, and for each address space what `check PID -J` prints.
pub fn write_json(out: &mut dyn Write, report: &GroupReport<'_>) -> io::Result<()> {
    let wrote: Vec<_> =
        report.wrote.iter().map(|path| escaped(path.as_os_str().as_encoded_bytes())).collect();
    let (tree, cgroup) = match report.group {
        GroupName::Tree(root) => (Some(root.0), None),
        GroupName::Cgroup(path) => (None, Some(escaped(path))),
    };
    let head = serde_json::json!({
        "schema_version": SCHEMA_VERSION,
        "tree": tree,
        "cgroup": cgroup,
        "verdict": word(report.verdicts),
        "pause_ns": pause_ns(report),
        "wrote": wrote,
    });
    let mut text = serde_json::to_string(&head)?;
    text.pop();
    write!(out, "{text},\n\"processes\":[")?;
    for (place, (pid, verdict)) in report.verdicts.iter().enumerate() {
        out.write_all(if place == 0 { b"\n" } else { b"," })?;
        verdict::write_json(out, &of_one(report, *pid, verdict))?;
    }
    out.write_all(b"]}\n")?;
    out.flush()
}

fn of_one<'a>(report: &GroupReport<'a>, pid: Pid, verdict: &'a DumpVerdict) -> Report<'a> {
    Report { evidence: report.evidence, picture: report.picture, pid, verdict, wrote: &[] }
}

fn headline(report: &GroupReport<'_>) -> String {
    let spaces: Vec<&SpaceView> =
        report.verdicts.iter().filter_map(|(pid, _)| space_of(report.picture, *pid)).collect();
    let processes: usize = spaces.iter().map(|space| space.pids.len()).sum();
    let contexts: usize = spaces.iter().map(|space| space.contexts.len()).sum();
    let sums = format!("{}, {}", count(processes, "process"), count(contexts, "context"));
    let against =
        report.verdicts.iter().filter(|(_, verdict)| verdict::word(verdict) == word(report.verdicts));
    let against: usize =
        against.filter_map(|(pid, _)| space_of(report.picture, *pid)).map(|space| space.pids.len()).sum();
    match word(report.verdicts) {
        "idle" => format!("is idle: {sums} ({})", how(report, &spaces)),
        "unproven" => format!("is not proven idle: {sums} ({})", how(report, &spaces)),
        "busy" => format!("is busy: {against} of {sums}; look again with --wait 5s, or use --freeze ptrace"),
        "not-idle" => format!("is not idle: {against} of {sums} ({})", how(report, &spaces)),
        _ => "has no process with memory".to_owned(),
    }
}

/// How all were looked at, and so why it may be believed.
fn how(report: &GroupReport<'_>, spaces: &[&SpaceView]) -> String {
    let all = |manner| spaces.iter().all(|space| space.manner == manner);
    let busy = spaces.iter().any(|space| space.proof == Proof::Busy);
    match busy {
        true => "some ran while we looked".to_owned(),
        false if all(Manner::Frozen) => format!("all frozen together for {} us", pause_ns(report) / 1000),
        false if all(Manner::Held) => "all stopped by someone else".to_owned(),
        false if spaces.iter().all(|space| space.proof == Proof::Consistent) => {
            "none stopped by us: all slept throughout, or were held".to_owned()
        }
        false => "not stopped; they may have run meanwhile".to_owned(),
    }
}

/// The longest pause: all are held together.
fn pause_ns(report: &GroupReport<'_>) -> u64 {
    report.picture.spaces.iter().map(|space| space.pause_ns).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aioinspect_model::evidence::Process;
    use aioinspect_model::reconcile::reconcile;
    use aioinspect_model::specimen::{AT, idle, kioctx, last};
    use aioinspect_model::units::MmId;
    use aioinspect_model::verdict::{Policy, judge_dump};

    /// A tree of three: one idle with a context, one with a request in flight, one without contexts.
    fn tree(in_flight: bool) -> Evidence {
        let mut evidence = idle();
        let mut second = evidence.spaces[0].clone();
        second.mm = MmId(11);
        second.processes = vec![Process { pid: Pid(101), comm: b"w\x1b".to_vec(), ..Process::default() }];
        for look in &mut second.looks {
            for ring in &mut look.mappings {
                ring.inode += 1;
            }
        }
        let mut third = second.clone();
        third.mm = MmId(12);
        third.processes = vec![Process { pid: Pid(102), ..Process::default() }];
        for look in &mut third.looks {
            look.headers.clear();
            look.mappings.clear();
            look.before.as_mut().unwrap().contexts.clear();
        }
        evidence.spaces.extend([second, third]);
        if in_flight {
            let mut busy = kioctx(AT, 0);
            busy.reqs_available = busy.reqs_available.map(|count| count - 2);
            busy.percpu_refs = Some(3);
            evidence.spaces[1].looks[0].before.as_mut().unwrap().contexts = vec![busy];
        }
        last(&mut evidence).pause_ns = 2_000;
        evidence
    }

    fn both(evidence: &Evidence, group: GroupName<'_>) -> (String, String) {
        let picture = reconcile(evidence);
        let judged: Vec<(Pid, DumpVerdict)> = [100, 101, 102]
            .map(Pid)
            .map(|pid| (pid, judge_dump(evidence, &picture, pid, &Policy::default())))
            .into();
        let verdicts: Vec<(Pid, &DumpVerdict)> =
            judged.iter().map(|(pid, verdict)| (*pid, verdict)).collect();
        let report = GroupReport { group, evidence, picture: &picture, verdicts: &verdicts, wrote: &[] };
        let (mut text, mut json) = (Vec::new(), Vec::new());
        write(&mut text, &report).unwrap();
        write_json(&mut json, &report).unwrap();
        (String::from_utf8(text).unwrap(), String::from_utf8(json).unwrap())
    }

    /// Check that all are judged as one, and that who has nothing to say is only counted.
    #[test]
    fn idle_together() {
        let (text, json) = both(&tree(false), GroupName::Tree(Pid(100)));
        let expected = r"tree of pid 100 is idle: 3 processes, 2 contexts (all frozen together for 2 us)
pid 100 (svc) is idle: 1 context (frozen for 2 us)
pid 101 (w\x1b) is idle: 1 context (frozen for 0 us)
";
        assert_eq!(text, expected);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&json["tree"], &json["verdict"]), (&100.into(), &"idle".into()));
        assert_eq!(json["processes"].as_array().unwrap().len(), 3);
        assert_eq!(json["processes"][1]["pid"], 101);
    }

    /// Check that one request in flight makes all of it not idle, and that the name of a control group is escaped.
    #[test]
    fn one_is_not_idle() {
        let (text, json) = both(&tree(true), GroupName::Cgroup(b"/a\x1bb"));
        let first = text.lines().next().unwrap();
        assert_eq!(
            first,
            r"cgroup /a\x1bb is not idle: 1 of 3 processes, 2 contexts (all frozen together for 2 us)"
        );
        assert!(text.contains("2 requests in flight"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&json["cgroup"], &json["verdict"]), (&r"/a\x1bb".into(), &"not-idle".into()));
    }

    /// Check that nothing is not idle.
    #[test]
    fn nobody() {
        assert_eq!(word(&[]), "no-such-process");
    }
}
