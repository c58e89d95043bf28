//! The one list of findings: what two witnesses disagree on, or what an operator must know of a context.

use std::fmt;

macro_rules! findings {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $says:literal;)*) => {
        /// One finding; its code is a promise (DESIGN: kebab-case, added to, never renamed).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Finding { $($(#[$doc])* $name,)* }

        impl Finding {
            /// All findings there are, in the order in which they are listed.
            pub const ALL: &'static [Finding] = &[$(Finding::$name,)*];

            /// The code printed in tables and JSON.
            pub fn code(self) -> &'static str {
                match self { $(Finding::$name => $code,)* }
            }

            /// One line for a person.
            pub fn says(self) -> &'static str {
                match self { $(Finding::$name => $says,)* }
            }
        }
    };
}

findings! {
    /// in_flight > 0.
    InFlight = "in-flight", "requests are submitted and not completed";
    /// tail != head.
    Unreaped = "unreaped", "completions wait in the ring to be reaped";
    /// A ring mapping without a context: inherited by fork, or its context was destroyed.
    GhostRing = "ghost-ring", "a ring is mapped, but no context belongs to it (inherited by fork)";
    /// A context without a mapping: munmap of a live ring.
    UnmappedRing = "unmapped-ring", "the ring was unmapped: its slots are lost until exit";
    /// Magic, id, nr, head, tail or sizes that the kernel did not write.
    ForgedHeader = "forged-header", "the ring header does not say what the kernel knows";
    /// process_vm_readv failed.
    UnreadableRing = "unreadable-ring", "the ring header cannot be read";
    /// Another mm maps the same ring.
    SharedRing = "shared-ring", "another process maps this ring and can write its head";
    /// Not rw-s.
    ProtectionChanged = "protection-changed", "the ring's protection is not the one io_setup gave it";
    /// More than one VMA, or not the whole ring.
    SplitMapping = "split-mapping", "the ring's mapping was split, cut or moved in part";
    /// No free slot: io_submit answers EAGAIN.
    RingFull = "ring-full", "no slot is free: io_submit fails with EAGAIN";
    /// Out of the kernel's table, and its requests are waited for: io_destroy, exit or exec is under way.
    Dying = "dying", "it is being destroyed, and waits for its requests";
    /// The process is in exit_aio or exec.
    Exiting = "exiting", "its process ends, or becomes another program, and waits for its requests";
    /// Some CPU has no credit and gets none, while others have some: io_submit answers EAGAIN there only.
    StrandedCredits = "stranded-credits", "free ring entries can be used on some CPUs only: io_submit fails with EAGAIN on the others";
    /// In flight, and nothing completed between the first look and the last.
    Stuck = "stuck", "requests are in flight and none completed while we looked";
    /// The contexts of the process only grow, and the old ones are idle.
    IdleLeak = "idle-leak", "the process makes contexts and never uses or destroys them";
    /// A watch was under way and says otherwise than the kernel.
    TracedOtherwise = "traced-otherwise", "the watch that is under way says otherwise than the kernel";
    /// What was read changed while we looked.
    Unsettled = "unsettled", "it changed while we looked";
}

impl Finding {
    /// Whether a closer look at the same instant may make it go away: it was seen of a process that ran while we looked.
    pub fn may_pass(self) -> bool {
        match self {
            Finding::Unsettled | Finding::Unreaped | Finding::ForgedHeader | Finding::UnmappedRing => true,
            Finding::InFlight
            | Finding::GhostRing
            | Finding::UnreadableRing
            | Finding::SharedRing
            | Finding::ProtectionChanged
            | Finding::SplitMapping
            | Finding::RingFull
            | Finding::Dying
            | Finding::Exiting
            | Finding::StrandedCredits
            | Finding::Stuck
            | Finding::IdleLeak
            | Finding::TracedOtherwise => false,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
