//! Each `fix:` of doctor is done, and helps.

use std::fs;
use std::process::Command;

use aioinspect_kernel::bpf::denial;
use aioinspect_kernel::bpf::lockdown::Lockdown;
use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::host::HostLock;
use aioinspect_tests::programs::{Output, bin, run, skip};
use rustix::thread::CapabilitySet;
use serde_json::Value;

use crate::refused::{can, no_panic};
use crate::sandbox::{Yard, forbid, with_mounts, without};

/// What doctor said of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub status: String,
    pub detail: String,
    pub fix: String,
}

/// The row of that name, of what `doctor -J` said.
#[track_caller]
pub fn row(output: &Output, name: &str) -> Row {
    no_panic(output);
    let json: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let of = |check: &Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
    let mut checks = json["checks"].as_array().unwrap().iter();
    let found = checks.find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name}: {output:?}"));
    Row { status: of(found, "status"), detail: of(found, "detail"), fix: of(found, "fix") }
}

/// The command `aioinspect doctor -J`.
pub fn doctor() -> Command {
    let mut command = Command::new(bin("aioinspect"));
    command.args(["doctor", "-J"]);
    command
}

/// The exit code of doctor where nothing is in its way: other than 0 on a kernel that lacks something.
fn usual() -> i32 {
    run(&mut doctor()).code
}

/// Types a line of doctor's, as root.
#[track_caller]
pub fn does(line: &str) {
    let output = run(Command::new("sh").args(["-c", line]));
    assert_eq!(output.code, 0, "{line}: {output:?}");
}

/// The host's limit, put back whatever comes.
struct Limit(String);

const LIMIT: &str = "/proc/sys/fs/aio-max-nr";

impl Limit {
    fn set(value: &str) -> Limit {
        let before = Limit(fs::read_to_string(LIMIT).unwrap());
        fs::write(LIMIT, value).unwrap();
        before
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        let _ = fs::write(LIMIT, &self.0);
    }
}

/// Check that where no slot is free the limit that is advised frees some, also where it is far below what is reserved.
#[test]
fn slots() {
    if !can("slots") {
        return;
    }
    let host = HostLock::take();
    let mut fixture = Fixture::spawn_alone(&host);
    fixture.setup(20_000);
    for limit in ["0", "20000"] {
        let _before = Limit::set(limit);
        let full = row(&run(&mut doctor()), "free slots");
        assert_eq!(full.status, "limited", "{full:?}");
        assert_eq!(full.fix, "sysctl -w fs.aio-max-nr=65536", "{full:?}");
        does(&full.fix);
        let free = row(&run(&mut doctor()), "free slots");
        assert_eq!((&*free.status, &*free.fix), ("present", ""), "{free:?}");
        fixture.try_run("setup 1000").unwrap();
    }
}

