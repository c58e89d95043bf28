//! Where the last root that walked this kernel's types found them: /run/aioinspect/layout, so that the next command need not walk.
//!
//! It is read only if root alone can have written it, and what it says is checked against the kernel's own bytes ([`Index`]): a wrong one costs
//! a walk. Only root writes it. Where it cannot be written (a read-only /run, a full one), each command walks, which is no error.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, mkdir, open, openat, renameat, unlinkat};

use aioinspect_parse::btf::Wanted;
use aioinspect_parse::btf::index::Index;

/// Where it is kept.
const FOLDER: &str = "/run/aioinspect";
/// Its name there.
const NAME: &str = "layout";
/// The kernel's ELF notes, its build id among them.
const NOTES: &str = "/sys/kernel/notes";
/// First bytes, with the version of the format.
const MAGIC: &[u8; 8] = b"aiobtf 1";
/// More bytes than any index takes.
const MOST: u64 = 65_536;
/// Who may write it.
const ROOT: u32 = 0;

/// The file of one kernel and one list of questions.
pub(crate) struct LayoutCache {
    folder: PathBuf,
    owner: u32,
    key: u64,
}

impl LayoutCache {
    /// For the kernel that runs; `None` where it shows no notes.
    pub(crate) fn of_this_kernel(wanted: &[Wanted]) -> Option<Self> {
        let notes = std::fs::read(NOTES).ok().filter(|notes| !notes.is_empty())?;
        let mut key = DefaultHasher::new();
        (notes, wanted, env!("CARGO_PKG_VERSION")).hash(&mut key);
        Some(Self { folder: PathBuf::from(FOLDER), owner: ROOT, key: key.finish() })
    }

