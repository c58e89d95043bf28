//! End to end, through the binary: real states of a real kernel in, exit code, words and JSON out.
//!
//! Needs root; run by `cargo xtask test`, also in virtual machines. Where a state has to be asked for hundreds of times, or held at an
//! instant, the library is asked instead.

#[cfg(test)]
mod alike;
#[cfg(test)]
mod blocked;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod dump;
#[cfg(test)]
mod dying;
#[cfg(test)]
mod filters;
#[cfg(test)]
mod findings;
#[cfg(test)]
mod forged;
#[cfg(test)]
mod ghosts;
#[cfg(test)]
mod group;
#[cfg(test)]
mod headroom;
#[cfg(test)]
mod history;
#[cfg(test)]
mod list;
#[cfg(test)]
mod nr_req;
#[cfg(test)]
mod other_io;
#[cfg(test)]
mod processes;
mod replay;
#[cfg(test)]
mod restore;
#[cfg(test)]
mod shared;
#[cfg(test)]
mod splice;
#[cfg(test)]
mod starting;
#[cfg(test)]
mod stranded;
#[cfg(test)]
mod tool;
#[cfg(test)]
mod unsettled;
#[cfg(test)]
mod wait;
