//! Giving up every capability, once nothing needs them any more.

use std::io;

use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities, set_no_new_privs,
};

/// Gives up all capabilities of the calling thread, for good, and of the threads it will start.
///
/// What is open stays open: attached programs run on, maps are read, iterators are run.
pub fn drop_all() -> io::Result<()> {
    set_no_new_privs(true)?;
    clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    Ok(())
}
