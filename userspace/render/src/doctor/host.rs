//! The verdict on the host: in lines, what to do last; and in JSON.
//!
//! ```text
//! host nearly full: 64000 of 65536 slots reserved, 97.6 %, 1536 free
//!   large: nginx.service reserves 64000 (64 processes), 97.6 % of the limit
//!   growth: one look does not show it: use `aioinspect doctor --for 10s`, or `aioinspect watch` for what is slow
//!   dying: 3 contexts wait for their requests, 1 of them in exit or exec, the oldest for 2 min 5 s: lvm[7]
//! to do, the most urgent first:
//!   soon  set fs.aio-max-nr to 131072: sysctl -w fs.aio-max-nr=131072
//! ```

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use aioinspect_model::event::Holder;
use aioinspect_model::finding::Finding;
use aioinspect_model::host_verdict::{
    Action, Compared, Count, Dying, Grew, HostState, HostVerdict, LARGE_PERCENT, Urgency, Who, Wrong,
};
use aioinspect_model::owner_growth::Growing;
use aioinspect_model::units::age;

use crate::count::count;
use crate::escape::{escape, escaped};
use crate::growth::{self, GrowthKeys};
use crate::headroom::{percent, unseen};
use crate::holder::{self, HolderKeys};
use crate::json::System;

/// Processes, and owners of a kind, that are named at most. JSON has them all.
const NAMED: usize = 3;

/// What is said of the host.
#[derive(Clone, Copy, Debug)]
pub enum Host<'a> {
    /// The verdict, and what could not be seen for it.
    Judged(&'a HostVerdict<'a>, &'a [String]),
    /// Why there is none.
    Unread(&'a str),
}

/// The lines.
pub(super) fn text(host: &Host<'_>) -> String {
    let (of, notes) = match host {
        Host::Judged(of, notes) => (of, notes),
        Host::Unread(why) => return format!("host not known: {}\n", escaped(why.as_bytes())),
    };
    let system = of.room.system;
    let mut text = format!(
        "host {}: {} of {} slots reserved{}, {} free\n",
        state(of.state),
        system.aio_nr,
        system.aio_max_nr,
        percent(system.aio_nr, system.aio_max_nr),
        of.room.free
    );
    let mut line = |what: &str, says: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {what}: {says}");
    };
    for owner in of.large().iter().take(NAMED) {
        let slots = of.room.reserved(owner).unwrap_or(0);
        let part = percent(slots, system.aio_max_nr);
        line("large", &format!("{}{part} of the limit", holder::reserves(owner, slots)));
    }
    for says in grown(of.compared.as_ref()) {
        line("growth", &says);
    }
    if let Some(of) = of.dying.as_ref().filter(|of| !of.processes.is_empty()) {
        line("dying", &dying(of));
    }
    for wrong in of.wrong().unwrap_or_default() {
        let slots = wrong.slots.and_then(|slots| usize::try_from(slots).ok());
        let slots = slots.map(|slots| format!(", {}", count(slots, "slot"))).unwrap_or_default();
        let contexts = count(usize::try_from(wrong.contexts).unwrap_or(usize::MAX), "context");
        line(wrong.finding.code(), &format!("{contexts}{slots}: {}", names(&wrong.processes)));
    }
    if of.dying.is_none() {
        line(
            "not seen",
            "contexts that wait for their requests, and most of what can be wrong with the others",
        );
    }
    let mut rest = String::new();
    unseen(&of.room, &mut rest);
    for says in rest.lines().map(without_hint).chain(notes.iter().map(|note| without_hint(note))) {
        line("not seen", &escaped(says.as_bytes()));
    }
    if of.actions.is_empty() {
        text.push_str("nothing to do\n");
    } else {
        text.push_str("to do, the most urgent first:\n");
    }
    for (urgency, action) in &of.actions {
        let _ = writeln!(text, "  {:<4}  {}: {}", urgency.word(), what(action, of), command(action, of));
    }
    text
}

/// Who reads this has asked doctor already.
fn without_hint(text: &str) -> String {
    text.replace(" (see `aioinspect doctor`)", "")
}

fn state(state: HostState) -> &'static str {
    match state {
        HostState::Full => "full",
        HostState::NearlyFull => "nearly full",
        HostState::Attention => "has room, but something is wrong",
        HostState::Fine => "fine",
        HostState::Unknown => "has room, and more is not known",
    }
}

