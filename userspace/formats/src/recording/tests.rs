//! Whatever a watch sees survives the recording; whatever is done to the file costs no more than what it touches, and never the program.

use proptest::prelude::*;

use crate::recording::*;
use crate::tests::{Any, Dice};
use aioinspect_model::awaited::Awaited;
use aioinspect_model::event::{Actor, Event, Failure, Timed};
use aioinspect_model::owner_growth::Growing;
use aioinspect_model::specimen;
use aioinspect_model::submit_failure::{Cause, SubmitFailure};

/// Two minutes into 2026.
const BEGIN: u64 = 1_767_225_720_000_000_000;
const SECOND: u64 = 1_000_000_000;

impl Any for Timed {
    fn any(dice: &mut Dice<'_>) -> Self {
        let by = Actor::any(dice);
        let event = match dice.one(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]) {
            0 => Event::Existing { by, context: Any::any(dice), max_reqs: Any::any(dice) },
            1 => Event::Setup { by, context: Any::any(dice), max_reqs: Any::any(dice) },
            2 => Event::SetupFailed { by, failure: Failure::any(dice) },
            3 => Event::Destroy {
                by,
                context: Any::any(dice),
                max_reqs: Any::any(dice),
                took_ns: Any::any(dice),
            },
            4 => Event::Exec { by, contexts: Any::any(dice) },
            5 => Event::Exit { by, contexts: Any::any(dice) },
            6 => {
                Event::Dying { by, of: Awaited::any(dice), doing: Any::any(dice), waited_ns: Any::any(dice) }
            }
            7 => Event::Gone { by, context: Any::any(dice), waited_ns: Any::any(dice) },
            8 => Event::Lost { count: Any::any(dice) },
            9 => Event::SubmitFailed { by, failure: SubmitFailure::any(dice) },
            10 => Event::Growth {
                growing: Box::new(Growing::any(dice)),
                free: Any::any(dice),
                limit: Any::any(dice),
            },
            _ => Event::Healed { count: Any::any(dice) },
        };
        Timed { at: Any::any(dice), unix_ns: Any::any(dice), event }
    }
}

impl Any for Cause {
    fn any(dice: &mut Dice<'_>) -> Self {
        let words = ["ring-full", "stranded-credits", "lost-context", "no-credits", "no-context", "unknown"];
        Cause::from_word(dice.one(&words), Any::any(dice)).unwrap()
    }
}

impl Any for usize {
    fn any(dice: &mut Dice<'_>) -> Self {
        usize::try_from(u32::any(dice)).unwrap()
    }
}

impl Any for std::sync::Arc<aioinspect_model::picture::Owner> {
    fn any(dice: &mut Dice<'_>) -> Self {
        Self::new(Any::any(dice))
    }
}

/// The picture that is taken at a second.
fn picture(second: u64) -> Picture {
    let mut evidence = specimen::idle();
    evidence.system.taken_at_unix_ns = BEGIN + second * SECOND;
    evidence.system.aio_nr = second;
    let status = WatchStatus {
        hook: "",
        lost: 1,
        healed: 2,
        since_unix_ns: BEGIN,
        taken_unix_ns: BEGIN + second * SECOND,
        scan_ns: 3,
        growing: Vec::new(),
    };
    Picture { evidence, status, every_ns: 5 * SECOND }
}

fn event(second: u64) -> Timed {
    let event = Event::Lost { count: second };
    Timed { at: aioinspect_model::units::Instant(second), unix_ns: BEGIN + second * SECOND, event }
}

/// A file with a picture each five seconds, and an event two seconds after each.
fn file(seconds: std::ops::Range<u64>) -> Vec<u8> {
    let mut writer = Writer::default();
    let mut bytes = Writer::head().to_vec();
    for second in seconds.step_by(5) {
        bytes.extend(writer.picture(&picture(second)).unwrap().bytes);
        bytes.extend(Writer::events(&[event(second + 2)]).unwrap().bytes);
    }
    bytes
}

