//! Pure: prints what the model holds into a handed-in writer, or returns it as text or JSON.

pub mod columns;
pub mod doctor;
pub mod escape;
pub mod event_json;
pub mod event_line;
#[cfg(test)]
mod event_specimens;
pub mod filter;
mod filter_lex;
mod filter_parse;
mod footer;
pub mod headroom;
pub mod json;
pub mod metrics;
pub mod metrics_list;
mod owner_label;
pub mod page;
pub mod screen;
pub mod show;
mod show_evidence;
mod show_image;
mod show_json;
pub mod table;
mod time;
pub mod verdict;
