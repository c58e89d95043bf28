//! `aioinspect doctor`: tries everything that `dump` needs, and says what fixes what is missing.

mod checks;
mod hooks;
mod host;
mod outcome;

use std::io::Write;

use crate::cli::DoctorArgs;
use crate::commands::exit::Exit;
use crate::commands::terminal::Terminal;
use aioinspect_render::doctor::{self, Status, dump_would_work};

/// Tries, prints.
pub(super) fn run(args: &DoctorArgs, terminal: Terminal, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let found = checks::all();
    let checks: Vec<_> = found.iter().map(|(check, _)| check.clone()).collect();
    if args.json {
        doctor::write_json(out, &checks)?;
    } else {
        doctor::write(out, &checks, terminal.color)?;
    }
    if dump_would_work(&checks) {
        return Ok(Exit::Fine);
    }
    let first = found.iter().find(|(check, _)| check.needed_for_dump && check.status == Status::Missing);
    Ok(first.map_or(Exit::Error, |(_, exit)| *exit))
}
