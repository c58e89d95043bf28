//! `diff`: what changed between two evidence files or image directories.

use std::borrow::Cow;
use std::io::{self, Write};

use serde_json::{Map, Value, json};

use aioinspect_model::difference::{Changed, Difference, Ring, Said};

use crate::count::count;
use crate::escape::escaped;
use crate::json::SCHEMA_VERSION;

/// The names of both sides, as they were given.
pub type Sides<'a> = [&'a str; 2];

/// A line for each ring that differs (`-` gone, `+` made, `~` changed), then the sums.
pub fn write(out: &mut dyn Write, sides: Sides<'_>, found: &Difference) -> io::Result<()> {
    if found.is_none() {
        return writeln!(out, "no difference: {}", count(found.same, "ring"));
    }
    let [before, after] = sides.map(|side| escaped(side.as_bytes()));
    writeln!(out, "--- {before}\n+++ {after}")?;
    for ring in &found.gone {
        writeln!(out, "- {}: {}", name(ring), all(ring))?;
    }
    for ring in &found.made {
        writeln!(out, "+ {}: {}", name(ring), all(ring))?;
    }
    for changed in &found.changed {
        let fields =
            changed.fields.iter().map(|(name, was, is)| format!("{name} {} -> {}", text(was), text(is)));
        writeln!(out, "~ {}: {}", name(&changed.before), fields.collect::<Vec<_>>().join(", "))?;
    }
    let slots = match (found.slots_before, found.slots_after) {
        (Some(before), Some(after)) if before != after => format!("; slots {before} -> {after}"),
        (_, _) => String::new(),
    };
    let (gone, made, changed) = (found.gone.len(), found.made.len(), found.changed.len());
    writeln!(out, "{gone} gone, {made} made, {changed} changed, {} the same{slots}", found.same)
}

/// The same as JSON.
pub fn write_json(out: &mut dyn Write, sides: Sides<'_>, found: &Difference) -> io::Result<()> {
    let [before, after] = sides.map(|side| escaped(side.as_bytes()));
    let value = json!({
        "schema_version": SCHEMA_VERSION,
        "before": before,
        "after": after,
        "differs": !found.is_none(),
        "same": found.same,
        "slots_before": found.slots_before,
        "slots_after": found.slots_after,
        "gone": found.gone.iter().map(ring_json).collect::<Vec<_>>(),
        "made": found.made.iter().map(ring_json).collect::<Vec<_>>(),
        "changed": found.changed.iter().map(changed_json).collect::<Vec<_>>(),
    });
    crate::show::json(&value, out)
}

fn ring_json(ring: &Ring) -> Value {
    let mut keys = head(ring);
    for (name, said) in ring.fields.iter().filter(|(name, _)| *name != "comm") {
        keys.insert((*name).to_owned(), said_json(said));
    }
    Value::Object(keys)
}

fn changed_json(changed: &Changed) -> Value {
    let mut keys = head(&changed.before);
    let fields = changed.fields.iter().map(|(name, was, is)| {
        ((*name).to_owned(), json!({"before": said_json(was), "after": said_json(is)}))
    });
    keys.insert("fields".to_owned(), Value::Object(fields.collect()));
    Value::Object(keys)
}

fn head(ring: &Ring) -> Map<String, Value> {
    let comm = (!ring.comm.is_empty()).then(|| escaped(&ring.comm));
    let keys = [
        ("pid", json!(ring.pid.0)),
        ("comm", json!(comm)),
        ("context", json!(ring.context.is_known().then(|| ring.context.to_string()))),
    ];
    keys.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn said_json(said: &Said) -> Value {
    match said {
        Said::Unknown => Value::Null,
        Said::Number(number) => json!(number),
        Said::Name(name) => json!(escaped(name)),
        Said::Codes(codes) => json!(codes),
    }
}

fn text(said: &Said) -> Cow<'_, str> {
    match said {
        Said::Unknown => "-".into(),
        Said::Number(number) => number.to_string().into(),
        Said::Name(name) => escaped(name),
        Said::Codes(codes) if codes.is_empty() => "none".into(),
        Said::Codes(codes) => codes.join(",").into(),
    }
}

fn name(ring: &Ring) -> String {
    match escaped(&ring.comm) {
        comm if comm.is_empty() => format!("{} {}", ring.pid, ring.context),
        comm => format!("{} {comm} {}", ring.pid, ring.context),
    }
}

/// Everything that is known of a ring but its name.
fn all(ring: &Ring) -> String {
    let said = ring.fields.iter().filter(|(name, said)| *name != "comm" && *said != Said::Unknown);
    let words = said.map(|(name, said)| match *name {
        "is" => text(said).into_owned(),
        name => format!("{name} {}", text(said)),
    });
    words.collect::<Vec<_>>().join(", ")
}
