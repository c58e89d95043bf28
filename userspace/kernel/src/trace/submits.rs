//! The counts of io_submit, for each process, kept in the kernel since the start; and of io_getevents and io_pgetevents those that failed,
//! where that is asked for.

use std::collections::{BTreeMap, HashSet};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use aioinspect_ebpf::{
    Failing, SubmitControl, SubmitErrorKey, SubmitErrors, SubmitKey, SubmitLosses, SubmitRecord,
};

use crate::bpf::call::{self, ProgramKind};
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
use crate::trace::{cgroup_maps, submit_hook};
use aioinspect_model::event::Actor;
use aioinspect_model::picture::Owner;
use aioinspect_model::submit_failure::{Arguments, Call};
use aioinspect_model::units::{ContextId, Pid, Tid};

pub use aioinspect_model::submit_counts::{SubmitCount, Submitter};

/// How large the maps are; memory is taken as processes come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Processes that are told apart at a time.
    pub processes: u32,
    /// Pairs of a process and an errno.
    pub errors: u32,
}

impl Default for Sizes {
    /// Room for the processes of a large host.
    fn default() -> Self {
        Self { processes: 32_768, errors: 65_536 }
    }
}

/// What was missed since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubmitsLost {
    /// Calls that no count has.
    pub calls: u64,
    /// Errors whose errno was not kept; `calls` has their calls.
    pub errors: u64,
}

/// Calls of one process that failed with the same errno, since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Whose.
    pub of: Submitter,
    /// Which call.
    pub call: Call,
    /// The errno, positive.
    pub errno: i32,
    /// How many.
    pub count: u64,
    /// What the last of them asked for.
    pub arguments: Arguments,
}

/// Programs that count, until this is dropped.
pub struct Submits {
    hook: Hook,
    unseen: Vec<String>,
    // Detached first.
    attached: Attached,
    learn: OwnedFd,
    counts: HashMap<SubmitKey, SubmitRecord>,
    errors: HashMap<SubmitErrorKey, SubmitErrors>,
    losses: PerCpuValue<SubmitLosses>,
    cgroups: CgroupMaps,
}

impl Submits {
    /// Loads everything and attaches it to the hook asked for, or to the first of the ladder that this kernel takes.
    ///
    /// `reaping`: failures of io_getevents and io_pgetevents are counted too. `tried` gets a line for each rung that it does not. Once this is done, reading and forgetting need no capability.
    pub fn start(
        sizes: Sizes,
        hook: Option<Hook>,
        reaping: bool,
        log_level: u8,
        tried: &mut Vec<String>,
    ) -> Result<Self, ProbeError> {
        let (layout, ids) = read_layout_and_hooks()?;
        let room = [
            ("SUBMITS", sizes.processes),
            ("SUBMIT_ERRORS", sizes.errors),
            ("CGROUPS", cgroup_maps::ENTRIES),
            ("CGROUP_NAMES", cgroup_maps::ENTRIES),
        ];
        let offsets = layout.offsets(page_size());
        let (mut prepared, learn) = Ways::try_all(&layout, |ways| {
            let prepared = embedded::prepare(embedded::SUBMIT, &offsets, ways, log_level, &room)?;
            let kind = ProgramKind::Iter(layout.iter_task_func);
            let learn = load_program("learn", prepared.code("learn")?, &prepared.btf, kind)?;
            // One that finds the arguments, by whatever this kernel offers for that.
            load_program(
                "exit_submit",
                prepared.code("exit_submit")?,
                &prepared.btf,
                ProgramKind::Tracepoint,
            )?;
            Ok((prepared, learn))
        })?;
        learn_reader(&learn)?;
        let control: MappedArray<SubmitControl> = prepared.take("SUBMIT", MappedArray::open)?;
        let cgroups = CgroupMaps::take(&mut prepared, control.first().reader_cgroups)?;
        let (hook, mut attached) = submit_hook::attach(&prepared, &ids, hook, tried)?;
        let unseen = if reaping {
            submit_hook::attach_reaping(&mut attached, &prepared, &ids, hook)
        } else {
            Vec::new()
        };
        Ok(Self {
            hook,
            unseen,
            attached,
            learn,
            counts: prepared.take("SUBMITS", HashMap::open)?,
            errors: prepared.take("SUBMIT_ERRORS", HashMap::open)?,
            losses: prepared.take("LOSSES", PerCpuValue::open)?,
            cgroups,
        })
    }

    /// What is asked of the kernel once this is under way, for [`crate::confine::without_privileges::give_up`] to try.
    pub fn trial(&self) -> impl Fn() -> std::io::Result<()> + Sync {
        || self.losses.of_each_cpu().map(drop)
    }

    /// The hook in use.
    pub fn hook(&self) -> Hook {
        self.hook
    }

    /// A sentence for each call that was to be seen and cannot be.
    pub fn unseen(&self) -> &[String] {
        &self.unseen
    }

    /// Every call that failed since the start, of processes that were not forgotten.
    pub fn failed(&self) -> Result<Vec<Failed>, ProbeError> {
        let failed = self
            .errors
            .all()
            .map_err(|error| ProbeError::Io { action: "read the failures of io_submit", error })?;
        Ok(failed.into_iter().map(|(key, record)| as_failed(&key, &record)).collect())
    }

