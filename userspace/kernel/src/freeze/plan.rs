//! What is frozen: the processes of one address space, opened before anybody is stopped.

use aioinspect_model::units::Pid;

use crate::freeze::error::FreezeError;
use crate::proc::files::{ProcDir, ProcError};

/// What to freeze.
#[derive(Debug)]
pub struct FreezePlan {
    pub(super) processes: Vec<ProcDir>,
}

impl FreezePlan {
    /// Plans for the processes `pids`, which are all that share one address space. They are opened here: a PID that
    /// is used again later is not taken for them. Those that are gone already are left out.
    pub fn new(pids: &[Pid]) -> Result<Self, FreezeError> {
        let own = std::process::id();
        let mut processes = Vec::with_capacity(pids.len());
        let mut gone = Pid(0);
        for pid in pids {
            if pid.0 == own {
                return Err(FreezeError::OwnProcess(*pid));
            }
            match ProcDir::open(*pid) {
                Ok(process) => processes.push(process),
                Err(ProcError::NoSuchProcess(pid)) => gone = pid,
                Err(error) => return Err(FreezeError::Proc(error)),
            }
        }
        if processes.is_empty() { Err(FreezeError::Gone(gone)) } else { Ok(Self { processes }) }
    }
}
