//! `aioinspect list` from exec to exit, its output read from a pipe, beside what people use instead.

use std::ffi::OsString;
use std::io::Write;

use aioinspect_tests::programs::bin;
use anyhow::{Result, ensure};

use crate::clocks::Times;
use crate::farm::{EACH, PROCESSES, farm};
use crate::figures::Figures;
use crate::grep::grep;
use crate::naive_loader;
use crate::others::{lsfd, lsof};
use crate::report::{Line, heading, line};
use crate::spawned::{Spawned, spawn_and_measure};

#[derive(Debug, Default)]
struct Costs {
    times: Times,
    peak: Figures,
}

impl Costs {
    fn push(&mut self, spawned: Spawned) {
        self.times.push(spawned.wall, spawned.cpu);
        #[expect(clippy::cast_precision_loss, reason = "KiB of a small program are exact in a double")]
        self.peak.push(spawned.peak_kib as f64 / 1024.0);
    }
}

/// Measures it on this host as it is, and with many contexts.
pub(crate) fn run(out: &mut dyn Write, runs: u32) -> Result<()> {
    one(out, "list, cold, on this host as it is", runs, 0)?;
    let _farm = farm();
    one(out, "list, cold, with 10,000 contexts in 1,000 processes", runs, PROCESSES * EACH)
}

fn one(out: &mut dyn Write, title: &str, runs: u32, contexts: u32) -> Result<()> {
    let list: [OsString; 2] = [bin("aioinspect").into(), "list".into()];
    let naive_command = naive_loader::command()?;
    let (mut ours, mut greps, mut naive) = (Costs::default(), Costs::default(), Costs::default());
    let (mut lsfds, mut lsofs) = (Costs::default(), Costs::default());
    for _ in 0..runs {
        let listed = spawn_and_measure(&list, &[0])?;
        // A line of each context has at least its id.
        ensure!(listed.output >= u64::from(contexts) * 14, "list printed {} bytes only", listed.output);
        ours.push(listed);
        greps.push(grep()?);
        lsfds.push(lsfd()?);
        lsofs.push(lsof()?);
        if let Some(command) = &naive_command {
            naive.push(naive_loader::measure(command)?);
        }
    }
    heading(out, title, runs)?;
    let others = [("grep -l of all maps", &greps), ("lsfd", &lsfds), ("lsof -nP", &lsofs)];
    let mut print = |what: &str, unit, figures, rival| line(out, &Line { what, unit, figures, rival });
    for (name, costs) in others {
        print(&format!("list, wall (rival: {name})"), "ms", &ours.times.wall, Some(&costs.times.wall))?;
        print(&format!("list, CPU (rival: {name})"), "ms", &ours.times.cpu, Some(&costs.times.cpu))?;
    }
    let rival = naive_command.is_some().then_some(&naive);
    print("list, peak memory (rival: naive loader)", "MiB", &ours.peak, rival.map(|naive| &naive.peak))?;
    for (name, costs) in others {
        print(&format!("{name}, wall"), "ms", &costs.times.wall, None)?;
        print(&format!("{name}, CPU"), "ms", &costs.times.cpu, None)?;
    }
    let Some(naive) = rival else {
        writeln!(
            out,
            "  naive aya loader: not measured, AIOINSPECT_EBPF_OBJECTS does not say where the object is"
        )?;
        return Ok(());
    };
    print("naive aya loader, wall", "ms", &naive.times.wall, None)?;
    print("naive aya loader, CPU", "ms", &naive.times.cpu, None)?;
    print("naive aya loader, peak memory", "MiB", &naive.peak, None)?;
    Ok(())
}
