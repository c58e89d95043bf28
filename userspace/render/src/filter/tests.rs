//! Checks of the language: what passes, what is refused, and where the caret stands.

use proptest::prelude::*;

use crate::filter::*;

const COLUMNS: [(&str, ValueKind); 6] = [
    ("PID", ValueKind::Number),
    ("COMM", ValueKind::Text),
    ("IN_FLIGHT", ValueKind::Number),
    ("MAPPED", ValueKind::Bool),
    ("OWNER.UNIT", ValueKind::Text),
    ("UNKNOWN", ValueKind::Number),
];

fn column(name: &str) -> Option<(usize, ValueKind)> {
    let at = COLUMNS.iter().position(|(known, _)| known.eq_ignore_ascii_case(name))?;
    Some((at, COLUMNS[at].1))
}

/// One row: PID 42, "mariadbd", in flight -3, mapped, "db.service", and one column without a value.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "a column is handed over by reference, whatever it is")]
fn cell(column: &usize) -> Value<'static> {
    match column {
        0 => Value::Number(42),
        1 => Value::Text("mariadbd".into()),
        2 => Value::Number(-3),
        3 => Value::Bool(true),
        4 => Value::Text("db.service".into()),
        _ => Value::Null,
    }
}

fn passes(text: &str) -> bool {
    Filter::parse(text, column).unwrap_or_else(|error| panic!("{error}")).matches(cell)
}

/// Check every operator in both spellings, literals of all kinds, and columns in any case.
#[test]
fn operators() {
    for text in [
        "PID == 42",
        "pid eq 0x2A",
        "42 == Pid",
        "PID != 41 && PID ne 43",
        "PID < 43 and PID lt 43",
        "PID <= 42 AND PID le 42",
        "PID > -1 and PID gt 41",
        "PID >= 42 and PID ge 42",
        "IN_FLIGHT == -3",
        "IN_FLIGHT == -0x3",
        "PID<43&&PID>41",
        "COMM == \"mariadbd\"",
        "COMM == 'mariadbd'",
        "COMM < 'n'",
        "COMM =~ '^maria(db)?d$'",
        "COMM !~ \"sql\"",
        "owner.unit =~ '\\.service$'",
        "MAPPED",
        "MAPPED == true and MAPPED != false",
        "true or PID == 0",
        "{ pid } == 42",
        "(((PID))) == (42)",
        "'a\"b' == \"a\\\"b\"",
        "\"\\\\d\" != 'd'",
    ] {
        assert!(passes(text), "{text}");
        assert!(!passes(&format!("!({text})")), "!({text})");
    }
}

/// Check that and binds closer than or, and not closer than both.
#[test]
fn precedence() {
    assert!(passes("PID == 42 or PID == 1 and PID == 2"));
    assert!(!passes("(PID == 42 or PID == 1) and PID == 2"));
    assert!(!passes("not PID == 42 and true"));
    assert!(passes("not PID == 1 and true"));
    assert!(passes("!!MAPPED && ! not MAPPED"));
    assert!(passes("false || false || MAPPED"));
    assert!(!passes("true && true && !MAPPED"));
}

/// Check that what is not known is neither this nor that.
#[test]
fn null_compares_false() {
    for text in
        ["UNKNOWN == 0", "UNKNOWN != 0", "UNKNOWN < 1", "UNKNOWN >= 0", "UNKNOWN == UNKNOWN", "PID == null"]
    {
        assert!(!passes(text), "{text}");
    }
    for text in ["UNKNOWN == null", "null == UNKNOWN", "PID != null", "not (UNKNOWN == 0)", "null == null"] {
        assert!(passes(text), "{text}");
    }
    let filter = Filter::parse("COMM !~ 'x' or COMM =~ 'x' or MAPPED", column).unwrap();
    assert!(!filter.matches(|_| Value::Null));
    // A row that breaks its word is taken for one without a value.
    assert!(!filter.matches(|_| Value::Number(1)));
}

