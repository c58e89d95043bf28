//! Real CRIU: a target in namespaces of its own is dumped and restored, with action scripts or without, and then asked what became of its requests.
//!
//! ```no_run
//! use aioinspect_tests::criu::{Home, Net, Scripts};
//! let home = Home::new();
//! let mut target = home.start(Net::Own);
//! target.run("setup 128");
//! let dump = home.dump(target.inner, &Scripts::none(), &[]);
//! assert_eq!(dump.code, 0, "{}", dump.log);
//! ```

mod container;
mod disk;
mod home;
mod processes;
mod round;
mod scripts;
mod target;

pub use container::Container;
pub use disk::SlowDisk;
pub use home::Home;
pub use round::{Round, Running};
pub use scripts::{Action, Scripts};
pub use target::{Net, Target};

use std::process::Command;
use std::sync::OnceLock;

use crate::programs::{is_root, run, skip};

/// Whether CRIU runs here; if not, it says that the test `name` is skipped, and why.
pub fn is_ready(name: &str) -> bool {
    static WHY_NOT: OnceLock<Option<String>> = OnceLock::new();
    match WHY_NOT.get_or_init(why_not) {
        None => true,
        Some(why) => {
            skip(name, why);
            false
        }
    }
}

/// What the bed calls beside CRIU, and the Debian package that brings it.
const NEEDS: [(&str, &str); 5] = [
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("setsid", "util-linux"),
    ("mount", "mount"),
    ("timeout", "coreutils"),
];

/// How CRIU is to lock the target's network, which has no addresses: not at all where it knows that word, and else without iptables.
pub(crate) fn network_lock() -> &'static str {
    static CAN_SKIP: OnceLock<bool> = OnceLock::new();
    let can_skip = || run(Command::new("criu").args(["check", "--network-lock", "skip"])).code == 0;
    if *CAN_SKIP.get_or_init(can_skip) { "skip" } else { "nftables" }
}

fn why_not() -> Option<String> {
    if !is_root() {
        return Some("CRIU needs root".to_owned());
    }
    for (program, package) in NEEDS.iter().chain([&("criu", "criu")]) {
        if !is_there(program) {
            return Some(format!("there is no {program} (package {package})"));
        }
    }
    let check = run(Command::new("criu").arg("check"));
    let last_error =
        || check.stderr.lines().rfind(|line| line.contains("Error")).unwrap_or_default().to_owned();
    (check.code != 0).then(|| format!("`criu check` ends with {}: {}", check.code, last_error()))
}

/// Whether PATH leads to a program of this name.
pub(crate) fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}
