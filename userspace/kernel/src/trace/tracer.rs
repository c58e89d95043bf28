//! The tracing programs at work: attached, settled against the kernel's own tables, asked for what happened.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use aioinspect_ebpf::{
    Counters, EventKind, EventRecord, HeadRecord, Pass, TraceControl, TracedKey, TracedRecord, Wire,
};
use aya::maps::{Map, MapData, RingBuf};

use crate::bpf::call::{self, ProgramKind};
use crate::bpf::capacity::HEADS;
pub use crate::bpf::capacity::Sizes;
use crate::bpf::embedded;
use crate::bpf::error::ProbeError;
use crate::bpf::info;
use crate::bpf::map::{HashMap, PerCpuValue};
use crate::bpf::mapped::MappedArray;
use crate::bpf::program::load_program;
use crate::bpf::ways::Ways;
use crate::host::page::page_size;
use crate::layout::read::read_layout_and_hooks;
use crate::trace::cgroup_maps::CgroupMaps;
use crate::trace::hook::{Attached, Hook};
use crate::trace::space_end::SpaceEnd;
use crate::trace::space_sweep::Sweeper;
use crate::trace::{cgroup_maps, space_end};

/// Calls under way that are kept at a time: threads that are inside io_setup or io_destroy.
const CALLS: u32 = 8192;

/// What was missed since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Events that nobody will see.
    pub events: u64,
    /// Of them: runs of programs that the kernel skipped. What they would have done to the map is not done.
    pub skipped: u64,
    /// Contexts for which the map had no room.
    pub contexts: u64,
}

/// What a settling found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Contexts that the map did not know.
    pub found: u32,
    /// Contexts of the map that are no more.
    pub gone: u32,
    /// Differences that calls under way may explain, and that were left.
    pub unsettled: u32,
    /// Contexts for which the map has no room.
    pub unstored: u32,
}

/// Programs that see every call, and the map of contexts they keep.
pub struct Tracer {
    hook: Hook,
    // Detached first.
    attached: Attached,
    control: MappedArray<TraceControl>,
    traced: HashMap<TracedKey, TracedRecord>,
    counters: PerCpuValue<Counters>,
    events: RingBuf<MapData>,
    /// Events that were taken out of the buffer to make room in it.
    waiting: VecDeque<EventRecord>,
    settle: OwnedFd,
    settle_program: OwnedFd,
    heads: Option<OwnedFd>,
    headers: MappedArray<HeadRecord>,
    round: u32,
    sweeper: Sweeper,
}

impl Tracer {
    /// Loads everything and attaches it to the first hook of `wanted`, or of the ladder, that this kernel takes.
    ///
    /// With what the programs tell of the control groups of those who call. `tried` gets a line for each rung that does not.
    pub fn start(
        sizes: Sizes,
        wanted: Option<Hook>,
        ends: Option<SpaceEnd>,
        log_level: u8,
        tried: &mut Vec<String>,
    ) -> Result<(Self, CgroupMaps), ProbeError> {
        let (layout, ids) = read_layout_and_hooks()?;
        let sizes = if layout.map_allocator.is_some() { sizes } else { sizes.taken_at_once() };
        let counts = [
            // One entry more says since when it is kept.
            ("TRACED", sizes.contexts.saturating_add(1)),
            ("SPACES", sizes.spaces),
            ("CALLS", CALLS),
            ("HEADS", HEADS),
            ("CGROUPS", cgroup_maps::ENTRIES),
            ("CGROUP_NAMES", cgroup_maps::ENTRIES),
            // A power of two, and of whole pages (kernel/bpf/ringbuf.c:ringbuf_map_alloc).
            ("EVENTS", sizes.buffer.next_power_of_two().max(page_size())),
        ];
        let offsets = layout.offsets(page_size());
        let (mut prepared, settle_program) = Ways::try_all(&layout, |ways| {
            let prepared = embedded::prepare(embedded::TRACE, &offsets, ways, log_level, &counts)?;
            let kind = ProgramKind::Iter(layout.iter_task_func);
            let settle = load_program("settle", prepared.code("settle")?, &prepared.btf, kind)?;
            Ok((prepared, settle))
        })?;
        let settle = call::iter_link_create(settle_program.as_fd(), None)
            .map_err(|e| ProbeError::from_bpf("attach an iterator", &e))?;
        // Where it does not load, the headers stay unknown to a watch without privileges.
        let heads = prepared
            .code("heads")
            .and_then(|code| {
                load_program("heads", code, &prepared.btf, ProgramKind::SleepableIter(layout.iter_task_func))
            })
            .map_err(|error| tried.push(format!("heads: {error}")))
            .ok();
        let heads = match heads {
            Some(program) => Some(
                call::iter_link_create(program.as_fd(), None)
                    .map_err(|e| ProbeError::from_bpf("attach an iterator", &e))?,
            ),
            None => None,
        };
        let mut control = prepared.take("TRACE", MappedArray::open)?;
        let headers = prepared.take("HEADS", MappedArray::open)?;
        learn_reader(&mut control, &settle)?;
        let reader = control.first().reader_cgroups;
        let cgroups = CgroupMaps::take(&mut prepared, reader)?;

        let rungs = wanted.map_or_else(|| Hook::ALL.to_vec(), |hook| vec![hook]);
        let mut last = None;
        let mut found = None;
        for hook in rungs {
            match Attached::try_hook(&prepared, &ids, hook) {
                Ok(attached) => {
                    found = Some((hook, attached));
                    break;
                }
                Err(error) => {
                    tried.push(format!("hook {}: {error}", hook.name()));
                    last = Some(error);
                }
            }
        }
        let Some((hook, mut attached)) = found else {
            return Err(last.unwrap_or_else(|| ProbeError::Object("no hook".to_owned())));
        };
        let end = space_end::attach(&mut attached, &prepared, &ids, ends, tried)?;
        let events = ring_buffer(prepared.take("EVENTS", Ok)?)?;
        let traced = prepared.take("TRACED", HashMap::open)?;
        let counters = prepared.take("COUNTERS", PerCpuValue::open)?;
        let sweeper = Sweeper::new(prepared.take("SPACES", HashMap::open)?, end);
        let started = Self {
            hook,
            attached,
            control,
            traced,
            counters,
            events,
            waiting: VecDeque::new(),
            settle,
            settle_program,
            heads,
            headers,
            round: 0,
            sweeper,
        };
        Ok((started, cgroups))
    }

