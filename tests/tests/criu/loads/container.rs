//! The same server in a container of runc's: the recipe of docs/criu.md.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use aioinspect_tests::criu::{Home, SlowDisk};
use aioinspect_tests::host::{HostLock, aio_nr};
use aioinspect_tests::programs::{Output, run};
use serde_json::json;

use super::mariadb::{self, Database, SPEED};
use super::rounds::{Checkpointed, Ran};
use crate::bed::{hook, hook_path};

/// Its name, among runc's of this home.
const ID: &str = "aioinspect-load";
/// Where it has the disk.
const DISK: &str = "/disk";

/// A container whose programs are this machine's own. To be dropped before the home: it removes its control groups.
struct Container<'a> {
    home: &'a Home,
}

impl Container<'_> {
    /// Runs the script `/script` in one that has the disk.
    fn run<'a>(home: &'a Home, disk: &SlowDisk, script: &str) -> Container<'a> {
        let bundle = home.dir().join("bundle");
        let root = bundle.join("rootfs");
        for dir in ["tmp", "proc", "dev", "etc", "usr", "disk"] {
            fs::create_dir_all(root.join(dir)).unwrap();
        }
        for dir in ["bin", "sbin", "lib", "lib64"] {
            std::os::unix::fs::symlink(format!("usr/{dir}"), root.join(dir)).unwrap();
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n").unwrap();
        fs::write(root.join("script"), script).unwrap();
        fs::write(bundle.join("config.json"), config(home.dir(), disk)).unwrap();
        let settings =
            format!("network-lock skip\nmanage-cgroups ignore\naction-script {}\n", hook_path().display());
        fs::write(home.dir().join("runc.conf"), settings).unwrap();
        let container = Container { home };
        let started = container.runc(&["run", "-d", "--bundle", path(&bundle)]);
        let said = fs::read_to_string(home.dir().join("runc.log")).unwrap_or_default();
        assert_eq!(started.code, 0, "{said}");
        container
    }

    /// Its standard streams are nobody's: CRIU cannot dump files of the host.
    fn runc(&self, verb: &[&str]) -> Output {
        let dir = self.home.dir();
        let mut command: Command = self.home.inside("timeout");
        command.args(["--signal=KILL", "60", "sh", "-c"]);
        command.args(["exec runc \"$@\" >/dev/null 2>>runc.log", "sh", "--root"]).arg(dir.join("runc"));
        command.args(verb).arg(ID).envs(hook().env).current_dir(dir);
        run(&mut command)
    }

    fn criu(&self, log: &str, verb: &[&str]) -> Ran {
        let dir = self.home.dir();
        let (images, work) = (dir.join("images"), dir.join("work"));
        fs::create_dir_all(&work).unwrap();
        let places = ["--image-path", path(&images), "--work-path", path(&work), "--file-locks"];
        let code = self.runc(&[verb, &places].concat()).code;
        let said = fs::read_to_string(dir.join("runc.log")).unwrap_or_default();
        let text = fs::read(work.join(log)).unwrap_or_default();
        Ran { code, log: format!("{said}{}", String::from_utf8_lossy(&text)) }
    }
}

impl Checkpointed for Container<'_> {
    fn dump(&self) -> Ran {
        drop(fs::remove_dir_all(self.home.dir().join("images")));
        self.criu("dump.log", &["checkpoint"])
    }

    fn restore(&self) -> Ran {
        let bundle = self.home.dir().join("bundle");
        self.criu("restore.log", &["restore", "-d", "--bundle", path(&bundle)])
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        self.runc(&["delete", "--force"]);
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn config(dir: &Path, disk: &SlowDisk) -> String {
    let namespaces = ["pid", "network", "ipc", "uts", "mount"].map(|kind| json!({ "type": kind }));
    let environment = ["PATH=/usr/sbin:/usr/bin", "TMPDIR=/tmp"];
    let settings: PathBuf = dir.join("runc.conf");
    // The limits of the root do not count in a group of its own.
    let (major, minor) = disk.numbers();
    let speed = json!([{ "major": major, "minor": minor, "rate": SPEED }]);
    let speeds = json!({ "throttleReadBpsDevice": speed, "throttleWriteBpsDevice": speed });
    let config = json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "args": ["/bin/sh", "/script"],
            "env": environment,
            "cwd": "/",
        },
        "root": { "path": "rootfs", "readonly": false },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] },
            { "destination": "/usr", "type": "bind", "source": "/usr", "options": ["bind", "ro"] },
            { "destination": DISK, "type": "bind", "source": disk.dir, "options": ["rbind", "rw"] },
        ],
        "linux": { "namespaces": namespaces, "resources": { "blockIO": speeds } },
        "annotations": { "org.criu.config": settings },
    });
    config.to_string()
}

/// Check that a container of runc's with a server under load is checkpointed and restored as often as wanted, by the installed script
/// that CRIU's settings name, and that nothing is lost.
#[test]
fn keeps_every_row() {
    const NAME: &str = "loads::container::keeps_every_row";
    if !mariadb::can_run(NAME) || !super::has(NAME, &[("runc", "runc")]) {
        return;
    }
    let _host = HostLock::take();
    let home = Home::new();
    let disk = home.large_disk();
    let idle = aio_nr();
    let database = Database::create(&home, &disk);
    let container = Container::run(&home, &disk, &Database::script(Path::new(DISK)));
    mariadb::runs(NAME, idle, &database, &container);
}
