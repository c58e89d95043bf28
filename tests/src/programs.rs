//! Where the programs under test are, how they are run, and what a test says that cannot run.

use std::env;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What a program said and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Exit code; minus the signal's number if a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Path of a program of this workspace: in `AIOINSPECT_BIN_DIR`, else where cargo put it beside this test.
///
/// # Panics
/// If it is not there.
pub fn bin(name: &str) -> PathBuf {
    let mut tried = Vec::new();
    if let Some(directory) = env::var_os("AIOINSPECT_BIN_DIR") {
        tried.push(PathBuf::from(directory).join(name));
    } else if let Ok(test) = env::current_exe() {
        // target/PROFILE/deps/TEST, or target/PROFILE/TEST.
        tried.extend(test.ancestors().skip(1).take(2).map(|directory| directory.join(name)));
    }
    match tried.iter().find(|path| path.is_file()) {
        Some(path) => path.clone(),
        None => panic!(
            "{name} is not built: looked for {tried:?}; `cargo xtask test` builds all programs, or set \
             AIOINSPECT_BIN_DIR"
        ),
    }
}

/// Runs `aioinspect` with these arguments, without input and without colour.
///
/// # Panics
/// If it cannot be started.
pub fn run_aioinspect(args: &[&str]) -> Output {
    run(Command::new(bin("aioinspect")).args(args))
}

/// Runs a prepared command to its end.
///
/// # Panics
/// If it cannot be started.
pub fn run(command: &mut Command) -> Output {
    let result = command.stdin(Stdio::null()).output();
    let output = result.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
    Output {
        code: output.status.code().or(signal.map(|signal| -signal)).unwrap_or(i32::MIN),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Says that a test cannot run here and which capability or kernel feature is missing; the runner counts it.
///
/// The test then returns. Not through `eprintln`, which the harness would keep to itself.
pub fn skip(name: &str, reason: &str) {
    // A runner that does not listen counts nothing.
    let _ = std::io::stderr().lock().write_all(format!("SKIPPED {name}: {reason}\n").as_bytes());
}

/// Whether this process is root, as most live tests need.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
