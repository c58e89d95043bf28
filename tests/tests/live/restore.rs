//! `--restore-on`: the nr_req that makes the same ring on a host of so many CPUs.

use aioinspect_model::nr_req::{nr_req_for, ring_len};
use aioinspect_tests::fixture::Fixture;

use crate::tool::{aios, can_run, dump, names};

/// Check that the image has the smallest nr_req that makes the same ring there, and that a host where none does is named.
#[test]
fn on_so_many_cpus() {
    if !can_run("on_so_many_cpus") {
        return;
    }
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid();
    let id = fixture.setup(16);
    let ring = fixture.truth().contexts[0].ring_len;
    assert_eq!(ring, 4096, "this test is for at most 15 possible CPUs");
    // 62 requests and no more fit a ring of one page (2 * 62 + 2 entries), and 4 * 15 is the last multiple of 4 below.
    for cpus in [1, 2, 15] {
        let (output, into) = dump(pid, &["--restore-on", &format!("cpus={cpus}")]);
        assert_eq!(output.code, 0, "{output:?}");
        assert_eq!(aios(&into, pid), [(id, 16, 4096)]);
        assert_eq!(ring_len(16, cpus, 4096), Some(4096));
    }
    for cpus in ["cpus=16", "cpus=4096"] {
        let (output, into) = dump(pid, &["--restore-on", cpus]);
        assert_eq!((output.code, names(&into).len()), (5, 0), "{output:?}");
        assert!(
            output.stderr.contains("cannot be made on") && output.stderr.contains("possible cpus"),
            "{output:?}"
        );
    }
}

/// Check that a ring that the present host made larger than its max_reqs asks for gets a larger nr_req for a smaller host.
#[test]
fn on_fewer_cpus() {
    if !can_run("on_fewer_cpus") {
        return;
    }
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid();
    let id = fixture.setup(128);
    let (output, into) = dump(pid, &["--restore-on", "cpus=31"]);
    assert_eq!(output.code, 0, "{output:?}");
    // Half of 383 entries, 190, is the most; 4 * 31 is below it.
    assert_eq!(aios(&into, pid), [(id, 128, 12288)]);
    let (output, _) = dump(pid, &["--restore-on", "cpus=48"]);
    assert_eq!(output.code, 5, "{output:?}");
    // On a host of 47 CPUs io_setup(1) makes this ring; elsewhere it takes 127 requests to get as large a one.
    assert_eq!(nr_req_for(Some(1), 12288, 47, 4096), Ok(1));
    let smallest = nr_req_for(Some(1), 12288, 2, 4096).unwrap();
    assert_eq!((ring_len(smallest, 2, 4096), ring_len(smallest - 1, 2, 4096)), (Some(12288), Some(8192)));
}
