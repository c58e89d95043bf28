//! `aioinspect show FILE|DIR`: what an image or an evidence file says, and of which time a recording is.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use crate::cli::ShowArgs;
use crate::commands::exit::Exit;
use crate::commands::saved::{self, MOST};
use aioinspect_formats::recording::{Moment, Recording};
use aioinspect_formats::{Document, document_from_bytes};
use aioinspect_kernel::host::files::read_bounded;
use aioinspect_render::count::count;
use aioinspect_render::escape::escape_path;
use aioinspect_render::moment::{full, in_words};
use aioinspect_render::show;

/// Reads, decodes, prints. In a directory, every image of a memory layout and every evidence file.
pub(super) fn run(args: &ShowArgs, out: &mut dyn Write) -> anyhow::Result<Exit> {
    if !args.path.is_dir() {
        if let Some(recording) = saved::recording(&args.path)? {
            return summary(&recording, args.json, out).map(|()| Exit::Fine);
        }
        let document = document(&args.path)?;
        return one(&document, args.json, out).map(|()| Exit::Fine);
    }
    let files = shown_of(&args.path)?;
    if files.is_empty() {
        writeln!(out, "no mm-*.img and no evidence file in {}", escape_path(&args.path))?;
        return Ok(Exit::NotFound);
    }
    let mut by_name = Map::new();
    for path in &files {
        let document = document(path)?;
        if args.json {
            by_name.insert(escape_path(path), as_json(document));
        } else {
            writeln!(out, "{}:", escape_path(path))?;
            one(&document, false, out)?;
            writeln!(out)?;
        }
    }
    if args.json {
        show::json(&Value::Object(by_name), out)?;
    }
    Ok(Exit::Fine)
}

/// How much a recording has, and of which time.
fn summary(recording: &Recording, json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let first = recording.time_of(Moment(0));
    let unread = recording.unread().iter().fold(0_u64, |sum, (_, left)| sum.saturating_add(*left));
    if json {
        let value = json!({
            "files": recording.files(),
            "pictures": recording.pictures(),
            "first": first.map(full),
            "end": first.map(|_| full(recording.end())),
            "unread_bytes": unread,
        });
        return Ok(show::json(&value, out)?);
    }
    let (pictures, files) = (count(recording.pictures(), "picture"), count(recording.files(), "file"));
    writeln!(out, "recording   {pictures} in {files}")?;
    if let Some(first) = first {
        writeln!(out, "first       {}", in_words(first))?;
        writeln!(out, "end         {}", in_words(recording.end()))?;
    }
    if unread > 0 {
        writeln!(out, "unread      {unread} bytes that are no whole record")?;
    }
    Ok(())
}

fn document(path: &Path) -> anyhow::Result<Document> {
    let bytes = read_bounded(path, MOST)?;
    document_from_bytes(&bytes).with_context(|| escape_path(path))
}

fn one(document: &Document, json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    match document {
        Document::Image(_, value) if json => show::json(value, out)?,
        Document::Image(image, _) => show::image_text(image, out)?,
        Document::Evidence(evidence) if json => show::json(&show::evidence_json(evidence), out)?,
        Document::Evidence(evidence) => show::evidence_text(evidence, out)?,
    }
    Ok(())
}

fn as_json(document: Document) -> Value {
    match document {
        Document::Image(_, value) => value,
        Document::Evidence(evidence) => show::evidence_json(&evidence),
    }
}

/// The files of a directory that we know by name, sorted.
fn shown_of(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let Ok(entries) = fs::read_dir(dir) else { bail!("cannot read directory {}", escape_path(dir)) };
    let known = |path: &Path| {
        let (Some(stem), Some(extension)) = (path.file_stem(), path.extension()) else { return false };
        extension == "evidence" || (extension == "img" && stem.as_encoded_bytes().starts_with(b"mm-"))
    };
    let mut files: Vec<PathBuf> =
        entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(|path| known(path)).collect();
    files.sort();
    Ok(files)
}