fn opened(files: &[Vec<u8>]) -> Recording {
    Recording::open(files.iter().map(|file| Box::new(file.clone()) as Box<dyn Bytes>).collect()).unwrap()
}

/// Check that each picture and each event is found again by its time, over the bounds of files too, that most pictures take little room, and that
/// times before and after are told as such.
#[test]
fn found_again() {
    let files = [file(0..1000), file(1000..2000)];
    let mut recording = opened(&files);
    assert_eq!((recording.pictures(), recording.unread()), (400, &[][..]));
    for second in [0, 4, 5, 299, 300, 301, 999, 1000, 1004, 1999, 2001] {
        let found = recording.find(BEGIN + second * SECOND).unwrap().unwrap();
        let taken = (second / 5 * 5).min(1995);
        assert_eq!(found.unix_ns, BEGIN + taken * SECOND, "{second}");
        assert_eq!(found.next_unix_ns, (taken < 1995).then_some(BEGIN + (taken + 5) * SECOND));
        assert_eq!(recording.picture(found.moment).unwrap(), picture(taken), "{second}");
        let events = recording.events_until(found.moment, 3);
        assert_eq!(
            events.last().map(|timed| timed.unix_ns + 3 * SECOND),
            (taken > 0).then_some(found.unix_ns)
        );
        assert_eq!(events.len(), usize::try_from(taken / 5).unwrap().min(3));
    }
    assert_eq!(recording.find(BEGIN - 1).unwrap(), Err(Missed::Before(BEGIN)));
    let end = BEGIN + 1997 * SECOND;
    assert_eq!(recording.find(end + 6 * SECOND).unwrap(), Err(Missed::After(end)));
    let told: Vec<u64> = (0..)
        .map_while(|place| recording.events_at(place))
        .flat_map(Result::unwrap)
        .map(|timed| timed.unix_ns)
        .collect();
    assert_eq!(told.len(), 400);
    assert!(told.is_sorted());

    let mut kinds = (0, 0);
    scan(&files[0], |_, head| match head.kind {
        aioinspect_proto::recording::Kind::Whole => kinds.0 += 1,
        aioinspect_proto::recording::Kind::Changed => {
            kinds.1 += 1;
            assert!(head.packed * 4 < head.unpacked, "{head:?}");
        }
        aioinspect_proto::recording::Kind::Events => {}
        aioinspect_proto::recording::Kind::Other(number) => panic!("{number}"),
    })
    .unwrap();
    assert_eq!(kinds, (4, 196), "a whole one each five minutes");
}

/// Check that a file that ends anywhere is read up to its last whole record, and says how much is left.
#[test]
fn cut_off() {
    let bytes = file(0..20);
    let whole = opened(std::slice::from_ref(&bytes));
    let ends: Vec<u64> = {
        let mut ends = vec![u64::try_from(HEAD_LEN).unwrap()];
        scan(&bytes, |at, head| {
            ends.push(at + u64::from(head.packed));
        })
        .unwrap();
        ends
    };
    assert_eq!((ends.len(), ends.last()), (9, Some(&bytes.size())));
    for len in 0..bytes.len() {
        let cut = Box::new(bytes[..len].to_vec());
        let Ok(mut recording) = Recording::open(vec![cut]) else {
            assert!((1..HEAD_LEN).contains(&len), "{len}");
            continue;
        };
        let len = u64::try_from(len).unwrap();
        let records = ends.iter().filter(|end| **end <= len).count().saturating_sub(1);
        assert_eq!(recording.entries(), records, "{len}");
        let left: u64 = recording.unread().iter().map(|(_, left)| *left).sum();
        assert_eq!(left, len - ends.iter().rfind(|end| **end <= len).copied().unwrap_or(0), "{len}");
        for place in 0..recording.pictures() {
            assert_eq!(recording.picture(Moment(place)).unwrap(), picture(u64::try_from(place).unwrap() * 5));
        }
    }
    assert_eq!(whole.pictures(), 4);
}

