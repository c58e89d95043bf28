//! The processes of one capture, and the reading of them.

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use aioinspect::cli::Cli;
use aioinspect::commands::{Exit, Terminal, run};
use aioinspect_formats::evidence_from_bytes;
use aioinspect_kernel::look::evidence_source::{Ask, Hold, Source};
use aioinspect_kernel::look::live::Live;
use aioinspect_model::evidence::Evidence;
use aioinspect_model::units::Pid;
use anyhow::{Context, bail};
use clap::Parser;
use rustix::process::{Signal, kill_process};
use tempfile::TempDir;

use crate::fixture::Fixture;

/// Longer than any state takes to come about.
const PATIENCE: Duration = Duration::from_secs(10);

/// The fixtures of one capture; they end with it.
#[derive(Debug)]
pub struct Scene {
    /// In the order of their start.
    pub fixtures: Vec<Fixture>,
    /// Texts of `/proc/PID/cgroup` that stay in the evidence; those of all other processes are taken out.
    pub cgroups: Vec<(u32, &'static str)>,
    litter: TempDir,
    made: u32,
}

impl Scene {
    /// Nobody is there yet.
    pub fn new() -> anyhow::Result<Scene> {
        Ok(Scene { fixtures: Vec::new(), cgroups: Vec::new(), litter: tempfile::tempdir()?, made: 0 })
    }

    /// Starts a fixture and gives it these commands; its PID.
    pub fn fixture(&mut self, commands: &[&str]) -> anyhow::Result<u32> {
        let mut fixture = Fixture::spawn();
        for command in commands {
            fixture.try_run(command).map_err(|failure| anyhow::anyhow!("{command}: {failure:?}"))?;
        }
        let pid = fixture.pid();
        self.fixtures.push(fixture);
        Ok(pid)
    }

    /// The last fixture that was started.
    pub fn last(&mut self) -> anyhow::Result<&mut Fixture> {
        self.fixtures.last_mut().context("no fixture")
    }

    /// What `aioinspect check PID ..` reads.
    pub fn check(&mut self, pid: u32, options: &[&str]) -> anyhow::Result<Evidence> {
        let file = self.file();
        read(&[&["check", &pid.to_string()], options, &["--evidence", &file]].concat())?;
        evidence(&file)
    }

    /// What `aioinspect list ..` reads of the whole host.
    pub fn list(&mut self, options: &[&str]) -> anyhow::Result<Evidence> {
        let file = self.file();
        read(&[&["list"], options, &["--evidence", &file]].concat())?;
        evidence(&file)
    }

    /// What `aioinspect dump PID ..` reads, inside its freeze.
    pub fn dump(&mut self, pid: u32, options: &[&str]) -> anyhow::Result<Evidence> {
        let dir = self.file();
        fs::create_dir(&dir)?;
        let exit = read(&[&["dump", &pid.to_string(), "-D", &dir], options].concat())?;
        if exit != Exit::Fine {
            bail!("dump of {pid} was refused: {exit:?}");
        }
        evidence(&format!("{dir}/aioinspect-{pid}.evidence"))
    }

    /// What dump reads where the kernel cannot be asked.
    pub fn without_kernel(&mut self, pid: u32) -> anyhow::Result<Evidence> {
        let ask = Ask { pid: Pid(pid), hold: Hold::NoTouch, image: true, without_kernel: true };
        Ok(Live::new(false, 0).process(&ask)?)
    }

    /// Waits until a process is stopped by a signal, runs `look`, and continues it.
    pub fn while_stopped<T>(
        &mut self,
        look: impl FnOnce(&mut Scene) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let fixture = self.last()?;
        fixture.send("self-stop");
        let pid =
            i32::try_from(fixture.pid()).ok().and_then(rustix::process::Pid::from_raw).context("pid")?;
        let begun = Instant::now();
        while !fixture.proc("stat").contains(") T ") {
            if begun.elapsed() > PATIENCE {
                bail!("the fixture does not stop");
            }
            sleep(Duration::from_millis(1));
        }
        let seen = look(self);
        kill_process(pid, Signal::CONT)?;
        self.last()?.receive("self-stop").map_err(|failure| anyhow::anyhow!("{failure:?}"))?;
        seen
    }

    /// A name for a new file.
    fn file(&mut self) -> String {
        self.made = self.made.saturating_add(1);
        self.litter.path().join(self.made.to_string()).display().to_string()
    }
}

/// Runs a command in this process; its output is of no interest, its errors are.
fn read(args: &[&str]) -> anyhow::Result<Exit> {
    let mut err = Vec::new();
    let cli = Cli::try_parse_from([&["aioinspect"], args].concat())?;
    run(cli, Terminal::default(), &mut Vec::new(), &mut err)
        .with_context(|| format!("aioinspect {}: {}", args.join(" "), String::from_utf8_lossy(&err)))
}

fn evidence(file: &str) -> anyhow::Result<Evidence> {
    let path = PathBuf::from(file);
    Ok(evidence_from_bytes(&fs::read(&path).with_context(|| path.display().to_string())?)?)
}
