//! What is typed after `/`: an expression of `list -Q`, or else any part of a name or number.

use crate::fields::{Field, search};
use crate::filter::{Filter, FilterError};
use aioinspect_model::picture::ContextView;

/// Which contexts are shown.
#[derive(Debug)]
pub(super) enum Search {
    /// No filter: every row matches.
    All,
    /// Those for which it is true.
    Expression(Filter<Field>),
    /// Those that have it somewhere, in upper or lower case.
    Text {
        /// What is looked for, in lower case.
        wanted: String,
        /// Why it is not a valid filter.
        why: FilterError,
    },
}

impl Search {
    /// Reads what was typed.
    pub(super) fn of(typed: &str) -> Self {
        if typed.trim().is_empty() {
            return Search::All;
        }
        match Filter::parse(typed, |name| Field::named(name).map(|field| (field, field.row().kind))) {
            Ok(filter) => Search::Expression(filter),
            Err(why) => Search::Text { wanted: typed.trim().to_lowercase(), why },
        }
    }

    /// What is wrong with it, if it seems to be meant as an expression and is none.
    pub(super) fn wrong(&self) -> Option<&str> {
        match self {
            Search::Text { wanted, why } if wanted.contains(['=', '<', '>', '~', '&', '|', '"', '\'']) => {
                Some(&why.message)
            }
            Search::All | Search::Expression(_) | Search::Text { .. } => None,
        }
    }

    /// Whether a context is shown.
    pub(super) fn matches(&self, context: &ContextView) -> bool {
        match self {
            Search::All => true,
            Search::Expression(filter) => filter.matches(|field| field.of(context).value()),
            Search::Text { wanted, .. } => search::has(context, wanted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::specimen::host;

    fn found(typed: &str) -> Vec<u32> {
        let search = Search::of(typed);
        host()
            .contexts
            .iter()
            .filter(|context| search.matches(context))
            .map(|context| context.pid.0)
            .collect()
    }

    /// Check that a word is looked for in each place, whatever its case.
    #[test]
    fn words() {
        assert_eq!(found(""), found("  "));
        assert_eq!(found("").len(), 5);
        assert_eq!(found("MYSQL"), [812, 812]);
        assert_eq!(found("mariadb.serv"), [812, 812]);
        assert_eq!(found("203"), [20_311, 20_311]);
        assert_eq!(found("7f96cff33"), [20_311]);
        assert_eq!(found("4F5E6D"), [20_311, 20_311]);
        assert_eq!(found("ring-full"), [812]);
        assert_eq!(found("GRÖSSE"), [0_u32; 0]);
        assert_eq!(found("größe"), [31_016]);
        assert_eq!(found("GRÖßE 名"), [31_016]);
        assert_eq!(found("-"), [812, 812, 20_311, 20_311, 31_016]);
        assert_eq!(found("nothing"), [0_u32; 0]);
    }

    /// Check that an expression is one, and that half of one is a text.
    #[test]
    fn expressions() {
        assert_eq!(found("in_flight > 33"), [812]);
        assert_eq!(found("in_flight == null or findings =~ 'idle'"), [20_311, 20_311, 31_016]);
        assert_eq!(found("in_flight >"), [0_u32; 0]);
        assert!(matches!(Search::of("in_flight >"), Search::Text { .. }));
        assert_eq!(
            Search::of("in_flight >").wrong(),
            Some("expression ends where a column or a value is expected")
        );
        assert_eq!((Search::of("mysql").wrong(), Search::of("pid > 1").wrong()), (None, None));
    }
}
