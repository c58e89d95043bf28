//! The screen as a whole: frames compared with those kept in `golden/`, and anything at all drawn without harm.
//!
//! `AIOINSPECT_BLESS=1 cargo test -p aioinspect screen` writes the frames anew: read the difference before keeping it.

use std::path::Path;

use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::layout::Rect;
use ratatui::style::Color;

use crate::screen::key::{Action, Key};
use crate::screen::specimen::{context, events, host, picture, status};
use crate::screen::*;
use aioinspect_model::evidence::{CensusSource, Manner};
use aioinspect_model::finding::Finding;
use aioinspect_model::picture::{About, GhostView, Owner, SpaceView, SystemView};
use aioinspect_model::units::ContextId;

fn screen(ascii: bool) -> Screen {
    let mut screen = Screen::new(Theme { color: true, ascii }, Vec::new());
    screen.update(Some(host()), events(), status());
    screen
}

/// The frame as text, drawn through a terminal of ratatui's.
fn frame(screen: &mut Screen, columns: u16, lines: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(columns, lines)).unwrap();
    terminal.draw(|frame| screen.draw(frame.buffer_mut())).unwrap();
    let rows = terminal.backend().buffer().content.chunks(columns.into());
    let mut text = String::new();
    for row in rows {
        let mut after_wide = false;
        let mut line = String::new();
        for cell in row {
            if !after_wide {
                line.push_str(cell.symbol());
            }
            after_wide = canvas::width(cell.symbol()) > 1;
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn press(screen: &mut Screen, keys: &str) {
    for c in keys.chars() {
        screen.key(match c {
            '\n' => Key::Enter,
            '\t' => Key::Tab,
            '\x1b' => Key::Esc,
            c => Key::Char(c),
        });
    }
}

/// Compares a frame with the one that is kept.
fn compare(name: &str, frame: &str) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/screen/golden");
    let path = dir.join(format!("{name}.txt"));
    if std::env::var_os("AIOINSPECT_BLESS").is_some_and(|value| !value.is_empty()) {
        std::fs::write(&path, frame).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(kept == frame, "{} is expected\n{kept}but this is drawn\n{frame}", path.display());
}

/// Check the first frame at each size, keys pressed before it, and the same in ASCII.
#[test]
fn golden_frames() {
    for (name, keys, columns, lines) in [
        ("start-80x24", "", 80, 24),
        ("start-120x40", "", 120, 40),
        ("start-40x12", "", 40, 12),
        ("start-20x5", "", 20, 5),
        ("contexts-40x12", "\t", 40, 12),
        ("owner-80x24", "jj\nss", 80, 24),
        ("filter-typing-80x24", "/in_flight > ", 80, 24),
        ("filter-80x24", "/ring-full\n", 80, 24),
        ("paused-80x24", "p", 80, 24),
        ("detail-wrapped-80x40", "\n\n", 80, 40),
        ("detail-full-80x24", "\nj\n", 80, 24),
        ("detail-unmapped-60x30", "jj\n\n", 60, 30),
        ("help-80x60", "?", 80, 60),
        ("events-80x24", "e", 80, 24),
        ("by-owner-80x24", "o", 80, 24),
        ("by-owner-40x12", "o", 40, 12),
        ("of-owner-80x24", "oj\n", 80, 24),
    ] {
        let mut screen = screen(false);
        press(&mut screen, keys);
        compare(name, &frame(&mut screen, columns, lines));
    }
    let mut screen = screen(true);
    compare("ascii-80x24", &frame(&mut screen, 80, 24));
    press(&mut screen, "\n\n");
    compare("ascii-detail-80x40", &frame(&mut screen, 80, 40));
}

/// Check that the selection stays with its context when others come, go and change places.
#[test]
fn the_selection_follows() {
    let mut screen = screen(false);
    press(&mut screen, "\njjj");
    let chosen = screen.context.key().unwrap();
    let mut contexts = host().contexts;
    contexts.insert(0, ContextView { max_reqs: Some(60_000), ..context(5, 0x5000) });
    contexts.remove(1);
    screen.update(Some(picture(contexts.clone())), Vec::new(), status());
    assert_eq!(screen.context.key(), Some(chosen));
    // Another process with the same PID and address is another context.
    for context in &mut contexts {
        context.start_ticks += 1;
    }
    screen.update(Some(picture(contexts)), Vec::new(), status());
    assert_ne!(screen.context.key(), Some(chosen));
}

/// Check that a paused screen keeps its frame but for the mark, that loss is told at once when it goes on, and nothing is lost.
#[test]
fn pausing_keeps_the_frame() {
    let mut screen = screen(false);
    let before = frame(&mut screen, 100, 30);
    press(&mut screen, "p");
    let lost = WatchStatus { lost: 9, ..status() };
    screen.update(Some(picture(vec![context(99, 0x9000)])), events(), lost);
    let paused = frame(&mut screen, 100, 30);
    assert!(paused.contains("PAUSED, 5 events wait"), "{paused}");
    let rest = |frame: &str| frame.lines().skip(2).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(rest(&paused), rest(&before));
    press(&mut screen, "p");
    let after = frame(&mut screen, 100, 30);
    assert!(after.contains("lost 9") && after.contains("0x9000") && !after.contains("PAUSED"), "{after}");
    // Of each list one is the same failure.
    assert_eq!(screen.shown.events.len(), 9);
    assert!(after.contains("EAGAIN: x 2: "), "{after}");
}

/// A screen on which an hour went by: slots that grew, and calls that failed at the end.
fn after_an_hour(ascii: bool) -> Screen {
    let mut screen = Screen::new(Theme { color: true, ascii }, Vec::new());
    let noon = status().taken_unix_ns;
    for ago in (0..=3600_u64).rev().step_by(2) {
        let mut picture = host();
        picture.system.aio_nr = 65_536 - ago * 15;
        let taken_unix_ns = noon - ago * 1_000_000_000;
        let failed = events()
            .into_iter()
            .filter(|timed| ago < 300 && matches!(timed.event, Event::SetupFailed { .. }));
        let failed = failed.map(|timed| Timed { unix_ns: taken_unix_ns, ..timed }).collect();
        screen.update(Some(picture), failed, WatchStatus { taken_unix_ns, ..status() });
    }
    screen
}

/// Check the line of the time that went by, where there is room for it, and that a screen that stands still keeps it.
#[test]
fn time_that_went_by() {
    let mut screen = after_an_hour(false);
    compare("sparks-80x24", &frame(&mut screen, 80, 24));
    compare("sparks-120x40", &frame(&mut screen, 120, 40));
    compare("sparks-40x24", &frame(&mut screen, 40, 24));
    compare("sparks-ascii-80x24", &frame(&mut after_an_hour(true), 80, 24));
    for (columns, lines) in [(80, 19), (20, 24), (1, 24)] {
        assert!(!frame(&mut screen, columns, lines).contains("peak"), "{columns}x{lines}");
    }
    let line = |screen: &mut Screen| frame(screen, 80, 24).lines().nth(2).unwrap().to_owned();
    let before = line(&mut screen);
    assert!(
        before.starts_with("reserved ") && before.contains("peak 65536") && before.contains(" 150 "),
        "{before}"
    );
    press(&mut screen, "p");
    let status = WatchStatus { taken_unix_ns: status().taken_unix_ns + 600_000_000_000, ..status() };
    screen.update(Some(host()), Vec::new(), status);
    assert_eq!(line(&mut screen), before);
    press(&mut screen, "p");
    assert_ne!(line(&mut screen), before);
}

/// Check that the line is of the host where the rest is of one process, and that a recording has none: it is seen in any order.
#[test]
fn time_of_the_host() {
    let theme = Theme { color: false, ascii: true };
    let mut of_one = Screen::new(theme, vec![Pid(1)]);
    let begun = status().taken_unix_ns;
    let later = WatchStatus { taken_unix_ns: begun + 10_000_000_000, ..status() };
    let failures = |at| {
        let failed = events().into_iter().filter(|timed| matches!(timed.event, Event::SetupFailed { .. }));
        failed.map(|timed| Timed { unix_ns: at, ..timed }).collect::<Vec<_>>()
    };
    assert_eq!(failures(begun).len(), 1);
    of_one.update(Some(host()), failures(begun), status());
    of_one.update(Some(host()), failures(begun), later.clone());
    let seen = frame(&mut of_one, 80, 24);
    assert!(seen.contains("peak 4256") && seen.contains(" 2  1 min"), "{seen}");
    assert!(!seen.contains("EAGAIN"), "{seen}");

    let mut recorded = Screen::new(theme, Vec::new());
    for nth in [1, 2, 1, 2] {
        let status = if nth == 1 { status() } else { later.clone() };
        recorded.show((nth, 2), host(), failures(begun), status);
        let seen = frame(&mut recorded, 80, 24);
        assert!(!seen.contains("peak") && seen.contains("EAGAIN"), "{seen}");
    }
    recorded.key(Key::Char('?'));
    assert!(!frame(&mut recorded, 80, 80).contains("reserved, failed"));
}

/// Check that the numbers are of what is drawn, where six hours have no room.
#[test]
fn numbers_of_what_is_drawn() {
    let mut screen = Screen::new(Theme { color: false, ascii: true }, Vec::new());
    let begun = status().taken_unix_ns;
    for minute in 0..350 {
        let mut picture = host();
        picture.system.aio_nr = if minute < 10 { 60_000 } else { 20_000 };
        let status = WatchStatus { taken_unix_ns: begun + minute * 60_000_000_000, ..status() };
        screen.update(Some(picture), Vec::new(), status);
    }
    let wide = frame(&mut screen, 80, 24);
    assert!(wide.contains("peak 60000"), "{wide}");
    let narrow = frame(&mut screen, 37, 24);
    let line = narrow.lines().nth(2).unwrap();
    assert!(line.contains("peak 20000  240 min"), "{line}");
}

/// Check the way from an owner to its contexts and back to processes.
#[test]
fn by_owner() {
    let mut screen = screen(false);
    press(&mut screen, "oj");
    let owners = frame(&mut screen, 120, 40);
    assert!(
        owners.contains(" owners  3") && owners.contains("mariadb.service") && owners.contains("SHARE"),
        "{owners}"
    );
    assert!(owners.contains("contexts  of mariadb.service 2 of 5"), "{owners}");
    press(&mut screen, "\n");
    assert_eq!(screen.pane, Pane::Contexts);
    press(&mut screen, "\n");
    assert!(screen.detail.is_some());
    press(&mut screen, "\x1b\x1b\x1bo");
    let processes = frame(&mut screen, 120, 40);
    assert!(processes.contains(" processes  3") && processes.contains("contexts  5"), "{processes}");
    // Each has an order of its own.
    press(&mut screen, "ossS");
    let field = screen.process_order.field;
    press(&mut screen, "o");
    assert_eq!((screen.process_order.field, screen.other_order.field), (Field::MaxReqs, field));
}

/// Check that only what can be seen asks for a drawing.
#[test]
fn nothing_new_is_not_drawn() {
    let mut screen = screen(false);
    assert!(!screen.update(None, Vec::new(), status()));
    assert!(screen.update(None, Vec::new(), WatchStatus { lost: 1, ..status() }));
    assert!(screen.update(Some(host()), Vec::new(), status()));
    press(&mut screen, "p");
    assert!(!screen.update(Some(host()), Vec::new(), WatchStatus { lost: 2, ..status() }));
    assert!(screen.update(None, events(), status()));
}

/// Check that lost and healed are told on every screen with room for a few words, and nothing of them where there is none.
#[test]
fn loss_is_never_hidden() {
    let mut screen = screen(false);
    assert!(!frame(&mut screen, 80, 24).contains("healed"));
    screen.update(None, Vec::new(), WatchStatus { lost: 3, healed: 2, ..status() });
    for (columns, lines) in [(80, 24), (40, 12), (20, 5), (20, 3), (20, 1)] {
        for keys in ["", "?", "\x1b\n\n"] {
            press(&mut screen, keys);
            let frame = frame(&mut screen, columns, lines);
            assert!(
                frame.contains("lost 3") && frame.contains("healed 2"),
                "{columns}x{lines} {keys:?}\n{frame}"
            );
        }
        press(&mut screen, "\x1b\x1b\x1b");
    }
}

/// Check what -p leaves: these processes, those they share memory with, and what was lost.
#[test]
fn limited_to_processes() {
    let mut screen = Screen::new(Theme::default(), vec![Pid(31_017)]);
    let space = SpaceView {
        pids: vec![Pid(31_016), Pid(31_017)],
        proof: aioinspect_model::picture::Proof::Unproven,
        manner: Manner::Running,
        contexts: vec![4],
        pause_ns: 0,
    };
    let shown = Picture { spaces: vec![space], ..host() };
    screen.update(Some(shown), events(), status());
    assert_eq!(screen.rows.contexts, [4]);
    assert_eq!(screen.shown.events.len(), 1);
}

/// Check that a context that ends while it is looked at says so, and keeps its numbers.
#[test]
fn the_end_of_a_context() {
    let mut screen = screen(false);
    press(&mut screen, "\n\n");
    assert!(!frame(&mut screen, 80, 24).contains("gone:"));
    screen.update(Some(picture(Vec::new())), Vec::new(), status());
    let frame = frame(&mut screen, 80, 24);
    assert!(frame.contains("gone:") && frame.contains("mysqld"), "{frame}");
}

/// Check the keys that ask for something of the loop, and that letters are letters while a filter is typed.
#[test]
fn actions() {
    let mut screen = screen(false);
    assert_eq!(screen.key(Key::Char('q')), Action::Quit);
    assert_eq!(screen.key(Key::Ctrl('z')), Action::Suspend);
    assert_eq!(screen.key(Key::Ctrl('l')), Action::Repaint);
    assert_eq!(screen.key(Key::Char('x')), Action::Nothing);
    press(&mut screen, "/qp");
    assert_eq!((screen.typed.as_str(), screen.paused.is_some()), ("qp", false));
    assert_eq!(screen.key(Key::Ctrl('c')), Action::Quit);
    press(&mut screen, "\x1b?");
    assert_eq!(screen.key(Key::Char('q')), Action::Draw);
    assert!(screen.help.is_none());
}

/// Check that keys that come before a page was drawn move in it as they do after.
#[test]
fn keys_ahead_of_the_drawing() {
    for (open, then) in [("?", "G"), ("?", "GG"), ("\t\n", "G"), ("\t\n?\x1b", "G")] {
        let [mut ahead, mut after] = [screen(false), screen(false)];
        frame(&mut ahead, 40, 12);
        press(&mut ahead, &format!("{open}{then}"));
        for keys in open.chars().map(String::from).chain([then.to_owned()]) {
            frame(&mut after, 40, 12);
            press(&mut after, &keys);
        }
        assert_eq!(frame(&mut ahead, 40, 12), frame(&mut after, 40, 12), "{open:?} {then:?}");
    }
}

/// Check that ten thousand contexts are drawn from the rows that are seen: a frame takes less than a new picture may.
#[test]
fn many_contexts() {
    let contexts = (0..10_000).map(|nth| context(nth / 10, u64::from(nth) * 0x1000)).collect();
    let mut screen = Screen::new(Theme::default(), Vec::new());
    screen.update(Some(picture(contexts)), Vec::new(), status());
    let begun = std::time::Instant::now();
    for _ in 0..20 {
        press(&mut screen, "\n");
        screen.key(Key::PageDown);
        assert!(frame(&mut screen, 80, 24).contains("10000"));
        press(&mut screen, "\x1b\x1b");
    }
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
}

fn any_context() -> impl Strategy<Value = ContextView> {
    let numbers = || proptest::option::of(prop_oneof![Just(0_u32), 0..400_u32, any::<u32>()]);
    let names = (proptest::collection::vec(any::<u8>(), 0..16), ".{0,20}", ".{0,20}");
    let ids = (0..4_u32, 0..2_u64, 0..4_u64);
    let findings = proptest::sample::subsequence(Finding::ALL, 0..=Finding::ALL.len());
    let ring = (numbers(), numbers(), numbers(), numbers(), numbers(), numbers());
    (ids, names, ring, findings, ".{0,60}", any::<u64>()).prop_map(
        |(ids, names, ring, findings, detail, ring_len)| ContextView {
            pid: Pid(ids.0),
            comm: names.0.into(),
            start_ticks: ids.1,
            about: About::default().into(),
            context: ContextId(ids.2),
            max_reqs: ring.0,
            nr_events: ring.1,
            in_flight: ring.2,
            unreaped: ring.3,
            head: ring.4,
            tail: ring.5,
            ring_len: Some(ring_len),
            mapped: None,
            owner: Owner { unit: names.1, container: names.2, ..Owner::default() }.into(),
            origin: None,
            dying_ns: None,
            outlook: None,
            stands_for: Some(1),
            details: findings
                .iter()
                .map(|finding| (*finding, crate::escape::escape(detail.as_bytes())))
                .collect(),
            findings,
        },
    )
}

fn any_picture() -> impl Strategy<Value = Picture> {
    let system = (any::<u64>(), any::<u64>(), any::<Option<u64>>(), any::<Option<i64>>());
    (proptest::collection::vec(any_context(), 0..12), system).prop_map(|(contexts, system)| Picture {
        system: SystemView {
            aio_nr: system.0,
            aio_max_nr: system.1,
            attributed: system.2,
            unattributed: system.3,
            possible_cpus: 2,
            page_size: 4096,
            source: CensusSource::Proc,
        },
        ghosts: vec![GhostView {
            pid: Pid(1),
            comm: Vec::new().into(),
            owner: Owner::default().into(),
            address: ContextId(1),
            ring_len: 1,
        }],
        contexts,
        spaces: Vec::new(),
    })
}

fn any_key() -> impl Strategy<Value = Key> {
    let letters = "[?/sSpqegGjk h<>=a-z0-9é名]";
    let letter = letters.prop_map(|text| Key::Char(text.chars().next().unwrap_or('x')));
    let named = proptest::sample::select(vec![
        Key::Enter,
        Key::Esc,
        Key::Tab,
        Key::Backspace,
        Key::Up,
        Key::Down,
        Key::PageUp,
        Key::PageDown,
        Key::Home,
        Key::End,
        Key::F1,
        Key::Ctrl('u'),
        Key::Ctrl('w'),
    ]);
    prop_oneof![letter, named]
}

proptest! {
    /// Check that nothing that can be shown, pressed or resized makes it fail, that ASCII is kept, and NO_COLOR too.
    #[test]
    fn anything(
        pictures in proptest::collection::vec(any_picture(), 1..4),
        steps in proptest::collection::vec((any_key(), 0..130_u16, 0..50_u16), 0..40),
        lost: u64,
        limited: bool,
    ) {
        let only = if limited { vec![Pid(1), Pid(2)] } else { Vec::new() };
        let mut screen = Screen::new(Theme { color: false, ascii: true }, only);
        let mut pictures = pictures.into_iter();
        for (nth, (key, columns, lines)) in steps.into_iter().enumerate() {
            if nth % 8 == 1 {
                screen.update(pictures.next(), events(), WatchStatus { lost, ..status() });
            }
            screen.key(key);
            let mut buffer = ratatui::buffer::Buffer::empty(Rect::new(0, 0, columns, lines));
            screen.draw(&mut buffer);
            for cell in &buffer.content {
                prop_assert!(cell.symbol().is_ascii(), "{:?}", cell.symbol());
                prop_assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset));
            }
        }
    }
}
