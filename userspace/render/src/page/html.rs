//! The one way by which text gets into the page, and a template whose gaps are filled in one pass.

/// Appends text, as it may stand between tags and in an attribute's double or single quotes.
pub(super) fn put(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
}

/// The same as a text of its own.
pub(super) fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    put(text, &mut out);
    out
}

/// A number, or `-` where it is not known.
pub(super) fn number<N: ToString>(known: Option<N>) -> String {
    known.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

/// A text, or `-` for none.
pub(super) fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

/// Fills each `{{name}}` of a template; what is filled in is HTML, and is not searched for gaps again.
pub(super) fn fill(template: &str, mut gap: impl FnMut(&str, &mut String)) -> String {
    let mut out = String::with_capacity(template.len().saturating_mul(4));
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        gap(name, &mut out);
        rest = after;
    }
    out.push_str(rest);
    out
}
