//! Lines and pictures of recordings that were made elsewhere.

use std::fs;

use aioinspect_formats::recording::{HEAD_LEN, Picture, Writer};
use aioinspect_model::event::{Actor, Failure, WatchStatus};
use aioinspect_model::units::{ContextId, Pid, Tid};
use aioinspect_render::screen::Theme;
use clap::Parser;
use tempfile::TempDir;

use super::*;
use crate::cli::{Cli, Verb};

const SECOND: u64 = 1_000_000_000;
/// 2026-01-31 03:00:00 UTC.
const THREE: u64 = 1_769_828_400 * SECOND;

fn timed(at: u64, unix_ns: u64, fails: bool) -> Timed {
    let by = Actor { pid: Pid(1), tid: Tid(1), comm: b"db".to_vec(), owner: None };
    let event = if fails {
        Event::SetupFailed { by, failure: Failure { errno: 11, requested: 5, ..Failure::default() } }
    } else {
        Event::Setup { by, context: ContextId(0x7000), max_reqs: 9 }
    };
    Timed { at: Instant(at), unix_ns, event }
}

fn picture(unix_ns: u64) -> Picture {
    let status = WatchStatus { taken_unix_ns: unix_ns, ..WatchStatus::default() };
    Picture { evidence: aioinspect_model::specimen::idle(), status, every_ns: 5 * SECOND }
}

/// The lines of a recording of these events, each in a record of its own.
fn told(events: &[Timed]) -> Vec<String> {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("recording");
    let mut bytes = Writer::head().to_vec();
    for event in events {
        bytes.extend(Writer::events(std::slice::from_ref(event)).unwrap().bytes);
    }
    fs::write(&path, bytes).unwrap();
    let cli = Cli::try_parse_from(["aioinspect", "watch", "--replay", path.to_str().unwrap()]).unwrap();
    let Some(Verb::Watch(args)) = cli.verb else { panic!("another verb") };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    lines(&path, &args, &mut out, &mut err).unwrap();
    assert_eq!(String::from_utf8(err).unwrap(), "");
    String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
}

/// Check that a burst is dated when it was, and told before what happened hours later.
#[test]
fn a_burst_and_silence() {
    let mut events: Vec<Timed> = (0..100).map(|nth| timed(nth, THREE + nth * SECOND / 200, true)).collect();
    events.push(timed(4 * 3600 * SECOND, THREE + 4 * 3600 * SECOND, false));
    let told = told(&events);
    assert_eq!(told.len(), 4, "{told:#?}");
    assert!(told[0].starts_with("03:00:00.000000Z setup-failed"), "{told:#?}");
    assert!(told[1].starts_with("03:00:01.0") && told[1].contains("x 99 in 1 s"), "{told:#?}");
    assert!(told[2].starts_with("03:00:11.0") && told[2].contains("stopped"), "{told:#?}");
    assert!(told[3].starts_with("07:00:00.000000Z setup "), "{told:#?}");
}

/// Check that after a reboot, and after the clock was set back, failures are told as before.
#[test]
fn two_boots() {
    let late = 1_000_000 * SECOND;
    let told = told(&[
        timed(late, THREE, true),
        timed(5 * SECOND, THREE + 3600 * SECOND, true),
        timed(6 * SECOND, THREE + 3601 * SECOND, true),
        timed(60 * SECOND, THREE + 3660 * SECOND, false),
        timed(61 * SECOND, THREE - 3600 * SECOND, true),
    ]);
    assert_eq!(told.len(), 6, "{told:#?}");
    assert!(told[0].starts_with("03:00:00.000000Z setup-failed"), "{told:#?}");
    assert!(told[1].starts_with("04:00:00.000000Z setup-failed"), "{told:#?}");
    assert!(told[2].starts_with("04:00:0") && told[2].contains("x 1 in"), "{told:#?}");
    assert!(told[3].starts_with("04:00:1") && told[3].contains("stopped"), "{told:#?}");
    assert!(told[4].starts_with("04:01:00.000000Z setup "), "{told:#?}");
    assert!(told[5].starts_with("02:00:00.000000Z setup-failed"), "{told:#?}");
}

/// Check that a first picture that is damaged is passed over, and that a gap is said of the picture at which it begins.
#[test]
fn begins() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("recording");
    let mut bytes = Writer::head().to_vec();
    for minutes in [0, 10, 20] {
        bytes.extend(Writer::default().picture(&picture(THREE + minutes * 60 * SECOND)).unwrap().bytes);
    }
    fs::write(&path, &bytes).unwrap();
    let replay = Replay::open(&path, Some(moment::parse("03:05").unwrap())).unwrap();
    assert_eq!(replay.says, "no picture was recorded from then to 2026-01-31 03:10:00 UTC");
    // In the message of the first picture.
    bytes[HEAD_LEN + 60] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let mut replay = Replay::open(&path, None).unwrap();
    let mut screen = Screen::new(Theme { color: false, ascii: true }, Vec::new());
    replay.begin(&mut screen).unwrap();
    assert_eq!(replay.at, Moment(1));
}
