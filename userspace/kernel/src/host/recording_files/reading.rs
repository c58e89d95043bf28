//! The files of a recording for one who reads them, also while they are written and get other names.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, fstat};
use rustix::io::Errno;

use crate::host::recording_files::{Identity, OLDER, numbered};

/// The files of a recording that somebody made, open for reading: the oldest first. `path` itself is the newest; links are followed.
///
/// They may be renamed meanwhile: the newest is opened first, so that none is missed, and one that is met again is left out. `path` itself may not be
/// there, as long as there are older ones: between two files, or where there is no room for another.
pub fn open_to_read(path: &Path) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    let mut met: Vec<Identity> = Vec::new();
    for number in 0..=OLDER {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { break };
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let of = if number == 0 { path.to_owned() } else { path.with_file_name(numbered(name, number)) };
        let file = match rustix::fs::open(&of, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => continue,
            // A socket or a device without a driver.
            Err(Errno::NXIO) if number > 0 => continue,
            Err(error) => return Err(error.into()),
        };
        let stat = fstat(&file)?;
        let identity = (stat.st_dev, stat.st_ino);
        if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && !met.contains(&identity) {
            met.push(identity);
            files.push(File::from(file));
        }
    }
    if met.is_empty() {
        return Err(Errno::NOENT.into());
    }
    files.reverse();
    Ok(files)
}

/// The bytes of a file from `at` on: as many as there are, `len` at most.
pub fn read_at(file: &File, at: u64, len: usize) -> io::Result<Vec<u8>> {
    let size = file.metadata()?.len().saturating_sub(at);
    let len = len.min(usize::try_from(size).unwrap_or(usize::MAX));
    let mut bytes = vec![0; len];
    let mut read = 0_usize;
    while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at.saturating_add(u64::try_from(read).unwrap_or(u64::MAX))) {
            Ok(0) => break,
            Ok(more) => read = read.saturating_add(more),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(read);
    Ok(bytes)
}