    /// Who that process is, by its last call; `None` if it was forgotten.
    pub fn actor(&mut self, of: Submitter) -> Result<Option<Actor>, ProbeError> {
        let key = SubmitKey { start_boottime: of.start_boottime_ns, tgid: of.pid.0, _pad: 0 };
        let io = |error| ProbeError::Io { action: "read the counts of io_submit", error };
        let Some(record) = self.counts.get(&key).map_err(io)? else { return Ok(None) };
        let owner = self.cgroups.owner(record.cgroups);
        Ok(Some(Actor { pid: of.pid, tid: Tid(0), comm: comm(&record), owner }))
    }

    /// The counts of every process that has called io_submit since the start, by process; of one that has ended too, until it is forgotten.
    pub fn read(&mut self) -> Result<Vec<SubmitCount>, ProbeError> {
        let io = |error| ProbeError::Io { action: "read the counts of io_submit", error };
        // Before the calls, which are counted first: so no process has more errors than calls.
        let failed = self.errors.all().map_err(io)?;
        let mut errors = BTreeMap::<(u32, u64), Vec<(i32, u64)>>::new();
        for (key, record) in failed.into_iter().filter(|(key, _)| key.call == Failing::Submit as u16) {
            errors.entry((key.tgid, key.start_boottime)).or_default().push((key.errno.into(), record.count));
        }
        let submits = self.counts.all().map_err(io)?;
        let mut counts: Vec<SubmitCount> = submits
            .into_iter()
            .map(|(key, record)| {
                let mut errors = errors.remove(&(key.tgid, key.start_boottime)).unwrap_or_default();
                errors.sort_unstable();
                count(&key, &record, errors, self.cgroups.owner(record.cgroups))
            })
            .collect();
        self.cgroups
            .make_room()
            .map_err(|error| ProbeError::Io { action: "empty the map of control groups", error })?;
        counts.sort_unstable_by_key(SubmitCount::submitter);
        Ok(counts)
    }

    /// Lets go of the counts of processes that have ended, to make room. Of one that lives on, they begin again.
    pub fn forget(&mut self, dead: &[Submitter]) -> Result<(), ProbeError> {
        if dead.is_empty() {
            return Ok(());
        }
        let io = |error| ProbeError::Io { action: "release the counts of io_submit", error };
        let dead: HashSet<Submitter> = dead.iter().copied().collect();
        for one in &dead {
            let key = SubmitKey { start_boottime: one.start_boottime_ns, tgid: one.pid.0, _pad: 0 };
            self.counts.delete(&key).map_err(io)?;
        }
        let failed = self.errors.all().map_err(io)?;
        for (key, _) in failed {
            let of = Submitter { pid: Pid(key.tgid), start_boottime_ns: key.start_boottime };
            if dead.contains(&of) {
                self.errors.delete(&key).map_err(io)?;
            }
        }
        Ok(())
    }

    /// What was missed.
    pub fn lost(&self) -> Result<SubmitsLost, ProbeError> {
        let io = |error| ProbeError::Io { action: "read the counts of losses", error };
        let mut lost = SubmitsLost::default();
        for losses in self.losses.of_each_cpu().map_err(io)? {
            lost.calls = lost.calls.saturating_add(losses.calls);
            lost.errors = lost.errors.saturating_add(losses.errors);
        }
        for program in &self.attached.programs {
            let misses = info::recursion_misses(program.as_fd()).map_err(io)?;
            lost.calls = lost.calls.saturating_add(misses);
        }
        Ok(lost)
    }

    /// The id of the program by which the log of all of them is found.
    pub fn program_id(&self) -> Result<u32, ProbeError> {
        info::prog_id(self.learn.as_fd()).map_err(|e| ProbeError::from_bpf("get the program's id", &e))
    }
}

/// Tells the programs whose PID namespace the numbers are to be of: before anything is attached.
fn learn_reader(learn: &OwnedFd) -> Result<(), ProbeError> {
    let link = call::iter_link_create(learn.as_fd(), None)
        .map_err(|e| ProbeError::from_bpf("attach an iterator", &e))?;
    let walk = call::iter_create(link.as_fd()).map_err(|e| ProbeError::from_bpf("open an iterator", &e))?;
    call::iter_run(walk.as_fd())
        .map_err(|error| ProbeError::Io { action: "find our own PID namespace", error })
}

fn count(
    key: &SubmitKey,
    record: &SubmitRecord,
    errors: Vec<(i32, u64)>,
    owner: Option<Arc<Owner>>,
) -> SubmitCount {
    let of = Submitter { pid: Pid(key.tgid), start_boottime_ns: key.start_boottime };
    SubmitCount {
        pid: of.pid,
        comm: comm(record),
        start_boottime_ns: of.start_boottime_ns,
        start_ticks: of.start_ticks(),
        calls: record.calls,
        short: record.short,
        requests: record.requests,
        errors,
        owner,
    }
}

fn comm(record: &SubmitRecord) -> Vec<u8> {
    let mut comm = [record.comm_low.to_ne_bytes(), record.comm_high.to_ne_bytes()].concat();
    comm.truncate(comm.iter().position(|byte| *byte == 0).unwrap_or(comm.len()));
    comm
}

fn as_failed(key: &SubmitErrorKey, record: &SubmitErrors) -> Failed {
    let call = match key.call {
        call if call == Failing::Getevents as u16 => Call::Getevents,
        call if call == Failing::Pgetevents as u16 => Call::Pgetevents,
        _ => Call::Submit,
    };
    Failed {
        of: Submitter { pid: Pid(key.tgid), start_boottime_ns: key.start_boottime },
        call,
        errno: key.errno.into(),
        count: record.count,
        arguments: Arguments {
            context: ContextId(record.context),
            second: record.second.cast_signed(),
            third: record.third.cast_signed(),
        },
    }
}
