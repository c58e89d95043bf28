//! What the address of the page asks for: `?q=mysqld&sort=-pid&pid=812&context=0x7f39bb64d000`.

use crate::page::html::encoded;

/// The query of the page's address. What cannot be read is as if it were not there.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PageQuery {
    /// What a row must have in it to be shown.
    pub q: Option<String>,
    /// The column that is sorted by, with `-` before it for the other direction.
    pub sort: Option<String>,
    /// The process of the context that is shown.
    pub pid: Option<u32>,
    /// The context that is shown.
    pub context: Option<u64>,
}

impl PageQuery {
    /// Reads what stands after the question mark; of several values of one name the last counts.
    pub fn parse(query: &str) -> PageQuery {
        let mut read = PageQuery::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value);
            match name {
                "q" => read.q = Some(value).filter(|value| !value.trim().is_empty()),
                "sort" => read.sort = Some(value).filter(|value| !value.is_empty()),
                "pid" => read.pid = value.parse().ok(),
                "context" => read.context = address(&value),
                _ => {}
            }
        }
        read
    }

    /// The context that is shown: both numbers, or none.
    pub fn selected(&self) -> Option<(u32, u64)> {
        self.pid.zip(self.context)
    }

    /// The address of the page with this sorting and this context, and the filter that there is.
    pub(super) fn link(&self, sort: Option<&str>, selected: Option<(u32, u64)>) -> String {
        let mut parts = Vec::new();
        if let Some(q) = &self.q {
            parts.push(format!("q={}", encoded(q)));
        }
        if let Some(sort) = sort {
            parts.push(format!("sort={}", encoded(sort)));
        }
        if let Some((pid, context)) = selected {
            parts.push(format!("pid={pid}&context={context:#x}"));
        }
        if parts.is_empty() { "./".to_owned() } else { format!("?{}", parts.join("&")) }
    }
}

/// An address with `0x` before it, or a decimal number.
fn address(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        // from_str_radix takes a sign as well.
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            u64::from_str_radix(digits, 16).ok()
        }
        Some(_) => None,
        None => text.parse().ok(),
    }
}

/// `+` and `%NN` as a form sends them; a `%` that begins no such thing is itself, and what is not UTF-8 is replaced.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let (byte, after) = match (first, after) {
            (b'%', [high, low, after @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, after),
                _ => (b'%', rest.get(1..).unwrap_or_default()),
            },
            (b'+', after) => (b' ', after),
            (byte, after) => (*byte, after),
        };
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Check what a form and the page's own links send.
    #[test]
    fn known() {
        let read = PageQuery::parse("q=a+b%26%3c&sort=-pid&pid=812&context=0x7F39bb64d000");
        assert_eq!(read.q.as_deref(), Some("a b&<"));
        assert_eq!(read.sort.as_deref(), Some("-pid"));
        assert_eq!(read.selected(), Some((812, 0x7f39_bb64_d000)));
        assert_eq!(PageQuery::parse(""), PageQuery::default());
    }

    /// Check that what cannot be read is as if it were not there.
    #[test]
    fn unreadable() {
        for query in ["pid=-1&context=0x", "pid=4294967296&context=0x+1", "q=&sort=&pid&context", "&&=&%%%"] {
            assert_eq!(PageQuery::parse(query), PageQuery::default(), "{query}");
        }
        assert_eq!(PageQuery::parse("q=%zz%4&q=%ff").q.as_deref(), Some("\u{fffd}"));
        assert_eq!(PageQuery::parse("q=%zz%4").q.as_deref(), Some("%zz%4"));
    }

    proptest! {
        /// Check that no text makes it panic, and that a link's query reads back as what made it.
        #[test]
        fn any_text(query: String, q: Option<String>, sort: Option<String>, selected: Option<(u32, u64)>) {
            let _ = PageQuery::parse(&query);
            let made = PageQuery { q: q.filter(|q| !q.trim().is_empty()), ..PageQuery::default() };
            let sort = sort.filter(|sort| !sort.is_empty());
            let link = made.link(sort.as_deref(), selected);
            let read = PageQuery::parse(link.trim_start_matches(['.', '/', '?']));
            prop_assert_eq!(read.selected(), selected);
            prop_assert_eq!((read.q, read.sort), (made.q, sort));
        }
    }
}
