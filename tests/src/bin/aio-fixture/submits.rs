//! Calls of io_submit that go well, go half well, or fail, each as often as asked; nothing of them stays.
#![expect(unsafe_code, reason = "raw system calls")]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::time::Instant;

use serde_json::json;

use crate::aio::{self, IoEvent, Iocb};
use crate::failure::{At, Done, Failure};
use crate::state::State;
use crate::words::Words;

/// `submit-raw KIND TIMES`: the answer of the last call, minus the errno if it failed, and how long one took.
///
/// KIND: `empty` asks for nothing; `ok` for two reads of /dev/null; `short` for one and for something invalid; `einval` names no context,
/// `ebadf` no file, `efault` no memory.
pub(crate) fn submit_raw(_: &mut State, words: &mut Words) -> Done {
    let kind = words.word("KIND")?;
    let times = words.number::<u32>("TIMES")?;
    let file = File::open("/dev/null").at("open /dev/null")?;
    let mut byte = 0u8;
    let address = (&raw mut byte) as u64;
    let read = |fd| Iocb::read(0, fd, address, 1, 0, None);
    let context = aio::io_setup(8).at("io_setup")?;
    let good = file.as_raw_fd();
    let (id, mut iocbs) = match kind {
        "ok" => (context, vec![read(good), read(good)]),
        "short" => (context, vec![read(good), Iocb::invalid()]),
        "einval" => (0x10, vec![read(good)]),
        "ebadf" => (context, vec![read(-1)]),
        "empty" | "efault" => (context, vec![]),
        other => return Err(Failure::refused(format!("no io_submit {other:?}"))),
    };
    let mut pointers: Vec<*mut Iocb> = iocbs.iter_mut().map(std::ptr::from_mut).collect();
    if kind == "efault" {
        pointers.push(std::ptr::null_mut());
    }
    let mut answer = Ok(0);
    let mut took = std::time::Duration::ZERO;
    for _ in 0..times {
        let begun = Instant::now();
        // SAFETY: the pointers are live or null, and reads of /dev/null complete before the call returns.
        answer = unsafe { aio::io_submit(id, &mut pointers) };
        took += begun.elapsed();
        if let Ok(taken @ 1..) = answer {
            let mut events = vec![IoEvent::default(); taken];
            aio::io_getevents(context, taken, &mut events, None).at("io_getevents")?;
        }
    }
    aio::io_destroy(context).at("io_destroy")?;
    let answer = match answer {
        Ok(taken) => i64::try_from(taken).unwrap_or(i64::MAX),
        Err(error) => -i64::from(error.raw_os_error().unwrap_or(0)),
    };
    let each = took.as_nanos().checked_div(u128::from(times)).unwrap_or(0);
    Ok(json!({"answer": answer, "ns": u64::try_from(each).unwrap_or(u64::MAX)}))
}
