//! Namespaces of their own for a target and CRIU, whose first process reaps: what is restored gets its old PIDs, and nobody waits for a dead one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{Net, Round, Running, Scripts, SlowDisk, Target, processes};
use crate::programs::{bin, run};

/// Longer than any run of CRIU takes with a slow disk, in seconds.
const LIMIT_S: u32 = 60;

/// A PID and a mount namespace, and a directory. Dropping it ends all processes in it.
#[derive(Debug)]
pub struct Home {
    unshare: Child,
    reaper: u32,
    litter: TempDir,
}

impl Home {
    /// Makes one, without a target.
    ///
    /// # Panics
    /// If the namespaces cannot be made.
    #[expect(clippy::new_without_default, reason = "it makes namespaces")]
    pub fn new() -> Home {
        let litter = tempfile::Builder::new().prefix("aioinspect-test-").tempdir();
        let litter = litter.unwrap_or_else(|error| panic!("no temporary directory: {error}"));
        let unshare = Command::new("unshare")
            .args(["--pid", "--fork", "--mount", "--mount-proc", "--propagation", "private", "--kill-child"])
            .arg(bin("aio-fixture"))
            .arg("reaper")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        let unshare = unshare.unwrap_or_else(|error| panic!("unshare: {error}"));
        let reaper = first_child(unshare.id());
        Home { unshare, reaper, litter }
    }

    /// Its directory, the same path inside and outside.
    pub fn dir(&self) -> &Path {
        self.litter.path()
    }

    /// The directory of the images, as this process reaches it.
    pub fn images(&self) -> PathBuf {
        let inside = self.dir().join("images");
        Path::new("/proc")
            .join(self.reaper.to_string())
            .join("root")
            .join(inside.strip_prefix("/").unwrap_or(&inside))
    }

    /// Puts the images on a file system of so many KiB.
    ///
    /// # Panics
    /// If it cannot be mounted.
    pub fn limit_images(&self, kib: u32) {
        let images = self.dir().join("images");
        fs::create_dir(&images).unwrap_or_else(|error| panic!("{error}"));
        let mounted = run(self
            .inside("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "images"])
            .arg(images));
        assert_eq!(mounted.code, 0, "{}", mounted.stderr);
    }

    /// A slow disk for it.
    ///
    /// # Panics
    /// If it cannot be made: ask [`SlowDisk::why_not`] before.
    pub fn disk(&self) -> SlowDisk {
        SlowDisk::new(self.reaper, self.dir(), SlowDisk::SMALL)
    }

    /// One with room for a database.
    ///
    /// # Panics
    /// As [`Home::disk`].
    pub fn large_disk(&self) -> SlowDisk {
        SlowDisk::new(self.reaper, self.dir(), SlowDisk::LARGE)
    }

    /// The bytes of a file of its disk.
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn read(&self, disk: &SlowDisk, name: &str) -> Vec<u8> {
        let path = disk.seen(self.reaper, name);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Writes bytes to a file of its disk, without waiting for the disk.
    ///
    /// # Panics
    /// If they cannot be written.
    pub fn write(&self, disk: &SlowDisk, name: &str, bytes: &[u8]) {
        use std::io::Write;
        let path = disk.seen(self.reaper, name);
        let file = fs::OpenOptions::new().write(true).open(&path);
        let written = file.and_then(|mut file| file.write_all(bytes));
        written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// The target of a container, whose FIFOs are in `dir`.
    pub(super) fn target(&self, dir: &Path) -> Target {
        Target::new(self.reaper, dir)
    }

    /// A command that runs inside.
    pub fn inside(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.reaper.to_string(), "-p", "-m", "--", program]);
        command.stdin(Stdio::null());
        command
    }

    /// Starts a target.
    ///
    /// # Panics
    /// If it does not answer.
    pub fn start(&self, net: Net) -> Target {
        let dir = self.dir().display();
        let net = if net == Net::Own { "unshare --net" } else { "" };
        // It opens the FIFOs itself, inside; its parent, the shell, ends at once.
        let script = format!(
            "cd '{dir}' && mkfifo in out && TMPDIR='{dir}' setsid -f {net} '{}' on-its-own '{dir}' >/dev/null 2>&1",
            bin("aio-fixture").display()
        );
        let output = run(self.inside("sh").arg("-c").arg(script));
        assert_eq!(output.code, 0, "{}", output.stderr);
        Target::new(self.reaper, self.dir())
    }

    /// Dumps the tree of a process, by its PID in here, into an empty directory of images; it ends with that.
    pub fn dump(&self, root: u32, scripts: &Scripts, args: &[&str]) -> Round {
        self.begin_dump(root, scripts, args).wait()
    }

    /// The same without waiting.
    ///
    /// # Panics
    /// If CRIU cannot be started.
    pub fn begin_dump(&self, root: u32, scripts: &Scripts, args: &[&str]) -> Running {
        fs::create_dir_all(self.dir().join("images")).unwrap_or_else(|error| panic!("{error}"));
        for old in fs::read_dir(self.images()).into_iter().flatten().flatten() {
            drop(fs::remove_file(old.path()));
        }
        let tree = ["-t".to_owned(), root.to_string()];
        let tree = tree.iter().map(String::as_str).chain(["--network-lock", super::network_lock()]);
        self.begin("dump", "dump.log", scripts, &tree.chain(args.iter().copied()).collect::<Vec<_>>())
    }

    /// Restores what was dumped.
    pub fn restore(&self, scripts: &Scripts, args: &[&str]) -> Round {
        self.begin_restore(scripts, args).wait()
    }

    /// The same without waiting.
    ///
    /// # Panics
    /// If CRIU cannot be started.
    pub fn begin_restore(&self, scripts: &Scripts, args: &[&str]) -> Running {
        // The first process has not reaped what was dumped yet, for a moment.
        let begun = Instant::now();
        while !processes::children(self.reaper).is_empty() && begun.elapsed() < Duration::from_secs(5) {
            thread::sleep(Duration::from_millis(1));
        }
        self.begin("restore", "restore.log", scripts, &[&["--restore-detached"], args].concat())
    }

    fn begin(&self, verb: &str, log: &'static str, scripts: &Scripts, args: &[&str]) -> Running {
        let images = self.images();
        let mut command = self.inside("timeout");
        command
            .args(["--signal=KILL", &LIMIT_S.to_string(), "criu", verb, "-D"])
            .arg(self.dir().join("images"));
        command.args(["-v4", "-o", log, "--manage-cgroups=ignore"]).args(args);
        for script in scripts.laid_out(self.dir()) {
            command.arg("--action-script").arg(script);
        }
        command.envs(scripts.env.iter().map(|(name, value)| (name, value)));
        command.stdout(Stdio::null()).stderr(Stdio::null()).current_dir(self.dir());
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Running { child, dir: self.dir().to_owned(), images, log }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // End of input ends the first process, and the kernel the rest; a child that waits for a slow disk ends when that has answered.
        drop(self.unshare.stdin.take());
        let begun = Instant::now();
        while matches!(self.unshare.try_wait(), Ok(None)) {
            if begun.elapsed() > Duration::from_secs(20) {
                drop(self.unshare.kill());
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn first_child(pid: u32) -> u32 {
    let begun = Instant::now();
    loop {
        // `unshare` makes the namespaces, forks, and only then is there a process that can be entered.
        if let Some(child) = processes::children(pid)
            .into_iter()
            .find(|child| processes::status(*child, "Name").as_deref() == Some("aio-fixture"))
        {
            return child;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "unshare made no namespace");
        thread::sleep(Duration::from_millis(1));
    }
}
