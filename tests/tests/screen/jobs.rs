//! Ctrl-Z and what a shell does then: the terminal is the shell's while the screen is stopped or in the background.

use rustix::process::{Pid, Signal, kill_process};

use crate::pane::{Pane, can, watch};

const SIZE: (u16, u16) = (80, 24);

/// Runs the screen as a job; after it is stopped waits for a line, then has it go on as told, until it ends.
fn job(go_on: &str) -> String {
    format!(
        "set -m; echo main screen; stty -a > before; sh -c 'echo $$ > pid; exec \"$@\"' sh {}; stty -a > stopped; \
         echo it is stopped; read line; {go_on}; echo $? > exit; stty -a > after; exec cat",
        watch("host", "")
    )
}

fn process(pane: &Pane) -> Pid {
    Pid::from_raw(pane.note("pid").trim().parse().unwrap()).unwrap()
}

fn alternate(pane: &Pane) -> bool {
    pane.ask(&["display-message", "-p", "#{alternate_on}"]).trim() == "1"
}

/// Check that Ctrl-Z and SIGTSTP give the terminal back, and that the screen is there again afterwards, as it was.
#[test]
fn stopped_and_continued() {
    if !can("stopped_and_continued") {
        return;
    }
    for by_key in [true, false] {
        let pane = Pane::running(&job("fg > /dev/null"), SIZE, &[]);
        pane.frame_with("? help");
        pane.keys(&["Tab", "Down"]);
        let before = pane.frame_with("Enter detail");
        if by_key {
            pane.keys(&["C-z"]);
        } else {
            kill_process(process(&pane), Signal::TSTP).unwrap();
        }
        assert!(pane.frame_with("it is stopped").contains("main screen"));
        assert_eq!(pane.note("stopped"), pane.note("before"));
        assert!(!alternate(&pane));
        pane.keys(&["Enter"]);
        pane.wait("same frame", || pane.now() == before);
        pane.keys(&["q"]);
        assert_eq!(pane.note("exit"), "0\n");
        assert_eq!(pane.note("after"), pane.note("before"));
        assert!(!alternate(&pane));
    }
}

/// Check that in the background it leaves the terminal alone, and can be ended there.
#[test]
fn in_the_background() {
    if !can("in_the_background") {
        return;
    }
    let pane = Pane::running(&job("bg > /dev/null; echo > background; wait %1"), SIZE, &[]);
    pane.frame_with("? help");
    pane.keys(&["C-z"]);
    pane.frame_with("it is stopped");
    pane.keys(&["Enter"]);
    pane.note("background");
    let stat = format!("/proc/{}/stat", process(&pane).as_raw_nonzero());
    let state =
        || std::fs::read_to_string(&stat).unwrap_or_default().rsplit(") ").next().unwrap().chars().next();
    pane.wait("process that sleeps", || state() == Some('S'));
    assert!(!alternate(&pane));
    kill_process(process(&pane), Signal::TERM).unwrap();
    assert_eq!(pane.note("exit"), "0\n");
    assert_eq!(pane.note("after"), pane.note("before"));
}
