//! Why a command could not be done.

use std::io;

use serde_json::{Value, json};

/// What went wrong, and the errno behind it; 0 where the fixture itself refused.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    errno: i32,
}

/// What a command answers.
pub(crate) type Done = Result<Value, Failure>;

impl Failure {
    /// The fixture's own refusal: the command makes no sense in this state.
    pub(crate) fn refused(what: impl Into<String>) -> Self {
        Failure { what: what.into(), errno: 0 }
    }

    /// A system call failed.
    pub(crate) fn os(what: &str, error: &io::Error) -> Self {
        Failure { what: format!("{what}: {error}"), errno: error.raw_os_error().unwrap_or(0) }
    }

    /// A system call has just failed, and `errno` is still set.
    pub(crate) fn last(what: &str) -> Self {
        Failure::os(what, &io::Error::last_os_error())
    }

    /// The errno; 0 where the fixture itself refused.
    pub(crate) fn errno(&self) -> i32 {
        self.errno
    }

    /// The answer's line.
    pub(crate) fn to_json(&self) -> Value {
        json!({"error": self.what, "errno": self.errno})
    }
}

/// Names the step at which an I/O error occurred.
pub(crate) trait At<T> {
    /// Turns the error into a failure of the step `what`.
    fn at(self, what: &str) -> Result<T, Failure>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, what: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure::os(what, &error))
    }
}
