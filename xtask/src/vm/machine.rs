//! A virtual machine: qemu, a kernel and an initramfs.
//!
//! The guest has two serial lines: the kernel writes its messages to the first, kept in a file, and the suites write to the
//! second, so that neither breaks the other's lines. What that one is called the kernel's command line tells the program vm-init.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::architecture::{Architecture, Qemu};
use crate::command::{Cmd, Ended, GIVES_WAY, Limits, note};
use crate::kernel::list::Terms;
use crate::paths;

/// The guest's CPUs: the smallest number at which per-CPU counters differ from plain ones.
const CPUS: u32 = 2;
const MEMORY_MIB: u32 = 1536;

/// A virtual machine.
#[derive(Debug)]
pub(crate) struct Machine<'a> {
    /// What it is called in results.
    pub name: &'a str,
    /// Its own, which need not be this host's.
    pub architecture: Architecture,
    /// The kernel it boots.
    pub image: &'a Path,
    /// The words, the memory and the CPUs that it boots with.
    pub terms: &'a Terms,
    /// Where its initramfs and its console's log are written.
    pub dir: &'a Path,
    /// When it is ended.
    pub limit: Duration,
}

impl Machine<'_> {
    /// Boots it, and hands each line of its second serial line to `each`, which answers whether the machine has come up.
    pub(crate) fn boot(&self, archive: &[u8], each: &mut dyn FnMut(&str) -> bool) -> Result<Ended> {
        fs::create_dir_all(self.dir).with_context(|| format!("cannot make {}", self.dir.display()))?;
        let (initramfs, console) = (self.dir.join("initramfs.cpio"), self.console());
        fs::write(&initramfs, archive)?;
        drop(fs::remove_file(&console));
        let qemu = self.architecture.qemu();
        // KVM may be there and not work, as inside another virtual machine.
        if self.architecture.is_here() && kvm_may_work() {
            let mut started = false;
            let limits = Limits { start: Duration::from_secs(30), whole: self.limit };
            let ended = self.qemu("kvm", qemu.kvm, &[], &initramfs).stream(limits, &mut |line| {
                started |= each(line);
                started
            })?;
            if started {
                return Ok(ended);
            }
            note(&format!("{} did not come up with kvm", self.name));
            remember_kvm_fails();
        }
        let limits = Limits { start: Duration::from_secs(300), whole: self.limit };
        let [usual, own_cpus] = qemu.threads;
        let threads = if self.terms.cpus.is_some() { own_cpus } else { usual };
        self.qemu(&format!("tcg,thread={threads}"), qemu.tcg, qemu.boot, &initramfs).stream(limits, each)
    }

    /// Prints the last of the kernel's messages.
    pub(crate) fn show_console(&self) {
        let console = self.console();
        note(&format!("the end of {}:", console.display()));
        let text = fs::read(console).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(40)).for_each(|line| note(line.trim_end()));
    }

    fn console(&self) -> PathBuf {
        self.dir.join("console.log")
    }

    fn qemu(&self, accelerator: &str, words: &[&str], more_boot: &[&str], initramfs: &Path) -> Cmd {
        let Qemu { tool, console, line, line_name, .. } = self.architecture.qemu();
        let memory = self.terms.memory_mib.unwrap_or(MEMORY_MIB).to_string();
        let cpus = self.terms.cpus.unwrap_or(CPUS).to_string();
        // What a kernel does after an oops says nothing of the program, and it may hang.
        let boot = [&format!("console={console}"), "oops=panic", "panic=-1", &format!("vm.line={line_name}")]
            .map(str::to_owned);
        let more_boot: Vec<String> = more_boot.iter().map(|&word| word.to_owned()).collect();
        Cmd::new("nice")
            .arguments(GIVES_WAY)
            .arg(tool.program)
            .arguments(["-accel", accelerator])
            .arguments(words)
            .arguments(["-smp", &cpus, "-m", &memory])
            .arguments(["-nodefaults", "-no-reboot", "-display", "none", "-serial"])
            .arg(format!("file:{}", self.console().display()))
            .arguments(line)
            .arg("-kernel")
            .arg(self.image)
            .arg("-initrd")
            .arg(initramfs)
            .arg("-append")
            .arg([&boot, more_boot.as_slice(), self.terms.boot.as_slice()].concat().join(" "))
    }
}

fn kvm_may_work() -> bool {
    let there = || fs::File::options().read(true).write(true).open("/dev/kvm").is_ok();
    fs::read(no_kvm()).ok().is_none_or(|then| then != this_boot()) && there()
}

/// Once a machine did not come up with KVM the next would not either, until this host is another one or was booted anew.
fn remember_kvm_fails() {
    drop(fs::write(no_kvm(), this_boot()));
}

fn no_kvm() -> PathBuf {
    paths::target().join("kernels/no-kvm")
}

fn this_boot() -> Vec<u8> {
    fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}
