//! A disk that is as slow as a test wants it: a loop device, throttled for all by cgroup v1's blkio.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::is_there;
use crate::pages;
use crate::programs::run;

/// Blocks of each file on it.
const BLOCKS: u64 = 1024;

/// A file system of a home, and how fast its device is. The device ends with the home's mount namespace.
#[derive(Debug)]
pub struct SlowDisk {
    /// Where the home has it mounted.
    pub dir: PathBuf,
    /// `major:minor` of its device.
    device: String,
    blkio: PathBuf,
    /// What it was told last: to be told again lets go of what waits.
    told: Cell<u64>,
}

impl SlowDisk {
    /// Bytes of a disk.
    pub(super) const SMALL: u64 = 64 << 20;
    /// Bytes of one with room for a database, and for what it has not purged yet. No more is used than is written.
    pub(super) const LARGE: u64 = 1 << 30;

    /// Why there can be none here.
    pub fn why_not() -> Option<String> {
        if blkio().is_none() {
            return Some("no blkio of cgroup v1 is mounted here, by which a disk is made slow".to_owned());
        }
        if !is_there("mkfs.ext4") {
            return Some("there is no mkfs.ext4 (package e2fsprogs)".to_owned());
        }
        (!Path::new("/dev/loop-control").exists()).then(|| "this kernel has no loop devices".to_owned())
    }

    /// Makes the file system in `dir` of the home whose first process is `reaper`, with the files `read` and `write` on it.
    pub(super) fn new(reaper: u32, dir: &Path, size: u64) -> SlowDisk {
        let (image, mounted) = (dir.join("disk.img"), dir.join("disk"));
        let made = fs::File::create(&image).and_then(|file| file.set_len(size));
        made.and_then(|()| fs::create_dir(&mounted))
            .unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        ok(Command::new("mkfs.ext4").args(["-q", "-F", "-O", "^has_journal"]).arg(&image));
        let mut mount = Command::new("nsenter");
        mount.args(["-t", &reaper.to_string(), "-m", "mount", "-o", "loop,noatime"]);
        ok(mount.args([&image, &mounted]));
        let disk = SlowDisk {
            device: device(reaper, &mounted),
            dir: mounted,
            blkio: blkio().unwrap_or_else(|| panic!("no blkio")),
            told: Cell::new(u64::MAX),
        };
        // A run that was killed may have left a limit for a device of this number.
        disk.fast();
        let bytes = pages::content(0, BLOCKS * pages::BLOCK);
        for name in ["read", "write", "sync"] {
            let path = disk.seen(reaper, name);
            fs::write(&path, &bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        rustix::fs::sync();
        disk
    }

    /// The path by which this process reaches a file of it.
    pub(super) fn seen(&self, reaper: u32, name: &str) -> PathBuf {
        let dir = self.dir.strip_prefix("/").unwrap_or(&self.dir);
        Path::new("/proc").join(reaper.to_string()).join("root").join(dir).join(name)
    }

    /// From now on it reads and writes so many bytes a second.
    ///
    /// # Panics
    /// If the kernel does not take the limit.
    pub fn slow(&self, bytes: u64) {
        if self.told.replace(bytes) == bytes {
            return;
        }
        for what in ["read", "write"] {
            let file = self.blkio.join(format!("blkio.throttle.{what}_bps_device"));
            let written = fs::write(&file, format!("{} {bytes}", self.device));
            written.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
    }

    /// Major and minor number of its device.
    ///
    /// # Panics
    /// If they are not numbers.
    pub fn numbers(&self) -> (u32, u32) {
        let numbers = self
            .device
            .split_once(':')
            .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        numbers.unwrap_or_else(|| panic!("{}", self.device))
    }

    /// From now on speeds are for a group of that name: the root's limits do not count there.
    pub fn for_group(&mut self, name: &str) {
        self.blkio.push(name);
    }

    /// As fast as it can.
    pub fn fast(&self) {
        self.slow(0);
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        // The group may be gone, and its limit with it.
        for what in ["read", "write"] {
            let file = self.blkio.join(format!("blkio.throttle.{what}_bps_device"));
            let _ = fs::write(file, format!("{} 0", self.device));
        }
    }
}

/// The root of the hierarchy: its limits count for everybody, and for a device that is ours alone.
fn blkio() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let line = mounts.lines().find(|line| {
        line.split_once(" - cgroup ")
            .is_some_and(|(_, rest)| rest.split([' ', ',']).any(|word| word == "blkio"))
    })?;
    let dir = PathBuf::from(line.split(' ').nth(4)?);
    dir.join("blkio.throttle.read_bps_device").is_file().then_some(dir)
}

fn device(reaper: u32, mounted: &Path) -> String {
    let mounts = fs::read_to_string(format!("/proc/{reaper}/mountinfo")).unwrap_or_default();
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mut ours = fields.filter(|fields| fields.get(4).is_some_and(|place| Path::new(place) == mounted));
    let device = ours.next().and_then(|fields| fields.get(2).map(|device| (*device).to_owned()));
    device.unwrap_or_else(|| panic!("{} is not mounted", mounted.display()))
}

fn ok(command: &mut Command) {
    let output = run(command);
    assert_eq!(output.code, 0, "{command:?}: {}", output.stderr);
}
