//! Makes what the pictures of the README show, and takes it down: the screen of `watch` as tmux gives it, with its colours,
//! and the page of `serve` as Chromium draws it. `cargo xtask pictures` makes the pictures of it.
//!
//! `pictures DIR` writes `screen.ansi`, and of each page a picture and its document, into DIR. All it starts are its own fixtures, and all of it has
//! ended when it ends.

mod chromium;
mod scene;
mod terminal;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, thread};

use aioinspect_tests::serving::Serving;
use anyhow::{Context, Result, bail};

use scene::Scene;
use terminal::Terminal;

/// Columns and lines of the terminal.
const SCREEN: (u16, u16) = (124, 32);
/// Width and height of the browser's window, for the page with what failed and for the one with the ring of a context.
/// Less of the page is in a picture that would be too large a file.
const PAGE: (u16, u16) = (1000, 760);
const RING: (u16, u16) = (1220, 600);
/// Bytes that a picture may have, and by how many pixels it is cut until it has no more.
const LARGEST: u64 = 145_000;
const CUT: u16 = 40;
/// For what the screen or the page does by itself, on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longer than the screen and the page need to show all that has happened.
const SETTLED: Duration = Duration::from_millis(1500);

fn main() -> ExitCode {
    let Some(dir) = env::args_os().nth(1).map(PathBuf::from) else {
        return ExitCode::from(2);
    };
    match take(&dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            use std::io::Write as _;
            // Nobody to tell if that fails.
            let _ = writeln!(std::io::stderr(), "pictures: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn take(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir)?;
    let mut scene = Scene::begin()?;
    let serving =
        Serving::start(&[]).map_err(|ended| anyhow::anyhow!("serve has ended: {}", ended.stderr))?;
    let screen = Terminal::with_watch(SCREEN)?;
    // Both must watch before anything happens, or they do not tell it.
    until("the screen", || Ok(screen.text()?.contains("nginx.service")))?;
    until("the page", || Ok(serving.get("/readyz").status == 200))?;
    scene.fail()?;
    // The same failure may be one line, with how often it was.
    until("the failure on the screen", || Ok(screen.text()?.contains("setup-failed")))?;
    until("the failure on the page", || Ok(serving.get("/").text().contains("EAGAIN")))?;
    thread::sleep(SETTLED);
    scene.go_on();
    fs::write(dir.join("screen.ansi"), screen.still()?)?;
    for (name, path, window) in [
        ("page", "/?q=shop-db".to_owned(), PAGE),
        ("ring", format!("/?q=mysql.service&{}", scene.busiest()), RING),
    ] {
        let url = format!("http://{}{path}", serving.tcp());
        let file = dir.join(format!("{name}.png"));
        let (width, mut height) = window;
        scene.go_on();
        chromium::screenshot(&url, window, &file)?;
        while fs::metadata(&file)?.len() > LARGEST && height > 2 * CUT {
            height -= CUT;
            scene.go_on();
            chromium::screenshot(&url, (width, height), &file)?;
        }
        fs::write(dir.join(format!("{name}.html")), serving.get(&path).text())?;
    }
    drop(screen);
    let served = serving.end();
    if served.code != Some(0) {
        bail!("serve ended with {:?}: {}", served.code, served.stderr);
    }
    Ok(())
}

/// Waits until something is so.
fn until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    while !is_so().with_context(|| what.to_owned())? {
        if begun.elapsed() > PATIENCE {
            bail!("{what} did not come within {} s", PATIENCE.as_secs());
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