fn grown(compared: Option<&Compared>) -> Vec<String> {
    let Some(compared) = compared else {
        let says = "one look does not show it: use `aioinspect doctor --for 10s`, or `aioinspect watch` for what is slow";
        return vec![says.to_owned()];
    };
    let time = age(compared.for_ns);
    if compared.grew.is_empty() && compared.tells_steadiness() {
        return vec![format!("no owner has more slots than {time} ago")];
    }
    let says = |grew: &Grew| {
        let name = holder::name(&grew.growing.owner);
        if grew.steadily {
            return format!("{name} all the time: {}", growth::in_words(&grew.growing));
        }
        let more = match grew.growing.more_slots() {
            0 => count(usize::try_from(grew.growing.more_contexts()).unwrap_or(usize::MAX), "context"),
            slots => format!("{slots} slots"),
        };
        let not = if compared.tells_steadiness() { ", but did not grow all the time" } else { "" };
        format!("{name} has {more} more than {time} ago{not}")
    };
    let few = || {
        let looks = count(usize::try_from(compared.looks).unwrap_or(usize::MAX), "look");
        let are = if compared.looks == 1 { "is" } else { "are" };
        format!("{looks} {are} too few to tell who grows all the time: use a longer --for")
    };
    let few = (!compared.tells_steadiness()).then(few);
    compared.grew.iter().take(NAMED).map(says).chain(few).collect()
}

fn dying(of: &Dying) -> String {
    let number = |count: Count| {
        let at_least = if count.may_be_more { "at least " } else { "" };
        format!("{at_least}{}", count.at_least)
    };
    let many = match of.contexts.at_least {
        1 => format!("{} context waits for its requests", number(of.contexts)),
        _ => format!("{} contexts wait for their requests", number(of.contexts)),
    };
    let exiting = match of.exiting.at_least {
        0 => String::new(),
        _ => format!(", {} of them in exit or exec", number(of.exiting)),
    };
    let oldest = of.oldest_ns.map_or(String::new(), |ns| format!(", the oldest for {}", age(ns)));
    format!("{many}{exiting}{oldest}: {}", names(&of.processes))
}

/// `mysqld[12], lvm[7] and 3 more`.
fn names(processes: &[Who]) -> String {
    let said: Vec<String> =
        processes.iter().take(NAMED).map(|(pid, comm)| format!("{}[{pid}]", escaped(comm))).collect();
    match processes.len().saturating_sub(NAMED) {
        0 => said.join(", "),
        more => format!("{} and {more} more", said.join(", ")),
    }
}

/// The processes that wait for requests, the longest first.
fn waiting<'a>(of: &'a HostVerdict<'_>) -> &'a [Who] {
    of.dying.as_ref().map(|dying| dying.processes.as_slice()).unwrap_or_default()
}

/// What is to be done, and why.
fn what(action: &Action, of: &HostVerdict<'_>) -> String {
    match action {
        Action::RaiseLimit { to } => {
            format!("set fs.aio-max-nr to {to}, so that io_setup succeeds; keep it in /etc/sysctl.d")
        }
        Action::AskHolder(owner) => {
            format!("{}: find out whether it needs them", holder::reserves(owner, owner.slots))
        }
        Action::StopGrowth(growing) => {
            format!("{} grows: find out who creates contexts", holder::name(&growing.owner))
        }
        Action::EndWaits => format!(
            "{} waits for requests: see for which, and look at the device or peer that does not answer",
            names(waiting(of).get(..1).unwrap_or_default())
        ),
        Action::Mend(wrong) => {
            let remedy = wrong.finding.remedy().or(advice(wrong.finding));
            let remedy = remedy.map_or(String::new(), |remedy| format!("; {remedy}"));
            format!("{}: {}{remedy}", names(&wrong.processes), wrong.finding.says())
        }
        Action::SeeAll { slots } => {
            format!("{slots} slots are reserved by processes that cannot be seen from here")
        }
        Action::UseBpf => "who reserves how many slots is known only with BPF".to_owned(),
    }
}

/// What helps where no dump is refused for it.
fn advice(finding: Finding) -> Option<&'static str> {
    match finding {
        Finding::IdleLeak => Some("restart the process: only it can destroy its contexts"),
        Finding::Stuck => Some("look at the device or peer that does not answer"),
        Finding::RingFull | Finding::StrandedCredits => {
            Some("the process must reap completions, or ask io_setup for more")
        }
        Finding::InFlight
        | Finding::Unreaped
        | Finding::GhostRing
        | Finding::UnmappedRing
        | Finding::ForgedHeader
        | Finding::UnreadableRing
        | Finding::SharedRing
        | Finding::ProtectionChanged
        | Finding::SplitMapping
        | Finding::Dying
        | Finding::Exiting
        | Finding::TracedOtherwise
        | Finding::Unsettled => None,
    }
}

