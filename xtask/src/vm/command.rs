//! `cargo xtask vm NAME -- COMMAND..`: a command in a machine of the list, for trying things.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{BINS, Machine, debian, prelude};
use crate::architecture::Architecture;
use crate::command::{Cmd, note, say};
use crate::initramfs::Initramfs;
use crate::kernel;
use crate::kernel::list::{self, Source};
use crate::{build, catalogue, packages, paths, setup};

/// A command that runs longer than this hangs.
const LIMIT: Duration = Duration::from_secs(15 * 60);
/// Debian's package busybox-static, if installed, is the guest's shell.
const BUSYBOX: &str = "busybox";

/// Boots the kernel or pass of this name, and runs the command with these files beside it in /bin; its exit code.
pub(crate) fn run(name: &str, files: &[PathBuf], command: &[String]) -> Result<ExitCode> {
    let listed = list::find(&list::read()?, name)?;
    let source = listed.source.with_context(|| format!("{name} is no virtual machine"))?;
    packages::need(&setup::vm_tools(source.architecture))?;
    let bins = bins(source.architecture)?;
    let init = bins.join("vm-init");
    if !source.architecture.is_of(&init) {
        bail!("{} is no program of {}, which {name} is of", init.display(), source.architecture.name());
    }
    let kernel = kernel::fetch(&source)?;
    let mut archive = Initramfs::new()?;
    archive.copy("init", &init)?;
    for file in BINS.iter().map(|bin| bins.join(bin)).chain(files.iter().cloned()) {
        archive.copy(&format!("bin/{}", paths::name_of(&file)), &file)?;
    }
    add_busybox(&source, &mut archive)?;
    let mut plan = prelude(&listed.terms, &kernel, &catalogue::read()?.vm_modules, &mut archive)?;
    plan.push_str("command\n");
    archive.file("plan", plan.as_bytes())?;
    archive.file("command", command.join("\0").as_bytes())?;
    // Of this process, so that several can be tried at a time.
    let dir = paths::target().join("kernels/tries").join(format!("{name}-{}", std::process::id()));
    let machine = Machine {
        name,
        architecture: source.architecture,
        image: &kernel.image,
        terms: &listed.terms,
        dir: &dir,
        limit: LIMIT,
    };
    let code = boot(&machine, &archive.finish()?);
    drop(fs::remove_dir_all(&dir));
    code
}

fn boot(machine: &Machine<'_>, archive: &[u8]) -> Result<ExitCode> {
    let (mut started, mut code, mut trouble) = (false, None, None);
    let ended = machine.boot(archive, &mut |line| {
        started |= line.starts_with("VM-");
        if let Some(result) = line.strip_prefix("VM-RESULT ") {
            code = result.parse::<u8>().ok();
        } else if let Some(error) = line.strip_prefix("VM-ERROR ") {
            trouble = Some(error.to_owned());
        } else if !line.starts_with("VM-") {
            say(line);
        }
        started
    })?;
    match (code, trouble) {
        (Some(code), _) => Ok(ExitCode::from(code)),
        (None, Some(trouble)) => bail!("{}: {trouble}", machine.name),
        (None, None) => {
            machine.show_console();
            bail!("{}: the command gave no result: {ended:?}", machine.name)
        }
    }
}

/// Where the programs lie: `AIOINSPECT_BIN_DIR`, or else where they are built now.
fn bins(architecture: Architecture) -> Result<PathBuf> {
    match std::env::var_os("AIOINSPECT_BIN_DIR").filter(|dir| !dir.is_empty()) {
        Some(dir) => Ok(PathBuf::from(dir)),
        None => build::bins(&setup::for_run(architecture)?),
    }
}

/// Adds busybox with a link for each of its commands, so that a shell finds them.
fn add_busybox(source: &Source, archive: &mut Initramfs) -> Result<()> {
    if !source.architecture.is_here() {
        return add_foreign_busybox(source, archive);
    }
    let Some(busybox) = paths::program(BUSYBOX).filter(|file| is_static(file)) else {
        note("no static busybox here: there will be no shell; install package busybox-static");
        return Ok(());
    };
    archive.copy("bin/busybox", &busybox)?;
    let commands = Cmd::new(&busybox).arg("--list").ask().unwrap_or_default();
    commands
        .lines()
        .filter(|&name| name != BUSYBOX)
        .try_for_each(|name| archive.link(&format!("bin/{name}"), BUSYBOX))
}

/// One that does not run here cannot be asked for its commands. Its shell knows all of them; the others are for scripts that name a path.
fn add_foreign_busybox(source: &Source, archive: &mut Initramfs) -> Result<()> {
    match debian::busybox(source) {
        Ok(busybox) => {
            archive.copy("bin/busybox", &busybox)?;
            ["sh", "cat", "dmesg", "grep", "ls", "mount", "sleep", "uname"]
                .iter()
                .try_for_each(|name| archive.link(&format!("bin/{name}"), BUSYBOX))
        }
        Err(error) => {
            note(&format!("{error:#}; there will be no shell"));
            Ok(())
        }
    }
}

/// A dynamic program names its interpreter in its first page: /lib64/ld-linux-x86-64.so.2, /lib/ld-linux-aarch64.so.1.
fn is_static(program: &Path) -> bool {
    let bytes = fs::read(program).unwrap_or_default();
    !bytes.iter().take(4096).copied().collect::<Vec<_>>().windows(9).any(|name| name == b"/ld-linux")
}
