//! Tracing programs: attached, settled, asked.

pub mod cgroup_maps;
pub mod hook;
pub mod space_end;
pub mod space_sweep;
pub mod submit_hook;
pub mod submits;
pub mod tracer;
