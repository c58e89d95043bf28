//! The verdict on a host: how near its limit is, who is large, what grows, what waits and what is wrong, and what to do first.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::event::Holder;
use crate::evidence::CensusSource;
use crate::finding::Finding;
use crate::headroom::{Headroom, advised_limit, headroom};
use crate::owner_growth::{Growing, Key, Rate, Sample, WINDOWS};
use crate::picture::{Picture, SystemView};
use crate::units::Pid;

/// An owner is large that reserves this share of the limit, in percent.
pub const LARGE_PERCENT: u64 = 25;
/// A host is nearly full of whose limit this share is reserved, in percent: as the alert has it.
pub const NEARLY_FULL_PERCENT: u64 = 80;
/// More slots than this share of those reserved, in percent, are nobody's who is seen: as the alert has it.
const UNSEEN_PERCENT: u64 = 10;
/// A wait for requests is long after this, in nanoseconds: as the alert has it.
const LONG_WAIT_NS: u64 = 120_000_000_000;
/// Looks by which growth is told: two for each of the windows of `owner_growth`, so that none is without one.
const LEAST_LOOKS: u32 = 2 * WINDOWS;
/// A limit that is reached within this time, in nanoseconds, is near.
const NEAR_NS: u64 = 86_400_000_000_000;

/// How a host is, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostState {
    /// No slot is free: io_setup fails.
    Full,
    /// Most of the limit is reserved.
    NearlyFull,
    /// There is room, and something is wrong.
    Attention,
    /// There is room, and nothing to do.
    Fine,
    /// There is room, and without BPF not much more is known.
    Unknown,
}

impl HostState {
    /// The word in JSON: a promise.
    pub fn word(self) -> &'static str {
        match self {
            HostState::Full => "full",
            HostState::NearlyFull => "nearly-full",
            HostState::Attention => "attention",
            HostState::Fine => "fine",
            HostState::Unknown => "unknown",
        }
    }
}

/// A process: its PID and its `comm`.
pub type Who = (Pid, Arc<[u8]>);

/// A number of contexts, of which some may not have been counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Count {
    /// So many there are at least.
    pub at_least: u64,
    /// Whether there may be more: of some not even the number is known.
    pub may_be_more: bool,
}

impl Count {
    /// The number; `None` where there may be more.
    pub fn exactly(self) -> Option<u64> {
        Some(self.at_least).filter(|_| !self.may_be_more)
    }

    /// `None`: one at least.
    fn add(&mut self, count: Option<u32>) {
        self.at_least = self.at_least.saturating_add(count.unwrap_or(1).into());
        self.may_be_more |= count.is_none();
    }
}

/// Contexts that are in no table any more.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Dying {
    /// How many.
    pub contexts: Count,
    /// How many of them an exit or exec waits for.
    pub exiting: Count,
    /// For how long the oldest has been waited for, in nanoseconds; `None`: not known.
    pub oldest_ns: Option<u64>,
    /// Whose they are, the one that waits longest first.
    pub processes: Vec<Who>,
}

/// Something that is wrong with contexts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// What.
    pub finding: Finding,
    /// With how many.
    pub contexts: u64,
    /// The slots that these reserve; `None`: not known.
    pub slots: Option<u64>,
    /// Whose they are.
    pub processes: Vec<Who>,
}

/// An owner that has more than at the first of several looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grew {
    /// Who, and how much more.
    pub growing: Growing,
    /// Whether it grew all the time, and not in one go, as who starts does.
    pub steadily: bool,
}

/// What several looks showed of growth.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Compared {
    /// From the first look to the last, in nanoseconds.
    pub for_ns: u64,
    /// How many looks there were.
    pub looks: u32,
    /// Who has more, steady ones first, then those of the most slots more.
    pub grew: Vec<Grew>,
}

impl Compared {
    /// Whether there were enough looks to tell who grew all the time.
    pub fn tells_steadiness(&self) -> bool {
        self.looks >= LEAST_LOOKS
    }
}

