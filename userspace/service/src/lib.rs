//! The server of `serve` and `watch --metrics`: where it listens, who may ask, what is answered.

#![forbid(unsafe_code)]
#![warn(unreachable_pub)]

pub mod http;
pub mod notify;
pub mod sockets;
pub mod tls;
pub mod users;
pub mod web_config;
