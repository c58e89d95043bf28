//! The environment of this process: what is for us alone and not for our children.

#![expect(unsafe_code, reason = "the environment is changed before there are threads")]

use std::ffi::OsString;

/// The value of a variable, which is taken out of the environment; `None` if there is none.
///
/// To be called while the process has one thread.
pub fn take_variable(name: &str) -> Option<OsString> {
    let value = std::env::var_os(name)?;
    // SAFETY: by the rule above no other thread reads the environment.
    unsafe { std::env::remove_var(name) };
    Some(value)
}