    /// The hook in use.
    pub fn hook(&self) -> Hook {
        self.hook
    }

    /// What a watch asks of the kernel once it is under way, for [`crate::confine::without_privileges::give_up`] to try.
    pub fn trial(&self) -> impl Fn() -> std::io::Result<()> + Sync {
        let (settle, counters) = (self.settle.as_fd(), &self.counters);
        move || {
            call::iter_create(settle)?;
            counters.of_each_cpu().map(drop)
        }
    }

    /// The descriptor that becomes readable when many events wait; a few are to be fetched by looking now and then.
    pub fn wakeup(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }

    /// Takes the events that wait, oldest first.
    pub fn events(&mut self, mut each: impl FnMut(EventRecord)) {
        while let Some(record) = self.waiting.pop_front().or_else(|| next_event(&mut self.events)) {
            if record.kind == EventKind::Left as u32 {
                self.sweeper.is_due = true;
            } else {
                each(record);
            }
        }
    }

    /// Has the contexts forgotten of address spaces that ended and that the programs have left to us, and their ends told as events. Where ends
    /// are not seen at all, this finds them. Cheap where there is nothing to do.
    pub fn sweep(&mut self) -> Result<(), ProbeError> {
        if !std::mem::take(&mut self.sweeper.is_due) {
            return Ok(());
        }
        let io = |error| ProbeError::Io { action: "read the map of address spaces", error };
        if self.sweeper.finds_ends() {
            self.sweeper.begin().map_err(io)?;
            self.round = self.round.checked_add(1).unwrap_or(1);
            self.pass(&TraceControl { pass: Pass::Mark as u32, ..TraceControl::default() })?;
        }
        for (mm, end) in self.sweeper.ended(self.round).map_err(io)? {
            let end = end as u32;
            self.pass(&TraceControl { pass: Pass::Sweep as u32, mm, end, ..TraceControl::default() })?;
        }
        Ok(())
    }

    /// Has [`Self::sweep`] look, though no event asked for it. `skipped`: the end of an address space may have been missed.
    pub fn sweep_is_due(&mut self, skipped: bool) {
        self.sweeper.is_due = true;
        self.sweeper.is_in_doubt |= skipped;
    }

    /// Compares the map with the kernel's tables and puts it right. `announce`: contexts that are found are told as events.
    pub fn settle(&mut self, announce: bool) -> Result<Settled, ProbeError> {
        self.round = self.round.checked_add(1).unwrap_or(1);
        let mut control = TraceControl::default();
        let mut unstored = 0;
        for pass in [Pass::Mark, Pass::Busy, Pass::Resolve] {
            let announce = u32::from(announce);
            control = self.pass(&TraceControl { pass: pass as u32, announce, ..TraceControl::default() })?;
            if pass == Pass::Mark {
                unstored = control.unstored;
                if control.unsettled == 0 {
                    return Ok(Settled { unstored, ..Settled::default() });
                }
            }
        }
        Ok(Settled { found: control.found, gone: control.gone, unsettled: control.unsettled, unstored })
    }

