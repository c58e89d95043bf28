//! What a watch costs those who are watched, and everybody else.

#![expect(unsafe_code, reason = "raw system calls are what is measured")]

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use aioinspect_tests::fixture::Fixture;
use anyhow::{Context, Result};
use aya::programs::loaded_programs;
use aya::sys::{Stats, enable_stats};

use crate::figures::Figures;
use crate::observer::{Observer, Who};
use crate::report::{Line, heading, line};

/// Calls in one batch.
const CALLS: u32 = 4000;
/// Contexts made in one batch.
const CONTEXTS: u32 = 200;
/// Pairs of io_setup and io_destroy whose programs are timed: each takes some 30 ms.
const PAIRS: u32 = 12;
/// For how long the flood of events lasts.
const FLOOD: Duration = Duration::from_secs(3);

/// What is measured under each watcher, in nanoseconds a call.
#[derive(Default)]
struct Cost {
    failing: Figures,
    setup: Figures,
    getppid: Figures,
    submit: Figures,
    pair: Figures,
}

/// One of the figures.
type Of = fn(&Cost) -> &Figures;

/// Measures every watcher in turn, as often as asked.
pub(crate) fn run(out: &mut dyn Write, runs: u32) -> Result<()> {
    let everybody = everybody(out)?;
    let mut costs: Vec<Cost> = everybody.iter().map(|_| Cost::default()).collect();
    for _ in 0..runs {
        for (who, cost) in everybody.iter().zip(&mut costs) {
            measure(who, cost)?;
        }
    }
    let tables: [(&str, Of); 4] = [
        ("a failing io_setup", |cost| &cost.failing),
        ("an io_setup, no io_destroy", |cost| &cost.setup),
        ("getppid", |cost| &cost.getppid),
        ("io_submit of nothing", |cost| &cost.submit),
    ];
    for (title, figures) in tables {
        heading(out, &format!("{title}, while"), runs)?;
        let base = costs.first().map_or(0.0, |cost| figures(cost).median());
        let rival = everybody.iter().position(|who| *who == Who::Bpftrace).and_then(|at| costs.get(at));
        let rival_adds = rival.map_or(0.0, |cost| figures(cost).median() - base);
        for (who, cost) in everybody.iter().zip(&costs) {
            line(out, &Line { what: &who.name(), unit: "ns", figures: figures(cost), rival: None })?;
            let adds = figures(cost).median() - base;
            if matches!(who, Who::Us(_)) {
                writeln!(
                    out,
                    "    adds {adds:.0} ns; bpftrace adds {rival_adds:.0} ns ({:.2}x ours)",
                    rival_adds / adds
                )?;
            }
        }
    }
    heading(out, "programs of one io_setup and io_destroy, by the kernel's own clock, of", runs)?;
    let rival = everybody.iter().position(|who| *who == Who::Bpftrace).and_then(|at| costs.get(at));
    for (who, cost) in everybody.iter().zip(&costs) {
        // Programs on every system call run for others too.
        if !matches!(who, Who::Nobody | Who::Us("raw-tracepoint")) {
            let rival = rival.filter(|_| matches!(who, Who::Us(_))).map(|cost| &cost.pair);
            line(out, &Line { what: &who.name(), unit: "ns", figures: &cost.pair, rival })?;
        }
    }
    for who in everybody.iter().filter(|who| matches!(who, Who::Us(_) | Who::Bpftrace)) {
        flood(out, who)?;
    }
    Ok(())
}

/// Those that this machine lets watch; the others are named.
fn everybody(out: &mut dyn Write) -> Result<Vec<Who>> {
    let mut everybody = vec![Who::Nobody];
    let hooks = ["fentry", "kprobe", "tracepoint", "raw-tracepoint"].map(Who::Us);
    for who in hooks.into_iter().chain([Who::Bpftrace, Who::Empty]) {
        match who.start() {
            Ok(_) => everybody.push(who),
            Err(error) => writeln!(out, "not measured: {error:#}")?,
        }
    }
    Ok(everybody)
}

