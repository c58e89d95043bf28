//! What a watch saw is the third witness of `check` and `dump`.

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::programs::{is_root, run_aioinspect, skip};
use aioinspect_tests::watch::{Watch, is_of};
use serde_json::Value;

use crate::hooks::each;

/// Check that dump tells apart what was seen being made, with argument, thread and time, from what was there before, and that
/// the evidence keeps it.
#[test]
fn dump_says_who_made_it() {
    if !is_root() {
        return skip("dump_says_who_made_it", "needs root (CAP_BPF, CAP_PERFMON)");
    }
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid();
    let old = format!("{:#x}", fixture.setup(40));
    let mut watch = Watch::start(&[]).unwrap_or_else(|ended| panic!("{}", ended.stderr));
    let new = fixture.run("setup-thread 41");
    watch.expect("the setup", |event| is_of(event, pid) && event["event"] == "setup");
    let dir = tempfile::tempdir().unwrap();
    let images = dir.path().to_str().unwrap();
    let output = run_aioinspect(&["dump", &pid.to_string(), "-D", images, "-J"]);
    assert_eq!(output.code, 0, "{output:?}");
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    let context = |id: &str| {
        let contexts = report["contexts"].as_array().unwrap();
        contexts.iter().find(|context| context["context"] == id).unwrap().clone()
    };
    let made = context(new["id"].as_str().unwrap());
    assert_eq!((&made["origin"]["tid"], &made["origin"]["max_reqs"]), (&new["tid"], &41.into()), "{made}");
    assert_eq!(made["origin"]["pid"], pid, "{made}");
    let told =
        &watch.events.iter().find(|event| is_of(event, pid) && event["event"] == "setup").unwrap()["time"];
    // The same instant by two clocks' distance: equal to the millisecond, or its neighbour.
    let second = |time: &Value| time.as_str().unwrap()[..19].to_owned();
    assert_eq!(second(&made["origin"]["made"])[..17], second(told)[..17], "{made} {told}");
    let before = context(&old);
    assert!(before["origin"]["made"].is_null() && before["origin"]["watched_since"].is_string(), "{before}");
    assert!(
        report["contexts"]
            .as_array()
            .unwrap()
            .iter()
            .all(|context| context["findings"] == serde_json::json!([]))
    );

    watch.end();
    // The file says the same when nobody watches any more; a new look does not.
    let evidence = format!("{images}/aioinspect-{pid}.evidence");
    let again: Value =
        serde_json::from_str(&run_aioinspect(&["check", "--from", &evidence, "-J"]).stdout).unwrap();
    assert!(again["contexts"].as_array().unwrap().iter().all(|context| context["origin"].is_object()));
    // The kernel takes its time to let go of what nobody uses any more.
    let begun = std::time::Instant::now();
    loop {
        let now: Value =
            serde_json::from_str(&run_aioinspect(&["check", &pid.to_string(), "-J"]).stdout).unwrap();
        if now["contexts"].as_array().unwrap().iter().all(|context| context["origin"].is_null()) {
            break;
        }
        assert!(begun.elapsed().as_secs() < 60, "{now}");
    }
}

/// Check that a context that the watch does not know is a finding, and no obstacle: here the map had no room.
#[test]
fn what_the_map_does_not_hold() {
    if !is_root() {
        return skip("what_the_map_does_not_hold", "needs root (CAP_BPF, CAP_PERFMON)");
    }
    let watch = Watch::start(&["--map-entries", "1"]).unwrap_or_else(|ended| panic!("{}", ended.stderr));
    let mut fixture = Fixture::spawn();
    fixture.run("setup-many 5 3");
    let output = run_aioinspect(&["check", &fixture.pid().to_string(), "--wait", "10s"]);
    assert!(output.code == 0 && output.stdout.contains("traced-otherwise"), "{output:?}");
    drop(watch);
}

/// Check that a failing call of another process is explained by who holds the slots.
#[test]
fn who_holds_the_slots() {
    each("who_holds_the_slots", |hook, mut watch| {
        let (mut holder, mut asker) = (Fixture::spawn(), Fixture::spawn());
        holder.setup(3000);
        let limit = aioinspect_tests::host::aio_max_nr();
        // All but a few, so that the call fails for want of slots and not for the limit itself.
        assert!(asker.try_run(&format!("setup {limit}")).is_err());
        let pid = asker.pid();
        let failed =
            watch.expect("the failure", |event| is_of(event, pid) && event["event"] == "setup-failed");
        assert!(failed["free"].as_i64().unwrap() < i64::try_from(limit).unwrap(), "{failed}");
        let reason = failed["reason"].as_str().unwrap();
        let name = format!("pid {}, 3000 slots in 1 context)", holder.pid());
        assert!(
            reason.contains(&format!("asked for {limit}, ")) && reason.contains(&name),
            "{hook}: {reason}"
        );
        drop(watch);
    });
}
