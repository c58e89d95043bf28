//! What the census can tell on the kernel that runs, and why not the rest.
//!
//! A struct of another kernel may lack a member, or have it in a form that cannot be read. Only what rests on it is lost then: it is `None`
//! in the kernel's word, and the reason is told once. What nothing can be said without (user_id, the table, the process) is no fact of
//! this list: without it the program refuses.

macro_rules! facts {
    ($($(#[doc = $doc:literal])+ $fact:ident = $name:literal, $hides:expr;)*) => {
        /// A number that the census reads of a kernel that has it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fact { $($(#[doc = $doc])+ $fact,)* }

        impl Fact {
            /// All of them.
            pub const ALL: &'static [Fact] = &[$(Fact::$fact,)*];

            /// Its name, as evidence shows it.
            pub fn name(self) -> &'static str {
                match self { $(Fact::$fact => $name,)* }
            }

            /// What cannot be shown without it.
            fn hides(self) -> Hides {
                match self { $(Fact::$fact => $hides,)* }
            }
        }
    };
}

facts! {
    /// `kioctx.mmap_base`; without it the ring's place is user_id, which moves with it (fs/aio.c:aio_ring_mremap).
    MmapBase = "mmap_base", Hides::Nothing;
    /// `kioctx.mmap_size`; nr_pages says the same.
    MmapSize = "mmap_size", Hides::RingLen;
    /// `kioctx.nr_pages`.
    NrPages = "nr_pages", Hides::RingLen;
    /// `kioctx.max_reqs`.
    MaxReqs = "max_reqs", Hides::Always("MAX_REQS and who has the slots reserved are not known");
    /// `kioctx.nr_events`, also a part of the credits.
    NrEvents = "nr_events", Hides::Always("NR_EVENTS and UNREAPED are not known");
    /// `kioctx.tail`.
    Tail = "tail", Hides::Always("UNREAPED is not known");
    /// `kioctx.completed_events`: a part of the credits, and what bounds the head that a process claims.
    CompletedEvents = "completed_events", Hides::Always("UNREAPED is known only where it is 0");
    /// `kioctx.reqs_available`: a part of the credits.
    ReqsAvailable = "reqs_available", Hides::Nothing;
    /// The sum of `kioctx_cpu.reqs_available`: a part of the credits. It takes `kioctx.cpu` and the memory of all possible CPUs.
    PercpuAvailable = "percpu_available", Hides::Nothing;
    /// `kioctx.reqs.percpu_count_ptr`: how the references are counted, and where.
    RefState = "ref_state", Hides::Nothing;
    /// The sum of the counters that it points to. It takes the memory of all possible CPUs.
    PercpuRefs = "percpu_refs", Hides::Nothing;
    /// `kioctx.reqs.data->count`.
    AtomicRefs = "atomic_refs", Hides::Nothing;
    /// `kioctx.dead`. A context is out of the table a moment after it is set (fs/aio.c:kill_ioctx), so little is lost.
    Dead = "dead", Hides::Nothing;
    /// `mm_struct.brk`, which an image needs.
    Brk = "brk", Hides::Nothing;
    /// `mm_struct.flags & 3`, which an image needs.
    Dumpable = "dumpable", Hides::Nothing;
    /// `mm_struct.mm_lock_seq`, since v6.4; without it the mappings themselves are read again.
    LockSeq = "lock_seq", Hides::Nothing;
    /// `mm_struct.map_count`.
    MapCount = "map_count", Hides::Nothing;
    /// `task_struct.nvcsw` and `nivcsw`: whether a thread ran between two looks.
    Switches = "switches", Hides::Nothing;
    /// `task_struct.se.sum_exec_runtime`, likewise.
    Runtime = "runtime_ns", Hides::Nothing;
    /// `task_struct.on_cpu`, likewise.
    OnCpu = "on_cpu", Hides::Nothing;
    /// `task_struct.__state`, likewise.
    State = "state", Hides::Nothing;
    /// `task_struct.start_boottime`: whether a thread is younger than a freeze.
    StartBoottime = "start_boottime_ns", Hides::Nothing;
    /// `task_struct.comm`; without it /proc/PID/stat is read.
    Comm = "comm", Hides::Nothing;
    /// `group_leader->start_boottime`; without it /proc/PID/stat is read.
    LeaderStart = "start_ticks", Hides::Nothing;
    /// `kioctx.req_batch`; without it nr_events and the number of CPUs say the same (fs/aio.c:ioctx_alloc).
    ReqBatch = "req_batch", Hides::Nothing;
}

/// What a table cannot show without a fact. The verdict of check and dump names the others where it rests on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hides {
    /// Nothing: something else stands in, or no table shows it.
    Nothing,
    /// This, always.
    Always(&'static str),
    /// The length of the ring, if both of its witnesses are missing.
    RingLen,
}

/// A fact that this kernel does not tell, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// What is not told.
    pub fact: Fact,
    /// Such as `this kernel's struct kioctx has no member tail`; any text where it comes from a file.
    pub why: String,
}

