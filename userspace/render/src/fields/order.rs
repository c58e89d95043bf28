//! How rows are sorted: by a field, in its usual order or turned around. What is not known comes last, either way.

use std::cmp::Ordering;

use crate::fields::Field;
use crate::fields::rank::Rank;

/// A sorted column, and whether its order is turned around.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// The column that rows are sorted by.
    pub field: Field,
    /// Whether the order is not the usual one.
    pub reverse: bool,
}

impl Order {
    /// By a column, in its usual order.
    pub(crate) fn by(field: Field) -> Self {
        Self { field, reverse: false }
    }

    /// By the column after this one.
    #[must_use]
    pub(crate) fn next(self, fields: &[Field]) -> Self {
        let mut following = fields.iter().copied().cycle().skip_while(|field| *field != self.field);
        // A cycle through a list that has the field ends only in an empty list.
        let found = if fields.contains(&self.field) { following.nth(1) } else { fields.first().copied() };
        Self::by(found.unwrap_or(self.field))
    }

    /// Whether the greatest come first.
    pub(crate) fn descends(self) -> bool {
        self.field.row().greatest_first != self.reverse
    }

    /// How two rows stand.
    pub(crate) fn compare(self, one: Rank<'_>, other: Rank<'_>) -> Ordering {
        let found = match (one, other) {
            (Rank::Unknown, Rank::Unknown) => return Ordering::Equal,
            (Rank::Unknown, _) => return Ordering::Greater,
            (_, Rank::Unknown) => return Ordering::Less,
            (Rank::Number(one), Rank::Number(other)) => one.cmp(&other),
            (Rank::Text(one), Rank::Text(other)) => one.cmp(other),
            (Rank::Number(_), Rank::Text(_)) => Ordering::Less,
            (Rank::Text(_), Rank::Number(_)) => Ordering::Greater,
        };
        if self.descends() { found.reverse() } else { found }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::View;

    /// Check that unknown is last whichever way one sorts, and that numbers start with the greatest.
    #[test]
    fn sorting() {
        let mut rows = [Rank::Unknown, Rank::Number(2), Rank::Number(30)];
        let order = Order::by(Field::InFlight);
        rows.sort_by(|a, b| order.compare(*a, *b));
        assert_eq!(rows, [Rank::Number(30), Rank::Number(2), Rank::Unknown]);
        rows.sort_by(|a, b| Order { reverse: true, ..order }.compare(*a, *b));
        assert_eq!(rows, [Rank::Number(2), Rank::Number(30), Rank::Unknown]);
    }

    /// Check that every column comes next once, and then the first again.
    #[test]
    fn next_column() {
        let fields: Vec<Field> = Field::on(View::Contexts).collect();
        let mut order = Order { field: Field::Pid, reverse: true };
        let mut seen = Vec::new();
        for _ in &fields {
            seen.push(order.field);
            order = order.next(&fields);
        }
        assert_eq!((seen, order), (fields, Order::by(Field::Pid)));
    }
}
