//! What aioinspect costs, against what one would do without it; both measured in the same run, turn by turn.
//!
//! `bench [--runs N] [census] [pause] [list] [watch] [serve]`, as root; all of them if none is named. Nothing here passes or fails: the
//! machine decides the figures, and docs/performance.md says what they mean.

mod census;
mod clocks;
mod farm;
mod figures;
mod grep;
mod list;
mod naive_loader;
mod observer;
mod others;
mod pause;
mod plain_reader;
mod report;
mod serve;
mod spawned;
mod watch;

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

/// Prints figures of that many runs.
type Measurement = fn(&mut dyn Write, u32) -> Result<()>;

/// The measurements by name, and how often each turn is taken if nobody says.
const ALL: [(&str, Measurement, u32); 5] = [
    ("census", census::run, 30),
    ("pause", pause::run, 40),
    ("list", list::run, 15),
    ("watch", watch::run, 15),
    ("serve", serve::run, 20),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.split_first() {
        Some((first, rest)) if first == spawned::RUN_ONE => spawned::run_one(rest),
        Some((first, rest)) if first == naive_loader::LOAD => naive_loader::load(rest),
        _ => measure(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody to tell if that fails too.
            let _ = writeln!(std::io::stderr(), "bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &[String]) -> Result<()> {
    let mut runs = None;
    let mut names = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--runs" => {
                runs = Some(args.next().and_then(|n| n.parse().ok()).context("--runs needs a number")?);
            }
            name if ALL.iter().any(|(known, ..)| *known == name) => names.push(name),
            other => bail!(
                "there is no {other:?}; usage: bench [--runs N] [census] [pause] [list] [watch] [serve]"
            ),
        }
    }
    if !aioinspect_tests::programs::is_root() {
        bail!("needs root: it loads BPF programs and stops processes of its own");
    }
    let out = &mut std::io::stdout().lock();
    report::host(out)?;
    for (name, run, default_runs) in ALL {
        if names.is_empty() || names.contains(&name) {
            run(out, runs.unwrap_or(default_runs)).with_context(|| name.to_owned())?;
        }
    }
    Ok(())
}
