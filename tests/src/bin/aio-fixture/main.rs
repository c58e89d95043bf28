//! A process that makes any state of native AIO on command, and reports the truth of it.
//!
//! One command a line on standard input, one JSON line as answer: `{"ok":{..}}` or `{"error":"..","errno":n}`.
//! End of input ends it and everything it started. CTX is `#ordinal` or an id (`0x..`).
//!
//! | command | does |
//! |---|---|
//! | `setup N`, `setup-many COUNT N`, `destroy CTX` | io_setup, io_destroy |
//! | `poll CTX COUNT [CPU]` | polls in flight, submitted on that CPU |
//! | `complete CTX COUNT [CPU]`, `cancel CTX COUNT [CPU]` | the oldest polls complete on that CPU, by themselves or by io_cancel |
//! | `strand CTX FROM TO` | polls submitted on CPU FROM complete on CPU TO; then FROM submits until it fails, and TO submits one |
//! | `reap CTX COUNT`, `reap-by-head CTX COUNT` | by io_getevents; by a store to `head` |
//! | `slow-read CTX COUNT [CPU]`, `finish-reads [COUNT]` | O_DIRECT reads that stay in flight until told |
//! | `destroy-waiting CTX`, `destroyed TID` | a thread of ours waits in io_destroy for slow reads; how that ended |
//! | `reading-child CONTEXTS READS [N]` | a child with contexts of N, each with READS slow reads |
//! | `die PID KIND` | it waits for them: KIND exit kill leader (a zombie, the last thread waits) exec destroy |
//! | `dying-child KIND CONTEXTS READS [N]`, `finish-dying PID [COUNT]` | both in one; its oldest reads complete |
//! | `disk CTX FILE KIND COUNT [BYTES]`, `disk-reap CTX MS` | KIND: read write fsync fdsync, O_DIRECT; they complete by themselves |
//! | `mremap CTX [PAGES]` | moves the ring (and shrinks it); the id changes |
//! | `mprotect CTX none\|ro\|rw [page K]`, `munmap CTX all\|page K [hold]` | the ring's mapping |
//! | `forge CTX FIELD VALUE`, `unforge CTX` | FIELD: id nr head tail magic compat incompat header_length |
//! | `fork-ghost` | a forked child with the rings but not the contexts |
//! | `child-write-head PID CTX VALUE [now\|on-usr1\|when-stopped]`, `child-fired PID CTX` | it writes our head |
//! | `child-toggle-head PID CTX A B`, `child-rest PID` | it writes our head all the time |
//! | `child-setup PID N`, `child-getevents PID CTX`, `child-exit PID` | its own context; what it may do; its end |
//! | `clone-vm-child COUNT N [stay\|exit]` | a process that shares our mm makes contexts |
//! | `vfork-d-state COUNT N`, `vfork-thread` | a process, a thread of ours, in uninterruptible sleep |
//! | `setup-raw N KIND` | io_setup with a pointer that is null, unmapped, readonly or nonzero |
//! | `retry N MS PAUSE` | io_setup of N again and again for so long, with a pause of so many microseconds |
//! | `setup-thread N`, `setup32 N`, `destroy32 ID` | another thread; a 32-bit caller, whose PID is in the answer. `truth` knows nothing of them |
//! | `submit-raw KIND TIMES` | io_submit that is empty, ok, short, einval, ebadf or efault, on a context of its own |
//! | `submit32 ID TIMES` | io_submit that is short, of a 32-bit caller, on a context of `setup32` |
//! | `fail KIND TIMES` | calls of io_submit, io_getevents and io_pgetevents that fail, on a context of its own that stays |
//! | `refuse CALL ERRNO` | from now on a filter (seccomp) refuses the system call of that number |
//! | `race-destroy THREADS`, `race-reuse ROUNDS` | calls that meet |
//! | `storm MS THREADS CHILDREN SEED` | everything at once |
//! | `farm PROCESSES COUNT N`, `farm-end` | many processes with contexts |
//! | `threads N [KIND]` | blocked threads: pipe getevents getevents-timeout epoll sleep |
//! | `spin [CPU]`, `spin-report`, `spin-stop` | a thread that measures its own pauses |
//! | `busy`, `busy-stop`, `churn [CPU]`, `churn-stop` | mappings, or AIO, all the time |
//! | `spoof tmpfs\|root [deleted]` | a helper that maps a regular file called `/[aio]` |
//! | `io-uring-worker` | an io_uring whose requests a thread of the kernel's takes |
//! | `leader-exit`, `exec-self`, `exit [CODE]`, `self-stop` | ends and stops |
//! | `exec-when-held` | `exec-self` at the moment it is let go by who held it |
//! | `set-comm HEX`, `dumpable 0\|1`, `set-uid UID`, `brk-grow [BYTES]` | marks of a process |
//! | `truth` | all of it, as `aioinspect_tests::truth::Truth` |

