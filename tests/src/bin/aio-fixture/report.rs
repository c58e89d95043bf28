//! `truth`.
#![expect(unsafe_code, reason = "numbers asked of the kernel")]

use aioinspect_tests::truth::Truth;

use crate::blocked::Blocked;
use crate::children::Child;
use crate::context::Context;
use crate::destroys::Destroy;
use crate::failure::{Done, Failure};
use crate::ghosts::task_state;
use crate::memory;
use crate::reading::Reading;
use crate::state::{State, pid, tid};
use crate::words::Words;

/// `truth`: see `aioinspect_tests::truth`.
pub(crate) fn truth(state: &mut State, _: &mut Words) -> Done {
    // Children that somebody killed hold nothing any more.
    state.children.retain(|child| lives(child.pid));
    state.readings.retain(|reading| state.children.iter().any(|child| child.pid == reading.pid));
    let children: Vec<_> = state.children.iter().map(Child::truth).collect();
    let own: u64 = state.contexts.iter().map(|context| u64::from(context.max_reqs)).sum();
    let theirs: u64 =
        children.iter().flat_map(|child| &child.contexts).map(|context| u64::from(context.max_reqs)).sum();
    let farm = state.farm.as_ref().map(|farm| farm.truth.clone());
    let farmed = farm.as_ref().map_or(0, |farm| {
        let processes = u64::try_from(farm.pids.len()).unwrap_or(0);
        processes * u64::from(farm.contexts_each) * u64::from(farm.max_reqs)
    });
    // SAFETY: takes numbers, returns one.
    let dumpable = unsafe { libc::prctl(libc::PR_GET_DUMPABLE, 0, 0, 0, 0) };
    let truth = Truth {
        pid: pid(),
        tid: tid(),
        leader_alive: task_state(&format!("/proc/self/task/{}/stat", pid()))? != 'Z',
        contexts: state.contexts.iter().map(Context::truth).collect(),
        children,
        dying: state
            .destroys
            .iter()
            .filter_map(Destroy::truth)
            .chain(state.readings.iter().flat_map(Reading::dying))
            .collect(),
        threads: state.blocked.iter().map(Blocked::truth).collect(),
        farm,
        // SAFETY: takes nothing, cannot fail.
        uid: unsafe { libc::geteuid() },
        dumpable: u32::try_from(dumpable).unwrap_or(u32::MAX),
        brk: memory::brk(),
        aio_nr: own + theirs + farmed,
    };
    serde_json::to_value(truth).map_err(|error| Failure::refused(error.to_string()))
}

fn lives(pid: u32) -> bool {
    // Not by /proc/PID/stat: of a process in exec its reader may wait as long as that does. A leader that is a zombie lives, for as long as
    // other threads do.
    // SAFETY: siginfo_t is plain bits.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let look = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    // SAFETY: `info` is a siginfo_t.
    let asked = unsafe { libc::waitid(libc::P_PID, pid, &raw mut info, look) };
    // SAFETY: waitid fills in the PID, or leaves the zero.
    asked == 0 && unsafe { info.si_pid() } == 0
}
