//! Streams that are closed, full, or have lost their reader: results are not lost unsaid, and a verdict stays a verdict.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::programs::{Output, bin, run};

use crate::refused::{can, refused};
use crate::sandbox::names_in;

/// Runs aioinspect through a shell that redirects it: `aioinspect ARGS REDIRECTION`.
fn redirected(args: &str, redirection: &str) -> Output {
    let script = format!("\"$0\" {args} {redirection}");
    run(Command::new("/bin/sh").args(["-c", &script]).arg(bin("aioinspect")))
}

/// A pipe that nobody reads any more.
fn without_reader() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn code_without_readers(args: &[&str]) -> Option<i32> {
    let mut command = Command::new(bin("aioinspect"));
    command.args(args).stdin(Stdio::null()).stdout(without_reader()).stderr(without_reader());
    command.status().unwrap().code()
}

/// Check that results which cannot be written are an error that names the stream.
#[test]
fn full() {
    for args in ["list", "list -J", "doctor", "--help", "--version", "list --help"] {
        refused(&redirected(args, ">/dev/full"), 1, &["standard output", "No space left"]);
    }
    if !can("full") {
        return;
    }
    let fixture = Fixture::spawn();
    let check = format!("check {} --freeze ptrace", fixture.pid());
    refused(&redirected(&check, ">/dev/full"), 1, &["standard output", "No space left"]);
}

/// Check that messages which cannot be written change no result.
#[test]
fn full_of_messages() {
    let output = redirected("list", "2>/dev/full");
    assert_eq!(output.code, 0);
    assert!(output.stdout.contains("aio-nr"));
    assert_eq!(redirected("list -o FOO", "2>/dev/full").code, 2);
    assert_eq!(redirected("check 4194304", "2>&-").code, 3);
}

/// Check that a closed stream is none: nothing that dump opens takes its place and gets the text.
#[test]
fn closed() {
    assert_eq!(redirected("list", ">&-").code, 0);
    assert_eq!(redirected("list", "<&- >&- 2>&-").code, 0);
    if !can("closed") {
        return;
    }
    let fixture = Fixture::spawn();
    let whole = tempfile::tempdir().unwrap();
    let dump = |dir: &std::path::Path| format!("dump {} --wait 30s -D {}", fixture.pid(), dir.display());
    assert_eq!(redirected(&dump(whole.path()), "").code, 0);
    let name = format!("mm-{}.img", fixture.pid());
    for closed in [">&-", "2>&-", "<&-", "<&- >&- 2>&-"] {
        let dir = tempfile::tempdir().unwrap();
        let output = redirected(&dump(dir.path()), closed);
        assert_eq!(output.code, 0, "{closed}: {output:?}");
        assert_eq!(names_in(dir.path()).len(), 2);
        assert_eq!(fs::read(dir.path().join(&name)).unwrap(), fs::read(whole.path().join(&name)).unwrap());
    }
}

/// Check that a reader who has had enough is no error, and gets whole lines until then.
#[test]
fn head() {
    if !can("head") {
        return;
    }
    let mut fixture = Fixture::spawn();
    // Far more than a pipe holds.
    fixture.run("setup-many 3000 1");
    let pid = fixture.pid().to_string();
    for format in ["-H", "-J"] {
        let mut command = Command::new(bin("aioinspect"));
        command.args(["list", format, "-o", "+OWNER,RING_LEN,HEAD,TAIL", "-p", &pid]).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        let mut lines = BufReader::with_capacity(1, child.stdout.take().unwrap());
        lines.read_line(&mut first).unwrap();
        drop(lines);
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!((child.wait().unwrap().code(), &*stderr), (Some(0), ""), "{format}");
        assert!(first.ends_with('\n'), "{first:?}");
    }
}

/// Check that a verdict is told by the exit code although nobody reads it: a script in a pipe is not told "idle".
#[test]
fn nobody_reads_the_verdict() {
    if !can("nobody_reads_the_verdict") {
        return;
    }
    let mut fixture = Fixture::spawn();
    let id = fixture.setup(8);
    fixture.run(&format!("poll {id:#x} 3"));
    let (pid, dir) = (fixture.pid().to_string(), tempfile::tempdir().unwrap());
    let dump = ["dump", &pid, "-D", dir.path().to_str().unwrap(), "--wait", "30s"];
    assert_eq!(code_without_readers(&["check", &pid]), Some(5));
    assert_eq!(code_without_readers(&["check", "-J", &pid]), Some(5));
    assert_eq!(code_without_readers(&dump[..4]), Some(5));
    assert_eq!(code_without_readers(&["check", "4194304"]), Some(3));
    assert_eq!(code_without_readers(&["frobnicate"]), Some(2));
    assert_eq!(code_without_readers(&["list"]), Some(0));
    assert_eq!(code_without_readers(&["--help"]), Some(0));
    assert_eq!(names_in(dir.path()), [""; 0]);
    fixture.run(&format!("cancel {id:#x} 3"));
    fixture.run(&format!("reap {id:#x} 3"));
    assert_eq!(code_without_readers(&dump), Some(0));
    assert_eq!(names_in(dir.path()).len(), 2);
}

/// Check that what is on stdin is never read.
#[test]
fn stdin_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("input");
    fs::write(&path, "line\n").unwrap();
    let mut input = File::open(&path).unwrap();
    let status = Command::new(bin("aioinspect"))
        .args(["list", "--no-bpf"])
        .stdin(input.try_clone().unwrap())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let mut rest = String::new();
    input.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "line\n");
}
