//! Processes that share this address space: CLONE_VM siblings, and vfork with its sleeping parent.
//!
//! Such a child runs on the thread-local storage of the thread that made it, so it makes system calls only,
//! allocates nothing, and that thread waits until the child has nothing more to do but to wait.
#![expect(unsafe_code, reason = "clone")]

use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use aioinspect_tests::truth::OwnContext;
use serde_json::{Value, json};

use crate::children::{self, Child};
use crate::failure::{At, Done, Failure};
use crate::ghosts::task_state;
use crate::memory;
use crate::state::{State, tid};
use crate::words::{Words, number};

const STACK: u64 = 1 << 16;

/// What parent and child share beside everything.
struct Shared {
    link: RawFd,
    n: u32,
    ids: Vec<u64>,
    errno: c_int,
    stay: bool,
    /// What the child says, before its PID and a closing bracket.
    answer: &'static [u8],
}

/// The plainest answer.
const ANSWER: &[u8] = b"{\"child\":";

/// Writes to a descriptor without any object; a failure shows at the other end.
fn say(link: RawFd, bytes: &[u8]) {
    // SAFETY: a slice.
    unsafe { libc::write(link, bytes.as_ptr().cast(), bytes.len()) };
}

/// Writes a number in decimal, without allocating.
fn say_number(link: RawFd, number: u32) {
    let mut divisor = 1_000_000_000;
    let mut begun = false;
    while divisor > 0 {
        let digit = u8::try_from(number / divisor % 10).unwrap_or(0);
        begun |= digit > 0 || divisor == 1;
        if begun {
            say(link, &[b'0' + digit]);
        }
        divisor /= 10;
    }
}

extern "C" fn child_main(argument: *mut c_void) -> c_int {
    // SAFETY: the parent keeps the struct alive while the child lives, and does not touch it meanwhile.
    let shared = unsafe { &mut *argument.cast::<Shared>() };
    // SAFETY: takes numbers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    // SAFETY: without CLONE_FILES the descriptor table is the child's own; it uses only `link`.
    unsafe { children::keep_only(shared.link) };
    for id in &mut shared.ids {
        // SAFETY: room for one id.
        let result = unsafe { libc::syscall(libc::SYS_io_setup, shared.n, ptr::from_mut(id)) };
        if result != 0 {
            // SAFETY: always valid.
            shared.errno = unsafe { *libc::__errno_location() };
            break;
        }
    }
    say(shared.link, shared.answer);
    // SAFETY: takes nothing. Not through the C library's getpid, which older ones remember.
    let pid = unsafe { libc::syscall(libc::SYS_getpid) };
    say_number(shared.link, u32::try_from(pid).unwrap_or(0));
    say(shared.link, b"}\n");
    let mut byte = 0_u8;
    // SAFETY: room for one byte; ends when the other end is closed.
    while shared.stay && unsafe { libc::read(shared.link, (&raw mut byte).cast(), 1) } > 0 {}
    0
}

/// Clones; with CLONE_VFORK it returns only when the child is gone.
fn clone(shared: &mut Shared, flags: c_int) -> Result<u32, Failure> {
    let stack = memory::map(STACK, libc::PROT_READ | libc::PROT_WRITE)?;
    let top = ptr::with_exposed_provenance_mut(memory::size(stack + STACK)?);
    let flags = flags | libc::CLONE_VM | libc::SIGCHLD;
    // SAFETY: the stack is fresh, `shared` outlives the child, and `child_main` keeps to system calls.
    let pid = unsafe { libc::clone(child_main, top, flags, ptr::from_mut(shared).cast()) };
    // The stack is left mapped: nobody can tell when a killed child stops using it.
    if pid < 0 { Err(Failure::last("clone")) } else { Ok(pid.cast_unsigned()) }
}

