//! aioinspect runs out of something: descriptors, memory, threads, file size.
#![expect(unsafe_code, reason = "limits are set between fork and exec")]

use std::os::unix::process::CommandExt;
use std::process::Command;

use aioinspect_tests::programs::Output;
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::victim::{Left, Victim, can, finish, take_files};

fn limited(mut command: Command, resource: Resource, limit: u64) -> Output {
    let limits = Rlimit { current: Some(limit), maximum: Some(limit) };
    // SAFETY: the closure makes one system call.
    unsafe { command.pre_exec(move || Ok(setrlimit(resource, limits)?)) };
    finish(&mut command)
}

/// Checks that it succeeded or failed in a sound way; the code.
#[track_caller]
fn told(output: &Output) -> i32 {
    assert!(!output.stderr.contains("panicked"), "{output:?}");
    match output.code {
        0 => assert_eq!(output.stderr, "", "{output:?}"),
        1 | 7 => assert!(output.stderr.starts_with("aioinspect: "), "{output:?}"),
        _ => panic!("{output:?}"),
    }
    output.code
}

/// Check that with any number of descriptors, too few or just enough, it says so or succeeds.
#[test]
fn descriptors() {
    if !can("descriptors") {
        return;
    }
    let mut victim = Victim::new(4, 4);
    let mut codes = Vec::new();
    for limit in 3..40 {
        let code = told(&limited(victim.dump(), Resource::Nofile, limit));
        codes.push(code);
        let left = take_files(victim.dir.path(), victim.fixture.pid());
        assert_eq!(left == Left::Both, code == 0);
        victim.assert_unharmed();
    }
    assert_eq!((codes.first(), codes.last()), (Some(&1), Some(&0)), "{codes:?}");
}

/// Check that with too little address space it ends, at the latest when Rust's allocator gives up, and harms nobody.
#[test]
fn address_space() {
    if !can("address_space") {
        return;
    }
    let mut victim = Victim::new(300, 16);
    let mut codes = Vec::new();
    for mib in (4..64).chain([128, 1024]) {
        let output = limited(victim.dump(), Resource::As, mib << 20);
        // Rust's own start, before the program's main: there was no room for the stack of its handler of stack overflows.
        let is_before_main = output.code == -6
            && output.stderr.contains("thread 'main'")
            && output.stderr.contains("failed to allocate an alternative stack");
        assert!(is_before_main || !output.stderr.contains("panicked"), "{mib} MiB: {output:?}");
        match output.code {
            // The program itself found no room: the kernel says so in its way.
            0 | -11 | -9 => {}
            -6 if is_before_main => {}
            -6 => assert!(output.stderr.contains("memory allocation of"), "{mib} MiB: {output:?}"),
            _ => _ = told(&output),
        }
        codes.push(output.code);
        let left = take_files(victim.dir.path(), victim.fixture.pid());
        assert_eq!(left == Left::Both, output.code == 0);
        victim.assert_unharmed();
    }
    println!("address_space: {codes:?}");
    assert_eq!(codes.last(), Some(&0));
}

/// Check that no locked memory is needed, or that its lack is said: older kernels charge BPF maps to it.
#[test]
fn locked_memory() {
    if !can("locked_memory") {
        return;
    }
    let mut victim = Victim::new(4, 4);
    told(&limited(victim.dump(), Resource::Memlock, 0));
    take_files(victim.dir.path(), victim.fixture.pid());
    victim.assert_unharmed();
}

/// Check that a limit on the size of files leaves none, and ends it by the signal at worst.
#[test]
fn file_size() {
    if !can("file_size") {
        return;
    }
    let mut victim = Victim::new(100, 4);
    for limit in [0, 1, 4096] {
        let output = limited(victim.dump(), Resource::Fsize, limit);
        assert!(output.code == -25 || told(&output) == 1, "{output:?}");
        assert_eq!(take_files(victim.dir.path(), victim.fixture.pid()), Left::Nothing);
        victim.assert_unharmed();
    }
}

/// Check that where no thread can be started the target is not touched and the error says what was tried.
#[test]
fn threads() {
    if !can("threads") {
        return;
    }
    let mut victim = Victim::new(4, 4);
    let mut command = victim.dump();
    let limits = Rlimit { current: Some(0), maximum: Some(0) };
    // SAFETY: the closure makes system calls only. Root is not limited, so it gives up being privileged in that respect.
    unsafe {
        command.pre_exec(move || {
            let none = rustix::thread::CapabilitySet::SYS_RESOURCE | rustix::thread::CapabilitySet::SYS_ADMIN;
            for one in none.iter() {
                rustix::thread::remove_capability_from_bounding_set(one)?;
            }
            // A user of its own who has no other process, and all that dump needs.
            keep(libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0))?;
            keep(libc::setresuid(61_234, 61_234, 61_234))?;
            let needed = rustix::thread::CapabilitySet::BPF
                | rustix::thread::CapabilitySet::PERFMON
                | rustix::thread::CapabilitySet::SYS_PTRACE
                | rustix::thread::CapabilitySet::DAC_OVERRIDE;
            let sets =
                rustix::thread::CapabilitySets { effective: needed, permitted: needed, inheritable: needed };
            rustix::thread::set_capabilities(None, sets)?;
            for one in needed.iter() {
                rustix::thread::configure_capability_in_ambient_set(one, true)?;
            }
            Ok(setrlimit(Resource::Nproc, limits)?)
        });
    }
    let output = finish(&mut command);
    crate::victim::refused(&output, 1, &["cannot start a thread"]);
    assert_eq!(take_files(victim.dir.path(), victim.fixture.pid()), Left::Nothing);
    victim.assert_unharmed();
}

fn keep(answer: libc::c_int) -> std::io::Result<()> {
    if answer == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
