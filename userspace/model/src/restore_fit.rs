//! Whether contexts can be made again on another host: the size of their rings there, and the slots they cost.
//!
//! CRIU's restorer calls io_setup(nr_req) and refuses a ring of another size ("wrong aio", criu/pie/restorer.c:restore_aio_ring).
//! Which ring a call makes depends on the possible CPUs of the host (see [`crate::nr_req`]), which slots are free on its limit.

use std::ops::RangeInclusive;

use crate::architecture::Architecture;
use crate::evidence::Evidence;
use crate::image::MmImage;
use crate::nr_req::{self, NrReqError, cpus_for, nr_req_for};
use crate::picture::{ContextView, Picture};
use crate::units::{ContextId, Pid};

/// Slots of the context by which CRIU reads the memory of a process that it restores, since its pull request 3022:
/// io_setup(128) in the process itself, destroyed before that process's own contexts are made (criu/pie/restorer.c:AIO_BATCH).
pub const RESTORER_SLOTS: u64 = 128;

/// The host that restores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestoreHost {
    /// Its possible CPUs.
    pub possible_cpus: u32,
    /// Its free slots, `aio-max-nr - aio-nr`; `None`: nobody said.
    pub free: Option<u64>,
    /// What else is known of it; what nobody said is as where the processes come from.
    pub kind: HostKind,
}

/// What no restore changes: an image is for a host like the one it is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostKind {
    /// Architecture; `None`: not known.
    pub architecture: Option<Architecture>,
    /// Bytes of a page; `None`: not known.
    pub page_size: Option<u32>,
}

impl HostKind {
    /// Of the host of an evidence.
    pub fn of_evidence(evidence: &Evidence) -> Self {
        let page_size = Some(evidence.system.page_size).filter(|size| *size > 0);
        Self { architecture: Some(evidence.system.architecture()), page_size }
    }

    /// Of the host of an image, as far as it tells.
    pub fn of_image(image: &MmImage) -> Self {
        Self { architecture: None, page_size: image.page_size() }
    }

    /// Why nothing from this host restores on that one; `None`: it may.
    fn against(self, there: Self) -> Option<Foreign> {
        match (self.architecture, there.architecture) {
            (Some(of), Some(there)) if of != there => {
                return Some(Foreign::Architecture { of: of.name(), there: there.name() });
            }
            (Some(_) | None, Some(_) | None) => {}
        }
        match (self.page_size, there.page_size) {
            (Some(of), Some(there)) if of != there => Some(Foreign::PageSize { of, there }),
            (Some(_) | None, Some(_) | None) => None,
        }
    }
}

/// A process of a host so different that CRIU cannot restore it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Foreign {
    /// Its image has the registers of another one.
    #[error("it is of a host of {of}, and CRIU restores it on no {there}")]
    Architecture {
        /// Where it ran.
        of: &'static str,
        /// Where it is to be restored.
        there: &'static str,
    },
    /// Its mappings and pages are in other units.
    #[error(
        "it is of a host with pages of {of} bytes, and CRIU does not restore it with pages of {there} bytes"
    )]
    PageSize {
        /// Where it ran.
        of: u32,
        /// Where it is to be restored.
        there: u32,
    },
}

/// A ring that a restore has to make again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingToMake {
    /// Its context.
    pub context: ContextId,
    /// Bytes of the ring; `None`: not known.
    pub ring_len: Option<u64>,
    /// What the kernel says of the context; `None`: not known, as of a bare image.
    pub max_reqs: Option<u32>,
    /// What the image says; `None`: there is no image yet.
    pub written: Option<u32>,
}

/// A process with its rings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessToMake {
    /// Its PID.
    pub pid: Pid,
    /// Its name; empty: not known, as of an image.
    pub comm: Vec<u8>,
    /// What it was read from, where that is an image: `mm-1.img`.
    pub image: Option<String>,
    /// Where it is from.
    pub kind: HostKind,
    /// Its rings, in the order of the source.
    pub rings: Vec<RingToMake>,
}

