//! The kernel's own word: loads the iterators, runs them, hands out their records.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};

use aioinspect_ebpf::{
    ContextRecord, Control, CreditsRecord, MmRecord, Mode, RingRecord, TaskRecord, WaitRecord,
};

use crate::bpf::call::{self, Code, ProgramKind};
use crate::bpf::capacity::{CREDITS, Capacity, RINGS, WAITS};
use crate::bpf::embedded;
use crate::bpf::error::ProbeError;
use crate::bpf::info;
use crate::bpf::log::OpenLog;
use crate::bpf::mapped::MappedArray;
use crate::bpf::program::{load_program, verified_instructions};
use crate::bpf::ways::Ways;
use crate::census::cpu_distances;
use crate::census::records::PF_USER_WORKER;
pub use crate::census::records::{MmKey, Records};
use crate::census::ring_walk::RingArrays;
pub use crate::census::ring_walk::RingWalk;
use crate::host::clock;
use crate::host::page::page_size;
use crate::layout::read::read_layout;
use aioinspect_model::known::{Fact, Known};
use aioinspect_model::units::{Instant, Pid, Tid};
use aioinspect_parse::kernel::layout::Layout;

/// What a census is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CensusScope {
    /// Every address space that has contexts.
    All,
    /// One address space, with or without contexts.
    Mm(MmKey),
    /// The address space of one process, and the threads of that process.
    Process(Pid),
}

/// A walk over one thread, opened ahead so that running it is a single call.
#[derive(Debug)]
pub struct Walk {
    fd: OwnedFd,
    _link: Option<OwnedFd>,
}

impl Walk {
    /// Runs it: one read(2), no allocation, nothing parsed.
    pub fn run(&self) -> std::io::Result<()> {
        call::iter_run(self.fd.as_fd())
    }
}

/// The loaded programs.
pub struct Probe {
    layout: Layout,
    known: Known,
    ways: Ways,
    possible_cpus: u32,
    capacity: Capacity,
    log_level: u8,
    pub(super) control: MappedArray<Control>,
    pub(super) contexts: MappedArray<ContextRecord>,
    credits: MappedArray<CreditsRecord>,
    mms: MappedArray<MmRecord>,
    tasks: MappedArray<TaskRecord>,
    pub(super) waits: MappedArray<WaitRecord>,
    ring_arrays: RingArrays,
    census: OwnedFd,
    census_code: Code,
    census_link: OwnedFd,
    rings_code: Code,
    waits_code: Code,
    pub(super) waits_link: OwnedFd,
    btf: OwnedFd,
    rings_link: Option<OwnedFd>,
    _others: HashMap<String, OwnedFd>,
}

impl Probe {
    /// Loads and attaches the census. `log_level` is aya-log's (0 off .. 5 trace).
    pub fn load(possible_cpus: u32, log_level: u8) -> Result<Self, ProbeError> {
        let layout = read_layout()?;
        Ways::try_all(&layout, |ways| Self::load_by(&layout, ways, possible_cpus, Capacity::PIECE, log_level))
    }

    /// Loads by known ways, and learns what takes one run on each CPU where these do not reach all of them.
    fn load_by(
        layout: &Layout,
        ways: Ways,
        possible_cpus: u32,
        capacity: Capacity,
        log_level: u8,
    ) -> Result<Self, ProbeError> {
        let load = |ways| Self::load_with(layout.clone(), ways, possible_cpus, capacity, log_level);
        let mut probe = load(ways)?;
        if ways.reaches_every_cpu() {
            return Ok(probe);
        }
        let io = |error| ProbeError::Io { action: "run the census on each CPU", error };
        let visited = cpu_distances::on_each_cpu(possible_cpus, || probe.measure_this_cpu()).map_err(io)?;
        if visited < possible_cpus {
            if let Some(address) = cpu_distances::per_cpu_offset_at() {
                return load(ways.with_per_cpu_offset(address));
            }
            for fact in [Fact::PercpuAvailable, Fact::PercpuRefs] {
                probe.known.lose(fact, "this kernel does not let a program read the memory of offline CPUs");
            }
        }
        Ok(probe)
    }

    fn measure_this_cpu(&mut self) -> std::io::Result<()> {
        let walk = Walk { fd: call::iter_create(self.census_link.as_fd())?, _link: None };
        self.control.set_first(&Control { mode: Mode::ThisCpu as u32, ..self.kept() });
        walk.run()
    }

