//! What is in the archive and in the package: each file once, with its place in either.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command::Cmd;
use crate::paths;

/// One file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct File {
    /// Where it is now.
    pub from: PathBuf,
    /// Its place in the archive, below the archive's one directory.
    pub archive: Option<String>,
    /// Its place in the package.
    pub package: Option<String>,
}

/// The shells, and where Debian keeps their completions.
const SHELLS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/aioinspect"),
    ("zsh", "usr/share/zsh/vendor-completions/_aioinspect"),
    ("fish", "usr/share/fish/vendor_completions.d/aioinspect.fish"),
];

const DOC: &str = "usr/share/doc/aioinspect";

/// Files of the checkout: theirs, the archive's and the package's place.
const PLAIN: [(&str, Option<&str>, Option<&str>); 9] = [
    ("README.md", Some("README.md"), None),
    ("CHANGELOG.md", Some("CHANGELOG.md"), None),
    ("LICENSE-MIT", Some("LICENSE-MIT"), None),
    ("LICENSE-APACHE", Some("LICENSE-APACHE"), None),
    ("LICENSE-GPL-2.0", Some("LICENSE-GPL-2.0"), None),
    (
        "deploy/systemd/aioinspect.service",
        Some("deploy/systemd/aioinspect.service"),
        Some("usr/lib/systemd/system/aioinspect.service"),
    ),
    (
        "deploy/systemd/aioinspect.socket",
        Some("deploy/systemd/aioinspect.socket"),
        Some("usr/lib/systemd/system/aioinspect.socket"),
    ),
    (
        "deploy/systemd/aioinspect.default",
        Some("deploy/systemd/aioinspect.default"),
        Some("etc/default/aioinspect"),
    ),
    ("deploy/criu/criu-hook", Some("deploy/criu/criu-hook"), Some("usr/libexec/aioinspect/criu-hook")),
];

/// Examples: a directory of the checkout, and the extension of those of its files that are meant.
const EXAMPLES: [(&str, &str); 2] = [("prometheus", "yml"), ("grafana", "json")];

/// Lets the program `own`, which is `program` built for this machine, write completions and manual pages into `made`, and lists them with
/// `program` and the checkout's files.
pub(super) fn generate(program: &Path, own: &Path, made: &Path) -> Result<Vec<File>> {
    let (man, completions) = (made.join("man"), made.join("completions"));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&completions)?;
    let mut files = checkout(&paths::root())?;
    files.push(file(program, "aioinspect", Some("usr/bin/aioinspect")));
    for (shell, place) in SHELLS {
        let text = Cmd::new(own).arg("completions").arg(shell).ask();
        let to = completions.join(shell);
        fs::write(&to, text.with_context(|| format!("`aioinspect completions {shell}` failed"))?)?;
        files.push(file(&to, &format!("completions/{shell}"), Some(place)));
    }
    Cmd::new(own).arg("man").arg("--dir").arg(&man).run()?;
    for page in sorted(&man)? {
        let packed = gzip(&page)?;
        let name = paths::name_of(&packed);
        files.push(file(&packed, &format!("man/{name}"), Some(&format!("usr/share/man/man1/{name}"))));
    }
    if !man.join("aioinspect.1.gz").is_file() {
        bail!("`aioinspect man --dir` wrote no aioinspect.1");
    }
    let changelog = made.join("changelog");
    fs::copy(paths::root().join("CHANGELOG.md"), &changelog)?;
    let changelog = gzip(&changelog)?;
    files.push(File { from: changelog, archive: None, package: Some(format!("{DOC}/changelog.gz")) });
    Ok(files)
}

/// Copies the files to their places below `to`, with the modes they will have.
pub(super) fn lay_out(files: &[File], to: &Path, place: impl Fn(&File) -> Option<&str>) -> Result<()> {
    directory(to)?;
    for file in files {
        let Some(place) = place(file) else { continue };
        let target = to.join(place);
        let above: Vec<&Path> = Path::new(place).ancestors().skip(1).collect();
        for parent in above.into_iter().rev() {
            directory(&to.join(parent))?;
        }
        fs::copy(&file.from, &target).with_context(|| format!("cannot copy {}", file.from.display()))?;
        let mode = if is_program(place) { 0o755 } else { 0o644 };
        fs::set_permissions(&target, Permissions::from_mode(mode))?;
    }
    Ok(())
}

