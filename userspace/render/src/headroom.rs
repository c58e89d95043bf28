//! `headroom`: the host's slots in a line, the answer and what to do, and who has the rest reserved.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use aioinspect_model::event::Holder;
use aioinspect_model::evidence::CensusSource;
use aioinspect_model::headroom::{Answer, Headroom};
use aioinspect_model::owner_growth::Growing;

use crate::count::count;
use crate::escape::escaped;
use crate::fields::Field;
use crate::growth::GrowthKeys;
use crate::holder::HolderKeys;
use crate::json::{self, OwnerKeys, SCHEMA_VERSION};

mod advice;

/// Owners that are shown; the rest are summed. JSON has them all.
const SHOWN: usize = 10;

/// Writes it for people. `waited`: for how long in vain.
pub fn write(out: &mut dyn Write, of: &Headroom<'_>, waited: Option<Duration>) -> io::Result<()> {
    let (shown, rest) = of.owners.split_at(of.owners.len().min(SHOWN));
    let (mut above, mut owners, mut below) = (String::new(), String::new(), String::new());
    summary(of, waited, &mut above);
    if !shown.is_empty() {
        table(of, shown, &mut owners);
    }
    if !rest.is_empty() {
        line(&mut below, format_args!("{} {}", count(rest.len(), "more owner"), sum(of, rest)));
    }
    unseen(of, &mut below);
    let parts: Vec<String> = [above, owners, below].into_iter().filter(|part| !part.is_empty()).collect();
    out.write_all(parts.join("\n").as_bytes())
}

/// Writing to a String cannot fail.
fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    let _ = writeln!(text, "{what}");
}

fn summary(of: &Headroom<'_>, waited: Option<Duration>, text: &mut String) {
    let (reserved, limit) = (of.system.aio_nr, of.system.aio_max_nr);
    line(text, format_args!("free {} of {limit}, reserved {reserved}{}", of.free, percent(reserved, limit)));
    let Some((need, answer)) = of.need else { return };
    match answer {
        Answer::Enough => line(text, format_args!("need {need}: yes")),
        Answer::NotNow => {
            let waited = waited.map_or_else(String::new, |waited| format!(" after {}", seconds(waited)));
            line(text, format_args!("need {need}: no, {} free{waited}", of.free.max(0)));
        }
        Answer::Never => line(
            text,
            format_args!("need {need}: no, and never while fs.aio-max-nr is {limit}: raise it with sysctl"),
        ),
    }
    for advice in advice::lines(of) {
        line(text, format_args!("{advice}"));
    }
}

/// `, 1.5 %`, cut off and not rounded: 100 means full. Nothing where there is no limit to be a part of.
pub(crate) fn percent(reserved: u64, limit: u64) -> String {
    match (u128::from(reserved) * 1000).checked_div(u128::from(limit)) {
        Some(permille) => format!(", {}.{} %", permille / 10, permille % 10),
        None => String::new(),
    }
}

fn seconds(time: Duration) -> String {
    format!("{}.{} s", time.as_secs(), time.subsec_millis() / 100)
}

/// `have 12 slots reserved in 3 contexts`, or in how many contexts where that is all that is known.
fn sum(of: &Headroom<'_>, rest: &[Holder]) -> String {
    let contexts = rest.iter().fold(0_usize, |sum, holder| sum.saturating_add(holder.contexts));
    let slots = rest.iter().try_fold(0_u64, |sum, holder| Some(sum.saturating_add(of.reserved(holder)?)));
    let have = if rest.len() == 1 { "has" } else { "have" };
    let contexts = count(contexts, "context");
    match slots {
        Some(slots) => format!("{have} {slots} slots reserved in {contexts}"),
        None => format!("{have} {contexts}"),
    }
}

/// What the holders do not add up to, and why.
pub(crate) fn unseen(of: &Headroom<'_>, text: &mut String) {
    let system = of.system;
    if system.aio_nr <= system.attributed.unwrap_or(0) {
        return;
    }
    match (system.source, system.unattributed) {
        (CensusSource::Bpf, _) if system.attributed.is_none() => line(
            text,
            format_args!(
                "it is not known who has reserved how many slots: this kernel does not give max_reqs of every context"
            ),
        ),
        (CensusSource::Proc, _) => line(
            text,
            format_args!(
                "without BPF it is not known who has reserved how many slots (see `aioinspect doctor`), and a ring inherited by fork looks like a context"
            ),
        ),
        (CensusSource::Bpf, None) => {
            line(
                text,
                format_args!("only one process was examined: it is not known who has reserved the rest"),
            );
        }
        (CensusSource::Bpf, Some(rest)) if rest > 0 => line(
            text,
            format_args!(
                "{rest} reserved by processes that cannot be seen: in another PID namespace, or just starting or ending"
            ),
        ),
        (CensusSource::Bpf, Some(_)) => {}
    }
}

