//! The one list of columns of `list`: names, help, and what a context has in each.

use std::borrow::Cow;
use std::fmt::Write as _;

use aioinspect_model::finding::Finding;
use aioinspect_model::picture::ContextView;

use crate::escape::escaped;
use crate::filter::{Kind, Value};

macro_rules! columns {
    ($($name:ident = $heading:literal, $align:ident, $default:literal, $says:literal;)*) => {
        /// A column of `list`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Column { $(#[doc = $says] $name,)* }

        impl Column {
            /// All columns, in the order in which help lists them.
            pub const ALL: &'static [Column] = &[$(Column::$name,)*];

            /// The heading, and the name for `-o` and `-Q`.
            pub fn name(self) -> &'static str {
                match self { $(Column::$name => $heading,)* }
            }

            /// To which side its cells are aligned.
            pub fn align(self) -> Align {
                match self { $(Column::$name => Align::$align,)* }
            }

            /// Whether it is shown unless `-o` says otherwise.
            pub fn is_default(self) -> bool {
                match self { $(Column::$name => $default,)* }
            }

            /// One line for `--help`.
            pub fn says(self) -> &'static str {
                match self { $(Column::$name => $says,)* }
            }
        }
    };
}

columns! {
    Pid = "PID", Right, true, "process; of several that share the memory, the lowest";
    Comm = "COMM", Left, true, "name of the process";
    Context = "CONTEXT", Right, true, "context id (aio_context_t): the address of the ring";
    MaxReqs = "MAX_REQS", Right, true, "argument of io_setup, and what the context costs of aio-max-nr";
    Slots = "SLOTS", Right, true, "slots of the ring (nr_events)";
    InFlight = "IN_FLIGHT", Right, true, "requests submitted and not completed";
    Unreaped = "UNREAPED", Right, true, "completions in the ring that nobody reaped";
    Free = "FREE", Right, false, "slots neither in flight nor unreaped; other CPUs may hold some of them";
    Head = "HEAD", Right, false, "next slot to be reaped, as the process claims";
    Tail = "TAIL", Right, false, "next slot to be filled";
    RingLen = "RING_LEN", Right, false, "bytes of the ring";
    Mapped = "MAPPED", Left, false, "whether the ring is mapped at its address";
    Unit = "UNIT", Left, false, "systemd unit";
    Runtime = "RUNTIME", Left, false, "who runs the container: docker, containerd, cri-o, podman, ..";
    Container = "CONTAINER", Left, false, "container id";
    Pod = "POD", Left, false, "pod UID";
    Owner = "OWNER", Left, false, "container, or else unit";
    Start = "START", Right, false, "start of the process, in clock ticks after boot";
    Findings = "FINDINGS", Left, true, "problems found with this context";
}

/// A side of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers and addresses.
    Right,
}

impl Column {
    /// The default columns.
    pub fn defaults() -> Vec<Column> {
        Column::ALL.iter().copied().filter(|column| column.is_default()).collect()
    }

    /// The column of this name, in upper or lower case.
    pub fn named(name: &str) -> Option<Column> {
        Column::ALL.iter().copied().find(|column| column.name().eq_ignore_ascii_case(name))
    }

    /// Whether it needs the process's cgroup, which costs a file read for each process.
    pub fn is_of_owner(self) -> bool {
        matches!(self, Column::Unit | Column::Runtime | Column::Container | Column::Pod | Column::Owner)
    }

    /// What kind of value it has for `-Q`.
    pub fn kind(self) -> Kind {
        match self {
            Column::Mapped => Kind::Bool,
            Column::Comm
            | Column::Unit
            | Column::Runtime
            | Column::Container
            | Column::Pod
            | Column::Owner
            | Column::Findings => Kind::Text,
            Column::Pid
            | Column::Context
            | Column::MaxReqs
            | Column::Slots
            | Column::InFlight
            | Column::Unreaped
            | Column::Free
            | Column::Head
            | Column::Tail
            | Column::RingLen
            | Column::Start => Kind::Number,
        }
    }

    /// What the context has there for `-Q`: numbers, or text as it is printed, but empty where a table shows `-`.
    pub fn value(self, of: &ContextView) -> Value<'_> {
        match self.cell(of) {
            Cell::Unknown => Value::Null,
            Cell::Number(number) | Cell::Address(number) => Value::Number(number.into()),
            Cell::Text(text) => Value::Text(escaped(text)),
            Cell::Flag(flag) => Value::Bool(flag),
            Cell::Findings(findings) => {
                let mut codes = String::new();
                write_codes(findings, &mut codes);
                Value::Text(Cow::Owned(codes))
            }
        }
    }

    /// Appends the text of the cell. What is not known, or empty, is `-`, so that every line has every field.
    pub fn write(self, of: &ContextView, text: &mut String) {
        match self.cell(of) {
            Cell::Number(number) => write_number(number, text),
            // Writing to a String cannot fail.
            Cell::Address(address) => drop(write!(text, "{address:#x}")),
            Cell::Text(bytes) if !bytes.is_empty() => text.push_str(&escaped(bytes)),
            Cell::Flag(true) => text.push_str("yes"),
            Cell::Flag(false) => text.push_str("no"),
            Cell::Findings(findings @ [_, ..]) => write_codes(findings, text),
            Cell::Unknown | Cell::Text(_) | Cell::Findings([]) => text.push('-'),
        }
    }

    fn cell(self, of: &ContextView) -> Cell<'_> {
        let number = |known: Option<u32>| known.map_or(Cell::Unknown, |number| Cell::Number(number.into()));
        match self {
            Column::Pid => Cell::Number(of.pid.0.into()),
            Column::Comm => Cell::Text(&of.comm),
            Column::Context if of.context.is_known() => Cell::Address(of.context.0),
            Column::Context => Cell::Unknown,
            Column::MaxReqs => number(of.max_reqs),
            Column::Slots => number(of.nr_events),
            Column::InFlight => number(of.in_flight),
            Column::Unreaped => number(of.unreaped),
            Column::Free => number(free(of)),
            Column::Head => number(of.head),
            Column::Tail => number(of.tail),
            Column::RingLen => of.ring_len.map_or(Cell::Unknown, Cell::Number),
            Column::Mapped => of.mapped.map_or(Cell::Unknown, Cell::Flag),
            Column::Unit => Cell::Text(of.owner.unit.as_bytes()),
            Column::Runtime => Cell::Text(of.owner.runtime.as_bytes()),
            Column::Pod => Cell::Text(of.owner.pod.as_bytes()),
            Column::Owner if of.owner.container.is_empty() => Cell::Text(of.owner.unit.as_bytes()),
            Column::Container | Column::Owner => Cell::Text(of.owner.container.as_bytes()),
            Column::Start => Cell::Number(of.start_ticks),
            Column::Findings => Cell::Findings(&of.findings),
        }
    }
}

