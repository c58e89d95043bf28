//! Who runs the processes of events: by the control groups that they were in at that moment.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use aioinspect_ebpf::EventRecord;

use super::cgroup_maps::CgroupMaps;
use super::procfs::cgroup_of;
use super::told::lives;
use crate::model::owner::owner;
use crate::model::picture::Owner;
use crate::model::units::Pid;

/// Processes that are remembered at most.
const KNOWN: usize = 4096;

/// The owners of those who did something.
#[derive(Debug)]
pub struct Callers {
    cgroups: CgroupMaps,
    /// By process, its number and when it was started, for events that do not say.
    known: HashMap<(u32, u64), Arc<Owner>>,
}

impl Callers {
    /// By these maps.
    pub fn by(cgroups: CgroupMaps) -> Self {
        Self { cgroups, known: HashMap::new() }
    }

    /// Who ran the process of an event. Where the event does not say: what an earlier one said, or else /proc, while the process lives. `None`
    /// if nobody knows.
    pub fn owner(&mut self, record: &EventRecord) -> Option<Arc<Owner>> {
        let process = (record.tgid, record.start_boottime);
        if let Some(told) = self.told(record) {
            self.remember(process, &told);
            return Some(told);
        }
        if let Some(known) = self.known.get(&process) {
            return Some(Arc::clone(known));
        }
        let pid = Pid(record.tgid);
        let text = cgroup_of(pid).ok().filter(|_| lives(pid, record.start_boottime))?;
        let asked = Arc::new(owner(&text));
        self.remember(process, &asked);
        Some(asked)
    }

    fn told(&mut self, record: &EventRecord) -> Option<Arc<Owner>> {
        // What a census found says nothing of groups, which is no sign that there is no room.
        if record.cgroups == 0 && record.entered_at == 0 {
            return None;
        }
        self.cgroups.owner(record.cgroups)
    }

    fn remember(&mut self, process: (u32, u64), owner: &Arc<Owner>) {
        if self.known.len() >= KNOWN && !self.known.contains_key(&process) {
            self.known.clear();
        }
        self.known.insert(process, Arc::clone(owner));
    }

    /// To be called when no event waits: has the programs tell anew where they may have no room.
    pub fn make_room(&mut self) -> io::Result<()> {
        self.cgroups.make_room()
    }
}
