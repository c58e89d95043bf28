//! What one try of `doctor` came to.

use aioinspect_render::doctor::{Check, Status};

use crate::commands::exit::Exit;

/// A check, and the exit code it deserves if it is what fails.
pub(super) type Outcome = (Check, Exit);

/// A check without a fix, which dump can do without.
pub(super) fn check(name: &str, status: Status, detail: impl Into<String>) -> Check {
    Check { name: name.to_owned(), status, detail: detail.into(), fix: None, needed_for_dump: false }
}

/// The same, but dump needs it.
pub(super) fn needed(check: Check) -> Check {
    Check { needed_for_dump: true, ..check }
}

/// The same, with the line that fixes it.
pub(super) fn fixed_by(check: Check, fix: &str) -> Check {
    Check { fix: Some(fix.to_owned()), ..check }
}
