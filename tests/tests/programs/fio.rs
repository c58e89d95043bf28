//! fio with ioengine=libaio.

use std::time::{Duration, Instant};
use std::{fs, thread};

use aioinspect_tests::host::HostLock;
use aioinspect_tests::programs::run_aioinspect;

use crate::asked::{self, as_entries, check, dump, image, says_why};
use crate::fio_job::Job;
use crate::scratch::on_disk;

/// Check that every slot of the host is attributed while fio runs, that its context is what it asked for, and that dump and check refuse
/// it again and again under load, without harm to its I/O.
#[test]
fn is_refused_under_load_and_finishes() {
    let Some(directory) = on_disk("fio::is_refused_under_load_and_finishes", &["fio"]) else { return };
    let _alone = HostLock::take();
    let images = directory.path().join("images");
    fs::create_dir(&images).unwrap();
    let mut job = Job::start(directory.path(), &["--iodepth=32", "--time_based", "--runtime=12"]);
    let (pid, context) = job.context(|context| context.in_flight > 0);
    let working = Instant::now();
    assert_eq!(context.max_reqs, 32);
    assert!(context.in_flight <= 32, "{context:?}");
    attributes_all(pid, 32);

    let mut refused = 0;
    // Well before its end, when it waits for its last requests and is idle for a moment.
    while working.elapsed() < Duration::from_secs(7) || refused < 2 {
        for output in [dump(pid, &images, &[]), check(pid)] {
            assert_eq!(output.code, 5, "{output:?}");
            assert!(says_why(&output), "{output:?}");
            refused += 1;
        }
        assert!(!job.has_ended());
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(fs::read_dir(&images).unwrap().count(), 0, "a refused dump wrote something");
    assert!(job.finish() > 0);
}

/// Check that fio is dumped in a pause between its requests, with exactly its context, and does all its I/O afterwards.
#[test]
fn is_dumped_in_a_pause() {
    let Some(directory) = on_disk("fio::is_dumped_in_a_pause", &["fio"]) else { return };
    let _alone = HostLock::take();
    let images = directory.path().join("images");
    fs::create_dir(&images).unwrap();
    // Three times eight blocks, and a pause after each eight.
    let pauses = ["--iodepth=8", "--io_size=384k", "--thinktime=6s", "--thinktime_blocks=8"];
    let mut job = Job::start(directory.path(), &pauses);
    let (pid, context) = job.context(|context| context.in_flight == 0);
    assert_eq!(context.max_reqs, 8);
    let output = dump(pid, &images, &["--wait", "10s"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(!job.has_ended());
    assert_eq!(image(pid, &images, &[context]), as_entries(&[context]));
    assert_eq!(job.finish(), 24);
    // It said so of a process, not of a number.
    assert_eq!(run_aioinspect(&["check", &pid.to_string()]).code, 3);
}

/// Asks until nobody else has made or destroyed a context between the two numbers.
pub fn attributes_all(pid: u32, max_reqs: u64) {
    let mut seen = Vec::new();
    for _ in 0..20 {
        let listed = asked::list(pid);
        let own: u64 = listed.contexts.iter().map(|context| context.max_reqs).sum();
        if listed.aio_nr == listed.attributed && listed.unattributed == 0 && own == max_reqs {
            return;
        }
        seen.push(listed);
        thread::sleep(Duration::from_millis(50));
    }
    panic!("slots are missing: {seen:?}");
}
