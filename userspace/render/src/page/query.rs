//! What the address of the page asks for: `?q=mysqld&sort=-pid&pid=812&context=0x7f39bb64d000`.

use form_urlencoded::Serializer;

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
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "q" => read.q = Some(value.into_owned()).filter(|value| !value.trim().is_empty()),
                "sort" => read.sort = Some(value.into_owned()).filter(|value| !value.is_empty()),
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
        let mut query = Serializer::new(String::new());
        query.extend_pairs(self.q.as_ref().map(|q| ("q", q)));
        query.extend_pairs(sort.map(|sort| ("sort", sort)));
        if let Some((pid, context)) = selected {
            query.append_pair("pid", &pid.to_string()).append_pair("context", &format!("{context:#x}"));
        }
        let query = query.finish();
        if query.is_empty() { "./".to_owned() } else { format!("?{query}") }
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
