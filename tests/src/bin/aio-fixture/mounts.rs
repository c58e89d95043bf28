//! Mounts in a mount namespace of the helper's own.
#![expect(unsafe_code, reason = "mount(2)")]

use std::ffi::{CStr, CString};
use std::path::Path;
use std::ptr;
use std::{env, fs};

use crate::failure::{At, Failure};

/// Gives this process a mount namespace of its own, from which nothing reaches another.
pub(crate) fn private_namespace() -> Result<(), Failure> {
    // SAFETY: takes a number.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        return Err(Failure::last("unshare"));
    }
    mount("none", "/", None, libc::MS_REC | libc::MS_PRIVATE, None)
}

/// Makes an empty directory below TMPDIR, else /tmp.
pub(crate) fn fresh_directory() -> Result<String, Failure> {
    let directory = env::temp_dir().join(format!("aio-fixture-{}", std::process::id()));
    let text = directory.to_str().ok_or_else(|| Failure::refused("TMPDIR is not UTF-8"))?.to_owned();
    fs::create_dir(&directory).at(&text)?;
    Ok(text)
}

/// `mount(2)`.
pub(crate) fn mount(
    source: &str,
    target: &str,
    kind: Option<&str>,
    flags: libc::c_ulong,
    data: Option<&CStr>,
) -> Result<(), Failure> {
    let text = |text: &str| CString::new(text).map_err(|_| Failure::refused("a path with NUL"));
    let (source, to) = (text(source)?, text(target)?);
    let kind = kind.map(text).transpose()?;
    let kind = kind.as_ref().map_or(ptr::null(), |kind| kind.as_ptr());
    let data = data.map_or(ptr::null(), CStr::as_ptr);
    // SAFETY: strings that end with NUL, or null.
    if unsafe { libc::mount(source.as_ptr(), to.as_ptr(), kind, flags, data.cast()) } != 0 {
        return Err(Failure::last(&format!("mount on {target}")));
    }
    Ok(())
}

/// Makes the mount at `directory` the root of this process *and* of its namespace: a path of it then has
/// nothing before it, whoever prints it (fs/d_path.c:prepend_path ends at the namespace's root).
pub(crate) fn become_root(directory: &Path) -> Result<(), Failure> {
    env::set_current_dir(directory).at("chdir")?;
    mount(".", "/", None, libc::MS_MOVE, None)?;
    // SAFETY: a constant string.
    if unsafe { libc::chroot(c".".as_ptr()) } != 0 {
        return Err(Failure::last("chroot"));
    }
    Ok(())
}