/// The line that does it, or that shows what is to be known for it.
fn command(action: &Action, of: &HostVerdict<'_>) -> String {
    let check = |processes: &[Who]| {
        let pid = processes.first().map(|(pid, _)| pid.to_string());
        format!("aioinspect check {}", pid.unwrap_or_else(|| "PID".to_owned()))
    };
    match action {
        Action::RaiseLimit { to } => format!("sysctl -w fs.aio-max-nr={to}"),
        Action::AskHolder(owner) => list(owner),
        Action::StopGrowth(Growing { owner, .. }) if owner.processes == 1 => {
            format!("aioinspect watch -p {}", owner.pid)
        }
        Action::StopGrowth(_) => "aioinspect watch".to_owned(),
        Action::EndWaits => check(waiting(of)),
        Action::Mend(wrong) => check(&wrong.processes),
        Action::SeeAll { .. } => "docker run --pid=host, or hostPID: true in a pod".to_owned(),
        Action::UseBpf => "aioinspect doctor, whose checks say what is missing".to_owned(),
    }
}

/// Lists the contexts of an owner. A name that a shell or the filter could take for something else is not written into a line to be typed.
fn list(owner: &Holder) -> String {
    let name = owner.owner.workload();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.@:/".contains(c);
    if name.is_empty() || !name.chars().all(is_plain) {
        return format!("aioinspect list -p {}", owner.pid);
    }
    format!("aioinspect list -Q 'OWNER == \"{name}\"'")
}

/// The object.
pub(super) fn keys(of: &HostVerdict<'_>, notes: &[String]) -> Value {
    let system = of.room.system;
    let holder = |owner: &Holder| json!(HolderKeys::new(owner, of.room.reserved(owner)));
    let large: Vec<Value> = of.large().iter().map(holder).collect();
    let seconds = |ns: u64| Duration::from_nanos(ns).as_secs_f64();
    let growth = of.compared.as_ref().map(|compared| {
        let grew = |grew: &Grew| {
            let mut keys = holder(&grew.growing.owner);
            let more = json!(GrowthKeys::from(&grew.growing));
            if let (Some(keys), Value::Object(more)) = (keys.as_object_mut(), more) {
                keys.extend(more);
                let is_known = grew.steadily || compared.tells_steadiness();
                keys.insert("steadily".to_owned(), json!(is_known.then_some(grew.steadily)));
            }
            keys
        };
        let owners: Vec<Value> = compared.grew.iter().map(grew).collect();
        json!({"looked_seconds": seconds(compared.for_ns), "looks": compared.looks, "owners": owners})
    });
    let dying = of.dying.as_ref().map(|dying| {
        json!({
            "contexts": dying.contexts.exactly(),
            "exiting": dying.exiting.exactly(),
            "oldest_seconds": dying.oldest_ns.map(seconds),
            "pids": pids(&dying.processes),
        })
    });
    let wrong = |wrong: &Wrong| {
        json!({
            "finding": wrong.finding.code(),
            "contexts": wrong.contexts,
            "slots": wrong.slots,
            "pids": pids(&wrong.processes),
        })
    };
    let wrong = of.wrong().map(|all| all.iter().map(wrong).collect::<Vec<_>>());
    let actions = of.actions.iter().map(|(urgency, action)| {
        json!({
            "id": action.id(),
            "urgency": Urgency::word(*urgency),
            "what": what(action, of),
            "do": command(action, of),
            "finding": finding(action),
            "limit": if let Action::RaiseLimit { to } = action { Some(to) } else { None },
        })
    });
    json!({
        "verdict": of.state.word(),
        "system": System::from(system),
        "free": of.room.free,
        "used_ratio": ratio(system.aio_nr, system.aio_max_nr),
        "large_percent": LARGE_PERCENT,
        "large": large,
        "growth": growth,
        "dying": dying,
        "wrong": wrong,
        "not_seen": notes.iter().map(|note| escape(without_hint(note).as_bytes())).collect::<Vec<_>>(),
        "actions": actions.collect::<Vec<_>>(),
    })
}

fn finding(action: &Action) -> Option<&'static str> {
    match action {
        Action::Mend(wrong) => Some(wrong.finding.code()),
        Action::RaiseLimit { .. }
        | Action::AskHolder(_)
        | Action::StopGrowth(_)
        | Action::EndWaits
        | Action::SeeAll { .. }
        | Action::UseBpf => None,
    }
}

fn pids(processes: &[Who]) -> Vec<u32> {
    processes.iter().map(|(pid, _)| pid.0).collect()
}

/// `None` where there is no limit to be a part of.
fn ratio(reserved: u64, limit: u64) -> Option<f64> {
    let exact = |n: u64| Duration::from_nanos(n).as_secs_f64();
    (limit > 0).then(|| exact(reserved) / exact(limit))
}

#[cfg(test)]
mod tests;
