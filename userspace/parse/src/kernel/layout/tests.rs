//! Checks of the table on a kernel built here and on the one that runs.

use std::collections::BTreeSet;
use std::io::Write;

use crate::btf::tests::{Builder, Field};
use crate::kernel::layout::*;

/// A kernel that has everything, in a layout of its own; `edit` changes a struct's fields before it is added.
fn kernel(edit: impl Fn(&str, &mut Vec<Field<'_>>)) -> Vec<u8> {
    let mut b = Builder::default();
    let (int, long) = (b.int("int", 4), b.int("long", 8));
    let pointer = b.pointer(0);
    let comm = b.int("char", 1);
    let comm = b.array(comm, 16);
    let atomic = b.body("atomic_t", 4, &[("counter", int, 0)]);
    let atomic64 = b.body("atomic64_t", 8, &[("counter", long, 0)]);
    let entity = b.body("sched_entity", 64, &[("sum_exec_runtime", long, 256)]);
    let scheduled = b.body("sched_info", 32, &[("last_arrival", long, 64)]);
    let tree = b.body("maple_tree", 16, &[("ma_root", pointer, 64)]);
    let upids = b.body("upid", 16, &[("nr", int, 0), ("ns", pointer, 64)]);
    let upids = b.array(upids, 0);
    let pids = b.array(pointer, 4);
    let reqs = b.body("percpu_ref", 16, &[("percpu_count_ptr", long, 0), ("data", pointer, 64)]);
    let hot = b.body("", 64, &[("reqs_available", atomic, 0)]);
    let done = b.body("", 64, &[("tail", int, 0), ("completed_events", int, 32)]);
    let structs: &[(&str, &[(&str, u32)])] = &[
        (
            "task_struct",
            &[
                ("__state", int),
                ("mm", pointer),
                ("signal", pointer),
                ("group_leader", pointer),
                ("thread_pid", pointer),
                ("comm", comm),
                ("pid", int),
                ("tgid", int),
                ("start_boottime", long),
                ("nvcsw", long),
                ("nivcsw", long),
                ("se", entity),
                ("on_cpu", int),
                ("exit_state", int),
                ("flags", int),
                ("cgroups", pointer),
                ("nsproxy", pointer),
                ("stack", pointer),
                ("sched_info", scheduled),
            ],
        ),
        ("signal_struct", &[("pids", pids)]),
        ("pid", &[("level", int), ("numbers", upids)]),
        (
            "mm_struct",
            &[
                ("ioctx_table", pointer),
                ("brk", long),
                ("flags", long),
                ("map_count", int),
                ("mm_lock_seq", int),
                ("start_code", long),
                ("mm_users", atomic),
                ("mmap", pointer),
                ("mm_mt", tree),
            ],
        ),
        ("kioctx_table", &[("nr", int), ("table", pids)]),
        (
            "kioctx",
            &[
                ("dead", atomic),
                ("reqs", reqs),
                ("user_id", long),
                ("cpu", pointer),
                ("max_reqs", int),
                ("nr_events", int),
                ("mmap_base", long),
                ("mmap_size", long),
                ("nr_pages", long),
                ("", hot),
                ("", done),
                ("req_batch", int),
                ("rq_wait", pointer),
            ],
        ),
        ("ctx_rq_wait", &[("comp", long), ("count", atomic)]),
        ("kioctx_cpu", &[("reqs_available", int)]),
        ("percpu_ref_data", &[("count", atomic64)]),
        ("bpf_array", &[("pptrs", pids)]),
    ];
    let cgroups = cgroups(&mut b, int, long, pointer);
    let cgroups = cgroups.iter().map(|(name, members)| (*name, members.as_slice()));
    let mappings = mappings(long, pointer, pids);
    let mappings = mappings.iter().map(|(name, members)| (*name, members.as_slice()));
    for (name, members) in structs.iter().copied().chain(mappings).chain(cgroups) {
        let mut fields: Vec<Field<'_>> =
            (1..).step_by(8).zip(members).map(|(at, (name, id))| (*name, *id, 64 * at)).collect();
        edit(name, &mut fields);
        if !fields.is_empty() {
            b.body(name, 4096, &fields);
        }
    }
    b.func("bpf_iter_task");
    b.blob()
}

/// What a mapping is found by.
fn mappings(long: u32, pointer: u32, slots: u32) -> [(&'static str, Vec<(&'static str, u32)>); 8] {
    [
        (
            "vm_area_struct",
            vec![
                ("vm_start", long),
                ("vm_end", long),
                ("vm_flags", long),
                ("vm_pgoff", long),
                ("vm_file", pointer),
                ("vm_mm", pointer),
                ("vm_next", pointer),
            ],
        ),
        ("file", vec![("f_inode", pointer), ("f_mapping", pointer)]),
        ("address_space", vec![("i_private_data", pointer)]),
        ("aio_inode_info", vec![("ctx", pointer)]),
        ("maple_range_64", vec![("slot", slots)]),
        ("maple_arange_64", vec![("slot", slots)]),
        ("inode", vec![("i_sb", pointer), ("i_ino", long)]),
        ("super_block", vec![("s_magic", long)]),
    ]
}

