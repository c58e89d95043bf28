//! Whether a restored tree has the contexts that its evidence has: what CRIU was to make again.

use crate::evidence::{Evidence, Process};
use crate::picture::{ContextView, Picture};
use crate::units::Pid;

/// The contexts of one process, and what is not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Its PID now.
    pub pid: Pid,
    /// Contexts that were recorded.
    pub contexts: usize,
    /// What differs, a sentence each; empty: nothing.
    pub differences: Vec<String>,
}

/// Compares each recorded process with the one that has its PID in the innermost namespace now. A process that is recorded without
/// contexts must have none.
pub fn compare(recorded: (&Evidence, &Picture), now: (&Evidence, &Picture)) -> Vec<Restored> {
    let mut all = Vec::new();
    for space in &recorded.0.spaces {
        let Some(before) = space.processes.first() else { continue };
        let after = processes(now.0).find(|process| inner(process) == inner(before));
        let was = contexts(recorded.1, before.pid);
        let Some(after) = after else {
            if !was.is_empty() {
                let missing = format!("there is no process with the PID {}", inner(before));
                all.push(Restored { pid: inner(before), contexts: was.len(), differences: vec![missing] });
            }
            continue;
        };
        let is = contexts(now.1, first_of_space(now.1, after.pid));
        let differences = differences(&was, &is);
        all.push(Restored { pid: after.pid, contexts: was.len(), differences });
    }
    all
}

fn differences(was: &[&ContextView], is: &[&ContextView]) -> Vec<String> {
    let mut found = Vec::new();
    for before in was {
        let context = before.context;
        let Some(after) = is.iter().find(|one| one.context == context) else {
            found.push(format!("context {context} was not restored"));
            continue;
        };
        let differs = |what: &str, was: Option<u64>, is: Option<u64>| {
            (was.is_some() && was != is)
                .then(|| format!("context {context}: {what} is {}, and was {}", number(is), number(was)))
        };
        found.extend(differs("max_reqs", before.max_reqs.map(u64::from), after.max_reqs.map(u64::from)));
        found.extend(differs("the length of its ring", before.ring_len, after.ring_len));
        found.extend(differs(
            "the number of completions not reaped",
            before.unreaped.map(u64::from),
            after.unreaped.map(u64::from),
        ));
    }
    let extra = is.iter().filter(|after| was.iter().all(|before| before.context != after.context));
    found.extend(extra.map(|after| format!("context {} was none before (a ghost)", after.context)));
    found
}

fn number(value: Option<u64>) -> String {
    value.map_or_else(|| "not known".to_owned(), |value| value.to_string())
}

fn processes(evidence: &Evidence) -> impl Iterator<Item = &Process> {
    evidence.spaces.iter().flat_map(|space| &space.processes)
}

/// The PID that the process itself sees, and that images are named by.
fn inner(process: &Process) -> Pid {
    process.ns_pids.last().map_or(process.pid, |pid| Pid(*pid))
}

fn first_of_space(picture: &Picture, pid: Pid) -> Pid {
    let space = picture.spaces.iter().find(|space| space.pids.contains(&pid));
    space.and_then(|space| space.pids.first().copied()).unwrap_or(pid)
}

fn contexts(picture: &Picture, pid: Pid) -> Vec<&ContextView> {
    picture.contexts.iter().filter(|context| context.pid == pid).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::reconcile;
    use crate::specimen::{idle, spoil};

    fn compared(recorded: &Evidence, now: &Evidence) -> Vec<String> {
        let found = compare((recorded, &reconcile(recorded)), (now, &reconcile(now)));
        found.into_iter().flat_map(|one| one.differences).collect()
    }

    /// Check that the same contexts are no difference, also where PIDs differ outside the innermost namespace.
    #[test]
    fn the_same() {
        let mut recorded = idle();
        recorded.spaces[0].processes[0].ns_pids = vec![100, 1];
        let mut now = recorded.clone();
        now.spaces[0].processes[0].pid = Pid(900);
        now.spaces[0].processes[0].ns_pids = vec![900, 1];
        assert_eq!(compared(&recorded, &now), Vec::<String>::new());
    }

    /// Check that what is missing, what is too much, and what is otherwise is named.
    #[test]
    fn otherwise() {
        let recorded = idle();
        let mut more = idle();
        spoil(&mut more, |context| context.max_reqs = Some(190));
        assert_eq!(compared(&recorded, &more), ["context 0x7f0000000000: max_reqs is 190, and was 128"]);
        let mut none = idle();
        none.spaces[0].looks[0].before.as_mut().unwrap().contexts.clear();
        none.spaces[0].looks[0].mappings.clear();
        none.spaces[0].looks[0].headers.clear();
        assert_eq!(compared(&recorded, &none), ["context 0x7f0000000000 was not restored"]);
        assert_eq!(compared(&none, &recorded), ["context 0x7f0000000000 was none before (a ghost)"]);
        let mut gone = idle();
        gone.spaces.clear();
        assert_eq!(compared(&recorded, &gone), ["there is no process with the PID 100"]);
        assert!(compared(&gone, &recorded).is_empty());
    }
}
