//! `--restore-on`: the nr_req that makes the same ring on a host of so many CPUs.

use aioinspect_model::nr_req::{nr_req_for, ring_len};
use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::pages;
use aioinspect_tests::programs::run_aioinspect;

use crate::tool::{aios, can_run, dump, names};

/// The most possible CPUs with which io_setup can make a ring of that many bytes: it makes room for 4 requests a CPU at least, and for twice the
/// requests and two, beside the header, in entries of 32 bytes.
fn most_cpus(ring: u64) -> u32 {
    u32::try_from((ring / 32 - 1 - 2) / 2 / 4).unwrap()
}

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
    let page = pages::size();
    // With pages of 4 kB 62 requests and no more fit a ring of one page (2 * 62 + 2 entries), and 4 * 15 is the last multiple of 4 below.
    let most = most_cpus(page);
    assert_eq!(ring, page, "this test is for at most {most} possible CPUs");
    for cpus in [1, 2, most] {
        let (output, into) = dump(pid, &["--restore-on", &format!("cpus={cpus}")]);
        assert_eq!(output.code, 0, "{output:?}");
        assert_eq!(aios(&into, pid), [(id, 16, page)]);
        assert_eq!(ring_len(16, cpus, u32::try_from(page).unwrap()), Some(page));
    }
    let hosts = [
        (format!("cpus={most},free=128"), 0),
        (most.to_string(), 0),
        (format!("cpus={most},free=127"), 5),
        (format!("cpus={}", most + 1), 5),
    ];
    for (host, code) in hosts {
        let checked = run_aioinspect(&["check", &pid.to_string(), "--wait", "5s", "--restore-on", &host]);
        assert_eq!((checked.code, &*checked.stderr), (code, ""), "{host}: {checked:?}");
        assert!(checked.stdout.contains(&format!("1-{most}")), "{checked:?}");
    }
    for cpus in [most + 1, 4096] {
        let (output, into) = dump(pid, &["--restore-on", &format!("cpus={cpus}")]);
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
    // With pages of 4 kB 128 requests, 31 CPUs for which they are enough, and of 383 entries half, 190, for the most requests and 47 CPUs.
    let requests = pages::as_many_pages(128);
    let (page, ring) = (u32::try_from(pages::size()).unwrap(), 3 * pages::size());
    let (few, most) = (requests / 4 - 1, most_cpus(ring));
    let id = fixture.setup(requests);
    let (output, into) = dump(pid, &["--restore-on", &format!("cpus={few}")]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(aios(&into, pid), [(id, u64::from(requests), ring)]);
    let (output, _) = dump(pid, &["--restore-on", &format!("cpus={}", most + 1)]);
    assert_eq!(output.code, 5, "{output:?}");
    // On a host of so many CPUs io_setup(1) makes this ring; elsewhere it takes almost as many requests to get as large a one.
    assert_eq!(nr_req_for(Some(1), ring, most, page), Ok(1));
    let smallest = nr_req_for(Some(1), ring, 2, page).unwrap();
    let smaller = 2 * pages::size();
    assert_eq!((ring_len(smallest, 2, page), ring_len(smallest - 1, 2, page)), (Some(ring), Some(smaller)));
}
