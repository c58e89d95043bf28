//! What must change in the `aios` of CRIU's images so that a restore makes the contexts that were there, and no others.
//!
//! CRIU writes an entry for every ring that is mapped, with the largest nr_req that makes the ring. The evidence knows which rings have a
//! context and with which argument it was made. An image that does not match its evidence is refused: it is of another process or time.

use crate::evidence::{AddressSpace, CensusSource, Evidence, Process};
use crate::image::{AioRing, MmImage};
use crate::nr_req::{NrReqError, nr_req_for};
use crate::picture::{ContextView, GhostView, Picture};
use crate::reconcile::reconcile;
use crate::restore_fit::HostKind;
use crate::units::{ContextId, Pid};
use crate::verdict::{DumpVerdict, Policy, ghosts_of, judge_dump, space_of};

/// An image that is to be amended.
#[derive(Clone, Copy, Debug)]
pub struct ImageToAmend<'a> {
    /// Its file name.
    pub name: &'a str,
    /// The PID in its name: CRIU's, in the PID namespace of the tree's root.
    pub pid: Pid,
    /// What it says.
    pub image: &'a MmImage,
}

/// What becomes of an entry of `aios`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is right.
    Keep,
    /// It gets this nr_req.
    NrReq(u32),
    /// It goes: the ring has no context.
    DropGhost,
}

/// An entry of `aios` as it is, and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmendedEntry {
    /// As it is.
    pub entry: AioRing,
    /// The argument of io_setup, by the evidence; `None`: not known, or a ghost.
    pub max_reqs: Option<u32>,
    /// What becomes of it.
    pub change: Change,
}

impl AmendedEntry {
    /// What it costs of aio-max-nr afterwards.
    pub fn slots(&self) -> u32 {
        match self.change {
            Change::Keep => self.entry.nr_req,
            Change::NrReq(nr_req) => nr_req,
            Change::DropGhost => 0,
        }
    }
}

/// An image, and what becomes of its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmendedImage {
    /// Its file name.
    pub name: String,
    /// The PID in its name.
    pub pid: Pid,
    /// The process of the evidence, by the PID that the evidence's host saw; `None`: the evidence has none, and the image no entry.
    pub process: Option<Pid>,
    /// Name of that process.
    pub comm: Vec<u8>,
    /// The host that it is of.
    pub kind: HostKind,
    /// Its entries, in the image's order.
    pub entries: Vec<AmendedEntry>,
}

impl AmendedImage {
    /// Whether anything must be written.
    pub fn changes(&self) -> bool {
        self.entries.iter().any(|entry| entry.change != Change::Keep)
    }
}

/// Why images do not match their evidence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// No process of the evidence has the image's PID.
    #[error("the evidence has no process {0}")]
    NoProcess(Pid),
    /// The kernel was not asked.
    #[error("the evidence was read without BPF and does not prove which rings have a context")]
    WithoutKernel,
    /// The evidence itself says that it cannot be dumped.
    #[error("by the evidence, process {pid} is not idle: {why}")]
    NotIdle {
        /// The process, as the evidence's host saw it.
        pid: Pid,
        /// Why.
        why: String,
    },
    /// Another program, or another start of it.
    #[error("{field} is {image:#x} in the image and {evidence:#x} in the evidence")]
    Layout {
        /// CRIU's name.
        field: &'static str,
        /// In the image.
        image: u64,
        /// In the evidence.
        evidence: u64,
    },
    /// Of another host.
    #[error("pages have {image} bytes in the image and {evidence} in the evidence")]
    PageSize {
        /// In the image.
        image: u32,
        /// In the evidence.
        evidence: u32,
    },
    /// An entry that is neither a context nor a ghost.
    #[error("the evidence knows no ring at {0}, for which the image has an entry")]
    UnknownRing(ContextId),
    /// An entry of another length.
    #[error("the ring at {id} has {image} bytes in the image and {evidence} in the evidence")]
    Length {
        /// The entry.
        id: ContextId,
        /// In the image.
        image: u32,
        /// In the evidence.
        evidence: u64,
    },
    /// Two entries of one address.
    #[error("the image has two entries for {0}")]
    Twice(ContextId),
    /// A context whose ring is mapped, without an entry.
    #[error("the image has no entry for context {0} of the evidence")]
    Missing(ContextId),
    /// No nr_req makes the ring on the host that restores.
    #[error("context {id} on {cpus} possible CPUs: {error}")]
    NrReq {
        /// The context.
        id: ContextId,
        /// Possible CPUs there.
        cpus: u32,
        /// Why.
        error: NrReqError,
    },
}

/// What one image was refused for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{image}: {mismatch}")]
pub struct Refusal {
    /// Its file name.
    pub image: String,
    /// Why.
    pub mismatch: Mismatch,
}

