//! Tracing programs: attached, settled, asked.

pub(crate) mod cgroup_maps;
pub mod hook;
pub mod space_end;
pub(crate) mod space_sweep;
pub(crate) mod submit_hook;
pub mod submits;
pub mod tracer;
