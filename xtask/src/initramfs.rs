//! Writing an initramfs: a cpio archive in the `newc` format, which the kernel unpacks into its first root
//! (Documentation/driver-api/early-userspace/buffer-format.rst).

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

/// `S_IFDIR`, `S_IFREG`, `S_IFLNK`, `S_IFCHR`.
const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
const CHARACTER_DEVICE: u32 = 0o020_000;
/// The console that the kernel opens for /init.
const CONSOLE: (u32, u32) = (5, 1);

/// An archive that grows by its members; parents must be added before their children.
#[derive(Debug, Default)]
pub(crate) struct Initramfs {
    bytes: Vec<u8>,
    members: u32,
}

impl Initramfs {
    /// An archive with the directories every suite may expect, and the console that the kernel opens for /init.
    pub(crate) fn new() -> Result<Self> {
        let mut archive = Self::default();
        for dir in ["bin", "dev", "proc", "sys", "tmp", "run", "root", "suites", "modules"] {
            archive.directory(dir)?;
        }
        archive.member("dev/console", CHARACTER_DEVICE | 0o600, CONSOLE, &[])?;
        Ok(archive)
    }

    /// An archive of a whole root: its directories, files and symbolic links, all of them root's, without what `leave_out` says of a path.
    /// Devices are left to the kernel, which mounts devtmpfs.
    pub(crate) fn of_root(root: &Path, leave_out: impl Fn(&str) -> bool) -> Result<Self> {
        let mut archive = Self::default();
        archive.tree(root, "", &leave_out)?;
        archive.member("dev/console", CHARACTER_DEVICE | 0o600, CONSOLE, &[])?;
        Ok(archive)
    }

    /// Adds the programs and libraries of a root, as a Debian whose /usr is merged has them: what is in /bin and /sbin lies below /usr.
    /// Nothing of what `leave_out` says of a path.
    pub(crate) fn add_root(&mut self, root: &Path, leave_out: impl Fn(&str) -> bool) -> Result<()> {
        for dir in ["usr", "lib", "lib64", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64"] {
            self.directory(dir)?;
        }
        for (from, to) in [
            ("bin", "usr/bin"),
            ("sbin", "usr/sbin"),
            ("lib", "lib"),
            ("lib64", "lib64"),
            ("usr/bin", "usr/bin"),
            ("usr/sbin", "usr/sbin"),
            ("usr/lib", "usr/lib"),
        ] {
            if root.join(from).is_dir() {
                self.tree(&root.join(from), to, &leave_out)?;
            }
        }
        Ok(())
    }

    fn tree(&mut self, dir: &Path, name: &str, leave_out: &impl Fn(&str) -> bool) -> Result<()> {
        let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
        for entry in entries {
            let entry = entry?;
            let (path, below) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let inside = if name.is_empty() { below } else { format!("{name}/{below}") };
            if leave_out(&inside) {
                continue;
            }
            let meta = path.symlink_metadata()?;
            let mode = meta.permissions().mode() & 0o7777;
            if meta.is_dir() {
                self.member(&inside, DIRECTORY | mode, (0, 0), &[])?;
                self.tree(&path, &inside, leave_out)?;
            } else if meta.is_symlink() {
                let target = fs::read_link(&path)?;
                self.link(&inside, &target)?;
            } else if meta.is_file() {
                let data = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
                self.member(&inside, FILE | mode, (0, 0), &data)?;
            }
        }
        Ok(())
    }

    /// Adds a directory.
    pub(crate) fn directory(&mut self, path: &str) -> Result<()> {
        self.member(path, DIRECTORY | 0o755, (0, 0), &[])
    }

    /// Adds a file that can be executed.
    pub(crate) fn file(&mut self, path: &str, data: &[u8]) -> Result<()> {
        self.member(path, FILE | 0o755, (0, 0), data)
    }

    /// Adds a copy of a file of this host.
    pub(crate) fn copy(&mut self, path: &str, from: &Path) -> Result<()> {
        let data = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        self.file(path, &data)
    }

    /// Adds a symbolic link.
    pub(crate) fn link(&mut self, path: &str, target: impl AsRef<Path>) -> Result<()> {
        self.member(path, LINK | 0o777, (0, 0), target.as_ref().as_os_str().as_bytes())
    }

