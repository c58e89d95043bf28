//! What people and programs read: prints what the model holds into a handed-in writer, or returns it as text or JSON. Pure.

#![forbid(unsafe_code)]
#![warn(unreachable_pub)]

pub mod amendment;
pub mod count;
pub mod difference;
pub mod doctor;
pub mod escape;
pub mod event_json;
pub mod event_line;
pub mod fields;
pub mod filter;
mod footer;
pub mod group_verdict;
pub mod groups;
pub mod growth;
pub mod headroom;
pub mod history_json;
mod holder;
pub mod json;
pub mod listing;
pub mod metrics;
pub mod metrics_list;
pub mod moment;
pub mod owner_name;
pub mod page;
pub mod restore_fit;
pub mod screen;
pub mod show;
pub mod table;
mod time;
pub mod verdict;

#[cfg(test)]
mod event_specimens;