fn measure(who: &Who, cost: &mut Cost) -> Result<()> {
    let watch = who.start()?;
    cost.failing.push(each(CALLS, || io_setup(0, &mut 0)));
    cost.getppid.push(each(CALLS, || {
        // SAFETY: takes nothing and changes nothing.
        unsafe { libc::syscall(libc::SYS_getppid) }
    }));
    let mut context = 0_u64;
    anyhow::ensure!(io_setup(1, &mut context) == 0, "io_setup fails");
    cost.submit.push(each(CALLS, || {
        // SAFETY: no request is handed over, so no pointer is followed.
        unsafe { libc::syscall(libc::SYS_io_submit, context, 0, std::ptr::null::<u64>()) }
    }));
    io_destroy(context);
    let mut fixture = Fixture::spawn();
    let begun = Instant::now();
    fixture.run(&format!("setup-many {CONTEXTS} 1"));
    cost.setup.push(begun.elapsed().as_secs_f64() * 1e9 / f64::from(CONTEXTS));
    drop(fixture);
    if *who != Who::Nobody {
        cost.pair.push(programs_of_pairs()?);
    }
    drop(watch);
    Ok(())
}

/// Nanoseconds that the programs of the host ran, for one io_setup and one io_destroy.
fn programs_of_pairs() -> Result<f64> {
    let _counting = enable_stats(Stats::RunTime).context("cannot count what programs run")?;
    let before = run_times()?;
    for _ in 0..PAIRS {
        let mut context = 0;
        anyhow::ensure!(io_setup(1, &mut context) == 0, "io_setup fails");
        io_destroy(context);
    }
    let spent: Duration = run_times()?
        .iter()
        .map(|(id, time)| time.saturating_sub(before.get(id).copied().unwrap_or_default()))
        .sum();
    Ok(spent.as_secs_f64() * 1e9 / f64::from(PAIRS))
}

fn run_times() -> Result<BTreeMap<u32, Duration>> {
    loaded_programs()
        .map(|info| info.map(|info| (info.id(), info.run_time())))
        .collect::<Result<_, _>>()
        .context("programs")
}

/// A flood of failing calls: what the watcher itself spends, and how much memory it takes.
fn flood(out: &mut dyn Write, who: &Who) -> Result<()> {
    let watch: Observer = who.start()?;
    let (before, _) = watch.cost()?;
    let begun = Instant::now();
    let mut calls = 0_u32;
    while begun.elapsed() < FLOOD {
        io_setup(0, &mut 0);
        calls += 1;
    }
    // What is still in the buffers counts too.
    std::thread::sleep(Duration::from_millis(500));
    let (after, peak) = watch.cost()?;
    let spent = after.saturating_sub(before).as_secs_f64();
    let rate = f64::from(calls) / FLOOD.as_secs_f64();
    writeln!(
        out,
        "\n{}, {rate:.0} failing calls a second: {:.0} % of a CPU, {:.0} ns a call, peak memory {:.1} MiB",
        who.name(),
        spent / FLOOD.as_secs_f64() * 100.0,
        spent * 1e9 / f64::from(calls),
        f64::from(peak) / 1024.0
    )?;
    Ok(())
}

/// Nanoseconds a call, of a batch.
fn each(calls: u32, mut call: impl FnMut() -> libc::c_long) -> f64 {
    let begun = Instant::now();
    for _ in 0..calls {
        call();
    }
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
}

fn io_setup(events: u32, context: &mut u64) -> libc::c_long {
    // SAFETY: the pointer is to a live variable of the size of aio_context_t.
    unsafe { libc::syscall(libc::SYS_io_setup, events, std::ptr::from_mut(context)) }
}

fn io_destroy(context: u64) -> libc::c_long {
    // SAFETY: takes a number; one that is no context is an error.
    unsafe { libc::syscall(libc::SYS_io_destroy, context) }
}
