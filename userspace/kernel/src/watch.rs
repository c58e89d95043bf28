//! The watch over the live host: records of the programs become events.

pub mod callers;
pub mod dying;
pub mod event_records;
pub mod watcher;
