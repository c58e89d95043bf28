//! Targets that exit, or become another program, at any step of a dump.

use std::time::Duration;

use aioinspect_parse::proc::stat::Stat;
use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::programs::{Output, run_aioinspect};
use serde_json::Value;

use crate::victim::{Delays, Left, can, dump, finish, sound, take_files, typical};

const ROUNDS: u32 = 60;

/// So many threads end one after the other, each with files that a dump reads.
const CROWD: u32 = 300;

/// How long a dump takes of a target as these tests have it.
fn dump_time(target: impl Fn() -> Fixture) -> Duration {
    let (fixture, dir) = (target(), tempfile::tempdir().unwrap());
    typical(|| {
        assert_eq!(finish(&mut dump(fixture.pid(), dir.path())).code, 0);
        take_files(dir.path(), fixture.pid());
    })
}

fn target() -> Fixture {
    with_threads(4)
}

fn with_threads(threads: u32) -> Fixture {
    let mut fixture = Fixture::spawn();
    fixture.run("setup-many 3 16");
    fixture.run(&format!("threads {threads} sleep"));
    fixture
}

/// Checks that a dump of what vanished succeeded before, or says what happened: it is gone, or waits for its contexts on its way out.
fn told(output: &Output, words: &[&str]) {
    sound(output);
    match output.code {
        0 => {}
        3 => assert!(words.iter().any(|word| output.stderr.contains(word)), "{output:?}"),
        5 => assert!(output.stderr.contains("the process exits or execs"), "{output:?}"),
        _ => panic!("{output:?}"),
    }
}

/// Check that a target that exits meanwhile is dumped whole or is gone.
#[test]
fn exits() {
    if can("exits") {
        exit_meanwhile("exits", target);
    }
}

/// Check the same of one whose threads take their time to end: while some of them live, it is neither gone nor can it be read.
#[test]
fn a_crowd_exits() {
    if can("a_crowd_exits") {
        exit_meanwhile("a_crowd_exits", || with_threads(CROWD));
    }
}

fn exit_meanwhile(name: &str, target: impl Fn() -> Fixture) {
    let (whole, mut delays) = (dump_time(&target), Delays::new(name));
    let dir = tempfile::tempdir().unwrap();
    let mut codes = [0_u32; 2];
    for _ in 0..ROUNDS {
        let mut fixture = target();
        let pid = fixture.pid();
        let child = dump(pid, dir.path()).spawn().unwrap();
        std::thread::sleep(delays.below(whole));
        fixture.send("exit 7");
        let output = output_of(child);
        assert_eq!(fixture.await_end(), Some(7));
        told(&output, &["no process", "is a zombie", "is gone", "no such process"]);
        let left = take_files(dir.path(), pid);
        assert_eq!(left, if output.code == 0 { Left::Both } else { Left::Nothing }, "{output:?}");
        codes[usize::from(output.code != 0)] += 1;
    }
    println!("{name}: {} dumped, {} gone", codes[0], codes[1]);
    assert!(codes[1] > 0, "none vanished in time");
}

/// Check that a process which ends while check looks without touching is judged or gone.
#[test]
fn exits_while_checked() {
    if !can("exits_while_checked") {
        return;
    }
    let mut delays = Delays::new("exits_while_checked");
    let fixture = target();
    let whole = typical(|| _ = run_aioinspect(&["check", &fixture.pid().to_string()]));
    for _ in 0..ROUNDS {
        let mut fixture = target();
        let mut command = std::process::Command::new(aioinspect_tests::programs::bin("aioinspect"));
        command.args(["check", &fixture.pid().to_string()]);
        let child = piped(&mut command).spawn().unwrap();
        std::thread::sleep(delays.below(whole));
        fixture.send("exit 7");
        let output = output_of(child);
        sound(&output);
        // Who is about to exit runs.
        assert!([0, 3, 5].contains(&output.code), "{output:?}");
        assert_eq!(fixture.await_end(), Some(7));
    }
}