fn is_program(place: &str) -> bool {
    matches!(place, "aioinspect" | "usr/bin/aioinspect")
        || place.ends_with("criu/criu-hook")
        || place == "usr/libexec/aioinspect/criu-hook"
}

fn checkout(root: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    for (from, archive, package) in PLAIN {
        let owned = |place: Option<&str>| place.map(str::to_owned);
        files.push(File { from: root.join(from), archive: owned(archive), package: owned(package) });
    }
    for (dir, extension) in EXAMPLES {
        let found = sorted(&root.join("deploy").join(dir))?;
        let meant: Vec<PathBuf> =
            found.into_iter().filter(|path| path.extension().is_some_and(|own| own == extension)).collect();
        if meant.is_empty() {
            bail!("no .{extension} in deploy/{dir}");
        }
        for path in meant {
            let place = format!("{dir}/{}", paths::name_of(&path));
            let example = format!("{DOC}/examples/{place}");
            files.push(file(&path, &format!("deploy/{place}"), Some(&example)));
        }
    }
    let copyright = root.join("xtask/debian/copyright");
    files.push(File { from: copyright, archive: None, package: Some(format!("{DOC}/copyright")) });
    Ok(files)
}

fn file(from: &Path, archive: &str, package: Option<&str>) -> File {
    File { from: from.to_owned(), archive: Some(archive.to_owned()), package: package.map(str::to_owned) }
}

fn sorted(dir: &Path) -> Result<Vec<PathBuf>> {
    let read = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let mut found: Vec<PathBuf> = read.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    found.sort();
    Ok(found)
}

/// Packs a file in its place, without a name or time of its own.
fn gzip(file: &Path) -> Result<PathBuf> {
    let packed = PathBuf::from(format!("{}.gz", file.display()));
    Cmd::new("gzip")
        .arg("-9nf")
        .arg(file)
        .ask()
        .with_context(|| format!("cannot pack {}", file.display()))?;
    Ok(packed)
}

fn directory(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir)?;
    Ok(fs::set_permissions(dir, Permissions::from_mode(0o755))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that units, settings and examples of a checkout get the places that systemd and Debian look at.
    #[test]
    fn lists_a_checkout() {
        let root = tempfile::tempdir().unwrap();
        for name in ["prometheus/rules.yml", "prometheus/notes.txt", "grafana/aioinspect.json"] {
            let file = root.path().join("deploy").join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        let files = checkout(root.path()).unwrap();
        let package: Vec<&str> = files.iter().filter_map(|file| file.package.as_deref()).collect();
        let expected = [
            "usr/lib/systemd/system/aioinspect.service",
            "usr/lib/systemd/system/aioinspect.socket",
            "etc/default/aioinspect",
            "usr/libexec/aioinspect/criu-hook",
            "usr/share/doc/aioinspect/examples/prometheus/rules.yml",
            "usr/share/doc/aioinspect/examples/grafana/aioinspect.json",
            "usr/share/doc/aioinspect/copyright",
        ];
        assert_eq!(package, expected);
        let archive: Vec<&str> = files.iter().filter_map(|file| file.archive.as_deref()).collect();
        assert!(archive.contains(&"deploy/prometheus/rules.yml") && archive.contains(&"LICENSE-GPL-2.0"));
    }

    /// Check that only the program can be executed, whatever the file was before, and that settings of its name cannot.
    #[test]
    fn modes_are_our_own() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("x");
        fs::write(&from, "").unwrap();
        fs::set_permissions(&from, Permissions::from_mode(0o700)).unwrap();
        let files =
            [file(&from, "a", Some("usr/bin/aioinspect")), file(&from, "b", Some("etc/default/aioinspect"))];
        lay_out(&files, &dir.path().join("t"), |file| file.package.as_deref()).unwrap();
        let mode =
            |path: &str| dir.path().join("t").join(path).metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!(
            [mode("usr/bin/aioinspect"), mode("etc/default/aioinspect"), mode("etc")],
            [0o755, 0o644, 0o755]
        );
    }
}
