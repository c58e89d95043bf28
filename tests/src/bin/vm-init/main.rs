//! The first process of a test machine: mounts what a host has, runs the suites that `/plan` names, and powers off.
//!
//! `/plan` has one thing a line, done in this order:
//!
//! | line | what it does |
//! |---|---|
//! | `env KEY=VALUE` | sets a variable of what is run |
//! | `module PATH` | loads a kernel module |
//! | `sysctl KEY=VALUE` | writes to /proc/sys |
//! | `proc OPTION,..` | mounts /proc with these options |
//! | `cgroup v1` | has the hierarchies of cgroup v1 in place of cgroup2 |
//! | `suite NAME ARGS..` | runs /suites/NAME |
//! | `command` | runs the words of /command, which a NUL separates |
//!
//! All that is printed goes to the second serial line, which `vm.line=NAME` on the kernel's command line names; the kernel's messages have
//! the first. In a machine with a first process of its own, `vm-init plan` runs the plan alone.
#![expect(
    unsafe_code,
    reason = "mount(2) and two interface ioctls have no safe wrapper in this package's dependencies"
)]

mod mounts;

use std::fs::{self, File};
use std::io::{self, Write};
use std::mem::zeroed;
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, WaitOptions, WaitStatus};
use rustix::system::{RebootCommand, finit_module, reboot};

/// The word of the kernel's command line that names the second serial line: machines differ in it.
const LINE: &str = "vm.line=";

fn main() {
    // Anywhere but as the first process of a machine this would take the machine down.
    if std::process::id() != 1 {
        if std::env::args().nth(1).is_some_and(|word| word == "plan") {
            return told(line(), run);
        }
        drop(writeln!(io::stderr(), "vm-init: only for the first process of a test machine"));
        std::process::exit(2);
    }
    told(mounts::all().and_then(|()| line()), |out| {
        loopback_up().context("cannot set lo up").and_then(|()| run(out))
    });
    rustix::fs::sync();
    let _ = reboot(RebootCommand::PowerOff);
}

/// Opens the second serial line; /proc and /dev are mounted.
fn line() -> Result<File> {
    let words = fs::read_to_string("/proc/cmdline").context("cannot read /proc/cmdline")?;
    let name = words.split_whitespace().find_map(|word| word.strip_prefix(LINE));
    let name = name.with_context(|| format!("no {LINE} on the kernel's command line"))?;
    File::options()
        .write(true)
        .open(format!("/dev/{name}"))
        .with_context(|| format!("cannot open /dev/{name}"))
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
            Some(("sysctl", pair)) => sysctl(pair).with_context(|| format!("cannot set {pair}"))?,
            Some(("proc", options)) => mounts::proc(options)?,
            Some(("cgroup", version)) => mounts::cgroup(version)?,
            Some(("suite", words)) => {
                let mut words = words.split_whitespace();
                let name = words.next().context("a suite without a name")?;
                writeln!(out, "VM-SUITE {name}")?;
                let code = child(out, &env, Command::new(format!("/suites/{name}")).args(words))?;
                writeln!(out, "VM-RESULT {name} {code}")?;
            }
            None if line == "command" => {
                let words = fs::read_to_string("/command").context("cannot read /command")?;
                let mut words = words.split('\0');
                let name = words.next().context("a command without a name")?;
                writeln!(out, "VM-COMMAND")?;
                // The program is looked for in the PATH of this process, not in that of the child.
                let path = if name.contains('/') { name.to_owned() } else { format!("/bin/{name}") };
                let code = child(out, &env, Command::new(path).args(words))?;
                writeln!(out, "VM-RESULT {code}")?;
            }
            _ => bail!("cannot read `{line}` of /plan"),
        }
    }
    Ok(())
}

/// Runs a command with the second serial line as its output; its exit code.
fn child(out: &File, env: &[(&str, &str)], command: &mut Command) -> Result<i32> {
    command.current_dir("/tmp").env_clear().envs(env.iter().copied());
    command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out.try_clone()?);
    let child =
        command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    wait_for(&child)
}

/// Waits for the child and reaps every orphan on the way: the first process is everyone's last parent.
fn wait_for(child: &Child) -> Result<i32> {
    let own = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("a child without a pid")?;
    loop {
        if let Some((pid, status)) = rustix::process::wait(WaitOptions::empty())?
            && pid == own
            && let Some(code) = code_of(status)
        {
            return Ok(code);
        }
    }
}

fn code_of(status: WaitStatus) -> Option<i32> {
    status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal))
}

fn sysctl(pair: &str) -> Result<()> {
    let (key, value) = pair.split_once('=').context("no value")?;
    Ok(fs::write(format!("/proc/sys/{}", key.replace('.', "/")), value)?)
}

fn load(path: &str) -> Result<()> {
    Ok(finit_module(&File::open(path)?, c"", 0)?)
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
