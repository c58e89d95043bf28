//! Failures that repeat, as people read them: few lines, and every call in them.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::host::aio_max_nr;
use aioinspect_tests::programs::{bin, is_root, skip};
use rustix::process::{Pid, Signal, kill_process};

/// A watch that writes lines.
struct Lines(Child);

impl Lines {
    fn start(args: &[&str]) -> Lines {
        let mut command = Command::new(bin("aioinspect"));
        command.arg("watch").args(args).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut said).unwrap();
        assert!(said.starts_with("aioinspect: watching"), "{args:?}: {said}");
        Lines(child)
    }

    /// Ends it as Ctrl-C does; what it wrote.
    fn end(mut self) -> Vec<String> {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        let mut out = self.0.stdout.take().unwrap();
        let text = thread::spawn(move || {
            let mut text = String::new();
            out.read_to_string(&mut text).map(|_| text)
        });
        kill_process(pid, Signal::INT).unwrap();
        assert_eq!(self.0.wait().unwrap().code(), Some(0));
        text.join().unwrap().unwrap().lines().map(str::to_owned).collect()
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How many calls a line stands for, and how many events it says were missed.
fn calls_in(line: &str) -> (u64, u64) {
    let number = |text: &str| text.split(' ').next().unwrap().replace(',', "").parse::<u64>().unwrap();
    let count = match line.split_once(": x ") {
        Some((_, rest)) => number(rest),
        None if line.contains(": stopped: ") => 0,
        None if line.contains(" setup-failed ") => 1,
        None => return (0, number(line.split_once(" lost ").unwrap().1.trim_start())),
    };
    (count, 0)
}

fn calls(lines: &[String]) -> (u64, u64) {
    lines.iter().map(|line| calls_in(line)).fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1))
}

/// Check a program that retries all the time, with and without a pause: the first failure in full, then a few lines, the last of them at
/// Ctrl-C in the midst; together they have every call, or it is said that events were missed.
#[test]
fn a_program_that_retries() {
    if !is_root() {
        return skip("a_program_that_retries", "needs root (CAP_BPF, CAP_PERFMON)");
    }
    let n = aio_max_nr() + 1;
    for pause in [1000, 0] {
        let mut fixture = Fixture::spawn();
        let pid = fixture.pid().to_string();
        let watch = Lines::start(&["--failures", "-p", &pid]);
        let answer = fixture.run(&format!("retry {n} 2500 {pause}"));
        let made = answer["failures"].as_u64().unwrap();
        let lines = watch.end();
        println!("{made} calls with a pause of {pause} us:\n{}", lines.join("\n"));
        let (told, missed) = calls(&lines);
        assert!(made > 500 && told <= made && told + missed >= made, "{made}: {lines:#?}");
        assert!(pause == 0 || told == made, "{made}: {lines:#?}");
        let failures: Vec<&String> = lines.iter().filter(|line| line.contains(" setup-failed ")).collect();
        assert!((2..=4).contains(&failures.len()), "{lines:#?}");
        assert!(failures[0].contains("EAGAIN: asked for") && !failures[0].contains(" x "), "{lines:#?}");
        for line in &failures[1..] {
            assert!(line.contains(" still failing: asked for ") && line.contains("aio-fixture["), "{line}");
        }
    }
}

/// Check that --raw has a line for each, that --ndjson has an object for each, and that what does not repeat is told as ever.
#[test]
fn each_for_itself() {
    if !is_root() {
        return skip("each_for_itself", "needs root (CAP_BPF, CAP_PERFMON)");
    }
    let n = aio_max_nr() + 1;
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid().to_string();
    let watches = ["--raw", "--ndjson"].map(|how| Lines::start(&["--failures", "-p", &pid, how]));
    let answer = fixture.run(&format!("retry {n} 300 2000"));
    let [raw, json] = watches.map(Lines::end);
    let made = usize::try_from(answer["failures"].as_u64().unwrap()).unwrap();
    assert_eq!((raw.len(), json.len()), (made, made), "{raw:#?}");
    assert!(raw.iter().all(|line| calls_in(line) == (1, 0)), "{raw:#?}");

    let watch = Lines::start(&["-p", &pid]);
    fixture.setup(3);
    fixture.run("setup-raw 1 nonzero");
    fixture.run("setup-raw 1 null");
    let lines = watch.end();
    let words = ["setup", "setup-failed", "setup-failed"];
    let said: Vec<&str> = lines.iter().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    assert_eq!(said, words, "{lines:#?}");
}

/// Check that it is said when they have stopped, once, with their number.
#[test]
fn they_stop() {
    if !is_root() {
        return skip("they_stop", "needs root (CAP_BPF, CAP_PERFMON)");
    }
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid().to_string();
    let watch = Lines::start(&["--failures", "-p", &pid]);
    let made = fixture.run("retry 0 500 1000")["failures"].as_u64().unwrap();
    thread::sleep(Duration::from_millis(13_500));
    let lines = watch.end();
    assert_eq!((lines.len(), calls(&lines)), (3, (made, 0)), "{lines:#?}");
    assert!(lines[1].contains("EINVAL: x ") && lines[1].contains("asked for 0"), "{lines:#?}");
    let stopped = &lines[2];
    let all = stopped.split_once("stopped: none for 1").unwrap().1;
    let total = all.split_once(", ").unwrap().1.split_once(" in all since ").unwrap().0.replace(',', "");
    assert_eq!(total, made.to_string(), "{stopped}");
}
