//! Every finding that one process can cause by itself.

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::pages;

use crate::tool::{
    Looks, assert_looks, can_run, check, context, findings, has_slow_reads, list, run_on, states,
};

/// Check that polls submitted on each CPU are counted together.
#[test]
fn polls_in_flight() {
    if !can_run("polls_in_flight") {
        return;
    }
    let mut fixture = Fixture::spawn();
    fixture.setup(128);
    let cpus = std::thread::available_parallelism().unwrap().get();
    for cpu in 0..cpus {
        fixture.run(&format!("poll #0 3 {cpu}"));
    }
    let says = format!("{} requests in flight; wait for them with --wait 5s", 3 * cpus);
    let json = assert_looks(
        &mut fixture,
        &Looks { handle: 0, code: 5, findings: &["in-flight"], says: &["1 of 1 context", &says] },
    );
    assert_eq!(json["contexts"][0]["unreaped"], 0);
    fixture.run(&format!("cancel #0 {}", 3 * cpus));
    fixture.run("reap #0 1000");
    assert_looks(&mut fixture, &Looks { handle: 0, code: 0, findings: &[], says: &["1 context"] });
}

/// Check that reads from a disk that does not answer are in flight, although head == tail says that nothing is.
#[test]
fn slow_reads_in_flight() {
    if !can_run("slow_reads_in_flight") || !has_slow_reads("slow_reads_in_flight") {
        return;
    }
    let mut fixture = Fixture::spawn();
    fixture.setup(64);
    fixture.run("slow-read #0 32 0");
    let of = fixture.truth().contexts[0].clone();
    assert_eq!((of.ring_head, of.ring_tail), (Some(0), Some(0)));
    let looks = Looks { handle: 0, code: 5, findings: &["in-flight"], says: &["32 requests in flight"] };
    assert_looks(&mut fixture, &looks);
    fixture.run("finish-reads");
    let looks = Looks { handle: 0, code: 5, findings: &["unreaped"], says: &["32 completions not reaped"] };
    let json = assert_looks(&mut fixture, &looks);
    assert_eq!(json["contexts"][0]["unreaped"], 32);
    fixture.run("reap #0 32");
    assert_looks(&mut fixture, &Looks { handle: 0, code: 0, findings: &[], says: &[] });
}

/// Check that completions count until they are reaped, by io_getevents or by writing head, and that they can be allowed.
#[test]
fn unreaped_and_reaped() {
    if !can_run("unreaped_and_reaped") {
        return;
    }
    let mut fixture = Fixture::spawn();
    let id = fixture.setup(128);
    fixture.run("poll #0 9");
    fixture.run("complete #0 9");
    let says = ["9 completions not reaped", "--wait 5s", "--allow-unreaped"];
    assert_looks(&mut fixture, &Looks { handle: 0, code: 5, findings: &["unreaped"], says: &says });
    let (code, json) = check(fixture.pid(), &["--allow-unreaped"]);
    assert_eq!((code, &json["verdict"], &json["contexts"][0]["unreaped"]), (0, &"idle".into(), &9.into()));
    assert_eq!(list(fixture.pid())["contexts"][0]["unreaped"], 9);
    fixture.run("reap #0 4");
    fixture.run("reap-by-head #0 4");
    let one = assert_looks(
        &mut fixture,
        &Looks { handle: 0, code: 5, findings: &["unreaped"], says: &["1 completion not reaped"] },
    );
    assert_eq!(context(&one, id)["unreaped"], 1);
    fixture.run("reap-by-head #0 1");
    assert_looks(&mut fixture, &Looks { handle: 0, code: 0, findings: &[], says: &[] });
}

/// Check that an unmapped ring is named with the slots it costs, and that one that is idle beside it is not blamed.
#[test]
fn unmapped_ring() {
    if !can_run("unmapped_ring") {
        return;
    }
    let mut fixture = Fixture::spawn();
    fixture.setup(128);
    let other = fixture.setup(16);
    fixture.run("munmap #0 all hold");
    let says = ["1 of 2 contexts", "its 128 slots stay reserved", "restart the process"];
    let looks = Looks { handle: 0, code: 5, findings: &["unmapped-ring"], says: &says };
    let json = assert_looks(&mut fixture, &looks);
    let id = fixture.truth().contexts[0].id;
    let gone = context(&json, id);
    assert_eq!((gone["mapped"].as_bool(), gone["unreaped"].as_u64()), (Some(false), None));
    assert!(findings(context(&json, other)).is_empty());
    let listed = list(fixture.pid());
    assert_eq!(findings(context(&listed, id)), ["unmapped-ring"]);
}

