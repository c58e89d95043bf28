//! Requests to a real disk: they complete by themselves, when the disk has done them. How slow it is, is the caller's affair.
//!
//! Where such requests are in flight nobody can say what a ring holds now, so their context counts as moving.
#![expect(unsafe_code, reason = "io_submit, and buffers by address")]

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use aioinspect_tests::pages::{self, BLOCK};
use serde_json::json;

use crate::aio::{self, IoEvent, Iocb};
use crate::failure::{At, Done, Failure};
use crate::memory;
use crate::state::State;
use crate::words::Words;

/// Marks the tag of such a request; those of polls and of slow reads have other high bits.
const DISK_TAG: u64 = 1 << 62;

/// The files that are open, and the requests that were not reaped yet.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    files: Vec<(String, File)>,
    requests: HashMap<u64, Request>,
    made: u64,
}

/// One request.
#[derive(Debug)]
struct Request {
    context: u32,
    kind: Kind,
    address: u64,
    bytes: u64,
    first_block: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
    Sync,
    DataSync,
}

impl Kind {
    fn of(word: &str) -> Result<Self, Failure> {
        match word {
            "read" => Ok(Kind::Read),
            "write" => Ok(Kind::Write),
            "fsync" => Ok(Kind::Sync),
            "fdsync" => Ok(Kind::DataSync),
            _ => Err(Failure::refused(format!("{word:?} is no kind of request"))),
        }
    }

    fn has_buffer(self) -> bool {
        matches!(self, Kind::Read | Kind::Write)
    }
}

impl Disk {
    /// The file's place in `files`, opened at its first use: a request keeps it open.
    fn file(&mut self, path: &str) -> Result<i32, Failure> {
        if let Some((_, file)) = self.files.iter().find(|(name, _)| name == path) {
            return Ok(file.as_raw_fd());
        }
        let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_DIRECT).open(path);
        let file = file.at(path)?;
        let descriptor = file.as_raw_fd();
        self.files.push((path.to_owned(), file));
        Ok(descriptor)
    }

    /// Whether a reaped event is one of ours, and right.
    fn reaped(&mut self, event: &IoEvent) -> Option<bool> {
        let request = self.requests.remove(&event.data)?;
        let mut right = event.res == i64::try_from(request.bytes).unwrap_or(-1) && event.res2 == 0;
        if request.kind == Kind::Read {
            let mut data = vec![0; usize::try_from(request.bytes).unwrap_or(0)];
            right &= memory::read_self(request.address, &mut data).is_ok();
            right &= data == pages::content(request.first_block, request.bytes);
        }
        if request.kind.has_buffer() {
            // SAFETY: the buffer is a mapping of ours, and its request has completed.
            right &= unsafe { memory::unmap(request.address, request.bytes) }.is_ok();
        }
        Some(right)
    }
}

/// `disk CTX FILE KIND COUNT [BYTES]`: COUNT requests of BYTES each at successive places of the file, from its beginning.
pub(crate) fn submit(state: &mut State, words: &mut Words) -> Done {
    let at = state.position(words.word("CTX")?)?;
    let path = words.word("FILE")?;
    let (kind, count) = (Kind::of(words.word("KIND")?)?, words.number::<u64>("COUNT")?);
    let bytes = if kind.has_buffer() { words.maybe::<u64>("BYTES")?.unwrap_or(BLOCK) } else { 0 };
    let State { contexts, disk, .. } = state;
    let context = contexts.get_mut(at).ok_or_else(|| Failure::refused("no context"))?;
    let fd = disk.file(path)?;
    let mut iocbs = Vec::new();
    for place in 0..count {
        disk.made += 1;
        let (tag, first_block) = (DISK_TAG | disk.made, place * bytes / BLOCK);
        let offset = i64::try_from(place * bytes).map_err(|_| Failure::refused("a file of that size"))?;
        let mut address = 0;
        if kind.has_buffer() {
            address = memory::map(bytes, libc::PROT_READ | libc::PROT_WRITE)?;
        }
        if kind == Kind::Write {
            // SAFETY: the buffer is a fresh mapping of that length.
            unsafe { memory::store(address, &pages::content(first_block, bytes)) };
        }
        iocbs.push(match kind {
            Kind::Read => Iocb::read(tag, fd, address, bytes, offset, None),
            Kind::Write => Iocb::write(tag, fd, address, bytes, offset),
            Kind::Sync => Iocb::sync(tag, fd, false),
            Kind::DataSync => Iocb::sync(tag, fd, true),
        });
        disk.requests.insert(tag, Request { context: context.handle, kind, address, bytes, first_block });
    }
    let mut pointers: Vec<_> = iocbs.iter_mut().map(std::ptr::from_mut).collect();
    context.moving = true;
    let mut taken = 0;
    while let Some(rest) = pointers.get_mut(taken..).filter(|rest| !rest.is_empty()) {
        // SAFETY: the iocbs live beyond the call, their buffers until the events are reaped.
        taken += unsafe { aio::io_submit(context.id, rest) }.at("io_submit")?;
    }
    Ok(json!({"submitted": taken}))
}

/// `disk-reap CTX MS`: reaps until all that was submitted to the context by `disk` is reaped, or for so long.
pub(crate) fn reap(state: &mut State, words: &mut Words) -> Done {
    let at = state.position(words.word("CTX")?)?;
    let patience = Duration::from_millis(words.number("MS")?);
    let State { contexts, disk, .. } = state;
    let context = contexts.get_mut(at).ok_or_else(|| Failure::refused("no context"))?;
    let (mut right, mut wrong, mut unknown) = (0, 0, 0);
    let begun = Instant::now();
    loop {
        let missing = disk.requests.values().filter(|request| request.context == context.handle).count();
        let left = patience.saturating_sub(begun.elapsed());
        if missing == 0 || left.is_zero() {
            return Ok(json!({"right": right, "wrong": wrong, "unknown": unknown, "missing": missing}));
        }
        let mut events = [IoEvent::default(); 64];
        let n = match aio::io_getevents(context.id, 1, &mut events, Some(left)) {
            Ok(n) => n,
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => 0,
            Err(error) => return Err(error).at("io_getevents"),
        };
        for event in events.iter().take(n) {
            match disk.reaped(event) {
                Some(true) => right += 1,
                Some(false) => wrong += 1,
                None => unknown += 1,
            }
        }
    }
}
