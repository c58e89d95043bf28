//! The kernel modules that a machine loads before its suites.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The modules by name, each after those it depends on, as the kernel takes them. A name that is built in needs no file.
pub(super) fn in_order(dir: &Path, names: &[String]) -> Result<Vec<Vec<u8>>> {
    let mut files = Vec::new();
    walk(&dir.join("kernel"), &mut files)?;
    let built_in = fs::read_to_string(dir.join("modules.builtin")).unwrap_or_default();
    let mut loaded: Vec<String> = Vec::new();
    let mut images = Vec::new();
    let mut wanted: Vec<(String, Option<Vec<u8>>)> =
        names.iter().rev().map(|name| (name.clone(), None)).collect();
    // A stack: a module is taken once what it depends on lies above it and has been taken.
    while let Some((name, image)) = wanted.pop() {
        if loaded.contains(&name) || built_in.lines().any(|path| is_named(path, &name)) {
            continue;
        }
        if let Some(image) = image {
            loaded.push(name);
            images.push(image);
            continue;
        }
        let file = files.iter().find(|file| is_named(&file.to_string_lossy(), &name));
        let image = read_module(file.with_context(|| format!("no module {name} in {}", dir.display()))?)?;
        let needs = depends(&image);
        wanted.push((name, Some(image)));
        wanted.extend(needs.into_iter().map(|need| (need, None)));
    }
    Ok(images)
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() { walk(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

/// Module names are written with `_` and files with either.
fn is_named(path: &str, name: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().is_some_and(|stem| stem.replace('-', "_") == name.replace('-', "_"))
}

fn read_module(file: &Path) -> Result<Vec<u8>> {
    if file.extension().is_none_or(|extension| extension != "xz") {
        return fs::read(file).with_context(|| format!("cannot read {}", file.display()));
    }
    let output = std::process::Command::new("xz").arg("-dc").arg(file).output().context("cannot run xz")?;
    if !output.status.success() {
        bail!("xz cannot unpack {}", file.display());
    }
    Ok(output.stdout)
}

/// `depends=a,b` of the module's `.modinfo` section, whose entries are ended by NUL.
fn depends(image: &[u8]) -> Vec<String> {
    let entry = image.split(|&byte| byte == 0).find_map(|entry| entry.strip_prefix(b"depends="));
    let text = String::from_utf8_lossy(entry.unwrap_or_default()).into_owned();
    text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that dependencies come first, each once, built-in ones not at all, and that an unknown module is named.
    #[test]
    fn orders_modules() {
        let dir = tempfile::tempdir().unwrap();
        let kernel = dir.path().join("kernel/fs");
        fs::create_dir_all(&kernel).unwrap();
        fs::write(dir.path().join("modules.builtin"), "kernel/lib/crc-x.ko\n").unwrap();
        for (name, depends) in [("a-b", "c,crc_x"), ("c", "d"), ("d", "")] {
            fs::write(
                kernel.join(format!("{name}.ko")),
                format!("\x7fELF\0depends={depends}\0name={name}\0"),
            )
            .unwrap();
        }
        let images = in_order(dir.path(), &["a_b".into(), "c".into(), "crc-x".into()]).unwrap();
        let names: Vec<String> = images
            .iter()
            .map(|image| {
                String::from_utf8_lossy(image)
                    .rsplit("name=")
                    .next()
                    .unwrap()
                    .trim_end_matches('\0')
                    .to_owned()
            })
            .collect();
        assert_eq!(names, ["d", "c", "a-b"]);
        assert!(in_order(dir.path(), &["zzz".into()]).unwrap_err().to_string().contains("zzz"));
    }
}