/// How soon something is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Calls fail now.
    Now,
    /// Calls will fail, or somebody waits.
    Soon,
    /// When there is time to look.
    Look,
}

impl Urgency {
    /// The word, in text and in JSON: a promise.
    pub fn word(self) -> &'static str {
        match self {
            Urgency::Now => "now",
            Urgency::Soon => "soon",
            Urgency::Look => "look",
        }
    }
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Raise the limit.
    RaiseLimit {
        /// To that.
        to: u64,
    },
    /// Ask whether that owner needs what it reserves.
    AskHolder(Holder),
    /// Find out why that owner grows.
    StopGrowth(Growing),
    /// Find out what dying contexts wait for.
    EndWaits,
    /// Do something about what is wrong.
    Mend(Wrong),
    /// Look from where all processes are seen.
    SeeAll {
        /// How many slots are nobody's who is seen.
        slots: u64,
    },
    /// Have BPF tell who reserves how many.
    UseBpf,
}

impl Action {
    /// Its name in JSON: a promise.
    pub fn id(&self) -> &'static str {
        match self {
            Action::RaiseLimit { .. } => "raise-limit",
            Action::AskHolder(_) => "ask-holder",
            Action::StopGrowth(_) => "stop-growth",
            Action::EndWaits => "end-waits",
            Action::Mend(_) => "mend",
            Action::SeeAll { .. } => "see-all",
            Action::UseBpf => "use-bpf",
        }
    }
}

/// The verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostVerdict<'a> {
    /// What is free, and who reserves the rest.
    pub room: Headroom<'a>,
    /// In a word.
    pub state: HostState,
    /// How many of the owners are large: they come first.
    large: usize,
    /// What grew; `None`: one look does not tell.
    pub compared: Option<Compared>,
    /// Contexts that wait for their requests; `None`: not known, for only the kernel tells.
    pub dying: Option<Dying>,
    /// What was seen to be wrong with others.
    wrong: Vec<Wrong>,
    /// What to do, the most urgent first.
    pub actions: Vec<(Urgency, Action)>,
}

impl HostVerdict<'_> {
    /// The owners that reserve at least [`LARGE_PERCENT`] of the limit, the largest first.
    pub fn large(&self) -> &[Holder] {
        self.room.owners.get(..self.large).unwrap_or_default()
    }

    /// What is wrong with contexts that are not dying, the worst first; `None`: not known, for nothing was seen and only BPF sees most of it.
    pub fn wrong(&self) -> Option<&[Wrong]> {
        (sees_all(self.room.system) || !self.wrong.is_empty()).then_some(&self.wrong)
    }
}

/// Judges a picture of the host; `compared`: what looks before it showed.
pub fn judge(picture: &Picture, compared: Option<Compared>) -> HostVerdict<'_> {
    let room = headroom(picture, None);
    let limit = picture.system.aio_max_nr;
    let is_large =
        |owner: &&Holder| room.reserved(owner).is_some_and(|slots| reaches(slots, limit, LARGE_PERCENT));
    let large = room.owners.iter().take_while(is_large).count();
    let mut of = HostVerdict {
        room,
        state: HostState::Fine,
        large,
        compared,
        dying: sees_all(&picture.system).then(|| dying(picture)),
        wrong: wrong(picture),
        actions: Vec::new(),
    };
    of.actions = actions(&of);
    of.state = state(&of);
    of
}

/// Whether the kernel was asked, which alone tells of all that waits and of most that is wrong.
fn sees_all(system: &SystemView) -> bool {
    match system.source {
        CensusSource::Bpf => true,
        CensusSource::Proc => false,
    }
}

/// Whether a part is at least so many percent of the whole; of nothing it is.
fn reaches(part: u64, whole: u64, percent: u64) -> bool {
    u128::from(part) * 100 >= u128::from(whole) * u128::from(percent)
}

