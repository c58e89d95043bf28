//! The live host: holds the loaded probe, and sends each question to where it is answered.

use crate::bpf::error::ProbeError;
use crate::census::probe::Probe;
use crate::look::evidence_source::{Ask, Hold, Source, SourceError};
use crate::look::preparation::mm_of_process;
use crate::proc::files::ProcDir;
use crate::{
    census::waiters,
    host::system,
    look::{absence, host, host_without_bpf, process},
    proc::other_io,
};
use aioinspect_model::evidence::{CensusSource, Evidence, SystemFacts};
use aioinspect_model::units::Pid;

/// The running kernel.
pub struct Live {
    probe: Option<Probe>,
    use_bpf: bool,
    log_level: u8,
    ring_iterator: bool,
    notes: Vec<String>,
}

impl Live {
    /// Nothing is loaded until something is asked. `use_bpf` false: the processes' word alone. `log_level`: aya-log's, 0 off.
    pub fn new(use_bpf: bool, log_level: u8) -> Self {
        Self { probe: None, use_bpf, log_level, ring_iterator: true, notes: Vec::new() }
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
        if let Err(error) = self.probe(facts) {
            self.notes.push(format!(
                "{error}; showing only what /proc and ring memory reveal (see `aioinspect doctor`)"
            ));
        }
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
        self.look_at(ask).map_err(|error| absence::plain(ask.pid, error))
    }

    fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }
}

impl Live {
    /// Whether a process of which nothing was shown could have been seen at all; if not, why.
    pub fn could_see(&mut self, pid: Pid) -> Result<(), SourceError> {
        self.try_to_see(pid).map_err(|error| absence::plain(pid, error))
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

    fn look_at(&mut self, ask: &Ask) -> Result<Evidence, SourceError> {
        let system = system::facts()?;
        let with_kernel = if !self.use_bpf {
            false
        } else if ask.without_kernel {
            self.probe_or_note(&system).is_some()
        } else {
            if let Err(error) = self.probe(&system) {
                // A process that cannot be looked at at all is the better thing to say.
                ProcDir::open(ask.pid)?.live_thread()?;
                return Err(error.into());
            }
            true
        };
        // Before any of its files is opened: of a process that waits in exec they make the reader wait as well.
        if let Some(probe) = self.probe.as_mut().filter(|_| with_kernel) {
            if let Some(space) = waiters::ending(probe, ask.pid)? {
                let lacks = probe.known().lacks().to_vec();
                let (source, target) = (CensusSource::Bpf, Some(ask.pid));
                return Ok(self.finish(Evidence { system, source, target, spaces: vec![space], lacks }));
            }
            ProcDir::open(ask.pid)?.live_thread()?;
        }
        let (source, space, lacks) = match self.probe.as_mut().filter(|_| with_kernel) {
            Some(probe) => {
                let notes = &mut self.notes;
                let space = match ask.hold {
                    Hold::NoTouch => process::without_touching(probe, ask, notes)?,
                    Hold::Ptrace(timeout) => crate::look::frozen_process::frozen(probe, ask, timeout, notes)?,
                };
                (CensusSource::Bpf, space, probe.known().lacks().to_vec())
            }
            None => (CensusSource::Proc, process::by_proc_alone(ask)?, Vec::new()),
        };
        let mut space = space;
        // Nobody is held any more.
        space.not_looked_at = Some(other_io::find(space.processes.iter().map(|process| process.pid)));
        let evidence = Evidence { system, source, target: Some(ask.pid), spaces: vec![space], lacks };
        Ok(self.finish(evidence))
    }
}
