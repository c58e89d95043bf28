//! The pause itself: from the first interrupt to the last detach.
//!
//! When all goes well nothing is allocated, formatted or parsed in here. What takes longer than [`SLOW`] has cost the
//! target dearly already; then `/proc` is read to find out what goes wrong.

use std::thread::{sleep, yield_now};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::freeze::attach::{Attached, Member};
use crate::freeze::error::FreezeError;
use crate::freeze::report::FreezeReport;
use crate::freeze::seize::{Seized, raw, seize_one};
use crate::freeze::snag::Snag;
use crate::freeze::tracee::{
    RawTid, Seen, Stop, StopKind, detach, event_message, interrupt, is_thread_of, peek, reap, share_mm,
};
use crate::freeze::wait::{Deadline, is_stuck};
use crate::host::clock::now;
use crate::host::realtime::{before_all_others, like_all_others};
use crate::host::signals::end_is_pending;
use crate::proc::files::ProcError;
use aioinspect_model::units::{self, Pid, Tid};

/// Up to here we poll and give way to others in between: a stop takes some microseconds on an idle CPU.
const YIELDED: Duration = Duration::from_micros(300);
/// More threads than these wake each other's CPUs as they stop, and ours among them.
const FEW: usize = 8;
/// From here on we ask what is wrong, once in this time.
const SLOW: Duration = Duration::from_millis(1);
/// For how long all others are held for one thread in uninterruptible sleep.
const PATIENCE: Duration = Duration::from_millis(10);

/// How a hold ended, if not in an error.
pub(super) enum Ended<R> {
    /// All were held while the closure ran.
    Done(R, FreezeReport),
    /// A thread fell asleep uninterruptibly. All were let go; it is worth another attempt when that thread is awake.
    Stuck {
        /// That thread.
        snag: Snag,
        /// The pause in vain.
        pause_ns: u64,
    },
}

enum Failed {
    Stuck(Snag),
    With(FreezeError),
}

impl From<FreezeError> for Failed {
    fn from(error: FreezeError) -> Self {
        Self::With(error)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Stopped(Stop),
    Gone,
}

#[derive(Clone, Copy)]
struct Tracee {
    tid: RawTid,
    /// Its process: the thread id of the leader.
    leader: RawTid,
    state: State,
    /// It has an address space of its own, being a child just born or after an exec: let go with the others, but not one of them.
    guest: bool,
}

/// The threads that are seized and shall be held. However it is dropped, they are let go.
pub(super) struct Hold<'a> {
    members: Vec<Member<'a>>,
    tracees: Vec<Tracee>,
    deadline: Deadline,
    seized: Instant,
    tracer: RawTid,
    begun: Instant,
    checked: Instant,
    lost: u32,
    caught: Option<(units::Instant, Instant)>,
    /// We are not kept from the CPU.
    urgent: bool,
    /// How many of `members` are of the plan: the first ones.
    planned: usize,
}

impl<'a> Hold<'a> {
    /// Makes room for all that may come up during the pause.
    pub(super) fn new(attached: Attached<'a>, planned: usize, deadline: Deadline, urgent: bool) -> Self {
        // Each seized thread may have given birth once before it stops, and births stop at once.
        let room = attached.threads.len().saturating_mul(2).saturating_add(64);
        let mut tracees = Vec::with_capacity(room);
        let all = attached.threads.iter();
        tracees.extend(all.map(|(tid, leader)| Tracee {
            tid: *tid,
            leader: *leader,
            state: State::Waiting,
            guest: false,
        }));
        Self {
            members: attached.processes,
            tracees,
            deadline,
            seized: attached.since,
            tracer: attached.tracer,
            begun: attached.since,
            checked: attached.since,
            lost: 0,
            caught: attached.begun,
            urgent,
            planned,
        }
    }

    /// Stops all, runs the closure, lets all go.
    pub(super) fn run<R, F: FnOnce() -> R>(
        mut self,
        inside: &mut Option<F>,
    ) -> Result<Ended<R>, FreezeError> {
        if self.tracees.len() <= FEW {
            // They may need this very CPU to stop.
            like_all_others();
            self.urgent = false;
        }
        let (begun_at, begun) = self.caught.unwrap_or_else(|| (now(), Instant::now()));
        self.begun = begun;
        self.checked = begun;
        for tracee in &mut self.tracees {
            // No tracee: its number went to another by an exec. A dead one is found out when it is looked at.
            if interrupt(tracee.tid) == Err(Errno::SRCH) {
                tracee.state = State::Gone;
            }
        }
        let held = self.settle();
        self.hurry();
        let outcome = match (&held, inside.take()) {
            (Ok(()), Some(inside)) => Some(inside()),
            (_, unused) => {
                *inside = unused;
                None
            }
        };
        self.thaw();
        let end = Instant::now();
        let pause_ns = nanoseconds(end.saturating_duration_since(self.begun));
        match (held, outcome) {
            (Ok(()), Some(result)) => Ok(Ended::Done(result, self.report(begun_at, pause_ns, end))),
            (Err(Failed::With(error)), _) => Err(error),
            (Err(Failed::Stuck(snag)), _) => Ok(Ended::Stuck { snag, pause_ns }),
            // The closure was used up by an attempt before, which cannot be: it ends the attempts.
            (Ok(()), None) => Err(FreezeError::Gone(self.first_pid())),
        }
    }

