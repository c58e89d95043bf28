//! The watch over the live host: what happens, and pictures of what is, kept true to each other.

use std::os::fd::BorrowedFd;

use aioinspect_ebpf::EventRecord;

use crate::bpf::error::ProbeError;
use crate::bpf::log::OpenLog;
use crate::census::probe::{CensusScope, Probe};
use crate::census::traced_map;
use crate::host::clock;
use crate::look::evidence_source::SourceError;
use crate::look::host::HeaderReader;
use crate::trace::hook::Hook;
use crate::trace::space_end::SpaceEnd;
use crate::trace::tracer::{Losses, Settled, Sizes, Tracer};
use crate::watch::callers::Callers;
use crate::watch::dying::Dying;
use crate::watch::event_records::{Teller, Wall};
use crate::{confine::without_privileges, host::system, look::host};
use aioinspect_model::births::Births;
use aioinspect_model::event::{Event, Timed};
use aioinspect_model::evidence::{Evidence, SystemFacts};
use aioinspect_model::known::{Fact, Known};
use aioinspect_model::units::Instant;

/// How long until the map is compared with the kernel's tables again, if nothing asks for it sooner.
const SETTLE_EVERY_NS: u64 = 10_000_000_000;
/// How long until it is tried again when calls under way stood in the way.
const SETTLE_AGAIN_NS: u64 = 200_000_000;
/// How long until the losses are asked for while nothing happens: they come with events, and asking takes several system calls.
const LOSSES_EVERY_NS: u64 = 1_000_000_000;
/// How often the first settling is tried in a row.
const FIRST_TRIES: u32 = 40;

/// What is asked of a watch.
#[derive(Clone, Copy, Debug, Default)]
pub struct WatchOptions {
    /// The hook; `None`: the first of the ladder that loads.
    pub hook: Option<Hook>,
    /// Entries of the map in the kernel; `None`: enough for the host's limit.
    pub map_entries: Option<u32>,
    /// Bytes of the buffer for events; `None`: the usual.
    pub buffer: Option<u32>,
    /// Where the ends of address spaces are seen; `None`: the first place that this kernel offers.
    pub ends: Option<SpaceEnd>,
    /// aya-log's level, 0 off.
    pub log_level: u8,
}

/// A watch that is under way.
pub struct Watcher {
    tracer: Tracer,
    teller: Teller,
    callers: Callers,
    probe: Probe,
    log: Option<OpenLog>,
    /// When every context that was there at the start had been met.
    announced_at: Option<Instant>,
    settled_at: Instant,
    left: u32,
    losses: Losses,
    losses_at: Instant,
    healed: u64,
    /// Contexts for which the last settling found no room in the map.
    unstored: u64,
    keeps_bpf: bool,
    dying: Dying,
}

/// How the map in the kernel compares with a census of the same moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Contexts in the map.
    pub entries: usize,
    /// Contexts in the kernel's tables.
    pub contexts: usize,
    /// Contexts that only one of them has, or that they describe differently.
    pub differences: usize,
}

