//! Checks of the table on a kernel built here and on the one that runs.

use super::super::btf::tests::{Builder, Field};
use super::*;

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
                ("start_boottime", long),
                ("nvcsw", long),
                ("nivcsw", long),
                ("se", entity),
                ("on_cpu", int),
                ("exit_state", int),
                ("flags", int),
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
                ("mm_users", atomic),
                ("mm_lock_seq", int),
                ("start_code", long),
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
            ],
        ),
        ("kioctx_cpu", &[("reqs_available", int)]),
        ("percpu_ref_data", &[("count", atomic64)]),
        (
            "vm_area_struct",
            &[
                ("vm_start", long),
                ("vm_end", long),
                ("vm_flags", long),
                ("vm_pgoff", long),
                ("vm_file", pointer),
                ("vm_mm", pointer),
            ],
        ),
        ("file", &[("f_inode", pointer)]),
        ("inode", &[("i_sb", pointer), ("i_ino", long)]),
        ("super_block", &[("s_magic", long)]),
        ("bpf_array", &[("pptrs", pids)]),
    ];
    for (name, members) in structs {
        let mut fields: Vec<Field<'_>> =
            (1..).step_by(8).zip(*members).map(|(at, (name, id))| (*name, *id, 64 * at)).collect();
        edit(name, &mut fields);
        if !fields.is_empty() {
            b.body(name, 4096, &fields);
        }
    }
    b.func("bpf_iter_task");
    b.blob()
}

fn resolve(edit: impl Fn(&str, &mut Vec<Field<'_>>)) -> Result<Layout, LayoutError> {
    Layout::resolve(&Btf::parse(&kernel(edit)).unwrap())
}

/// Check that each number comes from the member it is named after.
#[test]
fn every_field_is_resolved() {
    let layout = resolve(|_, _| ()).unwrap();
    assert_eq!(layout.task_state, 8);
    assert_eq!(layout.task_mm, 8 + 64);
    assert_eq!(layout.task_sum_exec_runtime, 8 + 9 * 64 + 32);
    assert_eq!(layout.kioctx_reqs_data, 8 + 64 + 8);
    assert_eq!(layout.kioctx_reqs_available, 8 + 9 * 64);
    assert_eq!(layout.kioctx_completed_events, 8 + 10 * 64 + 4);
    assert_eq!((layout.kioctx_size, layout.upid_size), (4096, 16));
    assert_eq!(layout.mm_lock_seq, Some(8 + 5 * 64));
    assert_eq!((layout.upid_ns, layout.task_status, layout.task_cgroups), (8, None, None));
    assert!(layout.iter_task_func > 0);
    assert_eq!(layout.iter_task_vma_func, None);
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
    assert_eq!((layout.task_state, layout.mm_lock_seq), (8, None));
    assert_eq!(layout.task_start_boottime, 8 + 6 * 64);
}

/// Check that what is missing is named: a struct, a member, each of several names, a function.
#[test]
fn what_is_missing_is_named() {
    let says = |edit: fn(&str, &mut Vec<Field<'_>>)| resolve(edit).unwrap_err().to_string();
    let gone = says(|of, fields| {
        if of == "kioctx_table" {
            fields.clear();
        }
    });
    assert_eq!(gone, "this kernel's btf has no struct kioctx_table");
    let renamed = says(|of, fields| fields.retain(|field| of != "mm_struct" || field.0 != "ioctx_table"));
    assert!(
        renamed.starts_with("this kernel's struct mm_struct has no member ioctx_table: btf type "),
        "{renamed}"
    );
    let both = says(|_, fields| fields.retain(|field| field.0 != "__state"));
    assert!(both.contains("no member __state") && both.ends_with("no member state"), "{both}");
    let empty = Builder::default().blob();
    let none = Layout::resolve(&Btf::parse(&empty).unwrap());
    assert_eq!(none, Err(LayoutError::NoStruct { name: "task_struct" }));
}

/// Check that a member that grew is an error and not half a number.
#[test]
fn another_width_is_an_error() {
    let wide = resolve(|of, fields| {
        for field in fields.iter_mut().filter(|field| of == "kioctx" && field.0 == "max_reqs") {
            field.1 = 2;
        }
    });
    let expected = LayoutError::Width { of: "kioctx", member: "max_reqs", found: 8, expected: 4 };
    assert_eq!(wide, Err(expected));
}

/// Check that this machine's kernel resolves, where it can be read.
#[test]
fn the_running_kernel() {
    let Ok(blob) = std::fs::read("/sys/kernel/btf/vmlinux") else {
        println!("SKIPPED the_running_kernel: /sys/kernel/btf/vmlinux cannot be read");
        return;
    };
    let layout = Layout::resolve(&Btf::parse(&blob).unwrap()).unwrap();
    let inside = [
        layout.kioctx_user_id,
        layout.kioctx_max_reqs,
        layout.kioctx_tail,
        layout.kioctx_completed_events,
        layout.kioctx_reqs_available,
    ];
    assert!(inside.iter().all(|at| *at > 0 && at + 4 <= layout.kioctx_size), "{layout:?}");
    let mut distinct = inside.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), inside.len());
    assert_eq!(layout.kioctx_reqs_data, layout.kioctx_reqs_ptr + 8);
    assert_eq!(layout.upid_size, 16);
}
