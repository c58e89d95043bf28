//! Tests of procfs on processes of our own.

use std::process::{Child, Command};

use crate::proc::files::*;

fn sleeper() -> Child {
    Command::new("sleep").arg("60").spawn().unwrap()
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Check what can be read of ourselves against what we know.
#[test]
fn ourselves() {
    let me = ProcDir::open(Pid(std::process::id())).unwrap();
    let tid = std::fs::read_link("/proc/thread-self").unwrap();
    let tid = Tid(tid.file_name().unwrap().to_str().unwrap().parse().unwrap());
    assert!(me.threads().unwrap().contains(&tid));
    assert!(me.thread_count().unwrap() >= 1);
    assert_eq!(me.live_thread().unwrap(), Tid(me.pid().0));
    assert_eq!(me.tracer_of(tid).unwrap(), Tid(0));
    assert_eq!(me.state_of(tid).unwrap().letter, 'R');
    assert_eq!(me.auxv().unwrap().len() % 16, 0);
    let smaps = String::from_utf8(me.smaps().unwrap()).unwrap();
    assert!(smaps.contains("VmFlags:") && smaps.contains("[stack]"));
    assert!(!me.comm().unwrap().contains(&b'\n'));
    assert!(me.stat().unwrap().starts_with(format!("{} (", me.pid()).as_bytes()));
    assert!(processes().unwrap().contains(&me.pid()));
}

/// Check that a directory opened on a process that is gone never answers for anybody else.
#[test]
fn a_dead_process_is_gone() {
    let child = sleeper();
    let pid = Pid(child.id());
    let dir = ProcDir::open(pid).unwrap();
    dir.stat().unwrap();
    end(child);
    assert!(matches!(dir.stat(), Err(ProcError::NoSuchProcess(one)) if one == pid));
    assert!(matches!(dir.threads(), Err(ProcError::NoSuchProcess(_))));
    assert!(matches!(dir.smaps(), Err(ProcError::NoSuchProcess(_))));
    assert!(dir.thread_count().is_err());
    assert!(matches!(ProcDir::open(pid), Err(ProcError::NoSuchProcess(_))));
}

/// Check that a zombie is told from a process that is gone.
#[test]
fn a_zombie_is_named() {
    let mut child = sleeper();
    let dir = ProcDir::open(Pid(child.id())).unwrap();
    child.kill().unwrap();
    while !dir.state_of(Tid(child.id())).unwrap().is_dead() {
        std::thread::yield_now();
    }
    assert!(matches!(dir.smaps(), Err(ProcError::Zombie(_))));
    assert!(matches!(dir.auxv(), Err(ProcError::Zombie(_))));
    dir.stat().unwrap();
    child.wait().unwrap();
}

/// Check that a thread's number is not taken for a process's.
#[test]
fn a_thread_is_no_process() {
    let (tell, told) = std::sync::mpsc::channel();
    let (stop, wait) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        tell.send(std::fs::read_link("/proc/thread-self").unwrap()).unwrap();
        wait.recv().ok();
    });
    let tid: u32 = told.recv().unwrap().file_name().unwrap().to_str().unwrap().parse().unwrap();
    assert!(matches!(ProcDir::open(Pid(tid)), Err(ProcError::NoSuchProcess(_))));
    drop(stop);
    thread.join().unwrap();
}

/// Check that a file larger than allowed is refused, not cut.
#[test]
fn limits_are_kept() {
    let me = ProcDir::open(Pid(std::process::id())).unwrap();
    assert!(matches!(me.read("status", 10), Err(ProcError::TooLarge { max: 10, .. })));
    let exact = me.read("comm", 64).unwrap().len() as u64;
    assert!(me.read("comm", exact).is_ok());
    assert!(me.read("comm", exact - 1).is_err());
}

/// Check that the mode of a mapped file is found where we may look, and nothing is invented elsewhere.
#[test]
fn mapped_files() {
    let me = ProcDir::open(Pid(std::process::id())).unwrap();
    assert_eq!(me.map_file_mode(0, 4096), None);
    let maps = String::from_utf8(me.read("maps", SMAPS_MAX).unwrap()).unwrap();
    let exe = std::env::current_exe().unwrap();
    let line = maps.lines().find(|line| line.ends_with(exe.to_str().unwrap())).unwrap();
    let (start, end) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
    let hex = |text| u64::from_str_radix(text, 16).unwrap();
    if let Some(mode) = me.map_file_mode(hex(start), hex(end)) {
        assert_eq!(mode & 0o170_000, 0o100_000);
    }
}
