//! Many processes with contexts, made and ended fast: for measurements.
#![expect(unsafe_code, reason = "fork")]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;

use aioinspect_tests::truth::FarmTruth;
use serde_json::json;

use crate::aio;
use crate::children;
use crate::failure::{At, Done, Failure};
use crate::polls::pipe;
use crate::state::State;
use crate::words::Words;

/// The processes end when the writer is closed.
#[derive(Debug)]
pub(crate) struct Farm {
    /// What they hold.
    pub truth: FarmTruth,
    writer: Option<File>,
}

impl Drop for Farm {
    fn drop(&mut self) {
        self.writer = None;
        for pid in &self.truth.pids {
            // One that was killed by someone is gone as well.
            let _ = children::wait_for(*pid);
        }
    }
}

/// `farm PROCESSES COUNT N`: each process makes COUNT contexts of N and sleeps.
pub(crate) fn farm(state: &mut State, words: &mut Words) -> Done {
    let processes = words.number::<u32>("PROCESSES")?;
    let (count, n) = (words.number::<u32>("COUNT")?, words.number::<u32>("N")?);
    if state.farm.is_some() {
        return Err(Failure::refused("there is a farm already"));
    }
    if state.contexts.iter().any(crate::context::Context::is_mapped) {
        return Err(Failure::refused("there are contexts: every process of the farm would hold ghosts"));
    }
    let (life, writer) = pipe()?;
    let (mut reports, report) = pipe()?;
    let parent = std::process::id();
    let mut farm = Farm {
        truth: FarmTruth { pids: Vec::new(), contexts_each: count, max_reqs: n },
        writer: Some(writer),
    };
    for _ in 0..processes {
        // SAFETY: the child makes system calls only.
        match unsafe { libc::fork() } {
            -1 => return Err(Failure::last("fork")),
            0 => live(&life, &report, farm.writer.as_ref(), parent, count, n),
            pid => farm.truth.pids.push(pid.cast_unsigned()),
        }
    }
    drop(report);
    let mut said = Vec::new();
    reports.read_to_end(&mut said).at("read of the farm's reports")?;
    if said.len() != farm.truth.pids.len() || said.iter().any(|byte| *byte != b'+') {
        return Err(Failure::refused(format!("not all of {processes} processes got their contexts")));
    }
    let pids = farm.truth.pids.clone();
    state.farm = Some(farm);
    Ok(json!({"pids": pids}))
}

fn live(mut life: &File, mut report: &File, writer: Option<&File>, parent: u32, count: u32, n: u32) -> ! {
    let alive = children::die_with_parent(parent);
    if let Some(writer) = writer {
        // SAFETY: the child's copy; it never uses the object again.
        unsafe { libc::close(writer.as_raw_fd()) };
    }
    let made = alive && (0..count).all(|_| aio::io_setup(n).is_ok());
    // A failure shows as a missing report.
    let _ = report.write_all(if made { b"+" } else { b"-" });
    // SAFETY: as above; the parent waits for the last copy to be closed.
    unsafe { libc::close(report.as_raw_fd()) };
    let _ = life.read(&mut [0]);
    // SAFETY: ends the child without running the parent's destructors.
    unsafe { libc::_exit(0) }
}

/// `farm-end`: ends all of them and waits until they are gone.
pub(crate) fn end(state: &mut State, _: &mut Words) -> Done {
    state.farm.take().ok_or_else(|| Failure::refused("there is no farm"))?;
    Ok(json!({}))
}