/// Check that a record with damage in it is refused, and that all others which do not need it are as they were.
#[test]
fn damaged() {
    let bytes = file(0..20);
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x20;
        let Ok(mut recording) = Recording::open(vec![Box::new(damaged)]) else {
            assert!(at < HEAD_LEN, "{at}");
            continue;
        };
        assert!((7..=8).contains(&recording.entries()), "{at}: it costs one record at most");
        for place in 0..recording.pictures() {
            let taken = recording.time_of(Moment(place)).unwrap();
            let expected = picture((taken - BEGIN) / SECOND);
            assert!(
                recording.picture(Moment(place)).is_ok_and(|picture| picture == expected)
                    || recording.picture(Moment(place)).is_err(),
                "{at}"
            );
        }
        let events = recording.events_until(Moment(usize::MAX), 100);
        assert!(events.iter().all(|timed| (BEGIN..BEGIN + 20 * SECOND).contains(&timed.unix_ns)));
    }
}

/// Check how many bytes an event takes: docs/performance.md says so.
#[test]
fn what_events_take() {
    let setup = |nth: u64| {
        let pid = aioinspect_model::units::Pid(4000 + u32::try_from(nth % 20).unwrap());
        let owner =
            aioinspect_model::picture::Owner { unit: "mariadb.service".to_owned(), ..Default::default() };
        let tid = aioinspect_model::units::Tid(pid.0);
        let by = Actor { pid, tid, comm: b"mariadbd".to_vec(), owner: Some(std::sync::Arc::new(owner)) };
        let context = aioinspect_model::units::ContextId(
            0x7f00_0000_0000 + nth.wrapping_mul(0x9e37_79b9) % (1 << 32) * 4096,
        );
        let at = nth * 1_234_567 + nth.wrapping_mul(0x9e37_79b9) % 100_000;
        let event = Event::Setup { by, context, max_reqs: 128 };
        Timed { at: aioinspect_model::units::Instant(at), unix_ns: BEGIN + at, event }
    };
    let each = |count: u64| {
        let events: Vec<Timed> = (0..count).map(setup).collect();
        u64::try_from(Writer::events(&events).unwrap().bytes.len()).unwrap() / count
    };
    let taken = [each(1), each(10), each(1000)];
    println!("what_events_take: alone {}, of 10 {}, of 1,000 {}", taken[0], taken[1], taken[2]);
    assert!(taken[0] <= 130 && taken[1] <= 50 && taken[2] <= 30, "{taken:?}");
}

/// Check that of very many records the newest are found, and that the others are told.
#[test]
fn the_newest() {
    let files: Vec<Box<dyn Bytes>> = vec![Box::new(file(0..1000)), Box::new(file(1000..2000))];
    let mut recording = Recording::open_newest(files, 300).unwrap();
    assert_eq!((recording.entries(), recording.pictures(), recording.passed_over()), (300, 150, 500));
    let last = recording.last().unwrap();
    assert_eq!(recording.picture(last).unwrap(), picture(1995));
    assert_eq!(recording.find(BEGIN + 1000 * SECOND).unwrap(), Err(Missed::Before(BEGIN + 1250 * SECOND)));
    assert_eq!(recording.end(), BEGIN + 1997 * SECOND);
}

/// Check that a gap is told: between two pictures, and after the last one while events go on.
#[test]
fn gaps() {
    let mut bytes = file(0..20);
    bytes.extend(file(500..520).split_off(HEAD_LEN));
    bytes.extend(Writer::events(&[event(900)]).unwrap().bytes);
    let mut recording = opened(&[bytes]);
    for (second, until) in
        [(0, None), (12, None), (15, Some(500)), (300, Some(500)), (505, None), (520, None), (800, Some(800))]
    {
        let asked = BEGIN + second * SECOND;
        let found = recording.find(asked).unwrap().unwrap();
        assert_eq!(found.gap(asked, 5 * SECOND), until.map(|until| BEGIN + until * SECOND), "{second}");
    }
}