    fn load_with(
        layout: Layout,
        ways: Ways,
        possible_cpus: u32,
        capacity: Capacity,
        log_level: u8,
    ) -> Result<Self, ProbeError> {
        let sizes = [
            ("CONTEXTS", capacity.contexts),
            ("CREDITS", CREDITS),
            ("MMS", capacity.mms),
            ("TASKS", capacity.tasks),
            ("WAITS", WAITS),
            ("RINGS", RINGS),
            ("CPU_OFFSETS", possible_cpus),
        ];
        let mut prepared =
            embedded::prepare(embedded::CENSUS, &layout.offsets(page_size()), ways, log_level, &sizes)?;
        let control = prepared.take("CONTROL", MappedArray::open)?;
        let contexts = prepared.take("CONTEXTS", MappedArray::open)?;
        let credits = prepared.take("CREDITS", MappedArray::open)?;
        let mms = prepared.take("MMS", MappedArray::open)?;
        let tasks = prepared.take("TASKS", MappedArray::open)?;
        let waits = prepared.take("WAITS", MappedArray::open)?;
        let ring_control = prepared.take("RING_CONTROL", MappedArray::open)?;
        let ring_arrays = RingArrays::new(ring_control, prepared.take("RINGS", MappedArray::open)?);
        let census_code = prepared.code("census")?.clone();
        let census =
            load_program("census", &census_code, &prepared.btf, ProgramKind::Iter(layout.iter_task_func))?;
        let census_link = call::iter_link_create(census.as_fd(), None)
            .map_err(|e| ProbeError::from_bpf("attach an iterator", &e))?;
        let rings_code = prepared.code("rings")?.clone();
        let waits_code = prepared.code("waits")?.clone();
        let waits_program =
            load_program("waits", &waits_code, &prepared.btf, ProgramKind::Iter(layout.iter_task_func))?;
        let waits_link = call::iter_link_create(waits_program.as_fd(), None)
            .map_err(|e| ProbeError::from_bpf("attach an iterator", &e))?;
        let (others, btf) = prepared.into_rest();
        Ok(Self {
            known: layout.known(),
            layout,
            ways,
            possible_cpus,
            capacity,
            log_level,
            control,
            contexts,
            credits,
            mms,
            tasks,
            waits,
            ring_arrays,
            census,
            census_code,
            census_link,
            rings_code,
            waits_code,
            waits_link,
            btf,
            rings_link: None,
            _others: others,
        })
    }

    /// What the census can tell on this kernel.
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// How many instructions the verifier checks in each program of a census: what starting it costs.
    pub fn verified_instructions(&self) -> std::io::Result<Vec<(&'static str, u64)>> {
        let census = ProgramKind::Iter(self.layout.iter_task_func);
        let mut counts =
            vec![("census", verified_instructions("census", &self.census_code, &self.btf, census)?)];
        counts.push(("waits", verified_instructions("waits", &self.waits_code, &self.btf, census)?));
        if let Some(hook) = self.layout.iter_task_vma_func {
            let count = verified_instructions("rings", &self.rings_code, &self.btf, ProgramKind::Iter(hook))?;
            counts.push(("rings", count));
        }
        Ok(counts)
    }

    /// Does without the iterator over mappings, as on a kernel that has none.
    #[must_use]
    pub fn without_ring_iterator(mut self) -> Self {
        self.layout.iter_task_vma_func = None;
        self
    }

    /// The program's id, by which its log is found.
    fn program_id(&self) -> Result<u32, ProbeError> {
        info::prog_id(self.census.as_fd()).map_err(|e| ProbeError::from_bpf("get the program's id", &e))
    }

    /// Hands on what the programs have to say. Finding it needs CAP_SYS_ADMIN.
    pub fn drain_log(&self) -> Result<(), String> {
        let id = self.program_id().map_err(|error| error.to_string())?;
        OpenLog::of(id).map(|mut log| log.drain())
    }

    /// Runs the census, and takes the records in pieces where the host has more than fits.
    pub fn census(&mut self, scope: CensusScope) -> Result<Records, ProbeError> {
        let walk = call::iter_create(self.census_link.as_fd())
            .map_err(|e| ProbeError::from_bpf("open an iterator", &e))?;
        self.write_scope(scope, 1);
        let mut records = Records { begun_at: clock::now(), ..Records::default() };
        call::iter_run_in_pieces(walk.as_fd(), || self.take_if_full(&mut records))
            .map_err(|error| ProbeError::Io { action: "run the census", error })?;
        records.ended_at = clock::now();
        self.copy(&mut records);
        Ok(self.explained(records))
    }

    /// Makes room for the rest of a walk that stopped for want of it.
    fn take_if_full(&mut self, records: &mut Records) {
        let control = self.control.first();
        if control.is_full == 0 {
            return;
        }
        self.copy(records);
        let emptied = Control { contexts: 0, credits: 0, mms: 0, tasks: 0, is_full: 0, ..control };
        self.control.set_first(&emptied);
    }

