//! Evidence files and recordings, in and out.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::commands::exit::{NotRecorded, UsageError};
use aioinspect_formats::recording::{Bytes, Found, Missed, Recording, is_recording, scan};
use aioinspect_formats::{evidence_from_bytes, evidence_to_bytes};
use aioinspect_kernel::host::clock;
use aioinspect_kernel::host::files::{read_bounded, write_new};
use aioinspect_kernel::host::recording_files::{Inspected, open_to_read, read_at};
use aioinspect_model::evidence::Evidence;
use aioinspect_render::escape::escape_path;
use aioinspect_render::moment::{Asked, in_words};

/// The most that is read of a file somebody hands us; of a recording, at a time.
pub(super) const MOST: u64 = 64 * 1024 * 1024;

/// Permissions of what we write: it shows addresses of somebody's memory.
pub(super) const MODE: u32 = 0o600;

/// Reads an evidence file, or the last picture of a recording.
pub(super) fn read(path: &Path) -> anyhow::Result<Evidence> {
    read_at_time(path, None, &mut std::io::sink())
}

/// The same, or of a recording the picture that shows what was so at a time. Of when it is, is told to `err`.
pub(super) fn read_at_time(path: &Path, at: Option<Asked>, err: &mut dyn Write) -> anyhow::Result<Evidence> {
    let Some(mut recording) = recording(path)? else {
        if at.is_some() {
            return Err(UsageError(no_recording(path)).into());
        }
        let bytes = read_bounded(path, MOST)?;
        return evidence_from_bytes(&bytes).with_context(|| format!("{}", path.display()));
    };
    for note in notes(path, &recording) {
        writeln!(err, "aioinspect: {note}")?;
    }
    let named = || escape_path(path);
    let Some(at) = at else {
        let last = recording.last().with_context(named)?;
        let picture = recording.picture(last).with_context(named)?;
        writeln!(
            err,
            "aioinspect: recorded at {}, the last picture",
            in_words(picture.status.taken_unix_ns)
        )?;
        return Ok(picture.evidence);
    };
    let asked = time(&recording, at);
    let found = moment_at(&mut recording, asked).with_context(named)?;
    let picture = recording.picture(found.moment).with_context(named)?;
    write!(err, "aioinspect: recorded at {}", in_words(found.unix_ns))?;
    match found.gap(asked, picture.every_ns) {
        Some(until) => writeln!(err, "; {}", gap_until(until))?,
        None => writeln!(err)?,
    }
    Ok(picture.evidence)
}

/// What is said of a time long after the picture that is shown.
pub(super) fn gap_until(unix_ns: u64) -> String {
    format!("no picture was recorded from then to {}", in_words(unix_ns))
}

/// Opens a recording: a file, and the older ones beside it. `None`: it is something else.
pub(super) fn recording(path: &Path) -> anyhow::Result<Option<Recording>> {
    // A pipe can be read only once, and a part of a recording is read at a time.
    if std::fs::metadata(path).is_ok_and(|about| !about.is_file()) {
        return Ok(None);
    }
    let cannot = || format!("cannot read {}", escape_path(path));
    let begins = |file: &File| read_at(file, 0, 16).is_ok_and(|first| is_recording(&first));
    match File::open(path) {
        // What is called like its older ones may be anything: it is not looked at.
        Ok(file) if file.metadata().with_context(cannot)?.len() > 0 && !begins(&file) => return Ok(None),
        Ok(_) => {}
        // Where there was no room to begin it anew, only the older ones are there.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(cannot),
    }
    let all = match open_to_read(path) {
        Ok(all) => all,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(cannot),
    };
    if !all.iter().any(begins) {
        return Ok(None);
    }
    let files = all.into_iter().filter(begins).map(|file| Box::new(OnDisk(file)) as Box<dyn Bytes>);
    Ok(Some(Recording::open(files.collect()).with_context(|| escape_path(path))?))
}

