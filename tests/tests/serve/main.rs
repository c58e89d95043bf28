//! `aioinspect serve` among the programs it is made for: Prometheus, browsers, curl, systemd; and those that mean it ill.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[cfg(test)]
mod ages;
mod browser;
mod client;
mod crowd;
mod curl;
#[cfg(test)]
mod dying;
mod ends;
mod events;
mod exposed;
mod history;
mod http;
mod limits;
mod owners;
mod privileges;
#[cfg(test)]
mod prometheus;
mod safe;
mod sockets;
mod submits;
