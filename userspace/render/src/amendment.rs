//! `amend`: what changes in CRIU's images, entry by entry.

use std::io::{self, Write};

use serde_json::{Value, json};

use aioinspect_model::amendment::{AmendedEntry, AmendedImage, Change};
use aioinspect_model::restore_fit::RestoreFit;

use crate::count::count;
use crate::escape::escaped;
use crate::json::SCHEMA_VERSION;
use crate::restore_fit;
use crate::show::{or_dash, row, table};

/// Everything there is to say of a directory.
#[derive(Clone, Copy, Debug)]
pub struct Amended<'a> {
    /// The directory, as it was named.
    pub dir: &'a str,
    /// Its images.
    pub images: &'a [AmendedImage],
    /// Whether nothing was written.
    pub dry_run: bool,
    /// What restores where `--restore-on` says; `None` without it.
    pub fit: Option<&'a RestoreFit>,
}

/// One line in sum, then a line for each image that changes; of a dry run a table of the entries that do.
pub fn write(out: &mut dyn Write, amended: &Amended<'_>) -> io::Result<()> {
    let dir = escaped(amended.dir.as_bytes());
    let changed: Vec<&AmendedImage> = amended.images.iter().filter(|image| image.changes()).collect();
    let all = count(amended.images.len(), "image");
    let slots = slots_text(amended.images.iter());
    if changed.is_empty() {
        let are = if amended.images.len() == 1 { "is" } else { "are" };
        return writeln!(out, "{all} in {dir} {are} right already: {slots}");
    }
    let verb = if amended.dry_run { "would amend" } else { "amended" };
    writeln!(out, "{verb} {} of {all} in {dir}: {slots}", changed.len())?;
    if !amended.dry_run {
        for image in changed {
            writeln!(out, "  {}", line(image))?;
        }
        return Ok(());
    }
    let mut rows = vec![row!["IMAGE", "CONTEXT", "RING_LEN", "MAX_REQS", "NR_REQ", "NEW_NR_REQ", "CHANGE"]];
    for image in changed {
        for entry in image.entries.iter().filter(|entry| entry.change != Change::Keep) {
            rows.push(row![
                escaped(image.name.as_bytes()),
                entry.entry.id,
                entry.entry.ring_len,
                or_dash(entry.max_reqs),
                entry.entry.nr_req,
                or_dash(new_nr_req(entry)),
                match entry.change {
                    Change::Keep => "none",
                    Change::NrReq(_) => "exact nr_req",
                    Change::DropGhost => "ghost: entry goes",
                },
            ]);
        }
    }
    table("  ", &rows, out)
}

/// What is done to one image, in one line: `mm-7.img: exact nr_req for 16 contexts, dropped 1 ghost: 992 -> 256 slots`.
pub fn line(image: &AmendedImage) -> String {
    let of = |wanted: fn(&Change) -> bool| image.entries.iter().filter(|entry| wanted(&entry.change)).count();
    let exact = of(|change| matches!(change, Change::NrReq(_)));
    let ghosts = of(|change| matches!(change, Change::DropGhost));
    let name = escaped(image.name.as_bytes());
    let slots = slots_text(std::iter::once(image));
    match (exact, ghosts) {
        (0, 0) => format!("{name}: right already: {slots}"),
        (exact, 0) => format!("{name}: exact nr_req for {}: {slots}", count(exact, "context")),
        (0, ghosts) => format!("{name}: dropped {}: {slots}", count(ghosts, "ghost")),
        (exact, ghosts) => {
            let (exact, ghosts) = (count(exact, "context"), count(ghosts, "ghost"));
            format!("{name}: exact nr_req for {exact}, dropped {ghosts}: {slots}")
        }
    }
}

/// The same as JSON.
pub fn write_json(out: &mut dyn Write, amended: &Amended<'_>) -> io::Result<()> {
    let (before, after) = slots(amended.images.iter());
    let mut value = json!({
        "schema_version": SCHEMA_VERSION,
        "dir": escaped(amended.dir.as_bytes()),
        "dry_run": amended.dry_run,
        "changed": amended.images.iter().filter(|image| image.changes()).count(),
        "slots_before": before,
        "slots_after": after,
        "images": amended.images.iter().map(image_json).collect::<Vec<_>>(),
    });
    if let (Some(fit), Value::Object(keys)) = (amended.fit, &mut value) {
        keys.insert("restore".to_owned(), restore_fit::json(fit));
    }
    crate::show::json(&value, out)
}

