//! The list of captures.

use aioinspect_model::finding::Finding;
use aioinspect_model::finding::Finding as F;

use super::derived::{
    dying, no_brk, no_cpu, no_credits, no_max_reqs, no_on_cpu, no_tail, nobody, one_of_three,
    one_reference_lost, only_the_call, torn,
};
use super::states::{
    about_to_be_gone, busy, checked, child_writes, dump_ghost, dump_spoof, dumped, ending_child, forged,
    frozen, host, idle_leak, no_bpf, of_child, ring_full, stranded, stuck, traced,
};
use super::{Expect, Machine, Made, Recipe, Scene};

const fn recipe(
    name: &'static str,
    about: &'static str,
    make: fn(&mut Scene) -> Made,
    verdict: &'static str,
    findings: &'static [Finding],
) -> Recipe {
    Recipe { name, about, make, expect: Expect { verdict, findings }, on: Machine::X86_64 }
}

const fn on(on: Machine, recipe: Recipe) -> Recipe {
    Recipe { on, ..recipe }
}

/// Every capture of tests/captures, by theme.
pub const RECIPES: &[Recipe] = &[
    recipe("no-contexts", "a process that never called io_setup", |s| checked(s, &[]), "idle", &[]),
    recipe("idle", "two contexts, never used", |s| checked(s, &["setup 128", "setup 1"]), "idle", &[]),
    recipe(
        "in-flight-polls",
        "polls in flight, submitted on two CPUs; another context is idle",
        |s| checked(s, &["setup 128", "poll #0 5 0", "poll #0 2 1", "setup 16"]),
        "not-idle",
        &[F::InFlight],
    ),
    recipe(
        "in-flight-reads",
        "slow O_DIRECT reads in flight while the ring is empty: head equals tail",
        |s| checked(s, &["setup 64", "slow-read #0 4"]),
        "not-idle",
        &[F::InFlight],
    ),
    recipe(
        "unreaped",
        "four completions wait, two were reaped",
        |s| checked(s, &["setup 128", "poll #0 6", "complete #0 6", "reap #0 2"]),
        "not-idle",
        &[F::Unreaped],
    ),
    recipe(
        "reaped-by-head",
        "all completions reaped by a store to head, without a system call",
        |s| checked(s, &["setup 128", "poll #0 6", "complete #0 6", "reap-by-head #0 6"]),
        "idle",
        &[],
    ),
    recipe(
        "traced",
        "a watch saw the second context being made; the first was there before",
        |s| traced(s, &[]),
        "idle",
        &[],
    ),
    recipe(
        "traced-otherwise",
        "a watch whose map had no room for all contexts",
        |s| traced(s, &["--map-entries", "1"]),
        "idle",
        &[F::TracedOtherwise],
    ),
    recipe(
        "ring-full",
        "polls until io_submit said EAGAIN",
        ring_full,
        "not-idle",
        &[F::InFlight, F::RingFull],
    ),
    recipe(
        "stranded-credits",
        "polls on CPU 0 until io_submit said EAGAIN, while CPU 1 had credits of others that completed there",
        stranded,
        "not-idle",
        &[F::InFlight, F::StrandedCredits],
    ),
    recipe(
        "stuck",
        "polls that nobody completes, under check --wait",
        stuck,
        "not-idle",
        &[F::InFlight, F::Stuck],
    ),
    recipe(
        "idle-leak",
        "a process that only makes contexts; three checks joined (record::derived::joined)",
        idle_leak,
        "idle",
        &[F::IdleLeak],
    ),
    recipe(
        "busy",
        "a thread that submits and reaps all the time",
        busy,
        "busy",
        &[F::Unreaped, F::Unsettled],
    ),
    recipe(
        "frozen",
        "a process that maps and unmaps all the time, with an idle context, frozen",
        frozen,
        "idle",
        &[],
    ),
    recipe(
        "stopped",
        "stopped by SIGSTOP when we came",
        |s| {
            let pid = s.fixture(&["setup 32"])?;
            s.while_stopped(|scene| scene.check(pid, &[]))
        },
        "idle",
        &[],
    ),
    recipe(
        "ghost",
        "the forked child: a ring, no context",
        |s| of_child(s, "fork-ghost"),
        "idle",
        &[F::GhostRing],
    ),
    recipe(
        "shared-ring",
        "its parent: an idle context whose ring the child maps too",
        |s| checked(s, &["setup 128", "fork-ghost"]),
        "idle",
        &[F::SharedRing],
    ),
    recipe(
        "head-written-by-child",
        "the child wrote 50 to the head of its parent's empty ring",
        child_writes,
        "not-idle",
        &[F::ForgedHeader, F::SharedRing],
    ),
    recipe(
        "moved",
        "the ring was moved by mremap, whole",
        |s| checked(s, &["setup 128", "mremap #0"]),
        "idle",
        &[],
    ),
    recipe(
        "unmapped-ring",
        "the ring was unmapped, the context lives on",
        |s| checked(s, &["setup 128", "munmap #0 all hold"]),
        "not-idle",
        &[F::UnmappedRing],
    ),
    recipe(
        "address-reused",
        "a ring was unmapped, and the next io_setup got its address",
        |s| checked(s, &["setup 128", "munmap #0 all", "setup 128"]),
        "not-idle",
        &[F::UnmappedRing],
    ),
    recipe(
        "unmapped-beginning",
        "the ring's first page was unmapped",
        |s| checked(s, &["setup 128", "munmap #0 page 0 hold"]),
        "not-idle",
        &[F::UnmappedRing, F::SplitMapping],
    ),
    recipe(
        "split-mapping",
        "the ring's second page was unmapped",
        |s| checked(s, &["setup 128", "munmap #0 page 1 hold"]),
        "not-idle",
        &[F::SplitMapping],
    ),
    recipe(
        "shrunk",
        "the ring was cut to one page by mremap",
        |s| checked(s, &["setup 128", "mremap #0 1"]),
        "not-idle",
        &[F::SplitMapping],
    ),
    recipe(
        "unreadable-ring",
        "mprotect PROT_NONE on the whole ring",
        |s| checked(s, &["setup 128", "mprotect #0 none"]),
        "not-idle",
        &[F::UnreadableRing, F::ProtectionChanged],
    ),
    recipe(
        "protection-changed",
        "mprotect PROT_READ on the whole ring",
        |s| checked(s, &["setup 128", "mprotect #0 ro"]),
        "not-idle",
        &[F::ProtectionChanged],
    ),
    recipe(
        "forged-magic",
        "magic overwritten",
        |s| forged(s, "magic 0xdead"),
        "not-idle",
        &[F::ForgedHeader],
    ),
    recipe("forged-nr", "nr overwritten", |s| forged(s, "nr 4096"), "not-idle", &[F::ForgedHeader]),
    recipe("forged-head", "head past the tail", |s| forged(s, "head 100"), "not-idle", &[F::ForgedHeader]),
    recipe("forged-tail", "tail overwritten", |s| forged(s, "tail 7"), "not-idle", &[F::ForgedHeader]),
    recipe("forged-id", "id overwritten", |s| forged(s, "id 9"), "not-idle", &[F::ForgedHeader]),
    recipe(
        "clone-vm",
        "two processes with one memory: a context made by each",
        |s| checked(s, &["setup 128", "clone-vm-child 1 64 stay"]),
        "idle",
        &[],
    ),
    recipe(
        "leader-gone",
        "the thread-group leader has exited, another thread lives",
        |s| checked(s, &["setup 128", "leader-exit"]),
        "idle",
        &[],
    ),
    recipe(
        "hostile-comm",
        "a name of escape sequences, a line feed and a byte that is not UTF-8",
        |s| checked(s, &["setup 128", "set-comm 1b5b33316d0a5c22ff202c3a"]),
        "idle",
        &[],
    ),
    recipe(
        "torn",
        "idle, with the census marked as torn (record::derived::torn)",
        |s| checked(s, &["setup 128"]).map(torn),
        "busy",
        &[F::Unsettled],
    ),
    recipe(
        "witnesses-disagree",
        "polls in flight, one reference taken away (record::derived::one_reference_lost)",
        |s| checked(s, &["setup 128", "poll #0 5 0"]).map(one_reference_lost),
        "not-idle",
        &[F::Unsettled],
    ),
    recipe(
        "dying",
        "idle, marked as being destroyed (record::derived::dying)",
        |s| checked(s, &["setup 128"]).map(dying),
        "not-idle",
        &[F::Unsettled],
    ),
    recipe(
        "destroy-waits",
        "a thread in io_destroy for two of four slow reads; another context is idle",
        |s| checked(s, &["setup 64", "setup 32", "slow-read #0 4", "destroy-waiting #0", "finish-reads 2"]),
        "not-idle",
        &[F::Dying],
    ),
    recipe(
        "destroy-every-day",
        "io_destroy of a context without requests, which waits for an RCU grace period all the same",
        about_to_be_gone,
        "not-idle",
        &[F::Dying],
    ),
    recipe(
        "destroy-not-found",
        "io_destroy, where its context is not found on the stack (record::derived::only_the_call)",
        |s| checked(s, &["setup 64", "slow-read #0 4", "destroy-waiting #0"]).map(only_the_call),
        "not-idle",
        &[F::Dying],
    ),
    recipe(
        "exit-waits",
        "a process that exits, and waits for four slow reads of each of two contexts",
        |s| ending_child(s, "dying-child exit 2 4"),
        "not-idle",
        &[F::Dying, F::Exiting],
    ),
    recipe(
        "exit-not-named",
        "the same of three contexts of which one was found (record::derived::one_of_three)",
        |s| ending_child(s, "dying-child exit 2 4").map(one_of_three),
        "not-idle",
        &[F::Dying, F::Exiting],
    ),
    recipe(
        "exec-waits",
        "a process in exec, which waits for two slow reads of its old memory",
        |s| ending_child(s, "dying-child exec 1 2"),
        "not-idle",
        &[F::Dying, F::Exiting],
    ),
    recipe(
        "no-tail",
        "completions wait, on a kernel that does not tell tail (record::derived::no_tail)",
        |s| checked(s, &["setup 128", "poll #0 6", "complete #0 6", "reap #0 2"]).map(no_tail),
        "unproven",
        &[],
    ),
    recipe(
        "no-credits",
        "polls in flight, told by the references alone (record::derived::no_credits)",
        |s| checked(s, &["setup 128", "poll #0 5 0", "poll #0 2 1", "setup 16"]).map(no_credits),
        "not-idle",
        &[F::InFlight],
    ),
    recipe(
        "no-cpu",
        "polls in flight, where the memory of a CPU is not found (record::derived::no_cpu)",
        |s| checked(s, &["setup 128", "poll #0 5 0", "poll #0 2 1", "setup 16"]).map(no_cpu),
        "unproven",
        &[],
    ),
    recipe(
        "no-on-cpu",
        "idle, on a kernel that does not show who runs (record::derived::no_on_cpu)",
        |s| checked(s, &["setup 128", "setup 1"]).map(no_on_cpu),
        "unproven",
        &[],
    ),
    recipe(
        "dump",
        "what dump read of two idle contexts, frozen",
        |s| dumped(s, &["setup 128", "setup 1"], &[]),
        "idle",
        &[],
    ),
    recipe(
        "dump-no-brk",
        "the same on a kernel that does not tell brk (record::derived::no_brk)",
        |s| dumped(s, &["setup 128", "setup 1"], &[]).map(no_brk),
        "idle",
        &[],
    ),
    recipe(
        "dump-unreaped",
        "what dump --allow-unreaped read",
        |s| dumped(s, &["setup 128", "poll #0 3", "complete #0 3"], &["--allow-unreaped"]),
        "not-idle",
        &[F::Unreaped],
    ),
    recipe(
        "dump-ghost",
        "what dump read of a forked child with a context of its own",
        dump_ghost,
        "idle",
        &[F::GhostRing],
    ),
    recipe(
        "dump-spoof",
        "what dump read of a process that maps a file called /[aio] (deleted)",
        dump_spoof,
        "idle",
        &[],
    ),
    recipe(
        "dump-no-bpf",
        "what dump --unverified reads where the kernel cannot be asked",
        |s| {
            let pid = s.fixture(&["setup 128", "poll #0 5 0"])?;
            s.without_kernel(pid)
        },
        "unproven",
        &[],
    ),
    recipe(
        "no-bpf",
        "list --no-bpf: a context in use and, of the child, a ring that only looks like one",
        no_bpf,
        "host",
        &[F::Unreaped, F::SharedRing],
    ),
    recipe(
        "nobody",
        "list of a host without contexts (record::derived::nobody)",
        |s| s.list(&[]).map(nobody),
        "host",
        &[],
    ),
    recipe(
        "host",
        "list of a host: four processes, two with an owner",
        host,
        "host",
        &[F::InFlight, F::Unreaped, F::GhostRing, F::SharedRing],
    ),
    recipe(
        "host-no-max-reqs",
        "the same on a kernel that does not tell max_reqs (record::derived::no_max_reqs)",
        |s| host(s).map(no_max_reqs),
        "host",
        &[F::InFlight, F::Unreaped, F::GhostRing, F::SharedRing],
    ),
    on(
        Machine::ARM64,
        recipe(
            "arm64",
            "what dump read on aarch64",
            |s| dumped(s, &["setup 128", "setup 1"], &[]),
            "idle",
            &[],
        ),
    ),
    on(
        Machine::ARM64_16K,
        recipe(
            "arm64-16k",
            "the same with pages of 16 kB",
            |s| dumped(s, &["setup 128", "setup 1"], &[]),
            "idle",
            &[],
        ),
    ),
];