/// What names the control groups of a process.
fn cgroups(
    b: &mut Builder,
    int: u32,
    long: u32,
    pointer: u32,
) -> [(&'static str, Vec<(&'static str, u32)>); 7] {
    let links = b.body("list_head", 16, &[("next", pointer, 0), ("prev", pointer, 64)]);
    [
        ("nsproxy", vec![("cgroup_ns", pointer)]),
        ("cgroup_namespace", vec![("root_cset", pointer)]),
        ("css_set", vec![("cgrp_links", links)]),
        ("cgrp_cset_link", vec![("cgrp", pointer), ("cgrp_link", links)]),
        ("cgroup", vec![("root", pointer), ("kn", pointer)]),
        ("cgroup_root", vec![("hierarchy_id", int)]),
        ("kernfs_node", vec![("id", long), ("name", pointer), ("__parent", pointer)]),
    ]
}

fn resolve(edit: impl Fn(&str, &mut Vec<Field<'_>>)) -> Result<Layout, LayoutError> {
    Layout::resolve(&Btf::parse(&kernel(edit), WANTED).unwrap())
}

/// One row of the table.
pub(super) struct Row {
    pub place: Place,
    pub shape: Shape,
    pub of: &'static str,
    pub paths: &'static [&'static str],
    pub cost: Cost,
}

/// Why facts are not told, and what else is lost.
fn messages(layout: &Layout) -> Vec<String> {
    let facts =
        layout.known().lacks().iter().map(|lack| format!("{}: {}", lack.why, lack.fact.name())).collect();
    [layout.losses(), facts].concat()
}

/// Check that each number comes from the member it is named after.
#[test]
fn every_field_is_resolved() {
    let layout = resolve(|_, _| ()).unwrap();
    assert_eq!(layout.task_state, Place::whole(8, 4));
    assert_eq!(layout.task_mm, Place::whole(8 + 64, 8));
    assert_eq!(layout.task_comm, Place::whole(8 + 5 * 64, 8));
    assert_eq!(layout.task_sum_exec_runtime, Place::whole(8 + 11 * 64 + 32, 8));
    assert_eq!(layout.signal_tgid, Place::whole(8 + 8, 8));
    assert_eq!(layout.table_table, Place::whole(8 + 64, 8));
    assert_eq!(layout.pid_numbers_nr, Place::whole(8 + 64, 4));
    assert_eq!(layout.pid_numbers_ns, Place::whole(8 + 64 + 8, 8));
    assert_eq!(layout.kioctx_reqs_data, Place::whole(8 + 64 + 8, 8));
    assert_eq!(layout.kioctx_reqs_available, Place::whole(8 + 9 * 64, 4));
    assert_eq!(layout.kioctx_completed_events, Place::whole(8 + 10 * 64 + 4, 4));
    assert_eq!(layout.mm_lock_seq, Place::whole(8 + 4 * 64, 4));
    assert_eq!(layout.link_next, Place::whole(8 + 64, 8));
    assert_eq!(layout.kernfs_parent, Place::whole(8 + 2 * 64, 8));
    assert_eq!(layout.upid_size, 16);
    assert_eq!((layout.word8.at, layout.word4.at, layout.word1.at), (8 + 2 * 64, 8 + 4 * 64, 8 + 5 * 64));
    assert!(layout.iter_task_func > 0 && !layout.has_first_ids_only());
    assert_eq!((layout.iter_task_vma_func, layout.rdonly_cast_func), (None, None));
    assert_eq!(
        messages(&layout),
        [
            "this kernel's struct task_struct has no member thread_info.status: the hooks on all system calls cannot recognise 32-bit callers"
        ]
    );
    let offsets = layout.offsets(4096);
    assert_eq!((offsets.task_mm, offsets.word8_type), (layout.task_mm.0, layout.word4.type_id));
}

/// Check that an older name serves, and that a member some kernels lack may be missing.
#[test]
fn older_kernels() {
    let layout = resolve(|of, fields| {
        for field in fields.iter_mut().filter(|_| of == "task_struct") {
            match field.0 {
                "__state" => *field = ("state", 2, field.2),
                "start_boottime" => field.0 = "real_start_time",
                _ => (),
            }
        }
        fields.retain(|field| field.0 != "mm_lock_seq");
    });
    let layout = layout.unwrap();
    assert_eq!((layout.task_state, layout.mm_lock_seq), (Place::whole(8, 8), Place::ABSENT));
    assert_eq!(layout.task_start_boottime, Place::whole(8 + 8 * 64, 8));
    let lost = "this kernel's struct mm_struct has no member mm_lock_seq: lock_seq";
    assert!(messages(&layout).iter().any(|message| message == lost));
}

