//! One checkpoint after the other, and what must be so after each.

use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use aioinspect_tests::host::aio_nr;

/// How a run of CRIU ended, and its log.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) log: String,
}

/// What CRIU can dump and restore, directly or through runc.
pub(crate) trait Checkpointed {
    /// Dumps it, which ends it.
    fn dump(&self) -> Ran;
    /// Restores it.
    fn restore(&self) -> Ran;
}

/// How often.
pub(crate) fn count() -> u32 {
    let said = std::env::var("AIOINSPECT_CRIU_ROUNDS").ok();
    said.map_or(5, |said| said.parse().unwrap())
}

/// Checkpoints and restores what has reserved slots beside `idle`, at intervals in which it works; `is_well` after each round.
/// In how many the hook saw requests in flight before anybody was stopped.
pub(crate) fn run(test: &str, idle: u64, target: &dyn Checkpointed, mut is_well: impl FnMut()) -> u32 {
    let reserved = aio_nr() - idle;
    assert!(reserved > 0, "no slots are reserved");
    let (mut in_flight, mut took) = (0, Vec::new());
    for round in 1..=count() {
        let begun = Instant::now();
        let dump = target.dump();
        assert_eq!(dump.code, 0, "dump {round}: {}", dump.log);
        in_flight += u32::from(has_requests(&dump.log));
        let restore = target.restore();
        assert_eq!(restore.code, 0, "restore {round}: {}", restore.log);
        took.push(begun.elapsed());
        assert_eq!(aio_nr() - idle, reserved, "slots after round {round}: {}", restore.log);
        thread::sleep(Duration::from_millis(400));
        is_well();
    }
    took.sort();
    let median = took[took.len() / 2].as_millis();
    let words = format!(
        "{test}: {} rounds, {in_flight} with requests in flight just before; dump and restore take {median} ms (median); \
         {reserved} slots each time",
        count()
    );
    say(&words);
    in_flight
}

/// Says what was measured; not through println, which the harness would keep to itself.
pub(crate) fn say(words: &str) {
    std::io::stderr().lock().write_all(format!("{words}\n").as_bytes()).unwrap();
}

/// Whether the hook saw requests in flight before CRIU stopped anybody.
fn has_requests(log: &str) -> bool {
    log.lines().any(|line| line.starts_with("aioinspect pre-dump:   0x") && line.contains("in flight"))
}

/// Waits until a file is there; its text.
pub(crate) fn await_file(path: &Path, patience: Duration) -> Option<String> {
    let begun = Instant::now();
    loop {
        match std::fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return Some(text),
            _ if begun.elapsed() > patience => return None,
            _ => thread::sleep(Duration::from_millis(20)),
        }
    }
}
