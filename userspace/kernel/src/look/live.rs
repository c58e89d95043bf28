//! The live host: holds the loaded probe, and sends each question to where it is answered.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::bpf::error::ProbeError;
use crate::census::probe::Probe;
use crate::census::traced_map::TracedMaps;
use crate::host::clock;
use crate::look::evidence_source::{Ask, Fate, Hold, Source, SourceError};
use crate::look::frozen_process::{Freeze, frozen};
use crate::look::planned::Whom;
use crate::look::preparation::mm_of_process;
use crate::proc::files::ProcDir;
use crate::proc::group::Group;
use crate::{
    census::waiters,
    host::system,
    look::{absence, host, host_without_bpf, process},
    proc::other_io,
};
use aioinspect_model::births::Births;
use aioinspect_model::evidence::{AddressSpace, CensusSource, Evidence, SystemFacts};
use aioinspect_model::units::{MmId, Pid};

/// How often a group is looked at again because it gained a process meanwhile.
const GROUP_TRIES: u32 = 5;
/// Pause before it is looked at again because a member is about to end.
const BETWEEN: Duration = Duration::from_millis(10);

/// The running kernel.
pub struct Live {
    probe: Option<Probe>,
    use_bpf: bool,
    log_level: u8,
    ring_iterator: bool,
    /// Why there is no probe, once that was tried by who can do without: trying takes as long as a look.
    no_probe: Option<String>,
    notes: Vec<String>,
}

impl Live {
    /// Nothing is loaded until something is asked. `use_bpf` false: the processes' word alone. `log_level`: aya-log's, 0 off.
    pub fn new(use_bpf: bool, log_level: u8) -> Self {
        Self { probe: None, use_bpf, log_level, ring_iterator: true, no_probe: None, notes: Vec::new() }
    }

    /// The same as a kernel before 5.12 would have it: without the BPF iterator over mappings.
    #[must_use]
    pub fn without_ring_iterator(self) -> Self {
        Self { ring_iterator: false, ..self }
    }

    /// The loaded probe, or why there is none.
    pub fn probe(&mut self, facts: &SystemFacts) -> Result<&mut Probe, ProbeError> {
        let probe = if let Some(probe) = self.probe.take() {
            probe
        } else {
            let probe = Probe::load(facts.possible_cpus, self.log_level)?;
            if self.ring_iterator { probe } else { probe.without_ring_iterator() }
        };
        Ok(self.probe.insert(probe))
    }

    /// The probe; `None`, with a note, if the caller can do without and there is none.
    fn probe_or_note(&mut self, facts: &SystemFacts) -> Option<&mut Probe> {
        if !self.use_bpf {
            return None;
        }
        if self.no_probe.is_none()
            && let Err(error) = self.probe(facts)
        {
            self.no_probe = Some(format!(
                "{error}; showing only what /proc and ring memory reveal (see `aioinspect doctor`)"
            ));
        }
        self.notes.extend(self.no_probe.clone());
        self.probe.as_mut()
    }

    fn finish(&mut self, evidence: Evidence) -> Evidence {
        if self.log_level > 0
            && let Some(probe) = &self.probe
            && let Err(error) = probe.drain_log()
        {
            self.notes.push(format!("cannot show the log of the eBPF programs: {error}"));
        }
        evidence
    }
}

impl Source for Live {
    fn host(&mut self, owners: bool) -> Result<Evidence, SourceError> {
        let facts = system::facts()?;
        let evidence = match self.probe_or_note(&facts) {
            Some(probe) => {
                let mut notes = Vec::new();
                let evidence = host::look(probe, facts, owners, &mut notes, host::HeaderReader::Us)?;
                self.notes.append(&mut notes);
                evidence
            }
            None => host_without_bpf::look(facts, owners, &mut self.notes)?,
        };
        Ok(self.finish(evidence))
    }

    fn process(&mut self, ask: &Ask) -> Result<Evidence, SourceError> {
        absence::seen(ask.pid, || self.look_at(ask))
    }

