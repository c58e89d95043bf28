//! Holders: who has slots reserved, by process and by owner.

use crate::event::Holder;
use crate::groups::{Group, Grouping, groups};
use crate::picture::Picture;

/// The groups that have slots reserved, the one with the most first. A context out of the table reserves none, nor does the process that
/// waits for it count.
pub fn holders(picture: &Picture, by: Grouping) -> Vec<Holder> {
    let contexts = &picture.contexts;
    let number = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let holder = |of: Group| {
        let example = contexts.get(of.example)?;
        Some(Holder {
            pid: example.pid,
            comm: example.comm.to_vec(),
            owner: of.owner,
            processes: number(of.sums.processes),
            contexts: number(of.sums.contexts),
            slots: of.sums.reserved.value().unwrap_or(0),
        })
    };
    let reserving =
        contexts.iter().enumerate().filter(|(_, context)| !context.is_dying()).map(|(place, _)| place);
    groups(contexts, reserving, by).into_iter().filter_map(holder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Finding;
    use crate::picture::{ContextView, Owner};
    use crate::reconcile::reconcile;
    use crate::specimen;
    use crate::units::Pid;

    /// Check that an owner is one holder however many processes it has, named by the largest, that many small ones come before a large one,
    /// and that a process whose contexts are all dying holds nothing.
    #[test]
    fn owners() {
        let unit = |unit: &str| Owner { unit: unit.into(), ..Owner::default() };
        let mut picture = reconcile(&specimen::idle());
        let first = picture.contexts.remove(0);
        let of = |pid: u32, max_reqs: u32, owner: &Owner| ContextView {
            pid: Pid(pid),
            max_reqs: Some(max_reqs),
            owner: owner.clone().into(),
            ..first.clone()
        };
        let path = Owner { cgroup: "nginx.service".into(), ..Owner::default() };
        picture.contexts = vec![
            of(1, 900, &unit("mariadb.service")),
            of(2, 500, &unit("nginx.service")),
            of(3, 600, &unit("nginx.service")),
            of(5, 200, &Owner::default()),
            of(7, 100, &Owner::default()),
            of(8, 50, &path),
            of(9, 10, &unit("nginx.service")),
            of(10, 10, &unit("gone.service")),
        ];
        for dying in [6, 7] {
            picture.contexts[dying].findings = vec![Finding::Dying];
        }
        let said = |by| -> Vec<(u32, usize, usize, u64)> {
            let row = |of: &Holder| (of.pid.0, of.processes, of.contexts, of.slots);
            holders(&picture, by).iter().map(row).collect()
        };
        assert_eq!(
            said(Grouping::Owner),
            [(3, 2, 2, 1100), (1, 1, 1, 900), (5, 1, 1, 200), (7, 1, 1, 100), (8, 1, 1, 50)]
        );
        assert_eq!(said(Grouping::Process)[..3], [(1, 1, 1, 900), (3, 1, 1, 600), (2, 1, 1, 500)]);
        assert_eq!(said(Grouping::Process).len(), 6);
    }
}
