//! `aioinspect serve`: metrics, the JSON API and the live page, until it is told to end.

pub(crate) mod open_server;

use std::io::Write;

use anyhow::Context;

use crate::cli::{HookArg, ServeArgs};
use crate::commands::exit::Exit;
use crate::commands::serve::open_server::{Bound, Verb};
use crate::commands::watch::feed::{Feed, hook_of};
use crate::commands::watch::lines::EndSignals;
use crate::commands::{bpf_log_level, say_lacks};
use aioinspect_kernel::watch::watcher::WatchOptions;
use aioinspect_service::notify::Notifier;

/// Binds, attaches, gives everything up, serves.
pub(super) fn run(args: &ServeArgs, verbose: u8, err: &mut dyn Write) -> anyhow::Result<Exit> {
    let notifier = Notifier::from_env().context("NOTIFY_SOCKET")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // What the runtime needs of file descriptors it needs from the start.
    let inside = runtime.enter();
    let mut signals = EndSignals::new()?;
    let mut tried = Vec::new();
    let hook = hook_of(args.hook);
    let level = bpf_log_level(verbose);
    let opened =
        Bound::open(&args.site, &args.listen, Verb::Serve, hook, level, &mut tried).and_then(|bound| {
            let options = WatchOptions { hook, log_level: level, ..WatchOptions::default() };
            Ok((bound, Feed::live(options, None, args.growth_after, &mut tried)?))
        });
    if verbose > 0 || (opened.is_err() && args.hook == HookArg::Auto) {
        for line in tried {
            writeln!(err, "aioinspect: {line}")?;
        }
    }
    let (bound, mut feed) = opened?;
    if let Some(watcher) = feed.watcher() {
        writeln!(err, "aioinspect: watching with {} ({})", watcher.hook().name(), watcher.hook().cost())?;
        say_lacks(err, watcher.known().lacks())?;
    }
    let addresses = bound.addresses()?;
    let confined = bound.serve(&mut feed)?;
    feed.hide();
    let kept = match feed.watcher() {
        Some(watcher) if watcher.keeps_bpf() => " except CAP_BPF, which this kernel requires at each look,",
        _ => "",
    };
    writeln!(err, "aioinspect: all capabilities{kept} dropped; {confined}")?;
    for address in &addresses {
        writeln!(err, "aioinspect: serving on {address}")?;
    }
    err.flush()?;
    // A manager that has gone away does not end the service.
    let _ = notifier.status(&format!("serving on {}", addresses.join(", ")));
    let _ = notifier.ready();
    let ended = runtime.block_on(async {
        loop {
            tokio::select! {
                update = feed.next() => drop(update?),
                () = signals.next() => return anyhow::Ok(()),
            }
        }
    });
    let _ = notifier.stopping();
    // Connections end with the runtime; none is waited for.
    drop(inside);
    runtime.shutdown_background();
    ended.map(|()| Exit::Fine)
}
