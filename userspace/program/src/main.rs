//! The command `aioinspect`.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use aioinspect::cli::Cli;
use aioinspect::commands::streams::Stream;
use aioinspect::commands::{Exit, Terminal, exit_of, has_lines, run};
use aioinspect_kernel::look::trial_child::{WAIT_ARGUMENT, wait};
use aioinspect_render::escape::escape;
use clap::Parser;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == WAIT_ARGUMENT) {
        wait();
        return ExitCode::SUCCESS;
    }
    let mut err = Stream::messages(io::stderr());
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => return ExitCode::from(usage(&answer, &mut err) as u8),
    };
    aioinspect_kernel::host::logger::start(cli.verbose);
    // The buffer is inside: what is left in it when the reader goes away is not tried again.
    let mut out = Stream::results(BufWriter::new(io::stdout()));
    let result = run(cli, Terminal::of_stdout(), &mut out, &mut err).and_then(|exit| {
        out.flush()?;
        Ok(exit)
    });
    let exit = match result {
        Ok(exit) => exit,
        Err(error) => {
            // What was found before the error is worth showing, and its own failure says nothing new.
            let _ = out.flush();
            let said = with_causes(&error);
            let said = if has_lines(&error) { said } else { said.replace('\n', "\\n") };
            complain(&mut err, &printable(&said));
            exit_of(&error)
        }
    };
    ExitCode::from(exit as u8)
}

/// What clap answers: help and version, which are results, or what is wrong with the arguments, in our words.
fn usage(answer: &clap::Error, err: &mut dyn Write) -> Exit {
    if answer.use_stderr() {
        let text = answer.render().to_string();
        complain(err, &printable(text.strip_prefix("error: ").unwrap_or(&text).trim_end()));
        return Exit::Usage;
    }
    match answer.print() {
        Ok(()) => Exit::Fine,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Fine,
        Err(error) => {
            complain(err, &format!("cannot write to standard output: {error}"));
            Exit::Error
        }
    }
}

fn complain(err: &mut dyn Write, what: &str) {
    // Nobody to tell if that fails too.
    let _ = writeln!(err, "aioinspect: {what}");
}

/// The chain of causes; a cause that the message before it quotes is not said twice.
fn with_causes(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |said, cause| match &*said {
        "" => cause,
        said if said.ends_with(&cause) => said.to_owned(),
        said => format!("{said}: {cause}"),
    })
}

/// Without control characters but the line ends we put in ourselves. What is escaped already stays as it is.
fn printable(text: &str) -> String {
    let piece = |piece: &str| escape(piece.as_bytes());
    let line = |line: &str| line.split('\\').map(piece).collect::<Vec<_>>().join("\\");
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}
