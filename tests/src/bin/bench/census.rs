//! Counting every context of a host with many.

use std::io::Write;

use aioinspect_kernel::census::probe::{CensusScope, Probe};
use aioinspect_kernel::census::records::by_space;
use aioinspect_kernel::host::system;
use anyhow::{Context, Result, ensure};

use crate::clocks::Times;
use crate::farm::{EACH, PROCESSES, farm};
use crate::grep::grep;
use crate::report::{Line, heading, line};

/// Measures the walk alone, the whole census, the walk over all mappings, and grep.
pub(crate) fn run(out: &mut dyn Write, runs: u32) -> Result<()> {
    let _farm = farm();
    let facts = system::facts()?;
    let mut probe = Probe::load(facts.possible_cpus, 0)?;
    // The walk alone pauses nowhere.
    let mut roomy = Probe::load(facts.possible_cpus, 0)?;
    roomy.make_room((2 * PROCESSES * EACH) as usize, 2 * PROCESSES as usize)?;
    roomy.census(CensusScope::All)?;
    let (mut scan, mut whole, mut mappings, mut rival) =
        (Times::default(), Times::default(), Times::default(), Times::default());
    // The first run measures the CPUs' distances, the second one is like all others.
    probe.census(CensusScope::All)?;
    let known = probe.known().clone();
    for _ in 0..runs {
        let walk = roomy.walk_of_all()?;
        roomy.set_scope(CensusScope::All);
        scan.of(|| walk.run())?;
        let spaces = whole.of(|| probe.census(CensusScope::All).map(|records| by_space(&records, &known)))?;
        let contexts: usize = spaces.values().map(|space| space.word.contexts.len()).sum();
        ensure!(contexts >= (PROCESSES * EACH) as usize, "only {contexts} contexts found");
        let rings = mappings.of(|| probe.rings())?.context("this kernel has no iterator over mappings")?;
        ensure!(rings.len() >= (PROCESSES * EACH) as usize, "only {} rings found", rings.len());
        let grep = grep()?;
        rival.push(grep.wall, grep.cpu);
    }
    heading(out, "census of 10,000 contexts in 1,000 processes", runs)?;
    for (what, ours) in [
        ("the scan: one walk of every task", &scan),
        ("the census: scan, records copied out and grouped", &whole),
        ("the rings: one walk of every mapping", &mappings),
    ] {
        let (wall, cpu) = (format!("{what}, wall"), format!("{what}, CPU"));
        line(out, &Line { what: &wall, unit: "ms", figures: &ours.wall, rival: Some(&rival.wall) })?;
        line(out, &Line { what: &cpu, unit: "ms", figures: &ours.cpu, rival: Some(&rival.cpu) })?;
    }
    line(out, &Line { what: "grep -l of all maps, wall", unit: "ms", figures: &rival.wall, rival: None })?;
    line(out, &Line { what: "grep -l of all maps, CPU", unit: "ms", figures: &rival.cpu, rival: None })?;
    cost_of_starting(out)
}

/// What the verifier checks: it does not depend on the machine, but on the kernel.
fn cost_of_starting(out: &mut dyn Write) -> Result<()> {
    writeln!(out, "\ninstructions that the verifier checks, by possible CPUs")?;
    for possible_cpus in [1, 2, 512, 8192] {
        let probe = Probe::load(possible_cpus, 0)?;
        let counted =
            probe.verified_instructions()?.into_iter().map(|(name, count)| format!("{name} {count}"));
        writeln!(out, "  {possible_cpus:>5}: {}", counted.collect::<Vec<_>>().join(", "))?;
    }
    Ok(())
}
