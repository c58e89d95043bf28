//! `cargo xtask dist`: what is handed to users, in target/dist: the static program, an archive, a Debian package.

mod booted;
mod contents;
mod deb;
mod root;
mod trial;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::build::Built;
use crate::catalogue::Catalogue;
use crate::command::{Cmd, note, say};
use crate::count::Suite;
use crate::{build, paths, setup};

/// The version of the whole workspace.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `cargo xtask dist`: builds the archive and the package, and tries the package if asked to.
pub(crate) fn dist(package: bool, trial: bool) -> Result<ExitCode> {
    if trial && !paths::is_root() {
        bail!("a trial of the package makes a Debian root, and needs root");
    }
    let object = setup::for_dist(package, trial)?;
    let made = make(&build::program(&object)?, package)?;
    let Some(deb) = made.filter(|_| trial) else { return Ok(ExitCode::SUCCESS) };
    let suite = try_package(&deb);
    Ok(if suite.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The package tried in a root, as one suite, with a program that was built before; and with `machine` in a booted one too.
pub(crate) fn suites(program: &Path, machine: Option<(&Built, &Catalogue)>) -> Vec<Suite> {
    match make(program, true) {
        Ok(Some(deb)) => {
            let mut suites = vec![try_package(&deb)];
            if let Some((built, catalogue)) = machine {
                suites.extend(booted::suites(&deb, built, catalogue));
            }
            suites
        }
        Ok(None) => vec![Suite::broken(trial::SUITE, "no package was made")],
        Err(error) => vec![broken(&error)],
    }
}

fn try_package(deb: &Path) -> Suite {
    let mut suite = Suite::new(trial::SUITE);
    let tried = root::fresh(&dir().join("root")).and_then(|root| {
        trial::run(&root, deb, &mut |line| {
            say(line);
            suite.line(line);
        })
    });
    match tried {
        Ok(good) => suite.end(i32::from(!good)),
        Err(error) => return broken(&error),
    }
    suite
}

fn broken(error: &anyhow::Error) -> Suite {
    note(&format!("{}: {error:#}", trial::SUITE));
    Suite::broken(trial::SUITE, format!("{error:#}"))
}

/// Writes everything; the package's file.
fn make(program: &Path, package: bool) -> Result<Option<PathBuf>> {
    let (dir, stage) = (dir(), dir().join("stage"));
    drop(fs::remove_dir_all(&stage));
    fs::create_dir_all(&dir)?;
    let epoch = epoch()?;
    let bare = dir.join("aioinspect");
    // Beside and renamed: one that is running cannot be written to.
    let beside = dir.join("aioinspect.new");
    fs::copy(program, &beside).with_context(|| format!("cannot copy {}", program.display()))?;
    fs::rename(&beside, &bare)?;
    let files = contents::generate(&bare, &stage.join("made"))?;
    note(&format!("program: {}", bare.display()));

    let name = format!("aioinspect-{VERSION}-{}-linux", env::consts::ARCH);
    contents::lay_out(&files, &stage.join(&name), |file| file.archive.as_deref())?;
    let archive = dir.join(format!("{name}.tar.gz"));
    Cmd::new("tar")
        .arguments([
            "--sort=name",
            "--owner=0",
            "--group=0",
            "--numeric-owner",
            "--use-compress-program=gzip -9n",
        ])
        .arg(format!("--mtime=@{epoch}"))
        .arg("--directory")
        .arg(&stage)
        .arg("-cf")
        .arg(&archive)
        .arg(&name)
        .run()?;
    note(&format!("archive: {}", archive.display()));
    if !package {
        return Ok(None);
    }
    let tree = stage.join("package");
    contents::lay_out(&files, &tree, |file| file.package.as_deref())?;
    let deb = dir.join(format!("aioinspect_{VERSION}_{}.deb", deb::architecture()));
    deb::build(&tree, &deb, &epoch)?;
    note(&format!("package: {}", deb.display()));
    Ok(Some(deb))
}

fn dir() -> PathBuf {
    paths::target().join("dist")
}

/// The time of every file in what is made, so that the same commit gives the same bytes: the commit's, in seconds.
fn epoch() -> Result<String> {
    if let Ok(set) = env::var("SOURCE_DATE_EPOCH") {
        return Ok(set);
    }
    // The checkout may belong to the user who called sudo.
    let git = Cmd::new("git").arguments(["-c", "safe.directory=*", "log", "-1", "--format=%ct"]);
    if let Some(says) = git.dir(paths::root()).ask()
        && says.trim().parse::<u64>().is_ok()
    {
        return Ok(says.trim().to_owned());
    }
    // Sources without their history.
    let changed = paths::root().join("CHANGELOG.md").metadata()?.modified()?;
    Ok(changed.duration_since(std::time::UNIX_EPOCH)?.as_secs().to_string())
}
