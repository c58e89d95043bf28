//! The files of a recording: FILE, to whose end records are written, and the older FILE.1 to FILE.7, of which the oldest goes when there is too much.
//!
//! All of it is done by names in one directory that is open from the start, since whoever records has given up its privileges by then. A file is
//! ours if it was a recording when we opened it and is still the same; nothing else is written to, renamed or removed.

mod error;
mod reading;

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::fs::{flock, fstat, ftruncate, openat, renameat, renameat_with, statat, unlinkat};
use rustix::io::Errno;

use crate::host::recording_files::error::failure;
use crate::host::signals::ignore_file_size_limit;

pub use crate::host::recording_files::error::RecordingFilesError;
pub use crate::host::recording_files::reading::{open_to_read, read_at};

/// How many older files there may be: what is removed at once is an eighth of all.
const OLDER: u32 = 7;
const PARTS: u64 = 8;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all files together.
    pub bytes: u64,
    /// Age of the oldest record, in nanoseconds.
    pub age_ns: u64,
}

/// What a file turned out to be: a recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inspected {
    /// When its first record was written, in nanoseconds since 1970; `None`: it has none.
    pub first_unix_ns: Option<u64>,
    /// Where its last whole record ends.
    pub end: u64,
}

/// Tells a recording from other files.
pub type Inspect = fn(&File) -> Option<Inspected>;

/// The files of a recording that is being made. Nobody else records into them while this lives.
#[derive(Debug)]
pub struct RecordingFiles {
    path: PathBuf,
    name: String,
    dir: OwnedFd,
    limits: Limits,
    /// What each file begins with.
    head: Vec<u8>,
    /// `None`: it could not be made, or was taken away.
    current: Option<Current>,
    /// By their number, the newest first.
    older: Vec<Older>,
}

#[derive(Debug)]
struct Current {
    file: File,
    identity: Identity,
    /// Where the last whole record ends.
    len: u64,
    first_unix_ns: Option<u64>,
    /// Whether there may be a part of a record after that.
    is_torn: bool,
}

#[derive(Clone, Copy, Debug)]
struct Older {
    number: u32,
    identity: Identity,
    len: u64,
    first_unix_ns: Option<u64>,
}

/// Device and inode.
type Identity = (u64, u64);

