//! One file a verb: the order of its steps, and nothing else.

mod amend;
mod check;
mod criu_hook;
mod doctor;
mod dump;
mod exit;
mod generated;
mod headroom;
mod list;
mod publisher;
mod restore;
mod saved;
mod serve;
mod settle;
mod show;
pub mod streams;
mod terminal;
mod watch;

use std::io::Write;

use crate::cli::{Cli, ListArgs, Verb};
use crate::commands::exit::UsageError;
use aioinspect_model::known::{self, Lack};
use aioinspect_render::escape::escaped;

pub use crate::commands::exit::{Exit, exit_of, has_lines};
pub use crate::commands::terminal::Terminal;

/// Runs what was asked. Results go to `out`, which is shown on `terminal`; everything else to `err`.
pub fn run(cli: Cli, terminal: Terminal, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<Exit> {
    let log_level = cli.verbose;
    if cli.verb.is_some() && cli.list != ListArgs::default() {
        return Err(UsageError(
            "write options of `list` after the verb: `aioinspect list OPTIONS`".to_owned(),
        )
        .into());
    }
    match cli.verb {
        None => list::run(&cli.list, log_level, terminal, out, err),
        Some(Verb::List(args)) => list::run(&args, log_level, terminal, out, err),
        Some(Verb::Check(args)) => check::run(&args, log_level, out, err),
        Some(Verb::CriuHook(args)) => criu_hook::run(&args, log_level, out),
        Some(Verb::Dump(args)) => dump::run(&args, log_level, out, err),
        Some(Verb::Amend(args)) => amend::run(&args, out),
        Some(Verb::Watch(args)) => watch::run(&args, log_level, terminal, out, err),
        Some(Verb::Headroom(args)) => headroom::run(&args, log_level, out, err),
        Some(Verb::Show(args)) => show::run(&args, out),
        Some(Verb::Serve(args)) => serve::run(&args, log_level, err),
        Some(Verb::Completions(args)) => generated::completions(&args, out),
        Some(Verb::Man(args)) => generated::man(&args, out, err),
        Some(Verb::Doctor(args)) => doctor::run(&args, terminal, out),
    }
}

/// Tells the user, on standard error, what could not be seen.
fn say(err: &mut dyn Write, notes: &[String]) -> std::io::Result<()> {
    notes.iter().try_for_each(|note| writeln!(err, "aioinspect: {note}"))
}

/// Tells the user which columns show less because the kernel does not tell a number. A file may hold any text as the reason.
fn say_lacks(err: &mut dyn Write, lacks: &[Lack]) -> std::io::Result<()> {
    let notes = known::notes(lacks);
    notes.iter().try_for_each(|note| writeln!(err, "aioinspect: {}", escaped(note.as_bytes())))
}

/// aya-log's level for a number of `-v`: off, info, trace.
fn bpf_log_level(verbose: u8) -> u8 {
    match verbose {
        0 => 0,
        1 => 4,
        _ => 5,
    }
}
