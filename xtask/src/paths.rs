//! Where things are: the checkout, cargo's target directory, and programs.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The top of the checkout that this xtask was started in.
pub(crate) fn root() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.parent().map_or_else(|| package.clone(), Path::to_path_buf)
}

/// Cargo's target directory: everything xtask makes lies in it.
pub(crate) fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) if !dir.is_empty() => root().join(dir),
        _ => root().join("target"),
    }
}

/// What xtask fetches or builds for its own use, apart from what the system has.
pub(crate) fn tools() -> PathBuf {
    target().join("tools")
}

/// The triple of this host: xtask is always built for it.
pub(crate) fn host_triple() -> String {
    let libc = if cfg!(target_env = "musl") { "musl" } else { "gnu" };
    format!("{}-unknown-linux-{libc}", env::consts::ARCH)
}

/// Finds a program as a shell would, and also where a user's PATH often does not lead: cargo's own binaries and /usr/sbin.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    find_in(name, env::split_paths(&path).chain(extra_places()))
}

/// Like [`program`], every one there is, in order and each once.
pub(crate) fn programs(name: &str) -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<PathBuf> = Vec::new();
    for dir in env::split_paths(&path).chain(extra_places()) {
        if let Some(file) = find_in(name, [dir])
            && !found.contains(&file)
        {
            found.push(file);
        }
    }
    found
}

/// `$CARGO_HOME`, or its default.
pub(crate) fn cargo_home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| env::home_dir().map(|home| home.join(".cargo")))
}

fn extra_places() -> Vec<PathBuf> {
    let mut places: Vec<PathBuf> = cargo_home().map(|home| home.join("bin")).into_iter().collect();
    places.extend(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    places
}

fn find_in(name: &str, dirs: impl IntoIterator<Item = PathBuf>) -> Option<PathBuf> {
    dirs.into_iter().map(|dir| dir.join(name)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Whether this process has root's rights over files and tasks: what the live suites need.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    Path::new("/proc/self").metadata().is_ok_and(|meta| meta.uid() == 0)
}

/// A file's name as text, for messages and comparisons.
pub(crate) fn name_of(path: &Path) -> String {
    path.file_name().map(OsStr::to_string_lossy).unwrap_or_default().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that a program is found on PATH, and that a name nobody has is not.
    #[test]
    fn finds_programs() {
        assert!(program("sh").is_some());
        assert!(program("no-such-program-of-aioinspect").is_none());
        let found = programs("sh");
        let mut once = found.clone();
        once.dedup();
        assert_eq!(found, once);
    }

    /// Check that the checkout is the directory that holds this package.
    #[test]
    fn root_holds_this_package() {
        assert!(root().join("xtask/src/paths.rs").is_file());
    }
}
