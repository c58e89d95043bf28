//! Looks: one reading of one process or of the host.

pub mod absence;
mod drain;
pub mod evidence_source;
mod frozen_process;
pub(crate) mod host;
mod host_without_bpf;
pub mod live;
mod planned;
mod preparation;
mod process;
mod recheck;
pub mod ring_maps;
pub mod trial_child;
