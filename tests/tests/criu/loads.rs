//! Programs of others under load, checkpointed again and again.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use aioinspect_tests::criu::{Home, Scripts, is_ready};
use aioinspect_tests::host::{HostLock, aio_nr};
use aioinspect_tests::programs::skip;
use serde_json::Value;

use crate::bed::hook;
use crate::document::{Table, row};

/// How often a load is checkpointed and restored: AIOINSPECT_CRIU_ROUNDS, or a few.
fn rounds() -> usize {
    std::env::var("AIOINSPECT_CRIU_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(8)
}

/// fio with verification, in a home of its own: whether it came to its end, and how many errors it counted.
fn fio(scripts: &Scripts, rounds: usize, seconds: usize) -> Option<i64> {
    let home = Home::new();
    let idle = aio_nr();
    let file = home.dir().join("data");
    let filename = format!("--filename={}", file.display());
    let (output, runtime) = (home.dir().join("fio.json"), format!("--runtime={seconds}"));
    let output_to = format!("--output={}", output.display());
    let args = [
        "--name=load",
        "--size=32m",
        "--ioengine=libaio",
        "--direct=1",
        "--iodepth=32",
        "--bs=16k",
        "--rw=randrw",
        "--verify=crc32c",
        "--verify_fatal=1",
        "--time_based",
        "--output-format=json",
        &filename,
        &runtime,
        &output_to,
    ];
    let root = home.start_program("fio", &args);
    let begun = Instant::now();
    while aio_nr() == idle || begun.elapsed() < Duration::from_millis(500) {
        assert!(begun.elapsed() < Duration::from_secs(10), "fio makes no context");
        thread::sleep(Duration::from_millis(10));
    }
    for round in 0..rounds {
        let before = aio_nr();
        let dump = home.dump(root, scripts, &[]);
        assert_eq!(dump.code, 0, "round {round}: {}", dump.log);
        let restore = home.restore(scripts, &[]);
        assert_eq!(restore.code, 0, "round {round}: {}", restore.log);
        assert!(
            scripts.hook.is_none() || aio_nr() == before,
            "round {round}: aio-nr {before} and then {}",
            aio_nr()
        );
        // It works for a while.
        thread::sleep(Duration::from_millis(200));
    }
    let begun = Instant::now();
    while home.is_busy() {
        if begun.elapsed() > Duration::from_secs(u64::try_from(seconds).unwrap() + 4) {
            return None;
        }
        thread::sleep(Duration::from_millis(20));
    }
    let text = fs::read_to_string(&output).unwrap();
    let report: Value = serde_json::from_str(&text[text.find('{').unwrap()..]).unwrap();
    let job = &report["jobs"][0];
    assert!(job["read"]["total_ios"].as_u64().unwrap() > 1000, "{job}");
    Some(job["error"].as_i64().unwrap())
}

/// Check that fio with 32 requests in flight runs to its end through many checkpoints, verifies all it reads, and hangs after one without the hook.
#[test]
fn fio_with_verify() {
    const NAME: &str = "fio_with_verify";
    if !is_ready(NAME) {
        return;
    }
    if !std::env::split_paths(&std::env::var_os("PATH").unwrap()).any(|dir| dir.join("fio").is_file()) {
        skip(NAME, "there is no fio (package fio)");
        return;
    }
    let _host = HostLock::take();
    let alone = fio(&Scripts::none(), 1, 2);
    // A round takes one second and a half.
    let rounds = rounds();
    let hooked = fio(&hook(), rounds, 2 * rounds);
    let words = |ended: Option<i64>| match ended {
        Some(0) => "runs to its end, all verified".to_owned(),
        Some(errors) => format!("ends with error {errors}"),
        None => "**hangs for ever**".to_owned(),
    };
    row(
        Table::Cases,
        &["fio: 32 random reads and writes in flight, libaio, verify", &words(alone), &words(hooked)],
    );
    assert_eq!((alone, hooked), (None, Some(0)));
}