/// Says what becomes of every image, for a host of `cpus` possible CPUs (`None`: that of the evidence), or everything that stands against it.
///
/// An evidence's process has a PID in each PID namespace; CRIU's is that of the tree's root. The outermost namespace is taken in which every
/// image with an entry has its process and matches it.
pub fn plan(
    images: &[ImageToAmend<'_>],
    evidence: &[Evidence],
    cpus: Option<u32>,
) -> Result<Vec<AmendedImage>, Vec<Refusal>> {
    let known: Vec<Known<'_>> =
        evidence.iter().map(|evidence| Known { evidence, picture: reconcile(evidence) }).collect();
    let levels = known.iter().flat_map(Known::processes).map(|(_, process)| pids(process).len());
    let levels = levels.max().unwrap_or(1);
    let mut best: Option<Vec<Refusal>> = None;
    for level in 0..levels {
        let refusals = match plan_at(images, &known, level, cpus) {
            Ok(amended) => return Ok(amended),
            Err(refusals) => refusals,
        };
        // The fewest images without a process: there the reasons mean something.
        let lost = |refusals: &[Refusal]| {
            refusals.iter().filter(|refusal| matches!(refusal.mismatch, Mismatch::NoProcess(_))).count()
        };
        if best.as_deref().is_none_or(|best| lost(&refusals) < lost(best)) {
            best = Some(refusals);
        }
    }
    Err(best.unwrap_or_default())
}

/// The PIDs of a process from the outermost namespace to its own; only the one that was seen where the rest was not read.
fn pids(process: &Process) -> Vec<u32> {
    if process.ns_pids.is_empty() { vec![process.pid.0] } else { process.ns_pids.clone() }
}

struct Known<'a> {
    evidence: &'a Evidence,
    picture: Picture,
}

impl<'a> Known<'a> {
    fn processes(&self) -> impl Iterator<Item = (&'a AddressSpace, &'a Process)> + use<'a> {
        let spaces = self.evidence.spaces.iter();
        spaces.flat_map(|space| space.processes.iter().map(move |process| (space, process)))
    }

    fn find(&self, pid: Pid, level: usize) -> Option<(&'a AddressSpace, &'a Process)> {
        self.processes().find(|(_, process)| pids(process).get(level) == Some(&pid.0))
    }
}