/// Check that what is essential is an error that names it.
#[test]
fn what_is_essential_is_an_error() {
    let says = |gone: fn(&str, &str) -> bool| {
        resolve(|of, fields| fields.retain(|field| !gone(of, field.0))).unwrap_err().to_string()
    };
    assert_eq!(says(|of, _| of == "kioctx_table"), "this kernel has no struct kioctx_table");
    assert_eq!(
        says(|_, member| member == "ioctx_table"),
        "this kernel's struct mm_struct has no member ioctx_table"
    );
    assert_eq!(
        says(|_, member| member == "thread_pid" || member == "tgid"),
        "this kernel's struct task_struct has no member tgid"
    );
    let empty = Builder::default().blob();
    let none = Layout::resolve(&Btf::parse(&empty, WANTED).unwrap());
    assert_eq!(none, Err(LayoutError::NoFunc { name: "bpf_iter_task" }));
}

/// Check that ids of the first PID namespace serve where those of others cannot be had, and then alone.
#[test]
fn ids_of_the_first_namespace() {
    for gone in ["signal", "pids", "thread_pid", "level", "numbers"] {
        let layout = resolve(|_, fields| fields.retain(|field| field.0 != gone)).unwrap();
        assert!(layout.has_first_ids_only() && layout.task_pid.is_present() && layout.task_tgid.is_present());
        assert!(!layout.signal_tgid.is_present() && !layout.pid_numbers_nr.is_present());
        assert!(messages(&layout).iter().any(|message| message.contains("first PID namespace")), "{gone}");
    }
    let layout = resolve(|_, fields| fields.retain(|field| field.0 != "pid")).unwrap();
    assert!(!layout.has_first_ids_only());
    assert_eq!(messages(&layout).len(), 1);
}

/// Check that a member of another size is read as it is, and that what is no number is said.
#[test]
fn another_kind() {
    let with = |member: &'static str, id: u32| {
        resolve(move |of, fields| {
            for field in fields.iter_mut().filter(|field| of == "kioctx" && field.0 == member) {
                field.1 = id;
            }
        })
        .unwrap()
    };
    assert_eq!(with("max_reqs", 2).kioctx_max_reqs, Place::whole(8 + 4 * 64, 8));
    assert_eq!(with("max_reqs", 4).kioctx_max_reqs, Place::whole(8 + 4 * 64, 1));
    let pointer = with("max_reqs", 3);
    assert_eq!(pointer.kioctx_max_reqs, Place::ABSENT);
    let lost = "this kernel's kioctx.max_reqs is a pointer of 8 bytes: max_reqs";
    assert!(messages(&pointer).iter().any(|message| message == lost), "{:?}", messages(&pointer));
    assert_eq!(pointer.word4.at, 8 + 5 * 64);
}

/// Check that docs/kernel.md says of every member what its absence costs, and names no other.
#[test]
fn the_document_has_every_member() {
    let document = include_str!("../../../../../docs/kernel.md");
    let table = document.split("## Members").nth(1).unwrap();
    let cells =
        table.lines().filter(|line| line.starts_with("| `")).filter_map(|line| line.split('|').nth(1));
    let named: BTreeSet<&str> =
        cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).filter(|word| word.contains('.')).collect();
    let layout = resolve(|_, _| ()).unwrap();
    let members: Vec<String> = layout
        .rows()
        .iter()
        .map(|row| format!("{}.{}", row.of, row.paths[0].split('.').next().unwrap()))
        .collect();
    assert_eq!(named, members.iter().map(String::as_str).collect());
}

/// Check that this machine's kernel resolves whole, where it can be read, and any other whose BTF is in the folder BTF_FOLDER.
#[test]
fn real_kernels() {
    let folder = std::env::var_os("BTF_FOLDER").map(|folder| std::fs::read_dir(folder).unwrap());
    let others = folder.into_iter().flatten().map(|entry| entry.unwrap().path());
    let others = others.filter(|path| path.extension().is_some_and(|it| it == "btf"));
    let mut seen = 0;
    for path in others.chain(["/sys/kernel/btf/vmlinux".into()]) {
        let Ok(blob) = std::fs::read(&path) else { continue };
        seen += 1;
        let layout = Layout::resolve(&Btf::parse(&blob, WANTED).unwrap()).unwrap();
        let missing = messages(&layout);
        println!("{}: {missing:?}", path.display());
        assert!(missing.len() <= 1 && missing.iter().all(|m| m.contains("mm_lock_seq")), "{missing:?}");
        assert!(layout.iter_task_vma_func.is_some() || path.ends_with("5.10.btf"));
        for word in [layout.word8, layout.word4, layout.word1] {
            assert_ne!(word.type_id, 0);
        }
        assert_eq!(layout.kioctx_reqs_data.offset(), layout.kioctx_reqs_ptr.offset() + 8);
        assert_eq!(layout.upid_size, 16);
        let mut inside: Vec<_> =
            layout.rows().iter().filter(|row| row.of == "kioctx").map(|row| row.place).collect();
        let len = inside.len();
        inside.sort_unstable();
        inside.dedup();
        assert_eq!(inside.len(), len);
    }
    if seen == 0 {
        let reason = "/sys/kernel/btf/vmlinux cannot be read";
        writeln!(std::io::stderr(), "SKIPPED real_kernels: {reason}").unwrap();
    }
}
