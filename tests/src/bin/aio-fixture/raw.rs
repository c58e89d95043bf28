//! Calls of io_setup that go wrong, and those of another thread.
#![expect(unsafe_code, reason = "raw system calls")]

use std::io;
use std::ptr;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::aio;
use crate::failure::{Done, Failure};
use crate::memory;
use crate::state::{self, State};
use crate::words::Words;

/// `setup-raw N KIND`: io_setup with a pointer of that kind: null, unmapped, readonly, nonzero. Answers the errno.
pub(crate) fn setup_raw(_: &mut State, words: &mut Words) -> Done {
    let n = words.number::<u32>("N")?;
    let mut variable = 0x10_u64;
    let page = map(libc::PROT_READ, 0)?;
    let pointer = match words.word("KIND")? {
        "null" => 0,
        "unmapped" => {
            unmap(page);
            page
        }
        "readonly" => page,
        "nonzero" => (&raw mut variable) as usize,
        other => return Err(Failure::refused(format!("no pointer {other:?}"))),
    };
    // SAFETY: the kernel checks the pointer; what it can write is `variable`.
    let answer = unsafe { libc::syscall(libc::SYS_io_setup, n, pointer) };
    let errno = io::Error::last_os_error().raw_os_error().filter(|_| answer != 0);
    Ok(json!({"answer": answer, "errno": errno}))
}

/// `retry N MILLISECONDS PAUSE`: io_setup of N again and again, with a pause of so many microseconds, as a program does that cannot go on
/// without. Answers how often, and how often it failed.
pub(crate) fn retry(_: &mut State, words: &mut Words) -> Done {
    let n = words.number::<u32>("N")?;
    let time = Duration::from_millis(words.number::<u64>("MILLISECONDS")?);
    let pause = Duration::from_micros(words.number::<u64>("PAUSE")?);
    let begun = Instant::now();
    let (mut calls, mut failures) = (0_u64, 0_u64);
    while begun.elapsed() < time {
        calls += 1;
        match aio::io_setup(n) {
            Ok(id) => aio::io_destroy(id).map_err(|error| Failure::os("io_destroy", &error))?,
            Err(_) => failures += 1,
        }
        if !pause.is_zero() {
            thread::sleep(pause);
        }
    }
    Ok(json!({"calls": calls, "failures": failures}))
}

/// `setup-thread N`: another thread makes a context, and ends.
pub(crate) fn setup_thread(_: &mut State, words: &mut Words) -> Done {
    let n = words.number::<u32>("N")?;
    let made = thread::spawn(move || (aio::io_setup(n), state::tid())).join();
    match made {
        Ok((Ok(id), tid)) => Ok(json!({"id": format!("{id:#x}"), "tid": tid})),
        Ok((Err(error), _)) => Err(Failure::os("io_setup", &error)),
        Err(_) => Err(Failure::refused("the thread panicked")),
    }
}

/// A new page, of the fixture's own.
pub(crate) fn map(protection: libc::c_int, flags: libc::c_int) -> Result<usize, Failure> {
    let length = usize::try_from(memory::page()).map_err(|_| Failure::refused("page size"))?;
    let flags = flags | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping at an address of the kernel's choice.
    let page = unsafe { libc::mmap(ptr::null_mut(), length, protection, flags, -1, 0) };
    if page == libc::MAP_FAILED { Err(Failure::last("mmap")) } else { Ok(page as usize) }
}

/// Gives back a page that `map` made.
pub(crate) fn unmap(page: usize) {
    // SAFETY: a page of our own, to which nobody holds a reference.
    unsafe { libc::munmap(page as *mut libc::c_void, usize::try_from(memory::page()).unwrap_or(0)) };
}
