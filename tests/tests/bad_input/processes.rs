//! Processes that are none, or cannot be looked at.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aioinspect_kernel::proc::files::{ProcDir, processes};
use aioinspect_model::units::{Pid, Tid};
use aioinspect_parse::proc::stat::TaskState;
use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::programs::{bin, run, run_aioinspect, skip};

use crate::refused::{accepts, can, refused, refuses};

fn each_verb(pid: u32, code: i32, words: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let (pid, path) = (pid.to_string(), dir.path().to_str().unwrap());
    refuses(&["check", &pid], code, words);
    refuses(&["check", &pid, "--freeze", "ptrace"], code, words);
    refuses(&["dump", &pid, "-D", path], code, words);
    refuses(&["dump", &pid, "-D", path, "--freeze", "none"], code, words);
    refuses(&["dump", &pid, "-D", path, "--unverified"], code, words);
    assert_eq!(crate::sandbox::names_in(dir.path()), [""; 0]);
}

/// A child of ours that has ended and is not waited for.
fn zombie() -> Child {
    let child = Command::new(bin("aioinspect")).arg("--version").stdout(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    let state = || ProcDir::open(Pid(child.id())).unwrap().state_of(Tid(child.id())).unwrap();
    while !state().is_dead() {
        assert!(begun.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(1));
    }
    child
}

/// Check that a PID nobody has is exit 3.
#[test]
fn nobody_has_it() {
    if !can("nobody_has_it") {
        return;
    }
    let mut gone = zombie();
    gone.wait().unwrap();
    for pid in [4_194_304, gone.id()] {
        each_verb(pid, 3, &[&format!("no process {pid}")]);
        refuses(&["list", "-p", &pid.to_string()], 3, &[&format!("no process {pid}")]);
        // Beside a PID that somebody has; without BPF there may be a note about those we may not look into.
        let output = run_aioinspect(&["list", "--no-bpf", "-p", &format!("1,{pid}")]);
        assert_eq!((output.code, &*output.stdout), (3, ""), "{output:?}");
        let last = format!("aioinspect: no process {pid}");
        assert_eq!(output.stderr.lines().last(), Some(&*last), "{output:?}");
    }
}

/// Check that a zombie has nothing to show and nothing to dump.
#[test]
fn it_has_ended() {
    if !can("it_has_ended") {
        return;
    }
    let mut child = zombie();
    each_verb(child.id(), 3, &[&format!("process {} is a zombie", child.id())]);
    let list = accepts(&["list", "-p", &child.id().to_string()]);
    assert!(list.stderr.contains(&format!("process {} is a zombie", child.id())), "{list:?}");
    refuses(&["watch", "--duration", "1s", "-p", &child.id().to_string()], 3, &["is a zombie"]);
    child.wait().unwrap();
}

/// Check that a process which waits in the kernel's exit for its requests is not called a zombie, nor idle, before it is one.
#[test]
fn it_is_exiting() {
    if !can("it_is_exiting") {
        return;
    }
    if !std::path::Path::new("/dev/fuse").exists() {
        skip("it_is_exiting", "needs /dev/fuse (modprobe fuse)");
        return;
    }
    let send = |pid: u32, signal| {
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    };
    let mut fixture = Fixture::spawn();
    fixture.setup(16);
    fixture.run("slow-read #0 2");
    let pid = fixture.pid();
    let server = ProcDir::open(Pid(pid)).unwrap().children_of(Tid(pid))[0].0;
    // The server of the reads would end with it.
    send(server, rustix::process::Signal::STOP);
    send(pid, rustix::process::Signal::KILL);
    let (dir, number) = (tempfile::tempdir().unwrap(), pid.to_string());
    let into = ["-D", dir.path().to_str().unwrap()];
    for verb in [&["check", &number][..], &["dump", &number, into[0], into[1]]] {
        for freeze in ["ptrace", "none"] {
            let output = run_aioinspect(&[verb, &["--freeze", freeze]].concat());
            let said = format!("{}{}", output.stdout, output.stderr);
            assert!(output.code == 5 && said.contains(&format!("process {pid} waits in exit")), "{output:?}");
            assert!(!said.contains("zombie"), "{output:?}");
        }
    }
    assert_eq!(crate::sandbox::names_in(dir.path()), [""; 0]);
    let list = accepts(&["list", "-p", &number]);
    assert!(list.stdout.contains("dying,exiting"), "{list:?}");
    let list = accepts(&["list", "--no-bpf", "-p", &number]);
    assert!(list.stderr.contains(&format!("process {pid} is exiting: it waits")), "{list:?}");
    send(server, rustix::process::Signal::KILL);
    let begun = Instant::now();
    while run_aioinspect(&["check", &pid.to_string()]).code != 3 {
        assert!(begun.elapsed() < Duration::from_secs(30), "it never ended");
    }
}

/// Check that a thread's number is not its process's, and that its process is named.
#[test]
fn a_thread() {
    if !can("a_thread") {
        return;
    }
    let mut fixture = Fixture::spawn();
    fixture.run("threads 1 pipe");
    let tid = fixture.truth().threads[0].tid;
    let words = [format!("no process {tid}: it is a thread of process {}", fixture.pid())];
    each_verb(tid, 3, &[&words[0]]);
    for verb in [&["list"][..], &["watch", "--duration", "1s"]] {
        refuses(&[verb, &["-p", &tid.to_string()]].concat(), 3, &[&words[0]]);
    }
    // Without BPF there may be a note about those we may not look into.
    let output = run_aioinspect(&["list", "--no-bpf", "-p", &tid.to_string()]);
    assert!(output.code == 3 && output.stderr.contains(&words[0]), "{output:?}");
}

/// Check that a process which lives on without its leader is no zombie, whoever is asked.
#[test]
fn the_leader_has_ended() {
    if !can("the_leader_has_ended") {
        return;
    }
    let mut fixture = Fixture::spawn();
    fixture.run("leader-exit");
    let pid = fixture.pid().to_string();
    let check = accepts(&["check", &pid, "--freeze", "ptrace", "--wait", "30s"]);
    assert!(check.stdout.contains("is idle"), "{check:?}");
    assert_eq!(accepts(&["list", "-p", &pid]).stderr, "");
}

/// Check that a number which only a PID namespace further in knows is told by the number it has here.
#[test]
fn in_another_namespace() {
    if !can("in_another_namespace") {
        return;
    }
    // A process of a PID namespace of its own, whose third process there has a number that nobody has here.
    let script = "echo 4194303 > /proc/sys/kernel/ns_last_pid; sleep 60 & echo started; wait";
    let mut shell = Command::new("unshare");
    shell.args(["--pid", "--fork", "--kill-child", "--mount-proc", "/bin/sh", "-c", script]);
    let mut inside = shell.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(inside.stdout.take().unwrap()), &mut line)
        .unwrap();
    let number = |pid: &Pid| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?.to_owned();
        let numbers: Vec<u32> = numbers.split_whitespace().map(|one| one.parse().unwrap()).collect();
        (numbers.len() > 1).then_some((numbers[0], *numbers.last().unwrap()))
    };
    let exists = |pid: u32| std::path::Path::new(&format!("/proc/{pid}")).exists();
    let found = processes().unwrap().iter().filter_map(number).find(|(_, inner)| !exists(*inner));
    match found {
        Some((here, inner)) => {
            let words = format!("no process {inner} in this PID namespace");
            each_verb(inner, 3, &[&words, &here.to_string()]);
            refuses(&["list", "-p", &inner.to_string()], 3, &[&words, &here.to_string()]);
        }
        None => skip("in_another_namespace", "every number of the inner namespace is somebody's here"),
    }
    inside.kill().unwrap();
    inside.wait().unwrap();
}

