//! Which columns `list -o` asks for.

use aioinspect_model::groups::Grouping;

use crate::escape::escaped;
use crate::fields::{Field, View};

/// A name that is no column.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown column `{}`; the columns are {columns}", escaped(.name.as_bytes()))]
pub struct UnknownColumn {
    /// As it was written.
    pub name: String,
    /// Those that there are.
    pub columns: String,
}

/// The columns without `-o`.
pub fn usual() -> Vec<Field> {
    Field::on(View::Usual).collect()
}

/// Reads `-o A,B` (these columns) or `-o +A,B` (these besides the usual ones).
///
/// With `+` FINDINGS stays last, where a terminal may cut it; a column that is there already is not shown twice.
pub fn parse(list: &str) -> Result<Vec<Field>, UnknownColumn> {
    chosen(list, usual(), &Field::on(View::List).collect::<Vec<_>>())
}

/// The columns of groups without `-o`: the name, and the usual sums.
pub fn usual_of_groups(by: Grouping) -> Vec<Field> {
    [name_of(by)].into_iter().chain(Field::on(View::UsualGroups)).collect()
}

/// The same as [`parse`] for the columns of groups: the name, and all that is summed.
pub fn parse_of_groups(list: &str, by: Grouping) -> Result<Vec<Field>, UnknownColumn> {
    let all: Vec<Field> = [name_of(by)].into_iter().chain(Field::on(View::Groups)).collect();
    chosen(list, usual_of_groups(by), &all)
}

/// The column that names groups.
pub fn name_of(by: Grouping) -> Field {
    match by {
        Grouping::Process => Field::Pid,
        Grouping::Owner => Field::Owner,
        Grouping::Comm => Field::Comm,
        Grouping::Unit => Field::Unit,
        Grouping::Pod => Field::PodCalled,
        Grouping::User => Field::User,
    }
}

fn chosen(list: &str, usual: Vec<Field>, all: &[Field]) -> Result<Vec<Field>, UnknownColumn> {
    let (mut columns, wanted) = match list.strip_prefix('+') {
        Some(more) => (usual, more),
        None => (Vec::new(), list),
    };
    let findings = columns.pop_if(|column| matches!(column, Field::Findings | Field::Worst));
    for name in wanted.split(',') {
        let column = all.iter().copied().find(|field| field.is_called(name.trim()));
        let column = column.ok_or_else(|| UnknownColumn {
            name: name.to_owned(),
            columns: all.iter().map(|field| field.heading()).collect::<Vec<_>>().join(", "),
        })?;
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

    /// Check the columns of groups: the name that they are by, the sums, and no others.
    #[test]
    fn chosen_of_groups() {
        let sums = "PROCESSES CONTEXTS MAX_REQS SHARE IN_FLIGHT UNREAPED RING_LEN";
        assert_eq!(names(&usual_of_groups(Grouping::Pod)), format!("POD {sums} WORST"));
        let of = |list| parse_of_groups(list, Grouping::User).map(|columns| names(&columns));
        assert_eq!(of("user,max_reqs").unwrap(), "USER MAX_REQS");
        assert_eq!(of("+slots").unwrap(), format!("USER {sums} NR_EVENTS WORST"));
        for other in ["PID", "POD", "FREE", "FINDINGS"] {
            let said = of(other).unwrap_err().to_string();
            assert!(said.ends_with("columns are USER, PROCESSES, CONTEXTS, MAX_REQS, SHARE, NR_EVENTS, IN_FLIGHT, UNREAPED, RING_LEN, WORST"), "{said}");
        }
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
