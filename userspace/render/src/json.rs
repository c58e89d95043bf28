//! `list -J`. The keys are a promise: added to, never renamed; what is not known is null, never 0.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::LazyLock;
use std::time::Duration;

use serde::Serialize;

use aioinspect_model::evidence::{CensusSource, NotLookedAt};
use aioinspect_model::groups::Grouping;
use aioinspect_model::picture::{ContextView, GhostView, Owner, SystemView};
use aioinspect_model::units::ContextId;

use crate::escape::escaped;
use crate::fields::cell::Cell;
use crate::fields::{Field, Of, View};
use crate::groups::{self, GroupRow};
use crate::listing::List;

/// Version of the JSON of every command.
pub const SCHEMA_VERSION: u32 = 1;

/// How many bytes are handed to the writer at a time.
const CHUNK: usize = 1 << 16;

/// Writes the whole document, a context a line, so that it is read by `jq` and `grep` alike.
pub fn write(out: &mut dyn Write, list: &List<'_>) -> io::Result<()> {
    contexts(out, list)?;
    out.write_all(b"}\n")
}

/// The same with the groups that the contexts make.
pub fn write_grouped(
    out: &mut dyn Write,
    list: &List<'_>,
    groups: &[GroupRow<'_>],
    by: Grouping,
) -> io::Result<()> {
    contexts(out, list)?;
    groups::write_json(out, groups, by)?;
    out.write_all(b"}\n")
}

/// All but the closing brace.
fn contexts(out: &mut dyn Write, list: &List<'_>) -> io::Result<()> {
    write!(out, "{{\"schema_version\":{SCHEMA_VERSION},\n \"system\":")?;
    serde_json::to_writer(&mut *out, &System::from(list.system))?;
    out.write_all(b",\n \"contexts\":[")?;
    each_line(out, &list.contexts, |view, text| {
        context(view, text)?;
        text.push(b'}');
        Ok(())
    })?;
    out.write_all(b"],\n \"ghosts\":[")?;
    each_line(out, &list.ghosts, |view, text| ghost(view, text))?;
    out.write_all(b"]")
}

/// Writes the elements of an array, each on a line of its own, as `element` appends them.
pub fn each_line<T>(
    out: &mut dyn Write,
    elements: impl IntoIterator<Item = T>,
    element: impl Fn(T, &mut Vec<u8>) -> serde_json::Result<()>,
) -> io::Result<()> {
    let mut chunk: Vec<u8> = Vec::with_capacity(CHUNK + 4096);
    for (place, one) in elements.into_iter().enumerate() {
        chunk.extend_from_slice(if place == 0 { b"\n  " } else { b",\n  " });
        element(one, &mut chunk)?;
        if chunk.len() >= CHUNK {
            out.write_all(&chunk)?;
            chunk.clear();
        }
    }
    out.write_all(&chunk)
}

/// Appends a context as `list -J` and `check -J` show it, without the closing brace: `check` has more to say.
///
/// The keys are written as they are, not escaped again for each of ten thousand contexts.
pub fn context(view: &ContextView, text: &mut Vec<u8>) -> serde_json::Result<()> {
    let mut of = Of::Context;
    for (place, field) in JSON.iter().enumerate() {
        let (row, cell) = (field.row(), field.of(view));
        if matches!(cell, Cell::Absent) {
            continue;
        }
        if of == Of::Owner && row.of == Of::Context {
            text.push(b'}');
        }
        text.extend_from_slice(match (place, of, row.of) {
            (0, ..) => b"{\"",
            (_, Of::Context, Of::Owner) => b",\"owner\":{\"",
            _ => b",\"",
        });
        of = row.of;
        text.extend_from_slice(row.id.as_bytes());
        text.extend_from_slice(b"\":");
        write_cell(cell, text)?;
    }
    Ok(())
}

/// The fields of a context, in the order of the keys.
static JSON: LazyLock<Vec<Field>> = LazyLock::new(|| Field::on(View::Json).collect());

fn write_cell(cell: Cell<'_>, text: &mut Vec<u8>) -> serde_json::Result<()> {
    match cell {
        Cell::Unknown | Cell::Absent => text.extend_from_slice(b"null"),
        Cell::Number(number) => serde_json::to_writer(text, &number)?,
        Cell::Percent(percent) => serde_json::to_writer(text, &percent)?,
        Cell::Nanoseconds(ns) => serde_json::to_writer(text, &Duration::from_nanos(ns).as_secs_f64())?,
        Cell::Address(id) => address(text, ContextId(id)),
        Cell::Text(name) => serde_json::to_writer(text, &escaped(name))?,
        Cell::Flag(flag) => serde_json::to_writer(text, &flag)?,
        Cell::Cpus(cpus) => serde_json::to_writer(text, &format_args!("{cpus}"))?,
        Cell::Findings(of) => {
            text.push(b'[');
            for (place, finding) in of.findings.iter().enumerate() {
                text.extend_from_slice(if place == 0 { b"\"" } else { b",\"" });
                text.extend_from_slice(finding.code().as_bytes());
                text.push(b'"');
            }
            text.push(b']');
        }
        Cell::Stranded(stranded) => {
            text.push(b'[');
            for (place, of) in stranded.iter().enumerate() {
                put(text, if place == 0 { &b"{\"cpu\":"[..] } else { &b",{\"cpu\":"[..] }, &of.cpu)?;
                put(text, b",\"credits\":", &of.credits)?;
                put(text, b",\"online\":", &of.online)?;
                text.push(b'}');
            }
            text.push(b']');
        }
    }
    Ok(())
}

/// Who runs a process, with the keys that every document has them under.
#[derive(Serialize)]
pub struct OwnerKeys<'a> {
    runtime: Cow<'a, str>,
    unit: Cow<'a, str>,
    container: Cow<'a, str>,
    pod: Cow<'a, str>,
    cgroup: Cow<'a, str>,
}

