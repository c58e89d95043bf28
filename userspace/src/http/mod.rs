//! The server of `serve` and `watch --metrics`: who may ask, what is answered, and how much of us one client can take.
//!
//! What is told comes from a [`Site`]; whoever watches the host answers its questions.

mod body;
mod events;
mod guard;
mod patience;
mod routes;
mod server;
mod site;

pub use events::EventLog;
pub use guard::Access;
pub use server::{Limits, Server};
pub use site::{Ask, Reading, Site};