    /// What was kept for them, if it can be trusted to be root's.
    pub(crate) fn load(&self) -> Option<Index> {
        let folder = self.open_folder().ok()?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&folder, NAME, flags, Mode::empty()).ok()?;
        self.check(file.as_fd(), FileType::RegularFile).ok()?;
        let mut bytes = Vec::new();
        File::from(file).take(MOST).read_to_end(&mut bytes).ok()?;
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (key, rest) = rest.split_first_chunk::<8>()?;
        if magic != MAGIC || u64::from_le_bytes(*key) != self.key {
            return None;
        }
        Index::from_bytes(rest)
    }

    /// Keeps it in the place of what was kept before; does nothing for anyone but root.
    pub(crate) fn save(&self, index: &Index) {
        if rustix::process::geteuid().as_raw() != self.owner {
            return;
        }
        if let Err(error) = self.write(index) {
            log::debug!("the kernel's layout is not kept in {}: {error}", self.folder.display());
        }
    }

    fn write(&self, index: &Index) -> io::Result<()> {
        match mkdir(&self.folder, Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => (),
            Err(error) => return Err(error.into()),
        }
        let folder = self.open_folder()?;
        let draft = format!(".{NAME}.{}", std::process::id());
        // Of a process of the same number that was killed in between.
        let _ = unlinkat(&folder, &draft, AtFlags::empty());
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
        let mut file = File::from(openat(&folder, &draft, flags, Mode::RUSR | Mode::WUSR)?);
        let bytes = [&MAGIC[..], &self.key.to_le_bytes(), &index.to_bytes()].concat();
        let written = file.write_all(&bytes).and_then(|()| Ok(renameat(&folder, &draft, &folder, NAME)?));
        if written.is_err() {
            let _ = unlinkat(&folder, &draft, AtFlags::empty());
        }
        written
    }

    fn open_folder(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = open(&self.folder, flags, Mode::empty())?;
        self.check(folder.as_fd(), FileType::Directory)?;
        Ok(folder)
    }

    /// Whether it is of that type, and nobody but the owner can write it.
    fn check(&self, fd: impl AsFd, wanted: FileType) -> io::Result<()> {
        let Stat { st_mode, st_uid, .. } = fstat(fd)?;
        let others = Mode::from_raw_mode(st_mode).intersects(Mode::WGRP | Mode::WOTH);
        if FileType::from_raw_mode(st_mode) != wanted || st_uid != self.owner || others {
            return Err(io::Error::other("it must belong to root, and nobody else may write to it"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use super::*;
    use aioinspect_parse::btf::Btf;
    use aioinspect_parse::kernel::layout::{Layout, WANTED};

    const BLOB: &[u8] = include_bytes!("../../../parse/src/btf/7.3.btf");

    fn index() -> Index {
        let btf = Btf::parse(BLOB, WANTED).unwrap();
        Layout::resolve(&btf).unwrap();
        Index::of(&btf, BLOB.len()).unwrap()
    }

    /// A cache of whoever runs the test, in a folder that is not there yet.
    fn made(below: &Path) -> LayoutCache {
        LayoutCache { folder: below.join("made"), owner: rustix::process::geteuid().as_raw(), key: 7 }
    }

    fn allow(path: &Path, mode: u32) {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }

    /// Check that what is kept is found again, by the same key only, and that nobody else may read or write it.
    #[test]
    fn is_kept() {
        let below = tempfile::tempdir().unwrap();
        let cache = made(below.path());
        assert_eq!(cache.load(), None);
        cache.save(&index());
        cache.save(&index());
        assert_eq!(cache.load(), Some(index()));
        assert_eq!(LayoutCache { key: 8, ..made(below.path()) }.load(), None);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&cache.folder), mode(&cache.folder.join(NAME))), (0o700, 0o600));
        assert_eq!(std::fs::read_dir(&cache.folder).unwrap().count(), 1);
    }

    /// Check that what others could have written is neither read nor written.
    #[test]
    fn others_are_not_trusted() {
        let below = tempfile::tempdir().unwrap();
        let cache = made(below.path());
        cache.save(&index());
        let file = cache.folder.join(NAME);
        for (path, mode, sane) in
            [(&file, 0o620, 0o600), (&file, 0o602, 0o600), (&cache.folder, 0o777, 0o700)]
        {
            allow(path, mode);
            assert_eq!(cache.load(), None, "{path:?} {mode:o}");
            allow(path, sane);
            assert!(cache.load().is_some());
        }
        allow(&cache.folder, 0o770);
        std::fs::remove_file(&file).unwrap();
        cache.save(&index());
        assert!(!file.exists());
        allow(&cache.folder, 0o700);
        let stranger = LayoutCache { owner: cache.owner + 1, ..made(below.path()) };
        stranger.save(&index());
        assert!(!file.exists() && stranger.load().is_none());
    }

    /// Check that no link is followed, of the file or of the folder, and that a pipe does not make anyone wait.
    #[test]
    fn links_and_pipes() {
        let below = tempfile::tempdir().unwrap();
        let cache = made(below.path());
        cache.save(&index());
        let file = cache.folder.join(NAME);
        let other = below.path().join("other");
        std::fs::rename(&file, &other).unwrap();
        symlink(&other, &file).unwrap();
        assert_eq!(cache.load(), None);
        cache.save(&index());
        assert!(cache.load().is_some() && !file.is_symlink());
        std::fs::remove_file(&file).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &file, FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(cache.load(), None);
        let linked = LayoutCache { folder: below.path().join("link"), ..made(below.path()) };
        symlink(&cache.folder, &linked.folder).unwrap();
        linked.save(&index());
        assert_eq!(linked.load(), None);
    }

    /// Check that damage is no index, or one of the same blob, and that where nothing can be written nothing is said.
    #[test]
    fn damage() {
        let below = tempfile::tempdir().unwrap();
        let cache = made(below.path());
        cache.save(&index());
        let file = cache.folder.join(NAME);
        let good = std::fs::read(&file).unwrap();
        for len in [0, 7, 8, 15, 16, 20, good.len() - 1] {
            std::fs::write(&file, &good[..len]).unwrap();
            assert_eq!(cache.load(), None, "{len}");
        }
        let nowhere = LayoutCache { folder: "/proc/aioinspect".into(), ..made(below.path()) };
        nowhere.save(&index());
        assert_eq!(nowhere.load(), None);
    }
}