fn state(of: &HostVerdict<'_>) -> HostState {
    let system = of.room.system;
    if system.aio_nr >= system.aio_max_nr {
        HostState::Full
    } else if reaches(system.aio_nr, system.aio_max_nr, NEARLY_FULL_PERCENT) {
        HostState::NearlyFull
    } else if of.actions.iter().any(|(urgency, _)| *urgency < Urgency::Look) {
        HostState::Attention
    } else if sees_all(system) {
        HostState::Fine
    } else {
        HostState::Unknown
    }
}

fn dying(picture: &Picture) -> Dying {
    let mut sum = Dying::default();
    let mut ages: BTreeMap<Pid, (Option<u64>, Arc<[u8]>)> = BTreeMap::new();
    for context in picture.contexts.iter().filter(|context| context.is_dying()) {
        sum.contexts.add(context.stands_for);
        if context.findings.contains(&Finding::Exiting) {
            sum.exiting.add(context.stands_for);
        }
        sum.oldest_ns = sum.oldest_ns.max(context.dying_ns);
        let (age, _) = ages.entry(context.pid).or_insert_with(|| (None, Arc::clone(&context.comm)));
        *age = (*age).max(context.dying_ns);
    }
    let mut processes: Vec<_> = ages.into_iter().collect();
    processes.sort_by_key(|(_, (age, _))| std::cmp::Reverse(*age));
    sum.processes = processes.into_iter().map(|(pid, (_, comm))| (pid, comm)).collect();
    sum
}

fn wrong(picture: &Picture) -> Vec<Wrong> {
    let of = |finding: Finding| {
        let with = || {
            let with = picture.contexts.iter().filter(move |context| context.findings.contains(&finding));
            with.filter(|context| !context.is_dying())
        };
        let contexts = u64::try_from(with().count()).unwrap_or(u64::MAX);
        let add = |sum: u64, slots: Option<u32>| Some(sum.saturating_add(slots?.into()));
        let slots = with().try_fold(0_u64, |sum, context| add(sum, context.max_reqs));
        let processes: BTreeMap<Pid, Arc<[u8]>> =
            with().map(|context| (context.pid, Arc::clone(&context.comm))).collect();
        Wrong { finding, contexts, slots, processes: processes.into_iter().collect() }
    };
    let wrong = Finding::ALL.iter().copied().filter(|finding| finding.is_wrong() && !finding.is_dying());
    let mut wrong: Vec<Wrong> = wrong.map(of).filter(|wrong| wrong.contexts > 0).collect();
    wrong.sort_by_key(|wrong| std::cmp::Reverse(wrong.finding.severity()));
    wrong
}

