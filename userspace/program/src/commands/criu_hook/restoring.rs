//! Before and after CRIU restores a tree.

use std::io::Write;
use std::path::Path;

use crate::commands::amend::OF_TREE;
use crate::commands::criu_hook::{Tree, line_of};
use crate::commands::exit::Exit;
use crate::commands::{restore, saved};
use aioinspect_kernel::host::page::page_size;
use aioinspect_kernel::host::system;
use aioinspect_model::architecture::Architecture;
use aioinspect_model::reconcile::reconcile;
use aioinspect_model::restore_fit::{HostKind, RestoreHost};
use aioinspect_model::restored::compare;
use aioinspect_render::count::count;
use aioinspect_render::escape::escape;
use aioinspect_render::restore_fit;

/// Whether the contexts of the images can be made on this host.
pub(super) fn before(dir: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    // CRIU's own context is not everywhere there: what may be needed at once is said, and refuses nothing.
    let kind = HostKind { architecture: Some(Architecture::HERE), page_size: Some(page_size()) };
    let host = RestoreHost { possible_cpus: system::possible_cpus()?, free: None, kind };
    let fit = restore::fit_of(dir, host)?;
    let refusals = restore_fit::refusals(&fit);
    for refusal in &refusals {
        line_of("pre-restore", refusal, out)?;
    }
    let (reserved, limit) = system::slots()?;
    let (slots, at_once) = (fit.slots_in_image, fit.slots_while_restoring);
    let free = limit.saturating_sub(reserved);
    if slots > free {
        let line = format!(
            "the contexts need {slots} slots and {free} are free: raise fs.aio-max-nr to {}",
            reserved.saturating_add(slots)
        );
        line_of("pre-restore", &line, out)?;
        return Ok(Exit::CheckFailed);
    }
    if !refusals.is_empty() {
        return Ok(Exit::CheckFailed);
    }
    if at_once > free {
        let line =
            format!("a CRIU that reads memory by AIO may need {at_once} slots at once, and {free} are free");
        line_of("pre-restore", &line, out)?;
    }
    let contexts = count(fit.rings().count(), "context");
    line_of("pre-restore", &format!("{contexts} can be restored here, for {slots} slots"), out)?;
    Ok(Exit::Fine)
}

/// Whether the contexts are those that the evidence has.
pub(super) fn after(tree: &mut Tree<'_>, dir: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let path = dir.join(OF_TREE);
    if !path.exists() {
        tree.line("the images have no aioinspect.evidence to compare with", out)?;
        return Ok(Exit::Fine);
    }
    let recorded = saved::read(&path)?;
    let picture = reconcile(&recorded);
    if picture.contexts.is_empty() && picture.ghosts.is_empty() {
        return Ok(Exit::Fine);
    }
    let now = match tree.look(None, false) {
        Ok(now) => now,
        // The images are right all the same: nobody is ended because we cannot see.
        Err(error) if !tree.args.strict => {
            let line =
                format!("cannot look at what was restored: {}", escape(format!("{error:#}").as_bytes()));
            tree.line(&line, out)?;
            return Ok(Exit::Fine);
        }
        Err(error) => return Err(error),
    };
    let all = compare((&recorded, &picture), (&now.evidence, &now.picture));
    for one in &all {
        if one.differences.is_empty() && one.contexts > 0 {
            let contexts = count(one.contexts, "context");
            tree.line(&format!("pid {}: {contexts} restored as recorded", one.pid), out)?;
        }
        for difference in &one.differences {
            tree.line(&format!("pid {}: {difference}", one.pid), out)?;
        }
    }
    let is_same = all.iter().all(|one| one.differences.is_empty());
    Ok(if is_same { Exit::Fine } else { Exit::CheckFailed })
}
