//! Replacing files of a directory by new versions: each is at every moment the old or the new one, whole.

use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::{BuildHasher, Hasher};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Gid, Mode, OFlags, RenameFlags, Stat, Uid};
use rustix::fs::{
    accessat, fchmod, fchown, flock, fstat, fsync, openat, renameat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

use crate::host::signals::SignalBlock;

/// Start of the name of a version that has not got its name yet, or lost it just now; what is left of them was left by somebody who was
/// killed, and goes with the next replacement.
const DRAFT: &str = ".aioinspect-draft-";

/// Why files were not replaced.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    /// There is no such directory.
    #[error("no directory {}", .0.display())]
    NoDirectory(PathBuf),
    /// Somebody else replaces files there right now.
    #[error("another aioinspect is at work in {}", .0.display())]
    Busy(PathBuf),
    /// A link, a directory, a device: not what CRIU writes.
    #[error("{} is not a regular file; links are not followed", .0.display())]
    NotAFile(PathBuf),
    /// More than we are ready to hold.
    #[error("{} has more than {max} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit, in bytes.
        max: u64,
    },
    /// It is not the file any more that was read.
    #[error("{} was changed by somebody else", .0.display())]
    Changed(PathBuf),
    /// ENOSPC or EDQUOT. Nothing was replaced.
    #[error("no space left to write {}: no file was changed", .0.display())]
    NoSpace(PathBuf),
    /// No permission, or a read-only file system. Nothing was replaced.
    #[error("cannot write into directory {}: {error}: no file was changed", dir.display())]
    NotWritable {
        /// The directory.
        dir: PathBuf,
        /// EACCES, EPERM or EROFS.
        error: Errno,
    },
    /// Anything else before the first file was replaced.
    #[error("cannot use {}: {error}", path.display())]
    Failed {
        /// The file or the directory.
        path: PathBuf,
        /// What the kernel said.
        error: Errno,
    },
    /// Some files are new already, each whole, and could not be made old again.
    #[error("cannot replace {}: {error}; {done} of {all} files are new, the rest is old: run it again", path.display())]
    Half {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        error: Errno,
        /// How many are new.
        done: usize,
        /// How many there are.
        all: usize,
    },
}

/// A file that was read, and is to be replaced as long as it is still that one.
#[derive(Debug)]
pub struct Existing {
    /// Its content.
    pub bytes: Vec<u8>,
    stat: Stat,
}

/// A new version of a file.
#[derive(Debug)]
pub struct Replacement<'a> {
    /// Its name.
    pub name: &'a str,
    /// The old version.
    pub old: &'a Existing,
    /// The new content.
    pub bytes: &'a [u8],
}

/// A directory in which no other aioinspect replaces files while this lives.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    dir: OwnedFd,
}