/// Check that a ring without read permission is a finding and no harm: the process goes on, and its context works again.
#[test]
fn unreadable_ring() {
    if !can_run("unreadable_ring") {
        return;
    }
    let mut fixture = Fixture::spawn();
    fixture.setup(128);
    fixture.run("mprotect #0 none");
    let found = ["unreadable-ring", "protection-changed"];
    let says = ["process_vm_readv failed with EFAULT", "---s at", "make the ring readable"];
    assert_looks(&mut fixture, &Looks { handle: 0, code: 5, findings: &found, says: &says });
    let (code, json) = check(fixture.pid(), &["--freeze", "ptrace"]);
    assert_eq!((code, findings(&json["contexts"][0])), (5, found.to_vec()));
    assert_eq!(findings(&list(fixture.pid())["contexts"][0]), found);
    assert_eq!(states(fixture.pid()), "S");
    fixture.run("mprotect #0 rw");
    fixture.run("poll #0 2");
    fixture.run("complete #0 2");
    assert_eq!(fixture.number("reap #0 9", "reaped"), 2);
    assert_looks(&mut fixture, &Looks { handle: 0, code: 0, findings: &[], says: &[] });
}

/// Check that a ring made read-only is refused: a restore would make it writable.
#[test]
fn protection_changed() {
    if !can_run("protection_changed") {
        return;
    }
    let mut fixture = Fixture::spawn();
    fixture.setup(16);
    fixture.run("mprotect #0 ro");
    let looks = Looks { handle: 0, code: 5, findings: &["protection-changed"], says: &["r--s at"] };
    assert_looks(&mut fixture, &looks);
    assert_eq!(findings(&list(fixture.pid())["contexts"][0]), ["protection-changed"]);
}

/// Check each way to cut a ring: a page gone, a page protected, the first page gone, shrunk by mremap.
#[test]
fn split_mapping() {
    if !can_run("split_mapping") {
        return;
    }
    let [one, two, three] = [1, 2, 3].map(|pages| pages * pages::size());
    let in_place = format!("2 mappings, {two} of {three} bytes in place");
    let (still, shrunk) = (format!("{two} bytes of it are still mapped"), format!("1 mapping, {one}"));
    let cut: [(&str, &[&str], &str); 4] = [
        ("munmap #0 page 1 hold", &["split-mapping"], &in_place),
        ("mprotect #0 none page 2", &["protection-changed", "split-mapping"], "2 mappings"),
        ("munmap #0 page 0 hold", &["unmapped-ring", "split-mapping"], &still),
        ("mremap #0 1", &["split-mapping"], &shrunk),
    ];
    for (line, found, says) in cut {
        let mut fixture = Fixture::spawn();
        fixture.setup(pages::as_many_pages(128));
        assert_eq!(fixture.truth().contexts[0].ring_len, three, "this test is for at most 32 possible CPUs");
        if let Err(error) = fixture.try_run(line) {
            assert!(line.starts_with("mremap") && error.errno == 22, "{error:?}");
            println!("split_mapping: this kernel does not shrink a ring (`{line}`)");
            continue;
        }
        assert_looks(&mut fixture, &Looks { handle: 0, code: 5, findings: found, says: &[says] });
        let id = fixture.truth().contexts[0].id;
        assert_eq!(findings(context(&list(fixture.pid()), id)), found, "{line}");
    }
}

/// Check that a full ring is named while requests fill it, and while completions do.
#[test]
fn ring_full() {
    if !can_run("ring_full") {
        return;
    }
    let mut fixture = Fixture::spawn();
    fixture.setup(16);
    let answer = fixture.run("poll #0 100000 0");
    let taken = answer["submitted"].as_u64().unwrap();
    let full = ["in-flight", "ring-full"];
    let says = format!("{taken} requests in flight");
    assert_looks(&mut fixture, &Looks { handle: 0, code: 5, findings: &full, says: &[&says] });
    fixture.run(&format!("complete #0 {taken}"));
    let says = format!("{taken} completions not reaped");
    let looks = Looks { handle: 0, code: 5, findings: &["unreaped", "ring-full"], says: &[&says] };
    assert_looks(&mut fixture, &looks);
    fixture.run("reap #0 1");
    assert_eq!(findings(&check(fixture.pid(), &[]).1["contexts"][0]), ["unreaped"]);
}

/// Check that a process without contexts is idle, and that mremap moves a context to another id.
#[test]
fn nothing_and_moved() {
    if !can_run("nothing_and_moved") {
        return;
    }
    let mut fixture = Fixture::spawn();
    let none = run_on("check", fixture.pid(), &[]);
    assert_eq!(none.code, 0);
    assert!(none.stdout.contains("is idle: 0 contexts"), "{none:?}");
    let old = fixture.setup(128);
    fixture.run("poll #0 1");
    let new = fixture.number("mremap #0", "id");
    let looks =
        Looks { handle: 0, code: 5, findings: &["in-flight"], says: &[&format!("{new:#x}: 1 request in")] };
    let json = assert_looks(&mut fixture, &looks);
    assert!(!json.to_string().contains(&format!("{old:#x}")), "{json}");
    fixture.run("cancel #0 1");
    fixture.run("reap #0 1");
    assert_looks(&mut fixture, &Looks { handle: 0, code: 0, findings: &[], says: &[] });
}