    fn group(&mut self, group: &Group, ask: &Ask) -> Result<Evidence, SourceError> {
        self.look_at_group(group, ask).map_err(|error| match group {
            Group::Tree(root) => absence::plain(*root, error),
            Group::Cgroup(_) => error,
        })
    }

    fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }
}

impl Live {
    /// What a watch that is under way knows of the contexts of the host; nothing without one, or without CAP_SYS_ADMIN.
    pub fn births(&self) -> Births {
        let Some((contexts, since)) = TracedMaps::find().oldest() else { return Births::default() };
        let (taken, taken_unix_ns) = (clock::now(), clock::unix_now());
        let since_unix_ns = taken_unix_ns.saturating_sub(taken.0.saturating_sub(since.0));
        Births { contexts, since_unix_ns, taken, taken_unix_ns }
    }

    /// Whether a process of which nothing was shown could have been seen at all; if not, why.
    pub fn could_see(&mut self, pid: Pid) -> Result<(), SourceError> {
        absence::seen(pid, || self.try_to_see(pid))
    }

    fn try_to_see(&mut self, pid: Pid) -> Result<(), SourceError> {
        let dir = ProcDir::open(pid)?;
        dir.live_thread()?;
        match self.probe.as_mut() {
            Some(probe) => drop(mm_of_process(probe, &dir)?),
            None => drop(dir.open_maps()?),
        }
        Ok(())
    }

    /// Whether the kernel's word is to be had: loads the probe, or notes why there is none where the caller can do without it.
    fn with_kernel(
        &mut self,
        system: &SystemFacts,
        ask: &Ask,
        pid: Option<Pid>,
    ) -> Result<bool, SourceError> {
        if !self.use_bpf {
            return Ok(false);
        }
        if ask.without_kernel {
            return Ok(self.probe_or_note(system).is_some());
        }
        if let Err(error) = self.probe(system) {
            // A process that cannot be looked at at all is the better thing to say.
            if let Some(pid) = pid {
                ProcDir::open(pid)?.live_thread()?;
            }
            return Err(error.into());
        }
        Ok(true)
    }

    fn look_at(&mut self, ask: &Ask) -> Result<Evidence, SourceError> {
        let system = system::facts()?;
        let with_kernel = self.with_kernel(&system, ask, Some(ask.pid))?;
        // Before any of its files is opened: of a process that waits in exec they make the reader wait as well.
        if let Some(probe) = self.probe.as_mut().filter(|_| with_kernel) {
            if let Some(space) = waiters::ending(probe, ask.pid)? {
                let lacks = probe.known().lacks().to_vec();
                let (source, target) = (CensusSource::Bpf, Some(ask.pid));
                return Ok(self.finish(Evidence {
                    system,
                    source,
                    target,
                    root: None,
                    spaces: vec![space],
                    lacks,
                }));
            }
            ProcDir::open(ask.pid)?.live_thread()?;
        }
        let (source, mut spaces, lacks) = match self.probe.as_mut().filter(|_| with_kernel) {
            Some(probe) => {
                let pids = [ask.pid];
                let whom = Whom { pids: &pids, is_group: false, image: ask.image };
                let spaces = together(probe, whom, ask.hold, &mut self.notes)?;
                (CensusSource::Bpf, spaces, probe.known().lacks().to_vec())
            }
            None => (CensusSource::Proc, vec![process::by_proc_alone(ask)?], Vec::new()),
        };
        find_other_io(&mut spaces);
        Ok(self.finish(Evidence { system, source, target: Some(ask.pid), root: None, spaces, lacks }))
    }

    /// A member that is about to end, or in exec, is looked for again for a moment: then it is gone, or another program.
    fn look_at_group(&mut self, group: &Group, ask: &Ask) -> Result<Evidence, SourceError> {
        let begun = Instant::now();
        loop {
            match self.look_at_members(group, ask) {
                Err(error) if error.fate() != Fate::Unknown && begun.elapsed() < waiters::BRIEF => {
                    sleep(BETWEEN);
                }
                other => return other,
            }
        }
    }