impl Directory {
    /// Opens and locks it; a path like `/proc/PID/fd/N` will do.
    pub fn lock(path: &Path) -> Result<Self, ReplaceError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| match error {
            Errno::NOENT | Errno::NOTDIR => ReplaceError::NoDirectory(path.to_owned()),
            error => ReplaceError::Failed { path: path.to_owned(), error },
        })?;
        match flock(&dir, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => Err(ReplaceError::Busy(path.to_owned())),
            // Some network file systems lock no directories; what is replaced is checked all the same.
            Ok(()) | Err(_) => Ok(Self { path: path.to_owned(), dir }),
        }
    }

    /// The names in it that are UTF-8, sorted.
    pub fn names(&self) -> Result<Vec<String>, ReplaceError> {
        let failed = |error| ReplaceError::Failed { path: self.path.clone(), error };
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            names.extend(entry.file_name().to_str().ok().map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    /// Reads a regular file of at most `max` bytes; a link is refused and not followed.
    pub fn read(&self, name: &str, max: u64) -> Result<Existing, ReplaceError> {
        let path = self.path.join(name);
        let failed = |error| ReplaceError::Failed { path: path.clone(), error };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match openat(&self.dir, name, flags, Mode::empty()) {
            Err(Errno::LOOP | Errno::NXIO) => return Err(ReplaceError::NotAFile(path)),
            file => file.map_err(failed)?,
        };
        let stat = fstat(&file).map_err(failed)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(ReplaceError::NotAFile(path));
        }
        let mut bytes = Vec::new();
        let read = File::from(file).take(max.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| failed(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        if bytes.len() as u64 > max {
            Err(ReplaceError::TooLarge { path, max })
        } else {
            Ok(Existing { bytes, stat })
        }
    }

    /// Replaces all of them, with the permissions and the owner that the old ones have.
    ///
    /// All new versions are written and on the disk before the first gets its name, so a full disk changes nothing. If one cannot get its
    /// name the ones before it get their old version back, where the file system can exchange names. Who is killed between two leaves some
    /// new and some old, each whole. Ctrl-C and its kin take effect afterwards.
    pub fn replace(&self, files: &[Replacement<'_>]) -> Result<(), ReplaceError> {
        let _held_back = SignalBlock::new();
        self.remove_left_overs();
        let drafts = files.iter().map(|file| self.draft(file)).collect::<Result<Vec<_>, _>>()?;
        for file in files {
            self.must_be_unchanged(file)?;
        }
        let mut done: Vec<(&Draft<'_>, bool)> = Vec::with_capacity(drafts.len());
        for draft in &drafts {
            match self.put(draft) {
                Ok(exchanged) => done.push((draft, exchanged)),
                Err(error) => return Err(self.undo(&done, draft, error, drafts.len())),
            }
        }
        match fsync(&self.dir) {
            // Some file systems keep directories in no file of their own.
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(error) => Err(ReplaceError::Failed { path: self.path.clone(), error }),
        }
    }

    /// Gives the draft its name. Whether the old version has the draft's name now: else it is gone.
    fn put(&self, draft: &Draft<'_>) -> Result<bool, Errno> {
        match renameat_with(&self.dir, &draft.name, &self.dir, draft.of, RenameFlags::EXCHANGE) {
            Ok(()) => Ok(true),
            // Not every file system can.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                renameat(&self.dir, &draft.name, &self.dir, draft.of).map(|()| false)
            }
            Err(error) => Err(error),
        }
    }

    fn undo(
        &self,
        done: &[(&Draft<'_>, bool)],
        failed: &Draft<'_>,
        error: Errno,
        all: usize,
    ) -> ReplaceError {
        let back = |draft: &Draft<'_>| {
            renameat_with(&self.dir, &draft.name, &self.dir, draft.of, RenameFlags::EXCHANGE).is_ok()
        };
        let new = done.iter().rev().filter(|(draft, exchanged)| !exchanged || !back(draft)).count();
        let path = self.path.join(failed.of);
        match new {
            0 => self.explain(failed.of, error),
            done => ReplaceError::Half { path, error, done, all },
        }
    }

    fn draft<'a>(&'a self, file: &Replacement<'a>) -> Result<Draft<'a>, ReplaceError> {
        // Only has to differ from other names; O_EXCL sees to the rest.
        let name = format!("{DRAFT}{:016x}", RandomState::new().build_hasher().finish());
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
        let fd = openat(&self.dir, &name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|error| self.explain(file.name, error))?;
        let draft = Draft { dir: &self.dir, of: file.name, name };
        fill(File::from(fd), file).map_err(|error| self.explain(file.name, error))?;
        Ok(draft)
    }

    fn must_be_unchanged(&self, file: &Replacement<'_>) -> Result<(), ReplaceError> {
        let changed = || ReplaceError::Changed(self.path.join(file.name));
        let now = statat(&self.dir, file.name, AtFlags::SYMLINK_NOFOLLOW).map_err(|_| changed())?;
        if identity(&now) == identity(&file.old.stat) { Ok(()) } else { Err(changed()) }
    }

    /// Removes the drafts of somebody who was killed; the lock says that nobody is at it now.
    fn remove_left_overs(&self) {
        let names = self.names().unwrap_or_default();
        for name in names.iter().filter(|name| name.starts_with(DRAFT)) {
            let _ = unlinkat(&self.dir, name, AtFlags::empty());
        }
    }

    fn explain(&self, name: &str, error: Errno) -> ReplaceError {
        match error {
            Errno::NOSPC | Errno::DQUOT => ReplaceError::NoSpace(self.path.join(name)),
            Errno::ACCESS | Errno::PERM | Errno::ROFS => {
                ReplaceError::NotWritable { dir: self.path.clone(), error }
            }
            error => ReplaceError::Failed { path: self.path.join(name), error },
        }
    }

    /// Says early what [`Directory::replace`] would say late: that nothing can be written there.
    pub fn must_be_writable(&self) -> Result<(), ReplaceError> {
        let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        match accessat(&self.dir, ".", access, AtFlags::EACCESS) {
            Err(error @ (Errno::ACCESS | Errno::PERM | Errno::ROFS)) => Err(self.explain(".", error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// A new version under a name of its own, which goes with it: when it has its right name, the old version has this one.
struct Draft<'a> {
    dir: &'a OwnedFd,
    of: &'a str,
    name: String,
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        let _ = unlinkat(self.dir, &self.name, AtFlags::empty());
    }
}

fn fill(mut file: File, of: &Replacement<'_>) -> Result<(), Errno> {
    let as_errno = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    let old = &of.old.stat;
    let now = fstat(file.as_fd())?;
    if (now.st_uid, now.st_gid) != (old.st_uid, old.st_gid) {
        fchown(&file, Some(Uid::from_raw(old.st_uid)), Some(Gid::from_raw(old.st_gid)))?;
    }
    fchmod(&file, Mode::from_raw_mode(old.st_mode))?;
    file.write_all(of.bytes).map_err(as_errno)?;
    fsync(&file)
}

/// What changes if somebody else writes the file.
fn identity(stat: &Stat) -> (u64, u64, i64, i64, i128) {
    // Signed or not, by which of its ways rustix calls the kernel.
    (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime, i128::from(stat.st_mtime_nsec))
}

#[cfg(test)]
mod tests;
