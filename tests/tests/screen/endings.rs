//! However the screen ends, the terminal is as before and the exit code says so.

use std::fs;
use std::path::Path;

use aioinspect_tests::programs::{bin, skip};
use rustix::process::{Pid, Signal, kill_process};

use crate::pane::{Pane, can, watch};

const SIZE: (u16, u16) = (80, 24);

/// Notes the mode of the terminal before and after, the process id, and the exit code; then waits.
fn noting(command: &str) -> String {
    format!(
        "echo main screen; stty -a > before; sh -c 'echo $$ > pid; exec \"$@\"' sh {command}; echo $? > exit; \
         stty -a > after; exec cat"
    )
}

fn process(pane: &Pane) -> Pid {
    let pid: i32 = pane.note("pid").trim().parse().unwrap();
    Pid::from_raw(pid).unwrap()
}

fn is_there(pid: Pid) -> bool {
    Path::new(&format!("/proc/{}", pid.as_raw_nonzero())).exists()
}

/// Check what is left on the terminal, and the exit code.
fn as_before(pane: &Pane, what: &str) {
    assert_eq!(pane.note("exit"), "0\n", "{what}");
    assert_eq!(pane.note("after"), pane.note("before"), "{what}");
    let state = "#{alternate_on} #{cursor_flag} #{mouse_any_flag} #{keypad_cursor_flag} #{wrap_flag}";
    assert_eq!(pane.ask(&["display-message", "-p", state]).trim(), "0 1 0 0 1", "{what}");
    assert_eq!(pane.now().trim_end(), "main screen", "{what}");
}

/// Check each way to quit by keys, in each view.
#[test]
fn by_keys() {
    if !can("by_keys") {
        return;
    }
    for keys in [
        &["q"][..],
        &["C-c"],
        &["/", "q", "C-c"],
        &["?", "C-c"],
        &["?", "q", "q"],
        &["Tab", "Enter", "q"],
        &["p", "q"],
    ] {
        let pane = Pane::running(&noting(&watch("host", "")), SIZE, &[]);
        pane.frame_with("? help");
        for key in keys {
            pane.keys(&[key]);
        }
        as_before(&pane, &format!("{keys:?}"));
    }
}

/// Check each signal that means to come to an end.
#[test]
fn by_signals() {
    if !can("by_signals") {
        return;
    }
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let pane = Pane::running(&noting(&watch("host", "")), SIZE, &[]);
        pane.frame_with("? help");
        kill_process(process(&pane), signal).unwrap();
        as_before(&pane, &format!("{signal:?}"));
    }
}

/// Check that the time is kept.
#[test]
fn by_time() {
    if !can("by_time") {
        return;
    }
    let pane = Pane::running(&noting(&watch("host", "--duration 300ms")), SIZE, &[]);
    as_before(&pane, "--duration");
}

/// Check that nothing is drawn where the evidence cannot be read: the message stays on the main screen.
#[test]
fn by_errors() {
    if !can("by_errors") {
        return;
    }
    let pane = Pane::running(&noting(&watch("no-such-capture", "")), SIZE, &[]);
    assert_eq!(pane.note("exit"), "1\n");
    assert_eq!(pane.note("after"), pane.note("before"));
    assert!(pane.frame_with("aioinspect: ").contains("main screen"));
}

/// Check that the process ends with its terminal, whether or not it is told so by a signal, and does not keep a CPU busy first.
#[test]
fn by_a_closed_terminal() {
    if !can("by_a_closed_terminal") {
        return;
    }
    for prelude in ["", "trap '' HUP; ", "exec 2>/dev/null; setsid -w "] {
        let command = watch("host", "");
        let script = match prelude {
            "" => noting(&command),
            "trap '' HUP; " => format!("trap '' HUP; {}", noting(&command)),
            // In a session of its own nobody sends it SIGHUP: only the terminal itself tells.
            _ => format!(
                "echo main screen; setsid -w sh -c 'echo $$ > pid; exec \"$@\"' sh {command}; exec cat"
            ),
        };
        let pane = Pane::running(&script, SIZE, &[]);
        pane.frame_with("? help");
        let pid = process(&pane);
        assert!(is_there(pid));
        pane.close();
        let begun = std::time::Instant::now();
        while is_there(pid) {
            let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
            if begun.elapsed().as_secs() > 20 {
                // Ours, by its id: nothing of a failed test stays behind.
                let _ = kill_process(pid, Signal::KILL);
                panic!("{prelude:?}: still there: {stat}");
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// Check that what failures cannot be seen is said before the screen hides it, for each hook that cannot see all.
#[test]
fn what_is_not_seen() {
    if !can("what_is_not_seen") {
        return;
    }
    for hook in ["fentry", "kprobe"] {
        let watch = format!(
            "'{}' watch --collect submit --hook {hook} --duration 2s 2> said; echo $? > exit",
            bin("aioinspect").display()
        );
        let pane = Pane::running(&format!("{watch}; exec cat"), SIZE, &[]);
        if pane.note("exit") != "0\n" {
            skip("what_is_not_seen", "needs root, and a kernel with these hooks");
            continue;
        }
        let said = pane.note("said");
        assert_eq!(said.matches("a seccomp filter refuses are not seen").count(), 1, "{said}");
        assert_eq!(said.contains("a kretprobe has room for"), hook == "kprobe", "{said}");
    }
}
