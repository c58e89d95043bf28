//! What is written when there is too much, and what is said of what is not.

use std::path::Path;
use std::sync::LazyLock;
use std::sync::mpsc::sync_channel;

use aioinspect_formats::recording::{Moment, Recording};
use aioinspect_kernel::host::recording_files::Limits;
use aioinspect_model::event::{Actor, WatchStatus};
use aioinspect_model::evidence::Evidence;
use aioinspect_model::units::{ContextId, Instant, Pid, Tid};
use tempfile::TempDir;

use super::*;
use crate::commands::saved;

/// Half an hour ago: what is missing is dated now.
static BEGIN: LazyLock<u64> = LazyLock::new(|| clock::unix_now() - 1800 * SECOND);
const SECOND: u64 = 1_000_000_000;

fn files(path: &Path, bytes: u64) -> RecordingFiles {
    let limits = Limits { bytes, age_ns: 7 * 86_400 * SECOND };
    RecordingFiles::open(path, limits, &Writer::head(), saved::inspect).unwrap()
}

fn recording(path: &Path) -> Recording {
    saved::recording(path).unwrap().unwrap()
}

fn picture(second: u64) -> Box<Picture> {
    let mut evidence = Evidence::default();
    evidence.system.taken_at_unix_ns = *BEGIN + second * SECOND;
    // What differs each time, as much as on a small host.
    evidence.system.kernel_release = format!("{:x}", second.wrapping_mul(0x9e37_79b9_7f4a_7c15)).repeat(40);
    let status = WatchStatus { taken_unix_ns: evidence.system.taken_at_unix_ns, ..WatchStatus::default() };
    Box::new(Picture { evidence, status, every_ns: 5 * SECOND })
}

fn setup(second: u64, nth: u64) -> Timed {
    let by = Actor { pid: Pid(1), tid: Tid(1), comm: b"db".to_vec(), owner: None };
    let context = ContextId(nth.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let event = Event::Setup { by, context, max_reqs: 1 };
    Timed { at: Instant(nth), unix_ns: *BEGIN + second * SECOND + nth, event }
}

fn run(files: RecordingFiles, work: Vec<Work>) -> Told {
    let told = Mutex::default();
    let (queue, receiver) = sync_channel(work.len());
    for work in work {
        queue.try_send(work).unwrap_or_else(|_| panic!("full"));
    }
    drop(queue);
    write(files, &receiver, &told);
    told.into_inner().unwrap()
}

fn all_events(path: &Path) -> Vec<Timed> {
    let recording = recording(path);
    (0..).map_while(|place| recording.events_at(place)).flat_map(Result::unwrap).collect()
}

/// Check that a storm of events takes at most half of the room, so that the pictures of the hours before it stay, and that what is not written is counted.
#[test]
fn a_storm_does_not_take_the_pictures() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("recording");
    let size = 1 << 20;
    let mut work = Vec::new();
    for second in 0..1000 {
        work.push(Work::Picture(picture(second)));
    }
    for second in 1000..1500 {
        let events = (0..1000).map(|nth| setup(second, second * 1000 + nth)).collect();
        work.push(Work::Events { missed: 0, events });
        if second % 5 == 0 {
            work.push(Work::Picture(picture(second)));
        }
    }
    let told = run(files(&path, size), work);
    assert!(told.pictures == 1100 && told.lost > 100_000, "{told:?}");
    assert_eq!(told.events + told.lost, 500_000);
    let again = recording(&path);
    let pictures = u64::try_from(again.pictures()).unwrap();
    assert!(pictures > 300, "{pictures}");
    assert!(again.time_of(Moment(0)).unwrap() < *BEGIN + 1000 * SECOND, "of before the storm");
    let (mut seen, mut lost) = (0, 0);
    for timed in all_events(&path) {
        if let Event::Lost { count } = timed.event {
            lost += count;
        } else {
            seen += 1;
        }
    }
    // Files that are gone took some of both.
    assert!(lost > 100_000 && seen > 1000 && seen + lost <= 500_000, "{seen} and {lost}");
}

/// Check that events that were lost before they came are counted as what they stand for where they cannot be written, and each once.
#[test]
fn what_is_missing_is_counted() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("recording");
    // Such a record is larger than a file may be.
    let mut large: Vec<Timed> = (0..2000).map(|nth| setup(0, nth)).collect();
    large.push(Timed { at: Instant(0), unix_ns: *BEGIN, event: Event::Lost { count: 500 } });
    let work = |missed, events| Work::Events { missed, events };
    let told = run(files(&path, 64 << 10), vec![work(7, large.clone()), work(0, vec![setup(1, 1)])]);
    assert_eq!((told.events, told.lost), (1, 2500));
    let count_lost = |events: Vec<Timed>| -> u64 {
        events
            .iter()
            .filter(|timed| matches!(timed.event, Event::Lost { .. }))
            .map(|t| t.event.stands_for())
            .sum()
    };
    assert_eq!(count_lost(all_events(&path)), 2507);
    // At the end too.
    let told = run(files(&path, 64 << 10), vec![work(0, large)]);
    assert_eq!((told.events, told.lost), (0, 2500));
    assert_eq!(count_lost(all_events(&path)), 5007);
}

/// Check that a wait that began days ago does not make the file old.
#[test]
fn an_old_wait() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("recording");
    let mut old = setup(0, 1);
    old.unix_ns = *BEGIN - 8 * 86_400 * SECOND;
    let work = |events| Work::Events { missed: 0, events };
    run(
        files(&path, 1 << 20),
        vec![work(vec![setup(0, 0), old]), work(vec![setup(1, 2)]), work(vec![setup(2, 3)])],
    );
    assert_eq!(recording(&path).files(), 1);
    assert_eq!(all_events(&path).len(), 4);
}

/// Check when trouble is told: at once, once, not more than once a minute, and also when it began within the minute and stays.
#[test]
fn trouble() {
    let mut told = Told::default();
    let mut at = |second: u64, fails: Option<&str>| {
        let now = 1000 * SECOND + second * SECOND;
        match fails {
            Some(why) => told.fail(why.to_owned()),
            None => told.succeed(now),
        }
        told.news(now)
    };
    assert_eq!(at(0, None), None);
    assert_eq!(at(1, Some("full")).as_deref(), Some("full"));
    assert_eq!(at(2, Some("full")), None);
    assert_eq!(at(3, None), None);
    assert_eq!(at(30, Some("slow")), None, "within the minute");
    assert_eq!(at(60, Some("slow")), None);
    assert_eq!(at(61, Some("slow")).as_deref(), Some("slow"), "it stayed");
    assert_eq!(at(200, Some("slow")), None, "it is known");
    assert_eq!(at(201, None), None);
    assert_eq!(at(202, Some("full")).as_deref(), Some("full"));
    assert_eq!(at(203, Some("full")), None);
    assert_eq!(at(204, None), None);
    assert_eq!(at(210, Some("full")), None);
    assert_eq!(at(211, None), None, "it came and went");
    assert_eq!(at(300, None), None);
}
