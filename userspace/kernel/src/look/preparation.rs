//! One process about to be examined: everything that is read of it before anybody is held.

use crate::census::probe::{CensusScope, MmKey, Probe};
use crate::census::records::{SpaceWord, by_space};
use crate::host::clock;
use crate::host::page::page_size;
use crate::look::evidence_source::SourceError;
use crate::look::ring_maps::{MappedRing, RingMaps, by_iterator, mm_of};
use crate::proc::files::ProcDir;
use aioinspect_model::evidence::{ImageFacts, Process, RingMapping, Sharer, Vma};
use aioinspect_model::units::{ContextId, Instant, Pid};
use aioinspect_parse::proc::auxv;
use aioinspect_parse::proc::smaps::{confirm_rings, parse, ring_mappings};
use aioinspect_parse::proc::stat::Stat;
use aioinspect_parse::proc::status::Status;

/// A process, opened: a PID that is used again is not taken for it.
pub(super) struct Subject {
    /// Its directory in `/proc`, opened once.
    pub dir: ProcDir,
    /// Every mapping, with the confirmed rings marked.
    pub vmas: Vec<Vma>,
    /// The rings among them.
    pub mappings: Vec<RingMapping>,
    /// When the mappings were read.
    pub mappings_at: Instant,
}

impl Subject {
    /// Reads the mappings of an opened process.
    pub(super) fn read(dir: ProcDir) -> Result<Self, SourceError> {
        let pid = dir.pid();
        let mappings_at = clock::now();
        let text = dir.smaps()?;
        let mut vmas = parse(&text).map_err(|why| unclear(pid, "smaps", &why))?;
        confirm_rings(&mut vmas, |start, end| dir.map_file_mode(start, end));
        let mappings = ring_mappings(&vmas);
        Ok(Self { dir, vmas, mappings, mappings_at })
    }

    /// What an image needs beside the contexts and the mappings. A program that is executed meanwhile has others: they are of the program
    /// that was looked at only if they are the same before and after the look (half of an exec may show in the first of them).
    pub(super) fn facts(&self) -> Result<ImageFacts, SourceError> {
        let pid = self.dir.pid();
        let stat = Stat::parse(&self.dir.stat()?).map_err(|why| unclear(pid, "stat", &why))?;
        if stat.layout_hidden() {
            return Err(crate::proc::files::ProcError::NotPermitted {
                pid,
                file: "stat (the addresses in it)".to_owned(),
                barrier: crate::proc::barrier::Barrier::Needs("CAP_SYS_PTRACE"),
            }
            .into());
        }
        let auxv = auxv::parse(&self.dir.auxv()?).map_err(|why| unclear(pid, "auxv", &why))?;
        let status = Status::parse(&self.dir.status()?).map_err(|why| unclear(pid, "status", &why))?;
        let thp_disabled = status.thp_enabled.map(|enabled| !enabled);
        Ok(ImageFacts { layout: stat.layout, auxv, vmas: Vec::new(), thp_disabled })
    }

    /// The same where an image is wanted.
    pub(super) fn facts_if(&self, image: bool) -> Result<Option<ImageFacts>, SourceError> {
        if image { self.facts().map(Some) } else { Ok(None) }
    }

    /// The facts with the mappings.
    pub(super) fn image(self, facts: Option<ImageFacts>) -> Option<ImageFacts> {
        facts.map(|facts| ImageFacts { vmas: self.vmas, ..facts })
    }

    /// The same process as a name, from its own files.
    pub(super) fn process(&self) -> Result<Process, SourceError> {
        let pid = self.dir.pid();
        let stat = Stat::parse(&self.dir.stat()?).map_err(|why| unclear(pid, "stat", &why))?;
        let (cgroup, ns_pids) = (self.dir.cgroup().ok(), self.dir.ns_pids());
        Ok(Process {
            pid,
            comm: stat.comm,
            start_ticks: stat.start_ticks,
            cgroup,
            ns_pids,
            ..Process::default()
        })
    }
}

fn unclear(pid: Pid, what: &'static str, why: &dyn std::fmt::Display) -> SourceError {
    SourceError::Text { pid, what, why: why.to_string() }
}

/// The mm of a process and the kernel's word on it, all its threads in all its processes included.
pub(super) fn word_of(probe: &mut Probe, dir: &ProcDir) -> Result<(MmKey, SpaceWord), SourceError> {
    let mm = mm_of_process(probe, dir)?;
    Ok((mm, word_on(probe, mm)?))
}

