//! Running aioinspect as nobody, with few capabilities.
#![expect(unsafe_code, reason = "credentials of a child are set by raw calls")]

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use tempfile::TempDir;

use crate::programs::{Output, bin, run};

/// The user nobody, and its group.
pub const NOBODY: u32 = 65534;

/// A place that anybody may enter, with a copy of aioinspect that anybody may run: the build directory may be private.
#[derive(Debug)]
pub struct Yard {
    home: TempDir,
}

impl Yard {
    ///
    /// # Panics
    /// If there is no room for it.
    #[expect(clippy::new_without_default, reason = "it makes a directory")]
    pub fn new() -> Yard {
        let made = || -> io::Result<TempDir> {
            let home = tempfile::Builder::new().prefix("aioinspect-test-").tempdir()?;
            fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755))?;
            fs::copy(bin("aioinspect"), home.path().join("aioinspect"))?;
            fs::set_permissions(home.path().join("aioinspect"), fs::Permissions::from_mode(0o755))?;
            Ok(home)
        };
        let home = made().unwrap_or_else(|error| panic!("no yard: {error}"));
        Yard { home }
    }

    /// A directory of this place.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn dir(&self, name: &str, owner: u32) -> PathBuf {
        let path = self.home.path().join(name);
        let made = fs::create_dir(&path).and_then(|()| chown(&path, Some(owner), Some(owner)));
        made.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// Runs aioinspect as nobody with these capabilities, as a service with ambient ones would be.
    pub fn nobody(&self, capabilities: CapabilitySet, args: &[&str]) -> Output {
        run(&mut self.command(capabilities, args))
    }

    /// The command for that.
    pub fn command(&self, capabilities: CapabilitySet, args: &[&str]) -> Command {
        let mut command = Command::new(self.home.path().join("aioinspect"));
        command.args(args).current_dir(self.home.path());
        // SAFETY: the closure makes system calls only.
        unsafe { command.pre_exec(move || become_nobody(capabilities)) };
        command
    }
}

fn become_nobody(capabilities: CapabilitySet) -> io::Result<()> {
    // SAFETY: numbers, and no groups.
    let done = unsafe {
        libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0
            && libc::setgroups(0, std::ptr::null()) == 0
            && libc::setresgid(NOBODY, NOBODY, NOBODY) == 0
            && libc::setresuid(NOBODY, NOBODY, NOBODY) == 0
    };
    if !done {
        return Err(io::Error::last_os_error());
    }
    let sets = CapabilitySets { effective: capabilities, permitted: capabilities, inheritable: capabilities };
    set_capabilities(None, sets)?;
    for one in capabilities.iter() {
        rustix::thread::configure_capability_in_ambient_set(one, true)?;
    }
    Ok(())
}
