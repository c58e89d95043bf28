//! A terminal of a given size with the screen in it: a tmux server of its own.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use aioinspect_tests::programs::{bin, run};
use anyhow::{Result, bail};

/// Longer than it is looked at. A tmux whose last program ends, ends: even if nobody is left to end it.
const LIFE: &str = "90s";

/// Dropped, it and what runs in it are gone.
#[derive(Debug)]
pub(crate) struct Terminal {
    server: String,
}

impl Terminal {
    /// One in which `watch` runs.
    pub(crate) fn with_watch((columns, lines): (u16, u16)) -> Result<Terminal> {
        let terminal = Terminal { server: format!("aioinspect-pictures-{}", std::process::id()) };
        let program = bin("aioinspect");
        let mut command = terminal.tmux();
        command.args(["new-session", "-d", "-x", &columns.to_string(), "-y", &lines.to_string()]);
        command.arg(format!("exec '{}' watch --duration {LIFE}", program.display()));
        let output = run(&mut command);
        if output.code != 0 {
            bail!("tmux: {}", output.stderr);
        }
        Ok(terminal)
    }

    fn tmux(&self) -> Command {
        let mut command = Command::new("tmux");
        // No configuration of whoever runs this, letters beyond ASCII whatever their locale is, and colours.
        command
            .args(["-u", "-L", &self.server, "-f", "/dev/null"])
            .env("LC_ALL", "C.UTF-8")
            .env_remove("TMUX")
            .env_remove("NO_COLOR")
            .env_remove("CLICOLOR_FORCE");
        command
    }

    /// What is on it, without colours.
    pub(crate) fn text(&self) -> Result<String> {
        self.ask(&["capture-pane", "-p"])
    }

    /// The same with its escape sequences, as soon as nothing moves but what moves with time.
    pub(crate) fn still(&self) -> Result<String> {
        let begun = Instant::now();
        let mut before = String::new();
        loop {
            let now = self.ask(&["capture-pane", "-p", "-e", "-N"])?;
            if now == before || begun.elapsed() > Duration::from_secs(5) {
                return Ok(now);
            }
            before = now;
            thread::sleep(Duration::from_millis(150));
        }
    }

    fn ask(&self, args: &[&str]) -> Result<String> {
        let output = run(self.tmux().args(args));
        if output.code != 0 {
            bail!("tmux {args:?}: {}", output.stderr);
        }
        Ok(output.stdout)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        run(self.tmux().arg("kill-server"));
    }
}
