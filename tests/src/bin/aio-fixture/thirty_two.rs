//! Calls of a 32-bit caller.
//!
//! Who that is depends on the architecture: on x86_64 this very process, on aarch64 a process of its own, which the first such command starts and
//! which stays until the fixture ends. Every answer says its PID. `truth` knows nothing of what it does.

#[cfg(target_arch = "aarch64")]
#[path = "thirty_two/aarch64.rs"]
mod caller;
#[cfg(target_arch = "x86_64")]
#[path = "thirty_two/x86_64.rs"]
mod caller;
#[cfg(target_arch = "aarch64")]
mod program;

use std::io;

use serde_json::json;

pub(crate) use self::caller::Caller;
use self::caller::{IO_DESTROY, IO_GETEVENTS, IO_SETUP, IO_SUBMIT};
use crate::aio::Iocb;
use crate::failure::{Done, Failure};
use crate::state::State;
use crate::words::Words;

/// Bytes of memory that a call can lead to.
const ROOM: usize = 480;

/// Memory that a call can lead to: the caller has it at [`Caller::address`].
pub(crate) type Memory = [u8; ROOM];

/// Where two iocbs, the pointers to them, what is read and the events are in the memory.
const POINTERS: usize = 128;
const BYTE: usize = 160;
const EVENTS: usize = 192;

/// `setup32 N`: io_setup as a 32-bit caller.
pub(crate) fn setup(state: &mut State, words: &mut Words) -> Done {
    let n = words.number::<u32>("N")?;
    let caller = of(state)?;
    let (mut memory, at) = ([0; ROOM], caller.address());
    succeeds("io_setup", caller.call(IO_SETUP, [n, at, 0, 0, 0], &mut memory)?)?;
    let [first, second, third, fourth, ..] = memory;
    let id = u32::from_ne_bytes([first, second, third, fourth]);
    Ok(json!({"id": format!("{id:#x}"), "pid": caller.pid()}))
}

/// `destroy32 ID`: io_destroy as a 32-bit caller.
pub(crate) fn destroy(state: &mut State, words: &mut Words) -> Done {
    let id = words.number::<u32>("ID")?;
    let caller = of(state)?;
    succeeds("io_destroy", caller.call(IO_DESTROY, [id, 0, 0, 0, 0], &mut [0; ROOM])?)?;
    Ok(json!({"pid": caller.pid()}))
}

/// `submit32 ID TIMES`: one read of /dev/null and something invalid, by a 32-bit call: it takes one of the two.
pub(crate) fn submit(state: &mut State, words: &mut Words) -> Done {
    let id = words.number::<u32>("ID")?;
    let times = words.number::<u32>("TIMES")?;
    let caller = of(state)?;
    let at = |place: usize| u32::try_from(place).map(|place| caller.address() + place);
    let at = |place| at(place).map_err(|_| Failure::refused("a place in the memory"));
    let (second, pointers, byte, events) = (at(size_of::<Iocb>())?, at(POINTERS)?, at(BYTE)?, at(EVENTS)?);
    let read = Iocb::read(0, caller.null(), byte.into(), 1, 0, None).to_bytes();
    let invalid = Iocb::invalid().to_bytes();
    let addresses = [caller.address(), second].map(u32::to_ne_bytes);
    let mut wanted = [0; ROOM];
    let ahead = [&read[..], &invalid, addresses.as_flattened()].concat();
    for (place, byte) in wanted.iter_mut().zip(ahead) {
        *place = byte;
    }
    let mut answer = 0;
    for _ in 0..times {
        let mut memory = wanted;
        answer = succeeds("io_submit", caller.call(IO_SUBMIT, [id, 2, pointers, 0, 0], &mut memory)?)?;
        if answer > 0 {
            let reaped = caller.call(IO_GETEVENTS, [id, 1, 2, events, 0], &mut memory)?;
            succeeds("io_getevents", reaped)?;
        }
    }
    Ok(json!({"answer": answer, "pid": caller.pid()}))
}

/// io_getevents that asks for more events than it has room for, on a context that there is not; its answer, and the PID of who called.
pub(crate) fn wrong_number(state: &mut State) -> Result<(i32, u32), Failure> {
    let caller = of(state)?;
    Ok((caller.call(IO_GETEVENTS, [0x10, 2, 1, 0, 0], &mut [0; ROOM])?, caller.pid()))
}

fn of(state: &mut State) -> Result<&mut Caller, Failure> {
    if state.caller_of_32_bits.is_none() {
        state.caller_of_32_bits = Some(Caller::new()?);
    }
    state.caller_of_32_bits.as_mut().ok_or_else(|| Failure::refused("no 32-bit caller"))
}

fn succeeds(call: &str, answer: i32) -> Result<i32, Failure> {
    if answer < 0 {
        let error = io::Error::from_raw_os_error(-answer);
        return Err(Failure::os(&format!("{call} of a 32-bit caller"), &error));
    }
    Ok(answer)
}
