//! The host and this process: clocks, files, signals, capabilities.

pub mod caps;
pub mod clock;
pub mod containers;
pub mod files;
pub mod logger;
pub mod own_usage;
pub mod page;
pub mod readiness;
pub(crate) mod realtime;
pub mod recording_files;
pub mod replace;
pub(crate) mod signals;
pub mod suspend;
pub mod syscall_cost;
pub mod system;
