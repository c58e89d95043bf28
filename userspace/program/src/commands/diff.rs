//! `aioinspect diff A B`: what changed between two evidence files, images or directories of them.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};

use crate::cli::DiffArgs;
use crate::commands::exit::Exit;
use crate::commands::restore::{images_of, pid_of_image};
use crate::commands::saved::MOST;
use aioinspect_formats::{Document, document_from_bytes};
use aioinspect_kernel::host::files::read_bounded;
use aioinspect_model::difference::{Ring, difference, rings_of_evidence, rings_of_image};
use aioinspect_render::difference;
use aioinspect_render::escape::escape_path;

/// Reads both sides, compares, prints. A difference is a result like any other, unless `--exit-code` asks for it.
pub(super) fn run(args: &DiffArgs, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let found = difference(rings_of(&args.before)?, rings_of(&args.after)?);
    let (before, after) = (args.before.to_string_lossy(), args.after.to_string_lossy());
    if args.json {
        difference::write_json(out, [&before, &after], &found)?;
    } else {
        difference::write(out, [&before, &after], &found)?;
    }
    Ok(if args.exit_code && !found.is_none() { Exit::CheckFailed } else { Exit::Fine })
}

/// The rings of a file; of a directory those of its images, or where it has none those of its evidence.
fn rings_of(path: &Path) -> anyhow::Result<Vec<Ring>> {
    if !path.is_dir() {
        return read(path);
    }
    let mut files = images_of(path)?;
    if files.is_empty() {
        let entries = fs::read_dir(path).with_context(|| format!("cannot read {}", escape_path(path)))?;
        files = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.retain(|path| path.extension().is_some_and(|of| of == "evidence"));
        files.sort();
    }
    if files.is_empty() {
        bail!("no mm-*.img and no evidence file in {}", escape_path(path));
    }
    let rings = files.iter().map(|path| read(path)).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(rings.into_iter().flatten().collect())
}

fn read(path: &Path) -> anyhow::Result<Vec<Ring>> {
    let document = document_from_bytes(&read_bounded(path, MOST)?).with_context(|| escape_path(path))?;
    Ok(match document {
        Document::Image(image, _) => {
            let pid = path.file_name().and_then(pid_of_image).unwrap_or_default();
            rings_of_image(pid, &image)
        }
        Document::Evidence(evidence) => rings_of_evidence(&evidence),
    })
}
