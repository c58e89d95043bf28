//! The trial of the package: installed, used, installed again, removed and purged in a clean root.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::VERSION;
use super::root::Root;
use crate::command::{Ended, Limits, note};

/// Its name in the table of suites.
pub(super) const SUITE: &str = "package";

/// A command in the root that takes longer than this hangs.
const LIMIT: Duration = Duration::from_secs(300);
/// The package's file in the root.
const DEB: &str = "/tmp/aioinspect.deb";
const SETTINGS: &str = "etc/default/aioinspect";
const UNITS: [&str; 2] =
    ["/usr/lib/systemd/system/aioinspect.service", "/usr/lib/systemd/system/aioinspect.socket"];
/// What dpkg and systemctl keep for themselves, and caches.
const NOT_OURS: [&str; 4] =
    ["/var/lib/dpkg", "/var/cache", "/var/log/dpkg.log", "/run/systemd/systemd-units-load"];

/// One check: its name, and what it does.
type Check = (&'static str, fn(&Trial) -> Result<()>);

/// In this order: each finds the root as the one before it left it.
const CHECKS: [Check; 11] = [
    ("installs", |trial| trial.dpkg("-i", DEB)),
    ("enables_nothing", enables_nothing),
    ("says_its_version", says_its_version),
    ("lists_contexts", lists_contexts),
    ("units_are_good", units_are_good),
    ("service_is_confined", service_is_confined),
    ("has_manual_pages", has_manual_pages),
    ("keeps_changed_settings", keeps_changed_settings),
    ("removal_disables", removal_disables),
    ("removal_keeps_settings", removal_keeps_settings),
    ("purge_leaves_nothing", purge_leaves_nothing),
];

struct Trial<'a> {
    root: &'a Root,
    /// The root as it was before the package.
    before: Vec<String>,
}

/// Runs all checks, each told to `each` as libtest tells a test; whether all are good.
pub(super) fn run(root: &Root, deb: &Path, each: &mut dyn FnMut(&str)) -> Result<bool> {
    fs::copy(deb, root.path(DEB.trim_start_matches('/'))).context("cannot copy the package into the root")?;
    let trial = Trial { root, before: tree(&root.path(""))? };
    let (mut passed, mut failed) = (0, 0);
    for (name, check) in CHECKS {
        match check(&trial) {
            Ok(()) => {
                passed += 1;
                each(&format!("test {SUITE}::{name} ... ok"));
            }
            Err(error) => {
                failed += 1;
                note(&format!("{name}: {error:#}"));
                each(&format!("test {SUITE}::{name} ... FAILED"));
            }
        }
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    each(&format!("test result: {word}. {passed} passed; {failed} failed; 0 ignored"));
    Ok(failed == 0)
}

impl Trial<'_> {
    /// Runs a command in the root; what it says on both its outputs. One that fails is an error that says it too.
    fn run(&self, words: &[&str]) -> Result<String> {
        let mut says = String::new();
        let ended = self.root.command(words).stream(Limits { start: LIMIT, whole: LIMIT }, &mut |line| {
            says.push_str(line);
            says.push('\n');
            true
        })?;
        match ended {
            Ended::Code(0) => Ok(says),
            Ended::Code(code) => bail!("`{}` ended with exit code {code}:\n{says}", words.join(" ")),
            Ended::Deadline(limit) => bail!("`{}` did not end within {} s", words.join(" "), limit.as_secs()),
        }
    }

    fn dpkg(&self, action: &str, what: &str) -> Result<()> {
        let says = self.run(&["dpkg", action, what])?;
        ensure!(!says.contains("warning"), "dpkg warns:\n{says}");
        Ok(())
    }

    fn is_enabled(&self) -> bool {
        let wants = ["multi-user.target.wants/aioinspect.service", "sockets.target.wants/aioinspect.socket"];
        wants.iter().any(|link| self.root.path("etc/systemd/system").join(link).is_symlink())
    }
}

fn enables_nothing(trial: &Trial) -> Result<()> {
    ensure!(!trial.is_enabled(), "a unit is enabled");
    Ok(())
}

fn says_its_version(trial: &Trial) -> Result<()> {
    let says = trial.run(&["aioinspect", "--version"])?;
    ensure!(says.trim() == format!("aioinspect {VERSION}"), "it says {says}");
    Ok(())
}

