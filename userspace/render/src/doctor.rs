//! `doctor`: how the host is and what to do, then what aioinspect can do on it, what is missing, and the line that fixes it.

mod host;

use std::io::{self, Write};

use serde_json::json;

pub use crate::doctor::host::Host;
use crate::escape::escaped;
use crate::json::SCHEMA_VERSION;

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was tried, in a few words.
    pub name: String,
    /// How it went.
    pub status: Status,
    /// What was seen: a number, a path, an error.
    pub detail: String,
    /// The line to type, or what else to do; `None`: nothing can be done, or nothing need be.
    pub fix: Option<String>,
    /// Whether `dump` cannot work without it.
    pub needed_for_dump: bool,
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is there.
    Present,
    /// It is there, and does less than it could.
    Limited,
    /// It is not there.
    Missing,
}

impl Status {
    /// The word in the table and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Status::Present => "present",
            Status::Limited => "limited",
            Status::Missing => "missing",
        }
    }
}

/// Whether `dump` would work: nothing it needs is missing.
pub fn dump_would_work(checks: &[Check]) -> bool {
    checks.iter().all(|check| !check.needed_for_dump || check.status != Status::Missing)
}

/// Writes what is said of the host.
pub fn write_host(out: &mut dyn Write, host: &Host<'_>) -> io::Result<()> {
    out.write_all(host::text(host).as_bytes())
}

/// Writes the checks as a table, each fix below its check, and what it comes to.
pub fn write(out: &mut dyn Write, checks: &[Check], color: bool) -> io::Result<()> {
    let names: Vec<_> = checks.iter().map(|check| escaped(check.name.as_bytes())).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    for (check, name) in checks.iter().zip(names) {
        let (on, off) = match check.status {
            Status::Present if color => ("\x1b[32m", "\x1b[0m"),
            Status::Limited if color => ("\x1b[33m", "\x1b[0m"),
            Status::Missing if color => ("\x1b[31m", "\x1b[0m"),
            Status::Present | Status::Limited | Status::Missing => ("", ""),
        };
        let line =
            format!("{on}{}{off}  {name:<width$}  {}", check.status.word(), escaped(check.detail.as_bytes()));
        writeln!(out, "{}", line.trim_end())?;
        if let Some(fix) = &check.fix {
            writeln!(out, "         fix: {}", escaped(fix.as_bytes()))?;
        }
    }
    let missing: Vec<_> = checks
        .iter()
        .filter(|check| check.needed_for_dump && check.status == Status::Missing)
        .map(|check| escaped(check.name.as_bytes()))
        .collect();
    match &missing[..] {
        [] => writeln!(out, "\ndump would work"),
        missing => writeln!(out, "\ndump would not work: {} missing", missing.join(", ")),
    }
}

/// Writes all of it as JSON. `checks`: `None` where another host is judged, of which nothing was tried.
pub fn write_json(out: &mut dyn Write, host: &Host<'_>, checks: Option<&[Check]>) -> io::Result<()> {
    let listed = checks.unwrap_or_default().iter().map(|check| {
        json!({
            "name": check.name,
            "status": check.status.word(),
            "detail": check.detail,
            "fix": check.fix,
            "needed_for_dump": check.needed_for_dump,
            "id": id(&check.name),
        })
    });
    let works = json!(checks.map(dump_would_work));
    write!(out, "{{\"schema_version\":{SCHEMA_VERSION},\"dump_would_work\":{works},\n \"host\":")?;
    let (of, why) = match host {
        Host::Judged(of, notes) => (host::keys(of, notes), None),
        Host::Unread(why) => (serde_json::Value::Null, Some(escaped(why.as_bytes()))),
    };
    write!(out, "{of},\n \"host_error\":{},\n \"checks\":[", json!(why))?;
    crate::json::each_line(out, listed, |check, text| serde_json::to_writer(text, &check))?;
    out.write_all(b"]}\n")
}

/// The name for programs: `bpf-iterator-over-tasks`.
fn id(name: &str) -> String {
    let kebab = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    name.chars().map(kebab).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks() -> Vec<Check> {
        let check = |name: &str, status, detail: &str, fix: Option<&str>, needed_for_dump| Check {
            name: name.to_owned(),
            status,
            detail: detail.to_owned(),
            fix: fix.map(str::to_owned),
            needed_for_dump,
        };
        vec![
            check("kernel BTF", Status::Present, "/sys/kernel/btf/vmlinux, 5.5 MB", None, true),
            check("PROCMAP_QUERY", Status::Limited, "ENOTTY", None, false),
            check("CAP_BPF", Status::Missing, "", Some("sudo aioinspect, or setcap cap_bpf+ep"), true),
        ]
    }

    /// Check the table.
    #[test]
    fn text() {
        let mut out = Vec::new();
        write(&mut out, &checks(), false).unwrap();
        let expected = "\
present  kernel BTF     /sys/kernel/btf/vmlinux, 5.5 MB
limited  PROCMAP_QUERY  ENOTTY
missing  CAP_BPF
         fix: sudo aioinspect, or setcap cap_bpf+ep

dump would not work: CAP_BPF missing
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        let mut out = Vec::new();
        write(&mut out, &checks()[..1], true).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\x1b[32mpresent\x1b[0m  kernel BTF  /sys/kernel/btf/vmlinux, 5.5 MB\n\ndump would work\n"
        );
    }

    /// Check the JSON, and that only what is needed counts.
    #[test]
    fn json() {
        let mut out = Vec::new();
        write_json(&mut out, &Host::Unread("no /proc\n"), Some(&checks()[1..])).unwrap();
        let expected = r#"{"schema_version":1,"dump_would_work":false,
 "host":null,
 "host_error":"no /proc\\n",
 "checks":[
  {"name":"PROCMAP_QUERY","status":"limited","detail":"ENOTTY","fix":null,"needed_for_dump":false,"id":"procmap-query"},
  {"name":"CAP_BPF","status":"missing","detail":"","fix":"sudo aioinspect, or setcap cap_bpf+ep","needed_for_dump":true,"id":"cap-bpf"}]}
"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        assert!(dump_would_work(&checks()[..2]));
        assert!(!dump_would_work(&checks()));
    }
}
