//! The rows of `list --by`: what contexts come to that have something in common.

use std::io::{self, Write};

use aioinspect_model::finding::Finding;
use aioinspect_model::groups::{Group, GroupKey, Grouping, groups};
use aioinspect_model::owner_sums::Sum;
use aioinspect_model::picture::ContextView;

use crate::escape::escape;
use crate::fields::cell::Cell;
use crate::fields::choice::name_of;
use crate::fields::{Field, Summed, View, float};
use crate::json::each_line;
use crate::listing::{List, Listed};
use crate::owner_name::owner_name;

/// A group, with what names it and what its slots are a part of.
#[derive(Debug)]
pub struct GroupRow<'a> {
    group: Group,
    /// One of its contexts.
    example: &'a ContextView,
    /// fs.aio-max-nr.
    limit: u64,
    /// The worst finding, as a list of it.
    worst: Option<[Finding; 1]>,
}

/// The groups of what is shown, those of the most slots first.
pub fn rows<'a>(list: &List<'a>, by: Grouping) -> Vec<GroupRow<'a>> {
    let row = |group: Group| {
        let example = *list.contexts.get(group.example)?;
        let worst = group.worst.map(|worst| [worst]);
        Some(GroupRow { group, example, limit: list.system.aio_max_nr, worst })
    };
    groups(&list.contexts, 0..list.contexts.len(), by).into_iter().filter_map(row).collect()
}

/// `-` if nothing is known, `5+` if there is more that is not.
pub(crate) fn sum_text(sum: Sum) -> String {
    let more = if sum.has_gaps() { "+" } else { "" };
    sum.value().map_or_else(|| "-".to_owned(), |number| format!("{number}{more}"))
}

/// How many thousandths of a percent of the limit that is, cut off and not rounded: 100,000 means all of it. `None`: not known, or there is
/// no limit.
fn share(sum: Sum, limit: u64) -> Option<u64> {
    let sum = sum.value().filter(|_| !sum.has_gaps())?;
    let thousandths = u128::from(sum).checked_mul(100_000)?.checked_div(limit.into())?;
    u64::try_from(thousandths).ok()
}

/// The same for people, with tenths: 0 only of nothing.
pub(crate) fn share_text(sum: Sum, limit: u64) -> String {
    match share(sum, limit) {
        None => "-".to_owned(),
        Some(0..100) if sum.value() > Some(0) => "<0.1%".to_owned(),
        Some(share) => format!("{}.{}%", share / 1000, share % 1000 / 100),
    }
}

impl Listed for GroupRow<'_> {
    fn write(&self, column: Field, text: &mut String) {
        let sums = &self.group.sums;
        text.push_str(&match column.row().summed {
            Summed::Common => match (column, &self.group.key) {
                (Field::Owner, GroupKey::Process(_)) => owner_name(self.example).into_owned(),
                _ => column.of(self.example).text(),
            },
            Summed::Sum(read) => sum_text(read(sums)),
            Summed::Count(read) => read(sums).to_string(),
            Summed::Share(read) => share_text(read(sums), self.limit),
            Summed::Worst => self.group.worst.map_or("-", Finding::code).to_owned(),
            Summed::Greatest(_) | Summed::Never => "-".to_owned(),
        });
    }

    fn findings(&self) -> &[Finding] {
        self.worst.as_ref().map_or(&[], |worst| worst)
    }
}

/// What JSON has of it: the part of the limit is a number in percent.
fn json(row: &GroupRow<'_>, column: Field) -> serde_json::Value {
    let sums = &row.group.sums;
    let known = |sum: Sum| sum.value().filter(|_| !sum.has_gaps());
    match column.row().summed {
        Summed::Sum(read) => known(read(sums)).into(),
        Summed::Count(read) => read(sums).into(),
        Summed::Share(read) => share(read(sums), row.limit).map(|share| float(share) / 1000.0).into(),
        Summed::Worst => row.group.worst.map(Finding::code).into(),
        Summed::Common | Summed::Greatest(_) | Summed::Never => serde_json::Value::Null,
    }
}

