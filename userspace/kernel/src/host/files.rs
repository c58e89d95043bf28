//! Writing files so that each is there whole or not at all, and reading files that anybody may have made.

use std::fmt;
use std::fs::File;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, FileType, Mode, OFlags, RenameFlags};
use rustix::fs::{
    accessat, fchmod, fcntl_setfl, fstat, fsync, linkat, openat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

use crate::host::signals::SignalBlock;

/// Why a file was not written. Nothing of it is left behind.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// There is something of that name: a file, or a link to anywhere or nowhere. It was not touched.
    #[error("{} exists already", .0.display())]
    AlreadyExists(PathBuf),
    /// ENOSPC or EDQUOT.
    #[error("no space left to write {}", .0.display())]
    NoSpace(PathBuf),
    /// There is no such directory.
    #[error("no directory {}", .0.display())]
    NoDirectory(PathBuf),
    /// No permission to make files there, or a read-only file system.
    #[error("cannot write into directory {}: {error}", dir.display())]
    NotWritable {
        /// Where the file was to be made.
        dir: PathBuf,
        /// EACCES, EPERM or EROFS.
        error: Errno,
    },
    /// The name is empty, or not a name within the directory.
    #[error("{0:?} is not a file name")]
    BadName(String),
    /// Anything else.
    #[error("cannot write {}: {error}", path.display())]
    Failed {
        /// The file that was to be written.
        path: PathBuf,
        /// What the kernel said.
        error: Errno,
    },
}

/// A file to be written.
#[derive(Clone, Copy)]
pub struct NewFile<'a> {
    /// Its name in the directory.
    pub name: &'a str,
    /// All of its content.
    pub bytes: &'a [u8],
}

impl fmt::Debug for NewFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.name, self.bytes.len())
    }
}

/// Writes a new file with exactly the permissions `mode` (0600 for what holds memory of others), and returns its path.
///
/// It appears under its name when it is complete and on the disk; nothing of that name is ever replaced or followed. Ctrl-C and its kin take
/// effect when it is there.
pub fn write_new(dir: &Path, name: &str, bytes: &[u8], mode: u32) -> Result<PathBuf, WriteError> {
    let _held_back = SignalBlock::new();
    let folder = Folder::open(dir)?;
    let draft = folder.draft(NewFile { name, bytes }, mode)?;
    let path = folder.publish(&draft)?;
    folder.sync(&path)?;
    Ok(path)
}

/// Writes new files as [`write_new`] does, all or none: if one cannot get its name, those before it are removed.
///
/// Only a crash or SIGKILL between two of them leaves the first ones, each complete.
pub fn write_all(dir: &Path, files: &[NewFile<'_>], mode: u32) -> Result<Vec<PathBuf>, WriteError> {
    let _held_back = SignalBlock::new();
    let folder = Folder::open(dir)?;
    let drafts = files.iter().map(|file| folder.draft(*file, mode)).collect::<Result<Vec<_>, _>>()?;
    let mut paths = Vec::with_capacity(drafts.len());
    for (place, draft) in drafts.iter().enumerate() {
        let published = folder.publish(draft).inspect_err(|_| {
            for before in drafts.iter().take(place) {
                folder.remove_if(before.name, identity(&before.file));
            }
        });
        paths.push(published?);
    }
    if let Some(first) = paths.first() {
        folder.sync(first)?;
    }
    Ok(paths)
}

struct Folder<'a> {
    path: &'a Path,
    dir: OwnedFd,
}

/// A complete file on the disk that does not have its name yet.
struct Draft<'a> {
    name: &'a str,
    file: File,
    /// Its name until then, on file systems that have no files without one.
    temporary: Option<Temporary<'a>>,
}

struct Temporary<'a> {
    dir: &'a OwnedFd,
    name: String,
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        // Gone already when it was renamed.
        let _ = unlinkat(self.dir, &self.name, AtFlags::empty());
    }
}