/// Check that a process which only the kernel keeps closed is never called missing, and that what it has and we have not is named.
#[test]
fn the_first() {
    if !can("the_first") {
        return;
    }
    if std::fs::read("/proc/1/maps").is_ok() {
        skip("the_first", "PID 1 can be read here");
        return;
    }
    each_verb(1, 4, &["of process 1: ", "CAP_"]);
    let list = run_aioinspect(&["list", "-p", "1"]);
    assert_eq!(list.code, 4, "{list:?}");
    assert!(list.stderr.contains("of process 1: ") && list.stderr.contains("CAP_"), "{list:?}");
}

/// Check that a kernel thread is called one.
#[test]
fn a_kernel_thread() {
    if !can("a_kernel_thread") {
        return;
    }
    let is_kernel = |pid: &Pid| {
        ProcDir::open(*pid).and_then(|dir| dir.state_of(Tid(pid.0))).is_ok_and(TaskState::is_kernel_thread)
    };
    let Some(thread) = processes().unwrap().into_iter().find(is_kernel) else {
        skip("a_kernel_thread", "no kernel thread is visible in this PID namespace");
        return;
    };
    let words = format!("process {thread} is a kernel thread: it has no memory of its own and no contexts");
    each_verb(thread.0, 1, &[&words]);
    refuses(&["watch", "--duration", "1s", "-p", &thread.0.to_string()], 1, &[&words]);
    let list = accepts(&["list", "-p", &thread.0.to_string()]);
    assert!(list.stderr.contains(&words), "{list:?}");
}

/// Check that aioinspect does not freeze itself.
#[test]
fn itself() {
    if !can("itself") {
        return;
    }
    // A shell knows its own number, and keeps it when it becomes aioinspect.
    let dir = tempfile::tempdir().unwrap();
    let own = |verb: &[&str]| {
        let script = format!("exec \"$0\" {} $$", verb.join(" "));
        let shell = ["/bin/sh", "-c", &script];
        run(Command::new(shell[0]).args(&shell[1..]).arg(bin("aioinspect")).current_dir(dir.path()))
    };
    refused(&own(&["dump"]), 1, &["is aioinspect itself"]);
    refused(&own(&["check", "--freeze", "ptrace"]), 1, &["is aioinspect itself"]);
    // Without touching it can be looked at, and is seen running.
    let output = own(&["check"]);
    assert_eq!(output.code, 5, "{output:?}");
    assert!(output.stdout.contains("is busy"), "{output:?}");
    assert_eq!(crate::sandbox::names_in(dir.path()), [""; 0]);
}

/// Check that another aioinspect is a process like any other.
#[test]
fn another_of_us() {
    if !can("another_of_us") {
        return;
    }
    let mut target = Fixture::spawn();
    let id = target.setup(8);
    target.run(&format!("poll {id:#x} 1"));
    let mut waiting = Command::new(bin("aioinspect"));
    waiting.args(["check", &target.pid().to_string(), "--wait", "60s"]).stdout(Stdio::null());
    let mut waiting = waiting.process_group(0).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let pid = waiting.id().to_string();
    let output = accepts(&["check", &pid, "--freeze", "ptrace", "--wait", "30s"]);
    assert!(output.stdout.contains("is idle: 0 contexts"), "{output:?}");
    assert!(waiting.try_wait().unwrap().is_none());
    waiting.kill().unwrap();
    waiting.wait().unwrap();
}
