//! fio, which writes a file and verifies what it wrote.

use std::fs;
use std::time::Duration;

use aioinspect_tests::criu::{Home, SlowDisk, is_ready};
use aioinspect_tests::host::{HostLock, aio_nr};
use aioinspect_tests::programs::{run_aioinspect, skip};

use super::rounds::{self, Checkpointed, await_file};
use super::{has, tree::Tree};
use crate::bed::SLOW;

/// The disk while fio works: what it has in flight takes a tenth of a second.
const DISK: u64 = 20 << 20;
/// Seconds in which a round is sure to end.
const ROUND_S: u32 = 3;

fn can_run(test: &str) -> bool {
    if let Some(why) = SlowDisk::why_not() {
        skip(test, &why);
        return false;
    }
    is_ready(test) && has(test, &[("fio", "fio")])
}

/// A script that lets fio work for so long, with 32 requests of 64 KiB in flight; its exit code is in the file `ended`.
fn script(disk: &SlowDisk, seconds: u32) -> String {
    format!(
        "fio --name=job --filename='{}/fio' --size=16m --ioengine=libaio --direct=1 --iodepth=32 --bs=64k \
         --rw=randwrite --verify=crc32c --verify_fatal=1 --verify_state_save=0 --time_based --runtime={seconds} \
         --output-format=json --output=report </dev/null >said 2>&1\necho $? >ended\n",
        disk.dir.display()
    )
}

/// Waits until fio has made its context.
fn await_context(idle: u64) {
    let begun = std::time::Instant::now();
    while aio_nr() <= idle {
        assert!(begun.elapsed() < Duration::from_secs(20), "fio makes no context");
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(500));
}

/// Waits until fio has requests in flight, half of what it may have at least: on a slow disk those take a second.
fn await_requests() {
    let begun = std::time::Instant::now();
    loop {
        let looked = run_aioinspect(&["list", "-J"]);
        let said: serde_json::Value = serde_json::from_str(&looked.stdout).unwrap_or_default();
        let of_fio = said["contexts"].as_array().into_iter().flatten().filter(|of| of["comm"] == "fio");
        if of_fio.filter_map(|of| of["in_flight"].as_u64()).sum::<u64>() >= 16 {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "fio has no requests in flight: {looked:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Check that fio is checkpointed while it writes and verifies, as often as wanted, and finds every byte it wrote.
#[test]
fn verifies_what_it_wrote() {
    const NAME: &str = "loads::fio::verifies_what_it_wrote";
    if !can_run(NAME) {
        return;
    }
    let _host = HostLock::take();
    let home = Home::new();
    let disk = home.disk();
    disk.slow(DISK);
    let idle = aio_nr();
    let tree = Tree::start(&home, &script(&disk, 5 + ROUND_S * rounds::count()), true);
    let ended = home.dir().join("ended");
    await_context(idle);
    let in_flight = rounds::run(NAME, idle, &tree, || {
        let report = || fs::read_to_string(home.dir().join("report")).unwrap_or_default();
        assert!(!ended.exists(), "fio has ended: {}", report());
    });
    assert!(in_flight > 0, "never was a request in flight: nothing was tried");
    let code = await_file(&ended, Duration::from_secs(u64::from(20 + ROUND_S * rounds::count())));
    let text = fs::read_to_string(home.dir().join("report")).unwrap_or_default();
    assert_eq!(code.as_deref(), Some("0\n"), "{text}");
    // A remark may stand before it: that the last turn of writing had no time to be verified.
    let from = text.find('{').unwrap_or(text.len());
    let report: serde_json::Value =
        serde_json::from_str(&text[from..]).unwrap_or_else(|error| panic!("{error}: {text}"));
    let job = &report["jobs"][0];
    assert_eq!(job["error"], 0, "{job}");
    for direction in ["read", "write"] {
        let done = &job[direction];
        assert!(done["total_ios"].as_u64().unwrap() > 0, "{done}");
        assert_eq!((&done["short_ios"], &done["drop_ios"]), (&0.into(), &0.into()), "{done}");
    }
    assert_eq!(fs::read_to_string(home.dir().join("said")).unwrap(), "");
    assert_eq!(aio_nr(), idle);
}

/// Check that without the hook one checkpoint is enough for fio never to end, or to end with an error.
#[test]
fn loses_requests_without_the_hook() {
    const NAME: &str = "loads::fio::loses_requests_without_the_hook";
    const SECONDS: u32 = 3;
    if !can_run(NAME) {
        return;
    }
    let _host = HostLock::take();
    let home = Home::new();
    let disk = home.disk();
    disk.slow(DISK);
    let idle = aio_nr();
    let tree = Tree::start(&home, &script(&disk, SECONDS), false);
    await_context(idle);
    disk.slow(SLOW);
    await_requests();
    let dump = tree.dump();
    assert_eq!(dump.code, 0, "{}", dump.log);
    disk.fast();
    let restore = tree.restore();
    assert_eq!(restore.code, 0, "{}", restore.log);
    let code = await_file(&home.dir().join("ended"), Duration::from_secs(u64::from(SECONDS) + 5));
    assert_ne!(code.as_deref(), Some("0\n"), "nothing was lost");
}
