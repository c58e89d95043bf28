//! What the suites share: the fixture process and its driver, random sequences of states, and where the
//! programs under test are found.

pub mod architecture;
pub mod cgroup;
pub mod criu;
pub mod fixture;
pub mod host;
pub mod kernel_log;
pub mod many;
pub mod pages;
pub mod privileges;
pub mod prng;
pub mod programs;
pub mod random;
pub mod record;
pub mod serving;
pub mod strand;
pub mod truth;
pub mod watch;
pub mod yard;