    fn pass(&mut self, inputs: &TraceControl) -> Result<TraceControl, ProbeError> {
        let learnt = self.control.first();
        let inputs = TraceControl {
            round: self.round,
            level_plus_one: learnt.level_plus_one,
            reader_ns: learnt.reader_ns,
            ..*inputs
        };
        let (events, waiting) = (&mut self.events, &mut self.waiting);
        run(&mut self.control, &self.settle, &inputs, |control| {
            if control.first().is_full != 0 {
                waiting.extend(std::iter::from_fn(|| next_event(events)));
            }
        })?;
        Ok(self.control.first())
    }

    /// What was missed.
    pub fn losses(&self) -> Result<Losses, ProbeError> {
        let io = |error| ProbeError::Io { action: "read the counters of losses", error };
        let mut losses = Losses::default();
        for counters in self.counters.of_each_cpu().map_err(io)? {
            let events = counters.events.saturating_add(counters.calls).saturating_add(counters.ends);
            losses.events = losses.events.saturating_add(events);
            losses.contexts = losses.contexts.saturating_add(counters.contexts);
        }
        for program in &self.attached.programs {
            let misses = info::recursion_misses(program.as_fd()).map_err(io)?;
            losses.events = losses.events.saturating_add(misses);
            losses.skipped = losses.skipped.saturating_add(misses);
        }
        Ok(losses)
    }

    /// The contexts of the map, empty entries left out.
    pub fn contexts(&self) -> Result<Vec<(TracedKey, TracedRecord)>, ProbeError> {
        let mut contexts = self
            .traced
            .all()
            .map_err(|error| ProbeError::Io { action: "read the map of contexts", error })?;
        contexts.retain(|(_, record)| record.kioctx != 0);
        Ok(contexts)
    }

    /// Whether it can read headers.
    pub fn reads_heads(&self) -> bool {
        self.heads.is_some()
    }

    /// Has the header of every ring of the host read, without any privilege; nothing where the kernel does not take the program for that.
    pub fn read_heads(&mut self) -> Result<Vec<HeadRecord>, ProbeError> {
        let mut records = Vec::new();
        let Some(heads) = &self.heads else { return Ok(records) };
        let learnt = self.control.first();
        let inputs = TraceControl {
            level_plus_one: learnt.level_plus_one,
            reader_ns: learnt.reader_ns,
            ..TraceControl::default()
        };
        run(&mut self.control, heads, &inputs, |control| {
            let now = control.first();
            if now.is_full != 0 {
                self.headers.read_into(now.heads, &mut records);
                control.set_first(&TraceControl { heads: 0, is_full: 0, ..now });
            }
        })?;
        let now = self.control.first();
        self.headers.read_into(now.heads, &mut records);
        Ok(records)
    }

    /// The id of the program that settles, by which its log is found.
    pub fn program_id(&self) -> Result<u32, ProbeError> {
        info::prog_id(self.settle_program.as_fd())
            .map_err(|e| ProbeError::from_bpf("get the program's id", &e))
    }
}

/// Tells the programs whose PID namespace the numbers are to be of: before anything is attached.
fn learn_reader(control: &mut MappedArray<TraceControl>, settle: &OwnedFd) -> Result<(), ProbeError> {
    let inputs = TraceControl { pass: Pass::Learn as u32, ..TraceControl::default() };
    run(control, settle, &inputs, |_| {})
}

/// Runs a walk; `between` takes what it has filled, each time it pauses.
fn run(
    control: &mut MappedArray<TraceControl>,
    link: &OwnedFd,
    inputs: &TraceControl,
    mut between: impl FnMut(&mut MappedArray<TraceControl>),
) -> Result<(), ProbeError> {
    let walk = call::iter_create(link.as_fd()).map_err(|e| ProbeError::from_bpf("open an iterator", &e))?;
    control.set_first(inputs);
    call::iter_run_in_pieces(walk.as_fd(), || between(control))
        .map_err(|error| ProbeError::Io { action: "settle the map of contexts", error })
}

fn next_event(events: &mut RingBuf<MapData>) -> Option<EventRecord> {
    // All records are of one kind.
    events.next().and_then(|item| EventRecord::read(&item))
}

fn ring_buffer(map: OwnedFd) -> Result<RingBuf<MapData>, ProbeError> {
    let object = |error: aya::maps::MapError| ProbeError::Object(format!("ring buffer: {error}"));
    let data = MapData::from_fd(map).map_err(object)?;
    RingBuf::try_from(Map::RingBuf(data)).map_err(object)
}
