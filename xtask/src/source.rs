//! Rust source as the rules of tidy see it: without comments, the text of strings, and the code that only tests have.

/// Blanks comments, strings, character literals and every item under `#[cfg(test)]`; line breaks stay, so that lines keep
/// their numbers.
pub fn code_of(text: &str) -> String {
    without_tests(&blanked(text))
}

/// Paths the code names: the segments of each `a::b::c`, with every branch of a `use a::{b, c::d}` as one of its own, and the
/// line it is on.
pub fn paths_of(code: &str) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    let mut tokens = tokens(code).into_iter().peekable();
    let mut prefix: Vec<String> = Vec::new();
    // For each brace that is open: the length of the path it belongs to, or none for a block of code.
    let mut braces: Vec<Option<usize>> = Vec::new();
    while let Some((line, token)) = tokens.next() {
        let base = braces.last().copied().flatten().unwrap_or(0);
        match token {
            "{" => braces.push(None),
            "}" => {
                braces.pop();
                prefix.truncate(braces.last().copied().flatten().unwrap_or(0));
            }
            word if word.starts_with(|c: char| c.is_alphabetic() || c == '_') => {
                prefix.truncate(base);
                prefix.push(word.to_owned());
                let mut is_group = false;
                while tokens.next_if(|&(_, token)| token == "::").is_some() {
                    match tokens.peek() {
                        Some(&(_, "{")) => {
                            tokens.next();
                            braces.push(Some(prefix.len()));
                            is_group = true;
                        }
                        Some(&(_, next)) if next.starts_with(|c: char| c.is_alphabetic() || c == '_') => {
                            prefix.push(next.to_owned());
                            tokens.next();
                        }
                        _ => {}
                    }
                }
                if !is_group {
                    if prefix.len() > 1 {
                        found.push((line, prefix.clone()));
                    }
                    prefix.truncate(base);
                }
            }
            _ => {}
        }
    }
    found
}

/// Words, `::`, braces, and any other character by itself, each with its line.
fn tokens(code: &str) -> Vec<(usize, &str)> {
    let mut tokens = Vec::new();
    for (nth, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let length = if word > 0 {
                word
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            let (token, after) = rest.split_at(length);
            tokens.push((nth + 1, token));
            rest = after.trim_start();
        }
    }
    tokens
}

/// What the scanner is in the middle of.
#[derive(Clone, Copy)]
enum In {
    Code,
    LineComment,
    BlockComment(u32),
    /// With the number of `#` of a raw string; none where backslashes escape.
    Text(Option<usize>),
}

fn blanked(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut within = In::Code;
    let mut rest = text;
    let mut last = ' ';
    while let Some(first) = rest.chars().next() {
        let (skip, next) = match within {
            In::Code => enter(rest, last),
            In::LineComment => (first.len_utf8(), if first == '\n' { In::Code } else { within }),
            In::BlockComment(depth) if rest.starts_with("*/") => {
                (2, if depth == 0 { In::Code } else { In::BlockComment(depth - 1) })
            }
            In::BlockComment(depth) if rest.starts_with("/*") => (2, In::BlockComment(depth + 1)),
            In::Text(None) if first == '\\' => (1 + rest.chars().nth(1).map_or(0, char::len_utf8), within),
            In::Text(None) if first == '"' => (1, In::Code),
            In::Text(Some(hashes)) if rest.starts_with(&format!("\"{}", "#".repeat(hashes))) => {
                (1 + hashes, In::Code)
            }
            In::BlockComment(_) | In::Text(_) => (first.len_utf8(), within),
        };
        let (passed, after) = rest.split_at(skip.min(rest.len()));
        let kept = matches!((within, next), (In::Code, In::Code)) && !passed.starts_with('\'');
        code.extend(passed.chars().map(|c| if kept || c == '\n' { c } else { ' ' }));
        last = passed.chars().last().unwrap_or(' ');
        within = next;
        rest = after;
    }
    code
}