impl RecordingFiles {
    /// Opens what there is of a recording and goes on with it, or begins one.
    pub fn open(
        path: &Path,
        limits: Limits,
        head: &[u8],
        inspect: Inspect,
    ) -> Result<Self, RecordingFilesError> {
        ignore_file_size_limit();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| RecordingFilesError::BadName(path.to_owned()))?.to_owned();
        let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(parent, flags, Mode::empty()).map_err(|error| match error {
            Errno::NOENT | Errno::NOTDIR => RecordingFilesError::NoDirectory(parent.to_owned()),
            error => RecordingFilesError::Failed { path: parent.to_owned(), error },
        })?;
        let mut files = Self {
            path: path.to_owned(),
            name,
            dir,
            limits,
            head: head.to_vec(),
            current: None,
            older: Vec::new(),
        };
        for number in 1..=OLDER {
            if let Some((file, inspected)) = files.existing(number, inspect)? {
                let (identity, len) = files.identify(number, &file)?;
                let first_unix_ns = inspected.first_unix_ns;
                files.older.push(Older { number, identity, len, first_unix_ns });
            }
        }
        if let Some((file, Inspected { first_unix_ns, end })) = files.existing(0, inspect)? {
            let (identity, len) = files.identify(0, &file)?;
            files.current = Some(Current { file, identity, len, first_unix_ns, is_torn: false });
            // What was cut off stays as it is, in a file of its own.
            if len == 0 || len != end {
                if len == 0 {
                    files.write(head)?;
                } else {
                    files.renew()?;
                }
            }
        } else {
            files.begin()?;
        }
        Ok(files)
    }

    /// The directory they are in, and its descriptor: names in it are all that is needed from now on.
    pub fn directory(&self) -> (&Path, RawFd) {
        let parent = self.path.parent().filter(|dir| !dir.as_os_str().is_empty());
        (parent.unwrap_or(Path::new(".")), self.dir.as_raw_fd())
    }

    /// How many bytes all of them have.
    pub fn bytes(&self) -> u64 {
        let older = self.older.iter().fold(0_u64, |sum, older| sum.saturating_add(older.len));
        older.saturating_add(self.current.as_ref().map_or(0, |current| current.len))
    }

    /// How many bytes one file may have.
    pub fn part(&self) -> u64 {
        self.limits.bytes / PARTS
    }

    /// Makes room for a record of `len` bytes and this time, and removes what is too old. Whether a new file was begun for it.
    pub fn make_room(&mut self, len: usize, unix_ns: u64) -> Result<bool, RecordingFilesError> {
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        let most = self.part();
        let head = u64::try_from(self.head.len()).unwrap_or(u64::MAX);
        if len.saturating_add(head) > most {
            return Err(RecordingFilesError::TooLarge(len));
        }
        let age = |first: Option<u64>| first.map_or(0, |first| unix_ns.saturating_sub(first));
        while self.older.last().is_some_and(|oldest| age(oldest.first_unix_ns) > self.limits.age_ns) {
            self.remove_oldest()?;
        }
        let is_there = match &self.current {
            None => false,
            Some(current) => self.is_still(0, current.identity)?,
        };
        if !is_there {
            self.current = None;
            self.begin()?;
            return Ok(true);
        }
        let Some(current) = &self.current else { return Ok(false) };
        if current.len.saturating_add(len) > most || age(current.first_unix_ns) > self.limits.age_ns / PARTS {
            self.renew()?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Writes a record to the end: whole, or not at all.
    pub fn append(&mut self, record: &[u8], unix_ns: u64) -> Result<(), RecordingFilesError> {
        self.write(record)?;
        if let Some(current) = &mut self.current {
            current.first_unix_ns.get_or_insert(unix_ns);
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), RecordingFilesError> {
        let path = &self.path;
        let Some(current) = &mut self.current else {
            return Err(RecordingFilesError::Failed { path: path.clone(), error: Errno::NOENT });
        };
        let failed = |error| failure(path.clone(), error);
        if current.is_torn {
            ftruncate(&current.file, current.len).map_err(failed)?;
            current.is_torn = false;
        }
        let end = current.len.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let mut rest = bytes;
        while !rest.is_empty() {
            let error = match rustix::io::write(&current.file, rest) {
                Ok(0) => Errno::NOSPC,
                Ok(written) => {
                    rest = rest.get(written..).unwrap_or_default();
                    continue;
                }
                Err(Errno::INTR) => continue,
                Err(error) => error,
            };
            current.is_torn = ftruncate(&current.file, current.len).is_err();
            return Err(failed(error));
        }
        current.len = end;
        Ok(())
    }

    /// Makes the current file the newest of the older ones, and begins another.
    fn renew(&mut self) -> Result<(), RecordingFilesError> {
        let part = self.part();
        while !self.older.is_empty() && self.bytes().saturating_add(part) > self.limits.bytes {
            self.remove_oldest()?;
        }
        // A number that is free: everything newer moves one up.
        let taken = |number: u32| self.older.iter().any(|older| older.number == number);
        let free = if let Some(free) = (1..=OLDER).find(|number| !taken(*number)) {
            free
        } else {
            self.remove_oldest()?;
            OLDER
        };
        for number in (1..free).rev() {
            let Some(place) = self.older.iter().position(|older| older.number == number) else { continue };
            let Some(identity) = self.older.get(place).map(|older| older.identity) else { continue };
            self.rename(number, identity)?;
            if let Some(older) = self.older.get_mut(place) {
                older.number = number.saturating_add(1);
            }
        }
        if let Some(Current { identity, len, first_unix_ns, .. }) = self.current {
            self.rename(0, identity)?;
            self.older.insert(0, Older { number: 1, identity, len, first_unix_ns });
        }
        // Its lock is held until the next file has one: nobody begins to record in between.
        let _locked = self.current.take();
        self.begin()
    }

    /// Makes the file that is written to.
    fn begin(&mut self) -> Result<(), RecordingFilesError> {
        let failed = |error| failure(self.path.clone(), error);
        let flags = OFlags::WRONLY
            | OFlags::CREATE
            | OFlags::EXCL
            | OFlags::NOFOLLOW
            | OFlags::APPEND
            | OFlags::CLOEXEC;
        let file = openat(&self.dir, &self.name, flags, Mode::RUSR | Mode::WUSR).map_err(|error| {
            if error == Errno::EXIST {
                RecordingFilesError::Changed(self.path.clone())
            } else {
                failed(error)
            }
        })?;
        let file = File::from(file);
        self.lock(0, &file)?;
        let (identity, _) = self.identify(0, &file)?;
        self.current = Some(Current { file, identity, len: 0, first_unix_ns: None, is_torn: false });
        let head = std::mem::take(&mut self.head);
        let written = self.write(&head);
        self.head = head;
        if written.is_err() {
            // An empty file is of no use, and would be in the way of the next attempt.
            self.current = None;
            let _ = self.remove(0, identity);
        }
        written
    }

    /// A file that is there, locked; `None`: there is none.
    fn existing(
        &self,
        number: u32,
        inspect: Inspect,
    ) -> Result<Option<(File, Inspected)>, RecordingFilesError> {
        let path = self.path_of(number);
        let flags = OFlags::RDWR
            | OFlags::APPEND
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::NOCTTY
            | OFlags::CLOEXEC;
        let file = match openat(&self.dir, self.name_of(number), flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO) => return Err(RecordingFilesError::NotAFile(path)),
            Err(error) => return Err(RecordingFilesError::Failed { path, error }),
        };
        let stat = fstat(&file).map_err(|error| failure(path.clone(), error))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(RecordingFilesError::NotAFile(path));
        }
        if stat.st_uid != rustix::process::geteuid().as_raw() || stat.st_mode & 0o077 != 0 {
            return Err(RecordingFilesError::NotOurs(path));
        }
        self.lock(number, &file)?;
        if stat.st_size == 0 {
            return Ok(Some((file, Inspected::default())));
        }
        match inspect(&file) {
            Some(inspected) => Ok(Some((file, inspected))),
            None => Err(RecordingFilesError::NotARecording(path)),
        }
    }

    fn lock(&self, number: u32, file: &File) -> Result<(), RecordingFilesError> {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => Err(RecordingFilesError::Busy(self.path_of(number))),
            // Some network file systems have no locks.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn identify(&self, number: u32, file: impl AsFd) -> Result<(Identity, u64), RecordingFilesError> {
        let stat = fstat(file).map_err(|error| failure(self.path_of(number), error))?;
        Ok(((stat.st_dev, stat.st_ino), u64::try_from(stat.st_size).unwrap_or(0)))
    }

    /// Whether a name is still that of our file; false: nothing has it.
    fn is_still(&self, number: u32, identity: Identity) -> Result<bool, RecordingFilesError> {
        let path = || self.path_of(number);
        match statat(&self.dir, self.name_of(number), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if (stat.st_dev, stat.st_ino) == identity => Ok(true),
            Ok(_) => Err(RecordingFilesError::Changed(path())),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(failure(path(), error)),
        }
    }

    /// Gives a file the next number; one that somebody took away is let go.
    fn rename(&self, number: u32, identity: Identity) -> Result<(), RecordingFilesError> {
        if !self.is_still(number, identity)? {
            return Ok(());
        }
        let to_number = number.saturating_add(1);
        let (from, to) = (self.name_of(number), self.name_of(to_number));
        let renamed = match renameat_with(&self.dir, &from, &self.dir, &to, RenameFlags::NOREPLACE) {
            // NFS and others know no such flag.
            Err(Errno::INVAL | Errno::NOSYS) => {
                if statat(&self.dir, &to, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                    Err(Errno::EXIST)
                } else {
                    renameat(&self.dir, &from, &self.dir, &to)
                }
            }
            answer => answer,
        };
        renamed.map_err(|error| match error {
            Errno::EXIST => RecordingFilesError::Changed(self.path_of(to_number)),
            error => failure(self.path_of(number), error),
        })
    }

    fn remove_oldest(&mut self) -> Result<(), RecordingFilesError> {
        let Some(oldest) = self.older.last().copied() else { return Ok(()) };
        self.remove(oldest.number, oldest.identity)?;
        self.older.pop();
        Ok(())
    }

    fn remove(&self, number: u32, identity: Identity) -> Result<(), RecordingFilesError> {
        if !self.is_still(number, identity)? {
            return Ok(());
        }
        unlinkat(&self.dir, self.name_of(number), AtFlags::empty())
            .map_err(|error| failure(self.path_of(number), error))
    }

    fn name_of(&self, number: u32) -> String {
        numbered(&self.name, number)
    }

    fn path_of(&self, number: u32) -> PathBuf {
        self.path.with_file_name(self.name_of(number))
    }
}

fn numbered(name: &str, number: u32) -> String {
    if number == 0 { name.to_owned() } else { format!("{name}.{number}") }
}

#[cfg(test)]
mod tests;
