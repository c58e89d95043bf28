//! The watch over the live host: records of the programs become events.

mod callers;
mod dying;
mod event_records;
pub mod watcher;
