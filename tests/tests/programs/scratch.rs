//! Where the programs work, and how they are started.

use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use aioinspect_tests::programs::{is_root, skip};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use tempfile::TempDir;

/// On a disk, where /tmp may be memory.
const ON_DISK: &str = "/var/tmp";

/// A directory on a real disk for the programs `needed`, which are all there; `None`, and said so, if the test cannot run.
pub fn on_disk(test: &str, needed: &[&str]) -> Option<TempDir> {
    if !is_root() {
        skip(test, "needs root (CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE)");
        return None;
    }
    if let Some(missing) = needed.iter().find(|program| !is_installed(program)) {
        skip(test, &format!("{missing} is not installed (cargo xtask setup --tests)"));
        return None;
    }
    let made = tempfile::Builder::new().prefix("aioinspect-programs-").tempdir_in(ON_DISK);
    let directory = made.unwrap_or_else(|error| panic!("{ON_DISK}: {error}"));
    if let Err(why) = does_direct_io(directory.path()) {
        skip(test, &format!("{ON_DISK} does no native AIO of its own: {why}"));
        return None;
    }
    Some(directory)
}

fn is_installed(program: &str) -> bool {
    ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"]
        .iter()
        .any(|place| Path::new(place).join(program).is_file())
}

/// Memory file systems accept O_DIRECT and finish every request before io_submit returns.
fn does_direct_io(directory: &Path) -> Result<(), String> {
    const TMPFS_MAGIC: u64 = 0x0102_1994;
    let file_system = rustix::fs::statfs(directory).map_err(|error| error.to_string())?;
    if u64::try_from(file_system.f_type) == Ok(TMPFS_MAGIC) {
        return Err("it is a tmpfs".to_owned());
    }
    let path = directory.join("direct");
    let opened = fs::OpenOptions::new().write(true).create(true).custom_flags(libc::O_DIRECT).open(&path);
    opened.and_then(|_| fs::remove_file(&path)).map_err(|error| format!("O_DIRECT: {error}"))
}

/// A program under test: it dies with the test, or before.
pub struct Running(Child);

impl Running {
    /// Starts it. A test binary that is killed leaves nothing behind either.
    pub fn start(command: &mut Command) -> Running {
        // SAFETY: between fork and exec the closure makes one system call and allocates nothing.
        unsafe {
            command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
        }
        Running(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    /// Its PID.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Whether it has ended, and was waited for.
    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap_or_else(|error| panic!("wait: {error}")).is_some()
    }

    /// Its exit code, when it has ended by itself.
    pub fn end_within(&mut self, limit: Duration) -> Option<i32> {
        let begun = Instant::now();
        while !self.has_ended() {
            assert!(begun.elapsed() < limit, "process {} does not end", self.pid());
            thread::sleep(Duration::from_millis(5));
        }
        self.0.wait().ok().and_then(|status| status.code())
    }

    /// Asks it to end.
    pub fn terminate(&mut self) -> io::Result<()> {
        // It was not waited for, so that the number is still its own.
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).filter(|_| !self.has_ended());
        pid.map_or(Ok(()), |pid| Ok(kill_process(pid, Signal::TERM)?))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // `Child` sends nothing once it has been waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
