//! One command, run as `main` runs it, and everything it said.

use std::fmt::Write;
use std::path::Path;

use aioinspect::cli::Cli;
use aioinspect::commands::{Terminal, exit_of, run};
use clap::Parser;

/// What a command said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// Results: what it wrote to standard output.
    pub stdout: String,
    /// Everything else.
    pub stderr: String,
    /// Exit code.
    pub code: u8,
}

/// Runs `aioinspect ARGS` in this process, without a terminal.
pub(crate) fn aioinspect(args: &[&str]) -> Said {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let cli =
        Cli::try_parse_from([&["aioinspect"], args].concat()).unwrap_or_else(|e| panic!("{args:?}: {e}"));
    let exit = run(cli, Terminal::default(), &mut out, &mut err).unwrap_or_else(|error| {
        err.extend_from_slice(format!("aioinspect: {error:#}\n").as_bytes());
        exit_of(&error)
    });
    let said = Said {
        stdout: String::from_utf8(out).unwrap_or_else(|error| panic!("{args:?}: {error}")),
        stderr: String::from_utf8(err).unwrap_or_else(|error| panic!("{args:?}: {error}")),
        code: exit as u8,
    };
    for text in [&said.stdout, &said.stderr] {
        let control = text.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(control, None, "{args:?} prints a control character: {text:?}");
        assert!(text.is_empty() || text.ends_with('\n'), "{args:?}: the last line does not end: {text:?}");
    }
    said
}

/// Commands and answers, as a person would see them: what went to standard error after `2>`, then the exit code.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// So far.
    pub text: String,
    hidden: Vec<(String, &'static str)>,
}

impl Session {
    /// A session in which a directory is shown as something else: texts must not depend on where the checkout is.
    pub(crate) fn hiding(directories: &[(&Path, &'static str)]) -> Session {
        let hidden = directories.iter().map(|(path, shown)| (path.display().to_string(), *shown));
        Session { text: String::new(), hidden: hidden.collect() }
    }

    /// Runs one command.
    pub(crate) fn run(&mut self, args: &[&str]) -> Said {
        let said = aioinspect(args);
        let quoted =
            args.iter().map(|arg| if arg.contains(' ') { format!("'{arg}'") } else { (*arg).to_owned() });
        let mut text = format!("$ aioinspect {}\n{}", quoted.collect::<Vec<_>>().join(" "), said.stdout);
        for line in said.stderr.lines() {
            text.push_str("2> ");
            text.push_str(line);
            text.push('\n');
        }
        for (path, shown) in &self.hidden {
            text = text.replace(path, shown);
        }
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(&text);
        let _ = writeln!(self.text, "exit {}", said.code);
        said
    }
}
