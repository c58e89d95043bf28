//! `aioinspect doctor`: judges the host, then tries everything that `dump` needs, and says what fixes what is wrong or missing.

mod checks;
mod hooks;
mod host;
mod looks;
mod outcome;

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use crate::cli::DoctorArgs;
use crate::commands::exit::Exit;
use crate::commands::saved;
use crate::commands::terminal::Terminal;
use aioinspect_kernel::look::evidence_source::{Recorded, Source, SourceError};
use aioinspect_kernel::look::live::Live;
use aioinspect_model::host_verdict::judge;
use aioinspect_model::known;
use aioinspect_render::doctor::{self, Check, Host, Status, dump_would_work};

use looks::Looked;

/// Looks, tries, prints. How the host is changes no exit code: `headroom --need` has one for that.
pub(super) fn run(args: &DoctorArgs, terminal: Terminal, out: &mut dyn Write) -> anyhow::Result<Exit> {
    if let Some(path) = &args.from {
        return recorded(path, args.json, out);
    }
    let mut live = Live::new(true, 0);
    let looked = looked(&mut live, args.r#for);
    let notes = live.notes();
    // The probe of the looks is not needed any more: what is tried begins without.
    drop(live);
    if !args.json {
        with_host(looked.as_ref(), &notes, |host| doctor::write_host(out, &host))?;
        writeln!(out)?;
        out.flush()?;
    }
    let found = checks::all();
    let checks: Vec<Check> = found.iter().map(|(check, _)| check.clone()).collect();
    if args.json {
        with_host(looked.as_ref(), &notes, |host| doctor::write_json(out, &host, Some(&checks)))?;
    } else {
        doctor::write(out, &checks, terminal.color)?;
    }
    if dump_would_work(&checks) {
        return Ok(Exit::Fine);
    }
    let first = found.iter().find(|(check, _)| check.needed_for_dump && check.status == Status::Missing);
    Ok(first.map_or(Exit::Error, |(_, exit)| *exit))
}

/// Judges an evidence. What this host can do is no part of it.
fn recorded(path: &Path, json: bool, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let evidence = saved::read(path)?;
    let notes = known::notes(&evidence.lacks);
    let looked = looks::once(&mut Recorded(evidence));
    with_host(looked.as_ref(), &notes, |host| {
        if json { doctor::write_json(out, &host, None) } else { doctor::write_host(out, &host) }
    })?;
    Ok(Exit::Fine)
}

fn looked(source: &mut dyn Source, time: Option<Duration>) -> Result<Looked, SourceError> {
    match time {
        Some(time) => looks::over(source, time),
        None => looks::once(source),
    }
}

/// Hands on what is said of the host.
fn with_host<T>(
    looked: Result<&Looked, &SourceError>,
    notes: &[String],
    tell: impl FnOnce(Host<'_>) -> T,
) -> T {
    match looked {
        Ok(looked) => tell(Host::Judged(&judge(&looked.picture, looked.compared.clone()), notes)),
        Err(error) => tell(Host::Unread(&error.to_string())),
    }
}
