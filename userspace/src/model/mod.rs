//! Pure: no I/O, no clock, no unsafe. Parsers of what was read, and the judge.

pub mod admission;
pub mod auxv;
pub mod btf;
pub mod btf_index;
mod btf_kind;
mod btf_member;
mod btf_number;
#[cfg(test)]
#[path = "btf_types_tests.rs"]
mod btf_types;
pub mod capability_names;
pub mod cgroup_paths;
pub mod cpus;
pub mod errno;
pub mod event;
pub mod finding;
pub mod header;
pub mod headroom;
pub mod holders;
pub mod hook_ids;
pub mod image;
pub mod kioctx;
pub mod known;
pub mod layout;
pub mod mountinfo;
pub mod names;
pub mod not_looked_at;
pub mod nr_req;
pub mod owner;
pub mod picture;
pub mod reason;
pub mod reconcile;
pub mod shares;
pub mod smaps;
#[cfg(test)]
pub(crate) mod specimen;
pub mod stat;
pub mod status;
pub mod submits;
pub mod tally;
pub mod trend;
pub mod units;
pub mod verdict;
pub mod waits;
pub mod web_config;
mod web_config_raw;
pub mod witness;
