//! The fixture does what it says: checked against its own ring read from outside, /proc/PID/maps and aio-nr.

#[cfg(test)]
#[path = "fixture/dying.rs"]
mod dying;
#[cfg(test)]
#[path = "fixture/outside.rs"]
mod outside;
#[cfg(test)]
#[path = "fixture/processes.rs"]
mod processes;
#[cfg(test)]
#[path = "fixture/ring_maps.rs"]
mod ring_maps;

use std::collections::HashSet;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use aioinspect_tests::fixture::{Fixture, forks_copy_rings, is_alive};
use aioinspect_tests::pages;
use aioinspect_tests::programs::{is_root, skip};
use aioinspect_tests::random::{Plan, apply};
use rustix::process::Signal;
use serde_json::Value;

use outside::{adds_up, eventually, header, rings, signal, state};

/// Check that contexts are counted, mapped at their id, and gone after destroy.
#[test]
fn setups() {
    adds_up(|fixture| {
        let id = fixture.setup(128);
        fixture.run("setup-many 1100 1");
        fixture.setup(3000);
        fixture.run(&format!("destroy {id:#x}"));
        let truth = fixture.truth();
        assert_eq!((truth.contexts.len(), truth.aio_nr), (1101, 4100));
        let says: HashSet<_> = truth.contexts.iter().map(|c| (c.id, c.id + c.ring_len)).collect();
        let maps: HashSet<_> = rings(fixture.pid()).into_iter().map(|(start, end, _)| (start, end)).collect();
        assert_eq!(says, maps);
        let big = truth.contexts.last().unwrap();
        assert_eq!(header(fixture, big.id)[1], big.nr_events);
    });
}

/// Check that polls stay in flight until told, move the tail, and are reaped in both ways; that a full ring says so.
#[test]
fn polls() {
    let mut fixture = Fixture::spawn();
    let id = fixture.setup(128);
    fixture.run("poll #0 20 0");
    fixture.run("poll #0 20");
    assert_eq!(header(&fixture, id)[2..4], [0, 0]);
    fixture.run("complete #0 20");
    fixture.run("cancel #0 5");
    assert_eq!(header(&fixture, id)[2..4], [0, 25]);
    assert_eq!(fixture.number("reap #0 10", "reaped"), 10);
    fixture.run("reap-by-head #0 5");
    assert_eq!(header(&fixture, id)[2..4], [15, 25]);
    let context = fixture.truth().context(0).cloned().unwrap();
    assert_eq!((context.in_flight, context.unreaped, context.head, context.tail), (15, 10, 15, 25));
    // The kernel agrees on what is left: no more than ten events come.
    let rest = fixture.run("reap #0 100");
    assert_eq!((rest["reaped"].as_u64(), rest["bad"].as_u64()), (Some(10), Some(0)));
    let full = fixture.run("poll #0 100000");
    assert_eq!(full["errno"].as_i64(), Some(i64::from(rustix::io::Errno::AGAIN.raw_os_error())));
    let of = fixture.truth().context(0).cloned().unwrap();
    let (held, entries) = (of.in_flight, of.nr_events);
    assert!((128..entries).contains(&held), "{held} requests in a ring of {entries}");
    fixture.run(&format!("complete #0 {held}"));
    assert_eq!(fixture.number("reap #0 100000", "reaped"), u64::from(held));
    assert_eq!(fixture.truth().context(0).unwrap().tail, (25 + held) % entries);
    fixture.run("destroy #0");
    assert_eq!(fixture.try_run("reap #0 1").unwrap_err().error, "no context #0");
}

