//! The first process of a test machine: mounts what a host has, runs the suites that `/plan` names, and powers off.
//!
//! `/plan` has one thing a line: `env KEY=VALUE`, `module PATH`, `suite NAME ARGS..`. All that is printed goes to the second
//! serial line; the kernel's messages have the first. In a machine with a first process of its own, `vm-init plan` runs the plan alone.
#![expect(
    unsafe_code,
    reason = "mount(2) and two interface ioctls have no safe wrapper in this package's dependencies"
)]

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::mem::zeroed;
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, WaitOptions, WaitStatus};
use rustix::system::{RebootCommand, finit_module, reboot};

/// Type and place of each file system, in an order in which a place exists when it is used.
const MOUNTS: [(&str, &str); 7] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("tmpfs", "/dev/shm"),
    ("tmpfs", "/tmp"),
    ("tmpfs", "/run"),
    ("cgroup2", "/sys/fs/cgroup"),
];

/// The second serial line.
const LINE: &str = "/dev/ttyS1";

fn main() {
    // Anywhere but as the first process of a machine this would take the machine down.
    if std::process::id() != 1 {
        if std::env::args().nth(1).is_some_and(|word| word == "plan") {
            return told(File::options().write(true).open(LINE).map_err(Into::into), run);
        }
        drop(writeln!(io::stderr(), "vm-init: only for the first process of a test machine"));
        std::process::exit(2);
    }
    let line = mount_all().and_then(|()| Ok(File::options().write(true).open(LINE)?));
    told(line, |out| loopback_up().context("cannot set lo up").and_then(|()| run(out)));
    rustix::fs::sync();
    let _ = reboot(RebootCommand::PowerOff);
}

/// Runs `act`; whatever goes wrong is said.
fn told(line: Result<File>, act: impl FnOnce(&File) -> Result<()>) {
    match line {
        Ok(mut out) => {
            if let Err(error) = act(&out) {
                drop(writeln!(out, "VM-ERROR {error:#}"));
            }
            // What is still in the line's buffer would be lost with the power.
            let _ = rustix::termios::tcdrain(&out);
        }
        Err(error) => drop(writeln!(io::stderr(), "vm-init: {error:#}")),
    }
}

fn run(mut out: &File) -> Result<()> {
    let plan = fs::read_to_string("/plan").context("cannot read /plan")?;
    let mut env = vec![("HOME", "/root"), ("TMPDIR", "/tmp"), ("RUST_BACKTRACE", "1")];
    for line in plan.lines() {
        match line.split_once(' ') {
            Some(("env", pair)) => {
                env.push(pair.split_once('=').with_context(|| format!("no value in `{line}`"))?);
            }
            Some(("module", path)) => load(path).with_context(|| format!("cannot load {path}"))?,
            Some(("suite", words)) => {
                let mut words = words.split_whitespace();
                let name = words.next().context("a suite without a name")?;
                writeln!(out, "VM-SUITE {name}")?;
                let mut command = Command::new(format!("/suites/{name}"));
                command.args(words).current_dir("/tmp").env_clear().envs(env.iter().copied());
                command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out.try_clone()?);
                let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
                writeln!(out, "VM-RESULT {name} {}", wait_for(&child)?)?;
            }
            _ => bail!("cannot read `{line}` of /plan"),
        }
    }
    Ok(())
}

/// Waits for the suite and reaps every orphan on the way: the first process is everyone's last parent.
fn wait_for(child: &Child) -> Result<i32> {
    let suite = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("a suite without a pid")?;
    loop {
        if let Some((pid, status)) = rustix::process::wait(WaitOptions::empty())?
            && pid == suite
            && let Some(code) = code_of(status)
        {
            return Ok(code);
        }
    }
}

fn code_of(status: WaitStatus) -> Option<i32> {
    status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal))
}

fn load(path: &str) -> Result<()> {
    Ok(finit_module(&File::open(path)?, c"", 0)?)
}

fn mount_all() -> Result<()> {
    for (kind, place) in MOUNTS {
        fs::create_dir_all(place).with_context(|| format!("cannot make {place}"))?;
        let (kind_c, place_c) = (CString::new(kind)?, CString::new(place)?);
        // SAFETY: three strings ended by NUL that outlive the call, and no data.
        let result =
            unsafe { libc::mount(kind_c.as_ptr(), place_c.as_ptr(), kind_c.as_ptr(), 0, std::ptr::null()) };
        let error = io::Error::last_os_error();
        // A kernel may have mounted devtmpfs itself.
        if result != 0 && error.raw_os_error() != Some(libc::EBUSY) {
            return Err(error).with_context(|| format!("cannot mount {kind} on {place}"));
        }
    }
    Ok(())
}

fn loopback_up() -> Result<()> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: ifreq is plain data, for which all zeroes is a value.
    let mut request: libc::ifreq = unsafe { zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
        *to = libc::c_char::try_from(*from)?;
    }
    // SAFETY: an open socket and an ifreq that outlives the call.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request) } != 0 {
        return Err(io::Error::last_os_error()).context("SIOCGIFFLAGS");
    }
    let up = libc::c_short::try_from(libc::IFF_UP)?;
    // SAFETY: SIOCGIFFLAGS has just filled in the flags, the active member of the union.
    unsafe { request.ifr_ifru.ifru_flags |= up };
    // SAFETY: as above.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request) } != 0 {
        return Err(io::Error::last_os_error()).context("SIOCSIFFLAGS");
    }
    Ok(())
}
