//! Suites that are commands of this machine: what they are run by, and how their lines are counted.

use std::time::Duration;

use anyhow::Result;

use crate::build::{self, Built};
use crate::command::{Cmd, Ended, Limits, note, say};
use crate::count::Suite;
use crate::{catalogue, paths, toolchain, unpacked};

/// A suite that runs longer than this hangs.
pub(super) const LIMIT: Duration = Duration::from_secs(40 * 60);
/// The same with `--release-long`.
pub(super) const LONG_LIMIT: Duration = Duration::from_secs(4 * 3600);
/// Sequences of the random-state suite with `--release-long`; without, the suite's own number.
const LONG_SEQUENCES: u32 = 10_000;

/// What `cargo test` runs, with the tools that set-up has brought.
pub(super) fn unprivileged() -> Result<Suite> {
    let cmd = build::cargo().arguments(["test", "--workspace", "--", "--show-output"]);
    stream(cmd.env("PATH", unpacked::path()?), "cargo test", LIMIT, &mut say)
}

/// The border to bpf(2) against a kernel in memory, and the wire records, under Miri: it sees every access out of bounds.
pub(super) fn interpreted() -> Result<Suite> {
    const NAME: &str = "miri";
    if let Err(error) = toolchain::need_miri() {
        return Ok(Suite::skipped(NAME, &format!("{error:#}")));
    }
    let cmd = build::cargo_of("nightly")
        .arguments(["miri", "test", "--target-dir", "target/miri", "--lib"])
        .arguments(["--package", "aioinspect-kernel", "--package", "aioinspect-ebpf", "--"])
        .arguments(["bpf::map::", "census::traced_map::", "bytes::", "offsets::"])
        .env("MIRIFLAGS", "-Zmiri-disable-isolation");
    stream(cmd, NAME, LIMIT, &mut say)
}

/// A live suite on this machine's own kernel; its lines go to `out`.
pub(super) fn live(name: &str, built: &Built, long: bool, out: &mut dyn FnMut(&str)) -> Result<Suite> {
    let mut cmd = undisturbed()
        .arg(built.suite(name)?)
        .arguments(catalogue::libtest_args())
        .dir(paths::root())
        .env("AIOINSPECT_BIN_DIR", &built.bins)
        .env("PATH", unpacked::path()?);
    if long {
        cmd = cmd.env("AIOINSPECT_RANDOM_SEQUENCES", LONG_SEQUENCES.to_string());
    }
    stream(cmd, &format!("native {name}"), if long { LONG_LIMIT } else { LIMIT }, out)
}

/// What a suite is run by. A shell's `&` and nohup leave signals ignored in whatever they start, and a program that starts with one
/// ignored leaves it so: then Ctrl-C could not be tested.
const UNDISTURBED: [&str; 2] = ["env", "--default-signal"];

fn undisturbed() -> Cmd {
    let [program, argument] = UNDISTURBED;
    Cmd::new(program).arg(argument)
}

fn stream(cmd: Cmd, name: &str, limit: Duration, out: &mut dyn FnMut(&str)) -> Result<Suite> {
    let mut suite = Suite::new(name);
    let ended = cmd.stream(Limits { start: limit, whole: limit }, &mut |line| {
        out(line);
        suite.line(line);
        true
    })?;
    match ended {
        Ended::Code(code) => suite.end(code),
        Ended::Deadline(limit) => suite.broken = Some(format!("it did not end within {} s", limit.as_secs())),
    }
    if let Some(why) = &suite.broken {
        note(&format!("{name}: {why}"));
    }
    Ok(suite)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that a suite can be interrupted even if what starts it ignores SIGINT.
    #[test]
    fn signals_are_as_at_a_terminal() {
        let ignoring = Cmd::new("sh").arguments(["-c", "trap '' INT; exec \"$@\"", "sh"]);
        let suite = ignoring.arguments(UNDISTURBED).arguments(["sh", "-c", "kill -INT $$; exit 7"]);
        let ended = suite.stream(Limits { start: LIMIT, whole: LIMIT }, &mut |_| true).unwrap();
        assert_eq!(ended, Ended::Code(128 + 2));
    }

    /// Check that a suite which hangs, and one that says nothing, are broken and not passed.
    #[test]
    fn a_hanging_suite_is_broken() {
        let limit = Duration::from_millis(200);
        let hang = stream(Cmd::new("sleep").arg("1000"), "hang", limit, &mut say).unwrap();
        assert!(hang.broken.unwrap().contains("did not end"));
        assert!(!stream(Cmd::new("true"), "silent", LIMIT, &mut say).unwrap().is_good());
    }
}
