//! Holders: the processes that have slots reserved, with the owner of each.

use std::cmp::Reverse;

use crate::event::Holder;
use crate::owner_sums::{ProcessSums, by_process};
use crate::picture::{Owner, Picture};

/// Every process that has contexts, the one with the most slots first; equal ones by PID.
pub fn holders(picture: &Picture) -> Vec<Holder> {
    let contexts = &picture.contexts;
    let holder = |of: ProcessSums| {
        let example = contexts.get(of.example)?;
        Some(Holder {
            pid: example.pid,
            comm: example.comm.to_vec(),
            owner: Owner::clone(&example.owner),
            contexts: usize::try_from(of.sums.contexts).unwrap_or(usize::MAX),
            slots: of.sums.reserved.value().unwrap_or(0),
        })
    };
    let processes = by_process(contexts, 0..contexts.len());
    let mut holders: Vec<Holder> =
        processes.into_iter().filter(|of| of.sums.contexts > 0).filter_map(holder).collect();
    holders.sort_by_key(|holder| Reverse(holder.slots));
    holders
}
