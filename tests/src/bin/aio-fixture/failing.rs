//! Calls that fail, each as often as asked, on a context that stays: whoever looks later finds it as it was.
#![expect(unsafe_code, reason = "raw system calls")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use aioinspect_tests::architecture::IO_PGETEVENTS;
use serde_json::json;

use crate::aio::{self, Iocb};
use crate::failure::{At, Done, Failure};
use crate::state::{State, on_cpu, pid};
use crate::thirty_two;
use crate::words::Words;

/// `struct seccomp_data.nr` is its first word.
const LOAD_NUMBER: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// `fail KIND TIMES`: fails so often, and answers with the errno, the context, and the PID of who called.
///
/// KIND, of io_submit: `full` fills a ring and goes on, `no-context`, `request`, `number`, `file`, `memory`. Of io_getevents:
/// `getevents-no-context`, `getevents-number`, `getevents-memory`, `getevents-time-out` (which is no failure), `getevents32-number`. Of
/// io_pgetevents: `pgetevents`, which asks for nothing, `pgetevents-number`.
///
/// All of it is done on one CPU: a thread that is moved while it fills a ring leaves credits behind, and then the ring is not full but its
/// credits are stranded.
pub(crate) fn fail(state: &mut State, words: &mut Words) -> Done {
    // SAFETY: takes nothing.
    let here = unsafe { libc::sched_getcpu() };
    on_cpu(u32::try_from(here).ok(), || fail_here(state, words))?
}

fn fail_here(state: &mut State, words: &mut Words) -> Done {
    let kind = words.word("KIND")?;
    let times = words.number::<u32>("TIMES")?;
    let file = File::open("/dev/null").at("open /dev/null")?;
    let mut byte = 0u8;
    let address = (&raw mut byte) as u64;
    let mut read = Iocb::read(0, file.as_raw_fd(), address, 1, 0, None);
    let mut invalid = Iocb::invalid();
    let mut closed = Iocb::read(0, -1, address, 1, 0, None);
    let context = aio::io_setup(8).at("io_setup")?;
    let none = std::ptr::null::<u8>();
    let submit = |id: u64, nr: i64, iocb: *mut Iocb| {
        let mut pointers = [iocb];
        // SAFETY: the iocb is live or null, and what the kernel takes completes before the call returns.
        unsafe { libc::syscall(libc::SYS_io_submit, id, nr, pointers.as_mut_ptr()) }
    };
    let getevents = |id: u64, min: i64, nr: i64, timeout: *const libc::timespec| {
        // SAFETY: no event is there to be written, and the kernel checks the pointers.
        unsafe { libc::syscall(libc::SYS_io_getevents, id, min, nr, none, timeout) }
    };
    let pgetevents = |min: i64, nr: i64| {
        // SAFETY: as above.
        unsafe { libc::syscall(libc::c_long::from(IO_PGETEVENTS), context, min, nr, none, none, none) }
    };
    let now = libc::timespec { tv_sec: 0, tv_nsec: 1 };
    let (mut failures, mut errno, mut caller) = (0, 0, pid());
    while failures < times {
        let answer = match kind {
            "full" => submit(context, 1, &raw mut read),
            "no-context" => submit(0x10, 1, &raw mut read),
            "request" => submit(context, 1, &raw mut invalid),
            "number" => submit(context, -1, &raw mut read),
            "file" => submit(context, 1, &raw mut closed),
            "memory" => submit(context, 1, std::ptr::null_mut()),
            "getevents-no-context" => getevents(0x10, 0, 1, std::ptr::null()),
            "getevents-number" => getevents(context, 2, 1, std::ptr::null()),
            "getevents-memory" => getevents(context, 0, 1, std::ptr::without_provenance(1)),
            "getevents-time-out" => getevents(context, 1, 1, &raw const now),
            "getevents32-number" => {
                let answer;
                (answer, caller) = thirty_two::wrong_number(state)?;
                errno = -answer;
                failures += 1;
                continue;
            }
            "pgetevents" => pgetevents(0, 0),
            "pgetevents-number" => pgetevents(2, 1),
            other => return Err(Failure::refused(format!("no failure {other:?}"))),
        };
        if answer < 0 {
            errno = io::Error::last_os_error().raw_os_error().unwrap_or(0);
            failures += 1;
        } else if kind != "full" {
            // It went well: it is counted, and answered, as it is.
            (errno, failures) = (0, failures + 1);
        }
    }
    Ok(json!({"errno": errno, "failures": failures, "pid": caller, "context": format!("{context:#x}")}))
}

/// `refuse CALL ERRNO`: a filter that answers with that errno to the system call of that number, from now on.
pub(crate) fn refuse(_: &mut State, words: &mut Words) -> Done {
    let call = words.number::<u32>("CALL")?;
    let errno = words.number::<u16>("ERRNO")?;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut steps = [
        step(LOAD_NUMBER, 0, 0, 0),
        step(JUMP_IF_EQUAL, 0, 1, call),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | u32::from(errno)),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program =
        libc::sock_fprog { len: u16::try_from(steps.len()).unwrap_or(0), filter: steps.as_mut_ptr() };
    // SAFETY: takes numbers.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(Failure::last("PR_SET_NO_NEW_PRIVS"));
    }
    // SAFETY: the program and its steps live until the call returns, which copies them.
    let done =
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program, 0, 0) };
    if done == 0 { Ok(json!({})) } else { Err(Failure::last("PR_SET_SECCOMP")) }
}
