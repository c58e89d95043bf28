//! A virtual machine: qemu, a kernel and an initramfs.
//!
//! The guest has two serial lines: the kernel writes its messages to the first, kept in a file, and the suites write to the
//! second, so that neither breaks the other's lines.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::command::{Cmd, Ended, Limits, note};
use crate::kernel::list::Terms;
use crate::paths;

/// The guest's CPUs: the smallest number at which per-CPU counters differ from plain ones.
const CPUS: &str = "2";
const MEMORY_MIB: u32 = 1536;

/// A virtual machine.
#[derive(Debug)]
pub(crate) struct Machine<'a> {
    /// What it is called in results.
    pub name: &'a str,
    /// The kernel it boots.
    pub image: &'a Path,
    /// The words and the memory that it boots with.
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
        // KVM may be there and not work, as inside another virtual machine.
        if kvm_may_work() {
            let mut started = false;
            let limits = Limits { start: Duration::from_secs(30), whole: self.limit };
            let ended = self.qemu("kvm", &initramfs).stream(limits, &mut |line| {
                started |= each(line);
                started
            })?;
            if started {
                return Ok(ended);
            }
            note(&format!("{} did not come up with kvm", self.name));
            remember_kvm_fails();
        }
        // With a thread for each CPU, a guest that patches its own text (static keys, fentry) now and then executes what it had there before, and
        // dies of an int3 that nobody owns.
        let limits = Limits { start: Duration::from_secs(300), whole: self.limit };
        self.qemu("tcg,thread=single", &initramfs).stream(limits, each)
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

    fn qemu(&self, accelerator: &str, initramfs: &Path) -> Cmd {
        let memory = self.terms.memory_mib.unwrap_or(MEMORY_MIB).to_string();
        // What a kernel does after an oops says nothing of the program, and it may hang.
        let words = ["console=ttyS0", "oops=panic", "panic=-1"].map(str::to_owned);
        // MSR_IA32_ARCH_CAPABILITIES is what KVM inside a virtual machine most often refuses, and nothing here needs it.
        Cmd::new("qemu-system-x86_64")
            .arguments(["-accel", accelerator, "-cpu", "max,-arch-capabilities", "-smp", CPUS, "-m", &memory])
            .arguments(["-nodefaults", "-no-reboot", "-display", "none", "-serial"])
            .arg(format!("file:{}", self.console().display()))
            .arguments(["-serial", "stdio", "-kernel"])
            .arg(self.image)
            .arg("-initrd")
            .arg(initramfs)
            .arg("-append")
            .arg([&words, self.terms.boot.as_slice()].concat().join(" "))
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
