//! A terminal of a given size with the screen in it: keys go in, frames come out.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aioinspect_tests::programs::{bin, run, skip};
use tempfile::TempDir;

use crate::blessed::captures;

/// No step of the screen takes longer, on however slow a machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// Shorter, since several frames may be wrong at once.
const PATIENCE_FOR_A_FRAME: Duration = Duration::from_secs(8);
/// Between two looks; longer than the shortest time between two drawings.
const BETWEEN_LOOKS: Duration = Duration::from_millis(60);
/// Environment variables that decide about colour.
const DECIDING: [&str; 2] = ["NO_COLOR", "CLICOLOR_FORCE"];

/// A tmux server of its own, with one pane. Dropped, it and what runs in it are gone.
pub struct Pane {
    server: String,
    /// Where the script leaves its notes.
    pub dir: TempDir,
}

/// Whether there is a tmux; says so where there is none.
pub fn can(test: &str) -> bool {
    let found = Command::new("tmux").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let is_there = found.is_ok_and(|status| status.success());
    if !is_there {
        skip(test, "tmux is not installed");
    }
    is_there
}

/// The command that shows a capture on the screen, for a shell.
pub fn watch(capture: &str, args: &str) -> String {
    let from = captures().join(format!("{capture}.evidence"));
    format!("'{}' watch --from '{}' {args}", bin("aioinspect").display(), from.display())
}

impl Pane {
    /// A pane in which the screen shows a capture.
    pub fn of(capture: &str, (columns, lines): (u16, u16), args: &str) -> Pane {
        Pane::running(&format!("exec {}", watch(capture, args)), (columns, lines), &[])
    }

    /// A pane in which a shell runs a script.
    pub fn running(script: &str, (columns, lines): (u16, u16), env: &[(&str, &str)]) -> Pane {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        let server = format!("aioinspect-{}-{nth}", std::process::id());
        let pane = Pane { server, dir: tempfile::tempdir().unwrap() };
        fs::write(pane.dir.path().join("script"), script).unwrap();
        let mut command = pane.tmux();
        for name in DECIDING {
            command.env_remove(name);
        }
        command.envs(env.iter().copied()).current_dir(pane.dir.path());
        command.args(["new-session", "-d", "-x", &columns.to_string(), "-y", &lines.to_string()]);
        command.args(["sh", "script"]);
        let output = run(&mut command);
        assert_eq!(output.code, 0, "{output:?}");
        pane
    }

    fn tmux(&self) -> Command {
        let mut command = Command::new("tmux");
        // No configuration of whoever runs the tests, and letters beyond ASCII whatever their locale is.
        command
            .args(["-u", "-L", &self.server, "-f", "/dev/null"])
            .env("LC_ALL", "C.UTF-8")
            .env_remove("TMUX");
        command
    }

    /// One command to tmux, and its answer.
    pub fn ask(&self, args: &[&str]) -> String {
        let output = run(self.tmux().args(args));
        assert_eq!(output.code, 0, "{args:?}: {output:?}");
        output.stdout
    }

    /// Types keys, by tmux's names.
    pub fn keys(&self, keys: &[&str]) {
        self.ask(&[&["send-keys"], keys].concat());
    }

    /// What is on the terminal now.
    pub fn now(&self) -> String {
        self.ask(&["capture-pane", "-p"])
    }

    /// The same with its escape sequences.
    pub fn now_with_styles(&self) -> String {
        self.ask(&["capture-pane", "-p", "-e"])
    }

    /// Waits until a text is on the terminal and nothing moves any more; returns the frame.
    pub fn frame_with(&self, text: &str) -> String {
        let mut before = String::new();
        self.wait(&format!("{text:?} on the terminal"), || {
            let now = self.now();
            let still = now == before && now.contains(text);
            before = now;
            still
        });
        before
    }

    /// Waits for a frame; returns what there is instead if it does not come.
    pub fn frame_like(&self, expected: &str) -> String {
        let begun = Instant::now();
        loop {
            let now = self.now();
            if now == expected || begun.elapsed() > PATIENCE_FOR_A_FRAME {
                return now;
            }
            thread::sleep(BETWEEN_LOOKS);
        }
    }

    /// Waits for something that will be.
    pub fn wait(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "no {what} within {PATIENCE:?}; there is\n{}", self.now());
            thread::sleep(BETWEEN_LOOKS);
        }
    }

    /// Waits until the script has written a file, and reads it.
    pub fn note(&self, name: &str) -> String {
        let path: PathBuf = self.dir.path().join(name);
        let read = || fs::read_to_string(&path).ok().filter(|text| text.ends_with('\n'));
        self.wait(name, || read().is_some());
        read().unwrap()
    }

    /// Ends the terminal, as closing its window does.
    pub fn close(&self) {
        run(self.tmux().arg("kill-server"));
    }
}

impl Drop for Pane {
    fn drop(&mut self) {
        self.close();
    }
}