/// Check that a target that executes another program meanwhile is dumped as one of the two, never as a mixture.
#[test]
fn executes() {
    if !can("executes") {
        return;
    }
    let (whole, mut delays) = (dump_time(target), Delays::new("executes"));
    let dir = tempfile::tempdir().unwrap();
    let mut images = Images::default();
    for _ in 0..ROUNDS {
        let mut fixture = target();
        let before = start_stack(&fixture);
        let child = dump(fixture.pid(), dir.path()).spawn().unwrap();
        std::thread::sleep(delays.below(whole));
        fixture.run("exec-self");
        images.count(&mut fixture, before, &output_of(child), dir.path());
    }
    println!("executes: {images:?}");
}

/// Check the same of one that executes at the moment the dump lets it go: what the image has beside the contexts is read outside the freeze.
#[test]
fn executes_when_let_go() {
    if !can("executes_when_let_go") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut images = Images::default();
    for _ in 0..ROUNDS {
        let mut fixture = target();
        let before = start_stack(&fixture);
        fixture.send("exec-when-held");
        let output = output_of(dump(fixture.pid(), dir.path()).spawn().unwrap());
        fixture.receive("exec-when-held").unwrap();
        images.count(&mut fixture, before, &output, dir.path());
    }
    println!("executes_when_let_go: {images:?}");
}

/// Images of the program before an exec, of the one after it, and dumps without any.
#[derive(Debug, Default)]
struct Images {
    old: u32,
    new: u32,
    none: u32,
}

impl Images {
    /// Checks and counts one dump; `before`: the stack of the program that is gone.
    fn count(&mut self, fixture: &mut Fixture, before: u64, output: &Output, dir: &std::path::Path) {
        let pid = fixture.pid();
        let after = start_stack(fixture);
        assert_ne!(before, after, "the two programs cannot be told apart");
        told(output, &["executed another program", "is gone", "no process"]);
        if output.code == 0 {
            match image(dir, pid) {
                (stack, 3) if stack == before => self.old += 1,
                (stack, 0) if stack == after => self.new += 1,
                (stack, rings) => panic!("{rings} rings, stack {stack:#x}: not {before:#x} nor {after:#x}"),
            }
            assert_eq!(take_files(dir, pid), Left::Both);
        } else {
            assert_eq!(take_files(dir, pid), Left::Nothing);
            self.none += 1;
        }
        // The new program is not harmed either.
        fixture.setup(4);
        crate::victim::assert_free(pid);
        assert_eq!(fixture.truth().contexts.len(), 1);
    }
}

/// Where a program's stack begins: random for each execution.
fn start_stack(fixture: &Fixture) -> u64 {
    Stat::parse(fixture.proc("stat").as_bytes()).unwrap().layout.start_stack
}

/// The stack and the number of rings in an image, each of which must lie in a mapping of the same image.
fn image(dir: &std::path::Path, pid: u32) -> (u64, usize) {
    let path = dir.join(format!("mm-{pid}.img"));
    let shown = run_aioinspect(&["show", "-J", path.to_str().unwrap()]);
    let json: Value = serde_json::from_str(&shown.stdout).unwrap();
    let entry = &json["entries"][0];
    let number = |value: &Value| match value.as_str() {
        Some(text) => u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap(),
        None => value.as_u64().unwrap(),
    };
    let starts: Vec<_> = entry["vmas"].as_array().unwrap().iter().map(|vma| number(&vma["start"])).collect();
    let none = Vec::new();
    let rings = entry["aios"].as_array().unwrap_or(&none);
    for ring in rings {
        assert!(starts.contains(&number(&ring["id"])), "a ring without a mapping: {ring}");
    }
    (number(&entry["mm_start_stack"]), rings.len())
}

fn piped(command: &mut std::process::Command) -> &mut std::process::Command {
    use std::process::Stdio;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped())
}

fn output_of(child: std::process::Child) -> Output {
    let output = child.wait_with_output().unwrap();
    Output {
        code: output.status.code().unwrap_or(i32::MIN),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}