/// What is said of a file that is to be one.
pub(super) fn no_recording(path: &Path) -> String {
    format!("{} is not a recording of `watch --record`", escape_path(path))
}

/// What there is to know of the files of a recording.
pub(super) fn notes(path: &Path, recording: &Recording) -> Vec<String> {
    let unread = recording.unread().iter().fold(0_u64, |sum, (_, left)| sum.saturating_add(*left));
    let (name, oldest) = (escape_path(path), recording.passed_over());
    let damage = format!("{name}: {unread} bytes are no whole record, and are passed over");
    let many = format!("{name}: the {oldest} oldest records are passed over, since there are too many");
    let notes = [(unread > 0, damage), (oldest > 0, many)];
    notes.into_iter().filter_map(|(is_so, note)| is_so.then_some(note)).collect()
}

/// The time that is meant, in nanoseconds since 1970: seen from the end of the recording.
pub(super) fn time(recording: &Recording, at: Asked) -> u64 {
    let end = recording.end();
    at.resolve(clock::unix_now(), end, end)
}

/// The picture of a time.
pub(super) fn moment_at(recording: &mut Recording, unix_ns: u64) -> anyhow::Result<Found> {
    Ok(recording.find(unix_ns)?.map_err(|why| NotRecorded(missed(why, unix_ns)))?)
}

/// Why there is no picture of a time.
pub(super) fn missed(why: Missed, asked: u64) -> String {
    let asked = in_words(asked);
    match why {
        Missed::Before(first) => {
            format!("nothing is recorded of {asked}: the first picture is of {}", in_words(first))
        }
        Missed::After(end) => {
            format!("nothing is recorded of {asked}: the recording ends at {}", in_words(end))
        }
    }
}

/// Whether a file is a recording, and how far it is whole.
pub(super) fn inspect(file: &File) -> Option<Inspected> {
    let on_disk = OnDisk(file.try_clone().ok()?);
    let mut first_unix_ns = None;
    let left = scan(&on_disk, |_, head| {
        first_unix_ns.get_or_insert(head.unix_ns);
    });
    Some(Inspected { first_unix_ns, end: on_disk.size().saturating_sub(left.ok()?) })
}

/// A file of a recording.
struct OnDisk(File);

impl Bytes for OnDisk {
    fn size(&self) -> u64 {
        self.0.metadata().map_or(0, |about| about.len())
    }

    fn read_at(&self, at: u64, len: usize) -> std::io::Result<Vec<u8>> {
        read_at(&self.0, at, len)
    }
}

/// Writes a new evidence file; an existing one is left alone.
pub(super) fn write(path: &Path, evidence: &Evidence) -> anyhow::Result<PathBuf> {
    let bytes = evidence_to_bytes(evidence)?;
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .with_context(|| format!("{} is not a file name", path.display()))?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(write_new(dir, name, &bytes, MODE)?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use aioinspect_formats::recording::Writer;
    use aioinspect_model::specimen;
    use tempfile::TempDir;

    use super::*;

    /// Check that beside an evidence file there may be anything, and that a recording whose newest file is missing or empty is one.
    #[test]
    fn neighbours() {
        let dir = TempDir::new().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("ev"), evidence_to_bytes(&specimen::idle()).unwrap()).unwrap();
        symlink(at("ev.1"), at("ev.1")).unwrap();
        assert_eq!(read(&at("ev")).unwrap(), specimen::idle());
        fs::write(at("r.1"), Writer::head()).unwrap();
        assert_eq!(recording(&at("r")).unwrap().unwrap().files(), 1);
        fs::write(at("r"), b"").unwrap();
        assert_eq!(recording(&at("r")).unwrap().unwrap().files(), 1);
        fs::write(at("r"), Writer::head()).unwrap();
        assert_eq!(recording(&at("r")).unwrap().unwrap().files(), 2);
        fs::write(at("other"), b"").unwrap();
        assert!(recording(&at("other")).unwrap().is_none());
        assert!(recording(&at("none")).unwrap().is_none());
        assert!(read(&at("none")).is_err());
    }
}