/// Check that slow reads are in flight after io_submit has returned, and that the data come on command, also
/// while the fixture is stopped, and that a fixture killed with reads in flight ends.
#[test]
fn slow_reads() {
    if !is_root() || !Path::new("/dev/fuse").exists() {
        return skip("slow_reads", "needs root and /dev/fuse (modprobe fuse)");
    }
    let mut fixture = Fixture::spawn();
    let id = fixture.setup(64);
    let answer = fixture.run("slow-read #0 32 0");
    // The answer comes from the thread that called io_submit, while the server holds all of them unanswered.
    assert_eq!((answer["submitted"].as_u64(), answer["server_pending"].as_u64()), (Some(32), Some(32)));
    sleep(Duration::from_millis(20));
    assert_eq!(header(&fixture, id)[2..4], [0, 0], "nothing completes by itself");
    fixture.run("finish-reads 12");
    assert_eq!(header(&fixture, id)[2..4], [0, 12]);
    let reaped = fixture.run("reap #0 40");
    assert_eq!((reaped["reaped"].as_u64(), reaped["bad"].as_u64()), (Some(12), Some(0)));
    let truth = fixture.truth();
    assert_eq!(truth.context(0).unwrap().in_flight, 20);
    assert!(fixture.try_run("destroy #0").is_err());
    let server = truth.children[0].pid;
    assert!(rings(server).is_empty(), "the server must not hold ghosts");
    signal(fixture.pid(), Signal::KILL);
    assert_eq!(fixture.await_end(), None);
    eventually("the server ends", || !is_alive(server));
}

/// Check that the ring's mapping is what was asked for, and that a context without a ring still counts.
#[test]
fn mappings_change() {
    adds_up(|fixture| {
        let pid = fixture.pid();
        // Four pages.
        let size = pages::as_many_pages(200);
        let old = fixture.setup(size);
        fixture.run("poll #0 2");
        let new = fixture.number("mremap #0", "id");
        assert_ne!(old, new);
        let len = fixture.truth().contexts[0].ring_len;
        assert_eq!(rings(pid), [(new, new + len, "rw-s".to_owned())]);
        fixture.run("mprotect #0 ro");
        assert_eq!(rings(pid)[0].2, "r--s");
        assert!(fixture.try_run("forge #0 head 1").is_err());
        fixture.run("mprotect #0 rw");
        fixture.run("mprotect #0 none page 1");
        let perms: Vec<_> = rings(pid).into_iter().map(|(_, _, perms)| perms).collect();
        assert_eq!(perms, ["rw-s", "---s", "rw-s"]);
        fixture.run("munmap #0 page 2");
        assert_eq!(fixture.truth().contexts[0].pages, "w-xw");
        fixture.run("munmap #0 page 0 hold");
        fixture.run("munmap #0 page 1");
        fixture.run("munmap #0 page 3");
        assert!(rings(pid).is_empty());
        let failure = fixture.try_run("reap #0 1").unwrap_err();
        assert_eq!(failure.errno, rustix::io::Errno::INVAL.raw_os_error());
        // It can still complete, although nobody will ever see it.
        fixture.run("complete #0 1");
        let context = fixture.truth().contexts[0].clone();
        assert_eq!((context.mapped, context.in_flight, context.unreaped), (false, 1, 1));
        assert_ne!(fixture.setup(size), new, "the place was held");
    });
}

/// Check that each header word can be forged and put right again.
#[test]
fn forging() {
    let mut fixture = Fixture::spawn();
    let id = fixture.setup(16);
    fixture.run("poll #0 4");
    fixture.run("complete #0 4");
    let honest = header(&fixture, id);
    for (i, field) in
        ["id", "nr", "head", "tail", "magic", "compat", "incompat", "header_length"].iter().enumerate()
    {
        fixture.run(&format!("forge #0 {field} 77"));
        let mut forged = honest;
        forged[i] = 77;
        assert_eq!(header(&fixture, id), forged);
        assert_eq!(fixture.truth().contexts[0].forged, [*field]);
        fixture.run("unforge #0");
        assert_eq!(header(&fixture, id), honest);
    }
    assert_eq!(fixture.number("reap #0 9", "reaped"), 4);
}

