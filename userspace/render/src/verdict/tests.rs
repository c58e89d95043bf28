//! Golden text and JSON of `check` and `dump`.

use crate::verdict::*;
use aioinspect_model::evidence::{CensusSource, Sharer};
use aioinspect_model::kioctx::Kioctx;
use aioinspect_model::reconcile::reconcile;
use aioinspect_model::specimen::{
    AT, INODE, evidence, forge, idle, kioctx, last, look, ring, spoil, word as kernel_word,
};
use aioinspect_model::units::ContextId;
use aioinspect_model::verdict::{Policy, judge_dump};

fn both(evidence: &Evidence, pid: Pid, policy: Policy, wrote: &[PathBuf]) -> (String, String) {
    let picture = reconcile(evidence);
    let verdict = judge_dump(evidence, &picture, pid, &policy);
    let report = Report { evidence, picture: &picture, pid, verdict: &verdict, wrote };
    let (mut text, mut json) = (Vec::new(), Vec::new());
    write(&mut text, &report).unwrap();
    write_json(&mut json, &report).unwrap();
    serde_json::from_slice::<serde_json::Value>(&json).unwrap();
    (String::from_utf8(text).unwrap(), String::from_utf8(json).unwrap())
}

fn text(evidence: &Evidence) -> String {
    both(evidence, Pid(100), Policy::default(), &[]).0
}

/// Check a dump that was written, with everything that is only to be known.
#[test]
fn idle_with_warnings() {
    let mut it = idle();
    last(&mut it).pause_ns = 212_345;
    last(&mut it).mappings.push(ring(AT + 0x10000, 99));
    last(&mut it).sharers =
        vec![Sharer { pid: Pid(7), comm: b"k\x1bid".to_vec(), inode: INODE, address: ContextId(0x1000) }];
    let (text, json) = both(&it, Pid(100), Policy::default(), &[PathBuf::from("d/mm-100.img")]);
    let expected = r"pid 100 (svc) is idle: 1 context (frozen for 212 us)
  shared-ring: 0x7f0000000000: another process maps this ring and can write its head: pid 7 (k\x1bid) maps it at 0x1000
  ghost-ring: 0x7f0000010000: 12288 bytes of a ring without a context; a dump does not include it
wrote d/mm-100.img
";
    assert_eq!(text, expected);
    let expected = r#"{"schema_version":1,"pid":100,"comm":"svc","verdict":"idle","proof":"consistent","manner":"frozen","pause_ns":212345,"reasons":[],"unproven":[],"not_looked_at":null,"wrote":["d/mm-100.img"],
 "contexts":[
  {"pid":100,"comm":"svc","start_ticks":42,"context":"0x7f0000000000","max_reqs":128,"nr_events":383,"in_flight":0,"unreaped":0,"head":0,"tail":0,"ring_len":12288,"mapped":true,"owner":{"runtime":"","unit":"","container":"","pod":"","cgroup":""},"findings":["shared-ring"],"submit_fails_on":"","stranded_credits":[],"origin":null,"reasons":[]}],
 "ghosts":[
  {"pid":100,"address":"0x7f0000010000","ring_len":12288}]}
"#;
    assert_eq!(json, expected);
}

