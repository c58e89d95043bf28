//! The table that is printed.

use std::io::{self, Write};

use crate::figures::Figures;

/// One line of it.
pub(crate) struct Line<'a> {
    /// What was measured.
    pub what: &'a str,
    /// Unit of the figures.
    pub unit: &'static str,
    /// What was measured, once for each repetition.
    pub figures: &'a Figures,
    /// What the ratio is taken against: the rival's figure divided by this one.
    pub rival: Option<&'a Figures>,
}

/// Says on which machine this runs.
pub(crate) fn host(out: &mut dyn Write) -> io::Result<()> {
    let uname = rustix::system::uname();
    let cpus = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("CPU of unknown model", |(_, model)| model);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?");
    writeln!(out, "Linux {}, {cpus} x {model}, load {load}", uname.release().to_string_lossy())
}

/// Begins a part of the table.
pub(crate) fn heading(out: &mut dyn Write, title: &str, runs: u32) -> io::Result<()> {
    writeln!(out, "\n{title} ({runs} runs)")?;
    writeln!(
        out,
        "  {:<52} {:>10} {:>10} {:>10}  {:<4} {:>12}",
        "", "median", "min", "max", "", "rival / this"
    )
}

/// Prints one line.
pub(crate) fn line(out: &mut dyn Write, line: &Line<'_>) -> io::Result<()> {
    let (median, min, max) = line.figures.summary();
    let Line { what, unit, .. } = line;
    write!(out, "  {what:<52} {median:>10.3} {min:>10.3} {max:>10.3}  {unit:<4}")?;
    match line.rival.map(|rival| rival.median() / median) {
        Some(ratio) if ratio.is_finite() => writeln!(out, " {ratio:>11.2}x"),
        _ => writeln!(out),
    }
}
