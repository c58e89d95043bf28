//! An owner that has slots reserved, in a sentence and in JSON: the same in every output.

use std::borrow::Cow;

use serde::Serialize;

use aioinspect_model::event::Holder;

use crate::escape::escaped;
use crate::json::OwnerKeys;

/// `nginx.service`; of a process that nothing names, `mysqld[1234]`.
pub(crate) fn name(holder: &Holder) -> String {
    match holder.owner.short_workload() {
        "" => format!("{}[{}]", escaped(&holder.comm), holder.pid),
        name => escaped(name.as_bytes()).into_owned(),
    }
}

/// `nginx.service reserves 64000 (64 processes)`, `mariadb.service reserves 1024 (mysqld, pid 1234)`.
pub(crate) fn reserves(holder: &Holder, slots: u64) -> String {
    let name = name(holder);
    if holder.owner.workload().is_empty() {
        return format!("{name} reserves {slots}");
    }
    match holder.processes {
        0 | 1 => format!("{name} reserves {slots} ({}, pid {})", escaped(&holder.comm), holder.pid),
        processes => format!("{name} reserves {slots} ({processes} processes)"),
    }
}

/// An owner, with the keys that every document has it under.
#[derive(Serialize)]
pub(crate) struct HolderKeys<'a> {
    name: Cow<'a, str>,
    processes: usize,
    contexts: usize,
    slots: Option<u64>,
    pid: u32,
    comm: Cow<'a, str>,
    owner: OwnerKeys<'a>,
}

impl<'a> HolderKeys<'a> {
    /// `slots`: null where their number is not known.
    pub(crate) fn new(holder: &'a Holder, slots: Option<u64>) -> Self {
        Self {
            name: escaped(holder.owner.workload().as_bytes()),
            processes: holder.processes,
            contexts: holder.contexts,
            slots,
            pid: holder.pid.0,
            comm: escaped(&holder.comm),
            owner: (&holder.owner).into(),
        }
    }
}
