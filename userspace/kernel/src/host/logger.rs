//! Where `log` records go: standard error, under `-v`.

use std::io::Write;

use log::{Level, LevelFilter, Log, Metadata, Record};

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // The eBPF programs' own records bear the name of their crate; what aya says of relocations helps nobody who debugs AIO.
        let ours = metadata.target().starts_with("aioinspect");
        metadata.level() <= if ours { log::max_level() } else { LevelFilter::Warn }
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let level = match record.level() {
                Level::Error => "error",
                Level::Warn => "warning",
                Level::Info => "info",
                Level::Debug => "debug",
                Level::Trace => "trace",
            };
            // Nobody to tell if that fails.
            let _ = writeln!(std::io::stderr(), "aioinspect: {level}: {}", record.args());
        }
    }

    fn flush(&self) {}
}

/// Starts logging; `verbose` counts the `-v`.
pub fn start(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::Warn,
        1 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(level);
    }
}
