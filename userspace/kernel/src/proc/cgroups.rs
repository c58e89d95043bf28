//! The control groups of many processes: `/proc/PID/cgroup` once for all that share a css_set, not once for each.
//!
//! A css_set (kernel/cgroup/cgroup.c) is one cgroup of each hierarchy, and `/proc/PID/cgroup` is written from nothing else: processes
//! with the same one have the same text. A thousand processes are in a few of them; each file costs some microseconds.

use std::collections::HashMap;

use aioinspect_ebpf::TaskRecord;

use crate::proc::files::cgroup_of;
use aioinspect_model::units::Pid;

/// `PF_EXITING`: on cgroup v1 such a process is shown in the root, wherever it is.
const PF_EXITING: u32 = 0x4;

/// Which processes share a css_set, as a census saw them.
#[derive(Debug, Default)]
pub(crate) struct CssSets {
    /// In the order of the walk.
    members: HashMap<u64, Vec<Pid>>,
}

impl CssSets {
    /// From the leaders of the processes: the threads of one can be in several sets, and the file tells the leader's.
    pub(crate) fn of(tasks: &[TaskRecord]) -> Self {
        let mut members: HashMap<u64, Vec<Pid>> = HashMap::new();
        let leaders = tasks.iter().filter(|task| task.tid == task.tgid && task.css_set != 0);
        for leader in leaders.filter(|task| task.flags & PF_EXITING == 0) {
            members.entry(leader.css_set).or_default().push(Pid(leader.tgid));
        }
        Self { members }
    }

    /// The texts of those processes that share one; those that have a css_set for themselves are not among them.
    pub(crate) fn texts(self) -> HashMap<Pid, Vec<u8>> {
        self.texts_by(|pid| cgroup_of(pid).ok())
    }

    /// Reads the first and the last of each set. A process may have moved since the census: then the two differ, and the others are
    /// left to be asked one by one.
    fn texts_by(self, mut read: impl FnMut(Pid) -> Option<Vec<u8>>) -> HashMap<Pid, Vec<u8>> {
        let mut texts = HashMap::new();
        for pids in self.members.into_values() {
            let (Some(first), Some(last)) = (pids.first(), pids.last().filter(|_| pids.len() > 2)) else {
                continue;
            };
            let Some(text) = read(*first).filter(|text| read(*last).as_ref() == Some(text)) else { continue };
            texts.extend(pids.into_iter().map(|pid| (pid, text.clone())));
        }
        texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leader(pid: u32, css_set: u64) -> TaskRecord {
        TaskRecord { tid: pid, tgid: pid, css_set, ..TaskRecord::default() }
    }

    fn ask(tasks: &[TaskRecord], read: impl Fn(Pid) -> Option<&'static str>) -> (Vec<(u32, String)>, usize) {
        let mut reads = 0;
        let texts = CssSets::of(tasks).texts_by(|pid| {
            reads += 1;
            read(pid).map(|text| text.as_bytes().to_vec())
        });
        let mut texts: Vec<_> =
            texts.into_iter().map(|(pid, text)| (pid.0, String::from_utf8(text).unwrap())).collect();
        texts.sort();
        (texts, reads)
    }

    /// Check that two reads stand for a whole set, and that a set of one or two is left alone: it would gain nothing.
    #[test]
    fn one_text_for_all() {
        let mut tasks: Vec<_> = (1..=9).map(|pid| leader(pid, 7)).collect();
        tasks.extend([leader(20, 8), leader(21, 9), leader(22, 9)]);
        let (texts, reads) = ask(&tasks, |pid| Some(if pid.0 < 10 { "0::/a" } else { "0::/b" }));
        assert_eq!(texts, (1..=9).map(|pid| (pid, "0::/a".to_owned())).collect::<Vec<_>>());
        assert_eq!(reads, 2);
    }

    /// Check that nothing is said of a set of which a member moved or ended since.
    #[test]
    fn moved_meanwhile() {
        let tasks: Vec<_> = (1..=5).map(|pid| leader(pid, 7)).collect();
        assert!(ask(&tasks, |pid| Some(if pid.0 == 5 { "0::/b" } else { "0::/a" })).0.is_empty());
        assert!(ask(&tasks, |pid| (pid.0 != 1).then_some("0::/a")).0.is_empty());
        assert!(ask(&tasks, |pid| (pid.0 != 5).then_some("0::/a")).0.is_empty());
    }

    /// Check that threads, the exiting, and kernels without cgroups count for no set.
    #[test]
    fn who_is_no_member() {
        let mut tasks: Vec<_> = (1..=5).map(|pid| leader(pid, 0)).collect();
        tasks.extend((10..15).map(|tid| TaskRecord { tid, tgid: 1, css_set: 7, ..TaskRecord::default() }));
        tasks.extend((20..25).map(|pid| TaskRecord { flags: PF_EXITING, ..leader(pid, 7) }));
        assert_eq!(ask(&tasks, |_| Some("0::/a")), (Vec::new(), 0));
    }
}
