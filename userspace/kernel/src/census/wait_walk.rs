//! The walk over threads that wait for contexts: run, and its records taken in pieces.

use std::os::fd::AsFd;

use aioinspect_ebpf::{ContextRecord, Control, WaitRecord};

use crate::bpf::call;
use crate::bpf::error::ProbeError;
use crate::census::probe::{CensusScope, Probe};

/// What one walk over the threads that sleep said.
#[derive(Clone, Debug, Default)]
pub struct WaitRecords {
    /// The threads that sleep and wait for contexts, or may.
    pub waits: Vec<WaitRecord>,
    /// The contexts they wait for: `mm` is the task of the thread.
    pub contexts: Vec<ContextRecord>,
}

impl Probe {
    /// The threads that wait for the requests of contexts, or may, and the contexts they wait for.
    pub fn waits(&mut self) -> Result<WaitRecords, ProbeError> {
        let walk = call::iter_create(self.waits_link.as_fd())
            .map_err(|e| ProbeError::from_bpf("open an iterator", &e))?;
        self.write_scope(CensusScope::All, 1);
        let mut records = WaitRecords::default();
        let run = call::iter_run_in_pieces(walk.as_fd(), || {
            let control = self.control.first();
            if control.is_full != 0 {
                self.copy_waits(&mut records);
                let emptied = Control { contexts: 0, credits: 0, waits: 0, is_full: 0, ..control };
                self.control.set_first(&emptied);
            }
        });
        run.map_err(|error| ProbeError::Io { action: "look for dying contexts", error })?;
        self.copy_waits(&mut records);
        Ok(records)
    }

    fn copy_waits(&self, records: &mut WaitRecords) {
        let control = self.control.first();
        self.waits.read_into(control.waits, &mut records.waits);
        self.contexts.read_into(control.contexts, &mut records.contexts);
    }
}
