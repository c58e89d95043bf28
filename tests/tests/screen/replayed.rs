//! A recording on the screen: keys travel in it, and what is shown is what was so then.

use std::fs;

use aioinspect_formats::evidence_from_bytes;
use aioinspect_formats::recording::{Picture, Writer};
use aioinspect_model::event::{Actor, Event, Timed, WatchStatus};
use aioinspect_model::units::{ContextId, Instant, Pid, Tid};
use aioinspect_tests::programs::bin;

use crate::blessed::captures;
use crate::pane::{Pane, can};

const SECOND: u64 = 1_000_000_000;
/// 2026-01-31 03:00:00 UTC.
const THREE: u64 = 1_769_828_400 * SECOND;

/// A recording of three captures at three times, with an event before each.
fn recording() -> Vec<u8> {
    let mut writer = Writer::default();
    let mut bytes = Writer::head().to_vec();
    for (capture, unix_ns, pid) in [
        ("host", THREE, 111),
        ("ring-full", THREE + 5 * SECOND, 222),
        ("idle-leak", THREE + 3600 * SECOND, 333),
    ] {
        let by = Actor { pid: Pid(pid), tid: Tid(pid), comm: b"maker".to_vec(), owner: None };
        let event = Event::Setup { by, context: ContextId(0x7f00), max_reqs: 16 };
        let events = [Timed { at: Instant(1), unix_ns: unix_ns - SECOND, event }];
        bytes.extend(Writer::events(&events).unwrap().bytes);
        let evidence = fs::read(captures().join(format!("{capture}.evidence"))).unwrap();
        let status = WatchStatus { taken_unix_ns: unix_ns, ..WatchStatus::default() };
        let picture =
            Picture { evidence: evidence_from_bytes(&evidence).unwrap(), status, every_ns: 5 * SECOND };
        bytes.extend(writer.picture(&picture).unwrap().bytes);
    }
    bytes
}

fn pane(args: &str) -> Pane {
    let script = format!("exec '{}' watch --replay recording {args}", bin("aioinspect").display());
    // The script waits for the file, which is written into the directory of the pane.
    let script = format!("while ! [ -e recording ]; do sleep 0.05; done; {script}");
    let pane = Pane::running(&script, (100, 30), &[]);
    fs::write(pane.dir.path().join("part"), recording()).unwrap();
    fs::rename(pane.dir.path().join("part"), pane.dir.path().join("recording")).unwrap();
    pane
}

/// Check t, T and j: the picture, its place and time, the events before it and none after, and what is said where there is nothing.
#[test]
fn keys_travel() {
    if !can("keys_travel") {
        return;
    }
    let pane = pane("");
    let first = pane.frame_with("recorded, 1 of 3");
    assert!(first.contains("at 2026-01-31 03:00:00 UTC") && first.contains("database"), "{first}");
    assert!(first.contains("maker[111") && !first.contains("maker[222"), "{first}");
    pane.keys(&["T"]);
    pane.frame_with("this is the first picture");
    pane.keys(&["t"]);
    let second = pane.frame_with("recorded, 2 of 3");
    assert!(second.contains("at 2026-01-31 03:00:05 UTC") && second.contains("ring-full"), "{second}");
    assert!(second.contains("maker[222") && !second.contains("maker[333"), "{second}");
    pane.keys(&["t"]);
    let third = pane.frame_with("recorded, 3 of 3");
    assert!(third.contains("04:00:00 UTC") && third.contains("maker[333"), "{third}");
    pane.keys(&["t"]);
    pane.frame_with("this is the last picture");
    pane.keys(&["T"]);
    assert_eq!(pane.frame_with("recorded, 2 of 3"), second);
    for (typed, place) in
        [("04:00", "3 of 3"), ("-59m", "2 of 3"), ("2026-01-31T03:00", "1 of 3"), ("+1h", "3 of 3")]
    {
        pane.keys(&["j"]);
        pane.frame_with("jump to");
        pane.keys(&["--", typed, "Enter"]);
        pane.frame_with(&format!("recorded, {place}"));
    }
    for (typed, says) in [
        ("2020-01-01T00:00", "the first picture is of 2026-01-31 03:00:00 UTC"),
        ("+3h", "the recording ends at 2026-01-31 04:00:00 UTC"),
        ("yesterday", "expected a time in UTC"),
    ] {
        pane.keys(&["j"]);
        pane.frame_with("jump to");
        pane.keys(&["--", typed, "Enter"]);
        assert!(pane.frame_with(says).contains("recorded, 3 of 3"));
    }
    pane.keys(&["?"]);
    pane.frame_with("jump to a time in UTC");
    pane.keys(&["Escape", "q"]);
}

/// Check that it begins at the time that was asked for.
#[test]
fn begins_at() {
    if !can("begins_at") {
        return;
    }
    pane("--at 03:30").frame_with("recorded, 2 of 3");
    pane("--at 2026-01-31T04:00:03Z").frame_with("recorded, 3 of 3");
}
