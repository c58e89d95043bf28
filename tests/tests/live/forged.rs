//! Header fields that the kernel did not write.

use aioinspect_tests::fixture::Fixture;

use crate::tool::{Looks, assert_looks, can_run, findings, list};

/// Check that each forged field is found, named with what it says, and fine again when it is put right.
#[test]
fn each_field() {
    if !can_run("each_field") {
        return;
    }
    let mut fixture = Fixture::spawn();
    fixture.setup(128);
    fixture.run("poll #0 4");
    fixture.run("complete #0 4");
    fixture.run("reap #0 4");
    for field in ["id", "nr", "head", "tail", "magic", "compat", "incompat", "header_length"] {
        for value in ["77", "0xffffffff"] {
            fixture.run(&format!("forge #0 {field} {value}"));
            let says = [field, "differs from what the kernel wrote", "restart the process"];
            let looks = Looks { handle: 0, code: 5, findings: &["forged-header"], says: &says };
            assert_looks(&mut fixture, &looks);
            let listed = list(fixture.pid());
            // One look at a process that may run cannot tell a forged tail from a later one, nor a ring without an id from one
            // that io_setup is about to give it.
            let plain: &[&str] = match (field, value) {
                ("tail", "77") => &[],
                ("id", "0xffffffff") => &["unsettled"],
                _ => &["forged-header"],
            };
            assert_eq!(findings(&listed["contexts"][0]), plain, "{field} {value}");
            fixture.run("unforge #0");
        }
    }
    assert_looks(&mut fixture, &Looks { handle: 0, code: 0, findings: &[], says: &[] });
}

/// Check that a head past the tail is no completion, and that one moved back is: its event is in the ring to be reaped again.
#[test]
fn head_within_the_ring() {
    if !can_run("head_within_the_ring") {
        return;
    }
    let mut fixture = Fixture::spawn();
    fixture.setup(16);
    fixture.run("poll #0 8");
    fixture.run("complete #0 8");
    fixture.run("reap #0 8");
    fixture.run("forge #0 head 9");
    let looks = Looks { handle: 0, code: 5, findings: &["forged-header"], says: &["head is 9"] };
    let json = assert_looks(&mut fixture, &looks);
    assert!(json["contexts"][0]["unreaped"].is_null(), "{json}");
    fixture.run("forge #0 head 7");
    let looks = Looks { handle: 0, code: 5, findings: &["unreaped"], says: &["1 completion not reaped"] };
    assert_looks(&mut fixture, &looks);
    fixture.run("unforge #0");
    assert_looks(&mut fixture, &Looks { handle: 0, code: 0, findings: &[], says: &[] });
}