/// What becomes of a ring there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is made again, by this nr_req.
    Made(u32),
    /// Not by what the image says, which makes a ring of so many entries (`None`: none at all), but by this nr_req.
    Amend {
        /// What must be written.
        nr_req: u32,
        /// Ring entries that the image's own nr_req gives there.
        makes: Option<u32>,
    },
    /// By no nr_req.
    Never(NrReqError),
    /// The length of the ring is not known.
    UnknownLength,
}

impl Outcome {
    /// What it costs of aio-max-nr there: the nr_req it needs.
    pub fn nr_req(self) -> Option<u32> {
        match self {
            Outcome::Made(nr_req) | Outcome::Amend { nr_req, .. } => Some(nr_req),
            Outcome::Never(_) | Outcome::UnknownLength => None,
        }
    }

    /// Whether a restore makes the ring.
    pub fn is_made(self) -> bool {
        matches!(self, Outcome::Made(_))
    }
}

/// One ring, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingFit {
    /// The ring.
    pub ring: RingToMake,
    /// Ring entries; `None`: not known.
    pub nr_events: Option<u32>,
    /// The nr_req that is in the image, or that CRIU would write: the largest that makes the ring. `None`: no such number.
    pub in_image: Option<u32>,
    /// On how many possible CPUs that one is good; `None`: nowhere.
    pub good: Option<RangeInclusive<u32>>,
    /// What becomes of it.
    pub outcome: Outcome,
}

/// One process, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessFit {
    /// Its PID.
    pub pid: Pid,
    /// Its name, raw bytes; empty: not known.
    pub comm: Vec<u8>,
    /// Name of its image, where it was read from one.
    pub image: Option<String>,
    /// Why nothing of it restores there, however its rings are; `None`: nothing is known against it.
    pub foreign: Option<Foreign>,
    /// Its rings.
    pub rings: Vec<RingFit>,
    /// What they cost of aio-max-nr together, by the nr_req that each needs there.
    pub slots: u64,
    /// The same by the nr_req that is in the image, or that CRIU would write.
    pub slots_in_image: u64,
}

/// All processes, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreFit {
    /// Where.
    pub host: RestoreHost,
    /// The processes.
    pub processes: Vec<ProcessFit>,
    /// What all their rings cost of aio-max-nr, for as long as they live.
    pub slots: u64,
    /// The same by the nr_req that is in the images, or that CRIU would write.
    pub slots_in_image: u64,
    /// The most that is needed at once while CRIU restores: until a process makes its own contexts it may have one of
    /// [`RESTORER_SLOTS`], and all processes are restored at the same time.
    pub slots_while_restoring: u64,
}

impl RestoreFit {
    /// Every ring.
    pub fn rings(&self) -> impl Iterator<Item = &RingFit> {
        self.processes.iter().flat_map(|process| &process.rings)
    }

    /// Whether the slots are enough; `None`: it is not said how many are free.
    pub fn is_enough(&self) -> Option<bool> {
        // Without a context nothing of ours is refused: CRIU's own business.
        self.host.free.map(|free| self.rings().next().is_none() || self.slots_while_restoring <= free)
    }

    /// Whether all of it restores.
    pub fn restores(&self) -> bool {
        let is_foreign = self.processes.iter().any(|process| process.foreign.is_some());
        self.is_enough() != Some(false) && !is_foreign && self.rings().all(|fit| fit.outcome.is_made())
    }
}