/// A line an owner; numbers to the right, names to the left.
fn table(of: &Headroom<'_>, shown: &[Holder], text: &mut String) {
    let headings = ["RESERVED", "PROCESSES", Field::Contexts.heading(), "LARGEST", Field::Owner.heading()];
    let rows = shown.iter().map(|owner| row(of, owner));
    let rows: Vec<[Cow<'_, str>; 5]> = std::iter::once(headings.map(Cow::Borrowed)).chain(rows).collect();
    let mut widths = [0_usize; 5];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    for row in &rows {
        let [slots, processes, contexts, largest, owner] = row;
        let [slots_width, processes_width, contexts_width, largest_width, _] = widths;
        let gap = " ".repeat(largest_width.saturating_sub(largest.width()));
        let written = format!(
            "{slots:>slots_width$} {processes:>processes_width$} {contexts:>contexts_width$} {largest}{gap} {owner}"
        );
        line(text, format_args!("{}", written.trim_end_matches(' ')));
    }
}

/// The largest process of an owner is the one to look at first: `nginx[1234]`.
fn row<'a>(of: &Headroom<'_>, owner: &'a Holder) -> [Cow<'a, str>; 5] {
    let slots = of.reserved(owner).map_or(Cow::Borrowed("-"), |slots| slots.to_string().into());
    let name = match owner.owner.workload() {
        "" => "-".into(),
        name => escaped(name.as_bytes()),
    };
    let largest = format!("{}[{}]", escaped(&owner.comm), owner.pid);
    [slots, owner.processes.to_string().into(), owner.contexts.to_string().into(), largest.into(), name]
}

#[derive(Serialize)]
struct ProcessKeys<'a> {
    pid: u32,
    comm: Cow<'a, str>,
    contexts: usize,
    slots: Option<u64>,
    owner: OwnerKeys<'a>,
}

/// An owner, with how many more of its size fit.
#[derive(Serialize)]
struct FittingKeys<'a> {
    #[serde(flatten)]
    owner: HolderKeys<'a>,
    more_fit: Option<u64>,
    /// Left out where nobody watches; null where it does not grow.
    #[serde(skip_serializing_if = "Option::is_none")]
    growth: Option<serde_json::Value>,
}

/// Writes it as JSON, a process or an owner a line. `growing`: the owners that grow, where somebody watches.
pub fn write_json(out: &mut dyn Write, of: &Headroom<'_>, growing: Option<&[Growing]>) -> io::Result<()> {
    write!(out, "{{\"schema_version\":{SCHEMA_VERSION},\n \"system\":")?;
    serde_json::to_writer(&mut *out, &json::System::from(of.system))?;
    let need = of.need.map(|(need, _)| need);
    let enough = of.need.map(|(_, answer)| match answer {
        Answer::Enough => true,
        Answer::NotNow | Answer::Never => false,
    });
    write!(out, ",\n \"free\":{},\"need\":", of.free)?;
    serde_json::to_writer(&mut *out, &need)?;
    out.write_all(b",\"enough\":")?;
    serde_json::to_writer(&mut *out, &enough)?;
    out.write_all(b",\n \"holders\":[")?;
    json::each_line(out, &of.holders, |holder, text| serde_json::to_writer(text, &keys(of, holder)))?;
    out.write_all(b"],\n \"owners\":[")?;
    json::each_line(out, &of.owners, |owner, text| {
        let growth = |growing: &[Growing]| {
            let of = growing.iter().find(|one| one.is_of(owner)).map(GrowthKeys::from);
            serde_json::json!(of)
        };
        let owner = FittingKeys {
            owner: HolderKeys::new(owner, of.reserved(owner)),
            more_fit: of.more_fit(owner),
            growth: growing.map(growth),
        };
        serde_json::to_writer(text, &owner)
    })?;
    out.write_all(b"],\n \"short_by\":")?;
    serde_json::to_writer(&mut *out, &of.short_by())?;
    out.write_all(b",\"least_limit\":")?;
    serde_json::to_writer(&mut *out, &of.least_limit())?;
    out.write_all(b",\"ring_bytes\":")?;
    serde_json::to_writer(&mut *out, &of.ring_bytes())?;
    out.write_all(b"}\n")
}

fn keys<'a>(of: &Headroom<'_>, holder: &'a Holder) -> ProcessKeys<'a> {
    let Holder { pid, comm, owner, contexts, .. } = holder;
    ProcessKeys {
        pid: pid.0,
        comm: escaped(comm),
        contexts: *contexts,
        slots: of.reserved(holder),
        owner: owner.into(),
    }
}

#[cfg(test)]
mod tests;