    /// The whole archive.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>> {
        self.member("TRAILER!!!", 0, (0, 0), &[])?;
        Ok(self.bytes)
    }

    /// A header of `070701` and thirteen 8-digit hex numbers, the name with a NUL, the data; each padded to four bytes.
    fn member(&mut self, path: &str, mode: u32, device: (u32, u32), data: &[u8]) -> Result<()> {
        self.members += 1;
        let size =
            u32::try_from(data.len()).with_context(|| format!("{path} is too large for an initramfs"))?;
        let name_size = u32::try_from(path.len() + 1)?;
        let links = if mode & DIRECTORY == DIRECTORY { 2 } else { 1 };
        let (uid, gid, mtime, dev_major, dev_minor, check) = (0, 0, 0, 0, 0, 0);
        let fields = [
            self.members,
            mode,
            uid,
            gid,
            links,
            mtime,
            size,
            dev_major,
            dev_minor,
            device.0,
            device.1,
            name_size,
            check,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(data);
        self.pad();
        Ok(())
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check every byte of a small archive's one file against the format.
    #[test]
    fn writes_newc() {
        let mut archive = Initramfs::default();
        archive.file("init", b"hello").unwrap();
        let bytes = archive.finish().unwrap();
        let header = "070701\
            00000001000081ed000000000000000000000001000000000000000500000000000000000000000000000000\
            0000000500000000";
        let text = String::from_utf8(bytes.clone()).unwrap();
        let rest = text.strip_prefix(&format!("{header}init\0\0hello\0\0\0")).unwrap();
        assert!(rest.starts_with("070701") && rest.contains("TRAILER!!!"), "{rest}");
        assert_eq!(bytes.len() % 4, 0);
    }

    /// Check that a root is taken with its modes and links, and without what is left out.
    #[test]
    fn takes_a_root() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("usr/doc")).unwrap();
        fs::write(root.path().join("usr/doc/text"), "left out").unwrap();
        fs::write(root.path().join("usr/tool"), "tool").unwrap();
        fs::set_permissions(root.path().join("usr/tool"), fs::Permissions::from_mode(0o4751)).unwrap();
        std::os::unix::fs::symlink("usr/tool", root.path().join("init")).unwrap();
        let archive = Initramfs::of_root(root.path(), |path| path == "usr/doc").unwrap().finish().unwrap();
        let text = String::from_utf8(archive).unwrap();
        let modes: Vec<(&str, &str)> = text
            .split("070701")
            .filter_map(|member| Some((member.get(8..16)?, member.get(104..)?.split('\0').next()?)))
            .collect();
        for member in
            [("000041ed", "usr"), ("000089e9", "usr/tool"), ("0000a1ff", "init"), ("00002180", "dev/console")]
        {
            assert!(modes.contains(&member), "{member:?} of {modes:?}");
        }
        assert!(!text.contains("left out") && text.contains("init\0\0usr/tool"));
    }

    /// Check that programs lie below usr, whichever of its directories a package has them in, and libraries where its linker looks.
    #[test]
    fn merges_a_root() {
        let root = tempfile::tempdir().unwrap();
        for file in ["bin/mount", "sbin/chattr", "usr/bin/env", "lib/x/libc.so.6", "usr/share/text"] {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        let mut archive = Initramfs::default();
        archive.add_root(root.path(), |path| path == "usr/bin/env").unwrap();
        let text = String::from_utf8(archive.finish().unwrap()).unwrap();
        for there in ["usr/bin/mount\0", "usr/sbin/chattr\0", "lib/x/libc.so.6\0"] {
            assert!(text.contains(there), "{there}: {text}");
        }
        assert!(!text.contains("env") && !text.contains("text"), "{text}");
    }

    /// Check that each member starts at a multiple of four, whatever the lengths before it.
    #[test]
    fn every_member_is_aligned() {
        let mut archive = Initramfs::new().unwrap();
        for length in 0..9 {
            archive.file(&"x".repeat(length + 1), &vec![b'y'; length]).unwrap();
        }
        let bytes = archive.finish().unwrap();
        let starts = (0..bytes.len() - 6).filter(|&at| &bytes[at..at + 6] == b"070701").collect::<Vec<_>>();
        assert_eq!(starts.len(), 9 + 1 + 9 + 1);
        assert!(starts.iter().all(|at| at % 4 == 0));
    }
}
