//! A target with its disk, and the host for this test alone.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aioinspect_tests::criu::{Home, Net, Round, Scripts, SlowDisk, Target, is_ready};
use aioinspect_tests::host::{HostLock, aio_nr};
use aioinspect_tests::pages::BLOCK;
use aioinspect_tests::programs::{bin, skip};

/// How long the hook may wait for requests to end: longer than any disk here takes.
const DRAIN: &str = "20s";
/// The disk while requests are in flight: two MiB take two seconds.
pub(crate) const SLOW: u64 = 1 << 20;
/// All requests of a case together have so many bytes.
pub(crate) const BYTES: u64 = 2 << 20;
/// What a restored target is given for requests that are lost, on a disk that is fast again.
pub(crate) const PATIENCE: Duration = Duration::from_millis(1500);

/// One target. What is first here is dropped first.
pub(crate) struct Bed {
    pub(crate) disk: Option<SlowDisk>,
    pub(crate) target: Target,
    pub(crate) home: Home,
    /// fs.aio-nr without the target.
    idle: u64,
    _host: HostLock,
}

impl Bed {
    /// A target; `None` where CRIU cannot run, which is then said.
    pub(crate) fn new(test: &str, net: Net) -> Option<Bed> {
        if !is_ready(test) {
            return None;
        }
        let host = HostLock::take();
        let idle = aio_nr();
        let home = Home::new();
        let target = home.start(net);
        Some(Bed { disk: None, target, home, idle, _host: host })
    }

    /// One with a disk; `None` where there can be none.
    pub(crate) fn with_disk(test: &str, net: Net) -> Option<Bed> {
        if let Some(why) = SlowDisk::why_not() {
            skip(test, &why);
            return None;
        }
        let mut bed = Bed::new(test, net)?;
        bed.disk = Some(bed.home.disk());
        Some(bed)
    }

    pub(crate) fn disk(&self) -> &SlowDisk {
        self.disk.as_ref().unwrap()
    }

    /// Submits `count` requests of a kind to the target's context `handle`; they take two seconds together.
    pub(crate) fn submit(&mut self, handle: u32, kind: &str, count: u64) {
        let file = self.disk().dir.join(if kind == "read" { "read" } else { "write" });
        self.disk().slow(SLOW);
        let bytes = BYTES / count / BLOCK * BLOCK;
        self.target.run(&format!("disk #{handle} {} {kind} {count} {bytes}", file.display()));
    }

    /// Submits an fsync to the target's context `handle` that takes two seconds.
    pub(crate) fn submit_sync(&mut self, handle: u32) {
        let file = self.disk().dir.join("sync");
        self.disk().slow(SLOW);
        self.home.write(self.disk(), "sync", &vec![1; usize::try_from(BYTES).unwrap()]);
        self.target.run(&format!("disk #{handle} {} fsync 1", file.display()));
    }

    /// What the target and its children have reserved.
    pub(crate) fn reserved(&self) -> u64 {
        aio_nr() - self.idle
    }

    /// Restores with the disk fast again, and takes the target's word that it runs.
    pub(crate) fn restore(&mut self, scripts: &Scripts) -> Round {
        if let Some(disk) = &self.disk {
            disk.fast();
        }
        self.home.restore(scripts, &[])
    }
}

/// The hook under test, as it is installed.
pub(crate) fn hook() -> Scripts {
    Scripts::hook(&hook_path()).with("PATH", &path()).with("AIOINSPECT_DRAIN", DRAIN)
}

pub(crate) fn hook_path() -> PathBuf {
    // A virtual machine has it beside the program.
    let beside = bin("aioinspect").with_file_name("criu-hook");
    if beside.is_file() {
        return beside;
    }
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(1).unwrap().join("deploy/criu/criu-hook")
}

/// PATH with the program under test first.
pub(crate) fn path() -> String {
    let dir = bin("aioinspect").parent().unwrap().to_owned();
    let rest = env::var_os("PATH").unwrap_or_default();
    env::join_paths([dir].into_iter().chain(env::split_paths(&rest))).unwrap().into_string().unwrap()
}
