//! Who runs the processes of events: by the control groups that they were in at that moment.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use aioinspect_ebpf::EventRecord;

use crate::proc::files::cgroup_of;
use crate::trace::cgroup_maps::CgroupMaps;
use crate::watch::event_records::lives;
use aioinspect_model::owner::owner;
use aioinspect_model::picture::Owner;
use aioinspect_model::units::Pid;

/// Processes that are remembered at most.
const KNOWN: usize = 4096;

/// The owners of those who did something.
#[derive(Debug)]
pub(super) struct Callers {
    cgroups: CgroupMaps,
    /// By process, its number and when it was started, for events that do not say.
    known: HashMap<(u32, u64), Arc<Owner>>,
}

impl Callers {
    /// By these maps.
    pub(super) fn by(cgroups: CgroupMaps) -> Self {
        Self { cgroups, known: HashMap::new() }
    }

    /// Who ran the process of an event. Where the event of a call does not say: /proc, while the process lives, or else what an earlier event said.
    /// Of other events the other way round: there may be very many of one process. `None` if nobody knows.
    pub(super) fn owner(&mut self, record: &EventRecord) -> Option<Arc<Owner>> {
        let process = (record.tgid, record.start_boottime);
        let is_call = record.entered_at != 0;
        // What a census found says nothing of groups, which is no sign that there is no room.
        let told = if is_call || record.cgroups != 0 { self.cgroups.owner(record.cgroups) } else { None };
        let known = || self.known.get(&process).map(Arc::clone);
        let found = match told {
            Some(told) => told,
            None if is_call => asked(record).or_else(known)?,
            None => known().or_else(|| asked(record))?,
        };
        self.remember(process, &found);
        Some(found)
    }

    /// Who runs a process that waits in the kernel now: what an earlier event said, or /proc. Its other files are left alone, they may make the reader
    /// wait. `None` if nobody knows.
    pub(super) fn owner_of(&mut self, pid: Pid, start_boottime: u64) -> Option<Arc<Owner>> {
        let process = (pid.0, start_boottime);
        if let Some(known) = self.known.get(&process) {
            return Some(Arc::clone(known));
        }
        let found = Arc::new(owner(&cgroup_of(pid).ok()?));
        self.remember(process, &found);
        Some(found)
    }

    fn remember(&mut self, process: (u32, u64), owner: &Arc<Owner>) {
        if self.known.len() >= KNOWN && !self.known.contains_key(&process) {
            self.known.clear();
        }
        self.known.insert(process, Arc::clone(owner));
    }

    /// To be called when no event waits: has the programs tell anew where they may have no room.
    pub(super) fn make_room(&mut self) -> io::Result<()> {
        self.cgroups.make_room()
    }
}

/// What /proc says, if it is that process still.
fn asked(record: &EventRecord) -> Option<Arc<Owner>> {
    let pid = Pid(record.tgid);
    let text = cgroup_of(pid).ok().filter(|_| lives(pid, record.start_boottime))?;
    Some(Arc::new(owner(&text)))
}
