//! Which columns `list -o` asks for.

use crate::escape::escaped;
use crate::fields::{Field, View};

/// A name that is no column.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown column `{}`; the columns are {}", escaped(.0.as_bytes()), names())]
pub struct UnknownColumn(pub String);

fn names() -> String {
    Field::on(View::List).map(Field::heading).collect::<Vec<_>>().join(", ")
}

/// The columns without `-o`.
pub fn usual() -> Vec<Field> {
    Field::on(View::Usual).collect()
}

/// Reads `-o A,B` (these columns) or `-o +A,B` (these besides the usual ones).
///
/// With `+` FINDINGS stays last, where a terminal may cut it; a column that is there already is not shown twice.
pub fn parse(list: &str) -> Result<Vec<Field>, UnknownColumn> {
    let (mut columns, wanted) = match list.strip_prefix('+') {
        Some(more) => (usual(), more),
        None => (Vec::new(), list),
    };
    let findings = columns.pop_if(|column| *column == Field::Findings);
    for name in wanted.split(',') {
        let column = Field::named(name.trim()).ok_or_else(|| UnknownColumn(name.to_owned()))?;
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

    fn names(columns: &[Field]) -> String {
        columns.iter().map(|column| column.heading()).collect::<Vec<_>>().join(" ")
    }

    /// Check the usual columns, which the README shows, and both forms of `-o`, with an old name.
    #[test]
    fn chosen() {
        let shown = "PID COMM CONTEXT MAX_REQS NR_EVENTS IN_FLIGHT UNREAPED";
        assert_eq!(names(&usual()), format!("{shown} FINDINGS"));
        assert_eq!(names(&parse("comm,PID,pid").unwrap()), "COMM PID PID");
        assert_eq!(names(&parse("slots,NR_EVENTS").unwrap()), "NR_EVENTS NR_EVENTS");
        let more = parse("+unit, HEAD,pid,slots,findings").unwrap();
        assert_eq!(names(&more), format!("{shown} UNIT HEAD FINDINGS"));
    }

    /// Check that an error says what there is, and cannot be used to write to the terminal.
    #[test]
    fn unknown() {
        let error = parse("pid,\x1bx").unwrap_err().to_string();
        assert!(error.starts_with("unknown column `\\x1bx`; the columns are PID, COMM, "), "{error}");
        assert!(parse("").is_err());
        assert!(parse("+").is_err());
    }
}