/// `clone-vm-child COUNT N stay|exit`: a process that shares this mm makes COUNT contexts of N.
pub(crate) fn clone_vm_child(state: &mut State, words: &mut Words) -> Done {
    let (count, n) = (words.number::<usize>("COUNT")?, words.number("N")?);
    let stay = words.next().unwrap_or("stay") == "stay";
    let (ours, theirs) = UnixStream::pair().at("socketpair")?;
    let link = theirs.as_raw_fd();
    let shared = Shared { link, n, ids: vec![0; count], errno: 0, stay, answer: ANSWER };
    // Leaked: the child may outlive every place we could keep it in.
    let shared = Box::leak(Box::new(shared));
    let pid = clone(shared, 0)?;
    drop(theirs);
    let mut child = Child::new(pid, "vm", ours)?;
    let said = child.answer();
    let mut made = Vec::new();
    for id in shared.ids.iter().filter(|id| **id != 0) {
        made.push(crate::state::described(state.adopt(*id, n, &pid.to_string())?));
    }
    let errno = shared.errno;
    if stay {
        state.children.push(child);
    } else {
        drop(child);
        children::wait_for(pid)?;
    }
    said?;
    Ok(json!({"pid": pid, "contexts": made, "errno": errno}))
}

/// `vfork-d-state COUNT N`: a helper process with COUNT contexts of N, asleep in vfork (state D).
pub(crate) fn vfork_process(state: &mut State, words: &mut Words) -> Done {
    let (count, n) = (words.number::<u32>("COUNT")?, words.number::<u32>("N")?);
    let (mut child, said) = children::helper("vfork", &["vfork", &count.to_string(), &n.to_string()])?;
    for id in said.get("ids").and_then(Value::as_array).into_iter().flatten() {
        if let Some(id) = id.as_str().and_then(number) {
            child.contexts.push(OwnContext { id, max_reqs: n, in_flight: 0 });
        }
    }
    let pid = child.pid;
    state.children.push(child);
    await_state(&format!("/proc/{pid}/stat"), 'D')?;
    Ok(json!({"pid": pid, "child": said.get("child")}))
}

/// The helper of `vfork-d-state`.
pub(crate) fn vfork_helper(link: &UnixStream, words: &mut Words) -> Result<(), Failure> {
    let (count, n) = (words.number::<usize>("COUNT")?, words.number("N")?);
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(format!("{:#x}", crate::aio::io_setup(n).at("io_setup")?));
    }
    let answer = format!("{{\"ids\":{},\"child\":", json!(ids)).into_bytes().leak();
    let link = link.as_raw_fd();
    let shared = Shared { link, n, ids: Vec::new(), errno: 0, stay: true, answer };
    let pid = clone(Box::leak(Box::new(shared)), libc::CLONE_VFORK)?;
    children::wait_for(pid).map(|_| ())
}

/// `vfork-thread`: a thread of this process, asleep in vfork (state D) until `child-exit`.
pub(crate) fn vfork_thread(state: &mut State, _: &mut Words) -> Done {
    let (ours, theirs) = UnixStream::pair().at("socketpair")?;
    let link = theirs.as_raw_fd();
    let known: &'static AtomicU32 = Box::leak(Box::new(AtomicU32::new(0)));
    let shared = Shared { link, n: 0, ids: Vec::new(), errno: 0, stay: true, answer: ANSWER };
    thread::Builder::new()
        .spawn(move || {
            known.store(tid(), Ordering::SeqCst);
            // The child has a copy of `theirs`; its zombie is left to whoever ends it.
            let _ = clone(Box::leak(Box::new(shared)), libc::CLONE_VFORK);
            drop(theirs);
        })
        .at("thread")?;
    let mut child = Child::new(0, "vfork-thread", ours)?;
    let said = child.answer()?;
    let sleeper = known.load(Ordering::SeqCst);
    await_state(&format!("/proc/self/task/{sleeper}/stat"), 'D')?;
    let pid = said.get("child").and_then(Value::as_u64).and_then(|pid| u32::try_from(pid).ok());
    child.pid = pid.ok_or_else(|| Failure::refused("the child did not say its PID"))?;
    let pid = child.pid;
    state.children.push(child);
    Ok(json!({"pid": pid, "tid": sleeper}))
}

/// Waits until a task is in that state.
pub(crate) fn await_state(stat: &str, wanted: char) -> Result<(), Failure> {
    let begun = std::time::Instant::now();
    loop {
        let state = task_state(stat)?;
        if state == wanted {
            return Ok(());
        }
        if begun.elapsed() > crate::state::PATIENCE {
            return Err(Failure::refused(format!("{stat}: state {state}, not {wanted}")));
        }
        thread::sleep(std::time::Duration::from_micros(200));
    }
}