const NEEDED: [(CapabilitySet, &str); 4] = [
    (CapabilitySet::BPF, "CAP_BPF"),
    (CapabilitySet::PERFMON, "CAP_PERFMON"),
    (CapabilitySet::SYS_PTRACE, "CAP_SYS_PTRACE"),
    (CapabilitySet::DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH"),
];

/// What stands in for others.
const STANDS_IN: CapabilitySet = CapabilitySet::SYS_ADMIN.union(CapabilitySet::DAC_OVERRIDE);

/// The names after `words` in a fix, up to what is no name.
fn names_after(fix: &str, words: &str) -> CapabilitySet {
    let after = fix.split(words).nth(1).unwrap_or_else(|| panic!("no {words:?} in {fix:?}"));
    let names = after.split(' ').take_while(|word| word.starts_with("CAP_"));
    let set = |name: &str| NEEDED.iter().find(|(_, known)| *known == name.trim_end_matches(',')).unwrap().0;
    names.map(set).fold(CapabilitySet::empty(), CapabilitySet::union)
}

/// Check that a user other than root is told to be root, and that root has what was missing.
#[test]
fn capabilities_of_a_user() {
    if !can("capabilities_of_a_user") {
        return;
    }
    let (yard, all) = (Yard::new(), NEEDED.map(|(one, _)| one).into_iter().collect::<CapabilitySet>());
    for (one, name) in NEEDED {
        let lacking = row(&yard.nobody(all.difference(one), &["doctor", "-J"]), name);
        assert_eq!(
            (&*lacking.status, &*lacking.fix),
            ("missing", "run it as root (sudo aioinspect)"),
            "{lacking:?}"
        );
        assert_eq!(row(&run(&mut doctor()), name).status, "present");
    }
}

/// Check that root without a capability is told who gives it, never to be root; and that given so it is there.
#[test]
fn capabilities_of_root() {
    if !can("capabilities_of_root") {
        return;
    }
    let yard = Yard::new();
    let all = NEEDED.map(|(one, _)| one).into_iter().collect::<CapabilitySet>();
    let there = (usual(), "present".to_owned());
    for lost in NEEDED.map(|(one, _)| one).into_iter().chain([all]) {
        let of_container = lost.union(STANDS_IN);
        let output = run(without(&mut doctor(), of_container));
        assert_eq!(output.code, 4, "{output:?}");
        assert!(!output.stdout.contains("as root") && !output.stdout.contains("sudo "), "{output:?}");
        for (one, name) in NEEDED {
            let lacking = row(&output, name);
            if !lost.contains(one) {
                assert_eq!((&*lacking.status, &*lacking.fix), ("present", ""), "{lacking:?}");
                continue;
            }
            assert_eq!(lacking.status, "missing", "{lacking:?}");
            // As a container is given it.
            let short = name.trim_start_matches("CAP_");
            assert!(lacking.fix.contains(&format!("--cap-add {short}")), "{lacking:?}");
            let given = run(without(&mut doctor(), of_container.difference(lost)));
            assert_eq!((given.code, row(&given, name).status), there, "{given:?}");
            // As a unit gives it to a user who is not root, beside what it gave before.
            let ambient = names_after(&lacking.fix, "AmbientCapabilities=");
            assert_eq!(ambient, names_after(&lacking.fix, "CapabilityBoundingSet="), "{lacking:?}");
            assert_eq!(ambient, lost, "{lacking:?}");
            let given = yard.nobody(all.difference(lost).union(ambient), &["doctor", "-J"]);
            assert_eq!((given.code, row(&given, name).status), there, "{given:?}");
        }
    }
}

/// Check the advice for map_files.
#[test]
fn map_files() {
    if !can("map_files") {
        return;
    }
    let both = CapabilitySet::CHECKPOINT_RESTORE.union(CapabilitySet::SYS_ADMIN);
    let lacking = row(&run(without(&mut doctor(), both)), "map_files");
    assert_eq!(lacking.status, "limited", "{lacking:?}");
    assert!(lacking.fix.contains("--cap-add CHECKPOINT_RESTORE"), "{lacking:?}");
    let given = row(&run(without(&mut doctor(), CapabilitySet::SYS_ADMIN)), "map_files");
    assert_eq!((&*given.status, &*given.fix), ("present", ""), "{given:?}");
}

/// Check what tracefs takes where it is not mounted and where it is.
#[test]
fn tracefs() {
    if !can("tracefs") {
        return;
    }
    // A mount is undone with its namespace, which releases an instance.
    if !Lockdown::of_this_kernel().allows_tracefs_instance() {
        return skip("tracefs", "a tracefs instance must not be released on this kernel");
    }
    let yard = Yard::new();
    let bpf = CapabilitySet::BPF.union(CapabilitySet::PERFMON);
    let doctor = |set| row(&yard.nobody(set, &["doctor", "-J"]), "tracefs");
    let to_make = CapabilitySet::SYS_ADMIN.union(CapabilitySet::DAC_READ_SEARCH);
    let here = (c"tracefs", c"/sys/kernel/tracing", c"");
    for (mount, needed, missing) in [
        (None, to_make, "CAP_SYS_ADMIN and CAP_DAC_READ_SEARCH are missing"),
        (Some(here), CapabilitySet::DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH is missing"),
    ] {
        with_mounts(mount.as_slice(), || {
            let lacking = doctor(bpf);
            assert_eq!(lacking.status, "limited", "{lacking:?}");
            assert!(lacking.detail.contains(missing), "{lacking:?}");
            assert_eq!(lacking.fix, "run it as root (sudo aioinspect)", "{lacking:?}");
            let enough = doctor(bpf.union(needed));
            assert_eq!((&*enough.status, &*enough.fix), ("present", ""), "{enough:?}");
            assert_eq!(row(&run(&mut self::doctor()), "tracefs").status, "present");
        });
    }
}

/// Check the advice on the JIT: a file in the place of the switch shows whether the line writes what it should. (Kernels with
/// CONFIG_BPF_JIT_ALWAYS_ON have no switch that could be thrown.)
#[test]
fn jit() {
    if !can("jit") {
        return;
    }
    with_mounts(&[(c"tmpfs", c"/proc/sys/net/core", c"")], || {
        fs::write("/proc/sys/net/core/bpf_jit_enable", "0\n").unwrap();
        let off = row(&run(&mut doctor()), "BPF JIT");
        assert_eq!(off.status, "limited", "{off:?}");
        does(&off.fix);
        let on = row(&run(&mut doctor()), "BPF JIT");
        assert_eq!((&*on.status, &*on.detail, &*on.fix), ("present", "on", ""), "{on:?}");
    });
}

/// Check that where /proc and /sys are not mounted doctor says so, and not that the kernel lacks AIO or BTF.
#[test]
fn mounts() {
    if !can("mounts") {
        return;
    }
    with_mounts(&[(c"tmpfs", c"/proc", c"")], || {
        let without = row(&run(&mut doctor()), "native AIO");
        assert_eq!((&*without.status, &*without.fix), ("missing", "mount -t proc proc /proc"), "{without:?}");
        does(&without.fix);
        assert_eq!(row(&run(&mut doctor()), "native AIO").status, "present");
    });
    with_mounts(&[(c"tmpfs", c"/sys", c"")], || {
        let without = run(&mut doctor());
        for name in ["native AIO", "BTF of the kernel"] {
            let of = row(&without, name);
            assert_eq!((&*of.status, &*of.fix), ("missing", "mount -t sysfs sysfs /sys"), "{of:?}");
        }
        does("mount -t sysfs sysfs /sys");
        let with = run(&mut doctor());
        for name in ["native AIO", "BTF of the kernel"] {
            assert_eq!(row(&with, name).status, "present", "{with:?}");
        }
    });
}

/// Check that doctor names the seccomp profile where ptrace or bpf is refused by one, and that a profile which allows it is enough.
#[test]
fn seccomp() {
    if !can("seccomp") {
        return;
    }
    let works = run(&mut doctor());
    for (call, name, words) in [
        (libc::SYS_ptrace, "ptrace freeze", "ptrace and process_vm_readv"),
        (libc::SYS_bpf, "BPF iterator over tasks", "bpf and perf_event_open"),
    ] {
        if row(&works, name).status != "present" {
            skip("seccomp", &format!("{name} does not work on this kernel anyhow"));
            continue;
        }
        let output = run(forbid(&mut doctor(), &[call]));
        let refused = row(&output, name);
        assert_eq!(refused.status, "missing", "{refused:?}");
        assert!(refused.fix.contains(&format!("allow {words} in the seccomp profile")), "{refused:?}");
        let output = run(forbid(&mut doctor(), &[libc::SYS_acct]));
        assert_eq!(
            (output.code, row(&output, name).status),
            (works.code, "present".to_owned()),
            "{output:?}"
        );
    }
}

/// Check that RLIMIT_MEMLOCK is named where maps are charged to it and it is too low, and that raising it is enough.
#[test]
fn memlock() {
    if !can("memlock") {
        return;
    }
    if !denial::memlock_is_charged() {
        return skip("memlock", "this kernel charges no BPF maps to RLIMIT_MEMLOCK (those before 5.11 do)");
    }
    let limited = |line: &str| {
        let line = format!("{line} && exec {} doctor -J", bin("aioinspect").display());
        let mut command = Command::new("sh");
        run(without(command.args(["-c", &line]), CapabilitySet::SYS_RESOURCE))
    };
    let low = limited("ulimit -l 64");
    assert_eq!(low.code, 4, "{low:?}");
    let refused = row(&low, "RLIMIT_MEMLOCK");
    assert_eq!(refused.status, "missing", "{refused:?}");
    let fix = refused.fix.split(" (").next().unwrap();
    does(fix);
    let line = format!("{fix} && exec {} doctor -J", bin("aioinspect").display());
    let raised = run(Command::new("sh").args(["-c", &line]));
    assert_eq!(row(&raised, "RLIMIT_MEMLOCK").status, "present", "{raised:?}");
}