mod aio;
mod blocked;
mod children;
mod completions;
mod context;
mod destroys;
mod disk;
mod failing;
mod failure;
mod farm;
mod fuse;
mod fuse_server;
mod ghosts;
mod load;
mod memory;
mod mounts;
mod polls;
mod process;
mod protocol;
mod raw;
mod reader;
mod reading;
mod reads;
mod reap;
mod reaper;
mod report;
mod ring;
mod spoof;
mod state;
mod storm;
mod strand;
mod submits;
mod thirty_two;
mod uring;
mod vm_child;
mod waits;
mod words;

use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::{env, io, thread};

use serde_json::json;

use crate::failure::{At, Failure};
use crate::protocol::End;
use crate::state::State;
use crate::words::Words;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    // After a restore the parent is CRIU, which ends.
    let is_on_its_own = args.first().is_some_and(|arg| arg == "on-its-own" || arg == "reaper");
    if !is_on_its_own && !children::die_with_parent(std::os::unix::process::parent_id()) {
        return ExitCode::FAILURE;
    }
    let done = match args.first().map(String::as_str) {
        Some("helper") => return help(&args),
        Some("reaper") => reaper::run().at("reaper"),
        // What a child becomes by exec, to end at once.
        Some("quit") => return ExitCode::SUCCESS,
        Some("answer") => protocol::answer(Ok(json!({"exec": true}))).at("answer").and_then(|()| begin()),
        // What follows `called` is for who reads its command line.
        None | Some("called") => begin(),
        Some("on-its-own") => process::on_its_own(args.get(1)).and_then(|()| begin()),
        Some(other) => Err(Failure::refused(format!("no argument {other:?}"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody reads it if even that fails.
            let _ = writeln!(io::stderr(), "aio-fixture: {}", failure.to_json());
            ExitCode::FAILURE
        }
    }
}

fn begin() -> Result<(), Failure> {
    go_on(State::new()?)
}

fn go_on(mut state: State) -> Result<(), Failure> {
    match protocol::serve(&mut state).at("protocol")? {
        End::Exit(code) => process::exit(&mut state, code),
        End::LeaderExit => {
            let parent = std::os::unix::process::parent_id();
            let rest = move || {
                // What to do when the parent dies is remembered by each thread for itself.
                children::die_with_parent(parent);
                let waited = process::await_dead_leader();
                let done = protocol::answer(waited.map(|()| json!({"tid": state::tid()})));
                let _ = done.at("answer").and_then(|()| go_on(state));
            };
            thread::Builder::new().spawn(rest).at("thread")?;
            process::exit_thread()
        }
    }
}

/// The other program in this file: a helper that speaks on its standard input, which is a socket.
fn help(args: &[String]) -> ExitCode {
    let text = args.join(" ");
    let mut words = Words::new(&text);
    let _helper = words.next();
    let Ok(socket) = io::stdin().as_fd().try_clone_to_owned() else { return ExitCode::FAILURE };
    let mut link = UnixStream::from(socket);
    let done = match words.next() {
        Some("fuse") => fuse_server::run(&mut link),
        Some("spoof") => spoof::helper(&mut link, &mut words),
        Some("reading") => reader::run(&link, &mut words),
        Some("rest") => reader::rest(&link),
        Some("vfork") => vm_child::vfork_helper(&link, &mut words),
        _ => Err(Failure::refused("no such helper")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // The fixture reports it, if it still listens.
            let _ = writeln!(link, "{}", failure.to_json());
            ExitCode::FAILURE
        }
    }
}