/// Appends what the document of `list -J` has of groups: by what they are, and an array with a line each.
pub(crate) fn write_json(out: &mut dyn Write, groups: &[GroupRow<'_>], by: Grouping) -> io::Result<()> {
    let name = name_of(by);
    write!(out, ",\n \"by\":\"{}\",\n \"groups\":[", name.heading().to_ascii_lowercase())?;
    each_line(out, groups, |row, text| {
        let mut keys = serde_json::Map::new();
        // Empty where a table shows `-`.
        let called = if let Cell::Text(name) = name.of(row.example) { escape(name) } else { String::new() };
        keys.insert("name".to_owned(), called.into());
        keys.insert("pid".to_owned(), row.example.pid.0.into());
        keys.insert("comm".to_owned(), escape(&row.example.comm).into());
        for column in Field::on(View::Groups) {
            keys.insert(column.row().id.to_owned(), json(row, column));
        }
        serde_json::to_writer(text, &keys)
    })?;
    out.write_all(b"]")
}

#[cfg(test)]
mod tests {
    use aioinspect_model::owner_sums::by_process;
    use aioinspect_model::picture::About;

    use super::*;
    use crate::fields::choice::{parse_of_groups, usual_of_groups};
    use crate::screen::specimen::{context, host, picture};
    use crate::table::{Style, write_groups};

    fn written(picture: &aioinspect_model::picture::Picture, by: Grouping, columns: &[Field]) -> String {
        let (list, mut out) = (List::from(picture), Vec::new());
        write_groups(&mut out, &list, &rows(&list, by), columns, Style::PLAIN).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// Check the table: sums of which a part is not known, parts of the limit, the footer; and that a name does nothing to a terminal.
    #[test]
    fn table() {
        let text = written(&host(), Grouping::Comm, &usual_of_groups(Grouping::Comm));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[1].split_whitespace().collect::<Vec<_>>(),
            ["mysqld", "1", "2", "4096", "6.2%", "4255", "7", "270336", "ring-full"]
        );
        assert!(lines[2].starts_with("größe 名前 ") && lines[2].contains(" - "), "{text}");
        assert!(lines[3].contains("<0.1%"), "{text}");
        assert!(text.contains("\naio-nr 4256 of 65536, attributed 4256"), "{text}");
        let about = About { user: b"\x1b[2J".to_vec(), ..About::default() };
        let mut hostile = picture(vec![context(1, 1), context(2, 1)]);
        hostile.contexts[0].about = about.into();
        hostile.contexts[1].max_reqs = None;
        let columns = parse_of_groups("USER,MAX_REQS,SHARE", Grouping::User).unwrap();
        let text = written(&hostile, Grouping::User, &columns);
        assert!(
            text.starts_with("USER    MAX_REQS SHARE\n\\x1b[2J      128  0.1%\n-              -     -\n"),
            "{text}"
        );
    }

    /// Check that what is not known is null in JSON, and that parts of the limit are finer there.
    #[test]
    fn json_of_unknown() {
        let mut all = picture(vec![context(1, 1), context(1, 2), context(2, 1)]);
        all.contexts[1].in_flight = None;
        all.contexts[2].max_reqs = Some(6);
        let list = List::from(&all);
        let mut out = Vec::new();
        crate::json::write_grouped(&mut out, &list, &rows(&list, Grouping::Owner), Grouping::Owner).unwrap();
        let said: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let group = &said["groups"][0];
        assert_eq!((&said["by"], &group["name"]), (&"owner".into(), &"".into()));
        assert!(group["in_flight"].is_null() && group["worst"].is_null(), "{group}");
        assert_eq!((&group["max_reqs"], &group["share"]), (&256.into(), &0.39.into()));
        assert_eq!((&group["processes"], &group["contexts"]), (&1.into(), &2.into()));
        // What nothing names is told apart, in a table by its name as well.
        assert_eq!((&said["groups"][1]["pid"], &said["groups"][1]["name"]), (&2.into(), &"".into()));
        let text = written(&all, Grouping::Owner, &usual_of_groups(Grouping::Owner));
        assert!(text.contains("\nworker[1] ") && text.contains("\nworker[2] "), "{text}");
        assert_eq!(by_process(&all.contexts, 0..3).len(), 2);
    }
}
