//! The forked child: it keeps the rings without the contexts, and can write the parent's head.
#![expect(unsafe_code, reason = "stores into inherited rings, a signal handler, poll")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aioinspect_tests::truth::{GhostTruth, OwnContext};
use serde_json::{Value, json};

use crate::aio;
use crate::children::{self, Child, of_pid};
use crate::failure::{At, Done, Failure};
use crate::memory;
use crate::state::State;
use crate::words::{Words, number};

/// What the signal handler is to write, and whether it did.
static ARMED_AT: AtomicU64 = AtomicU64::new(0);
static ARMED_VALUE: AtomicU32 = AtomicU32::new(0);
static FIRED: AtomicBool = AtomicBool::new(false);

/// `fork-ghost`: a child that keeps what fork gave it.
pub(crate) fn fork_ghost(state: &mut State, _: &mut Words) -> Done {
    let mut child = children::fork("ghost", child_main)?;
    for context in state.contexts.iter().filter(|context| context.is_mapped()) {
        let (first, pages) = context.mapped_pages();
        child.ghosts.push(GhostTruth {
            address: context.id + first * memory::page(),
            ring_len: pages * memory::page(),
            handle: context.handle,
        });
    }
    child.ask("hello")?;
    let pid = child.pid;
    state.children.push(child);
    Ok(json!({"pid": pid}))
}

/// `child-write-head PID CTX VALUE [now|on-usr1|when-stopped]`: the child writes `head` of the ring it
/// inherited: at once, when it gets SIGUSR1, or as soon as it sees this process stopped by a tracer.
pub(crate) fn write_head(state: &mut State, words: &mut Words) -> Done {
    let (pid, name, value) = (words.number("PID")?, words.word("CTX")?, words.number::<u32>("VALUE")?);
    let when = words.next().unwrap_or("now");
    let (child, handle, address) = target(state, pid, name)?;
    let verb = match when {
        "now" => "head",
        "on-usr1" => "arm",
        "when-stopped" => "watch",
        other => return Err(Failure::refused(format!("when is {other:?}?"))),
    };
    child.ask(&format!("{verb} {address:#x} {value}"))?;
    if when == "now" {
        note_head(state, handle, address, value);
    }
    Ok(json!({}))
}

/// `child-fired PID CTX`: whether the child has written what it was armed with.
pub(crate) fn fired(state: &mut State, words: &mut Words) -> Done {
    let (pid, name) = (words.number("PID")?, words.word("CTX")?);
    let (child, handle, address) = target(state, pid, name)?;
    let answer = child.ask("fired")?;
    let value = answer.get("value").and_then(Value::as_u64).and_then(|value| u32::try_from(value).ok());
    if let Some(value) = value.filter(|_| answer.get("fired") == Some(&Value::Bool(true))) {
        note_head(state, handle, address, value);
    }
    Ok(answer)
}

/// `child-toggle-head PID CTX A B`: the child writes A and B by turns until its next command.
pub(crate) fn toggle_head(state: &mut State, words: &mut Words) -> Done {
    let (pid, name) = (words.number("PID")?, words.word("CTX")?);
    let (a, b) = (words.number::<u32>("A")?, words.number::<u32>("B")?);
    let (child, handle, address) = target(state, pid, name)?;
    child.ask(&format!("toggle {address:#x} {a} {b}"))?;
    note_head(state, handle, address, a);
    Ok(json!({}))
}

/// `child-rest PID`: ends toggling.
pub(crate) fn rest(state: &mut State, words: &mut Words) -> Done {
    of_pid(&mut state.children, words.number("PID")?)?.ask("hello")
}

/// `child-setup PID N`: the child makes a context of its own.
pub(crate) fn setup(state: &mut State, words: &mut Words) -> Done {
    let child = of_pid(&mut state.children, words.number("PID")?)?;
    let max_reqs = words.number("N")?;
    let answer = child.ask(&format!("setup {max_reqs}"))?;
    let id = answer.get("id").and_then(Value::as_str).and_then(number);
    let id = id.ok_or_else(|| Failure::refused("the child made no context"))?;
    child.contexts.push(OwnContext { id, max_reqs, in_flight: 0 });
    Ok(answer)
}

/// `child-getevents PID CTX`: the errno that io_getevents gives the child for the inherited ring.
pub(crate) fn getevents(state: &mut State, words: &mut Words) -> Done {
    let (pid, name) = (words.number("PID")?, words.word("CTX")?);
    let (child, _, address) = target(state, pid, name)?;
    child.ask(&format!("getevents {address:#x}"))
}

fn target<'a>(state: &'a mut State, pid: u32, name: &str) -> Result<(&'a mut Child, u32, u64), Failure> {
    let handle = state.position(name).ok().and_then(|at| state.contexts.get(at)).map(|c| c.handle);
    let handle = handle.or_else(|| name.strip_prefix('#').and_then(number));
    let child = of_pid(&mut state.children, pid)?;
    let address = number::<u64>(name);
    let ghost = child.ghosts.iter().find(|g| Some(g.handle) == handle || Some(g.address) == address);
    let (handle, address) = ghost
        .map(|ghost| (ghost.handle, ghost.address))
        .ok_or_else(|| Failure::refused(format!("child {pid} inherited no {name}")))?;
    Ok((child, handle, address))
}

