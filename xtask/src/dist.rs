//! `cargo xtask dist`: what is handed to users, in target/dist: for each architecture the static program, an archive, a Debian package.

mod booted;
mod contents;
mod deb;
mod root;
mod trial;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};

use crate::architecture::Architecture;
use crate::build::Built;
use crate::catalogue::Catalogue;
use crate::command::{Cmd, note, say};
use crate::count::Suite;
use crate::{build, paths, setup};

/// The version of the whole workspace.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The programs that were built, each for its architecture. This machine's own is always among them.
pub(crate) type Programs = BTreeMap<Architecture, PathBuf>;

/// `cargo xtask dist`: builds the archives and the packages of these architectures, and tries this machine's own package if asked to.
/// None given: of every architecture, but for those that cannot be built for here.
pub(crate) fn dist(chosen: &[Architecture], package: bool, trial: bool) -> Result<ExitCode> {
    if trial && !paths::is_root() {
        bail!("a trial of the package makes a Debian root, and needs root");
    }
    let wanted = if chosen.is_empty() { &Architecture::ALL } else { chosen };
    if trial && !wanted.contains(&Architecture::HERE) {
        bail!("only the package of {} can be tried here", Architecture::HERE.name());
    }
    let own = build::program(&setup::for_dist(package, trial)?)?;
    let mut programs = Programs::from([(Architecture::HERE, own)]);
    for &foreign in wanted.iter().filter(|one| !one.is_here()) {
        match setup::for_run(foreign).and_then(|objects| build::program(&objects)) {
            Ok(program) => drop(programs.insert(foreign, program)),
            Err(error) if chosen.is_empty() => {
                note(&format!("nothing is made for {}: {error:#}", foreign.name()));
            }
            Err(error) => return Err(error),
        }
    }
    let made = make(&programs, wanted, package)?;
    let Some(deb) = made.filter(|_| trial) else { return Ok(ExitCode::SUCCESS) };
    let suite = try_package(&deb, &mut say);
    Ok(if suite.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The package of this machine's own program, which was built before: tried in a root, as one suite, and with `machine` in a booted one too.
pub(crate) fn suites(
    program: &Path,
    machine: Option<(&Built, &Catalogue)>,
    out: &mut dyn FnMut(&str),
) -> Vec<Suite> {
    let programs = Programs::from([(Architecture::HERE, program.to_path_buf())]);
    match make(&programs, &Architecture::ALL, true) {
        Ok(Some(deb)) => {
            let mut suites = vec![try_package(&deb, out)];
            if let Some((built, catalogue)) = machine {
                suites.extend(booted::suites(&deb, built, catalogue, out));
            }
            suites
        }
        Ok(None) => vec![Suite::broken(trial::SUITE, "no package was made")],
        Err(error) => vec![broken(&error)],
    }
}

fn try_package(deb: &Path, out: &mut dyn FnMut(&str)) -> Suite {
    let mut suite = Suite::new(trial::SUITE);
    let tried = root::fresh(&dir().join("root")).and_then(|root| {
        trial::run(&root, deb, &mut |line| {
            out(line);
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

/// Writes everything for those of the architectures whose program there is; the file of this machine's own package.
fn make(programs: &Programs, wanted: &[Architecture], package: bool) -> Result<Option<PathBuf>> {
    let own = programs.get(&Architecture::HERE).context("nothing is built for this machine")?;
    fs::create_dir_all(dir())?;
    remove_stale(&dir())?;
    let mut deb = None;
    for (&architecture, program) in programs.iter().filter(|(one, _)| wanted.contains(one)) {
        let made = make_one(architecture, program, own, package)?;
        if architecture.is_here() {
            deb = made;
        }
    }
    Ok(deb)
}

/// Writes what is for one architecture; the package's file. `own`: the same program for this machine, which writes its manual pages.
fn make_one(
    architecture: Architecture,
    program: &Path,
    own: &Path,
    package: bool,
) -> Result<Option<PathBuf>> {
    let (dir, stage) = (dir(), dir().join("stage"));
    drop(fs::remove_dir_all(&stage));
    ensure!(architecture.is_of(program), "{} is no program of {}", program.display(), architecture.name());
    let epoch = epoch()?;
    // For each a directory, by the name that container images have for it: deploy/container/Containerfile copies from there.
    let bare = dir.join(architecture.debian()).join("aioinspect");
    replace(program, &bare)?;
    if architecture.is_here() {
        replace(program, &dir.join("aioinspect"))?;
    }
    let files = contents::generate(&bare, own, &stage.join("made"))?;
    note(&format!("program: {}", bare.display()));

    let name = format!("aioinspect-{VERSION}-{}-linux", architecture.name());
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
    let deb = dir.join(format!("aioinspect_{VERSION}_{}.deb", architecture.debian()));
    deb::build(&tree, &deb, architecture, &epoch)?;
    note(&format!("package: {}", deb.display()));
    Ok(Some(deb))
}

/// Copies beside and renames: a program that is running cannot be written to.
fn replace(program: &Path, to: &Path) -> Result<()> {
    let beside = to.with_extension("new");
    fs::create_dir_all(to.parent().context("a program without a directory")?)?;
    fs::copy(program, &beside).with_context(|| format!("cannot copy {}", program.display()))?;
    Ok(fs::rename(&beside, to)?)
}

/// Removes archives and packages of other versions, which nobody should take for today's.
fn remove_stale(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        if is_stale(&paths::name_of(&path)) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// Whether it is what an archive or a package of another version is called.
fn is_stale(name: &str) -> bool {
    let parts = |before: &str, after: &str| name.strip_prefix(before)?.strip_suffix(after).map(str::to_owned);
    let package = parts("aioinspect_", ".deb").and_then(|rest| Some(rest.split_once('_')?.0.to_owned()));
    let archive =
        parts("aioinspect-", "-linux.tar.gz").and_then(|rest| Some(rest.rsplit_once('-')?.0.to_owned()));
    package.or(archive).is_some_and(|version| version != VERSION)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that what another version was called is stale, and nothing else in the directory.
    #[test]
    fn knows_what_is_stale() {
        for name in [
            "aioinspect_0.0.9_amd64.deb",
            "aioinspect-0.0.9-x86_64-linux.tar.gz",
            "aioinspect_0.1.0~rc1_arm64.deb",
        ] {
            assert!(is_stale(name), "{name}");
        }
        let today =
            [format!("aioinspect_{VERSION}_arm64.deb"), format!("aioinspect-{VERSION}-aarch64-linux.tar.gz")];
        for name in
            today.iter().map(String::as_str).chain(["aioinspect", "amd64", "stage", "mine_0.0.9_amd64.deb"])
        {
            assert!(!is_stale(name), "{name}");
        }
    }
}