impl Watcher {
    /// Loads and attaches everything, and gives up all privileges. `tried` gets a line for each hook that this kernel does not take.
    pub fn start(options: WatchOptions, tried: &mut Vec<String>) -> Result<Self, SourceError> {
        let facts = system::facts()?;
        let mut probe = Probe::load(facts.possible_cpus, options.log_level)?;
        // Loaded now: later there is no privilege left to load anything.
        probe.rings()?;
        let usual = Sizes::for_host(system::memory(), facts.aio_max_nr);
        let sizes = options.map_entries.map_or(usual, Sizes::of);
        let sizes = Sizes { buffer: options.buffer.unwrap_or(sizes.buffer), ..sizes };
        let (tracer, cgroups) = {
            let (hook, ends) = (options.hook, options.ends);
            Tracer::start(sizes, hook, ends, options.log_level, tried)?
        };
        let log = open_log(&tracer, options.log_level, tried);
        let mut watcher = Self {
            tracer,
            teller: Teller::default(),
            callers: Callers::by(cgroups),
            probe,
            log,
            announced_at: None,
            settled_at: Instant(0),
            left: 0,
            losses: Losses::default(),
            losses_at: Instant(0),
            healed: 0,
            unstored: 0,
            keeps_bpf: false,
            dying: Dying::default(),
        };
        for left in (0..FIRST_TRIES).rev() {
            let settled = watcher.settle()?;
            // The kernel may have had no memory at hand for an entry; a map that is full stays so.
            if settled.unsettled == 0 && (settled.unstored == 0 || left == 0) {
                watcher.announced_at = Some(watcher.settled_at);
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        watcher.keeps_bpf = without_privileges::give_up(watcher.tracer.trial())?;
        Ok(watcher)
    }

    /// Whether CAP_BPF was kept, because this kernel asks for it whenever a map is read.
    pub fn keeps_bpf(&self) -> bool {
        self.keeps_bpf
    }

    /// The hook in use.
    pub fn hook(&self) -> Hook {
        self.tracer.hook()
    }

    /// Events lost so far, and contexts for which the map had no room.
    pub fn lost(&self) -> Losses {
        Losses { contexts: self.losses.contexts.max(self.unstored), ..self.losses }
    }

    /// Differences healed so far.
    pub fn healed(&self) -> u64 {
        self.healed
    }

    /// Readable when many events wait; a few are to be fetched by looking now and then.
    pub fn wakeup(&self) -> BorrowedFd<'_> {
        self.tracer.wakeup()
    }

    /// What happened since the last time, what was missed, and what was put right.
    pub fn happened(&mut self) -> Result<Vec<Timed>, SourceError> {
        let is_due = self.dying.is_due(clock::now());
        self.told(is_due, false)
    }

    /// The same, with a look for dying contexts if it `is_due`; `at_end`: nothing will be asked any more.
    fn told(&mut self, is_due: bool, at_end: bool) -> Result<Vec<Timed>, SourceError> {
        let mut events = Vec::new();
        self.take(&mut events);
        self.tracer.sweep()?;
        self.take(&mut events);
        self.dying.hear(&events);
        if is_due {
            events.extend(self.dying.look(&mut self.probe, &mut self.callers, at_end)?);
        }
        self.callers
            .make_room()
            .map_err(|error| ProbeError::Io { action: "empty the map of control groups", error })?;
        if let Some(log) = &mut self.log {
            log.drain();
        }
        let now = clock::now();
        let before = self.losses;
        if !events.is_empty() || now.0.saturating_sub(self.losses_at.0) >= LOSSES_EVERY_NS {
            self.losses = self.tracer.losses()?;
            self.losses_at = now;
        }
        let lost = self.losses.events.saturating_sub(before.events);
        let wall = Wall::now();
        let mut tell = |event| events.push(Timed { at: now, unix_ns: wall.of(now), event });
        if lost > 0 {
            tell(Event::Lost { count: lost });
            self.tracer.sweep_is_due(self.losses.skipped > before.skipped);
        }
        let since = now.0.saturating_sub(self.settled_at.0);
        if lost > 0 || since >= SETTLE_EVERY_NS || (self.left > 0 && since >= SETTLE_AGAIN_NS) {
            let first = self.announced_at.is_none();
            let settled = self.settle()?;
            // The events of what was found are behind this: they are told as what existed.
            if settled.unsettled == 0 {
                self.announced_at.get_or_insert(self.settled_at);
            }
            let count = u64::from(settled.found).saturating_add(u64::from(settled.gone));
            if count > 0 && !first {
                self.healed = self.healed.saturating_add(count);
                tell(Event::Healed { count });
            }
        }
        Ok(events)
    }

    /// Has the losses up to the next call of `happened` counted there, for who is about to tell them.
    pub fn count_losses(&mut self) {
        self.losses_at = Instant(0);
    }

    /// The same at the end of the watch, after one more settling.
    pub fn ended(&mut self) -> Result<Vec<Timed>, SourceError> {
        self.settled_at = Instant(0);
        self.count_losses();
        self.told(true, true)
    }

    fn take(&mut self, events: &mut Vec<Timed>) {
        let wall = Wall::now();
        let announced_at = self.announced_at;
        let (teller, callers) = (&mut self.teller, &mut self.callers);
        self.tracer.events(|record: EventRecord| {
            // A context that was destroyed before it was met at the start.
            let first_told = announced_at.is_none_or(|at| Instant(record.entered_at) <= at);
            let owner = callers.owner(&record);
            teller.events(&record, wall, first_told, owner, |timed| events.push(timed));
        });
    }

    fn settle(&mut self) -> Result<Settled, ProbeError> {
        let settled = self.tracer.settle(self.announced_at.is_none())?;
        self.settled_at = clock::now();
        self.left = settled.unsettled;
        self.unstored = settled.unstored.into();
        Ok(settled)
    }

    /// What the census can tell on this kernel.
    pub fn known(&self) -> &Known {
        self.probe.known()
    }

    /// Reads every context of the host, as `list` does; and how long the census took, in nanoseconds.
    pub fn look(&mut self, owners: bool, notes: &mut Vec<String>) -> Result<(Evidence, u64), SourceError> {
        let facts = system::facts()?;
        let begun = clock::now();
        let reader =
            if self.tracer.reads_heads() { HeaderReader::Kernel(&mut self.tracer) } else { HeaderReader::Us };
        let evidence = host::look(&mut self.probe, facts, owners, notes, reader)?;
        let took = clock::now().0.saturating_sub(begun.0);
        Ok((evidence, took))
    }

    /// What the map in the kernel knows of the contexts, for a picture that was taken just now. Nothing where it cannot be read.
    pub fn births(&self, since_unix_ns: u64) -> Births {
        let entries = self.tracer.contexts().unwrap_or_default();
        let (taken, taken_unix_ns) = (clock::now(), clock::unix_now());
        Births { contexts: traced_map::contexts(&entries), since_unix_ns, taken, taken_unix_ns }
    }

    /// The host's numbers, without a census.
    pub fn facts(&self) -> Result<SystemFacts, SourceError> {
        Ok(system::facts()?)
    }

    /// Compares the map in the kernel with a census. On a host that does not stand still they differ by what happens meanwhile.
    pub fn compare(&mut self) -> Result<Comparison, SourceError> {
        let records = self.probe.census(CensusScope::All)?;
        // A kernel whose census cannot tell max_reqs is not asked about it.
        let told = self.probe.known().tells(Fact::MaxReqs);
        let cost = |max_reqs: u32| if told { max_reqs.into() } else { 0 };
        let mut map: Vec<(u64, u32, u64, u64)> = self
            .tracer
            .contexts()?
            .into_iter()
            .map(|(key, record)| (key.mm, key.table_index, record.kioctx, cost(record.max_reqs)))
            .collect();
        let mut census: Vec<(u64, u32, u64, u64)> = records
            .contexts
            .iter()
            .map(|context| (context.mm, context.table_index, context.kioctx, context.max_reqs))
            .collect();
        for list in [&mut map, &mut census] {
            list.sort_unstable();
            list.dedup();
        }
        let same = map.iter().filter(|one| census.binary_search(one).is_ok()).count();
        let (entries, contexts) = (map.len(), census.len());
        let differences = entries.saturating_sub(same).saturating_add(contexts.saturating_sub(same));
        Ok(Comparison { entries, contexts, differences })
    }
}

/// What the programs have to say, if it was asked for; that it cannot be had is one more line for those who asked.
fn open_log(tracer: &Tracer, level: u8, tried: &mut Vec<String>) -> Option<OpenLog> {
    if level == 0 {
        return None;
    }
    let log = tracer.program_id().map_err(|error| error.to_string()).and_then(OpenLog::of);
    log.map_err(|error| tried.push(format!("log: cannot show the log of the eBPF programs: {error}"))).ok()
}