/// The mm of a process; an error that says why, if the census shows none.
pub(super) fn mm_of_process(probe: &mut Probe, dir: &ProcDir) -> Result<MmKey, SourceError> {
    let records = probe.census(CensusScope::Process(dir.pid()))?;
    if let Some(mm) = records.mms.last() {
        return Ok(MmKey(mm.mm));
    }
    // No thread of it has memory: say whether it is gone, a zombie, or the kernel's.
    dir.live_thread()?;
    // It lives, and the iterator passes it over: a kernel that hides it from BPF hides its memory too.
    drop(dir.open_maps()?);
    Err(crate::proc::files::ProcError::Unseen(dir.pid()).into())
}

/// What is left to say where a process cannot be read: the kernel's word on its contexts.
pub(super) fn with_word(error: SourceError, word: &SpaceWord) -> SourceError {
    let is_closed = matches!(
        error,
        SourceError::Proc(crate::proc::files::ProcError::NotPermitted { .. })
            | SourceError::Memory(crate::proc::memory::MemoryError::NotPermitted(_))
    );
    if !is_closed {
        return error;
    }
    let contexts = &word.word.contexts;
    // One that is not known makes the sum unknown, and yet what is known may be too much.
    let known: Vec<u64> =
        contexts.iter().filter_map(|context| context.in_flight().number()).map(u64::from).collect();
    let sum = known.iter().sum::<u64>();
    let in_flight = (known.len() == contexts.len() || sum > 0).then_some(sum);
    SourceError::Closed { closed: Box::new(error), contexts: contexts.len(), in_flight }
}

/// The kernel's word on one mm; nothing if everybody has left it.
pub(super) fn word_on(probe: &mut Probe, mm: MmKey) -> Result<SpaceWord, SourceError> {
    let records = probe.census(CensusScope::Mm(mm))?;
    let mut word = by_space(&records, probe.known()).remove(&mm).unwrap_or_default();
    word.word.begun_at = records.begun_at;
    word.word.ended_at = records.ended_at;
    Ok(word)
}

/// Every mapping of a ring that can be seen; where only files of processes show them, those of `words` are told apart by them.
pub(super) fn rings_of_host<'a>(
    probe: &mut Probe,
    words: impl IntoIterator<Item = (&'a MmKey, &'a SpaceWord)>,
    notes: &mut Vec<String>,
) -> Result<Vec<MappedRing>, SourceError> {
    if let Some(records) = probe.rings()? {
        let page_size = page_size();
        return Ok(records.iter().map(|ring| by_iterator(ring, page_size)).collect());
    }
    let maps = RingMaps::of_host()?;
    // Several looks have one thing to say.
    notes.extend(maps.note().filter(|note| !notes.contains(note)));
    Ok(maps.grouped(&mm_of(words)))
}

/// Who else maps the rings of the address space `mm`.
pub(super) fn sharers_among(all: &[MappedRing], mm: MmKey, rings: &[RingMapping]) -> Vec<Sharer> {
    let is_ours = |inode| rings.iter().any(|ring| ring.inode == inode);
    let others = all.iter().filter(|other| other.mm != mm && is_ours(other.mapping.inode));
    let mut sharers: Vec<Sharer> = others
        .map(|other| {
            let comm = ProcDir::open(other.pid).and_then(|dir| dir.comm()).unwrap_or_default();
            let RingMapping { inode, start, .. } = other.mapping;
            Sharer { pid: other.pid, comm, inode, address: ContextId(start) }
        })
        .collect();
    sharers.dedup();
    sharers
}

/// The addresses whose headers are to be read: where the kernel says that the contexts are.
pub(super) fn addresses(word: &SpaceWord) -> Vec<ContextId> {
    word.word.contexts.iter().map(|context| context.user_id).collect()
}

/// The processes of a word, lowest first.
pub(super) fn pids_of(word: &SpaceWord) -> Vec<Pid> {
    word.processes.iter().map(|process| process.pid).collect()
}

/// Names the processes of a word, with their cgroups and their numbers in nested PID namespaces.
pub(super) fn named(word: &SpaceWord) -> Vec<Process> {
    let by_its_files = |process: &Process| {
        let dir = ProcDir::open(process.pid).ok();
        let cgroup = dir.as_ref().and_then(|dir| dir.cgroup().ok());
        Process { cgroup, ns_pids: dir.map(|dir| dir.ns_pids()).unwrap_or_default(), ..process.clone() }
    };
    word.processes.iter().map(by_its_files).collect()
}
