//! The kernel's table of contexts and who waits for those that are in no table: the iterators run, their records decoded.

pub mod cpu_distances;
pub mod probe;
pub mod records;
pub mod ring_walk;
pub mod traced_map;
pub mod wait_walk;
pub mod waiters;
