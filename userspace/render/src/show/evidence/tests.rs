//! The text and the JSON of one evidence with everything in it.

use crate::show::{evidence_json, evidence_text, json};
use aioinspect_model::architecture::Architecture;
use aioinspect_model::container_names::Names;
use aioinspect_model::cpus::CpuSet;
use aioinspect_model::evidence::{
    AddressSpace, Evidence, HeaderReading, ImageFacts, KernelWord, Look, Manner, MmFact, Perms, Process,
    RingMapping, Sharer, SystemFacts, TaskFact, Vma, Wait,
};
use aioinspect_model::kioctx::{CpuCredits, Kioctx, RefState};
use aioinspect_model::known::{Fact, Known};
use aioinspect_model::units::{ContextId, Instant, MmId, Pid, Tid};

const HEADER: [u32; 8] = [0, 383, 2, 5, 0xa10a_10a1, 1, 0, 32];

fn sample() -> Evidence {
    let perms = Perms { read: true, write: true, exec: false, shared: true };
    let header = HEADER.map(u32::to_le_bytes).concat().try_into().unwrap();
    let context = Kioctx {
        user_id: ContextId(0x7f00_0000_1000),
        mmap_base: Some(0x7f00_0000_1000),
        mmap_size: Some(12_288),
        nr_pages: Some(3),
        max_reqs: Some(128),
        nr_events: Some(383),
        tail: Some(5),
        completed_events: Some(0),
        reqs_available: Some(0),
        req_batch: Some(3),
        percpu_available: Some(-3),
        cpu_credits: vec![CpuCredits { cpu: 0, credits: 7 }, CpuCredits { cpu: 5, credits: u32::MAX }],
        percpu_refs: Some(i64::MIN),
        atomic_refs: Some(0),
        ref_state: Some(RefState::PerCpu),
        dead: Some(false),
        table_index: 0,
    };
    let task = TaskFact {
        tid: Tid(11),
        pid: Pid(10),
        switches: Some(7),
        runtime_ns: Some(0),
        on_cpu: Some(false),
        state: Some(1),
        start_boottime_ns: Some(0),
    };
    let look = Look {
        manner: Manner::Frozen,
        before: Some(KernelWord {
            begun_at: Instant(5_000_000),
            ended_at: Instant(5_130_001),
            contexts: vec![context],
            tasks: vec![task],
            mm: MmFact { brk: Some(0x2000), dumpable: Some(1), lock_seq: None, map_count: Some(30) },
            torn: false,
            waits: vec![Wait {
                tid: Tid(13),
                pid: Pid(10),
                id: Some(ContextId(0x7f00_0000_5000)),
                asleep_ns: Some(30),
                left: Some(1),
                contexts: vec![Kioctx { user_id: ContextId(0x7f00_0000_5000), ..Kioctx::default() }],
                ..Wait::default()
            }],
        }),
        mappings: vec![RingMapping { start: 0x1000, end: 0x4000, inode: 9, perms, ..RingMapping::default() }],
        mappings_at: Instant(4_999_000),
        mappings_checked: true,
        headers: vec![
            HeaderReading { address: ContextId(0x1000), bytes: Ok(header) },
            HeaderReading { address: ContextId(0x9000), bytes: Err(14) },
        ],
        headers_at: Instant(5_200_000),
        after: None,
        sharers: vec![Sharer {
            pid: Pid(12),
            comm: b"ch\x1bild".to_vec(),
            inode: 9,
            address: ContextId(0x1000),
        }],
        pause_ns: 70_000,
    };
    let vma = Vma { end: 4096, name: b"/a\\012\x07".to_vec(), vm_flags: "rd".to_owned(), ..Vma::default() };
    Evidence {
        system: SystemFacts {
            aio_nr: 128,
            aio_max_nr: 65_536,
            possible_cpus: 2,
            page_size: 4096,
            kernel_release: "6.18\n".to_owned(),
            tool_version: "0.1.0".to_owned(),
            taken_at_unix_ns: 1_769_860_800_000_000_001,
            online_cpus: CpuSet::first(2),
            architecture: Some(Architecture::Aarch64),
        },
        target: Some(Pid(10)),
        spaces: vec![AddressSpace {
            not_looked_at: None,
            mm: MmId(0),
            processes: vec![Process {
                pid: Pid(10),
                comm: b"a\nb\xff".to_vec(),
                start_ticks: 55,
                cgroup: Some(b"0::/x\n".to_vec()),
                ns_pids: vec![10, 1],
                uid: Some(999),
                user: Some(b"my\x1bsql".to_vec()),
                cmdline: Some(b"a\0b\n\0".to_vec()),
                names: Some(Names { pod: "db\n0".to_owned(), ..Names::default() }),
            }],
            looks: vec![look],
            image: Some(ImageFacts { auxv: vec![0, 0], vmas: vec![vma], ..ImageFacts::default() }),
            traced: None,
        }],
        ..Evidence::default()
    }
}