/// Which facts the census can tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    lacks: Vec<Lack>,
}

impl Known {
    /// A kernel that has everything.
    pub fn all() -> Self {
        Self::default()
    }

    /// Says that a fact cannot be told. The first reason given is kept.
    pub fn lose(&mut self, fact: Fact, why: impl Into<String>) {
        let place = self.lacks.partition_point(|lack| lack.fact < fact);
        if self.lacks.get(place).is_none_or(|lack| lack.fact != fact) {
            self.lacks.insert(place, Lack { fact, why: why.into() });
        }
    }

    /// Whether the census tells it.
    pub fn tells(&self, fact: Fact) -> bool {
        !self.lacks.iter().any(|lack| lack.fact == fact)
    }

    /// The value that was read, if it is one.
    pub fn told<T>(&self, fact: Fact, value: T) -> Option<T> {
        self.tells(fact).then_some(value)
    }

    /// What is not told, in the order of [`Fact::ALL`], each once.
    pub fn lacks(&self) -> &[Lack] {
        &self.lacks
    }
}

/// What the credits are counted from (fs/aio.c:get_reqs_available, put_reqs_available).
pub const CREDITS: [Fact; 4] =
    [Fact::NrEvents, Fact::CompletedEvents, Fact::ReqsAvailable, Fact::PercpuAvailable];
/// What the references are counted from.
pub const REFERENCES: [Fact; 2] = [Fact::RefState, Fact::PercpuRefs];
/// What shows that no thread ran between two looks.
pub const SCHEDULER: [Fact; 4] = [Fact::Switches, Fact::Runtime, Fact::OnCpu, Fact::State];
/// What says how long a ring is: either is enough.
pub const RING_LEN: [Fact; 2] = [Fact::MmapSize, Fact::NrPages];

/// A line for each reason: what the columns do not show because of it.
pub fn notes(lacks: &[Lack]) -> Vec<String> {
    let lacks_any = |facts: &[Fact]| lacks.iter().any(|lack| facts.contains(&lack.fact));
    let lacks_all = |facts: &[Fact]| facts.iter().all(|fact| lacks_any(&[*fact]));
    let (no_credits, no_references) = (lacks_any(&CREDITS), lacks_any(&REFERENCES));
    let in_flight = |fact: &Fact| match (CREDITS.contains(fact), REFERENCES.contains(fact)) {
        (false, false) => None,
        _ if no_credits && no_references => Some("IN_FLIGHT is not known"),
        (true, _) => Some("IN_FLIGHT is counted by the references alone"),
        (false, true) => Some("IN_FLIGHT is counted by the credits alone"),
    };
    let mut notes: Vec<(&str, Vec<&str>)> = Vec::new();
    for lack in lacks {
        let hidden = match lack.fact.hides() {
            Hides::Always(what) => Some(what),
            Hides::RingLen if lacks_all(&RING_LEN) => Some("RING_LEN is not known"),
            Hides::RingLen | Hides::Nothing => None,
        };
        for what in [hidden, in_flight(&lack.fact)].into_iter().flatten() {
            match notes.iter_mut().find(|(why, _)| *why == lack.why) {
                Some((_, hidden)) if hidden.contains(&what) => {}
                Some((_, hidden)) => hidden.push(what),
                None => notes.push((&lack.why, vec![what])),
            }
        }
    }
    notes.into_iter().map(|(why, hidden)| format!("{why}: {}", hidden.join("; "))).collect()
}

