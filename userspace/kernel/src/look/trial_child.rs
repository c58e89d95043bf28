//! A process of our own to try a freeze on: nobody else is touched to find out whether it would work.

use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::freeze::{FreezePlan, FreezeReport, freeze_and};
use crate::look::evidence_source::SourceError;
use crate::proc::memory::HeaderPlan;
use aioinspect_model::units::{ContextId, Pid, Tid};

/// The argument that makes this program say that it runs, wait for its standard input to end, and do nothing else.
pub const WAIT_ARGUMENT: &str = "--wait-for-end-of-input";

/// Does what [`WAIT_ARGUMENT`] says.
pub fn wait() {
    // Nobody to tell if that fails.
    let _ = io::stdout().write_all(b"\n").and_then(|()| io::stdout().flush());
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
}

/// Starts this program once more, freezes it, reads 32 bytes of it, and ends it.
pub fn freeze_one() -> Result<FreezeReport, SourceError> {
    let exe = std::env::current_exe()?;
    let mut command = Command::new(exe);
    command.arg(WAIT_ARGUMENT).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = Ended(command.spawn()?);
    // Whoever starts a program goes on while it is still in exec, where it cannot be held.
    if let Some(mut running) = child.0.stdout.take() {
        running.read_exact(&mut [0])?;
    }
    let pid = Pid(child.0.id());
    let plan = FreezePlan::new(&[pid])?;
    // Any address will do: an answer of EFAULT has passed the check of permissions.
    let mut headers = HeaderPlan::new(&[ContextId(4096)], Tid(pid.0));
    let (read, report) = freeze_and(&plan, Duration::from_secs(1), || headers.read())?;
    read?;
    drop(child.0.stdin.take());
    child.0.wait()?;
    Ok(report)
}

/// A child that does not outlive us.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
