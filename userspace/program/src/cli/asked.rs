//! What `check` is asked about: a process, or files of one.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};

use super::pid;

/// What `check` is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A process that runs.
    Pid(u32),
    /// An image, an evidence file, or a directory of images.
    Saved(PathBuf),
}

impl Asked {
    /// The process, if it is one.
    pub fn pid(&self) -> Option<u32> {
        match self {
            Asked::Pid(pid) => Some(*pid),
            Asked::Saved(_) => None,
        }
    }
}

/// A process id, or the name of something that is there. A file that is named like a PID takes a `./`.
pub(super) fn asked() -> impl TypedValueParser<Value = Asked> {
    OsStringValueParser::new().try_map(|text: OsString| {
        let refusal = match text.to_str().map(pid) {
            Some(Ok(pid)) => return Ok(Asked::Pid(pid)),
            Some(Err(refusal)) => refusal,
            None => "no such file".to_owned(),
        };
        let path = PathBuf::from(text);
        if path.exists() {
            Ok(Asked::Saved(path))
        } else {
            Err(format!("{refusal}, or name an existing file or directory"))
        }
    })
}
