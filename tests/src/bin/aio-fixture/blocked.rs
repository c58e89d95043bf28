//! Threads that block in system calls, count how often they were disturbed, and go on.
#![expect(unsafe_code, reason = "raw blocking calls")]

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aioinspect_tests::truth::ThreadTruth;
use serde_json::json;

use crate::aio::{self, IoEvent};
use crate::completions::eventfd;
use crate::failure::{At, Done, Failure};
use crate::polls::pipe;
use crate::state::{PATIENCE, State, tid};
use crate::vm_child::await_state;
use crate::words::Words;

const KINDS: [&str; 5] = ["pipe", "getevents", "getevents-timeout", "epoll", "sleep"];
/// Longer than any test.
const LONG: Duration = Duration::from_secs(36_000);

/// One blocked thread.
#[derive(Debug)]
pub(crate) struct Blocked {
    kind: &'static str,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    tid: AtomicU32,
    eintr: AtomicU64,
    woken: AtomicU64,
}

impl Blocked {
    /// What is true of it.
    pub(crate) fn truth(&self) -> ThreadTruth {
        ThreadTruth {
            tid: self.counts.tid.load(Ordering::SeqCst),
            kind: self.kind.to_owned(),
            eintr: self.counts.eintr.load(Ordering::SeqCst),
            woken: self.counts.woken.load(Ordering::SeqCst),
        }
    }
}

/// `threads N [pipe|getevents|getevents-timeout|epoll|sleep]`: N threads, of all kinds by turns if none is
/// named; returns when each sleeps in its call. Those in io_getevents share one context of 1 of their own.
pub(crate) fn threads(state: &mut State, words: &mut Words) -> Done {
    let n = words.number::<usize>("N")?;
    let only = words.next();
    if only.is_some_and(|only| !KINDS.contains(&only)) {
        return Err(Failure::refused(format!("no kind {only:?}")));
    }
    let kinds: Vec<_> =
        KINDS.into_iter().filter(|k| only.is_none_or(|only| only == *k)).cycle().take(n).collect();
    let mut context = 0;
    if kinds.iter().any(|kind| kind.starts_with("getevents")) {
        context = aio::io_setup(1).at("io_setup")?;
        state.adopt(context, 1, "threads")?.waited = true;
    }
    let first = state.blocked.len();
    for kind in kinds {
        let counts = Arc::new(Counts::default());
        let theirs = Arc::clone(&counts);
        let mut call = prepare(kind, context)?;
        thread::Builder::new()
            .stack_size(1 << 16)
            .spawn(move || {
                theirs.tid.store(tid(), Ordering::SeqCst);
                block(&mut *call, &theirs);
            })
            .at("thread")?;
        state.blocked.push(Blocked { kind, counts });
    }
    let mut tids = Vec::new();
    for blocked in state.blocked.iter().skip(first) {
        let begun = Instant::now();
        while blocked.truth().tid == 0 && begun.elapsed() < PATIENCE {
            thread::sleep(Duration::from_micros(100));
        }
        let tid = blocked.truth().tid;
        await_state(&format!("/proc/self/task/{tid}/stat"), 'S')?;
        tids.push(tid);
    }
    Ok(json!({"tids": tids}))
}

type Call = Box<dyn FnMut() -> io::Result<()> + Send>;

fn block(call: &mut dyn FnMut() -> io::Result<()>, counts: &Counts) {
    loop {
        match call() {
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {
                counts.eintr.fetch_add(1, Ordering::SeqCst);
            }
            Ok(()) => {
                counts.woken.fetch_add(1, Ordering::SeqCst);
            }
            // Its context was destroyed: nothing is left to wait for.
            Err(_) => return,
        }
    }
}

fn prepare(kind: &str, context: u64) -> Result<Call, Failure> {
    let getevents = move |timeout| -> Call {
        Box::new(move || {
            let mut events = [IoEvent::default(); 1];
            aio::io_getevents(context, 1, &mut events, timeout).map(|_| ())
        })
    };
    Ok(match kind {
        "getevents" => getevents(None),
        "getevents-timeout" => getevents(Some(LONG)),
        "epoll" => {
            let event = eventfd()?;
            // SAFETY: takes a number, gives a descriptor or -1.
            let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
            let mut wanted = libc::epoll_event { events: libc::EPOLLIN.cast_unsigned(), u64: 0 };
            // SAFETY: one epoll_event.
            let added =
                unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, event.as_raw_fd(), &raw mut wanted) };
            if added != 0 {
                return Err(Failure::last("epoll_ctl"));
            }
            Box::new(move || {
                let _alive = &event;
                let mut got = libc::epoll_event { events: 0, u64: 0 };
                // SAFETY: room for one event.
                checked(unsafe { libc::epoll_wait(epoll, &raw mut got, 1, -1) } < 0)
            })
        }
        "sleep" => Box::new(|| {
            let time = libc::timespec { tv_sec: 36_000, tv_nsec: 0 };
            // SAFETY: one timespec in, none out.
            checked(unsafe { libc::nanosleep(&raw const time, std::ptr::null_mut()) } != 0)
        }),
        _ => {
            let (reader, writer) = pipe()?;
            Box::new(move || {
                let _alive = &writer;
                let mut byte = 0_u8;
                // SAFETY: room for one byte. Not through File, whose wrappers may retry EINTR unseen.
                checked(unsafe { libc::read(reader.as_raw_fd(), (&raw mut byte).cast(), 1) } < 0)
            })
        }
    })
}

fn checked(failed: bool) -> io::Result<()> {
    if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
}
