//! `aioinspect headroom`: how many slots are free, and who has the rest reserved.

use std::io::Write;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::cli::HeadroomArgs;
use crate::commands::exit::Exit;
use crate::commands::{bpf_log_level, saved, say};
use aioinspect_kernel::host::system;
use aioinspect_kernel::look::evidence_source::{Recorded, Source, SourceError};
use aioinspect_kernel::look::live::Live;
use aioinspect_model::headroom::{Answer, answer, headroom};
use aioinspect_model::reconcile::reconcile;
use aioinspect_render::headroom::{write, write_json};

/// How often the two numbers of /proc are read while waiting.
const PAUSE: Duration = Duration::from_millis(50);

/// Asks, waits if told to, and says.
pub(super) fn run(
    args: &HeadroomArgs,
    verbose: u8,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<Exit> {
    let mut source: Box<dyn Source> = match &args.from {
        Some(path) => Box::new(Recorded(saved::read_at_time(path, args.at, err)?)),
        None => Box::new(Live::new(true, bpf_log_level(verbose))),
    };
    let begun = Instant::now();
    let deadline = args.wait.and_then(|wait| begun.checked_add(wait));
    let mut timed_out = false;
    loop {
        if let (Some(need), Some(deadline)) = (args.need, deadline) {
            timed_out = wait(need, deadline)?;
        }
        // Who has slots reserved is asked once the numbers are good, or will not be; the answer is on what is shown.
        let evidence = source.host(true)?;
        let picture = reconcile(&evidence);
        let headroom = headroom(&picture, args.need);
        let answer = headroom.need.map(|(_, answer)| answer);
        if let (Some(Answer::NotNow), Some(deadline), false) = (answer, deadline, timed_out) {
            // Somebody else was faster.
            timed_out = Instant::now() >= deadline;
            if !timed_out {
                continue;
            }
        }
        say(err, &source.notes())?;
        if args.json {
            write_json(out, &headroom, None)?;
        } else {
            write(out, &headroom, timed_out.then(|| begun.elapsed()))?;
        }
        return Ok(match answer {
            None | Some(Answer::Enough) => Exit::Fine,
            Some(Answer::NotNow) if timed_out => Exit::TimedOut,
            Some(Answer::NotNow | Answer::Never) => Exit::CheckFailed,
        });
    }
}

/// Waits until there is enough or never will be; whether the time was up before.
fn wait(need: u64, deadline: Instant) -> Result<bool, SourceError> {
    loop {
        let (reserved, limit) = system::slots()?;
        match answer(need, reserved, limit) {
            Answer::Enough | Answer::Never => return Ok(false),
            Answer::NotNow => {}
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(true);
        }
        sleep(PAUSE.min(left));
    }
}