#[test]
fn the_text_says_everything() {
    let mut out = Vec::new();
    evidence_text(&sample(), &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    if std::env::var_os("AIOINSPECT_BLESS").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/show/evidence/tests.txt"), &out).unwrap();
        return;
    }
    assert_eq!(out, include_str!("tests.txt"));
}

#[test]
fn the_text_of_nothing_is_short() {
    let mut out = Vec::new();
    evidence_text(&Evidence::default(), &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap().lines().count(), 3);
}

/// Check that each address space of a tree has its number, and that the root is named where it was a tree.
#[test]
fn a_tree() {
    let mut evidence = Evidence { target: None, root: Some(Pid(10)), ..sample() };
    let child = AddressSpace {
        mm: MmId(1),
        processes: vec![Process { pid: Pid(20), ns_pids: vec![20, 7], ..Process::default() }],
        ..AddressSpace::default()
    };
    evidence.spaces.push(child);
    let mut out = Vec::new();
    evidence_text(&evidence, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.starts_with("evidence: source bpf, target -, root 10\n"), "{text}");
    assert!(
        text.contains("\n\n  spaces 1 of 2: mm 0,") && text.contains("\n\n  spaces 2 of 2: mm 1,"),
        "{text}"
    );
    let value = evidence_json(&evidence);
    assert_eq!((&value["root"], &value["spaces"][1]["processes"][0]["ns_pids"][1]), (&10.into(), &7.into()));
    assert!(evidence_json(&sample()).get("root").is_none());
}

#[test]
fn json_keeps_every_field_raw() {
    let value = evidence_json(&sample());
    let space = &value["spaces"][0];
    assert_eq!(value["schema_version"], 1);
    assert_eq!(value["target"], 10);
    assert_eq!(value["system"]["kernel_release"], "6.18\\n");
    assert_eq!(space["processes"][0]["comm"], "a\\nb\\xff");
    let word = &space["looks"][0]["before"];
    assert_eq!(word["contexts"][0]["user_id"], "0x7f0000001000");
    assert_eq!(word["contexts"][0]["percpu_refs"], i64::MIN);
    assert!(word["mm"]["lock_seq"].is_null());
    assert_eq!((&word["waits"][0]["doing"], &word["waits"][0]["left"]), (&"destroy".into(), &1.into()));
    assert!(space["looks"][0]["after"].is_null());
    let headers = &space["looks"][0]["headers"];
    assert_eq!(headers[0]["bytes"], "000000007f0100000200000005000000a1100aa1010000000000000020000000");
    assert!(headers[0]["errno"].is_null());
    assert_eq!(headers[1]["errno"], 14);
    assert_eq!(space["image"]["vmas"][0]["name"], "/a\\\\012\\x07");
}

/// Check that what the kernel does not tell is `-` in the text, null in JSON, and named with its reason.
#[test]
fn what_is_not_known() {
    let mut evidence = sample();
    let word = evidence.spaces[0].looks[0].before.as_mut().unwrap();
    word.contexts = vec![Kioctx { user_id: ContextId(0x1000), ..Kioctx::default() }];
    word.tasks = vec![TaskFact { tid: Tid(11), pid: Pid(10), ..TaskFact::default() }];
    word.mm = MmFact::default();
    word.waits.clear();
    let mut known = Known::all();
    known.lose(Fact::Tail, "no member\n");
    evidence.lacks = known.lacks().to_vec();
    let mut out = Vec::new();
    evidence_text(&evidence, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("  tail  no member\\n\n"), "{text}");
    assert!(text.contains("mm: brk -, dumpable -, lock_seq -, map_count -"), "{text}");
    let row = |start: &str| text.lines().find(|line| line.trim_start().starts_with(start)).unwrap();
    assert_eq!(row("0x1000 ").split_whitespace().filter(|cell| *cell == "-").count(), 13);
    assert_eq!(row("11 ").split_whitespace().filter(|cell| *cell == "-").count(), 5);
    let value = evidence_json(&evidence);
    assert_eq!(value["lacks"][0]["fact"], "tail");
    let null =
        |value: &serde_json::Value| value.as_object().unwrap().values().filter(|v| v.is_null()).count();
    let word = &value["spaces"][0]["looks"][0]["before"];
    assert_eq!((null(&word["contexts"][0]), null(&word["tasks"][0]), null(&word["mm"])), (13, 5, 4));
    assert!(evidence_json(&sample()).get("lacks").is_none());
}

/// Check that no control character of a name reaches the output, in either form.
#[test]
fn nothing_raw_is_printed() {
    let mut out = Vec::new();
    evidence_text(&sample(), &mut out).unwrap();
    json(&evidence_json(&sample()), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
}