/// Check the message and the place of each mistake.
#[test]
fn mistakes() {
    let end = "expression ends where a column or a value is expected";
    for (text, message, start, len) in [
        ("", end, 0, 0),
        ("PID == ", end, 6, 0),
        ("PID == 1 && FOO == 2", "unknown column FOO", 12, 3),
        ("PID = 1", "unexpected '=': equal is ==", 4, 1),
        ("PID == 1 & true", "unexpected '&': and is &&", 9, 1),
        ("PID", "a number is not a condition: compare it with something", 0, 3),
        ("null", "null is not a condition: compare it with something", 0, 4),
        ("true && COMM", "text is not a condition: compare it with something", 8, 4),
        ("PID == 'x'", "a number cannot be compared with text", 0, 10),
        ("PID < null", "null has no order: use == null or != null", 4, 1),
        ("MAPPED < true", "true and false have no order", 7, 1),
        ("PID =~ 'x'", "a regular expression searches text, not a number", 0, 3),
        ("COMM =~ COMM", "a regular expression is written in quotes", 8, 4),
        ("(PID == 1", "parenthesis is never closed", 0, 1),
        ("PID == 1)", "unexpected closing parenthesis", 8, 1),
        ("PID == 1 PID", "unexpected column", 9, 3),
        ("PID == 1 == true", "unexpected operator", 9, 2),
        ("(PID == 1) == true", "a condition cannot be compared", 0, 10),
        ("PID == 12x", "12x is not a number", 7, 3),
        ("PID == 0x", "0x is not a number", 7, 2),
        ("PID == 1.5", "1.5 is not a number", 7, 3),
        ("COMM == 'x", "text without its closing '", 8, 2),
        ("COMM == {x", "column without its closing }", 8, 2),
        ("{or} == 1", "unknown column or", 0, 4),
        ("&& true", "unexpected and", 0, 2),
    ] {
        let error = Filter::parse(text, column).unwrap_err();
        let place = (error.message.as_str(), error.span.start, error.span.end - error.span.start);
        assert_eq!(place, (message, start, len), "{text}");
    }
    let error = Filter::parse("COMM =~ '('", column).unwrap_err();
    assert!(error.message.starts_with("bad regular expression: "), "{error}");
}

/// Check that the caret counts characters and not bytes, and that the line stays one line.
#[test]
fn carets() {
    let error = Filter::parse("COMM == 'é\n' && FOO", column).unwrap_err();
    assert_eq!(error.to_string(), "unknown column FOO\n  COMM == 'é ' && FOO\n                  ^^^");
    let error = Filter::parse("PID ==", column).unwrap_err();
    assert!(error.to_string().ends_with("\n  PID ==\n        ^"), "{error}");
}

/// Check the limits of length and depth, that a chain is not deep, and that large regular expressions are refused.
#[test]
fn limits() {
    let nested = |depth: usize| format!("{}true{}", "(".repeat(depth), ")".repeat(depth));
    assert!(passes(&nested(MAX_DEPTH)));
    assert_eq!(Filter::parse(&nested(MAX_DEPTH + 1), column).unwrap_err().message, "nested deeper than 64");
    assert!(Filter::parse(&format!("{}true", "!".repeat(MAX_DEPTH + 1)), column).is_err());
    assert!(passes(&vec!["true"; MAX_LEN / 8].join("&&")));
    assert!(Filter::parse(&" ".repeat(MAX_LEN + 1), column).unwrap_err().message.contains("longer than"));
    assert!(Filter::parse("COMM =~ '((x{500}){500}){500}'", column).is_err());
}

/// Check that a caller can learn which columns it must fill.
#[test]
fn columns_asked_for() {
    let filter = Filter::parse("PID == 1 && (COMM =~ 'x' || !MAPPED) && UNKNOWN != null", column).unwrap();
    assert_eq!(filter.columns(), [&0, &1, &3, &5]);
}

proptest! {
    /// Check that no text makes it panic, nor its error.
    #[test]
    fn any_text(text in ".{0,40}", words in proptest::collection::vec(
        prop::sample::select(vec!["PID", "COMM", "MAPPED", "==", "<", "=~", "!~", "&&", "or", "!", "(", ")", "1",
            "'a'", "null", "true", "é", "\"", "-", "{", "}"]), 0..12)) {
        for text in [text, words.join(" ")] {
            match Filter::parse(&text, column) {
                Ok(filter) => { filter.matches(cell); }
                Err(error) => {
                    prop_assert!(error.span.start <= error.span.end && error.span.end <= text.len());
                    prop_assert!(error.to_string().lines().count() == 3);
                }
            }
        }
    }

    /// Check comparisons of numbers against Rust's own.
    #[test]
    fn numbers(left: i64, right: i64) {
        let same = |sign: &str| passes(&format!("{left} {sign} {right}"));
        prop_assert_eq!(same("<"), left < right);
        prop_assert_eq!(same(">="), left >= right);
        prop_assert_eq!(same("=="), left == right);
    }
}