/// Check that a small message that unpacks to a large one is refused without the memory for it: by what is said before it, and by its end.
#[test]
fn bombs() {
    use aioinspect_proto::recording::{Kind, record};
    let zeros = vec![0_u8; 32 << 20];
    let packed = packed::pack(&zeros, &[]).unwrap();
    assert!(packed.len() < 10_000, "{}", packed.len());
    for (kind, said) in
        [(Kind::Whole, 100), (Kind::Events, 100), (Kind::Whole, 32 << 20), (Kind::Events, 32 << 20)]
    {
        let mut bytes = Writer::head().to_vec();
        bytes.extend(record(kind, BEGIN, said, &packed).unwrap());
        let mut recording = Recording::open(vec![Box::new(bytes)]).unwrap();
        assert!(recording.picture(Moment(0)).is_err());
        assert!(recording.events_at(0).unwrap().is_err() || kind == Kind::Whole);
    }
    assert!(packed::unpack(&packed, u32::MAX, &[]).is_err());
    // A picture that has none to be stored by.
    let mut bytes = Writer::head().to_vec();
    bytes.extend(record(Kind::Changed, BEGIN, 5, b"12345").unwrap());
    let mut recording = Recording::open(vec![Box::new(bytes)]).unwrap();
    assert!(matches!(recording.picture(Moment(0)), Err(RecordingError::NoWhole)));
}

/// Check that one that has nothing says so.
#[test]
fn empty() {
    let mut recording = opened(&[Vec::new(), Writer::head().to_vec()]);
    assert!(matches!(recording.find(BEGIN), Err(RecordingError::Empty)));
    assert!(matches!(recording.picture(Moment(0)), Err(RecordingError::Empty)));
    assert!(matches!(
        Recording::open(vec![Box::new(b"something else".to_vec())]),
        Err(RecordingError::Record(_))
    ));
}

proptest! {
    /// Check that nothing of an event is lost.
    #[test]
    fn events_survive(numbers in prop::collection::vec(any::<u64>(), 1..400)) {
        let events: Vec<Timed> = Any::any(&mut Dice::of(&numbers));
        let mut bytes = Writer::head().to_vec();
        bytes.extend(Writer::events(&events).unwrap().bytes);
        let again = opened(&[bytes]).events_at(0).unwrap().unwrap();
        prop_assert_eq!(again, events);
    }

    /// Check that nothing that is done to a file ends the program, not even behind a checksum that is right.
    #[test]
    fn anything_is_survived(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        message in prop::collection::vec(any::<u8>(), 0..200),
        kind in 0_u32..5,
        said in 0_usize..300,
    ) {
        let mut bytes = file(0..11);
        for (at, with) in damage {
            let at = at.index(bytes.len());
            bytes[at] = with;
        }
        let mut made = file(0..6);
        let kind = [
            aioinspect_proto::recording::Kind::Whole,
            aioinspect_proto::recording::Kind::Changed,
            aioinspect_proto::recording::Kind::Events,
            aioinspect_proto::recording::Kind::Other(0),
            aioinspect_proto::recording::Kind::Other(9),
        ][usize::try_from(kind).unwrap()];
        let packed = if said % 2 == 0 { message.clone() } else { packed::pack(&message, &[]).unwrap() };
        made.extend(aioinspect_proto::recording::record(kind, BEGIN, said, &packed).unwrap());
        for bytes in [bytes, made] {
            let Ok(mut recording) = Recording::open(vec![Box::new(bytes)]) else { continue };
            let _ = recording.find(BEGIN + 7 * SECOND);
            for place in 0..recording.pictures() {
                let _ = recording.picture(Moment(place));
            }
            recording.events_until(Moment(usize::MAX), 10);
        }
    }
}
