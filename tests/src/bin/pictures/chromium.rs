//! A page as Chromium draws it, without a window.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::PATIENCE;

/// A browser under way, in a process group of its own. Dropping it ends that.
#[derive(Debug)]
struct Browser(Child);

/// Draws the page at this address, and writes what is in the window as PNG.
pub(crate) fn screenshot(url: &str, (width, height): (u16, u16), file: &Path) -> Result<()> {
    let profile = tempfile::Builder::new().prefix("aioinspect-browser-").tempdir()?;
    let mut command = Command::new("chromium");
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        "--force-color-profile=srgb",
        "--force-device-scale-factor=1",
    ]);
    command.arg(format!("--user-data-dir={}", profile.path().display()));
    command.arg(format!("--window-size={width},{height}"));
    command.arg(format!("--screenshot={}", file.display())).arg(url);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut browser = Browser(command.spawn().context("chromium (Debian: chromium)")?);
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = browser.0.try_wait()? {
            break status;
        }
        if begun.elapsed() > PATIENCE {
            bail!("chromium drew nothing within {} s", PATIENCE.as_secs());
        }
        thread::sleep(Duration::from_millis(50));
    };
    if !status.success() || !file.is_file() {
        bail!("chromium: {status}, and no {}", file.display());
    }
    Ok(())
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its helpers as well. `Child` says whether it is still ours to end.
        if let (Ok(None), Some(group)) =
            (self.0.try_wait(), i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw))
        {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.0.wait();
    }
}
