//! What standard output is: a terminal with a width and colours, or a pipe.

use std::env;
use std::io::{IsTerminal, stdout};

/// What a person would see of the results; nothing but plain text by default, as in a pipe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terminal {
    /// Columns; `None`: nothing is cut.
    pub width: Option<usize>,
    /// Whether to use colour.
    pub color: bool,
}

impl Terminal {
    /// Standard output, as it is.
    pub fn of_stdout() -> Self {
        Self { width: width(), color: color() }
    }
}

/// The columns of the terminal; `None` in a pipe, where nothing is cut.
fn width() -> Option<usize> {
    if !stdout().is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(stdout()).ok()?;
    // A terminal that does not know its width says 0.
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Whether to use colour: NO_COLOR wins, then CLICOLOR_FORCE, then whether it is a terminal.
fn color() -> bool {
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    if set("NO_COLOR") {
        return false;
    }
    if env::var_os("CLICOLOR_FORCE").is_some_and(|value| !value.is_empty() && value != "0") {
        return true;
    }
    stdout().is_terminal() && env::var_os("TERM").is_none_or(|term| term != "dumb")
}