impl<'a> Folder<'a> {
    fn open(path: &'a Path) -> Result<Self, WriteError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| match error {
            Errno::NOENT | Errno::NOTDIR => WriteError::NoDirectory(path.to_owned()),
            error => WriteError::NotWritable { dir: path.to_owned(), error },
        })?;
        Ok(Self { path, dir })
    }

    fn draft<'b>(&'b self, new: NewFile<'b>, mode: u32) -> Result<Draft<'b>, WriteError> {
        if new.name.is_empty() || new.name == "." || new.name == ".." || new.name.contains(['/', '\0']) {
            return Err(WriteError::BadName(new.name.to_owned()));
        }
        // The last word on this is the link; asking now spares the writing.
        if statat(&self.dir, new.name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            return Err(WriteError::AlreadyExists(self.path.join(new.name)));
        }
        let nameless = openat(
            &self.dir,
            ".",
            OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC,
            Mode::RUSR | Mode::WUSR,
        );
        match nameless {
            Ok(file) => self.fill(new, file, None, mode),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => self.named_draft(new, mode),
            Err(error) => Err(self.explain(new.name, error)),
        }
    }

    fn named_draft<'b>(&'b self, new: NewFile<'b>, mode: u32) -> Result<Draft<'b>, WriteError> {
        // Only has to differ from other names; O_EXCL sees to the rest.
        let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
        let name = format!(".{random:016x}.tmp");
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = openat(&self.dir, &name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|error| self.explain(new.name, error))?;
        self.fill(new, file, Some(Temporary { dir: &self.dir, name }), mode)
    }

    fn fill<'b>(
        &'b self,
        new: NewFile<'b>,
        file: OwnedFd,
        temporary: Option<Temporary<'b>>,
        mode: u32,
    ) -> Result<Draft<'b>, WriteError> {
        let mut file = File::from(file);
        let written = fchmod(&file, Mode::from_raw_mode(mode))
            .and_then(|()| {
                file.write_all(new.bytes).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
            })
            .and_then(|()| fsync(&file));
        written.map_err(|error| self.explain(new.name, error))?;
        Ok(Draft { name: new.name, file, temporary })
    }

    fn publish(&self, draft: &Draft<'_>) -> Result<PathBuf, WriteError> {
        let named = match &draft.temporary {
            None => {
                // A descriptor is linked by its name in /proc: by AT_EMPTY_PATH it would take CAP_DAC_READ_SEARCH.
                let link = format!("/proc/self/fd/{}", draft.file.as_raw_fd());
                linkat(rustix::fs::CWD, link, &self.dir, draft.name, AtFlags::SYMLINK_FOLLOW)
            }
            Some(temporary) => {
                let name = &temporary.name;
                match renameat_with(&self.dir, name, &self.dir, draft.name, RenameFlags::NOREPLACE) {
                    // NFS and others know no such flag; a link refuses an existing name as well.
                    Err(Errno::INVAL | Errno::NOSYS) => {
                        linkat(&self.dir, name, &self.dir, draft.name, AtFlags::empty())
                    }
                    answer => answer,
                }
            }
        };
        named.map_err(|error| self.explain(draft.name, error))?;
        Ok(self.path.join(draft.name))
    }

    fn sync(&self, path: &Path) -> Result<(), WriteError> {
        match fsync(&self.dir) {
            // Some file systems keep directories in no file of their own.
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(error) => Err(WriteError::Failed { path: path.to_owned(), error }),
        }
    }

    /// Removes a file we made, unless somebody put another in its place.
    fn remove_if(&self, name: &str, made: Option<(u64, u64)>) {
        let there =
            statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW).ok().map(|stat| (stat.st_dev, stat.st_ino));
        if made.is_some() && there == made {
            let _ = unlinkat(&self.dir, name, AtFlags::empty());
        }
    }

    fn explain(&self, name: &str, error: Errno) -> WriteError {
        match error {
            Errno::EXIST => WriteError::AlreadyExists(self.path.join(name)),
            Errno::NOSPC | Errno::DQUOT => WriteError::NoSpace(self.path.join(name)),
            Errno::ACCESS | Errno::PERM | Errno::ROFS => {
                WriteError::NotWritable { dir: self.path.to_owned(), error }
            }
            // The directory was removed under us.
            Errno::NOENT => WriteError::NoDirectory(self.path.to_owned()),
            error => WriteError::Failed { path: self.path.join(name), error },
        }
    }
}

/// Says early what [`write_new`] would say late: that there is something of that name, or no directory to write into.
pub fn must_not_exist(dir: &Path, name: &str) -> Result<(), WriteError> {
    let folder = Folder::open(dir)?;
    // Where it cannot be asked (before Linux 5.8), writing will tell.
    let asked = accessat(&folder.dir, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS);
    if let Err(error @ (Errno::ACCESS | Errno::PERM | Errno::ROFS)) = asked {
        return Err(folder.explain(name, error));
    }
    match statat(&folder.dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Err(WriteError::AlreadyExists(dir.join(name))),
        Err(_) => Ok(()),
    }
}

fn identity(file: impl AsFd) -> Option<(u64, u64)> {
    fstat(file).ok().map(|stat| (stat.st_dev, stat.st_ino))
}

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is none.
    #[error("no file {}", .0.display())]
    NotFound(PathBuf),
    /// A directory, a device or a socket.
    #[error("{} is neither a file nor a pipe", .0.display())]
    NotAFile(PathBuf),
    /// More than we are ready to hold.
    #[error("{} has more than {max} bytes", path.display())]
    TooLarge {
        /// The file that was to be read.
        path: PathBuf,
        /// The limit, in bytes.
        max: u64,
    },
    /// Anything else.
    #[error("cannot read {}: {error}", path.display())]
    Failed {
        /// The file that was to be read.
        path: PathBuf,
        /// What the kernel said.
        error: io::Error,
    },
}

/// Reads a regular file or a pipe (`<(zstdcat x)`, `/dev/stdin`) of at most `max` bytes. Links are followed.
///
/// Opening never blocks: a named pipe that nobody writes to is read as empty. A pipe that has a writer is read to its
/// end, however long the writer takes, as any filter does. Devices are refused: reading some has effects.
pub fn read_bounded(path: &Path, max: u64) -> Result<Vec<u8>, ReadError> {
    let failed = |error: io::Error| ReadError::Failed { path: path.to_owned(), error };
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Err(ReadError::NotFound(path.to_owned())),
        // What open(2) answers for sockets and for devices nobody drives.
        Err(Errno::NXIO) => return Err(ReadError::NotAFile(path.to_owned())),
        Err(error) => return Err(failed(error.into())),
    };
    let stat = fstat(&file).map_err(|error| failed(error.into()))?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind != FileType::RegularFile && kind != FileType::Fifo {
        return Err(ReadError::NotAFile(path.to_owned()));
    }
    if kind == FileType::RegularFile && u64::try_from(stat.st_size).is_ok_and(|size| size > max) {
        return Err(ReadError::TooLarge { path: path.to_owned(), max });
    }
    fcntl_setfl(&file, OFlags::empty()).map_err(|error| failed(error.into()))?;
    let mut bytes = Vec::new();
    File::from(file).take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > max { Err(ReadError::TooLarge { path: path.to_owned(), max }) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests;