fn note_head(state: &mut State, handle: u32, _address: u64, value: u32) {
    if let Some(context) = state.contexts.iter_mut().find(|context| context.handle == handle) {
        context.note_forged("head", value);
    }
}

extern "C" fn on_usr1(_: libc::c_int) {
    let address = ARMED_AT.swap(0, Ordering::SeqCst);
    if address != 0 {
        // SAFETY: armed with the head of a ring that this child inherited and never unmaps.
        unsafe { memory::store_u32(address, ARMED_VALUE.load(Ordering::SeqCst)) };
        FIRED.store(true, Ordering::SeqCst);
    }
}

/// What the child does while no command comes.
#[derive(Clone, Copy)]
enum Idle {
    Wait,
    Watch,
    Toggle(u64, u32, u32),
}

fn child_main(link: UnixStream) -> i32 {
    // SAFETY: the handler only stores words.
    unsafe { libc::signal(libc::SIGUSR1, on_usr1 as *const () as libc::sighandler_t) };
    match serve(link) {
        Ok(()) => 0,
        Err(_) => 1,
    }
}

fn serve(link: UnixStream) -> Result<(), Failure> {
    let parent = std::os::unix::process::parent_id();
    let mut link = BufReader::new(link);
    let mut idle = Idle::Wait;
    loop {
        wait(&link, idle, parent)?;
        let mut text = String::new();
        if link.read_line(&mut text).at("read")? == 0 {
            return Ok(());
        }
        idle = Idle::Wait;
        let answer = command(&text, &mut idle).unwrap_or_else(|failure| failure.to_json());
        link.get_mut().write_all(format!("{answer}\n").as_bytes()).at("write")?;
    }
}

fn wait(link: &BufReader<UnixStream>, idle: Idle, parent: u32) -> Result<(), Failure> {
    let mut idle = idle;
    loop {
        let mut fd = libc::pollfd { fd: link.get_ref().as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let timeout = if matches!(idle, Idle::Wait) { -1 } else { 0 };
        // SAFETY: one pollfd.
        let ready = unsafe { libc::poll(&raw mut fd, 1, timeout) };
        if ready > 0 {
            return Ok(());
        }
        match idle {
            Idle::Wait => {}
            Idle::Watch => {
                let state = stat_state(parent)?;
                if matches!(state, 't' | 'T') {
                    on_usr1(0);
                    idle = Idle::Wait;
                }
            }
            Idle::Toggle(address, a, b) => {
                let until = Instant::now() + Duration::from_micros(500);
                // One look at the clock after each store: each value stands for the same time.
                for value in [b, a].into_iter().cycle() {
                    // SAFETY: the head of a ring that this child inherited and never unmaps.
                    unsafe { memory::store_u32(address, value) };
                    if Instant::now() > until {
                        break;
                    }
                }
            }
        }
    }
}

fn command(line: &str, idle: &mut Idle) -> Done {
    let mut words = Words::new(line);
    let verb = words.word("command")?;
    match verb {
        "hello" => Ok(json!({})),
        "head" | "arm" | "watch" => {
            let (address, value) = (words.number::<u64>("ADDRESS")? + 8, words.number("VALUE")?);
            FIRED.store(false, Ordering::SeqCst);
            ARMED_VALUE.store(value, Ordering::SeqCst);
            ARMED_AT.store(address, Ordering::SeqCst);
            match verb {
                "head" => on_usr1(0),
                "watch" => *idle = Idle::Watch,
                _ => {}
            }
            Ok(json!({}))
        }
        "fired" => {
            let value = ARMED_VALUE.load(Ordering::SeqCst);
            Ok(json!({"fired": FIRED.load(Ordering::SeqCst), "value": value}))
        }
        "toggle" => {
            let address = words.number::<u64>("ADDRESS")? + 8;
            *idle = Idle::Toggle(address, words.number("A")?, words.number("B")?);
            Ok(json!({}))
        }
        "setup" => {
            let id = aio::io_setup(words.number("N")?).at("io_setup")?;
            Ok(json!({"id": format!("{id:#x}")}))
        }
        "getevents" => {
            let id = words.number("ADDRESS")?;
            let result = aio::io_getevents(id, 0, &mut [], Some(Duration::ZERO));
            let errno = result.err().and_then(|error| error.raw_os_error()).unwrap_or(0);
            Ok(json!({"getevents_errno": errno}))
        }
        other => Err(Failure::refused(format!("no command {other:?}"))),
    }
}

/// The letter of a process's state in `/proc/PID/stat`.
fn stat_state(pid: u32) -> Result<char, Failure> {
    task_state(&format!("/proc/{pid}/stat"))
}

/// The letter of a task's state, from its `stat` file.
pub(crate) fn task_state(path: &str) -> Result<char, Failure> {
    let stat = fs::read(path).at(path)?;
    let text = String::from_utf8_lossy(&stat);
    let state = text.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.ok_or_else(|| Failure::refused(format!("{path} has no state")))
}
