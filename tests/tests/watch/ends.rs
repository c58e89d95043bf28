//! Contexts that die without a call: by exit and by exec, of one process and of those that share its memory.

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::watch::is_of;

use crate::hooks::each;

/// Check that exec tells how many died with the old program, and that what the new one makes is its own.
#[test]
fn exec() {
    each("exec", |hook, mut watch| {
        let mut fixture = Fixture::spawn();
        let pid = fixture.pid();
        fixture.run("setup-many 3 10");
        fixture.run("exec-self");
        let exec = watch.expect("the exec", |event| is_of(event, pid) && event["event"] == "exec");
        assert_eq!(exec["contexts"], 3, "{hook}");
        fixture.setup(5);
        drop(fixture);
        let exit = watch.expect("the exit", |event| is_of(event, pid) && event["event"] == "exit");
        assert_eq!(exit["contexts"], 1, "{hook}");
        let ended = watch.end();
        assert!(ended.of(pid, "destroy").is_empty(), "{hook}");
        assert_eq!((ended.of(pid, "setup").len(), ended.counted("healed")), (4, 0), "{hook}");
    });
}

/// Check exit by itself, by SIGKILL, and of a process whose first thread is gone long before.
#[test]
fn exit() {
    each("exit", |hook, mut watch| {
        for how in ["exit", "kill", "leader-exit"] {
            let mut fixture = Fixture::spawn();
            let pid = fixture.pid();
            fixture.run("setup-many 2 10");
            match how {
                "exit" => drop(fixture.finish()),
                "kill" => drop(fixture),
                _ => {
                    fixture.run("leader-exit");
                    fixture.run("exit");
                }
            }
            let exit = watch.expect(how, |event| is_of(event, pid) && event["event"] == "exit");
            assert_eq!(exit["contexts"], 2, "{hook}: {how}");
        }
        let ended = watch.end();
        assert_eq!((ended.counted("lost"), ended.counted("healed")), (0, 0), "{hook}");
    });
}

/// Check that contexts that a CLONE_VM process made live on with those who share the memory, and die with the last.
#[test]
fn shared_memory() {
    each("shared_memory", |hook, mut watch| {
        let mut fixture = Fixture::spawn();
        let pid = fixture.pid();
        fixture.setup(10);
        let child = fixture.pid_of("clone-vm-child 2 20 exit");
        watch.expect("the child's contexts", |event| is_of(event, child) && event["event"] == "setup");
        // Its exit is over: the fixture has waited for it.
        fixture.setup(30);
        drop(fixture);
        let exit = watch.expect("the exit", |event| is_of(event, pid) && event["event"] == "exit");
        assert_eq!(exit["contexts"], 4, "{hook}");
        let ended = watch.end();
        assert!(ended.of(child, "exit").is_empty(), "{hook}: its contexts lived on");
        assert_eq!(ended.of(child, "setup").len(), 2, "{hook}");
        assert_eq!(ended.counted("healed"), 0, "{hook}");
    });
}

/// Check that a forked child, which has the rings but not the contexts, is not told of.
#[test]
fn forked_children() {
    each("forked_children", |hook, mut watch| {
        let mut fixture = Fixture::spawn();
        let pid = fixture.pid();
        fixture.setup(10);
        let child = fixture.pid_of("fork-ghost");
        fixture.run(&format!("child-setup {child} 5"));
        fixture.run(&format!("child-exit {child}"));
        let exit = watch.expect("the child's exit", |event| is_of(event, child) && event["event"] == "exit");
        assert_eq!(exit["contexts"], 1, "{hook}: its own");
        drop(fixture);
        let exit = watch.expect("the exit", |event| is_of(event, pid) && event["event"] == "exit");
        assert_eq!(exit["contexts"], 1, "{hook}");
        assert_eq!(watch.end().counted("healed"), 0, "{hook}");
    });
}