    fn look_at_members(&mut self, group: &Group, ask: &Ask) -> Result<Evidence, SourceError> {
        let system = system::facts()?;
        let with_kernel = self.with_kernel(&system, ask, None)?;
        let root = match group {
            Group::Tree(root) => Some(*root),
            Group::Cgroup(_) => None,
        };
        let mut left = GROUP_TRIES;
        loop {
            left = left.saturating_sub(1);
            let pids = group.members()?;
            let (source, mut spaces, lacks) = match self.probe.as_mut().filter(|_| with_kernel) {
                Some(probe) => {
                    let (mut spaces, alive) = endings(probe, &pids)?;
                    let whom = Whom { pids: &alive, is_group: true, image: ask.image };
                    spaces.extend(together(probe, whom, ask.hold, &mut self.notes)?);
                    (CensusSource::Bpf, spaces, probe.known().lacks().to_vec())
                }
                None => (CensusSource::Proc, by_proc_alone(&pids, ask)?, Vec::new()),
            };
            // Who came meanwhile was not looked at, nor held.
            let is_whole = group.members()?.iter().all(|pid| pids.contains(pid));
            if !is_whole && left > 0 {
                continue;
            }
            for look in spaces.iter_mut().filter(|_| !is_whole).flat_map(|space| &mut space.looks) {
                for word in look.before.iter_mut().chain(&mut look.after) {
                    word.torn = true;
                }
            }
            for (ordinal, space) in spaces.iter_mut().enumerate() {
                space.mm = MmId(u32::try_from(ordinal).unwrap_or(u32::MAX));
            }
            find_other_io(&mut spaces);
            return Ok(self.finish(Evidence { system, source, target: None, root, spaces, lacks }));
        }
    }
}

/// Reads address spaces as one, in the way that is asked for.
fn together(
    probe: &mut Probe,
    whom: Whom<'_>,
    hold: Hold,
    notes: &mut Vec<String>,
) -> Result<Vec<AddressSpace>, SourceError> {
    if whom.pids.is_empty() {
        return Ok(Vec::new());
    }
    let freeze = |stop_within, drain| Freeze { stop_within, drain };
    match hold {
        Hold::NoTouch => process::without_touching(probe, whom, None, notes),
        Hold::DrainHeld(time) => process::without_touching(probe, whom, Some(time), notes),
        Hold::Ptrace(stop_within) => frozen(probe, whom, freeze(stop_within, None), notes),
        Hold::Drain { stop_within, drain } => frozen(probe, whom, freeze(stop_within, Some(drain)), notes),
    }
}

/// Those that wait for their contexts in exit or exec, and the processes that can be looked at.
fn endings(probe: &mut Probe, pids: &[Pid]) -> Result<(Vec<AddressSpace>, Vec<Pid>), SourceError> {
    let (mut spaces, mut alive) = (Vec::new(), Vec::with_capacity(pids.len()));
    let waiting = waiters::waiters(probe)?;
    for pid in pids {
        if waiting.iter().any(|waiter| waiter.wait.pid == *pid)
            && let Some(space) = waiters::ending(probe, *pid)?
        {
            spaces.push(space);
            continue;
        }
        match ProcDir::open(*pid).and_then(|dir| dir.live_thread()) {
            Ok(_) => alive.push(*pid),
            Err(error) => {
                let error = SourceError::from(error);
                if error.fate() != Fate::Gone {
                    return Err(error);
                }
            }
        }
    }
    Ok((spaces, alive))
}

/// The processes' word alone.
fn by_proc_alone(pids: &[Pid], ask: &Ask) -> Result<Vec<AddressSpace>, SourceError> {
    let mut spaces = Vec::with_capacity(pids.len());
    for pid in pids {
        match process::by_proc_alone(&Ask { pid: *pid, ..*ask }) {
            Ok(space) => spaces.push(space),
            Err(error) if error.fate() == Fate::Gone => {}
            Err(error) => return Err(error),
        }
    }
    Ok(spaces)
}

/// Looks for I/O that is in no context, when nobody is held any more.
fn find_other_io(spaces: &mut [AddressSpace]) {
    for space in spaces {
        space.not_looked_at = Some(other_io::find(space.processes.iter().map(|process| process.pid)));
    }
}
