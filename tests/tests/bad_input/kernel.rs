//! A kernel, or a view of it, that lacks something.

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::programs::{run, run_aioinspect};

use crate::doctor::{doctor, row};
use crate::refused::{accepts, can, refused, refuses};
use crate::sandbox::{names_in, with_mounts};

/// Check that without BTF check and dump are exit 7 and name it, list falls back, and doctor says what to do.
#[test]
fn without_btf() {
    if !can("without_btf") {
        return;
    }
    let mut fixture = Fixture::spawn();
    let id = format!("{:#x}", fixture.setup(16));
    let pid = fixture.pid().to_string();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    with_mounts(&[(c"tmpfs", c"/sys/kernel/btf", c"")], || {
        let what = ["BTF", "CONFIG_DEBUG_INFO_BTF"];
        refuses(&["check", &pid], 7, &what);
        refuses(&["dump", &pid, "-D", path], 7, &what);
        assert_eq!(names_in(dir.path()), [""; 0]);
        let list = accepts(&["list"]);
        assert!(list.stdout.contains(&id) && list.stdout.contains("source proc"), "{list:?}");
        assert!(list.stderr.contains("BTF"), "{list:?}");
        let doctor = run_aioinspect(&["doctor"]);
        assert_eq!(doctor.code, 7, "{doctor:?}");
        assert!(doctor.stdout.contains("fix: use a kernel built with CONFIG_DEBUG_INFO_BTF=y"), "{doctor:?}");
        // What is proven is said, and what is not.
        let dump = accepts(&["dump", &pid, "-D", path, "--unverified"]);
        assert!(dump.stdout.contains("requests in flight"), "{dump:?}");
    });
}

/// Check that BTF which is garbage, or of another kernel, is an error and never an offset.
#[test]
fn with_garbage_for_btf() {
    if !can("with_garbage_for_btf") {
        return;
    }
    let fixture = Fixture::spawn();
    let pid = fixture.pid().to_string();
    with_mounts(&[(c"tmpfs", c"/sys/kernel/btf", c"")], || {
        let header_only = [0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
        for garbage in [&b""[..], b"garbage", &[0xff; 4096], &header_only] {
            std::fs::write("/sys/kernel/btf/vmlinux", garbage).unwrap();
            let output = run_aioinspect(&["check", &pid]);
            assert!(output.code == 7 || output.code == 1, "{output:?}");
            refused(&output, output.code, &["this kernel"]);
            assert!(output.stderr.to_lowercase().contains("btf"), "{output:?}");
            accepts(&["list"]);
            let of = row(&run(&mut doctor()), "BTF of the kernel");
            assert!(of.status == "missing" && of.fix.starts_with("report "), "{of:?}");
        }
    });
}

/// Check that a member which is not where this version looks for it is named, and that nobody is told to build a kernel with the BTF it has.
#[test]
fn with_a_member_renamed() {
    if !can("with_a_member_renamed") {
        return;
    }
    let fixture = Fixture::spawn();
    let pid = fixture.pid().to_string();
    let mut btf = std::fs::read("/sys/kernel/btf/vmlinux").unwrap();
    let (name, other) = (b"\0ioctx_table\0", b"\0ioctx_tables");
    let at = btf.windows(name.len()).position(|window| window == name).unwrap();
    // One letter more, at the cost of the name that follows.
    btf[at..at + other.len()].copy_from_slice(other);
    with_mounts(&[(c"tmpfs", c"/sys/kernel/btf", c"")], || {
        std::fs::write("/sys/kernel/btf/vmlinux", &btf).unwrap();
        refuses(&["check", &pid], 7, &["ioctx_table"]);
        let output = run(&mut doctor());
        assert_eq!(output.code, 7, "{output:?}");
        let of = row(&output, "BTF of the kernel");
        assert!(of.status == "missing" && of.detail.contains("ioctx_table"), "{of:?}");
        assert!(of.fix.starts_with("report ") && !of.fix.contains("CONFIG_"), "{of:?}");
    });
}

/// Check that without /proc there is an error, not a host without processes.
#[test]
fn without_proc() {
    if !can("without_proc") {
        return;
    }
    with_mounts(&[(c"tmpfs", c"/proc", c"")], || {
        for args in [&["list"][..], &["list", "--no-bpf"], &["check", "1"], &["dump", "1", "-D", "/"]] {
            let output = run_aioinspect(args);
            assert!(output.code == 1 || output.code == 3, "{output:?}");
            refused(&output, output.code, &["proc"]);
        }
        assert_ne!(run_aioinspect(&["doctor"]).code, 0);
    });
}

/// Check that where /proc hides the processes of others, who may not see them is told that they are hidden, and of one that there is not, that there
/// is none.
#[test]
fn with_hidden_processes() {
    if !can("with_hidden_processes") {
        return;
    }
    let fixture = Fixture::spawn();
    let pid = fixture.pid().to_string();
    let yard = crate::sandbox::Yard::new();
    let none = rustix::thread::CapabilitySet::empty();
    with_mounts(&[(c"proc", c"/proc", c"hidepid=2")], || {
        refused(&yard.nobody(none, &["check", &pid]), 4, &[&pid, "exists", "hidepid=", "CAP_SYS_PTRACE"]);
        refused(&yard.nobody(none, &["check", "4194304"]), 3, &["no process 4194304"]);
        let list = yard.nobody(none, &["list"]);
        assert_eq!(list.code, 0, "{list:?}");
        // Root sees them all the same.
        accepts(&["list", "-p", &pid]);
        accepts(&["check", &pid, "--freeze", "ptrace"]);
    });
}
