//! Holders: who has slots reserved, by process and by owner.

use std::cmp::Reverse;
use std::collections::HashMap;

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
            processes: 1,
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

/// Processes, the largest first, summed by owner: the one with the most slots first. A process that nothing names stands for itself.
pub fn by_owner(processes: &[Holder]) -> Vec<Holder> {
    let mut places: HashMap<(&str, &str), usize> = HashMap::new();
    let mut owners: Vec<Holder> = Vec::new();
    for process in processes {
        if let Some(name) = process.owner.named_by() {
            let place = *places.entry(name).or_insert(owners.len());
            if let Some(owner) = owners.get_mut(place) {
                owner.owner = owner.owner.common(&process.owner);
                owner.processes = owner.processes.saturating_add(process.processes);
                owner.contexts = owner.contexts.saturating_add(process.contexts);
                owner.slots = owner.slots.saturating_add(process.slots);
                continue;
            }
        }
        owners.push(process.clone());
    }
    owners.sort_by_key(|owner| Reverse(owner.slots));
    owners
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Pid;

    fn process(pid: u32, slots: u64, owner: &Owner) -> Holder {
        let (contexts, owner) = (1, owner.clone());
        Holder { pid: Pid(pid), comm: b"x".to_vec(), owner, processes: 1, contexts, slots }
    }

    /// Check that an owner is one holder however many processes it has, named by the largest, and that many small ones come before a large one.
    #[test]
    fn owners() {
        let unit = |unit: &str| Owner { unit: unit.into(), ..Owner::default() };
        let pod = |container: &str| Owner {
            pod: "p".into(),
            container: container.into(),
            runtime: "containerd".into(),
            ..Owner::default()
        };
        let path = Owner { cgroup: "nginx.service".into(), ..Owner::default() };
        let processes = [
            process(1, 900, &unit("mariadb.service")),
            process(2, 600, &unit("nginx.service")),
            process(3, 500, &unit("nginx.service")),
            process(4, 300, &pod("a")),
            process(5, 200, &Owner::default()),
            process(6, 200, &pod("b")),
            process(7, 100, &Owner::default()),
            process(8, 50, &path),
        ];
        let owners = by_owner(&processes);
        let said: Vec<(u32, usize, usize, u64)> =
            owners.iter().map(|of| (of.pid.0, of.processes, of.contexts, of.slots)).collect();
        let expected =
            [(2, 2, 2, 1100), (1, 1, 1, 900), (4, 2, 2, 500), (5, 1, 1, 200), (7, 1, 1, 100), (8, 1, 1, 50)];
        assert_eq!(said, expected);
        let of_pod = Owner { container: String::new(), ..pod("a") };
        assert_eq!(owners.iter().find(|of| of.pid.0 == 4).map(|of| &of.owner), Some(&of_pod));
        assert_eq!(by_owner(&[]), []);
    }
}
