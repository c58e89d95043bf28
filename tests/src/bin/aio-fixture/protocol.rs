//! One command a line on standard input, one JSON line each on standard output.

use std::io::{self, BufRead, Write};

use serde_json::{Value, json};

use crate::failure::{Done, Failure};
use crate::state::State;
use crate::words::Words;
use crate::{
    blocked, children, destroys, disk, failing, farm, ghosts, load, polls, process, raw, reading, reads,
    reap, report, ring, spoof, storm, strand, submits, thirty_two, uring, vm_child,
};

type Command = fn(&mut State, &mut Words) -> Done;

/// The commands, as in the head of `main.rs`.
const COMMANDS: &[(&str, Command)] = &[
    ("setup", State::setup),
    ("setup-many", State::setup_many),
    ("destroy", State::destroy),
    ("poll", polls::poll),
    ("complete", polls::complete),
    ("cancel", polls::cancel),
    ("strand", strand::strand),
    ("reap", reap::reap),
    ("reap-by-head", reap::reap_by_head),
    ("slow-read", reads::slow_read),
    ("finish-reads", reads::finish_reads),
    ("destroy-waiting", destroys::destroy_waiting),
    ("destroyed", destroys::destroyed),
    ("reading-child", reading::reading_child),
    ("die", reading::die),
    ("dying-child", reading::dying_child),
    ("finish-dying", reading::finish_dying),
    ("disk", disk::submit),
    ("disk-reap", disk::reap),
    ("mremap", ring::mremap),
    ("mprotect", ring::mprotect),
    ("munmap", ring::munmap),
    ("forge", ring::forge),
    ("unforge", ring::unforge),
    ("fork-ghost", ghosts::fork_ghost),
    ("child-write-head", ghosts::write_head),
    ("child-fired", ghosts::fired),
    ("child-toggle-head", ghosts::toggle_head),
    ("child-rest", ghosts::rest),
    ("child-setup", ghosts::setup),
    ("child-getevents", ghosts::getevents),
    ("child-exit", children::exit),
    ("clone-vm-child", vm_child::clone_vm_child),
    ("vfork-d-state", vm_child::vfork_process),
    ("vfork-thread", vm_child::vfork_thread),
    ("setup-raw", raw::setup_raw),
    ("retry", raw::retry),
    ("setup-thread", raw::setup_thread),
    ("setup32", thirty_two::setup),
    ("destroy32", thirty_two::destroy),
    ("submit-raw", submits::submit_raw),
    ("submit32", thirty_two::submit),
    ("fail", failing::fail),
    ("refuse", failing::refuse),
    ("io-uring-worker", uring::worker),
    ("race-destroy", storm::race_destroy),
    ("race-reuse", storm::race_reuse),
    ("storm", storm::storm),
    ("farm", farm::farm),
    ("farm-end", farm::end),
    ("threads", blocked::threads),
    ("spin", load::spin),
    ("spin-report", load::spin_report),
    ("spin-stop", load::spin_stop),
    ("busy", load::busy),
    ("busy-stop", load::busy_stop),
    ("churn", load::churn),
    ("churn-stop", load::churn_stop),
    ("spoof", spoof::spoof),
    ("set-comm", process::set_comm),
    ("dumpable", process::dumpable),
    ("set-uid", process::set_uid),
    ("brk-grow", process::brk_grow),
    ("exec-self", process::exec_self),
    ("exec-when-held", process::exec_when_held),
    ("truth", report::truth),
];

/// Why the protocol's loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// End of input, or `exit CODE`.
    Exit(i32),
    /// `leader-exit`: another thread is to go on.
    LeaderExit,
}

/// Writes one answer.
pub(crate) fn answer(done: Done) -> io::Result<()> {
    let line = match done {
        Ok(Value::Object(fields)) => json!({"ok": fields}),
        Ok(_) => json!({"ok": {}}),
        Err(failure) => failure.to_json(),
    };
    let mut out = io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes())?;
    out.flush()
}

/// Serves commands until there are no more.
pub(crate) fn serve(state: &mut State) -> io::Result<End> {
    let mut line = String::new();
    loop {
        line.clear();
        if io::stdin().lock().read_line(&mut line)? == 0 {
            return Ok(End::Exit(0));
        }
        let mut words = Words::new(&line);
        let Some(name) = words.next() else { continue };
        match name {
            "exit" => {
                let code = words.maybe("CODE").ok().flatten().unwrap_or(0);
                answer(Ok(json!({})))?;
                return Ok(End::Exit(code));
            }
            "leader-exit" => match may_leave(state) {
                Ok(()) => return Ok(End::LeaderExit),
                Err(failure) => answer(Err(failure))?,
            },
            // The answer must come first: a stopped process gives none.
            "self-stop" => {
                answer(Ok(json!({})))?;
                process::stop_self();
            }
            _ => {
                let command = COMMANDS.iter().find(|(known, _)| *known == name).map(|(_, run)| run);
                answer(match command {
                    Some(run) => run(state, &mut words),
                    None => Err(Failure::refused(format!("no command {name:?}"))),
                })?;
            }
        }
    }
}

fn may_leave(state: &State) -> Result<(), Failure> {
    if crate::state::pid() != crate::state::tid() {
        return Err(Failure::refused("the leader is gone already"));
    }
    if !state.children.is_empty() || state.farm.is_some() {
        // They are told to die with the thread that made them.
        return Err(Failure::refused("the leader has children: leader-exit comes before them"));
    }
    Ok(())
}
