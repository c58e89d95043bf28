//! Slow reads: real O_DIRECT reads that stay in flight until we say so.
//!
//! They read a file whose FUSE server is a helper of ours. With FUSE_ASYNC_DIO, io_submit returns as soon as
//! the request is queued (fs/fuse/file.c:fuse_direct_IO), and the read completes when the server answers.
#![expect(unsafe_code, reason = "io_submit")]

use std::collections::{HashMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::thread;
use std::time::{Duration, Instant};

use aioinspect_tests::pages::BLOCK;
use serde_json::{Value, json};

use crate::aio::{self, IoEvent, Iocb};
use crate::children::{self, Child};
use crate::failure::{At, Done, Failure};
use crate::memory;
use crate::state::{PATIENCE, State, on_cpu};
use crate::words::Words;

/// Marks the tag of a read; the tags of polls are small.
const READ_TAG: u64 = 1 << 63;
/// The served file has groups of so many blocks each: the first is for our own reads, each child that reads has one of its own.
pub(crate) const GROUP_BLOCKS: u64 = 1 << 20;
/// Groups of the served file.
pub(crate) const GROUPS: u64 = 1 << 10;
/// The group of our own reads.
const OWN: u64 = 0;

/// The slow reads of this process.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    file: Option<File>,
    path: String,
    /// Groups that were given to children.
    given: u64,
    /// For each read in flight, oldest first, the ordinal of its context.
    queue: VecDeque<u32>,
    buffers: HashMap<u64, Buffer>,
    made: u64,
}

#[derive(Debug)]
struct Buffer {
    address: u64,
    block: u64,
}

/// What the served file says at block `block`: the same word all over.
pub(crate) fn content(block: u64) -> [u8; 8] {
    block.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1).to_ne_bytes()
}

impl Reads {
    /// Reads in flight.
    pub(crate) fn pending(&self) -> usize {
        self.queue.len()
    }

    /// The server is gone.
    pub(crate) fn forget_server(&mut self) {
        self.file = None;
    }

    /// Takes note of a reaped event; false if it is not what was submitted.
    pub(crate) fn reaped(&mut self, event: &IoEvent) -> bool {
        if event.data & READ_TAG == 0 {
            return event.res >= 0 || event.res == -i64::from(libc::ECANCELED);
        }
        let Some(buffer) = self.buffers.remove(&event.data) else { return false };
        let mut data = vec![0; 4096];
        let read = memory::read_self(buffer.address, &mut data);
        // SAFETY: the buffer is a mapping of ours, no longer used by the kernel.
        let freed = unsafe { memory::unmap(buffer.address, BLOCK) };
        let (words, _) = data.as_chunks::<8>();
        let same = words.iter().all(|word| *word == content(buffer.block));
        read.is_ok() && freed.is_ok() && same && event.res == 4096
    }

    fn prepare(&mut self, count: usize, signal: i32) -> Result<Vec<Iocb>, Failure> {
        let fd = self.file.as_ref().ok_or_else(|| Failure::refused("no server"))?.as_raw_fd();
        let mut iocbs = Vec::new();
        for _ in 0..count {
            self.made += 1;
            let (tag, block) = (READ_TAG | self.made, self.made % GROUP_BLOCKS);
            let address = memory::map(BLOCK, libc::PROT_READ | libc::PROT_WRITE)?;
            let offset = i64::try_from(block * BLOCK).unwrap_or(0);
            iocbs.push(Iocb::read(tag, fd, address, BLOCK, offset, Some(signal)));
            self.buffers.insert(tag, Buffer { address, block });
        }
        Ok(iocbs)
    }
}

fn server(children: &mut [Child]) -> Result<&mut Child, Failure> {
    let found = children.iter_mut().find(|child| child.kind == "fuse");
    found.ok_or_else(|| Failure::refused("no server of slow reads"))
}

/// The path of the served file, for a child, and a group of its blocks that nobody has.
pub(crate) fn lend(state: &mut State) -> Result<(String, u64), Failure> {
    start_server(state)?;
    state.reads.given += 1;
    if state.reads.given >= GROUPS {
        return Err(Failure::refused("all groups of the served file are given"));
    }
    Ok((state.reads.path.clone(), state.reads.given))
}

