//! Which address spaces have ended and are still in the map of a watch.

use std::collections::HashSet;
use std::io;

use aioinspect_ebpf::{EventKind, SpaceKey, SpaceRecord};

use crate::bpf::map::HashMap;
use crate::proc::files::ProcDir;
use crate::trace::space_end::SpaceEnd;
use aioinspect_model::units::Pid;
use aioinspect_parse::proc::stat::Stat;

/// What it takes to find them.
pub(super) struct Sweeper {
    spaces: HashMap<SpaceKey, SpaceRecord>,
    end: SpaceEnd,
    /// Whether there may be something to find.
    pub is_due: bool,
    /// Whether an end may have been missed though ends are seen.
    pub is_in_doubt: bool,
    /// Those that were in the map before the pass that looks who is alive.
    known_before: HashSet<u64>,
    /// Those that the last such pass did not meet: a task may slip through one walk, hardly through two.
    missed: HashSet<u64>,
}

impl Sweeper {
    pub(super) fn new(spaces: HashMap<SpaceKey, SpaceRecord>, end: SpaceEnd) -> Self {
        Self {
            spaces,
            end,
            is_due: false,
            is_in_doubt: false,
            known_before: HashSet::new(),
            missed: HashSet::new(),
        }
    }

    /// Whether it has to find the ends itself, by who is not met any more.
    pub(super) fn finds_ends(&self) -> bool {
        self.end == SpaceEnd::Processes || self.is_in_doubt
    }

    /// To be called before a pass that notes whom it meets.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        self.known_before = self.spaces.all()?.into_iter().map(|(key, _)| key.mm).collect();
        Ok(())
    }

    /// The address spaces to forget, and how each ended if the kernel's side does not know. `round`: of that pass.
    pub(super) fn ended(&mut self, round: u32) -> io::Result<Vec<(u64, EventKind)>> {
        let mut ended = Vec::new();
        let mut missed = HashSet::new();
        for (key, space) in self.spaces.all()? {
            if space.ended != 0 {
                ended.push((key.mm, EventKind::Gone));
            } else if self.finds_ends() && self.known_before.contains(&key.mm) && space.met_round != round {
                let how = how(&space);
                // Where ends are seen, that of a process which is still there may be to come: it waits for its requests.
                if self.end != SpaceEnd::Processes && how == EventKind::Exec {
                    continue;
                }
                if self.missed.contains(&key.mm) {
                    ended.push((key.mm, how));
                } else {
                    missed.insert(key.mm);
                    self.is_due = true;
                }
            }
        }
        self.is_in_doubt = !missed.is_empty();
        self.missed = missed;
        Ok(ended)
    }
}

/// A process that lives on has become another program.
fn how(space: &SpaceRecord) -> EventKind {
    const TICK_NS: u64 = 10_000_000;
    let stat = ProcDir::open(Pid(space.tgid)).ok().and_then(|dir| Stat::parse(&dir.stat().ok()?).ok());
    match stat {
        Some(stat) if stat.start_ticks == space.start_boottime / TICK_NS => EventKind::Exec,
        _ => EventKind::Exit,
    }
}
