//! `aioinspect list`: the contexts of all processes, and who has slots reserved.

use std::io::Write;

use anyhow::Context;

use crate::cli::{By, ListArgs};
use crate::commands::exit::{Exit, UsageError, of_source};
use crate::commands::terminal::Terminal;
use crate::commands::{bpf_log_level, saved, say, say_lacks};
use aioinspect_kernel::host::containers::Containers;
use aioinspect_kernel::look::evidence_source::{Recorded, Source, SourceError};
use aioinspect_kernel::look::live::Live;
use aioinspect_kernel::proc::details::{Details, add_details};
use aioinspect_kernel::proc::files::ProcError;
use aioinspect_model::births::add_origins;
use aioinspect_model::groups::Grouping;
use aioinspect_model::picture::Picture;
use aioinspect_model::reconcile::reconcile;
use aioinspect_model::units::Pid;
use aioinspect_render::escape::escape;
use aioinspect_render::fields::{Field, Takes, choice};
use aioinspect_render::filter::Filter;
use aioinspect_render::groups;
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
    let by = args.by.map(grouping);
    let columns = match (&args.output, by) {
        (Some(list), None) => choice::parse(list).map_err(|error| UsageError(error.to_string()))?,
        (Some(list), Some(by)) => {
            choice::parse_of_groups(list, by).map_err(|error| UsageError(error.to_string()))?
        }
        (None, Some(by)) => choice::usual_of_groups(by),
        (None, None) => choice::usual(),
    };
    let filter = args.filter.as_deref().map(|text| {
        Filter::parse(text, |name| Field::named(name).map(|field| (field, field.row().kind)))
            .map_err(|error| UsageError(error.to_string()))
    });
    let filter = filter.transpose()?;
    let filtered: Vec<Field> =
        filter.iter().flat_map(|filter| filter.columns().into_iter().copied()).collect();
    let asked: Vec<Field> = columns.iter().copied().chain(filtered).chain(by.map(choice::name_of)).collect();
    let owners = args.json || asked.iter().any(|column| column.is_of_owner());
    let takes = |what| asked.iter().any(|column| column.takes() == what);
    let is_kept = args.json || args.evidence.is_some();
    // A command line may hold a password: it goes into no file, and no JSON, unless it is named.
    let details = Details {
        status: is_kept || takes(Takes::Status),
        cmdline: takes(Takes::Cmdline),
        names: is_kept || takes(Takes::Names),
    };

    let mut live = Live::new(!args.no_bpf, bpf_log_level(verbose));
    let evidence = if let Some(path) = &args.from {
        Recorded(saved::read_at_time(path, args.at, err)?).host(owners)?
    } else {
        let mut evidence = live.host(owners || args.evidence.is_some())?;
        let mut containers = Containers::below("/".into());
        let silent = add_details(&mut evidence.spaces, details, &mut containers);
        say(err, &live.notes())?;
        say(err, silent.as_slice())?;
        evidence
    };
    say_lacks(err, &evidence.lacks)?;
    let mut picture = reconcile(&evidence);
    if args.from.is_none() && takes(Takes::Watch) {
        add_origins(&mut picture, &live.births());
    }
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
        match by {
            Some(by) => json::write_grouped(out, &list, &groups::rows(&list, by), by)?,
            None => json::write(out, &list)?,
        }
    } else {
        let style = Style {
            headings: !args.noheadings,
            footer: !args.noheadings,
            width: terminal.width,
            color: terminal.color,
        };
        match by {
            Some(by) => table::write_groups(out, &list, &groups::rows(&list, by), &columns, style)?,
            None => table::write(out, &list, &columns, style)?,
        }
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

fn grouping(by: By) -> Grouping {
    match by {
        By::Owner => Grouping::Owner,
        By::Comm => Grouping::Comm,
        By::Unit => Grouping::Unit,
        By::Pod => Grouping::Pod,
        By::User => Grouping::User,
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