impl<'a> From<&'a Owner> for OwnerKeys<'a> {
    fn from(owner: &'a Owner) -> Self {
        let name = |name: &'a String| escaped(name.as_bytes());
        Self {
            runtime: name(&owner.runtime),
            unit: name(&owner.unit),
            container: name(&owner.container),
            pod: name(&owner.pod),
            cgroup: name(&owner.cgroup),
        }
    }
}

/// Appends a ring without a context.
pub fn ghost(view: &GhostView, text: &mut Vec<u8>) -> serde_json::Result<()> {
    put(text, b"{\"pid\":", &view.pid.0)?;
    text.extend_from_slice(b",\"address\":");
    address(text, view.address);
    put(text, b",\"ring_len\":", &view.ring_len)?;
    text.push(b'}');
    Ok(())
}

fn put(text: &mut Vec<u8>, key: &[u8], value: &impl Serialize) -> serde_json::Result<()> {
    text.extend_from_slice(key);
    serde_json::to_writer(text, value)
}

/// An address is a string: JSON's numbers lose the low bits of large ones in many readers.
fn address(text: &mut Vec<u8>, address: ContextId) {
    if !address.is_known() {
        return text.extend_from_slice(b"null");
    }
    text.extend_from_slice(b"\"0x");
    let digits = address.0.checked_ilog2().map_or(1, |log| log / 4 + 1);
    for place in (0..digits).rev() {
        let digit = (address.0 >> (place * 4)) & 0xf;
        text.extend(
            char::from_digit(u32::try_from(digit).unwrap_or(0), 16).and_then(|c| u8::try_from(c).ok()),
        );
    }
    text.push(b'"');
}

/// The host's sums, under the keys that every document has them.
#[derive(Serialize)]
pub(super) struct System {
    aio_nr: u64,
    aio_max_nr: u64,
    attributed: Option<u64>,
    unattributed: Option<i64>,
    possible_cpus: u32,
    source: &'static str,
}

impl From<&SystemView> for System {
    fn from(view: &SystemView) -> Self {
        Self {
            aio_nr: view.aio_nr,
            aio_max_nr: view.aio_max_nr,
            attributed: view.attributed,
            unattributed: view.unattributed,
            possible_cpus: view.possible_cpus,
            source: match view.source {
                CensusSource::Bpf => "bpf",
                CensusSource::Proc => "proc",
            },
        }
    }
}

/// I/O that is in no context, as `check -J` and `show -J` have it.
pub fn not_looked_at(found: NotLookedAt) -> serde_json::Value {
    serde_json::json!({"io_uring": found.io_urings, "posix_aio_threads": found.posix_aio_threads})
}
