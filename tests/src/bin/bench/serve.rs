//! `aioinspect serve`: what a scrape takes with many contexts, what the server holds, and what it costs when hardly anybody asks.

use std::fs;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use aioinspect_tests::serving::Serving;
use anyhow::{Context, Result, ensure};

use crate::clocks::milliseconds;
use crate::farm::{EACH, PROCESSES, farm};
use crate::figures::Figures;
use crate::grep::grep;
use crate::report::{Line, heading, line};

/// Between two scrapes of a server at rest: Prometheus' usual interval.
const BETWEEN_SCRAPES: Duration = Duration::from_secs(15);
/// Such intervals for which the server at rest is watched.
const INTERVALS: u32 = 4;

/// Measures all of it.
pub(crate) fn run(out: &mut dyn Write, runs: u32) -> Result<()> {
    let serving = start()?;
    let page = weight(&serving)?;
    let _ = serving.metrics();
    let idle = resident(&serving)?;
    at_rest(out, &serving)?;

    let farm = farm();
    let (mut scrape, mut contexts, mut rival) = (Figures::default(), Figures::default(), Figures::default());
    for _ in 0..runs {
        scrape.push(timed(|| {
            let text = serving.metrics();
            ensure!(text.contains("aio_contexts{comm=\"aio-fixture\"} 10000"), "not all contexts: {text}");
            Ok(())
        })?);
        rival.push(milliseconds(grep()?.wall));
    }
    let after_scrapes = resident(&serving)?;
    for _ in 0..runs.min(5) {
        contexts.push(timed(|| {
            let document = serving.get("/api/v1/contexts");
            ensure!(document.body.len() > (PROCESSES * EACH) as usize * 100, "{} bytes", document.body.len());
            Ok(())
        })?);
    }
    let after_json = resident(&serving)?;
    let full_page = weight(&serving)?;
    drop(farm);

    heading(out, "serve, with 10,000 contexts in 1,000 processes", runs)?;
    let measured = [
        ("a scrape, wall (rival: grep; goal 20 ms)", "ms", scrape, Some(&rival)),
        ("grep -l of all maps, wall", "ms", rival.clone(), None),
        ("/api/v1/contexts, wall", "ms", contexts, None),
        ("resident memory, idle", "MiB", one(idle), None),
        ("more after the scrapes (goal 16 MiB)", "MiB", one(after_scrapes - idle), None),
        ("more after /api/v1/contexts", "MiB", one(after_json - idle), None),
        ("the page without contexts (goal 60 kB)", "kB", one(page), None),
        ("the page with 10,000", "kB", one(full_page), None),
    ];
    for (what, unit, figures, rival) in measured {
        line(out, &Line { what, unit, figures: &figures, rival })?;
    }
    Ok(())
}

fn start() -> Result<Serving> {
    Serving::start(&[]).map_err(|served| anyhow::anyhow!("serve ended: {}", served.stderr))
}

/// The share of one CPU that a server takes which is scraped four times a minute.
fn at_rest(out: &mut dyn Write, serving: &Serving) -> Result<()> {
    let mut share = Figures::default();
    for _ in 0..INTERVALS {
        let (before, begun) = (cpu_ns(serving)?, Instant::now());
        let _ = serving.metrics();
        thread::sleep(BETWEEN_SCRAPES.saturating_sub(begun.elapsed()));
        let took = begun.elapsed().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "nanoseconds of some seconds are exact in a double")]
        share.push((cpu_ns(serving)? - before) as f64 / 1e9 / took * 100.0);
    }
    heading(out, "serve at rest, one scrape each 15 s", INTERVALS)?;
    line(out, &Line { what: "share of one CPU (goal 0.1 %)", unit: "%", figures: &share, rival: None })?;
    Ok(())
}

fn timed(act: impl FnOnce() -> Result<()>) -> Result<f64> {
    let begun = Instant::now();
    act()?;
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

/// Kilobytes of the page.
fn weight(serving: &Serving) -> Result<f64> {
    let page = serving.get("/");
    ensure!(page.status == 200, "{page:?}");
    Ok(f64::from(u32::try_from(page.body.len())?) / 1e3)
}

/// Resident memory, MiB.
fn resident(serving: &Serving) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", serving.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: u32 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(f64::from(kib) / 1024.0)
}

/// CPU time of all its threads, nanoseconds.
fn cpu_ns(serving: &Serving) -> Result<u64> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{}/task", serving.pid()))? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        let ran: u64 = text.split(' ').next().context("no schedstat")?.trim().parse()?;
        sum += ran;
    }
    Ok(sum)
}

fn one(value: f64) -> Figures {
    let mut figures = Figures::default();
    figures.push(value);
    figures
}
