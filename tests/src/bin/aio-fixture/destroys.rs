//! Threads of ours that wait in io_destroy.
//!
//! The kernel takes the context out of its table and lowers aio-nr before it waits (fs/aio.c:kill_ioctx), and cancels its polls; slow
//! reads it waits for.

use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use aioinspect_tests::truth::DyingTruth;
use serde_json::json;

use crate::aio;
use crate::context::Context;
use crate::failure::{At, Done, Failure};
use crate::state::{PATIENCE, State, pid, tid};
use crate::waits::{IO_DESTROY, waits_in};
use crate::words::Words;

/// One io_destroy in a thread of its own.
#[derive(Debug)]
pub(crate) struct Destroy {
    /// What it destroys; its reads are those that are waited for.
    pub context: Context,
    tid: u32,
    ended: Arc<OnceLock<Ended>>,
}

/// How an io_destroy ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    /// 0, or minus the errno.
    pub result: i32,
    /// How long the call took.
    pub took: Duration,
}

impl Ended {
    /// `took` in whole milliseconds.
    pub(crate) fn ms(self) -> u64 {
        u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Starts io_destroy of that context in a new thread; its id, and where it will say how it ended.
pub(crate) fn start(id: u64) -> Result<(u32, Arc<OnceLock<Ended>>), Failure> {
    let (known, ended) = (Arc::new(OnceLock::new()), Arc::new(OnceLock::new()));
    let (tell, end) = (Arc::clone(&known), Arc::clone(&ended));
    let body = move || {
        // Each is set once, here.
        let _ = tell.set(tid());
        let begun = Instant::now();
        let result = match aio::io_destroy(id) {
            Ok(()) => 0,
            Err(error) => -error.raw_os_error().unwrap_or(libc::EIO),
        };
        let _ = end.set(Ended { result, took: begun.elapsed() });
    };
    thread::Builder::new().stack_size(1 << 16).spawn(body).at("thread")?;
    Ok((*patiently(|| known.get(), "the thread does not run")?, ended))
}

/// Waits until there is something.
pub(crate) fn patiently<T>(mut find: impl FnMut() -> Option<T>, else_: &str) -> Result<T, Failure> {
    let begun = Instant::now();
    loop {
        if let Some(found) = find() {
            return Ok(found);
        }
        if begun.elapsed() > PATIENCE {
            return Err(Failure::refused(else_));
        }
        thread::sleep(Duration::from_micros(100));
    }
}

impl Destroy {
    /// What is true of it; `None` once io_destroy has returned.
    pub(crate) fn truth(&self) -> Option<DyingTruth> {
        self.ended.get().is_none().then(|| DyingTruth {
            pid: pid(),
            tid: self.tid,
            how: "destroy".to_owned(),
            id: self.context.id,
            max_reqs: self.context.max_reqs,
            nr_events: self.context.nr_events,
            in_flight: self.context.reads,
        })
    }

    /// Waits until io_destroy has returned, if nothing is left for it to wait for.
    pub(crate) fn settle(&self) -> Result<(), Failure> {
        if self.context.reads == 0 {
            patiently(|| self.ended.get(), "io_destroy does not return")?;
        }
        Ok(())
    }
}

/// `destroy-waiting CTX`: io_destroy in a new thread; returns when that waits, or has ended already.
///
/// Without slow reads it waits all the same, for an RCU grace period: about 30 ms.
pub(crate) fn destroy_waiting(state: &mut State, words: &mut Words) -> Done {
    let at = state.position(words.word("CTX")?)?;
    let mut context = state.contexts.remove(at);
    let (id, reads) = (context.id, context.reads);
    let polls = std::mem::take(&mut context.polls);
    let (tid, ended) = start(id)?;
    state.destroys.push(Destroy { context, tid, ended: Arc::clone(&ended) });
    let waiting = patiently(
        || match ended.get() {
            Some(_) => Some(false),
            None => waits_in(pid(), tid, IO_DESTROY).then_some(true),
        },
        "io_destroy neither waits nor returns",
    )?;
    if reads > 0 && !waiting {
        return Err(Failure::refused(format!(
            "io_destroy did not wait for {reads} reads: {:?}",
            ended.get()
        )));
    }
    for poll in polls {
        // The kernel cancels them while we speak.
        state.completions.expect(&poll);
        state.completions.expect_deferred();
        state.sources.give_back(poll);
    }
    state.completions.wait(None)?;
    state.completions.settle();
    Ok(json!({"tid": tid, "id": format!("{id:#x}"), "in_flight": reads, "waiting": waiting}))
}

/// `destroyed TID`: how the io_destroy of that thread ended; waits for it, if nothing else is left to wait for.
pub(crate) fn destroyed(state: &mut State, words: &mut Words) -> Done {
    let tid = words.number::<u32>("TID")?;
    let at = state.destroys.iter().position(|destroy| destroy.tid == tid);
    let at = at.ok_or_else(|| Failure::refused(format!("no thread {tid} in io_destroy")))?;
    let destroy = state.destroys.remove(at);
    if destroy.context.reads > 0 {
        let reads = destroy.context.reads;
        state.destroys.insert(at, destroy);
        return Err(Failure::refused(format!("it waits for {reads} slow reads: finish-reads first")));
    }
    let ended = *patiently(|| destroy.ended.get(), "io_destroy does not return")?;
    Ok(json!({"result": ended.result, "ms": ended.ms()}))
}