/// What a context has in a column.
enum Cell<'a> {
    Unknown,
    Number(u64),
    Address(u64),
    Text(&'a [u8]),
    Flag(bool),
    Findings(&'a [Finding]),
}

/// Most cells are small numbers, and the formatting machinery costs more than their digits.
fn write_number(number: u64, text: &mut String) {
    let digit = |number: u64| char::from(b'0' + u8::try_from(number % 10).unwrap_or(0));
    match number {
        0..10 => text.push(digit(number)),
        10..10_000 => {
            write_number(number / 10, text);
            text.push(digit(number));
        }
        // Writing to a String cannot fail.
        _ => drop(write!(text, "{number}")),
    }
}

fn write_codes(findings: &[Finding], text: &mut String) {
    for (place, finding) in findings.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        text.push_str(finding.code());
    }
}

fn free(of: &ContextView) -> Option<u32> {
    of.nr_events?.checked_sub(1)?.checked_sub(of.in_flight?)?.checked_sub(of.unreaped?)
}

/// A name that is no column.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown column `{}`; the columns are {}", escaped(.0.as_bytes()), names())]
pub struct UnknownColumn(pub String);

fn names() -> String {
    Column::ALL.iter().map(|column| column.name()).collect::<Vec<_>>().join(", ")
}

/// Reads `-o A,B` (these columns) or `-o +A,B` (these besides the default ones).
///
/// With `+` FINDINGS stays last, where a terminal may cut it; a column that is there already is not shown twice.
pub fn parse(list: &str) -> Result<Vec<Column>, UnknownColumn> {
    let (mut columns, wanted) = match list.strip_prefix('+') {
        Some(more) => (Column::defaults(), more),
        None => (Vec::new(), list),
    };
    let findings = columns.pop_if(|column| *column == Column::Findings);
    for name in wanted.split(',') {
        let column = Column::named(name.trim()).ok_or_else(|| UnknownColumn(name.to_owned()))?;
        if findings.is_none() || (!columns.contains(&column) && findings != Some(column)) {
            columns.push(column);
        }
    }
    columns.extend(findings);
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(columns: &[Column]) -> String {
        columns.iter().map(|column| column.name()).collect::<Vec<_>>().join(" ")
    }

    /// Check the default columns, which the README shows.
    #[test]
    fn defaults() {
        let shown = "PID COMM CONTEXT MAX_REQS SLOTS IN_FLIGHT UNREAPED FINDINGS";
        assert_eq!(names(&Column::defaults()), shown);
    }

    /// Check both forms of `-o`.
    #[test]
    fn chosen() {
        assert_eq!(names(&parse("comm,PID,pid").unwrap()), "COMM PID PID");
        let more = parse("+unit, HEAD,pid,findings").unwrap();
        assert_eq!(names(&more), "PID COMM CONTEXT MAX_REQS SLOTS IN_FLIGHT UNREAPED UNIT HEAD FINDINGS");
    }

    /// Check that an error says what there is, and cannot be used to write to the terminal.
    #[test]
    fn unknown() {
        let error = parse("pid,\x1bx").unwrap_err().to_string();
        assert!(error.starts_with("unknown column `\\x1bx`; the columns are PID, COMM, "), "{error}");
        assert!(parse("").is_err());
        assert!(parse("+").is_err());
    }

    /// Check that a column's values are of the kind it says, and that what is not known is null.
    #[test]
    fn kinds() {
        let picture = aioinspect_model::reconcile::reconcile(&aioinspect_model::specimen::idle());
        let known = &picture.contexts[0];
        let unknown = ContextView {
            max_reqs: None,
            nr_events: None,
            in_flight: None,
            unreaped: None,
            head: None,
            tail: None,
            ring_len: None,
            mapped: None,
            ..known.clone()
        };
        for column in Column::ALL {
            assert_eq!(column.value(known).kind(), Some(column.kind()));
            assert!(column.value(&unknown).kind().is_none_or(|kind| kind == column.kind()));
        }
        assert_eq!(Column::InFlight.value(&unknown), Value::Null);
        assert_eq!(Column::Free.value(known), Value::Number(382));
        assert_eq!(Column::Findings.value(known), Value::Text("".into()));
    }

    /// Check that no two columns have one name.
    #[test]
    fn names_are_unique() {
        for column in Column::ALL {
            assert_eq!(Column::named(column.name()), Some(*column));
        }
    }
}
