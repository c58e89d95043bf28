//! Processes that run while they are looked at.

use std::time::{Duration, Instant};

use aioinspect_kernel::look::evidence_source::Hold;
use aioinspect_kernel::look::live::Live;
use aioinspect_model::header::{RingHeader, unreaped};
use aioinspect_model::kioctx::Told;
use aioinspect_model::picture::Proof;
use aioinspect_model::units::Pid;
use aioinspect_model::verdict::{DumpVerdict, Policy, judge_dump};
use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::programs::run_aioinspect;

use crate::tool::{PATIENCE, can_run, json, look, proof};

/// What `churn` has submitted and not reaped is never more.
const CHURNED: u32 = 8;

/// Check that a process that keeps a CPU busy is called busy, with exit code 5 and what to do, and that a freeze settles it.
#[test]
fn busy() {
    if !can_run("busy") {
        return;
    }
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid().to_string();
    fixture.setup(128);
    fixture.run("spin");
    let begun = Instant::now();
    loop {
        let text = run_aioinspect(&["check", &pid]);
        if text.code == 5 {
            assert!(text.stdout.contains("is busy: 1 context (it ran while we looked)"), "{text:?}");
            assert!(text.stdout.contains("--freeze ptrace"), "{text:?}");
            break;
        }
        // Where others want the CPU too, it may be met while it waits for its turn: nothing ran then.
        assert!(text.code == 0 && begun.elapsed() < PATIENCE, "{text:?}");
    }
    let seen = loop {
        let output = run_aioinspect(&["check", "-J", &pid]);
        if output.code == 5 || begun.elapsed() > 2 * PATIENCE {
            break json(&output);
        }
    };
    assert_eq!((&seen["verdict"], &seen["proof"]), (&"busy".into(), &"busy".into()), "{seen}");
    let frozen = run_aioinspect(&["check", "-J", "--freeze", "ptrace", "--freeze-timeout", "30s", &pid]);
    assert_eq!((frozen.code, &json(&frozen)["verdict"]), (0, &"idle".into()), "{frozen:?}");
    fixture.run("spin-report");
    fixture.run("spin-stop");
}

/// Check that whatever is called one consistent state of a process that submits and reaps all the time could have been one: ring and
/// kernel agree, both counts of requests agree, and there are never more than it ever submits at a time.
#[test]
fn churning() {
    if !can_run("churning") {
        return;
    }
    let mut fixture = Fixture::spawn();
    fixture.run("churn");
    let pid = fixture.pid();
    let mut live = Live::new(true, 0);
    let mut met = [0_u32; 3];
    for round in 0..400 {
        let frozen = round % 4 == 0;
        let hold = if frozen { Hold::Ptrace(Duration::from_secs(30)) } else { Hold::NoTouch };
        let (evidence, picture) = look(&mut live, pid, hold);
        let verdict = judge_dump(&evidence, &picture, Pid(pid), &Policy::default());
        if proof(&picture) != Proof::Consistent {
            assert!(matches!(verdict, DumpVerdict::Busy { .. }), "{verdict:?}");
            met[0] += 1;
            continue;
        }
        let one = &evidence.spaces[0].looks[0];
        let fact = &one.after.as_ref().or(one.before.as_ref()).unwrap().contexts[0];
        let ring = RingHeader::decode(&one.headers[0].bytes.unwrap());
        let waits = unreaped(ring.head, ring.tail, ring.nr).unwrap();
        let flies = fact.in_flight_by_credits().number().unwrap();
        assert_eq!(
            (fact.in_flight_by_refs(), Some(ring.tail)),
            (Told::Is(flies), fact.tail),
            "{hold:?}: {evidence:#?}"
        );
        assert!(flies + waits <= CHURNED, "{hold:?}: {flies} in flight, {waits} waiting: {evidence:#?}");
        let idle = matches!(verdict, DumpVerdict::Idle { .. });
        assert_eq!(idle, (flies, waits) == (0, 0), "{verdict:?}");
        met[usize::from(frozen) + 1] += 1;
    }
    println!("busy, consistent untouched, consistent frozen: {met:?}");
    assert!(met[2] > 0, "a freeze settles it: {met:?}");
    let turns = fixture.number("churn-stop", "turns");
    assert!(turns > 0);
}

/// Check that changing its mappings all the time keeps a process neither from an answer nor from an idle verdict once it is frozen.
#[test]
fn mapping_all_the_time() {
    if !can_run("mapping_all_the_time") {
        return;
    }
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid().to_string();
    fixture.setup(128);
    fixture.run("busy");
    for _ in 0..3 {
        let frozen = run_aioinspect(&["check", "-J", "--freeze", "ptrace", "--freeze-timeout", "30s", &pid]);
        assert_eq!((frozen.code, &json(&frozen)["verdict"]), (0, &"idle".into()), "{frozen:?}");
        let listed = run_aioinspect(&["list", "-J", "-p", &pid]);
        assert_eq!(json(&listed)["contexts"][0]["mapped"], true, "{listed:?}");
    }
    fixture.run("busy-stop");
}
