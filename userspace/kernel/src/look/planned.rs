//! An address space about to be examined: everything that is read of it, or made room for, before anybody is held.

use crate::census::probe::{MmKey, Probe};
use crate::census::records::SpaceWord;
use crate::look::evidence_source::{Fate, SourceError};
use crate::look::preparation::{Subject, addresses, named, rings_of_host, sharers_among, with_word, word_of};
use crate::look::recheck::Recheck;
use crate::proc::files::ProcDir;
use crate::proc::memory::HeaderPlan;
use aioinspect_model::evidence::{AddressSpace, ImageFacts, Look, Process, Sharer, TracedWord};
use aioinspect_model::units::{MmId, Pid, Tid};

/// Whom a look is about, and how closely.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whom<'a> {
    /// The processes; of several in one address space one is enough.
    pub pids: &'a [Pid],
    /// Whether they are what a tree or a control group had in it: then one that is gone by now is none of them any more.
    pub is_group: bool,
    /// Whether what an image needs is read too.
    pub image: bool,
}

impl Whom<'_> {
    /// The process to name where all of them are meant.
    pub(super) fn first(&self) -> Pid {
        self.pids.first().copied().unwrap_or(Pid(0))
    }
}

/// One address space.
pub(super) struct Planned {
    /// The process by which it was reached.
    pub subject: Subject,
    /// Its key in a census.
    pub mm: MmKey,
    /// The kernel's word on it when it was planned.
    pub first: SpaceWord,
    /// A thread whose memory it is.
    pub tid: Tid,
    /// The check of its mappings.
    pub recheck: Recheck,
    /// The reading of its headers.
    pub headers: HeaderPlan,
    facts: Option<ImageFacts>,
    image: bool,
    sharers: Vec<Sharer>,
}

impl Planned {
    /// Plans for each address space of `whom` once. `closer`: the mappings themselves are checked, whatever else vouches for them.
    pub(super) fn all(
        probe: &mut Probe,
        whom: Whom<'_>,
        closer: bool,
        notes: &mut Vec<String>,
    ) -> Result<Vec<Self>, SourceError> {
        let mut all: Vec<Self> = Vec::with_capacity(whom.pids.len());
        for pid in whom.pids {
            if all.iter().any(|one| one.first.processes.iter().any(|process| process.pid == *pid)) {
                continue;
            }
            match Self::one(probe, *pid, whom.image, closer) {
                Ok(planned) => all.push(planned),
                Err(error) if whom.is_group && error.fate() == Fate::Gone => {}
                Err(error) => return Err(error),
            }
        }
        if all.iter().any(|one| !one.subject.mappings.is_empty()) {
            let rings = rings_of_host(probe, all.iter().map(|one| (&one.mm, &one.first)), notes)?;
            for one in &mut all {
                one.sharers = sharers_among(&rings, one.mm, &one.subject.mappings);
            }
        }
        Ok(all)
    }

    fn one(probe: &mut Probe, pid: Pid, image: bool, closer: bool) -> Result<Self, SourceError> {
        let dir = ProcDir::open(pid)?;
        let (mm, first) = word_of(probe, &dir)?;
        // After the census, so that its lock_seq vouches for the mappings.
        let subject = Subject::read(dir).map_err(|error| with_word(error, &first))?;
        let facts = subject.facts_if(image)?;
        let recheck = Recheck::plan(&subject, first.word.mm.lock_seq.filter(|_| !closer))?;
        let tid = first.live.first().copied().unwrap_or(Tid(pid.0));
        let headers = HeaderPlan::new(&addresses(&first), tid);
        Ok(Self { subject, mm, first, tid, recheck, headers, facts, image, sharers: Vec::new() })
    }

    /// Whether its program is still the one that was planned with.
    pub(super) fn is_same_program(&self) -> Result<bool, SourceError> {
        Ok(self.subject.facts_if(self.image)? == self.facts)
    }

    /// Its processes, by the census that saw them; by its own files if that saw none.
    pub(super) fn processes(&self, seen: &SpaceWord) -> Result<Vec<Process>, SourceError> {
        if seen.processes.is_empty() { Ok(vec![self.subject.process()?]) } else { Ok(named(seen)) }
    }

    /// What was read of it, put together. `look` has everything but what was planned.
    pub(super) fn space(
        self,
        ordinal: usize,
        processes: Vec<Process>,
        look: Look,
        traced: Option<TracedWord>,
    ) -> AddressSpace {
        let look = Look {
            mappings: self.subject.mappings.clone(),
            mappings_at: self.subject.mappings_at,
            headers: self.headers.finish(),
            sharers: self.sharers,
            ..look
        };
        AddressSpace {
            mm: MmId(u32::try_from(ordinal).unwrap_or(u32::MAX)),
            processes,
            looks: vec![look],
            image: self.subject.image(self.facts),
            traced,
            not_looked_at: None,
        }
    }
}
