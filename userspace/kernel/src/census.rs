//! The kernel's table of contexts and who waits for those that are in no table: the iterators run, their records decoded.

pub(crate) mod cpu_distances;
pub mod probe;
pub mod records;
pub(crate) mod ring_walk;
pub(crate) mod traced_map;
pub(crate) mod wait_walk;
pub(crate) mod waiters;
