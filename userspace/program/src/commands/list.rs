//! `aioinspect list`: the contexts of all processes, and who has slots reserved.

use std::io::Write;

use anyhow::Context;

use crate::cli::ListArgs;
use crate::commands::exit::{Exit, UsageError, of_source};
use crate::commands::terminal::Terminal;
use crate::commands::{bpf_log_level, saved, say, say_lacks};
use aioinspect_kernel::look::evidence_source::{Recorded, Source, SourceError};
use aioinspect_kernel::look::live::Live;
use aioinspect_kernel::proc::files::{ProcError, add_ns_pids};
use aioinspect_model::picture::Picture;
use aioinspect_model::reconcile::reconcile;
use aioinspect_model::units::Pid;
use aioinspect_render::escape::escape;
use aioinspect_render::fields::{Field, choice};
use aioinspect_render::filter::Filter;
use aioinspect_render::json;
use aioinspect_render::listing::List;
use aioinspect_render::table::{self, Style};

/// Reads, judges, filters, prints.
pub(super) fn run(
    args: &ListArgs,
    verbose: u8,
    terminal: Terminal,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<Exit> {
    let columns = match &args.output {
        Some(list) => choice::parse(list).map_err(|error| UsageError(error.to_string()))?,
        None => choice::usual(),
    };
    let filter = args.filter.as_deref().map(|text| {
        Filter::parse(text, |name| Field::named(name).map(|field| (field, field.row().kind)))
            .map_err(|error| UsageError(error.to_string()))
    });
    let filter = filter.transpose()?;
    let filtered: Vec<Field> =
        filter.iter().flat_map(|filter| filter.columns().into_iter().copied()).collect();
    let owners = args.json || columns.iter().chain(&filtered).any(|column| column.is_of_owner());

    let mut live = Live::new(!args.no_bpf, bpf_log_level(verbose));
    let evidence = if let Some(path) = &args.from {
        Recorded(saved::read(path)?).host(owners)?
    } else {
        let mut evidence = live.host(owners || args.evidence.is_some())?;
        if args.evidence.is_some() {
            add_ns_pids(&mut evidence.spaces);
        }
        say(err, &live.notes())?;
        evidence
    };
    say_lacks(err, &evidence.lacks)?;
    let picture = reconcile(&evidence);
    let wanted = wanted(args, &picture, &mut live)?;
    let mut list = List::from(&picture);
    if let Some(Wanted { shown, .. }) = &wanted {
        list.contexts.retain(|context| shown.contains(&context.pid));
        list.ghosts.retain(|ghost| shown.contains(&ghost.pid));
    }
    if let Some(filter) = &filter {
        list.contexts.retain(|context| filter.matches(|field| field.of(context).value()));
    }
    if args.json {
        json::write(out, &list)?;
    } else {
        let style = Style {
            headings: !args.noheadings,
            footer: !args.noheadings,
            width: terminal.width,
            color: terminal.color,
        };
        table::write(out, &list, &columns, style)?;
    }
    if let Some(path) = &args.evidence {
        let path = saved::write(path, &evidence)?;
        writeln!(err, "aioinspect: wrote {}", escape(path.as_os_str().as_encoded_bytes()))?;
    }
    let blank = wanted.map_or_else(Vec::new, |wanted| wanted.blank);
    for error in &blank {
        writeln!(err, "aioinspect: {}", escape(error.to_string().as_bytes()))?;
    }
    match blank.iter().map(of_blank).find(|exit| *exit != Exit::Fine) {
        Some(exit) => Ok(exit),
        None if filter.is_some() && list.contexts.is_empty() => Ok(Exit::NotFound),
        None => Ok(Exit::Fine),
    }
}

/// The processes that were asked for.
#[derive(Default)]
struct Wanted {
    /// The PIDs under which they are shown.
    shown: Vec<Pid>,
    /// Why of others there is nothing to show, be it that they have nothing or that it cannot be seen.
    blank: Vec<SourceError>,
}

/// The exit code for a process of which there is nothing to show: fine where nothing is all it has.
fn of_blank(error: &SourceError) -> Exit {
    let has_nothing = matches!(
        error,
        SourceError::Proc(
            ProcError::Zombie(_)
                | ProcError::KernelThread(_)
                | ProcError::Exiting { .. }
                | ProcError::Locked(_)
        )
    );
    if has_nothing { Exit::Fine } else { of_source(error) }
}

/// The wanted processes; `None`: all. A missing one is an error.
fn wanted(args: &ListArgs, picture: &Picture, live: &mut Live) -> anyhow::Result<Option<Wanted>> {
    if args.pid.is_empty() {
        return Ok(None);
    }
    let mut wanted = Wanted::default();
    for pid in args.pid.iter().map(|pid| Pid(*pid)) {
        match picture.spaces.iter().find(|space| space.pids.contains(&pid)) {
            // CLONE_VM processes are shown once, under the lowest.
            Some(space) => wanted.shown.extend(space.pids.first()),
            None if args.from.is_some() => {
                return Err(SourceError::from(ProcError::NoSuchProcess(pid))).context("in this evidence");
            }
            None => match live.could_see(pid) {
                Ok(()) => {}
                // A zombie is exit code 3 elsewhere, and a line here.
                Err(error) if of_blank(&error) == Exit::NotFound => return Err(error.into()),
                Err(error) => wanted.blank.push(error),
            },
        }
    }
    Ok(Some(wanted))
}
