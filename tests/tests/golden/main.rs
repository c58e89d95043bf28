//! What aioinspect prints, word for word: captures replayed through every verb, images of CRIU, help, and the documents.
//!
//! Needs no privileges and no eBPF. `AIOINSPECT_BLESS=1 cargo test -p aioinspect-tests --test golden` writes what is
//! expected anew: read the difference before keeping it.

#[cfg(test)]
mod amend;
#[cfg(test)]
mod blessed;
#[cfg(test)]
mod captures;
#[cfg(test)]
mod compatibility;
#[cfg(test)]
mod criu;
#[cfg(test)]
mod deploy;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod fields;
#[cfg(test)]
mod help;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod machine;
mod metrics;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod restore;
#[cfg(test)]
mod session;