/// The root has its own /proc, but this machine's kernel: the document is that of this machine.
fn lists_contexts(trial: &Trial) -> Result<()> {
    trial.run(&["aioinspect", "list"])?;
    let says = trial.run(&["sh", "-c", "aioinspect list -J 2>/dev/null"])?;
    let document: Value = serde_json::from_str(&says).with_context(|| format!("not JSON: {says}"))?;
    ensure!(document.pointer("/system/aio_max_nr").is_some_and(Value::is_number), "no aio_max_nr: {says}");
    Ok(())
}

fn units_are_good(trial: &Trial) -> Result<()> {
    let mut words = vec!["systemd-analyze", "verify", "--man=no"];
    words.extend(UNITS);
    let says = trial.run(&words)?;
    ensure!(!says.contains("aioinspect"), "systemd complains:\n{says}");
    Ok(())
}

/// What systemd calls OK or better; it calls a service without any confinement 9.6.
fn service_is_confined(trial: &Trial) -> Result<()> {
    let [service, _] = UNITS;
    trial
        .run(&["systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=50", service])
        .map(drop)
}

fn has_manual_pages(trial: &Trial) -> Result<()> {
    let says = trial.run(&["sh", "-c", "gzip -tv /usr/share/man/man1/aioinspect*.1.gz"])?;
    ensure!(says.contains("/aioinspect.1.gz") && says.contains("/aioinspect-list.1.gz"), "only {says}");
    Ok(())
}

fn keeps_changed_settings(trial: &Trial) -> Result<()> {
    let file = trial.root.path(SETTINGS);
    let changed = format!("{}# changed\n", fs::read_to_string(&file)?);
    fs::write(&file, &changed)?;
    trial.dpkg("-i", DEB)?;
    ensure!(fs::read_to_string(&file)? == changed, "the settings were overwritten");
    Ok(())
}

fn removal_disables(trial: &Trial) -> Result<()> {
    trial.run(&["systemctl", "enable", "aioinspect.service", "aioinspect.socket"])?;
    ensure!(trial.is_enabled(), "systemctl enabled nothing");
    trial.dpkg("-r", "aioinspect")?;
    ensure!(!trial.is_enabled(), "a link to a unit that is gone is left");
    Ok(())
}

fn removal_keeps_settings(trial: &Trial) -> Result<()> {
    ensure!(trial.root.path(SETTINGS).is_file(), "{SETTINGS} is gone");
    ensure!(!trial.root.path("usr/bin/aioinspect").exists(), "the program is still there");
    Ok(())
}

fn purge_leaves_nothing(trial: &Trial) -> Result<()> {
    trial.dpkg("-P", "aioinspect")?;
    let after = tree(&trial.root.path(""))?;
    let differ = difference(&trial.before, &after);
    ensure!(differ.is_empty(), "the root is not what it was:\n{}", differ.join("\n"));
    Ok(())
}

/// Every file of the root with its mode, and a regular one's size, in order.
fn tree(root: &Path) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    walk(root, "", &mut lines)?;
    lines.sort();
    Ok(lines)
}

fn walk(dir: &Path, name: &str, lines: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let entry = entry?;
        let name = format!("{name}/{}", entry.file_name().to_string_lossy());
        if NOT_OURS.contains(&name.as_str()) {
            continue;
        }
        let meta = entry.path().symlink_metadata()?;
        let size = if meta.is_file() { meta.size() } else { 0 };
        lines.push(format!("{name} {:o} {size}", meta.mode()));
        if meta.is_dir() {
            walk(&entry.path(), &name, lines)?;
        }
    }
    Ok(())
}

/// What is gone (`-`) and what is new (`+`).
fn difference(before: &[String], after: &[String]) -> Vec<String> {
    let gone = before.iter().filter(|line| !after.contains(line)).map(|line| format!("-{line}"));
    let new = after.iter().filter(|line| !before.contains(line)).map(|line| format!("+{line}"));
    gone.chain(new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that a file that came, went or changed is seen, and that what dpkg keeps for itself is not.
    #[test]
    fn sees_what_is_left() {
        let root = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let file = root.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        file("etc/a", "1");
        file("etc/b", "1");
        file("var/lib/dpkg/status", "");
        let before = tree(root.path()).unwrap();
        file("etc/a", "12");
        file("var/lib/dpkg/status", "aioinspect");
        file("etc/c", "");
        fs::remove_file(root.path().join("etc/b")).unwrap();
        let differ: Vec<String> = difference(&before, &tree(root.path()).unwrap())
            .iter()
            .map(|line| line.split(' ').next().unwrap().to_owned())
            .collect();
        assert_eq!(differ, ["-/etc/a", "-/etc/b", "+/etc/a", "+/etc/c"]);
    }
}