/// Why facts are not told, each reason once; `None` if all of them are.
pub fn why(lacks: &[Lack], facts: &[Fact]) -> Option<String> {
    let mut reasons: Vec<&str> =
        lacks.iter().filter(|lack| facts.contains(&lack.fact)).map(|lack| lack.why.as_str()).collect();
    reasons.dedup();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without(facts: &[Fact]) -> Known {
        let mut known = Known::all();
        for fact in facts {
            known.lose(*fact, format!("no {}", fact.name()));
        }
        known
    }

    /// Check that each fact can be lost alone, that the others are told, and that the first reason stays.
    #[test]
    fn each_alone() {
        for lost in Fact::ALL {
            let mut known = without(&[*lost]);
            known.lose(*lost, "again");
            for fact in Fact::ALL {
                assert_eq!(known.tells(*fact), fact != lost);
                assert_eq!(known.told(*fact, 1).is_some(), fact != lost);
            }
            assert_eq!(known.lacks(), [Lack { fact: *lost, why: format!("no {}", lost.name()) }]);
        }
        assert!(Fact::ALL.iter().all(|fact| Known::all().tells(*fact)));
        assert!(Fact::ALL.is_sorted());
    }

    /// Check that the lacks are in the list's order, in whichever they were found.
    #[test]
    fn in_order() {
        let all: Vec<Fact> = Fact::ALL.iter().rev().copied().collect();
        let known = without(&all);
        assert!(known.lacks().iter().map(|lack| lack.fact).eq(Fact::ALL.iter().copied()));
    }

    /// Check that no two facts have one name.
    #[test]
    fn names_are_unique() {
        for fact in Fact::ALL {
            assert_eq!(Fact::ALL.iter().filter(|other| other.name() == fact.name()).count(), 1);
        }
    }

    /// Check the notes: nothing where nothing is hidden, and of in-flight and the ring's length only what both witnesses lost.
    #[test]
    fn what_is_hidden() {
        let said = |facts: &[Fact]| notes(without(facts).lacks());
        assert!(said(&[]).is_empty());
        assert!(said(&[Fact::LockSeq, Fact::Comm, Fact::Brk, Fact::MmapSize]).is_empty());
        assert_eq!(said(&[Fact::Tail]), ["no tail: UNREAPED is not known"]);
        assert_eq!(
            said(&[Fact::MmapSize, Fact::NrPages]),
            ["no mmap_size: RING_LEN is not known", "no nr_pages: RING_LEN is not known"]
        );
        assert_eq!(
            said(&[Fact::PercpuAvailable]),
            ["no percpu_available: IN_FLIGHT is counted by the references alone"]
        );
        assert_eq!(said(&[Fact::RefState]), ["no ref_state: IN_FLIGHT is counted by the credits alone"]);
        assert_eq!(
            said(&[Fact::NrEvents, Fact::PercpuRefs]),
            [
                "no nr_events: NR_EVENTS and UNREAPED are not known; IN_FLIGHT is not known",
                "no percpu_refs: IN_FLIGHT is not known"
            ]
        );
    }

    /// Check that what is lost for one reason is told in one line.
    #[test]
    fn one_line_a_reason() {
        let mut known = Known::all();
        known.lose(Fact::PercpuAvailable, "CPU 1 is offline");
        known.lose(Fact::PercpuRefs, "CPU 1 is offline");
        assert_eq!(notes(known.lacks()), ["CPU 1 is offline: IN_FLIGHT is not known"]);
        assert_eq!(why(known.lacks(), &REFERENCES).as_deref(), Some("CPU 1 is offline"));
        let both = [&CREDITS[..], &REFERENCES].concat();
        assert_eq!(why(known.lacks(), &both).as_deref(), Some("CPU 1 is offline"));
        assert_eq!(why(known.lacks(), &SCHEDULER), None);
    }
}