/// Check that each context that is not idle has its line, with what to do, and the idle ones have none.
#[test]
fn not_idle() {
    let busy = Kioctx {
        reqs_available: Some(378),
        percpu_refs: Some(4),
        completed_events: Some(1),
        tail: Some(1),
        ..kioctx(AT, 0)
    };
    let fine = kioctx(AT + 0x10000, 1);
    let gone = kioctx(AT + 0x20000, 2);
    let mut it = evidence(vec![look(Manner::Frozen, &[busy, fine, gone])]);
    last(&mut it).mappings.pop();
    forge(&mut it, |claim| claim.head = 0);
    let (text, json) = both(&it, Pid(100), Policy::default(), &[]);
    let expected = "\
pid 100 (svc) is not idle: 2 of 3 contexts (frozen for 0 us)
  0x7f0000000000: 3 requests in flight; wait for them with --wait 5s
  0x7f0000000000: 1 completion not reaped; let the process reap them with --wait 5s, or keep them with --allow-unreaped
  0x7f0000020000: the process unmapped the ring, so it cannot destroy the context: its 128 slots stay reserved until the \
process exits or execs; restart the process: nothing else frees the slots
";
    assert_eq!(text, expected);
    let first = r#""findings":["in-flight","unreaped"],"submit_fails_on":"","stranded_credits":[],"origin":null,"reasons":[{"finding":"in-flight","what":"3 requests in flight","remedy":"wait for them with --wait 5s"},{"finding":"unreaped","#;
    assert!(json.contains(first), "{json}");
    assert!(json.contains(r#""context":"0x7f0000010000","max_reqs":128,"nr_events":383,"in_flight":0,"unreaped":0,"head":0,"tail":0,"ring_len":12288,"mapped":true,"owner":{"runtime":"","unit":"","container":"","pod":"","cgroup":""},"findings":[],"submit_fails_on":"","stranded_credits":[],"origin":null,"reasons":[]}"#));
    assert!(json.contains(r#""verdict":"not-idle","#));
}

/// Check the other three verdicts, and a process that is not there.
#[test]
fn busy_unproven_missing() {
    let mut it = idle();
    last(&mut it).manner = Manner::Running;
    assert_eq!(
        text(&it),
        "pid 100 (svc) is not proven idle: 1 context (not stopped, read only once)\n  \
         one look at a running process proves nothing; freeze it with --freeze ptrace\n"
    );
    last(&mut it).after = Some(kernel_word(vec![kioctx(AT, 0)], 1040));
    assert_eq!(text(&it), "pid 100 (svc) is idle: 1 context (not stopped: it slept throughout)\n");
    last(&mut it).after.as_mut().unwrap().tasks[0].runtime_ns = Some(5001);
    assert_eq!(
        text(&it),
        "pid 100 (svc) is busy: 1 context (it ran while we looked); look again with --wait 5s, or use --freeze ptrace\n"
    );
    last(&mut it).manner = Manner::Frozen;
    last(&mut it).mappings_at.0 = 1;
    assert_eq!(
        text(&it),
        "pid 100 (svc) is busy: 1 context (it changed around the freeze); look again with --wait 5s\n"
    );
    let (text, json) = both(&it, Pid(5), Policy::default(), &[]);
    assert_eq!(text, "pid 5: no such process\n");
    assert_eq!(
        json,
        "{\"schema_version\":1,\"pid\":5,\"comm\":\"?\",\"verdict\":\"no-such-process\",\"proof\":null,\"manner\":null,\
         \"pause_ns\":0,\"reasons\":[],\"unproven\":[],\"not_looked_at\":null,\n \"contexts\":[],\n \"ghosts\":[]}\n"
    );
}

/// Check what is said where the kernel was not asked, refused and accepted.
#[test]
fn without_kernel() {
    let mut it = idle();
    it.source = CensusSource::Proc;
    last(&mut it).before = None;
    last(&mut it).manner = Manner::Held;
    assert_eq!(
        text(&it),
        "pid 100 (svc) is not proven idle: 1 context (stopped by someone else)\n  the kernel was not asked: requests in \
         flight are not known; see doctor, or accept what is not proven with --unverified\n"
    );
    let (text, json) = both(&it, Pid(100), Policy { unverified: true, ..Policy::default() }, &[]);
    assert!(
        text.starts_with("pid 100 (svc) appears idle (not proven): 1 context (stopped by someone else)\n")
    );
    assert!(text.contains("\n  not proven: requests in flight: a restore loses them\n"));
    assert!(json.contains(r#""verdict":"unproven","proof":"unproven","manner":"held""#), "{json}");
}

/// Check that a hostile name changes no line.
#[test]
fn hostile_name() {
    let mut it = idle();
    it.spaces[0].processes[0].comm = b"a\nb\x1b]0;x\x07".to_vec();
    spoil(&mut it, |fact| fact.dead = Some(true));
    assert_eq!(text(&it).lines().count(), 2);
    assert!(text(&it).starts_with("pid 100 (a\\nb\\x1b]0;x\\x07) is not idle"));
}
