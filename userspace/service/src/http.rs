//! The server of `serve` and `watch --metrics`: who may ask, what is answered, and how much of us one client can take.
//!
//! What is told comes from a [`Site`]; whoever watches the host answers its questions.

mod body;
mod events;
mod guard;
mod questions;
mod routes;
mod server;

pub use crate::http::events::EventLog;
pub use crate::http::guard::Access;
pub use crate::http::questions::{Ask, Reading, Site};
pub use crate::http::server::{Limits, Server};
