//! What aioinspect knows and how it judges: pure, no I/O, no clock, no unsafe.

#![forbid(unsafe_code)]
#![warn(unreachable_pub)]

pub mod amendment;
pub mod architecture;
pub mod awaited;
pub mod births;
pub mod call_counts;
pub mod container_names;
pub mod cpus;
pub mod difference;
pub mod errno;
pub mod event;
pub mod event_batch;
pub mod event_rows;
pub mod evidence;
pub mod failure_fold;
pub mod finding;
pub mod groups;
pub mod header;
pub mod headroom;
pub mod history;
pub mod holders;
pub mod host_verdict;
pub mod image;
pub mod judged;
pub mod kioctx;
pub mod known;
pub mod not_looked_at;
pub mod nr_req;
pub mod owner;
pub mod owner_growth;
pub mod owner_sums;
pub mod picture;
pub mod reconcile;
pub mod restore_fit;
pub mod restored;
mod series_limit;
pub mod setup_failure;
pub mod submit_counts;
pub mod submit_failure;
pub mod trend;
pub mod units;
pub mod verdict;
pub mod waits;
pub mod written_ring;

#[cfg(any(test, feature = "specimen"))]
#[expect(
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "tests of other crates use it, and a test may panic"
)]
pub mod specimen;
