//! Polls: requests that are in flight until we say so.
//!
//! Every second one waits on a pipe. The others wait on eventfds, one of two with a completion eventfd: such
//! a poll completes in a kernel worker (fs/aio.c:aio_poll_wake), the others inside our write.
#![expect(unsafe_code, reason = "io_submit and pipe2")]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};

use serde_json::json;

use crate::aio::{self, Iocb};
use crate::completions::eventfd;
use crate::context::Context;
use crate::failure::{At, Done, Failure};
use crate::state::{State, on_cpu};
use crate::words::Words;

/// Requests of one io_submit.
const BATCH: usize = 256;

/// A poll in flight.
#[derive(Debug)]
pub(crate) struct Poll {
    source: Source,
    /// Stays where it is: io_cancel names a request by this address.
    iocb: Box<Iocb>,
    /// Whether its completion is signalled.
    pub counted: bool,
    /// Whether it completes in a kernel worker.
    pub deferred: bool,
}

#[derive(Debug)]
enum Source {
    Pipe { reader: File, writer: File },
    Event(File),
}

/// Pipes and eventfds, none of them ready, for reuse.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    pipes: Vec<Source>,
    events: Vec<Source>,
    made: u64,
}

impl Sources {
    fn poll(&mut self, signal: i32) -> Result<Poll, Failure> {
        self.made += 1;
        let tag = self.made;
        let source = match tag % 2 {
            0 => self.pipes.pop().map_or_else(new_pipe, Ok)?,
            _ => match self.events.pop() {
                Some(event) => event,
                None => Source::Event(eventfd()?),
            },
        };
        let counted = tag % 4 != 1;
        let deferred = tag % 4 == 3;
        let fd = match &source {
            Source::Pipe { reader, .. } => reader.as_raw_fd(),
            Source::Event(event) => event.as_raw_fd(),
        };
        let iocb = Box::new(Iocb::poll(tag, fd, counted.then_some(signal)));
        Ok(Poll { source, iocb, counted, deferred })
    }

    /// Keeps what a poll waited on, which must not be ready any more.
    pub(crate) fn give_back(&mut self, poll: Poll) {
        match poll.source {
            Source::Pipe { .. } => self.pipes.push(poll.source),
            Source::Event(_) => self.events.push(poll.source),
        }
    }
}

impl Poll {
    /// Makes ready what it waits on: the poll completes.
    fn fire(&mut self) -> Result<(), Failure> {
        match &mut self.source {
            Source::Pipe { writer, .. } => writer.write_all(&[1]),
            Source::Event(event) => event.write_all(&1_u64.to_ne_bytes()),
        }
        .at("write to a polled file")
    }

    fn calm(&mut self) -> Result<(), Failure> {
        match &mut self.source {
            Source::Pipe { reader, .. } => reader.read_exact(&mut [0]),
            Source::Event(event) => event.read_exact(&mut [0; 8]),
        }
        .at("read of a polled file")
    }
}

/// Makes a pipe: reader and writer, neither inherited.
pub(crate) fn pipe() -> Result<(File, File), Failure> {
    let mut fds = [-1; 2];
    // SAFETY: room for two descriptors.
    if unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(Failure::last("pipe2"));
    }
    let [reader, writer] = fds;
    // SAFETY: both are fresh and ours.
    Ok(unsafe { (File::from_raw_fd(reader), File::from_raw_fd(writer)) })
}

fn new_pipe() -> Result<Source, Failure> {
    let (reader, writer) = pipe()?;
    Ok(Source::Pipe { reader, writer })
}

fn usable(context: &Context) -> Result<(), Failure> {
    if context.moving || context.waited {
        return Err(Failure::refused("a thread reaps this context"));
    }
    Ok(())
}

/// `poll CTX COUNT [CPU]`: answers how many the kernel took, and errno if not all.
pub(crate) fn poll(state: &mut State, words: &mut Words) -> Done {
    let at = state.position(words.word("CTX")?)?;
    let (count, cpu) = (words.number::<usize>("COUNT")?, words.maybe::<u32>("CPU")?);
    let signal = state.completions.fd();
    let State { contexts, sources, .. } = state;
    let context = contexts.get_mut(at).ok_or_else(|| Failure::refused("no context"))?;
    usable(context)?;
    let mut submitted = 0;
    let errno = on_cpu(cpu, || {
        while submitted < count {
            let mut batch = Vec::new();
            for _ in submitted..count.min(submitted + BATCH) {
                batch.push(sources.poll(signal)?);
            }
            let mut pointers: Vec<_> = batch.iter_mut().map(|p| std::ptr::from_mut(&mut *p.iocb)).collect();
            // SAFETY: the iocbs are boxed and live in `batch`, then in the context, until they complete.
            let taken = unsafe { aio::io_submit(context.id, &mut pointers) };
            let (n, errno) = match taken {
                Ok(n) => (n, 0),
                Err(error) => (0, error.raw_os_error().unwrap_or(0)),
            };
            submitted += n;
            for unused in batch.split_off(n) {
                sources.give_back(unused);
            }
            let whole = batch.len() == pointers.len();
            context.polls.append(&mut batch);
            if errno != 0 || (!whole && n == 0) {
                return Ok::<_, Failure>(errno);
            }
        }
        Ok(0)
    })??;
    if submitted == 0 && errno != 0 {
        return Err(Failure::os("io_submit", &std::io::Error::from_raw_os_error(errno)));
    }
    Ok(json!({"submitted": submitted, "errno": errno}))
}

/// `complete CTX COUNT [CPU]`: the oldest polls become ready, on that CPU; returns when their completions are in the ring.
///
/// Those that complete in a kernel worker do so on that CPU too: each CPU has workers of its own.
pub(crate) fn complete(state: &mut State, words: &mut Words) -> Done {
    finish(state, words, |_, poll| poll.fire(), true)
}

/// `cancel CTX COUNT [CPU]`: io_cancel of the oldest polls, on that CPU; their completions go to the ring too.
pub(crate) fn cancel(state: &mut State, words: &mut Words) -> Done {
    finish(state, words, |id, poll| aio::io_cancel(id, &mut poll.iocb).at("io_cancel"), false)
}

fn finish(
    state: &mut State,
    words: &mut Words,
    mut end: impl FnMut(u64, &mut Poll) -> Result<(), Failure>,
    ready: bool,
) -> Done {
    let at = state.position(words.word("CTX")?)?;
    let (count, cpu) = (words.number::<usize>("COUNT")?, words.maybe::<u32>("CPU")?);
    let State { contexts, sources, completions, .. } = state;
    let context = contexts.get_mut(at).ok_or_else(|| Failure::refused("no context"))?;
    usable(context)?;
    if count > context.polls.len() {
        return Err(Failure::refused(format!("only {} polls are in flight", context.polls.len())));
    }
    on_cpu(cpu, || {
        for mut poll in context.polls.drain(..count).collect::<Vec<_>>() {
            end(context.id, &mut poll)?;
            completions.expect(&poll);
            context.completed += 1;
            if !ready {
                completions.expect_deferred();
            }
            // A ready source must be emptied only after its poll has run, or the poll would go on waiting.
            completions.wait(Some((context.id + 12, context.tail())))?;
            if ready {
                poll.calm()?;
            }
            sources.give_back(poll);
        }
        Ok::<_, Failure>(())
    })??;
    completions.settle();
    context.kernel_wrote_tail(count);
    Ok(json!({"completed": count}))
}