/// At code: how much to pass, and what begins there.
fn enter(rest: &str, last: char) -> (usize, In) {
    if rest.starts_with("//") {
        return (2, In::LineComment);
    }
    if rest.starts_with("/*") {
        return (2, In::BlockComment(0));
    }
    if rest.starts_with('"') {
        return (1, In::Text(None));
    }
    let starts_word = !last.is_alphanumeric() && last != '_';
    if starts_word && let Some(raw) = ["r", "br", "cr"].iter().find_map(|prefix| rest.strip_prefix(prefix)) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw.trim_start_matches('#').starts_with('"') {
            return (rest.len() - raw.len() + hashes + 1, In::Text(Some(hashes)));
        }
    }
    if rest.starts_with('\'') {
        return (character_length(rest), In::Code);
    }
    (rest.chars().next().map_or(1, char::len_utf8), In::Code)
}

/// The length of the character literal at the start, or 1 for the quote of a lifetime.
fn character_length(rest: &str) -> usize {
    let mut characters = rest.char_indices().skip(1);
    match characters.next() {
        Some((_, '\\')) => {
            characters.next();
            rest.char_indices().skip(3).find(|&(_, c)| c == '\'').map_or(1, |(at, _)| at + 1)
        }
        Some(_) => match characters.next() {
            Some((at, '\'')) => at + 1,
            _ => 1,
        },
        None => 1,
    }
}

fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some((before, after)) = rest.split_once(MARK) {
        out.push_str(before);
        let (item, remaining) = after.split_at(item_length(after));
        out.extend(item.chars().filter(|&c| c == '\n'));
        rest = remaining;
    }
    out.push_str(rest);
    out
}

/// The length of the item at the start: to its `;`, or to the brace that closes its first.
fn item_length(code: &str) -> usize {
    let mut depth = 0_u32;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that comments and texts vanish and code stays, quotes of every kind included.
    #[test]
    fn blanks_what_is_not_code() {
        let text = concat!(
            "a // sys::x\n",
            "b /* sys /* nested */ still */ c\n",
            "d(\"sys \\\" \\\\\", 'e', '\\'', '\"', '\\u{1F600}') f\n",
            "fn g<'a>(x: &'a str) r#\"sys \" \"# h br\"sys\" i\n",
            "j = \"two\nlines\"; k",
        );
        let code = code_of(text);
        assert!(!code.contains("sys"), "{code}");
        for word in ["a ", "b ", " c", "d(", " f", "fn g<", "(x: &", " h ", " i", "j = ", "; k"] {
            assert!(code.contains(word), "{word}: {code}");
        }
        assert_eq!(code.lines().count(), text.lines().count());
    }

    /// Check that what only tests have is not seen, and what follows it is.
    #[test]
    fn leaves_out_tests() {
        let code =
            code_of("a;\n#[cfg(test)]\nmod t {\n fn x() { sys::y(); }\n}\nb;\n#[cfg(test)]\nmod far;\nc;");
        assert!(!code.contains("sys") && !code.contains("far"), "{code}");
        assert!(code.contains("a;") && code.contains("b;") && code.contains("c;"));
        assert_eq!(code.lines().count(), 9);
    }

    /// Check that each branch of a `use` is a path, and that a path in the midst of code is found with its line.
    #[test]
    fn finds_paths() {
        let code = "use crate::{sys, model::{units::Slots, finding}};\nfn f() { if a { std::fs::read(x) } }\nuse super::x;";
        let paths: Vec<(usize, String)> =
            paths_of(code).into_iter().map(|(line, path)| (line, path.join("::"))).collect();
        let expected = [
            (1, "crate::sys"),
            (1, "crate::model::units::Slots"),
            (1, "crate::model::finding"),
            (2, "std::fs::read"),
            (3, "super::x"),
        ];
        assert_eq!(paths, expected.map(|(line, path)| (line, path.to_owned())));
    }
}
