//! The table of findings: what is worth knowing of a context, one row each.
//!
//! Every output, the verdict and the documents read it. A row has no defaults, so a new finding does not compile until
//! each question about it is answered.

use std::cmp::Reverse;
use std::fmt;

use crate::finding::Severity::{Pending, Wrong};

/// How bad a finding is: the worst comes first where not all can be shown. No two findings have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It may be so in a program that works.
    Pending(u8),
    /// Something is wrong; worse than all that is pending.
    Wrong(u8),
}

/// A number that says it all in the place of the finding's sentence: `3 requests in flight`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Of the requests in flight.
    InFlight,
    /// Of the completions that wait.
    Unreaped,
}

/// All there is to know of a finding.
struct Row {
    /// Printed in tables and JSON. A promise: kebab-case, added to, never renamed.
    code: &'static str,
    /// What is wrong and why it matters, in a sentence without an end: details may follow.
    says: &'static str,
    severity: Severity,
    /// What the user can do where it refuses a dump; `None`: it is no reason to refuse one, and the user is told.
    remedy: Option<&'static str>,
    /// What a verdict says instead of `says` and the details, where the number is known.
    counted: Option<Count>,
    /// Whether a closer look at a process that is held may make it go away.
    may_pass: bool,
    /// Whether the context is in no table any more and waits for its requests.
    dying: bool,
}

macro_rules! findings {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $value:expr,)* })*) => {
        /// What is worth knowing of a context: what the two witnesses disagree on, or what an operator must know.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Finding { $($(#[$doc])* $name,)* }

        impl Finding {
            /// All findings there are, in the order in which they are listed.
            pub const ALL: &'static [Finding] = &[$(Finding::$name,)*];

            fn row(self) -> &'static Row {
                match self { $(Finding::$name => const { &Row { $($field: $value,)* } },)* }
            }
        }
    };
}

findings! {
    /// in_flight > 0.
    InFlight {
        code: "in-flight",
        says: "requests were submitted and have not completed",
        severity: Pending(2),
        remedy: Some("wait for them with --wait 5s"),
        counted: Some(Count::InFlight),
        may_pass: false,
        dying: false,
    }
    /// tail != head.
    Unreaped {
        code: "unreaped",
        says: "the process has not reaped all completions in the ring",
        severity: Pending(3),
        remedy: Some("let the process reap them with --wait 5s, or keep them with --allow-unreaped"),
        counted: Some(Count::Unreaped),
        may_pass: true,
        dying: false,
    }
    /// A ring mapping without a context: inherited by fork, or its context was destroyed.
    GhostRing {
        code: "ghost-ring",
        says: "the process maps a ring that has no context (inherited by fork, or the context was destroyed)",
        severity: Pending(4),
        remedy: None,
        counted: None,
        may_pass: false,
        dying: false,
    }
    /// A context without a mapping: munmap of a live ring.
    UnmappedRing {
        code: "unmapped-ring",
        says: "the process unmapped the ring, so it cannot destroy the context",
        severity: Wrong(10),
        remedy: Some("restart the process: nothing else frees the slots"),
        counted: None,
        may_pass: true,
        dying: false,
    }
    /// Magic, id, nr, head, tail or sizes that the kernel did not write.
    ForgedHeader {
        code: "forged-header",
        says: "the ring header differs from what the kernel wrote",
        severity: Wrong(9),
        remedy: Some("restart the process: something overwrote its ring"),
        counted: None,
        may_pass: true,
        dying: false,
    }
    /// process_vm_readv failed.
    UnreadableRing {
        code: "unreadable-ring",
        says: "the ring header cannot be read",
        severity: Wrong(8),
        remedy: Some("make the ring readable and writable again"),
        counted: None,
        may_pass: false,
        dying: false,
    }
    /// Another mm maps the same ring.
    SharedRing {
        code: "shared-ring",
        says: "another process maps this ring and can write its head",
        severity: Pending(5),
        remedy: None,
        counted: None,
        may_pass: false,
        dying: false,
    }
    /// Not rw-s.
    ProtectionChanged {
        code: "protection-changed",
        says: "the ring is no longer readable and writable (rw-s) as io_setup mapped it",
        severity: Wrong(7),
        remedy: Some("make the ring readable and writable again"),
        counted: None,
        may_pass: false,
        dying: false,
    }
    /// More than one VMA, or not the whole ring.
    SplitMapping {
        code: "split-mapping",
        says: "the ring is no longer one mapping (a part was protected, unmapped or moved)",
        severity: Wrong(6),
        remedy: Some("restart the process: the parts of a ring cannot be joined again"),
        counted: None,
        may_pass: false,
        dying: false,
    }
    /// No free ring entry: io_submit answers EAGAIN.
    RingFull {
        code: "ring-full",
        says: "no ring entry is free, so io_submit fails with EAGAIN",
        severity: Wrong(14),
        // Full, stranded and stuck mean in flight or unreaped, which refuse.
        remedy: None,
        counted: None,
        may_pass: false,
        dying: false,
    }
    /// Out of the kernel's table, and its requests are waited for: io_destroy, exit or exec is under way.
    Dying {
        code: "dying",
        says: "the context is being destroyed and waits for its requests",
        severity: Wrong(15),
        remedy: Some("wait for them with --wait 5s"),
        counted: None,
        may_pass: false,
        dying: true,
    }
    /// The process is in exit_aio or exec.
    Exiting {
        code: "exiting",
        says: "the process exits or execs, and waits for the requests of its contexts",
        severity: Wrong(16),
        remedy: Some("find out what the requests are for; after an exit there is nothing to dump"),
        counted: None,
        may_pass: false,
        dying: true,
    }
    /// Some CPU has no credit and gets none, while others have some: io_submit answers EAGAIN there only.
    StrandedCredits {
        code: "stranded-credits",
        says: "some CPUs have no credits for the free ring entries, so io_submit fails there with EAGAIN",
        severity: Wrong(13),
        remedy: None,
        counted: None,
        may_pass: false,
        dying: false,
    }
    /// In flight, and nothing completed between the first look and the last.
    Stuck {
        code: "stuck",
        says: "requests are in flight and none completed while we looked",
        severity: Wrong(12),
        remedy: None,
        counted: None,
        may_pass: false,
        dying: false,
    }
    /// The contexts of the process only grow, and the old ones are idle.
    IdleLeak {
        code: "idle-leak",
        says: "the process makes contexts and never uses or destroys them",
        severity: Wrong(11),
        // A leaked context is idle.
        remedy: None,
        counted: None,
        may_pass: false,
        dying: false,
    }
    /// A watch was under way and says otherwise than the kernel.
    TracedOtherwise {
        code: "traced-otherwise",
        says: "the running watch and the kernel disagree",
        severity: Pending(0),
        // The kernel's word counts; that a watch missed something is worth knowing.
        remedy: None,
        counted: None,
        may_pass: false,
        dying: false,
    }
    /// What was read changed while we looked.
    Unsettled {
        code: "unsettled",
        says: "the context changed while we looked",
        severity: Pending(1),
        remedy: Some("look again with --wait 5s"),
        counted: None,
        may_pass: true,
        dying: false,
    }
}

