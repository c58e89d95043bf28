//! The ring mappings that the census names, against /proc/PID/smaps as read here.

use std::fs;

use aioinspect_model::evidence::{Evidence, Perms};
use aioinspect_model::units::Pid;

/// Start, end, offset, inode and permissions.
type Line = (u64, u64, u64, u64, String);

/// Checks the last look at the address space of a process.
///
/// # Panics
/// If they differ.
pub fn assert_as_in_smaps(evidence: &Evidence, pid: u32) {
    assert_eq!(found(evidence, pid), smaps(pid), "ring mappings of {pid}, by the census and by smaps");
}

/// Checks that none is found of a process that waits in exit or exec. Its smaps is not read: in exec, whoever does waits with it.
///
/// # Panics
/// If one is.
pub fn assert_none(evidence: &Evidence, pid: u32) {
    assert_eq!(found(evidence, pid), [], "ring mappings of {pid}, which has given up its memory");
}

fn found(evidence: &Evidence, pid: u32) -> Vec<Line> {
    let of = |pid| evidence.spaces.iter().find(|space| space.processes.iter().any(|one| one.pid == Pid(pid)));
    let look = of(pid).and_then(|space| space.looks.last());
    let mut found: Vec<Line> = look
        .iter()
        .flat_map(|look| &look.mappings)
        .map(|one| (one.start, one.end, one.offset, one.inode, letters(one.perms)))
        .collect();
    found.sort();
    found
}

fn letters(perms: Perms) -> String {
    let Perms { read, write, exec, shared } = perms;
    [(read, "r", "-"), (write, "w", "-"), (exec, "x", "-"), (shared, "s", "p")]
        .map(|(set, yes, no)| if set { yes } else { no })
        .concat()
}

fn smaps(pid: u32) -> Vec<Line> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let rings = text.lines().filter(|line| line.ends_with(" /[aio] (deleted)"));
    let mut lines: Vec<Line> = rings
        .map(|line| {
            let mut fields = line.split_whitespace();
            let mut next = || fields.next().unwrap();
            let hex = |text: &str| u64::from_str_radix(text, 16).unwrap();
            let (start, end) = next().split_once('-').unwrap();
            let (perms, offset, _device, inode) = (next().to_owned(), hex(next()), next(), next());
            (hex(start), hex(end), offset, inode.parse().unwrap(), perms)
        })
        .collect();
    lines.sort();
    lines
}
