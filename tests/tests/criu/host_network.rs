//! A target in the host's network namespace: CRIU has no action between stopping it and writing its memory.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use aioinspect_tests::cgroup::{Cgroup, hierarchies};
use aioinspect_tests::criu::{Net, Scripts};
use aioinspect_tests::programs::skip;

use crate::bed::{Bed, hook};
use crate::document::{Table, row};
use crate::outcome::reaped;

const READS: u64 = 32;

fn busy(test: &str) -> Option<Bed> {
    let mut bed = Bed::with_disk(test, Net::Hosts)?;
    bed.target.run("setup 128");
    bed.submit(0, "read", READS);
    Some(bed)
}

/// Check that requests in flight are refused before anybody is stopped, with what can be done, and that the target runs on with them.
#[test]
fn what_is_in_flight_is_refused() {
    let Some(mut bed) = busy("what_is_in_flight_is_refused") else { return };
    let dump = bed.home.dump(bed.target.inner, &hook(), &[]);
    assert_ne!(dump.code, 0, "{}", dump.log);
    assert_eq!(dump.names(), ["pre-dump"]);
    assert!(dump.said().contains("--freeze-cgroup"), "{}", dump.said());
    assert_eq!(reaped(&mut bed, READS), "all reaped, all right");
}

/// Check that with a wait the requests end before CRIU stops the target.
#[test]
fn a_wait_lets_them_end() {
    let Some(mut bed) = busy("a_wait_lets_them_end") else { return };
    let dump = bed.home.dump(bed.target.inner, &hook().with("AIOINSPECT_WAIT", "20s"), &[]);
    assert_eq!(dump.code, 0, "{}", dump.log);
    assert_eq!(dump.names(), ["pre-dump", "post-dump"]);
    let restore = bed.restore(&hook());
    assert_eq!(restore.code, 0, "{}", restore.log);
    assert_eq!(reaped(&mut bed, READS), "all reaped, all right");
    assert_eq!(bed.reserved(), 128);
}

/// A control group of a freezer.
struct Frozen {
    file: PathBuf,
    thawed: &'static str,
    path: PathBuf,
    // Removed when it is thawed and empty.
    cgroup: Option<Cgroup>,
}

impl Frozen {
    fn of(bed: &Bed, mount: &std::path::Path, is_v2: bool) -> Frozen {
        let hierarchy = hierarchies().into_iter().find(|one| one.mount == mount).unwrap();
        let name = format!("aioinspect-test-{}", std::process::id());
        let path = mount.join(&name);
        let cgroup = Cgroup::below(&hierarchy, &name);
        cgroup.take(bed.target.pid().unwrap());
        let (file, frozen, thawed) =
            if is_v2 { ("cgroup.freeze", "1", "0") } else { ("freezer.state", "FROZEN", "THAWED") };
        let file = path.join(file);
        fs::write(&file, frozen).unwrap();
        Frozen { file, thawed, path, cgroup: Some(cgroup) }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // It is removed with the bed, when the target has ended or left.
        let _ = fs::write(&self.file, self.thawed);
        let procs = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        for pid in procs.split_whitespace() {
            let _ = fs::write(self.path.parent().unwrap().join("cgroup.procs"), pid);
        }
        self.cgroup.take();
    }
}

fn with_a_frozen_cgroup(test: &str, name: &str, is_v2: bool) {
    let is_v1_freezer = |mount: &PathBuf| mount.ends_with("freezer");
    let found =
        hierarchies().into_iter().find(|one| one.is_v2 == is_v2 && (is_v2 || is_v1_freezer(&one.mount)));
    let Some(hierarchy) = found else {
        skip(test, if is_v2 { "no cgroup v2 is mounted" } else { "no freezer of cgroup v1 is mounted" });
        return;
    };
    let seen = |scripts: &Scripts| {
        let mut bed = busy(test)?;
        let frozen = Frozen::of(&bed, &hierarchy.mount, is_v2);
        thread::sleep(Duration::from_millis(100));
        let path = frozen.path.to_str().unwrap().to_owned();
        let dump = bed.home.dump(bed.target.inner, scripts, &["--freeze-cgroup", &path]);
        assert_eq!(dump.code, 0, "{}", dump.log);
        drop(frozen);
        let restore = bed.restore(scripts);
        assert_eq!(restore.code, 0, "{}", restore.log);
        let words = reaped(&mut bed, READS);
        let reserved = if bed.reserved() == 128 { "aio-nr as before" } else { "aio-nr **grows**" };
        Some((format!("{words}; {reserved}"), dump))
    };
    let (Some((alone, _)), Some((hooked, dump))) = (seen(&Scripts::none()), seen(&hook())) else { return };
    row(Table::Cases, &[name, &alone, &hooked]);
    assert!(alone.contains("never come"), "{alone}");
    assert_eq!(hooked, "all reaped, all right; aio-nr as before", "{}", dump.log);
}

/// Check that a control group of v2 which is frozen before holds the target while its requests end.
#[test]
fn a_frozen_cgroup_v2() {
    with_a_frozen_cgroup("a_frozen_cgroup_v2", "32 reads, host's network, cgroup v2 frozen before", true);
}

/// Check the same for the freezer of v1.
#[test]
fn a_frozen_cgroup_v1() {
    with_a_frozen_cgroup("a_frozen_cgroup_v1", "32 reads, host's network, cgroup v1 frozen before", false);
}
