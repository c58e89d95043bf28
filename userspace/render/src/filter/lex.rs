//! The words of a filter expression, each with its place.

/// First byte and byte after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
}

/// A word or sign of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Or,
    And,
    Not,
    Open,
    Close,
    Operator(Operator),
    Number(i128),
    Text(String),
    True,
    False,
    Null,
    Name(String),
}

/// A comparison, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    Unequal,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Matches,
    Differs,
}

/// What is wrong with a word, and where.
pub(super) type Trouble = (Span, String);

/// Longer signs before those they begin with.
const SIGNS: [(&str, Token); 13] = [
    ("||", Token::Or),
    ("&&", Token::And),
    ("==", Token::Operator(Operator::Equal)),
    ("!=", Token::Operator(Operator::Unequal)),
    ("<=", Token::Operator(Operator::LessEqual)),
    (">=", Token::Operator(Operator::GreaterEqual)),
    ("=~", Token::Operator(Operator::Matches)),
    ("!~", Token::Operator(Operator::Differs)),
    ("<", Token::Operator(Operator::Less)),
    (">", Token::Operator(Operator::Greater)),
    ("!", Token::Not),
    ("(", Token::Open),
    (")", Token::Close),
];

/// Words that are not columns, in any case.
const WORDS: [(&str, Token); 12] = [
    ("or", Token::Or),
    ("and", Token::And),
    ("not", Token::Not),
    ("eq", Token::Operator(Operator::Equal)),
    ("ne", Token::Operator(Operator::Unequal)),
    ("lt", Token::Operator(Operator::Less)),
    ("le", Token::Operator(Operator::LessEqual)),
    ("gt", Token::Operator(Operator::Greater)),
    ("ge", Token::Operator(Operator::GreaterEqual)),
    ("true", Token::True),
    ("false", Token::False),
    ("null", Token::Null),
];

/// Takes an expression apart.
pub(super) fn tokens(text: &str) -> Result<Vec<(Span, Token)>, Trouble> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let start = text.len() - rest.len();
        let (token, after) = token(first, rest)
            .map_err(|(len, message)| (Span { start, end: start.saturating_add(len) }, message))?;
        tokens.push((Span { start, end: text.len() - after.len() }, token));
        rest = after.trim_start();
    }
    Ok(tokens)
}

/// The word at the start of `rest`, and what follows; or the bytes that are wrong, and why.
fn token(first: char, rest: &str) -> Result<(Token, &str), (usize, String)> {
    if first == '"' || first == '\'' {
        return quoted(first, rest);
    }
    let negative = rest.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    if first.is_ascii_digit() || negative {
        return number(rest);
    }
    // As lsfd(1) has it: in braces any name is a column, also one that is a word of the language or holds a sign.
    if let Some(inner) = rest.strip_prefix('{') {
        let (name, after) =
            inner.split_once('}').ok_or((rest.len(), "column without its closing }".to_owned()))?;
        return Ok((Token::Name(name.trim().to_owned()), after));
    }
    if first.is_ascii_alphabetic() || first == '_' {
        let (word, after) = word(rest);
        let known = WORDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
        return Ok((known.map_or_else(|| Token::Name(word.to_owned()), |(_, token)| token.clone()), after));
    }
    for (sign, token) in SIGNS {
        if let Some(after) = rest.strip_prefix(sign) {
            return Ok((token, after));
        }
    }
    let hint = match first {
        '=' => ": equal is ==",
        '&' => ": and is &&",
        '|' => ": or is ||",
        _ => "",
    };
    Err((first.len_utf8(), format!("unexpected {first:?}{hint}")))
}

/// Letters, digits and what column names hold.
fn word(rest: &str) -> (&str, &str) {
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '%')));
    rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or((rest, ""))
}

/// A decimal number, or a hexadecimal one after `0x`.
fn number(rest: &str) -> Result<(Token, &str), (usize, String)> {
    let (sign, digits) = rest.strip_prefix('-').map_or((1, rest), |digits| (-1, digits));
    let (word, after) = word(digits);
    let hex = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X"));
    let (digits, radix) = hex.map_or((word, 10), |hex| (hex, 16));
    // The sign was taken off: a second one is not a digit.
    let magnitude = Some(digits).filter(|digits| digits.chars().all(|c| c.is_digit(radix)));
    match magnitude.and_then(|digits| i128::from_str_radix(digits, radix).ok()) {
        Some(n) => Ok((Token::Number(sign * n), after)),
        None => Err((rest.len() - after.len(), format!("{word} is not a number"))),
    }
}

/// Text between quotes. A backslash before the quote that ends it makes it part of the text; every other backslash
/// stays, since regular expressions are full of them.
fn quoted(quote: char, rest: &str) -> Result<(Token, &str), (usize, String)> {
    let mut text = String::new();
    let mut chars = rest.chars();
    chars.next();
    while let Some(c) = chars.next() {
        if c == quote {
            return Ok((Token::Text(text), chars.as_str()));
        }
        if c != '\\' {
            text.push(c);
            continue;
        }
        match chars.next() {
            Some(escaped) if escaped == quote => text.push(quote),
            Some(escaped) => text.extend([c, escaped]),
            None => text.push(c),
        }
    }
    Err((rest.len(), format!("text without its closing {quote}")))
}