    /// Opens a walk of one thread, for [`Walk::run`] inside a freeze; `None` where the kernel cannot restrict iterators.
    pub fn walk_of(&self, tid: Tid) -> Result<Option<Walk>, ProbeError> {
        let link = match call::iter_link_create(self.census.as_fd(), Some(tid.0)) {
            Ok(link) => link,
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Ok(None),
            Err(error) => return Err(ProbeError::from_bpf("attach an iterator to one task", &error)),
        };
        let fd = call::iter_create(link.as_fd()).map_err(|e| ProbeError::from_bpf("open an iterator", &e))?;
        Ok(Some(Walk { fd, _link: Some(link) }))
    }

    /// Opens a walk of every task, for [`Walk::run`] inside a freeze.
    pub fn walk_of_all(&self) -> Result<Walk, ProbeError> {
        call::iter_create(self.census_link.as_fd())
            .map(|fd| Walk { fd, _link: None })
            .map_err(|e| ProbeError::from_bpf("open an iterator", &e))
    }

    /// Inputs with nothing but what is kept from run to run.
    fn kept(&self) -> Control {
        let kept = self.control.first();
        Control { cpus_known: kept.cpus_known, possible_cpus: self.possible_cpus, ..Control::default() }
    }

    /// Says what the next [`Walk::run`] reads, taking nothing in between: see [`Self::make_room`].
    pub fn set_scope(&mut self, scope: CensusScope) {
        self.write_scope(scope, 0);
    }

    pub(super) fn write_scope(&mut self, scope: CensusScope, in_pieces: u32) {
        let mut control = Control { in_pieces, ..self.kept() };
        match scope {
            CensusScope::All => control.mode = Mode::All as u32,
            CensusScope::Mm(mm) => {
                control.mode = Mode::OneMm as u32;
                control.mm = mm.0;
            }
            CensusScope::Process(pid) => {
                control.mode = Mode::OneProcess as u32;
                control.tgid = pid.0;
            }
        }
        self.control.set_first(&control);
    }

    /// The records of the last [`Walk::run`].
    pub fn collect(&self, begun_at: Instant, ended_at: Instant) -> Records {
        let mut records = Records { begun_at, ended_at, ..Records::default() };
        self.copy(&mut records);
        self.explained(records)
    }

    /// Copies out what is in the arrays.
    fn copy(&self, records: &mut Records) {
        let control = self.control.first();
        // Those of this piece name their credits by place in it.
        let (before, earlier) =
            (records.contexts.len(), u32::try_from(records.credits.len()).unwrap_or(u32::MAX));
        self.contexts.read_into(control.contexts, &mut records.contexts);
        for record in records.contexts.iter_mut().skip(before) {
            record.credits_first = record.credits_first.saturating_add(earlier);
        }
        self.credits.read_into(control.credits, &mut records.credits);
        self.mms.read_into(control.mms, &mut records.mms);
        self.tasks.read_into(control.tasks, &mut records.tasks);
    }

    /// Takes out what this kernel means otherwise.
    fn explained(&self, mut records: Records) -> Records {
        if self.layout.vhost_task_func.is_none() {
            for task in &mut records.tasks {
                task.flags &= !PF_USER_WORKER;
            }
        }
        records
    }

    /// Whether the last [`Walk::run`] found room for everything.
    pub fn had_room(&self) -> bool {
        let control = self.control.first();
        self.capacity.holds(control.contexts, control.mms, control.tasks)
    }

    /// Makes room for that many contexts and threads, and half as many again, for a [`Walk::run`]. Takes the privileges of [`Self::load`] where
    /// there are many.
    pub fn make_room(&mut self, contexts: usize, tasks: usize) -> Result<(), ProbeError> {
        let [contexts, tasks] = [contexts, tasks].map(|number| u32::try_from(number).unwrap_or(u32::MAX));
        if !self.capacity.holds(contexts, 0, tasks) {
            let capacity = self.capacity.grown(contexts, tasks);
            *self = Self::load_by(&self.layout, self.ways, self.possible_cpus, capacity, self.log_level)?;
        }
        Ok(())
    }

    /// Every mapping of a ring on the host, ghosts included; `None` where the kernel has no iterator over mappings.
    pub fn rings(&mut self) -> Result<Option<Vec<RingRecord>>, ProbeError> {
        self.open_rings()?.map(|walk| walk.run()).transpose()
    }

    /// Opens a walk of every mapping; `None` where the kernel has no iterator over them.
    pub fn open_rings(&mut self) -> Result<Option<RingWalk>, ProbeError> {
        let Some(hook) = self.layout.iter_task_vma_func else { return Ok(None) };
        if self.rings_link.is_none() {
            let program = load_program("rings", &self.rings_code, &self.btf, ProgramKind::Iter(hook))?;
            let link = call::iter_link_create(program.as_fd(), None)
                .map_err(|e| ProbeError::from_bpf("attach an iterator", &e))?;
            self.rings_link = Some(link);
        }
        self.rings_link.as_ref().map(|link| self.ring_arrays.open(link)).transpose()
    }
}
