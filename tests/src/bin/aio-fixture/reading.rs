//! Children with slow reads of their own, and their ends, which wait for those reads.
//!
//! A process that exits waits in exit_aio before it closes a descriptor or tells its parent: so its reads are held by *our* server, which
//! lives on.
#![expect(unsafe_code, reason = "kill")]

use aioinspect_tests::truth::{DyingTruth, OwnContext};
use serde_json::{Value, json};

use crate::children::{self, of_pid};
use crate::failure::{Done, Failure};
use crate::reads;
use crate::state::State;
use crate::waits::{IO_DESTROY, await_end, await_wait, ran};
use crate::words::{Words, number};

/// max_reqs of each context, if nobody says.
const MAX_REQS: u32 = 64;

/// What of a child the server's reads are.
#[derive(Debug)]
pub(crate) struct Reading {
    /// PID of the child.
    pub pid: u32,
    /// Its pages of the served file.
    group: u64,
    /// Its contexts that have reads in flight, in the order of their reads.
    contexts: Vec<DyingTruth>,
    /// How it ends, once it does.
    end: Option<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// _exit.
    Exit,
    /// SIGKILL.
    Kill,
    /// The leader exits alone, then the last thread.
    Leader,
    /// execve of this program.
    Exec,
    /// A thread in io_destroy for each context.
    Destroy,
}

impl End {
    fn of(word: &str) -> Result<End, Failure> {
        Ok(match word {
            "exit" => End::Exit,
            "kill" => End::Kill,
            "leader" => End::Leader,
            "exec" => End::Exec,
            "destroy" => End::Destroy,
            other => return Err(Failure::refused(format!("no end {other:?}"))),
        })
    }

    /// `how` of its truth.
    fn how(self) -> &'static str {
        match self {
            End::Exit | End::Kill | End::Leader => "exit",
            End::Exec => "exec",
            End::Destroy => "destroy",
        }
    }
}

impl Reading {
    /// Its contexts that the kernel has taken out of the table.
    pub(crate) fn dying(&self) -> impl Iterator<Item = DyingTruth> {
        let dying = self.end.is_some();
        self.contexts.iter().filter(move |context| dying && context.in_flight > 0).cloned()
    }

    /// Whether it has reads in flight.
    pub(crate) fn waits(&self) -> bool {
        self.in_flight() > 0
    }

    fn in_flight(&self) -> u32 {
        self.contexts.iter().map(|context| context.in_flight).sum()
    }

    /// The oldest reads have completed.
    fn complete(&mut self, mut count: u32) {
        for context in &mut self.contexts {
            let done = context.in_flight.min(count);
            context.in_flight -= done;
            count -= done;
        }
    }

    /// What the child has in the kernel's table.
    fn own(&self) -> Vec<OwnContext> {
        let living = self.contexts.iter().filter(|_| self.end.is_none());
        living
            .map(|one| OwnContext { id: one.id, max_reqs: one.max_reqs, in_flight: one.in_flight })
            .collect()
    }

    fn tids(&self) -> Vec<u32> {
        let mut tids: Vec<u32> = self.contexts.iter().map(|context| context.tid).collect();
        tids.dedup();
        tids
    }
}

/// `reading-child CONTEXTS READS [N]`: a child with CONTEXTS contexts of N, each with READS slow reads in flight.
pub(crate) fn reading_child(state: &mut State, words: &mut Words) -> Done {
    let (count, reads) = (words.number::<u32>("CONTEXTS")?, words.number::<u32>("READS")?);
    let n = words.maybe::<u32>("N")?.unwrap_or(MAX_REQS);
    let all = count.checked_mul(reads).filter(|all| *all > 0 && u64::from(*all) < reads::GROUP_BLOCKS);
    let all = all.ok_or_else(|| Failure::refused("so many reads make no sense"))?;
    let (path, group) = reads::lend(state)?;
    let numbers = [group, u64::from(count), u64::from(reads), u64::from(n)].map(|number| number.to_string());
    let mut arguments = vec!["reading", path.as_str()];
    arguments.extend(numbers.iter().map(String::as_str));
    let (mut child, said) = children::helper("reading", &arguments)?;
    let pid = child.pid;
    let mut contexts = Vec::new();
    for made in said.get("contexts").and_then(Value::as_array).into_iter().flatten() {
        let id = made.get("id").and_then(Value::as_str).and_then(number);
        let nr_events = made.get("nr_events").and_then(Value::as_u64).and_then(|nr| u32::try_from(nr).ok());
        let (id, nr_events) =
            id.zip(nr_events).ok_or_else(|| Failure::refused(format!("the child said {said}")))?;
        let how = String::new();
        contexts.push(DyingTruth { pid, tid: pid, how, id, max_reqs: n, nr_events, in_flight: reads });
    }
    let reading = Reading { pid, group, contexts, end: None };
    child.contexts = reading.own();
    let ids: Vec<String> = reading.contexts.iter().map(|context| format!("{:#x}", context.id)).collect();
    state.children.push(child);
    state.readings.push(reading);
    reads::await_held(&mut state.children, group, usize::try_from(all).unwrap_or(0))?;
    Ok(json!({"pid": pid, "ids": ids, "in_flight": all}))
}

