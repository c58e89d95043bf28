//! Frames of captures, at each size and after each key, compared with those that are kept.

use std::fs;
use std::path::Path;

use crate::blessed::{Comparison, is_blessing};
use crate::pane::{Pane, can, watch};

/// A frame: its name, what is shown, what is typed, and what is to be seen in the end.
type Frame = (&'static str, &'static str, (u16, u16), &'static str, &'static [&'static str], &'static str);

const WIDE: (u16, u16) = (120, 40);
const USUAL: (u16, u16) = (80, 24);
const NARROW: (u16, u16) = (40, 12);

const FRAMES: &[Frame] = &[
    ("start-120x40", "host", WIDE, "", &[], "? help"),
    ("start-80x24", "host", USUAL, "", &[], "? help"),
    ("start-40x12", "host", NARROW, "", &[], "? help"),
    ("start-20x5", "host", (20, 5), "", &[], "? help"),
    ("help-120x40", "host", WIDE, "", &["?"], "Keys"),
    ("help-80x24", "host", USUAL, "", &["F1"], "Keys"),
    ("help-scrolled-40x12", "host", NARROW, "", &["h", "End"], "healed"),
    ("filter-typed-80x24", "host", USUAL, "", &["/", "WRIT"], "/WRIT"),
    ("filter-80x24", "host", USUAL, "", &["/", "in_flight > 0", "Enter"], "Enter contexts"),
    ("filter-nothing-80x24", "host", USUAL, "", &["/", "no such"], "no context matches"),
    ("filter-dropped-80x24", "host", USUAL, "", &["/", "writer", "Escape"], "Enter contexts"),
    ("sorted-80x24", "host", USUAL, "", &["Tab", "s", "s", "S"], "IN_FLIGHT▲"),
    ("owner-80x24", "host", USUAL, "", &["Down", "Enter", "Down"], "of 31014 database"),
    ("owners-80x24", "host", USUAL, "", &["o", "Down"], "o processes"),
    ("owners-40x12", "host", NARROW, "", &["o", "Down", "Enter"], "Enter detail"),
    ("paused-80x24", "host", USUAL, "", &["p"], "PAUSED"),
    ("events-80x24", "host", USUAL, "", &["e"], "events"),
    ("unreaped-80x24", "unreaped", USUAL, "", &["Enter", "Enter"], "tail 6"),
    ("in-flight-120x40", "in-flight-polls", WIDE, "", &["Enter", "Enter"], "tail"),
    ("in-flight-reads-80x24", "in-flight-reads", USUAL, "", &["Enter", "Enter"], "tail"),
    ("ring-full-80x24", "ring-full", USUAL, "", &["Enter", "Enter"], "no ring entry is free"),
    ("ring-full-40x12", "ring-full", NARROW, "", &["Enter", "Enter"], "no ring entry is"),
    ("stranded-credits-80x24", "stranded-credits", USUAL, "", &["Enter", "Enter"], "58 credits are on CPU 1"),
    ("stuck-80x24", "stuck", USUAL, "", &["Enter", "Enter"], "none completed"),
    ("idle-leak-80x24", "idle-leak", USUAL, "", &["Tab", "G"], "idle-leak"),
    ("forged-head-120x40", "forged-head", WIDE, "", &["Enter", "Enter"], "forged-header"),
    ("unmapped-80x24", "unmapped-ring", USUAL, "", &["Enter", "Enter"], "unmapped-ring"),
    ("no-bpf-80x24", "no-bpf", USUAL, "", &["Enter", "Enter"], "not known"),
    ("no-bpf-start-80x24", "no-bpf", USUAL, "", &[], "no BPF"),
    ("nobody-80x24", "nobody", USUAL, "", &[], "no contexts"),
    ("hostile-comm-80x24", "hostile-comm", USUAL, "", &[], "\\x1b"),
    ("one-process-80x24", "host", USUAL, "-p 31015", &[], "writer"),
    ("ascii-80x24", "host", USUAL, "--ascii", &[], "? help"),
    ("ascii-ring-80x24", "in-flight-polls", USUAL, "--ascii", &["Enter", "Enter"], "tail"),
];

fn golden(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/screen/golden/{name}.txt"))
}

/// Check every frame.
#[test]
fn as_kept() {
    if !can("as_kept") {
        return;
    }
    let mut comparison = Comparison::default();
    for (name, capture, size, args, keys, last) in FRAMES {
        let pane = Pane::of(capture, *size, args);
        pane.frame_with("? help");
        for key in *keys {
            pane.keys(&[key]);
        }
        let kept = fs::read_to_string(golden(name)).unwrap_or_default();
        let frame = if is_blessing() { pane.frame_with(last) } else { pane.frame_like(&kept) };
        assert!(frame.contains(last), "{name}: no {last:?} in\n{frame}");
        assert!(frame.is_ascii() || !args.contains("--ascii"), "{name}\n{frame}");
        comparison.compare(&golden(name), &frame);
    }
    comparison.done();
}

/// Check that a screen which is resized looks as one that began with that size.
#[test]
fn resized() {
    if !can("resized") {
        return;
    }
    let pane = Pane::of("host", USUAL, "");
    let first = pane.frame_with("? help");
    for (columns, lines) in [WIDE, NARROW, (20, 5), USUAL] {
        pane.ask(&["resize-window", "-x", &columns.to_string(), "-y", &lines.to_string()]);
        let begun = Pane::of("host", (columns, lines), "");
        let expected = begun.frame_with("? help");
        pane.wait(&format!("frame of {columns}x{lines}"), || pane.now() == expected);
    }
    assert_eq!(pane.now(), first);
}

/// The numbers of all `ESC [ .. m` of a text.
fn styles(text: &str) -> Vec<u32> {
    let sequences = text.split("\u{1b}[").skip(1).filter_map(|part| part.split_once('m'));
    sequences.flat_map(|(numbers, _)| numbers.split(';').map(|number| number.parse().unwrap_or(0))).collect()
}

/// Check that there are colours, none with NO_COLOR or on a terminal without, and that the selection is seen without.
#[test]
fn colours() {
    if !can("colours") {
        return;
    }
    // Foreground and background, plain, bright, and of a palette; 39 and 49 are the terminal's own.
    let is_colour = |number: &u32| matches!(number, 30..=38 | 40..=48 | 90..=97 | 100..=107);
    let shown = |env: &[(&str, &str)], command: &str| {
        let pane = Pane::running(&format!("exec {command}"), USUAL, env);
        pane.frame_with("? help");
        styles(&pane.now_with_styles())
    };
    let command = watch("host", "");
    assert!(shown(&[], &command).iter().any(is_colour));
    for styles in [
        shown(&[("NO_COLOR", "1")], &command),
        shown(&[], &format!("env TERM=dumb {command}")),
        shown(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], &command),
    ] {
        assert!(!styles.iter().any(is_colour), "{styles:?}");
        assert!(styles.contains(&7), "nothing is turned around: {styles:?}");
    }
}
