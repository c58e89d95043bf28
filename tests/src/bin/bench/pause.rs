//! For how long a process stands still so that its rings can be read.
//!
//! From outside: from the first interrupt to the last detach, by whoever stops it. From inside: the largest gap that a
//! thread of the process sees which does nothing but read the clock; such gaps there are without a freeze, too.

use std::io::Write;
use std::thread::sleep;
use std::time::{Duration, Instant};

use aioinspect_kernel::look::evidence_source::{Ask, Hold, Source};
use aioinspect_kernel::look::live::Live;
use aioinspect_model::units::Pid;
use aioinspect_tests::fixture::Fixture;
use anyhow::{Context, Result, ensure};

use crate::clocks::microseconds;
use crate::figures::Figures;
use crate::plain_reader;
use crate::report::{Line, heading, line};

const RINGS: [u32; 4] = [1, 16, 256, 1100];
const PATIENCE: Duration = Duration::from_secs(2);

/// Measures us and the plain reader, turn by turn.
pub(crate) fn run(out: &mut dyn Write, runs: u32) -> Result<()> {
    for rings in RINGS {
        one(out, rings, runs)?;
    }
    Ok(())
}

fn one(out: &mut dyn Write, rings: u32, runs: u32) -> Result<()> {
    let mut fixture = Fixture::spawn();
    fixture.run(&format!("setup-many {rings} 1"));
    let mut live = Live::new(true, 0);
    let pid = fixture.pid();
    let (mut ours, mut plain) = (Figures::default(), Figures::default());
    let (mut census, mut headers) = (Figures::default(), Figures::default());
    for _ in 0..runs {
        let pause = freeze(&mut live, pid, rings)?;
        ours.push(microseconds(pause.whole));
        census.push(microseconds(pause.census));
        headers.push(microseconds(pause.headers));
        plain.push(microseconds(read_plainly(pid, rings)?));
    }
    let (mut ours_inside, mut plain_inside, mut nothing) =
        (Figures::default(), Figures::default(), Figures::default());
    fixture.run("spin");
    for _ in 0..runs {
        let gap = |fixture: &mut Fixture| {
            microseconds(Duration::from_nanos(fixture.number("spin-report", "max_gap_ns")))
        };
        gap(&mut fixture);
        let begun = Instant::now();
        freeze(&mut live, pid, rings)?;
        let took = begun.elapsed();
        ours_inside.push(gap(&mut fixture));
        // The plain reader is over sooner: as long a time for a stray gap to happen in.
        let begun = Instant::now();
        read_plainly(pid, rings)?;
        sleep(took.saturating_sub(begun.elapsed()));
        plain_inside.push(gap(&mut fixture));
        sleep(took);
        nothing.push(gap(&mut fixture));
    }
    heading(out, &format!("pause of a process with {rings} rings"), runs)?;
    let mut print = |what, figures, rival| line(out, &Line { what, unit: "us", figures, rival });
    print("from outside", &ours, Some(&plain))?;
    print("  of it the census", &census, None)?;
    print("  of it the headers", &headers, None)?;
    print("from outside, plain reader", &plain, None)?;
    print("from inside: largest gap", &ours_inside, Some(&plain_inside))?;
    print("from inside: largest gap, plain reader", &plain_inside, None)?;
    print("from inside: largest gap, nobody stops it", &nothing, None)?;
    Ok(())
}

/// A pause, and what it was spent on.
struct Pause {
    whole: Duration,
    census: Duration,
    headers: Duration,
}

fn freeze(live: &mut Live, pid: u32, rings: u32) -> Result<Pause> {
    let ask = Ask { pid: Pid(pid), hold: Hold::Ptrace(PATIENCE), image: false, without_kernel: false };
    let evidence = live.process(&ask)?;
    let look = evidence.spaces.first().and_then(|space| space.looks.last()).context("no look")?;
    let word = look.before.as_ref().context("no census")?;
    let read = look.headers.iter().filter(|header| header.bytes.is_ok()).count();
    ensure!(read == rings as usize, "{read} headers read of {rings} rings");
    Ok(Pause {
        whole: Duration::from_nanos(look.pause_ns),
        census: Duration::from_nanos(word.ended_at.0.saturating_sub(word.begun_at.0)),
        headers: Duration::from_nanos(look.headers_at.0.saturating_sub(word.ended_at.0)),
    })
}

fn read_plainly(pid: u32, rings: u32) -> Result<Duration> {
    let reading = plain_reader::read(pid)?;
    ensure!(reading.rings == rings as usize, "the plain reader found {} of {rings} rings", reading.rings);
    Ok(reading.pause)
}
