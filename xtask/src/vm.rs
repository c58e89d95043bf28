//! Live suites in a virtual machine: an initramfs with the suites and nothing else, a kernel of the list, qemu.
//!
//! The guest has two serial lines: the kernel writes its messages to the first, kept in a file, and the suites write to the
//! second, so that neither breaks the other's lines.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::build::Built;
use crate::command::{Cmd, Ended, Limits, note};
use crate::count::Suite;
use crate::initramfs::Initramfs;
use crate::kernel::{self, Kernel};
use crate::paths;
use crate::suites::{self, Catalogue};

/// The guest's CPUs: the smallest number at which per-CPU counters differ from plain ones.
const CPUS: &str = "2";
const MEMORY_MIB: &str = "1536";

/// What to run, and on which kernel.
#[derive(Debug)]
pub struct Run<'a> {
    /// The kernel's name in the list.
    pub name: &'a str,
    /// Its Debian meta package.
    pub package: &'a str,
    /// The suites there are.
    pub catalogue: &'a Catalogue,
    /// Their executables.
    pub built: &'a Built,
    /// Sequences for the random-state suites.
    pub sequences: u32,
    /// When the machine is ended.
    pub limit: Duration,
}

impl Run<'_> {
    /// Boots the kernel and runs the suites, what they print to `out`; an error where it could not be booted at all.
    pub fn suites(&self, out: &mut dyn FnMut(&str)) -> Result<Vec<Suite>> {
        if self.catalogue.vm_suites.is_empty() {
            bail!("[package.metadata.aioinspect] vm-suites of tests/Cargo.toml names no suite");
        }
        let kernel = kernel::fetch(self.name, self.package)?;
        let machine = Machine {
            name: self.name,
            image: &kernel.image,
            dir: &paths::target().join("kernels").join(self.name),
            limit: self.limit,
        };
        machine.boot(&self.initramfs(&kernel)?, &self.catalogue.vm_suites, out)
    }

    fn initramfs(&self, kernel: &Kernel) -> Result<Vec<u8>> {
        let mut archive = Initramfs::new()?;
        archive.copy("init", &self.built.bins.join("vm-init"))?;
        for bin in ["aioinspect", "aio-fixture"] {
            archive.copy(&format!("bin/{bin}"), &self.built.bins.join(bin))?;
        }
        let mut plan = format!(
            "env PATH=/bin\nenv AIOINSPECT_BIN_DIR=/bin\nenv AIOINSPECT_VM={}\nenv AIOINSPECT_RANDOM_SEQUENCES={}\n",
            self.name, self.sequences
        );
        for (nth, module) in modules(&kernel.modules, &self.catalogue.vm_modules)?.iter().enumerate() {
            let path = format!("modules/{nth}.ko");
            archive.file(&path, module)?;
            writeln!(plan, "module /{path}")?;
        }
        for suite in &self.catalogue.vm_suites {
            archive.copy(&format!("suites/{suite}"), suites::executable(self.built, suite)?)?;
            writeln!(plan, "suite {suite} {}", suites::libtest_args().join(" "))?;
        }
        archive.file("plan", plan.as_bytes())?;
        archive.finish()
    }
}

/// A virtual machine.
#[derive(Debug)]
pub struct Machine<'a> {
    /// What it is called in results.
    pub name: &'a str,
    /// The kernel it boots.
    pub image: &'a Path,
    /// Where its initramfs and its console's log are written.
    pub dir: &'a Path,
    /// When it is ended.
    pub limit: Duration,
}

impl Machine<'_> {
    /// Boots it; `suites`: the names of those that it is to run, what they print to `out`.
    pub fn boot(&self, archive: &[u8], suites: &[String], out: &mut dyn FnMut(&str)) -> Result<Vec<Suite>> {
        let (initramfs, console) = (self.dir.join("initramfs.cpio"), self.dir.join("console.log"));
        fs::write(&initramfs, archive)?;
        drop(fs::remove_file(&console));
        let mut ran = Vec::new();
        for (accelerator, start) in accelerators() {
            let limits = Limits { start, whole: self.limit };
            let mut guest = Guest::new(self.name, suites);
            let ended = qemu(accelerator, self.image, &initramfs, &console).stream(limits, &mut |line| {
                out(line);
                guest.line(line);
                guest.started
            })?;
            let started = guest.started;
            ran = guest.end(ended);
            if started {
                break;
            }
            note(&format!("{} did not come up with {accelerator}", self.name));
            KVM_FAILED.store(true, Ordering::Relaxed);
        }
        if !ran.iter().all(Suite::is_good) {
            note(&format!("the end of {}:", console.display()));
            let text = fs::read(&console).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            let lines: Vec<&str> = text.lines().collect();
            lines.iter().skip(lines.len().saturating_sub(40)).for_each(|line| note(line.trim_end()));
        }
        Ok(ran)
    }
}

