//! On a terminal the table fits its width and has colours; in a pipe neither, unless asked for.

use std::io::Read;
use std::process::{Command, Stdio};

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::programs::{bin, run};

use crate::refused::can;
use crate::sandbox::pty;

/// Environment variables that decide about colour.
const DECIDING: [&str; 3] = ["NO_COLOR", "CLICOLOR_FORCE", "TERM"];

fn aioinspect(env: &[(&str, &str)]) -> Command {
    let mut command = Command::new(bin("aioinspect"));
    for name in DECIDING {
        command.env_remove(name);
    }
    command.env("TERM", "xterm").envs(env.iter().copied());
    command
}

/// What it writes on a terminal of that many columns.
fn on_terminal(columns: u16, env: &[(&str, &str)], args: &[&str]) -> String {
    let (mut terminal, other) = pty(columns);
    let mut command = aioinspect(env);
    command.args(args).stdin(Stdio::null()).stdout(other).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    // Ours is the only copy of the other end that is left: after the child, reading ends.
    drop(command);
    let mut text = Vec::new();
    // EIO is how a terminal says that nobody is at the other end.
    let _ = terminal.read_to_end(&mut text);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    String::from_utf8(text).unwrap().replace("\r\n", "\n")
}

fn in_pipe(env: &[(&str, &str)], args: &[&str]) -> String {
    let output = run(aioinspect(env).args(args));
    assert_eq!(output.code, 0, "{output:?}");
    output.stdout
}

/// The text without `ESC [ .. m`.
fn plain(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| all + part.split_once('m').map_or("", |(_, rest)| rest))
}

/// Check the width and the colours of a table whose FINDINGS are long.
#[test]
fn width_and_colour() {
    if !can("width_and_colour") {
        return;
    }
    let mut fixture = Fixture::spawn();
    let id = fixture.setup(8);
    fixture.run(&format!("poll {id:#x} 3"));
    fixture.run(&format!("forge {id:#x} magic 1"));
    fixture.run(&format!("mprotect {id:#x} ro"));
    let pid = fixture.pid().to_string();
    let args = ["list", "-p", &pid];

    let piped = in_pipe(&[], &args);
    assert!(!piped.contains('\u{1b}'), "{piped}");
    assert!(piped.contains("forged-header"), "{piped}");
    let whole = piped.lines().nth(1).unwrap_or_default().chars().count();

    // Numbers are never cut, so a very narrow terminal breaks lines; all but FINDINGS takes 67 columns.
    for columns in [76, 80, 100] {
        let text = on_terminal(columns, &[], &args);
        assert!(text.contains("\u{1b}["), "no colour: {text:?}");
        let text = plain(&text);
        let table: Vec<_> = text.lines().take_while(|line| !line.is_empty()).collect();
        assert_eq!(table.len(), 2, "{text}");
        assert!(usize::from(columns) < whole, "{columns} columns are enough: {piped}");
        assert!(table.iter().all(|line| line.chars().count() <= usize::from(columns)), "{columns}: {text}");
    }
    assert_eq!(plain(&on_terminal(500, &[], &args)).lines().nth(1), piped.lines().nth(1));
}

/// Check that NO_COLOR and a dumb terminal have none, that CLICOLOR_FORCE has it in a pipe, and NO_COLOR wins.
#[test]
fn who_decides() {
    if !can("who_decides") {
        return;
    }
    let mut fixture = Fixture::spawn();
    let id = fixture.setup(8);
    fixture.run(&format!("poll {id:#x} 3"));
    let pid = fixture.pid().to_string();
    for args in [&["list", "-p", &pid][..], &["doctor"]] {
        let coloured = |text: String| text.contains("\u{1b}[");
        assert!(coloured(on_terminal(100, &[], args)));
        assert!(coloured(on_terminal(100, &[("NO_COLOR", "")], args)));
        assert!(!coloured(on_terminal(100, &[("NO_COLOR", "1")], args)));
        assert!(!coloured(on_terminal(100, &[("TERM", "dumb")], args)));
        assert!(!coloured(in_pipe(&[], args)));
        assert!(!coloured(in_pipe(&[("CLICOLOR_FORCE", "0")], args)));
        assert!(coloured(in_pipe(&[("CLICOLOR_FORCE", "1")], args)));
        assert!(!coloured(in_pipe(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], args)));
    }
    // JSON is for programs, on a terminal too.
    assert!(!on_terminal(40, &[], &["list", "-J", "-p", &pid]).contains('\u{1b}'));
}
