//! The last hours: kept while nobody asks, of everybody, and without a reading for who asks for them.

use std::thread;
use std::time::{Duration, Instant};

use aioinspect_tests::cgroup::Cgroup;
use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::host::{HostLock, aio_max_nr, aio_nr};
use aioinspect_tests::serving::Serving;
use serde_json::Value;

fn samples(serving: &Serving) -> Vec<Value> {
    let document: Value = serde_json::from_str(&serving.get("/api/v1/history").text()).unwrap();
    document["samples"].as_array().unwrap().clone()
}

/// Check that without any scrape and any page, what is reserved, by whom, and what failed is known, sample by sample.
#[test]
fn while_nobody_asks() {
    let host = HostLock::take();
    let name = format!("aioinspect-alone-{}.service", std::process::id());
    let cgroup = Cgroup::new(&name);
    let serving = Serving::start(&[]).unwrap();
    let mut fixture = Fixture::spawn_alone(&host);
    cgroup.take(fixture.pid());
    let before = aio_nr();
    fixture.setup(777);
    for _ in 0..3 {
        assert_eq!(fixture.try_run(&format!("setup {}", aio_max_nr() + 1)).unwrap_err().errno, 11);
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    let found = loop {
        let all = samples(&serving);
        let of = |sample: &Value| {
            sample["owners"].as_array().is_some_and(|owners| owners.iter().any(|of| of["name"] == name))
        };
        if all.len() >= 2 && all.last().is_some_and(of) {
            break all;
        }
        assert!(Instant::now() < deadline, "{all:?}");
        thread::sleep(Duration::from_secs(1));
    };
    let last = found.last().unwrap();
    assert_eq!((last["reserved"].as_u64(), last["limit"].as_u64()), (Some(before + 777), Some(aio_max_nr())));
    let owner = last["owners"].as_array().unwrap().iter().find(|of| of["name"] == name).unwrap();
    assert_eq!(owner["slots"], 777);
    let failures: u64 = found.iter().map(|sample| sample["failures"].as_u64().unwrap()).sum();
    assert_eq!(failures, 3, "{found:?}");
    // Those that follow each other, ten seconds each.
    let times: Vec<&str> = found.iter().map(|sample| sample["time"].as_str().unwrap()).collect();
    assert!(times.is_sorted() && times.iter().all(|time| time.ends_with("0.000000000Z")), "{times:?}");
    assert!(found.iter().all(|sample| sample["seconds"] == 10), "{found:?}");
    // Who is gone is not said to hold anything any more.
    drop(fixture);
    let deadline = Instant::now() + Duration::from_secs(60);
    while samples(&serving).last().unwrap()["reserved"].as_u64() != Some(aio_nr()) {
        assert!(Instant::now() < deadline, "{:?}", samples(&serving));
        thread::sleep(Duration::from_secs(1));
    }
}

/// Check that the plot alone is what the page has of it, and asks for what its address says.
#[test]
fn the_plot_alone() {
    let serving = Serving::start(&[]).unwrap();
    let of = |document: &str| {
        let section =
            document.split_once("<section id=\"history\"").unwrap().1.split_once("</section>").unwrap().0;
        // Times go on between two answers.
        section.split_once("<svg").unwrap().0.to_owned()
    };
    for query in ["", "?span=6h&owner=a", "?q=x&sort=pid"] {
        let (page, plot) =
            (serving.get(&format!("/{query}")).text(), serving.get(&format!("/plot{query}")).text());
        assert_eq!(of(&page), of(&plot), "{query}");
        assert!(plot.starts_with("<section ") && plot.ends_with("</section>"), "{plot}");
    }
}