fn actions(of: &HostVerdict<'_>) -> Vec<(Urgency, Action)> {
    let system = of.room.system;
    let (reserved, limit) = (system.aio_nr, system.aio_max_nr);
    let is_full = reserved >= limit;
    let is_tight = reaches(reserved, limit, NEARLY_FULL_PERCENT);
    let steady = || of.compared.iter().flat_map(|compared| &compared.grew).filter(|grew| grew.steadily);
    let is_near = |growing: &Growing| growing.limit_in_ns.is_some_and(|ns| ns < NEAR_NS);
    let fills = steady().any(|grew| is_near(&grew.growing));
    let for_room = match (is_full, is_tight) {
        (true, _) => Urgency::Now,
        (false, true) => Urgency::Soon,
        (false, false) => Urgency::Look,
    };
    let mut actions = Vec::new();
    // Who grows will have all of the limit, however little is reserved now.
    let to = advised_limit(if fills { reserved.max(limit) } else { reserved }, limit);
    if (is_tight || fills) && to > limit {
        actions.push((for_room.min(Urgency::Soon), Action::RaiseLimit { to }));
    }
    // Where many small ones fill it, the largest of them is where to begin.
    let asked = if is_tight { of.large.max(1) } else { of.large };
    if system.attributed.is_some() {
        actions.extend(
            of.room.owners.iter().take(asked).map(|owner| (for_room, Action::AskHolder(owner.clone()))),
        );
    }
    for grew in steady() {
        let urgency = if is_near(&grew.growing) { Urgency::Soon } else { for_room.max(Urgency::Soon) };
        actions.push((urgency, Action::StopGrowth(grew.growing.clone())));
    }
    if let Some(dying) = of.dying.as_ref().filter(|dying| !dying.processes.is_empty()) {
        let is_long = dying.oldest_ns.is_none_or(|ns| ns >= LONG_WAIT_NS);
        actions.push((if is_long { Urgency::Soon } else { Urgency::Look }, Action::EndWaits));
    }
    actions.extend(of.wrong.iter().map(|wrong| (urgency_of(wrong.finding), Action::Mend(wrong.clone()))));
    let unseen = system.unattributed.and_then(|rest| u64::try_from(rest).ok()).unwrap_or(0);
    if unseen > 0 && reaches(unseen, reserved, UNSEEN_PERCENT) {
        actions.push((Urgency::Look, Action::SeeAll { slots: unseen }));
    }
    if system.attributed.is_none() {
        actions.push((for_room.max(Urgency::Soon), Action::UseBpf));
    }
    actions.sort_by_key(|(urgency, _)| *urgency);
    actions
}

/// Soon is what makes calls fail, keeps requests, or costs slots that come back by no other way.
fn urgency_of(finding: Finding) -> Urgency {
    match finding {
        Finding::RingFull
        | Finding::StrandedCredits
        | Finding::Stuck
        | Finding::IdleLeak
        | Finding::UnmappedRing => Urgency::Soon,
        Finding::InFlight
        | Finding::Unreaped
        | Finding::GhostRing
        | Finding::ForgedHeader
        | Finding::UnreadableRing
        | Finding::SharedRing
        | Finding::ProtectionChanged
        | Finding::SplitMapping
        | Finding::Dying
        | Finding::Exiting
        | Finding::TracedOtherwise
        | Finding::Unsettled => Urgency::Look,
    }
}

/// The owners, and when they were looked at.
#[derive(Clone, Copy, Debug)]
pub struct OwnersAt<'a> {
    /// When; its sums are of no account.
    pub at: Sample,
    /// The owners then.
    pub owners: &'a [Holder],
}

/// Who has more at the last look than at the first. `steady`: those that grew all the time. `looks`: how many there were.
pub fn compare(first: OwnersAt<'_>, last: OwnersAt<'_>, steady: Vec<Growing>, looks: u32) -> Compared {
    let for_ns = last.at.at.0.saturating_sub(first.at.at.0);
    let before: BTreeMap<Key, &Holder> = first.owners.iter().map(|owner| (Key::of(owner), owner)).collect();
    let mut jumps: Vec<Growing> = Vec::new();
    for owner in last.owners.iter().filter(|owner| !steady.iter().any(|of| of.is_of(owner))) {
        let was = before.get(&Key::of(owner)).copied();
        let (slots, contexts) = was.map_or((0, 0), |was| (was.slots, was.contexts));
        let contexts = u64::try_from(contexts).unwrap_or(u64::MAX);
        let since = Sample { slots, contexts, ..first.at };
        let growing =
            Growing { owner: owner.clone(), since, for_ns, rate: Rate::default(), limit_in_ns: None };
        let more = if owner.slots > 0 { growing.more_slots() } else { growing.more_contexts() };
        if more > 0 {
            jumps.push(Growing { rate: Rate { more, ns: for_ns }, ..growing });
        }
    }
    jumps.sort_by_key(|growing| std::cmp::Reverse(growing.rate.more));
    let of = |steadily| move |growing| Grew { growing, steadily };
    let grew = steady.into_iter().map(of(true)).chain(jumps.into_iter().map(of(false))).collect();
    Compared { for_ns, looks, grew }
}

#[cfg(test)]
mod tests;