/// Set once a machine did not come up with KVM: the next would not either.
static KVM_FAILED: AtomicBool = AtomicBool::new(false);

/// What runs the guest's code, the fast one first, and how long a boot takes at most. KVM may be there and not work, as
/// inside another virtual machine.
fn accelerators() -> Vec<(&'static str, Duration)> {
    // With a thread for each CPU, a guest that patches its own text (static keys, fentry) now and then executes what it had there before, and
    // dies of an int3 that nobody owns.
    let emulated = ("tcg,thread=single", Duration::from_secs(300));
    let kvm = fs::File::options().read(true).write(true).open("/dev/kvm").is_ok();
    if kvm && !KVM_FAILED.load(Ordering::Relaxed) {
        vec![("kvm", Duration::from_secs(30)), emulated]
    } else {
        vec![emulated]
    }
}

fn qemu(accelerator: &str, image: &Path, initramfs: &Path, console: &Path) -> Cmd {
    // MSR_IA32_ARCH_CAPABILITIES is what KVM inside a virtual machine most often refuses, and nothing here needs it.
    Cmd::new("qemu-system-x86_64")
        .arguments(["-accel", accelerator, "-cpu", "max,-arch-capabilities", "-smp", CPUS, "-m", MEMORY_MIB])
        .arguments(["-nodefaults", "-no-reboot", "-display", "none", "-serial"])
        .arg(format!("file:{}", console.display()))
        .arguments(["-serial", "stdio", "-kernel"])
        .arg(image)
        .arg("-initrd")
        .arg(initramfs)
        .arguments(["-append", "console=ttyS0 panic=-1"])
}