/// Judges every ring and sums up. `page_size`: for what does not tell its own.
pub fn judge(processes: Vec<ProcessToMake>, host: RestoreHost, page_size: u32) -> RestoreFit {
    let processes: Vec<ProcessFit> = processes
        .into_iter()
        .map(|process| {
            let page_size = process.kind.page_size.or(host.kind.page_size).unwrap_or(page_size);
            let foreign = process.kind.against(host.kind);
            let rings: Vec<RingFit> =
                process.rings.iter().map(|ring| fit(*ring, host.possible_cpus, page_size)).collect();
            let sum = |of: fn(&RingFit) -> Option<u32>| {
                rings.iter().filter_map(of).fold(0, |sum: u64, cost| sum.saturating_add(cost.into()))
            };
            let (slots, slots_in_image) = (sum(|fit| fit.outcome.nr_req()), sum(|fit| fit.in_image));
            let ProcessToMake { pid, comm, image, .. } = process;
            ProcessFit { pid, comm, image, foreign, rings, slots, slots_in_image }
        })
        .collect();
    let sum = |of: fn(&ProcessFit) -> u64| {
        processes.iter().fold(0, |sum: u64, process| sum.saturating_add(of(process)))
    };
    let slots = sum(|process| process.slots);
    let slots_while_restoring = sum(|process| process.slots.max(RESTORER_SLOTS));
    let slots_in_image = sum(|process| process.slots_in_image);
    RestoreFit { host, processes, slots, slots_in_image, slots_while_restoring }
}

/// What becomes of one ring on so many possible CPUs.
fn fit(ring: RingToMake, cpus: u32, page_size: u32) -> RingFit {
    let Some(len) = ring.ring_len else {
        let in_image = ring.written;
        return RingFit { ring, nr_events: None, in_image, good: None, outcome: Outcome::UnknownLength };
    };
    // On one CPU every ring can be made that can be made at all.
    let in_image = ring.written.or_else(|| nr_req_for(None, len, 1, page_size).ok());
    let good = in_image.and_then(|nr_req| cpus_for(nr_req, len, page_size));
    let outcome = match (ring.written, nr_req_for(ring.max_reqs, len, cpus, page_size)) {
        (Some(written), _) if nr_req::ring_len(written, cpus, page_size) == Some(len) => {
            Outcome::Made(written)
        }
        (Some(written), Ok(nr_req)) => {
            Outcome::Amend { nr_req, makes: nr_req::nr_events(written, cpus, page_size) }
        }
        (None, Ok(nr_req)) => Outcome::Made(nr_req),
        (_, Err(error)) => Outcome::Never(error),
    };
    RingFit { ring, nr_events: nr_req::entries(len), in_image, good, outcome }
}

/// The process of an image, with the rings that its `aios` names.
pub fn of_image(name: &str, pid: Pid, image: &MmImage) -> ProcessToMake {
    let rings = image.aios.iter().map(|aio| RingToMake {
        context: aio.id,
        ring_len: Some(aio.ring_len.into()),
        max_reqs: None,
        written: Some(aio.nr_req),
    });
    let (image, kind) = (Some(name.to_owned()), HostKind::of_image(image));
    ProcessToMake { pid, comm: Vec::new(), image, kind, rings: rings.collect() }
}

/// The processes of an evidence, with the rings that an image of them would name: those that are mapped and alive.
pub fn of_evidence(evidence: &Evidence, picture: &Picture) -> Vec<ProcessToMake> {
    let spaces = picture.spaces.iter().filter_map(|space| {
        let pid = *space.pids.first()?;
        let views = space.contexts.iter().filter_map(|index| picture.contexts.get(*index));
        let rings = views.filter(|view| is_imaged(view)).map(|view| RingToMake {
            context: view.context,
            ring_len: view.ring_len,
            max_reqs: view.max_reqs,
            written: None,
        });
        let comm = comm_of(evidence, pid);
        let kind = HostKind::of_evidence(evidence);
        Some(ProcessToMake { pid, comm, image: None, kind, rings: rings.collect() })
    });
    spaces.collect()
}

/// Whether an image has it: CRIU goes by the mappings.
fn is_imaged(view: &ContextView) -> bool {
    view.mapped == Some(true) && !view.is_dying()
}

fn comm_of(evidence: &Evidence, pid: Pid) -> Vec<u8> {
    let mut processes = evidence.spaces.iter().flat_map(|space| &space.processes);
    processes.find(|process| process.pid == pid).map_or_else(Vec::new, |process| process.comm.clone())
}

#[cfg(test)]
mod tests;
