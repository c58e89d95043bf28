//! A whole process, from exec to exit, with its output read: time, CPU time, peak memory.
//!
//! The kernel counts the peak of whoever called exec to the new program (fs/exec.c:exec_mmap), so a small process of
//! our own stands between us and what is measured.

#![expect(unsafe_code, reason = "wait4 tells what waitpid does not")]

use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The argument by which this program measures one other.
pub(crate) const RUN_ONE: &str = "--run-one";

/// What one run cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spawned {
    /// From before exec to after exit.
    pub wall: Duration,
    /// User and system time.
    pub cpu: Duration,
    /// Peak resident memory.
    pub peak_kib: u64,
    /// Bytes it wrote to standard output.
    pub output: u64,
}

/// Runs `command` (its path, or its name in PATH, first) and measures it; any exit code but those `fine` is an error.
pub(crate) fn spawn_and_measure(command: &[OsString], fine: &[i32]) -> Result<Spawned> {
    let own = std::env::current_exe()?;
    let said = Command::new(own).arg(RUN_ONE).args(command).stderr(Stdio::null()).output()?;
    let said = String::from_utf8(said.stdout)?;
    let numbers: Vec<u64> = said.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    let &[wall, cpu, peak_kib, output, code] = numbers.as_slice() else {
        bail!("cannot run {:?}", command.first())
    };
    if !fine.iter().any(|fine| u64::try_from(*fine).is_ok_and(|fine| fine == code)) {
        bail!("{:?} ended with {code}", command.first());
    }
    Ok(Spawned { wall: Duration::from_nanos(wall), cpu: Duration::from_micros(cpu), peak_kib, output })
}

/// The small process: runs one program and prints nanoseconds, microseconds of CPU, KiB, bytes and exit code.
pub(crate) fn run_one(command: &[String]) -> Result<()> {
    let (program, args) = command.split_first().context("which program?")?;
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut buffer = vec![0; 64 * 1024];
    let mut output = 0;
    let begun = Instant::now();
    let mut child = command.spawn()?;
    let mut pipe = child.stdout.take().context("no pipe")?;
    loop {
        match pipe.read(&mut buffer)? {
            0 => break,
            read => output += read,
        }
    }
    let (code, usage) = wait(i32::try_from(child.id())?)?;
    let wall = begun.elapsed();
    let micros = |time: libc::timeval| time.tv_sec * 1_000_000 + time.tv_usec;
    let cpu = micros(usage.ru_utime) + micros(usage.ru_stime);
    writeln!(std::io::stdout(), "{} {cpu} {} {output} {code}", wall.as_nanos(), usage.ru_maxrss)?;
    Ok(())
}

fn wait(pid: libc::pid_t) -> Result<(i32, libc::rusage)> {
    let mut status = 0;
    // SAFETY: plain numbers, for which zero bytes are a value; and pointers to two live variables.
    let (reaped, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::wait4(pid, &raw mut status, 0, &raw mut usage), usage)
    };
    if reaped != pid {
        return Err(std::io::Error::last_os_error()).context("wait4");
    }
    if !libc::WIFEXITED(status) {
        bail!("a signal ended it: {status:#x}");
    }
    Ok((libc::WEXITSTATUS(status), usage))
}