/// Check that a forked child has the ring and not the context, can write the parent's head even while the
/// parent is stopped, and keeps the ring after the parent's io_destroy.
#[test]
fn ghosts() {
    if !forks_copy_rings() {
        return skip("ghosts", "this kernel's fork does not copy AIO rings");
    }
    let mut fixture = Fixture::spawn();
    let id = fixture.setup(16);
    let child = fixture.pid_of("fork-ghost");
    assert_eq!(rings(child), rings(fixture.pid()));
    let answer = fixture.run(&format!("child-getevents {child} #0"));
    assert_eq!(answer["getevents_errno"].as_i64(), Some(22));
    fixture.run(&format!("child-write-head {child} #0 3"));
    assert_eq!(header(&fixture, id)[2], 3);
    fixture.run(&format!("child-write-head {child} #0 5 on-usr1"));
    fixture.run("self-stop");
    eventually("stopped", || state(fixture.pid()) == 'T');
    assert_eq!(header(&fixture, id)[2], 3);
    signal(child, Signal::USR1);
    eventually("the child writes the stopped parent's head", || header(&fixture, id)[2] == 5);
    assert_eq!(state(fixture.pid()), 'T');
    signal(fixture.pid(), Signal::CONT);
    assert_eq!(fixture.run(&format!("child-fired {child} #0"))["fired"], Value::Bool(true));
    assert_eq!(fixture.truth().contexts[0].head, 5);
    fixture.run(&format!("child-write-head {child} #0 6 when-stopped"));
    assert_eq!(header(&fixture, id)[2], 5);
    fixture.run("self-stop");
    eventually("the child sees the stop", || header(&fixture, id)[2] == 6);
    signal(fixture.pid(), Signal::CONT);
    fixture.run(&format!("child-toggle-head {child} #0 1 2"));
    for value in [1, 2] {
        eventually("the child writes both", || header(&fixture, id)[2] == value);
    }
    fixture.run(&format!("child-rest {child}"));
    fixture.run("unforge #0");
    let own = fixture.number(&format!("child-setup {child} 9"), "id");
    fixture.run("destroy #0");
    assert!(rings(fixture.pid()).is_empty());
    let kept: Vec<_> = rings(child).iter().map(|(start, _, _)| *start).collect();
    assert!(kept.contains(&id) && kept.contains(&own), "{kept:x?}");
    assert_eq!(fixture.truth().child(child).unwrap().ghosts[0].address, id);
    fixture.run(&format!("child-exit {child}"));
    assert!(!is_alive(child));
}

/// Check that random sequences are legal, the same for the same seed, and that where the ring can be read it
/// says what was counted.
#[test]
fn random_sequences() {
    let cpus = u32::try_from(std::thread::available_parallelism().unwrap().get()).unwrap();
    let slow_reads = is_root() && Path::new("/dev/fuse").exists();
    let plan = |seed| Plan {
        seed,
        length: 60,
        online_cpus: cpus,
        possible_cpus: cpus,
        page_size: u32::try_from(pages::size()).unwrap(),
        max_reqs: 4000,
        slow_reads,
        dying: slow_reads,
    };
    let has =
        |seed: u64, what: &str| plan(seed).steps().iter().any(|step| step.to_string().starts_with(what));
    // Few have these states: some of those that do.
    let rare = ["destroy-waiting", "dying-child"]
        .map(|what| (24..5000).filter(|seed| slow_reads && has(*seed, what)).take(4).collect::<Vec<_>>());
    assert!(rare.iter().all(|seeds| seeds.len() == 4 || !slow_reads), "{rare:?}");
    for seed in (0..24).chain(rare.concat()) {
        let steps = plan(seed).steps();
        assert_eq!(steps, plan(seed).steps());
        let mut fixture = Fixture::spawn();
        apply(&mut fixture, &steps);
        for context in fixture.truth().contexts {
            let readable = context.pages.starts_with(['w', 'r']);
            let ring = context.ring_head.zip(context.ring_tail);
            assert_eq!(ring, readable.then_some((context.head, context.tail)), "seed {seed}: {context:?}");
        }
    }
}
