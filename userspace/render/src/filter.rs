//! The expressions of `list -Q`, in the language of lsfd(1)'s filters.
//!
//! ```text
//! or     = and { ("||" | "or") and }
//! and    = not { ("&&" | "and") not }
//! not    = { "!" | "not" } compare
//! compare= operand [ operator operand ]
//! operand= COLUMN | {COLUMN} | NUMBER | "text" | 'text' | true | false | null | "(" or ")"
//! operator: == eq  != ne  < lt  <= le  > gt  >= ge  =~ !~ (a regular expression on the right)
//! ```
//! Types are checked when the expression is read, so that an evaluation cannot fail. A column without a value (null)
//! makes every comparison false but `== null`; what is unknown is neither less nor more than anything.

mod lex;
mod parse;

use std::borrow::Cow;
use std::fmt;

use crate::filter::lex::Span;

/// Bytes an expression may have.
pub const MAX_LEN: usize = 4096;
/// How deep parentheses and negations may nest.
pub const MAX_DEPTH: usize = 64;

/// What a column holds, if it holds anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// A whole number.
    Number,
    /// Text, of any bytes.
    Text,
    /// Yes or no.
    Bool,
}

/// One cell of a row, or a literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A whole number: wide enough for all of u64 and i64.
    Number(i128),
    /// Text: a name, a unit, a code.
    Text(Cow<'a, str>),
    /// Yes or no.
    Bool(bool),
    /// Not known, or there is none.
    Null,
}

/// An expression read once, to be asked of many rows. `C` is the caller's name for a column.
#[derive(Debug)]
pub struct Filter<C> {
    root: Node<C>,
}

impl<C> Filter<C> {
    /// Reads an expression; `column` knows the columns by name (as written: case is the caller's to ignore, as
    /// `str::eq_ignore_ascii_case` does) and says what each holds.
    pub fn parse(text: &str, column: impl Fn(&str) -> Option<(C, ValueKind)>) -> Result<Self, FilterError> {
        parse::parse(text, &column).map(|root| Self { root })
    }

    /// Whether a row passes; `cell` gives the row's value of a column. A value of another kind than was said is null.
    pub fn matches<'a>(&self, cell: impl Fn(&C) -> Value<'a>) -> bool {
        self.root.holds(&cell)
    }

    /// The columns it asks for, in the order of writing, each as often as it is written.
    pub fn columns(&self) -> Vec<&C> {
        let mut columns = Vec::new();
        self.root.collect(&mut columns);
        columns
    }
}

/// Why a text is no expression; shown with the place under a caret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    /// The whole expression.
    pub text: String,
    /// First byte and byte after the last of what is wrong; empty at the end of the text.
    pub span: Span,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chars = |end: usize| self.text.char_indices().take_while(|(at, _)| *at < end).count();
        let start = chars(self.span.start);
        let width = chars(self.span.end).saturating_sub(start).max(1);
        // One column a character, whatever it is, so that the caret stands below it.
        let shown: String = self.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        write!(f, "{}\n  {shown}\n  {:start$}{:^<width$}", self.message, "", "")
    }
}

impl std::error::Error for FilterError {}

/// A condition, as a tree.
#[derive(Debug)]
pub(super) enum Node<C> {
    Any(Vec<Node<C>>),
    All(Vec<Node<C>>),
    Not(Box<Node<C>>),
    /// A column or literal that is a condition by itself.
    Truth(Operand<C>),
    Compare(Operand<C>, Relation, Operand<C>),
    /// Whether there is no value.
    IsNull(Operand<C>),
    Matches(Operand<C>, Box<regex_lite::Regex>),
    Differs(Operand<C>, Box<regex_lite::Regex>),
}

/// A side of a comparison.
#[derive(Debug)]
pub(super) enum Operand<C> {
    Column(C, ValueKind),
    Literal(Value<'static>),
}

/// An operator that compares two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    Unequal,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

impl<C> Operand<C> {
    fn value<'a>(&self, cell: &impl Fn(&C) -> Value<'a>) -> Value<'a> {
        match self {
            Operand::Column(column, kind) => {
                let value = cell(column);
                if value.kind() == Some(*kind) { value } else { Value::Null }
            }
            Operand::Literal(value) => value.clone(),
        }
    }
}

impl Value<'_> {
    /// What it is; `None` for null.
    pub fn kind(&self) -> Option<ValueKind> {
        match self {
            Value::Number(_) => Some(ValueKind::Number),
            Value::Text(_) => Some(ValueKind::Text),
            Value::Bool(_) => Some(ValueKind::Bool),
            Value::Null => None,
        }
    }
}

impl<C> Node<C> {
    fn holds<'a>(&self, cell: &impl Fn(&C) -> Value<'a>) -> bool {
        let matched = |operand: &Operand<C>, regex: &regex_lite::Regex| match operand.value(cell) {
            Value::Text(text) => Some(regex.is_match(&text)),
            Value::Number(_) | Value::Bool(_) | Value::Null => None,
        };
        match self {
            Node::Any(nodes) => nodes.iter().any(|node| node.holds(cell)),
            Node::All(nodes) => nodes.iter().all(|node| node.holds(cell)),
            Node::Not(node) => !node.holds(cell),
            Node::Truth(operand) => operand.value(cell) == Value::Bool(true),
            Node::Compare(left, relation, right) => {
                compare(&left.value(cell), &right.value(cell)).is_some_and(|found| relation.holds(found))
            }
            Node::IsNull(operand) => operand.value(cell) == Value::Null,
            Node::Matches(operand, regex) => matched(operand, regex) == Some(true),
            Node::Differs(operand, regex) => matched(operand, regex) == Some(false),
        }
    }

    fn collect<'s>(&'s self, columns: &mut Vec<&'s C>) {
        let mut take = |operand: &'s Operand<C>| {
            if let Operand::Column(column, _) = operand {
                columns.push(column);
            }
        };
        match self {
            Node::Any(nodes) | Node::All(nodes) => nodes.iter().for_each(|node| node.collect(columns)),
            Node::Not(node) => node.collect(columns),
            Node::Compare(left, _, right) => {
                take(left);
                take(right);
            }
            Node::Truth(operand)
            | Node::IsNull(operand)
            | Node::Matches(operand, _)
            | Node::Differs(operand, _) => take(operand),
        }
    }
}

impl Relation {
    fn holds(self, found: std::cmp::Ordering) -> bool {
        match self {
            Relation::Equal => found.is_eq(),
            Relation::Unequal => found.is_ne(),
            Relation::Less => found.is_lt(),
            Relation::LessEqual => found.is_le(),
            Relation::Greater => found.is_gt(),
            Relation::GreaterEqual => found.is_ge(),
        }
    }
}

/// How two values of one kind stand; `None` where one is null.
fn compare(left: &Value<'_>, right: &Value<'_>) -> Option<std::cmp::Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => Some(left.cmp(right)),
        (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