/// The same for the PIDs of one namespace.
fn plan_at(
    images: &[ImageToAmend<'_>],
    known: &[Known<'_>],
    level: usize,
    cpus: Option<u32>,
) -> Result<Vec<AmendedImage>, Vec<Refusal>> {
    let (mut amended, mut refusals) = (Vec::new(), Vec::new());
    for image in images {
        let found = known.iter().filter_map(|known| Some((known, known.find(image.pid, level)?)));
        // Of two files the one that was written about this process.
        let found = found.min_by_key(|(known, (_, process))| known.evidence.target != Some(process.pid));
        let mut refuse = |mismatch| refusals.push(Refusal { image: image.name.to_owned(), mismatch });
        let name = image.name.to_owned();
        match found {
            None if image.image.aios.is_empty() => {
                let (process, comm, entries) = (None, Vec::new(), Vec::new());
                let kind = HostKind::of_image(image.image);
                amended.push(AmendedImage { name, pid: image.pid, process, comm, kind, entries });
            }
            None => refuse(Mismatch::NoProcess(image.pid)),
            Some((known, (space, process))) => match match_one(image, known, space, process, cpus) {
                Ok(entries) => {
                    let (pid, comm) = (image.pid, process.comm.clone());
                    let (process, kind) = (Some(process.pid), HostKind::of_evidence(known.evidence));
                    amended.push(AmendedImage { name, pid, process, comm, kind, entries });
                }
                Err(mismatches) => mismatches.into_iter().for_each(refuse),
            },
        }
    }
    if refusals.is_empty() { Ok(amended) } else { Err(refusals) }
}

fn match_one(
    image: &ImageToAmend<'_>,
    known: &Known<'_>,
    space: &AddressSpace,
    process: &Process,
    cpus: Option<u32>,
) -> Result<Vec<AmendedEntry>, Vec<Mismatch>> {
    let mut mismatches = Vec::new();
    if known.evidence.source == CensusSource::Proc {
        return Err(vec![Mismatch::WithoutKernel]);
    }
    mismatches.extend(not_idle(known, process.pid));
    mismatches.extend(other_layout(image.image, space));
    mismatches.extend(other_pages(image.image, known.evidence));
    let Some(view) = space_of(&known.picture, process.pid) else {
        return Err(vec![Mismatch::NoProcess(image.pid)]);
    };
    let contexts = view.contexts.iter().filter_map(|index| known.picture.contexts.get(*index));
    let contexts: Vec<&ContextView> = contexts.filter(|context| context.mapped == Some(true)).collect();
    let ghosts: Vec<&GhostView> = ghosts_of(&known.picture, view).collect();
    let mut entries = Vec::with_capacity(image.image.aios.len());
    for (place, entry) in image.image.aios.iter().enumerate() {
        if image.image.aios.iter().take(place).any(|earlier| earlier.id == entry.id) {
            mismatches.push(Mismatch::Twice(entry.id));
            continue;
        }
        match amend_entry(*entry, &contexts, &ghosts, known.evidence, cpus) {
            Ok(amended) => entries.push(amended),
            Err(mismatch) => mismatches.push(mismatch),
        }
    }
    let has_entry = |context: &ContextView| image.image.aios.iter().any(|entry| entry.id == context.context);
    let missing = contexts.iter().filter(|context| !has_entry(context));
    mismatches.extend(missing.map(|context| Mismatch::Missing(context.context)));
    if mismatches.is_empty() { Ok(entries) } else { Err(mismatches) }
}

fn amend_entry(
    entry: AioRing,
    contexts: &[&ContextView],
    ghosts: &[&GhostView],
    evidence: &Evidence,
    cpus: Option<u32>,
) -> Result<AmendedEntry, Mismatch> {
    let id = entry.id;
    let same_length = |evidence: u64| {
        let same = u64::from(entry.ring_len) == evidence;
        if same { Ok(()) } else { Err(Mismatch::Length { id, image: entry.ring_len, evidence }) }
    };
    if let Some(context) = contexts.iter().find(|context| context.context == id) {
        let len = context.ring_len.unwrap_or_default();
        same_length(len)?;
        let cpus = cpus.unwrap_or(evidence.system.possible_cpus);
        let nr_req = nr_req_for(context.max_reqs, len, cpus, evidence.system.page_size)
            .map_err(|error| Mismatch::NrReq { id, cpus, error })?;
        let change = if nr_req == entry.nr_req { Change::Keep } else { Change::NrReq(nr_req) };
        return Ok(AmendedEntry { entry, max_reqs: context.max_reqs, change });
    }
    let ghost = ghosts.iter().find(|ghost| ghost.address == id).ok_or(Mismatch::UnknownRing(id))?;
    same_length(ghost.ring_len)?;
    Ok(AmendedEntry { entry, max_reqs: None, change: Change::DropGhost })
}

/// Pages of another size, where both tell.
fn other_pages(image: &MmImage, evidence: &Evidence) -> Option<Mismatch> {
    let (image, evidence) = (image.page_size()?, HostKind::of_evidence(evidence).page_size?);
    (image != evidence).then_some(Mismatch::PageSize { image, evidence })
}

/// What the judge has against the process. Completions that wait in the ring are kept there by CRIU.
fn not_idle(known: &Known<'_>, pid: Pid) -> Option<Mismatch> {
    let policy = Policy { allow_unreaped: true, unverified: false, image: false };
    let why = match judge_dump(known.evidence, &known.picture, pid, &policy) {
        DumpVerdict::Idle { .. } => return None,
        DumpVerdict::NoSuchProcess => return Some(Mismatch::NoProcess(pid)),
        DumpVerdict::Busy { seen } if seen.is_empty() => "it ran while it was read".to_owned(),
        DumpVerdict::Refused { reasons } | DumpVerdict::Busy { seen: reasons } => {
            let place = |context: Option<usize>| {
                let view = context.and_then(|index| known.picture.contexts.get(index));
                view.map_or_else(String::new, |view| format!("{}: ", view.context))
            };
            let words = reasons.iter().map(|reason| format!("{}{}", place(reason.context), reason.what));
            words.collect::<Vec<_>>().join("; ")
        }
    };
    Some(Mismatch::NotIdle { pid, why })
}

/// The first address of the program that differs, of those that the evidence has.
fn other_layout(image: &MmImage, space: &AddressSpace) -> Option<Mismatch> {
    let word = space.looks.last().and_then(crate::judged::judged_word);
    let brk = word.and_then(|word| word.mm.brk);
    let layout = space.image.as_ref().map(|facts| facts.layout);
    let differs = |(field, in_image): &(&'static str, u64)| {
        let evidence = match *field {
            "mm_brk" => brk?,
            "mm_start_code" => layout?.start_code,
            "mm_end_code" => layout?.end_code,
            "mm_start_data" => layout?.start_data,
            "mm_end_data" => layout?.end_data,
            "mm_start_stack" => layout?.start_stack,
            "mm_start_brk" => layout?.start_brk,
            "mm_arg_start" => layout?.arg_start,
            "mm_arg_end" => layout?.arg_end,
            "mm_env_start" => layout?.env_start,
            "mm_env_end" => layout?.env_end,
            _ => return None,
        };
        (evidence != *in_image).then_some(Mismatch::Layout { field, image: *in_image, evidence })
    };
    image.layout.iter().find_map(differs)
}

#[cfg(test)]
mod tests;
