use crate::census::waiters::*;

fn number_of(number: u64) -> u32 {
    u32::try_from(number).unwrap()
}

fn wait() -> WaitRecord {
    WaitRecord {
        call: number_of(call::IO_DESTROY),
        tid: 7,
        tgid: 5,
        mm: 0x10,
        task: 0x20,
        argument: 0x7000,
        ..WaitRecord::default()
    }
}

fn context(kioctx: u64) -> ContextRecord {
    ContextRecord {
        kioctx,
        mm: 0x20,
        user_id: 0x7000,
        mmap_base: 0x7000,
        nr_pages: 1,
        nr_events: 127,
        max_reqs: 16,
        atomic_refs: 2,
        ref_flags: 3,
        dead: 1,
        ..ContextRecord::default()
    }
}

fn judged(waits: Vec<WaitRecord>, contexts: Vec<ContextRecord>) -> Vec<Waiter> {
    read(&WaitRecords { waits, contexts }, &Known::all())
}

/// Check that each thread gets its own contexts, each once, and none that was left by a thread without a wait.
#[test]
fn each_its_own() {
    let other = |mm: u64, id: u64| ContextRecord { mm, user_id: id, mmap_base: id, ..context(2) };
    let found = judged(
        vec![wait(), WaitRecord { tid: 8, task: 0x30, ..wait() }],
        vec![other(0x28, 0x8000), context(1), context(1), other(0x30, 0x9000)],
    );
    let ids: Vec<Vec<u64>> =
        found.iter().map(|w| w.wait.contexts.iter().map(|c| c.user_id.0).collect()).collect();
    assert_eq!(ids, [vec![0x7000], vec![0x9000]]);
    assert_eq!(found[0].wait.contexts[0].left().number(), Some(2));
}

/// Check what a thread is said to do, and that who exits or execs is believed only where it ends an mm or a context is found.
#[test]
fn what_it_does() {
    const NO_CALL: u32 = u32::MAX;
    let exit = WaitRecord { flags: PF_EXITING, mm: 0, call: NO_CALL, ending: 0x30, ..wait() };
    let exec = WaitRecord { call: number_of(call::EXECVE), ending: 0x30, ..wait() };
    let exec_32 = WaitRecord { call: number_of(call::EXECVE_32), is_compat: 1, ending: 0x30, ..wait() };
    let other = WaitRecord { call: NO_CALL, ..wait() };
    let of = |record: WaitRecord, contexts: Vec<ContextRecord>| {
        judged(vec![record], contexts).first().map(|w| (w.wait.doing, w.mm.0))
    };
    let doing = |record: WaitRecord| of(record, Vec::new());
    assert_eq!(doing(wait()), Some((Doing::Destroy, 0x10)));
    assert_eq!(doing(exit), Some((Doing::Exit, 0x20)));
    assert_eq!(doing(exec), Some((Doing::Exec, 0x10)));
    assert_eq!(doing(exec_32), Some((Doing::Exec, 0x10)));
    assert_eq!(of(other, vec![context(1)]), Some((Doing::LastUse, 0x10)));
    let without = |record| WaitRecord { ending: 0, ..record };
    assert_eq!(
        [exit, exec, exec_32, WaitRecord { ending: 0x30, ..other }].map(|it| doing(without(it))),
        [None; 4]
    );
    assert_eq!(of(without(exec), vec![context(1)]), Some((Doing::Exec, 0x10)));
}

/// Check that what does not fit together is no context, and that the thread is shown all the same.
#[test]
fn no_context() {
    for wrong in [
        ContextRecord { nr_events: 128, ..context(1) },
        ContextRecord { max_reqs: 0, ..context(1) },
        ContextRecord { max_reqs: 128, ..context(1) },
        ContextRecord { mmap_base: 0x8000, ..context(1) },
        ContextRecord { user_id: 0x7001, mmap_base: 0x7001, ..context(1) },
    ] {
        let found = judged(vec![wait()], vec![wrong]);
        assert_eq!(found.len(), 1);
        assert!(found[0].wait.contexts.is_empty());
        assert_eq!(found[0].wait.id, Some(ContextId(0x7000)));
    }
}

/// Check the age: by the scheduler's clock, never negative, and unknown where the kernel does not keep it.
#[test]
fn age() {
    let asleep = |ran_at, now| judged(vec![WaitRecord { ran_at, now, ..wait() }], vec![])[0].wait.asleep_ns;
    assert_eq!(asleep(100, 350), Some(250));
    assert_eq!(asleep(400, 350), Some(0));
    assert_eq!((asleep(0, 350), asleep(100, 0)), (None, None));
}