fn image_json(image: &AmendedImage) -> Value {
    let entries = image.entries.iter().map(|entry| {
        json!({
            "context": entry.entry.id.to_string(),
            "ring_len": entry.entry.ring_len,
            "max_reqs": entry.max_reqs,
            "nr_req": entry.entry.nr_req,
            "new_nr_req": new_nr_req(entry),
            "change": match entry.change {
                Change::Keep => "none",
                Change::NrReq(_) => "nr-req",
                Change::DropGhost => "drop-ghost",
            },
        })
    });
    json!({
        "image": escaped(image.name.as_bytes()),
        "pid": image.pid.0,
        "process": image.process.map(|pid| pid.0),
        "comm": image.process.map(|_| escaped(&image.comm)),
        "changed": image.changes(),
        "entries": entries.collect::<Vec<_>>(),
    })
}

/// The nr_req afterwards; nothing for an entry that goes.
fn new_nr_req(entry: &AmendedEntry) -> Option<u32> {
    match entry.change {
        Change::Keep => Some(entry.entry.nr_req),
        Change::NrReq(nr_req) => Some(nr_req),
        Change::DropGhost => None,
    }
}

/// What the entries cost of aio-max-nr before and afterwards.
fn slots<'a>(images: impl Iterator<Item = &'a AmendedImage>) -> (u64, u64) {
    images.flat_map(|image| &image.entries).fold((0, 0), |(before, after): (u64, u64), entry| {
        (before.saturating_add(entry.entry.nr_req.into()), after.saturating_add(entry.slots().into()))
    })
}

fn slots_text<'a>(images: impl Iterator<Item = &'a AmendedImage>) -> String {
    match slots(images) {
        (before, after) if before == after => format!("{after} slots of fs.aio-max-nr"),
        (before, after) => format!("{before} -> {after} slots of fs.aio-max-nr"),
    }
}

#[cfg(test)]
mod tests {
    use aioinspect_model::image::AioRing;
    use aioinspect_model::restore_fit::HostKind;
    use aioinspect_model::units::{ContextId, Pid};

    use super::*;

    fn image(name: &str, changes: &[Change]) -> AmendedImage {
        let entries = changes.iter().zip(7_u64..).map(|(change, n)| AmendedEntry {
            entry: AioRing { id: ContextId(n << 12), nr_req: 62, ring_len: 4096 },
            max_reqs: (*change != Change::DropGhost).then_some(16),
            change: *change,
        });
        let entries = entries.collect();
        AmendedImage {
            name: name.to_owned(),
            pid: Pid(1),
            process: Some(Pid(100)),
            comm: b"svc".to_vec(),
            kind: HostKind::default(),
            entries,
        }
    }

    fn text(images: &[AmendedImage], dry_run: bool) -> String {
        let mut out = Vec::new();
        write(&mut out, &Amended { dir: "images", images, dry_run, fit: None }).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// Check what is said before, after, and where nothing is to be done.
    #[test]
    fn in_words() {
        let images = [
            image("mm-1.img", &[Change::Keep, Change::NrReq(16), Change::DropGhost]),
            image("mm-2.img", &[]),
        ];
        assert_eq!(
            text(&images, true),
            "\
would amend 1 of 2 images in images: 186 -> 78 slots of fs.aio-max-nr
  IMAGE     CONTEXT  RING_LEN  MAX_REQS  NR_REQ  NEW_NR_REQ  CHANGE
  mm-1.img  0x8000       4096        16      62          16  exact nr_req
  mm-1.img  0x9000       4096         -      62           -  ghost: entry goes
"
        );
        assert_eq!(
            text(&images, false),
            "\
amended 1 of 2 images in images: 186 -> 78 slots of fs.aio-max-nr
  mm-1.img: exact nr_req for 1 context, dropped 1 ghost: 186 -> 78 slots of fs.aio-max-nr
"
        );
        assert_eq!(
            text(&images[1..], false),
            "1 image in images is right already: 0 slots of fs.aio-max-nr\n"
        );
    }
}