    fn report(&self, begun_at: units::Instant, pause_ns: u64, end: Instant) -> FreezeReport {
        let held = self.tracees.iter().filter(|one| !one.guest && one.state != State::Gone);
        let mut tids: Vec<_> = held.filter_map(|one| u32::try_from(one.tid).ok()).map(Tid).collect();
        tids.sort_unstable();
        let seized_ns = nanoseconds(end.saturating_duration_since(self.seized));
        FreezeReport { begun_at, pause_ns, seized_ns, tids, lost: self.lost, ..FreezeReport::default() }
    }

    /// From now on nobody takes the CPU from us.
    fn hurry(&mut self) {
        self.urgent = self.urgent || before_all_others();
    }

    /// Returns when every thread there is stands still.
    fn settle(&mut self) -> Result<(), Failed> {
        let mut sleep_for = Duration::from_micros(20);
        loop {
            let (open, died) = self.sweep()?;
            if died {
                // After an exec by another thread than the leader, that thread goes by the leader's number: what was
                // seen of the leader may be old.
                self.look_again();
                continue;
            }
            if open == 0 {
                if self.tracees.iter().all(|one| one.guest || one.state == State::Gone) {
                    return Err(FreezeError::Gone(self.first_pid()).into());
                }
                if self.is_complete() || !self.catch_strays()? {
                    return Ok(());
                }
                continue;
            }
            if self.checked.elapsed() >= SLOW {
                self.ask_what_is_wrong()?;
            }
            if self.begun.elapsed() < YIELDED && !self.urgent {
                // Where the target has to run on this very CPU to stop, it gets it.
                yield_now();
            } else {
                self.hurry();
                sleep(sleep_for);
                sleep_for = sleep_for.saturating_mul(2).min(SLOW);
            }
        }
    }

    /// Looks once at each thread that was not seen to stop: how many are still to stop, and whether one has died.
    fn sweep(&mut self) -> Result<(usize, bool), Failed> {
        let (mut open, mut died) = (0_usize, false);
        let mut index = 0;
        while let Some(tracee) = self.tracees.get(index).copied() {
            if tracee.state == State::Waiting {
                let state = match peek(tracee.tid) {
                    Seen::Running => State::Waiting,
                    Seen::Stopped(stop) => {
                        match stop.kind() {
                            StopKind::Birth => self.adopt(tracee)?,
                            StopKind::Exec => self.let_leave(index, tracee)?,
                            StopKind::Signal(_) | StopKind::Held => {}
                        }
                        State::Stopped(stop)
                    }
                    seen @ (Seen::Ended | Seen::Foreign) => {
                        // Before anything else: an exec may wait for it.
                        if seen == Seen::Ended && tracee.tid != tracee.leader {
                            reap(tracee.tid);
                        }
                        died = true;
                        State::Gone
                    }
                };
                open = open.saturating_add(usize::from(state == State::Waiting));
                if let Some(one) = self.tracees.get_mut(index) {
                    one.state = state;
                }
            }
            index = index.saturating_add(1);
        }
        Ok((open, died))
    }

    /// A process has left the address space by an exec. That of a child spawned a moment ago is nothing to us.
    fn let_leave(&mut self, index: usize, tracee: Tracee) -> Result<(), FreezeError> {
        let pid = pid(tracee.leader);
        if self.members.iter().take(self.planned).any(|one| one.dir.pid() == pid) {
            return Err(FreezeError::Exec(pid));
        }
        if let Some(one) = self.tracees.get_mut(index) {
            one.guest = true;
        }
        Ok(())
    }

    /// Takes in what a thread gave birth to. It is a tracee, and stops by itself before its first instruction.
    fn adopt(&mut self, parent: Tracee) -> Result<(), FreezeError> {
        let Ok(tid) = event_message(parent.tid) else { return Ok(()) };
        if self.tracees.iter().any(|one| one.tid == tid) {
            return Ok(());
        }
        if self.tracees.len() == self.tracees.capacity() {
            return Err(FreezeError::Restless(pid(parent.leader)));
        }
        let leader = if is_thread_of(parent.leader, tid) { parent.leader } else { tid };
        let guest = leader == tid && share_mm(parent.tid, tid) == Ok(false);
        self.tracees.push(Tracee { tid, leader, state: State::Waiting, guest });
        Ok(())
    }

