//! Before and after CRIU restores a tree.

use std::io::Write;
use std::path::Path;

use crate::commands::amend::OF_TREE;
use crate::commands::criu_hook::{Tree, line_of};
use crate::commands::exit::Exit;
use crate::commands::{restore, saved};
use aioinspect_kernel::host::system;
use aioinspect_model::reconcile::reconcile;
use aioinspect_model::restore_fit::RestoreHost;
use aioinspect_model::restored::compare;
use aioinspect_render::restore_fit;

/// Whether the contexts of the images can be made on this host.
pub(super) fn before(dir: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let (reserved, limit) = system::slots()?;
    let host =
        RestoreHost { possible_cpus: system::possible_cpus()?, free: Some(limit.saturating_sub(reserved)) };
    let fit = restore::fit_of(dir, host)?;
    let refusals = restore_fit::refusals(&fit);
    for refusal in &refusals {
        line_of("pre-restore", refusal, out)?;
    }
    if fit.restores() {
        let rings: usize = fit.rings().count();
        line_of("pre-restore", &format!("{rings} contexts can be made here, for {} slots", fit.slots), out)?;
        return Ok(Exit::Fine);
    }
    Ok(Exit::CheckFailed)
}

/// Whether the contexts are those that the evidence has.
pub(super) fn after(tree: &mut Tree<'_>, dir: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let path = dir.join(OF_TREE);
    if !path.exists() {
        tree.line("the images have no aioinspect.evidence to compare with", out)?;
        return Ok(Exit::Fine);
    }
    let recorded = saved::read(&path)?;
    let now = tree.look(None, false)?;
    let all = compare((&recorded, &reconcile(&recorded)), (&now.evidence, &now.picture));
    for one in &all {
        if one.differences.is_empty() && one.contexts > 0 {
            tree.line(&format!("pid {}: {} contexts as they were", one.pid, one.contexts), out)?;
        }
        for difference in &one.differences {
            tree.line(&format!("pid {}: {difference}", one.pid), out)?;
        }
    }
    let is_same = all.iter().all(|one| one.differences.is_empty());
    Ok(if is_same { Exit::Fine } else { Exit::CheckFailed })
}