/// Waits until the server holds so many reads of a group.
pub(crate) fn await_held(children: &mut [Child], group: u64, count: usize) -> Result<(), Failure> {
    let server = server(children)?;
    let begun = Instant::now();
    loop {
        let held = server.ask(&format!("pending {group}"))?.get("pending").and_then(Value::as_u64);
        if held == u64::try_from(count).ok() {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            return Err(Failure::refused(format!("the server holds {held:?} reads, not {count}")));
        }
        thread::sleep(Duration::from_micros(100));
    }
}

/// Lets the server answer the oldest reads of a group.
pub(crate) fn release(children: &mut [Child], group: u64, count: usize) -> Result<(), Failure> {
    server(children)?.ask(&format!("finish {count} {group}")).map(|_| ())
}

fn start_server(state: &mut State) -> Result<(), Failure> {
    if state.reads.file.is_some() {
        return Ok(());
    }
    let (child, said) = children::helper("fuse", &["fuse"])?;
    let path = said.get("path").and_then(Value::as_str).unwrap_or_default();
    // The mount is in the helper's own mount namespace; its root leads there.
    let path = format!("/proc/{}/root{path}", child.pid);
    state.children.push(child);
    state.reads.file = Some(open(&path)?);
    state.reads.path = path;
    Ok(())
}

/// Opens the served file.
pub(crate) fn open(path: &str) -> Result<File, Failure> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path);
    let file = file.at(path)?;
    // Until it has asked, the kernel takes the file for empty, and a read at its end returns at once.
    if file.metadata().at(path)?.len() == 0 {
        return Err(Failure::refused("the served file is empty"));
    }
    Ok(file)
}

/// `slow-read CTX COUNT [CPU]`: answers how long io_submit took, and how many reads the server holds.
pub(crate) fn slow_read(state: &mut State, words: &mut Words) -> Done {
    let at = state.position(words.word("CTX")?)?;
    let (count, cpu) = (words.number::<usize>("COUNT")?, words.maybe::<u32>("CPU")?);
    start_server(state)?;
    let signal = state.completions.fd();
    let State { contexts, reads, children, .. } = state;
    let context = contexts.get_mut(at).ok_or_else(|| Failure::refused("no context"))?;
    if context.moving || context.waited {
        return Err(Failure::refused("a thread reaps this context"));
    }
    let mut iocbs = reads.prepare(count, signal)?;
    let mut pointers: Vec<_> = iocbs.iter_mut().map(std::ptr::from_mut).collect();
    let begun = Instant::now();
    // SAFETY: the iocbs live beyond the call, their buffers until the events are reaped.
    let taken = on_cpu(cpu, || unsafe { aio::io_submit(context.id, &mut pointers) })?.at("io_submit")?;
    let took = begun.elapsed();
    for _ in 0..taken {
        context.reads += 1;
        reads.queue.push_back(context.handle);
    }
    let held = reads.queue.len();
    await_held(children, OWN, held)?;
    let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    Ok(json!({"submitted": taken, "submit_ns": took, "server_pending": held}))
}

/// `finish-reads [COUNT]`: the server answers the oldest reads (all without COUNT), not those of children; returns when each io_destroy
/// that waited for them alone has returned.
pub(crate) fn finish_reads(state: &mut State, words: &mut Words) -> Done {
    let pending = state.reads.pending();
    let count = words.maybe::<usize>("COUNT")?.unwrap_or(pending);
    if count > pending {
        return Err(Failure::refused(format!("only {pending} reads are in flight")));
    }
    if count == 0 {
        return Ok(json!({"completed": 0}));
    }
    release(&mut state.children, OWN, count)?;
    for _ in 0..count {
        state.completions.expect_one();
        let handle = state.reads.queue.pop_front();
        let dying = state.destroys.iter_mut().map(|destroy| &mut destroy.context);
        if let Some(context) = state.contexts.iter_mut().chain(dying).find(|c| Some(c.handle) == handle) {
            context.reads = context.reads.saturating_sub(1);
            context.completed += 1;
            context.kernel_wrote_tail(1);
        }
    }
    state.completions.wait(None)?;
    state.completions.expect_deferred();
    state.completions.settle();
    for destroy in &state.destroys {
        destroy.settle()?;
    }
    Ok(json!({"completed": count}))
}
