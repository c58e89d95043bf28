//! `cargo xtask pictures`: the pictures of the README, in docs/pictures, made from the real screen and page.
//!
//! A picture that shows the same as before, but for numbers (PIDs, addresses, times), stays as it is. Delete it to have it drawn anew.

mod bare;
mod cells;
mod svg;

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::command::note;
use crate::{build, paths, setup};

/// Longer than that, something hangs: the situation, the screen and the page take some ten seconds.
const LIMIT: Duration = Duration::from_secs(110);
/// Larger files are a burden to everyone who clones.
const LARGEST: u64 = 150_000;
/// The pictures of the page.
const PAGES: [&str; 2] = ["page", "ring"];
/// What each of these was made of, as a number.
const SOURCES: &str = "sources.txt";

/// The verb.
pub(crate) fn pictures() -> Result<()> {
    if !paths::is_root() {
        bail!(
            "the pictures show real processes in real control groups, and need root:\n  sudo -E env \"PATH=$PATH\" cargo xtask pictures"
        );
    }
    let objects = setup::for_pictures()?;
    let made = paths::target().join("pictures");
    if made.exists() {
        fs::remove_dir_all(&made)?;
    }
    build::helper(&objects, "pictures")?.arg(&made).run_within(LIMIT)?;
    let kept = paths::root().join("docs/pictures");
    fs::create_dir_all(&kept)?;
    screen(&made, &kept)?;
    pages(&made, &kept)
}

fn screen(made: &Path, kept: &Path) -> Result<()> {
    let frame = read(&made.join("screen.ansi"))?;
    let picture = svg::draw("aioinspect watch", &cells::parse(&frame));
    let file = kept.join("screen.svg");
    let before = fs::read_to_string(&file).unwrap_or_default();
    if bare::bare(&before) == bare::bare(&picture) {
        unchanged(&file);
        return Ok(());
    }
    write(&file, picture.as_bytes())
}

fn pages(made: &Path, kept: &Path) -> Result<()> {
    let file = kept.join(SOURCES);
    let before = fs::read_to_string(&file).unwrap_or_default();
    let mut sources = String::new();
    for page in PAGES {
        let picture = kept.join(format!("{page}.png"));
        let document = read(&made.join(format!("{page}.html")))?;
        let source = format!("{page}.png {:016x}", bare::number(&bare::bare(&document)));
        if picture.is_file() && before.lines().any(|line| line == source) {
            unchanged(&picture);
        } else {
            let bytes = fs::read(made.join(format!("{page}.png"))).with_context(|| page.to_owned())?;
            write(&picture, &bytes)?;
        }
        sources.push_str(&source);
        sources.push('\n');
    }
    fs::write(&file, sources).with_context(|| file.display().to_string())
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| file.display().to_string())
}

fn unchanged(file: &Path) {
    note(&format!("{}: as before, but for numbers: kept", paths::name_of(file)));
}

fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    let len = bytes.len() as u64;
    if len > LARGEST {
        bail!("{} has {len} bytes, more than {LARGEST}", paths::name_of(file));
    }
    fs::write(file, bytes).with_context(|| file.display().to_string())?;
    note(&format!("{}: {len} bytes", file.display()));
    Ok(())
}
