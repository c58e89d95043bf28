//! The command `aioinspect`.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use aioinspect::cli::Cli;
use aioinspect::commands::{Exit, exit_of, run};
use aioinspect::output::escape::escape;
use aioinspect::sys::trial_child::{WAIT_ARGUMENT, wait};
use clap::Parser;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == WAIT_ARGUMENT) {
        wait();
        return ExitCode::SUCCESS;
    }
    let cli = Cli::parse();
    aioinspect::sys::logger::start(cli.verbose);
    let mut out = BufWriter::new(io::stdout());
    let mut err = io::stderr();
    let result = run(cli, &mut out, &mut err).and_then(|exit| {
        out.flush()?;
        Ok(exit)
    });
    let exit = match result {
        Ok(exit) => exit,
        Err(error) if is_broken_pipe(&error) => Exit::Fine,
        Err(error) => {
            // Nobody to tell if that fails too.
            let _ = out.flush();
            let _ = writeln!(err, "aioinspect: {}", one_line(&error));
            exit_of(&error)
        }
    };
    ExitCode::from(exit as u8)
}

/// Whoever read our output has had enough.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |cause: &io::Error| cause.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(broken))
}

/// The chain of causes, without control characters but the line ends we put in ourselves.
fn one_line(error: &anyhow::Error) -> String {
    format!("{error:#}").split('\n').map(|line| escape(line.as_bytes())).collect::<Vec<_>>().join("\n")
}
