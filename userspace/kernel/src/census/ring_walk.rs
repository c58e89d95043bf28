//! A walk over every mapping of the host that is of a ring; it writes to maps of its own, so that it can run while a census does.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use aioinspect_ebpf::{Control, RingRecord};

use crate::bpf::call;
use crate::bpf::error::ProbeError;
use crate::bpf::mapped::MappedArray;

/// The maps of such walks, of which one runs at a time.
#[derive(Clone, Debug)]
pub(super) struct RingArrays(Arc<Mutex<(MappedArray<Control>, MappedArray<RingRecord>)>>);

impl RingArrays {
    /// `control`: the map RING_CONTROL; `rings`: the map RINGS.
    pub(super) fn new(control: MappedArray<Control>, rings: MappedArray<RingRecord>) -> Self {
        Self(Arc::new(Mutex::new((control, rings))))
    }

    /// Opens a walk.
    pub(super) fn open(&self, link: &OwnedFd) -> Result<RingWalk, ProbeError> {
        let walk =
            call::iter_create(link.as_fd()).map_err(|e| ProbeError::from_bpf("open an iterator", &e))?;
        Ok(RingWalk { walk, arrays: self.clone() })
    }
}

/// A walk, opened ahead.
#[derive(Debug)]
pub struct RingWalk {
    walk: OwnedFd,
    arrays: RingArrays,
}

impl RingWalk {
    /// Runs it to its end, piece by piece: every mapping of a ring, ghosts included. To be called once.
    pub fn run(&self) -> Result<Vec<RingRecord>, ProbeError> {
        // A walk that panicked has left nothing that the next one needs.
        let mut arrays = self.arrays.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (control, rings) = &mut *arrays;
        let kept = Control { in_pieces: 1, ..Control::default() };
        control.set_first(&kept);
        let mut records = Vec::new();
        let mut take = |control: &mut MappedArray<Control>| {
            let counts = control.first();
            rings.read_into(counts.rings, &mut records);
            control.set_first(&Control { level_plus_one: counts.level_plus_one, ..kept });
        };
        call::iter_run_in_pieces(self.walk.as_fd(), || {
            if control.first().is_full != 0 {
                take(control);
            }
        })
        .map_err(|error| ProbeError::Io { action: "walk the mappings", error })?;
        take(control);
        Ok(records)
    }
}
