//! What the address of the page asks for: `?owner=mariadb.service&q=mysqld&sort=-pid&span=1h&pid=812&context=0x7f39bb64d000`.

use form_urlencoded::Serializer;

use aioinspect_model::picture::ContextView;

use crate::page::span::Span;

/// The query of the page's address. What cannot be read is as if it were not there.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PageQuery {
    /// What a row must have in it to be shown.
    pub q: Option<String>,
    /// The column that is sorted by, with `-` before it for the other direction.
    pub sort: Option<String>,
    /// The owner whose contexts are shown alone.
    pub owner: Option<String>,
    /// How far back the plot reaches; `None`: as far as anything is known.
    pub span: Option<Span>,
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
                "owner" => read.owner = Some(value.into_owned()).filter(|value| !value.is_empty()),
                "span" => read.span = Span::named(&value),
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

    /// The same, with the process found where the address names only a context: who passes on an id may not know whose it is.
    pub(super) fn resolved(&self, contexts: &[&ContextView]) -> PageQuery {
        let found = || contexts.iter().find(|context| Some(context.context.0) == self.context);
        let pid = self.pid.or_else(|| Some(found()?.pid.0));
        PageQuery { pid, ..self.clone() }
    }

    /// The address of the page with this sorting and this context, and everything else as it is.
    pub(super) fn link(&self, sort: Option<&str>, selected: Option<(u32, u64)>) -> String {
        self.address(self.owner.as_deref(), sort, self.span, selected)
    }

    /// The address of the page with this owner's contexts alone, or with those of all.
    pub(super) fn owner_link(&self, owner: Option<&str>) -> String {
        self.address(owner, self.sort.as_deref(), self.span, self.selected())
    }

    /// The address of the page with a plot that reaches so far.
    pub(super) fn span_link(&self, span: Span) -> String {
        self.address(self.owner.as_deref(), self.sort.as_deref(), Some(span), self.selected())
    }

    fn address(
        &self,
        owner: Option<&str>,
        sort: Option<&str>,
        span: Option<Span>,
        selected: Option<(u32, u64)>,
    ) -> String {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(owner.map(|owner| ("owner", owner)));
        query.extend_pairs(self.q.as_ref().map(|q| ("q", q)));
        query.extend_pairs(sort.map(|sort| ("sort", sort)));
        query.extend_pairs(span.map(|span| ("span", span.word())));
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
        let read = PageQuery::parse("owner=a%20b&span=1h");
        assert_eq!((read.owner.as_deref(), read.span), (Some("a b"), Some(Span::Hour)));
        assert_eq!(read.owner_link(Some("c&d")), "?owner=c%26d&span=1h");
        assert_eq!(
            (read.owner_link(None), read.span_link(Span::Hours6)),
            ("?span=1h".into(), "?owner=a+b&span=6h".into())
        );
    }

    /// Check that what cannot be read is as if it were not there.
    #[test]
    fn unreadable() {
        for query in [
            "pid=-1&context=0x",
            "pid=4294967296&context=0x+1",
            "q=&sort=&pid&context",
            "&&=&%%%",
            "owner=&span=2h",
        ] {
            assert_eq!(PageQuery::parse(query), PageQuery::default(), "{query}");
        }
        assert_eq!(PageQuery::parse("q=%zz%4&q=%ff").q.as_deref(), Some("\u{fffd}"));
        assert_eq!(PageQuery::parse("q=%zz%4").q.as_deref(), Some("%zz%4"));
    }

    proptest! {
        /// Check that no text makes it panic, and that a link's query reads back as what made it.
        #[test]
        fn any_text(query: String, q: Option<String>, owner: Option<String>, sort: Option<String>, selected: Option<(u32, u64)>) {
            let _ = PageQuery::parse(&query);
            let owner = owner.filter(|owner| !owner.is_empty());
            let made = PageQuery { q: q.filter(|q| !q.trim().is_empty()), owner, ..PageQuery::default() };
            let sort = sort.filter(|sort| !sort.is_empty());
            let link = made.link(sort.as_deref(), selected);
            let read = PageQuery::parse(link.trim_start_matches(['.', '/', '?']));
            prop_assert_eq!(read.selected(), selected);
            prop_assert_eq!((read.q, read.owner, read.sort), (made.q, made.owner, sort));
        }
    }
}
