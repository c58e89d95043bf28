//! A container of runc's with the fixture as its only program.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::{Home, Round, Scripts, SlowDisk, Target, is_there, scripts};
use crate::programs::{Output, bin, run};

/// Its name, among runc's of this home, and that of its control groups.
const ID: &str = "aioinspect-test";
/// Where it has the disk.
const DISK: &str = "/disk";

/// A container in a home. To be dropped before the home: it removes its control groups.
#[derive(Debug)]
pub struct Container<'a> {
    home: &'a Home,
    /// Its init: the fixture.
    pub target: Target,
}

impl Container<'_> {
    /// Why there can be none here.
    pub fn why_not() -> Option<String> {
        if !is_there("runc") {
            return Some("there is no runc (package runc)".to_owned());
        }
        let fixture = fs::read(bin("aio-fixture")).unwrap_or_default();
        let is_static = !fixture.windows(9).take(4096).any(|bytes| bytes == b"/ld-linux");
        (!is_static)
            .then(|| "aio-fixture is not linked statically, as `cargo xtask test` links it".to_owned())
    }

    /// Runs one that has the disk.
    ///
    /// # Panics
    /// If it does not start.
    pub fn run<'a>(home: &'a Home, disk: &mut SlowDisk) -> Container<'a> {
        let root = home.dir().join("bundle/rootfs");
        let made =
            ["tmp", "proc", "dev", "disk"].iter().try_for_each(|dir| fs::create_dir_all(root.join(dir)));
        let program = root.join("aio-fixture");
        let made = made.and_then(|()| fs::copy(bin("aio-fixture"), &program).map(drop));
        let made = made.and_then(|()| fs::set_permissions(&program, fs::Permissions::from_mode(0o755)));
        let made =
            made.and_then(|()| fs::write(home.dir().join("bundle/config.json"), config(home.dir(), disk)));
        made.unwrap_or_else(|error| panic!("{}: {error}", root.display()));
        let fifos = root.join("tmp");
        ok(Command::new("mkfifo").args([fifos.join("in"), fifos.join("out")]));
        ok(runc(home, &["run", "-d", "--bundle"]).arg(home.dir().join("bundle")).arg(ID));
        disk.for_group(ID);
        Container { home, target: home.target(&fifos) }
    }

    /// The path by which its target knows a file of the disk.
    pub fn file(name: &str) -> PathBuf {
        Path::new(DISK).join(name)
    }

    /// `runc checkpoint`, with the scripts named in a file of CRIU's settings, as a machine's /etc/criu/runc.conf would.
    pub fn checkpoint(&self, scripts: &Scripts) -> Round {
        self.criu(scripts, "dump.log", &["checkpoint"])
    }

    /// `runc restore`.
    pub fn restore(&self, scripts: &Scripts) -> Round {
        let bundle = self.home.dir().join("bundle");
        self.criu(scripts, "restore.log", &["restore", "-d", "--bundle", &bundle.display().to_string()])
    }

    fn criu(&self, scripts: &Scripts, log: &str, verb: &[&str]) -> Round {
        let dir = self.home.dir();
        let paths = scripts.laid_out(dir);
        let lines = paths.iter().map(|script| format!("action-script {}\n", script.display()));
        let settings = format!("network-lock skip\nmanage-cgroups ignore\n{}", lines.collect::<String>());
        let (images, work) = (dir.join("images"), dir.join("work"));
        let made = fs::create_dir_all(&images).and_then(|()| fs::create_dir_all(&work));
        let made = made.and_then(|()| fs::write(dir.join("runc.conf"), settings));
        made.unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        let mut command = runc(self.home, verb);
        command.arg("--image-path").arg(&images).arg("--work-path").arg(&work).arg(ID);
        command.envs(scripts.env.iter().map(|(name, value)| (name, value)));
        let Output { code, .. } = run(&mut command);
        let text = fs::read(work.join(log)).unwrap_or_default();
        let said = fs::read_to_string(dir.join("runc.log")).unwrap_or_default();
        Round {
            code,
            log: format!("{said}{}", String::from_utf8_lossy(&text)),
            actions: scripts::noted(dir),
            frozen_us: super::round::frozen_us(&work.join("stats-dump")).unwrap_or(0),
        }
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        run(runc(self.home, &["delete", "--force"]).arg(ID));
    }
}

/// Its standard streams are nobody's: CRIU cannot dump files of the host.
fn runc(home: &Home, verb: &[&str]) -> Command {
    let mut command = home.inside("timeout");
    let script = "exec runc \"$@\" >/dev/null 2>&1";
    command.args(["--signal=KILL", "60", "sh", "-c", script, "sh", "--log"]);
    command.arg(home.dir().join("runc.log")).arg("--root").arg(home.dir().join("runc")).args(verb);
    command
}

fn config(dir: &Path, disk: &SlowDisk) -> String {
    let namespaces = ["pid", "network", "ipc", "uts", "mount"].map(|kind| json!({ "type": kind }));
    let config = json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "args": ["/aio-fixture", "on-its-own", "/tmp"],
            "env": ["TMPDIR=/tmp"],
            "cwd": "/",
        },
        "root": { "path": "rootfs", "readonly": false },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] },
            { "destination": DISK, "type": "bind", "source": disk.dir, "options": ["rbind", "rw"] },
        ],
        "linux": { "namespaces": namespaces },
        "annotations": { "org.criu.config": dir.join("runc.conf") },
    });
    config.to_string()
}

fn ok(command: &mut Command) {
    let output = run(command);
    assert_eq!(output.code, 0, "{command:?}: {}", output.stderr);
}
