//! Arguments that mean nothing: exit 2, and what would mean something.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use aioinspect_tests::programs::{bin, run};

use crate::refused::{accepts, no_panic, refused, refuses};

/// Check that what cannot be a PID is a usage error that says what can, for every verb that takes one.
#[test]
fn no_pid() {
    for wrong in
        ["0", "-1", "-0", "abc", "", " 1", "1 ", "0x1", "4194305", "99999999999999999999", "1;2", "٣"]
    {
        for args in [&["check", wrong][..], &["dump", wrong], &["list", "-p", wrong]] {
            refuses(args, 2, &["a process id must be a number from 1 to 4194304"]);
        }
    }
    for wrong in ["1,", ",1", "1,x"] {
        refuses(&["list", "-p", wrong], 2, &["a process id must be a number from 1 to 4194304"]);
    }
}

/// Check that a missing, an unknown, and a surplus argument are usage errors that point to the help.
#[test]
fn unknown_arguments() {
    refuses(&["check"], 2, &["PID", "--help"]);
    refuses(&["dump"], 2, &["PID", "--help"]);
    refuses(&["show"], 2, &["FILE|DIR", "--help"]);
    refuses(&["frobnicate"], 2, &["frobnicate", "--help"]);
    refuses(&["list", "--frobnicate"], 2, &["--frobnicate", "--help"]);
    refuses(&["check", "1", "2"], 2, &["'2'", "--help"]);
    refuses(&["-p", "1", "check", "1"], 2, &["list"]);
    refuses(&["list", "--no-bpf", "--from", "x"], 2, &["--no-bpf", "--from"]);
    refuses(&["check", "1", "--from", "x", "--evidence", "y"], 2, &["--from", "--evidence"]);
}

/// Check that wrong times, CPU counts and ways to freeze are usage errors that show the right form.
#[test]
fn wrong_values() {
    for wrong in ["", "5x", "-1s", "1e9h", "NaN", "inf", "s"] {
        refuses(&["check", "1", &format!("--wait={wrong}")], 2, &["--wait"]);
        refuses(&["dump", "1", &format!("--freeze-timeout={wrong}")], 2, &["--freeze-timeout"]);
    }
    refuses(&["check", "1", "--wait", "5x"], 2, &["'5x'", "500ms"]);
    for wrong in [
        "",
        "cpus=",
        "cpus=0",
        "cpus=8193",
        "cpus=-1",
        "threads=4",
        "free=4",
        "cpus=1,free=x",
        "cpus=1,cpus=1",
    ] {
        for verb in ["check", "dump"] {
            refuses(&[verb, "1", &format!("--restore-on={wrong}")], 2, &[wrong, "cpus=N[,free=M]"]);
        }
    }
    refuses(&["dump", "1", "--freeze", "cold"], 2, &["'cold'", "ptrace", "none"]);
}

/// Check that headroom takes a number, and waits only for one, and only of a host that runs.
#[test]
fn headroom() {
    for wrong in ["", "x", "-1", "1.5", "18446744073709551616"] {
        refuses(&["headroom", &format!("--need={wrong}")], 2, &["--need"]);
    }
    refuses(&["headroom", "--wait", "5s"], 2, &["--need"]);
    refuses(&["headroom", "--need", "1", "--wait", "5s", "--from", "x"], 2, &["--wait", "--from"]);
    refuses(&["headroom", "--from", "/no/such/file"], 1, &["/no/such/file"]);
    refuses(&["headroom", "1"], 2, &["'1'", "--help"]);
}

/// Check that an unknown column is refused with the list of columns, and that none at all is not a table.
#[test]
fn unknown_columns() {
    let all = ["MAX_REQS", "IN_FLIGHT", "FINDINGS"];
    for wrong in ["FOO", "PID,FOO", "+FOO", "", "+", ",", "PID,,COMM", "PID;COMM"] {
        refuses(&["list", "-o", wrong], 2, &all);
        refuses(&["-o", wrong], 2, &all);
    }
    refuses(&["list", "-o", "PID,FOO"], 2, &["`FOO`"]);
    // Control characters of a name reach no terminal.
    refuses(&["list", "-o", "\u{1b}[31m"], 2, &["\\x1b[31m"]);
    accepts(&["list", "-o", "+FREE"]);
    accepts(&["list", "-o", "pid,max_reqs"]);
}

/// Check that a wrong expression is shown with a caret below what is wrong.
#[test]
fn wrong_expressions() {
    let caret = |expression: &str, wanted: &str| {
        let output = aioinspect_tests::programs::run_aioinspect(&["list", "-Q", expression]);
        refused(&output, 2, &["^"]);
        let lines: Vec<_> = output.stderr.lines().collect();
        assert_eq!(lines.len(), 3, "{output:?}");
        assert_eq!(lines[1].trim_start(), expression.trim_start(), "{output:?}");
        assert_eq!(lines[2].trim_end(), wanted, "{output:?}");
    };
    caret("FOO > 1", "  ^^^");
    caret("MAX_REQS >", "            ^");
    caret("MAX_REQS > 1 and FOO", "                   ^^^");
    for wrong in [
        "",
        "(",
        ")",
        "PID = ",
        "PID == 1 and",
        "COMM =~ \"(\"",
        "\"unfinished",
        "PID > \"x\"",
        "== ==",
        "1 2",
        "PID @ 1",
    ] {
        refuses(&["list", "-Q", wrong], 2, &["^"]);
    }
    let deep = format!("{}1{}", "(".repeat(50_000), ")".repeat(50_000));
    no_panic(&aioinspect_tests::programs::run_aioinspect(&["list", "-Q", &deep]));
    let nested = format!("{}PID == 1", "not ".repeat(1_000));
    refuses(&["list", "-Q", &nested], 2, &["nested", "^"]);
    let long = format!("COMM =~ \"{}\"", "(a{9}){9}".repeat(400));
    no_panic(&aioinspect_tests::programs::run_aioinspect(&["list", "-Q", &long]));
}

/// Check that a filter nobody passes is exit 3, with the empty table all the same.
#[test]
fn nothing_matched() {
    let output = aioinspect_tests::programs::run_aioinspect(&["list", "-Q", "PID == 1 and PID == 2"]);
    assert_eq!(output.code, 3, "{output:?}");
    assert!(output.stdout.starts_with("PID COMM") && output.stderr.is_empty(), "{output:?}");
}

/// Check that arguments which are no UTF-8 are refused or, as names of files, used and shown harmlessly.
#[test]
fn not_utf8() {
    let odd = OsStr::from_bytes(b"/nowhere/\xff\x1b[31m");
    for args in [&["check"][..], &["dump"], &["list", "-p"], &["list", "-Q"], &["list", "-o"], &["list"]] {
        let output = run(Command::new(bin("aioinspect")).args(args).arg(odd));
        refused(&output, 2, &[]);
        assert!(!output.stderr.contains('\u{1b}'), "{output:?}");
    }
    for args in [&["show"][..], &["list", "--from"], &["check", "--from"], &["dump", "--from"]] {
        let output = run(Command::new(bin("aioinspect")).args(args).arg(odd));
        refused(&output, 1, &["no file /nowhere/"]);
        assert!(!output.stderr.contains('\u{1b}'), "{output:?}");
    }
}