impl Finding {
    /// The code printed in tables and JSON.
    pub fn code(self) -> &'static str {
        self.row().code
    }

    /// One line for a person.
    pub fn says(self) -> &'static str {
        self.row().says
    }

    /// How bad it is; greater is worse.
    pub fn severity(self) -> Severity {
        self.row().severity
    }

    /// The worst of them.
    pub fn worst(findings: impl IntoIterator<Item = Finding>) -> Option<Finding> {
        findings.into_iter().max_by_key(|finding| finding.severity())
    }

    /// All of them, the worst first.
    pub fn worst_first(findings: &[Finding]) -> Vec<Finding> {
        let mut sorted = findings.to_vec();
        sorted.sort_by_key(|finding| Reverse(finding.severity()));
        sorted
    }

    /// Whether something is wrong; the rest is merely pending.
    pub fn is_wrong(self) -> bool {
        match self.severity() {
            Wrong(_) => true,
            Pending(_) => false,
        }
    }

    /// What the user can do where it refuses a dump; `None`: it is no reason to refuse one, and the user is told.
    pub fn remedy(self) -> Option<&'static str> {
        self.row().remedy
    }

    /// Whether a closer look at the same instant may make it go away: it was seen of a process that ran while we looked.
    pub fn may_pass(self) -> bool {
        self.row().may_pass
    }

    /// Whether the context is in no table any more, and waits for its requests.
    pub fn is_dying(self) -> bool {
        self.row().dying
    }

    /// The number that says more than the sentence, where there is one.
    pub fn counted(self) -> Option<Count> {
        self.row().counted
    }
}

impl Count {
    /// That many of them, in words.
    pub fn in_words(self, count: u32) -> String {
        let (one, how) = match self {
            Count::InFlight => ("request", "in flight"),
            Count::Unreaped => ("completion", "not reaped"),
        };
        let s = if count == 1 { "" } else { "s" };
        format!("{count} {one}{s} {how}")
    }
}

impl Severity {
    /// As a number: greater is worse.
    pub fn rank(self) -> u8 {
        match self {
            Pending(rank) | Wrong(rank) => rank,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that no two are equally bad, and that all that is wrong is worse than all that is pending, as a number too.
    #[test]
    fn severities_are_in_order() {
        let mut sorted = Finding::ALL.to_vec();
        sorted.sort_by_key(|finding| finding.severity());
        assert!(sorted.is_sorted_by(|a, b| a.severity().rank() < b.severity().rank()));
        assert_eq!(sorted.last(), Some(&Finding::Exiting));
    }
}
