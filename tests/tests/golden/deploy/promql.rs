//! The names in a PromQL expression. promtool judges the grammar; this only tells metrics from labels.

use std::collections::BTreeSet;

/// Metrics and labels that an expression names.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub metrics: BTreeSet<String>,
    pub labels: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Sign(char),
}

/// Words that are followed by a list of labels in parentheses.
const LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
const OPERATORS: [&str; 5] = ["and", "or", "unless", "offset", "bool"];

/// Words and signs; strings, numbers and ranges are left out.
fn tokens(expr: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut chars = expr.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' | '\'' => {
                while let Some(inside) = chars.next() {
                    match inside {
                        '\\' => drop(chars.next()),
                        end if end == c => break,
                        _ => {}
                    }
                }
            }
            '[' => drop(chars.by_ref().find(|c| *c == ']')),
            c if c.is_alphanumeric() || "_:$.".contains(c) => {
                let mut word = String::from(c);
                while let Some(next) = chars.next_if(|c| c.is_alphanumeric() || "_:.".contains(*c)) {
                    word.push(next);
                }
                if c.is_alphabetic() || c == '_' {
                    tokens.push(Token::Word(word));
                }
            }
            c if c.is_whitespace() => {}
            sign => tokens.push(Token::Sign(sign)),
        }
    }
    tokens
}

/// Tells what an expression names.
pub(super) fn names(expr: &str) -> Names {
    let mut names = Names::default();
    let tokens = tokens(expr);
    let mut until = None;
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| tokens.get(at));
        let next = tokens.get(at + 1);
        match token {
            Token::Sign('{') => until = Some('}'),
            Token::Sign('(') if matches!(before, Some(Token::Word(word)) if LISTS.contains(&word.as_str())) =>
            {
                until = Some(')');
            }
            Token::Sign(sign) if until == Some(*sign) => until = None,
            Token::Sign(_) => {}
            Token::Word(word) if until.is_some() => drop(names.labels.insert(word.clone())),
            Token::Word(word) if LISTS.contains(&word.as_str()) || OPERATORS.contains(&word.as_str()) => {}
            Token::Word(word) => {
                let aggregates =
                    matches!(next, Some(Token::Word(next)) if ["by", "without"].contains(&next.as_str()));
                if !aggregates && next != Some(&Token::Sign('(')) {
                    names.metrics.insert(word.clone());
                }
            }
        }
    }
    names
}

/// Check that names are told apart, and that text in strings is none.
#[test]
fn names_are_told_apart() {
    let is = names(
        r#"sum by (job, le) (rate(a_total{result!="no \" x{y", i=~"$i"}[$__rate_interval])) * on (j) group_left (n)
           max without (p) (b:c:d offset 5m) > bool 1e3 or time() - e < 24 * 3600 unless f"#,
    );
    assert_eq!(is.metrics.iter().map(String::as_str).collect::<Vec<_>>(), ["a_total", "b:c:d", "e", "f"]);
    assert_eq!(
        is.labels.iter().map(String::as_str).collect::<Vec<_>>(),
        ["i", "j", "job", "le", "n", "p", "result"]
    );
}