/// `die PID exit|kill|leader|exec|destroy`: a reading child ends in that way; returns when it waits for its reads. A child that waits in
/// io_destroy can be killed in addition.
pub(crate) fn die(state: &mut State, words: &mut Words) -> Done {
    let pid = words.number::<u32>("PID")?;
    let word = words.word("KIND")?;
    let end = End::of(word)?;
    let State { readings, children, .. } = state;
    let reading = of(readings, pid)?;
    if reading.end.is_some_and(|before| (before, end) != (End::Destroy, End::Kill))
        || reading.in_flight() == 0
    {
        return Err(Failure::refused(format!("child {pid} ends already, or has no reads in flight")));
    }
    let child = of_pid(children, pid)?;
    let ran_before = ran(pid, pid);
    match end {
        End::Kill => {
            // SAFETY: a signal to a child of ours that nobody has waited for.
            if unsafe { libc::kill(pid.cast_signed(), libc::SIGKILL) } != 0 {
                return Err(Failure::last("kill"));
            }
        }
        // It can give no answer.
        End::Exit | End::Exec => child.tell(word)?,
        End::Leader | End::Destroy => {
            let said = child.ask(word)?;
            let said = said.get("tids").and_then(Value::as_array).into_iter().flatten();
            let tids = said.filter_map(|tid| u32::try_from(tid.as_u64()?).ok());
            // One for each context, or the one thread that is left.
            for (context, tid) in reading.contexts.iter_mut().zip(tids.cycle()) {
                context.tid = tid;
            }
        }
    }
    let before = reading.end.replace(end);
    if before.is_none() {
        for context in &mut reading.contexts {
            end.how().clone_into(&mut context.how);
        }
    }
    let waiting = reading.contexts.iter().filter(|context| context.in_flight > 0);
    for context in waiting {
        match end {
            _ if context.how == "destroy" => await_wait(pid, context.tid, IO_DESTROY)?,
            // The thread that is left began after that, and has run.
            End::Leader => await_end(pid, context.tid, "", true)?,
            End::Exec => await_end(pid, context.tid, &ran_before, false)?,
            End::Exit | End::Kill => await_end(pid, context.tid, &ran_before, true)?,
            End::Destroy => {}
        }
        if context.how != "destroy" {
            break;
        }
    }
    child.contexts = reading.own();
    Ok(json!({"pid": pid, "tids": reading.tids()}))
}

/// `dying-child KIND CONTEXTS READS [N]`: `reading-child` and `die` in one.
pub(crate) fn dying_child(state: &mut State, words: &mut Words) -> Done {
    let kind = words.word("KIND")?.to_owned();
    End::of(&kind)?;
    let mut made = reading_child(state, words)?;
    let pid = made.get("pid").cloned().unwrap_or(Value::Null);
    let died = die(state, &mut Words::new(&format!("{pid} {kind}")))?;
    if let (Some(made), Value::Object(died)) = (made.as_object_mut(), died) {
        made.extend(died);
    }
    Ok(made)
}

/// `finish-dying PID [COUNT]`: the server answers the oldest reads of a reading child (all without COUNT).
///
/// Returns, when they were the last, after the wait has ended: `status` of a process that exits, `exec` where a new program runs, and how
/// each io_destroy ended.
pub(crate) fn finish_dying(state: &mut State, words: &mut Words) -> Done {
    let pid = words.number::<u32>("PID")?;
    let at = state.readings.iter().position(|reading| reading.pid == pid);
    let mut reading = at
        .map(|at| state.readings.remove(at))
        .ok_or_else(|| Failure::refused(format!("no reading child {pid}")))?;
    let pending = reading.in_flight();
    let count = words.maybe::<u32>("COUNT")?.unwrap_or(pending);
    let end = reading.end;
    if count > pending {
        state.readings.push(reading);
        return Err(Failure::refused(format!("only {pending} reads are in flight")));
    }
    reads::release(&mut state.children, reading.group, usize::try_from(count).unwrap_or(0))?;
    reading.complete(count);
    let living = reading.end.is_none();
    if living {
        of_pid(&mut state.children, pid)?.contexts = reading.own();
    }
    if living || reading.in_flight() > 0 {
        state.readings.push(reading);
        return Ok(json!({"completed": count}));
    }
    match end {
        Some(End::Exit | End::Kill | End::Leader) => {
            let at = state.children.iter().position(|child| child.pid == pid);
            at.map(|at| state.children.remove(at));
            Ok(json!({"completed": count, "status": children::wait_for(pid)?}))
        }
        Some(End::Exec | End::Destroy) | None => {
            let mut said = of_pid(&mut state.children, pid)?.answer()?;
            said.as_object_mut().map(|said| said.insert("completed".to_owned(), json!(count)));
            Ok(said)
        }
    }
}

fn of(readings: &mut [Reading], pid: u32) -> Result<&mut Reading, Failure> {
    let found = readings.iter_mut().find(|reading| reading.pid == pid);
    found.ok_or_else(|| Failure::refused(format!("no reading child {pid}")))
}
