//! Looks: one reading of one process or of the host.

pub mod absence;
pub mod evidence_source;
pub mod frozen_process;
pub mod host;
pub mod host_without_bpf;
pub mod live;
pub mod preparation;
pub mod process;
pub mod recheck;
pub mod ring_maps;
pub mod trial_child;