/// The modules by name, each after those it depends on, as the kernel takes them. A name that is built in needs no file.
fn modules(dir: &Path, names: &[String]) -> Result<Vec<Vec<u8>>> {
    let mut files = Vec::new();
    walk(&dir.join("kernel"), &mut files)?;
    let built_in = fs::read_to_string(dir.join("modules.builtin")).unwrap_or_default();
    let mut loaded: Vec<String> = Vec::new();
    let mut images = Vec::new();
    let mut wanted: Vec<(String, Option<Vec<u8>>)> =
        names.iter().rev().map(|name| (name.clone(), None)).collect();
    // A stack: a module is taken once what it depends on lies above it and has been taken.
    while let Some((name, image)) = wanted.pop() {
        if loaded.contains(&name) || built_in.lines().any(|path| is_named(path, &name)) {
            continue;
        }
        if let Some(image) = image {
            loaded.push(name);
            images.push(image);
            continue;
        }
        let file = files.iter().find(|file| is_named(&file.to_string_lossy(), &name));
        let image = read_module(file.with_context(|| format!("no module {name} in {}", dir.display()))?)?;
        let needs = depends(&image);
        wanted.push((name, Some(image)));
        wanted.extend(needs.into_iter().map(|need| (need, None)));
    }
    Ok(images)
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() { walk(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

/// Module names are written with `_` and files with either.
fn is_named(path: &str, name: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().is_some_and(|stem| stem.replace('-', "_") == name.replace('-', "_"))
}

fn read_module(file: &Path) -> Result<Vec<u8>> {
    if file.extension().is_none_or(|extension| extension != "xz") {
        return fs::read(file).with_context(|| format!("cannot read {}", file.display()));
    }
    let output = std::process::Command::new("xz").arg("-dc").arg(file).output().context("cannot run xz")?;
    if !output.status.success() {
        bail!("xz cannot unpack {}", file.display());
    }
    Ok(output.stdout)
}

/// `depends=a,b` of the module's `.modinfo` section, whose entries are ended by NUL.
fn depends(image: &[u8]) -> Vec<String> {
    let entry = image.split(|&byte| byte == 0).find_map(|entry| entry.strip_prefix(b"depends="));
    let text = String::from_utf8_lossy(entry.unwrap_or_default()).into_owned();
    text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// What the guest said, sorted into its suites.
#[derive(Debug)]
struct Guest {
    suites: Vec<(String, Suite, bool)>,
    running: Option<usize>,
    /// Whether the machine came up: the program vm-init has said something.
    started: bool,
    trouble: Option<String>,
}

impl Guest {
    fn new(kernel: &str, names: &[String]) -> Self {
        let suites =
            names.iter().map(|name| (name.clone(), Suite::new(format!("{kernel} {name}")), false)).collect();
        Self { suites, running: None, started: false, trouble: None }
    }

    fn line(&mut self, line: &str) {
        let line = line.trim_end_matches('\r');
        self.started |= line.starts_with("VM-");
        if let Some(name) = line.strip_prefix("VM-SUITE ") {
            self.running = self.suites.iter().position(|(known, ..)| known == name);
        } else if let Some(trouble) = line.strip_prefix("VM-ERROR ") {
            self.trouble = Some(trouble.to_owned());
        } else if let Some((name, code)) =
            line.strip_prefix("VM-RESULT ").and_then(|rest| rest.split_once(' '))
        {
            for (known, suite, ended) in &mut self.suites {
                if known == name {
                    suite.end(code.parse().unwrap_or(1));
                    *ended = true;
                }
            }
            self.running = None;
        } else if let Some((_, suite, _)) = self.running.and_then(|at| self.suites.get_mut(at)) {
            suite.line(line);
        }
    }

    fn end(self, ended: Ended) -> Vec<Suite> {
        let how = match ended {
            Ended::Code(code) => format!("the machine ended (qemu's exit code: {code})"),
            Ended::Deadline(limit) => format!("the machine did not end within {} s", limit.as_secs()),
        };
        let mut suites = Vec::new();
        for (_, mut suite, has_ended) in self.suites {
            if !has_ended {
                let trouble = self.trouble.as_deref().unwrap_or("the suite gave no result");
                suite.broken = Some(format!("{how}: {trouble}"));
            }
            suites.push(suite);
        }
        suites
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that each line counts for the suite that runs, and that one without a result is broken.
    #[test]
    fn sorts_the_guests_lines() {
        let mut guest = Guest::new("6.1", &["live".into(), "random".into()]);
        let said = "VM-SUITE live\r\ntest result: ok. 3 passed; 0 failed; 0 ignored\r\nVM-RESULT live 0\r\nVM-SUITE random\r\n\
            test result: ok. 5 passed; 0 failed; 0 ignored\r\nVM-ERROR out of memory";
        said.split('\n').for_each(|line| guest.line(line));
        let suites = guest.end(Ended::Code(0));
        assert_eq!((suites[0].name.as_str(), suites[0].passed, suites[0].is_good()), ("6.1 live", 3, true));
        assert!(suites[1].broken.as_ref().unwrap().ends_with("out of memory"));
    }

    /// Check that dependencies come first, each once, built-in ones not at all, and that an unknown module is named.
    #[test]
    fn orders_modules() {
        let dir = tempfile::tempdir().unwrap();
        let kernel = dir.path().join("kernel/fs");
        fs::create_dir_all(&kernel).unwrap();
        fs::write(dir.path().join("modules.builtin"), "kernel/lib/crc-x.ko\n").unwrap();
        for (name, depends) in [("a-b", "c,crc_x"), ("c", "d"), ("d", "")] {
            fs::write(
                kernel.join(format!("{name}.ko")),
                format!("\x7fELF\0depends={depends}\0name={name}\0"),
            )
            .unwrap();
        }
        let images = modules(dir.path(), &["a_b".into(), "c".into(), "crc-x".into()]).unwrap();
        let names: Vec<String> = images
            .iter()
            .map(|image| {
                String::from_utf8_lossy(image)
                    .rsplit("name=")
                    .next()
                    .unwrap()
                    .trim_end_matches('\0')
                    .to_owned()
            })
            .collect();
        assert_eq!(names, ["d", "c", "a-b"]);
        assert!(modules(dir.path(), &["zzz".into()]).unwrap_err().to_string().contains("zzz"));
    }
}
