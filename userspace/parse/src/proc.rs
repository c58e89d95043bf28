//! Files of /proc, one a file here.

pub mod auxv;
pub mod capability_names;
pub mod cgroup_paths;
pub mod mountinfo;
pub mod smaps;
pub mod stat;
pub mod status;
