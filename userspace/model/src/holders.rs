//! Who holds the slots: the contexts of a picture, summed by process.

use std::collections::BTreeMap;

use crate::event::Holder;
use crate::picture::{Owner, Picture};
use crate::units::Pid;

/// Every process that has contexts, the one with the most slots first; equal ones by PID.
pub fn holders(picture: &Picture) -> Vec<Holder> {
    let mut by_pid: BTreeMap<Pid, Holder> = BTreeMap::new();
    for context in picture.contexts.iter().filter(|context| !context.is_dying()) {
        let holder = by_pid.entry(context.pid).or_insert_with(|| Holder {
            pid: context.pid,
            comm: context.comm.to_vec(),
            owner: Owner::clone(&context.owner),
            contexts: 0,
            slots: 0,
        });
        holder.contexts = holder.contexts.saturating_add(1);
        holder.slots = holder.slots.saturating_add(u64::from(context.max_reqs.unwrap_or(0)));
    }
    let mut holders: Vec<Holder> = by_pid.into_values().collect();
    holders.sort_by_key(|holder| std::cmp::Reverse(holder.slots));
    holders
}