    fn look_again(&mut self) {
        for tracee in &mut self.tracees {
            if let State::Stopped(_) = tracee.state {
                tracee.state = State::Waiting;
            }
        }
    }

    /// Whether each process has exactly the threads that we hold: one call a process.
    fn is_complete(&self) -> bool {
        self.members.iter().all(|member| {
            let Ok(leader) = raw(member.dir.pid().0) else { return false };
            let held =
                self.tracees.iter().filter(|one| one.leader == leader && one.state != State::Gone).count();
            let known = held.saturating_add(usize::from(member.dead_leader));
            match member.dir.thread_count() {
                Ok(count) => count == known as u64,
                Err(_) => held == 0,
            }
        })
    }

    /// Reads the lists of threads once more, and stops whom we do not know; whether there was anybody.
    fn catch_strays(&mut self) -> Result<bool, FreezeError> {
        let mut caught = false;
        for member in &self.members {
            let threads = match member.dir.threads() {
                Ok(threads) => threads,
                Err(ProcError::NoSuchProcess(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            let leader = raw(member.dir.pid().0)?;
            for tid in threads {
                let raw_tid = raw(tid.0)?;
                if self.tracees.iter().any(|one| one.tid == raw_tid) {
                    continue;
                }
                match seize_one(&member.dir, tid, raw_tid, self.tracer)? {
                    Seized::Dead => {}
                    Seized::Yes => {
                        let _ = interrupt(raw_tid);
                        let state = State::Waiting;
                        self.tracees.push(Tracee { tid: raw_tid, leader, state, guest: false });
                        caught = true;
                    }
                }
            }
        }
        Ok(caught)
    }

    /// Whether to go on waiting for what has not stopped.
    fn ask_what_is_wrong(&mut self) -> Result<(), Failed> {
        self.checked = Instant::now();
        if end_is_pending() {
            return Err(FreezeError::Interrupted.into());
        }
        let mut stuck = None;
        for tracee in self.tracees.iter_mut().filter(|one| one.state == State::Waiting) {
            let Some(member) = self.members.iter_mut().find(|one| pid(tracee.leader) == one.dir.pid()) else {
                continue;
            };
            let Ok(tid) = u32::try_from(tracee.tid).map(Tid) else { continue };
            // A dead leader is not shown to its tracer before its last thread is dead (kernel/exit.c:delay_group_leader).
            if member.dir.state_of(tid).is_ok_and(aioinspect_parse::proc::stat::TaskState::is_dead) {
                tracee.state = State::Gone;
                member.dead_leader |= tracee.tid == tracee.leader;
            } else if member.dir.tracer_of(tid).is_ok_and(|by| raw(by.0).is_ok_and(|by| by != self.tracer)) {
                // Its number went to another by an exec.
                tracee.state = State::Gone;
            } else if self.deadline.is_past() {
                return Err(FreezeError::timed_out(member.dir.pid(), tid).into());
            } else if is_stuck(&member.dir, tid) {
                let snag = Snag { pid: member.dir.pid(), tid };
                if self.begun.elapsed() >= PATIENCE {
                    return Err(Failed::Stuck(snag));
                }
                stuck = Some((snag, member.dir.children_of(tid)));
            }
        }
        // As a parent in vfork: it waits for a child that waits for us.
        if let Some((snag, children)) = stuck
            && self.tracees.iter().any(|one| children.contains(&pid(one.tid)))
        {
            return Err(Failed::Stuck(snag));
        }
        // One that was stopped may have been killed since, and an exec may wait for us to reap it.
        self.look_again();
        Ok(())
    }

    /// Lets all go that are stopped, in the order in which they were stopped, so that none is held longer than another.
    /// What did not stop is let go by the end of this thread.
    fn thaw(&mut self) {
        for tracee in &mut self.tracees {
            if let State::Stopped(stop) = tracee.state {
                if detach(tracee.tid, stop.signal_to_give_back()).is_err() {
                    self.lost = self.lost.saturating_add(1);
                }
                tracee.state = State::Waiting;
            }
        }
    }

    fn first_pid(&self) -> Pid {
        self.members.first().map_or(Pid(0), |member| member.dir.pid())
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.thaw();
    }
}

fn pid(leader: RawTid) -> Pid {
    Pid(u32::try_from(leader).unwrap_or(0))
}

/// A length of time in nanoseconds.
pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
