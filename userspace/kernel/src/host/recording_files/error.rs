//! Why something is not recorded.

use std::path::PathBuf;

use rustix::io::Errno;

/// Why there is no recording.
#[derive(Debug, thiserror::Error)]
pub enum RecordingFilesError {
    /// Somebody records into it right now.
    #[error("another aioinspect records into {}", .0.display())]
    Busy(PathBuf),
    /// Something else has that name.
    #[error("{} is there, and is not a recording: it was not touched", .0.display())]
    NotARecording(PathBuf),
    /// A link, a directory, a device.
    #[error("{} is not a regular file; links are not followed", .0.display())]
    NotAFile(PathBuf),
    /// What we write shows addresses of somebody's memory: it is for us alone.
    #[error("{} is not ours alone: it must belong to this user, with mode 0600", .0.display())]
    NotOurs(PathBuf),
    /// There is no such directory.
    #[error("no directory {}", .0.display())]
    NoDirectory(PathBuf),
    /// Not the name of a file.
    #[error("{} is not a file name", .0.display())]
    BadName(PathBuf),
    /// Somebody put another file in the place of ours.
    #[error("{} was changed by somebody else", .0.display())]
    Changed(PathBuf),
    /// A record that is larger than a file may be.
    #[error("a record of {0} bytes does not fit into an eighth of --record-size")]
    TooLarge(u64),
    /// ENOSPC or EDQUOT.
    #[error("no space left to write {}", .0.display())]
    NoSpace(PathBuf),
    /// Anything else.
    #[error("cannot write {}: {error}", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        error: Errno,
    },
}

/// What the kernel said, of a file.
pub(super) fn failure(path: PathBuf, error: Errno) -> RecordingFilesError {
    match error {
        Errno::NOSPC | Errno::DQUOT => RecordingFilesError::NoSpace(path),
        error => RecordingFilesError::Failed { path, error },
    }
}
