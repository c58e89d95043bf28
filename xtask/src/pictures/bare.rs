//! A document without what is different at each run: numbers, addresses and the space that they take.

/// Attributes of drawings, whose number of points changes with time.
const DRAWN: [&str; 2] = [" d=\"", " points=\""];

/// The document with a `#` for each number; white space and the content of drawn paths are left out.
pub(super) fn bare(document: &str) -> String {
    let mut rest = document;
    let mut bare = String::with_capacity(document.len());
    while let Some(first) = rest.chars().next() {
        if let Some(inside) = DRAWN.iter().find_map(|name| rest.strip_prefix(name)) {
            rest = inside.split_once('"').map_or("", |(_, after)| after);
        } else if first.is_ascii_digit() {
            let digits: fn(char) -> bool = match rest.strip_prefix("0x") {
                Some(_) => |c| c.is_ascii_hexdigit() || c == 'x',
                None => |c| c.is_ascii_digit() || c == '.',
            };
            rest = rest.trim_start_matches(digits);
            bare.push('#');
        } else {
            if !first.is_whitespace() {
                bare.push(first);
            }
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
    }
    bare
}

/// A number for a text: FNV-1a. Nobody forges pictures.
pub(super) fn number(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that PIDs, addresses, times and their columns make no difference, and that words do.
    #[test]
    fn numbers_make_no_difference() {
        let one = "7192 nginx  0x7f93000 at 05:08:41 99.8%";
        assert_eq!(bare(one), "#nginx#at#:#:##%");
        assert_eq!(bare(one), bare("31000 nginx 0xabc at 23:59:00  100%"));
        assert_ne!(bare(one), bare("7192 mysqld  0x7f93000 at 05:08:41 99.8%"));
        assert_eq!(bare("<path d=\"M0 1L2 3\" class=\"a\"/>"), "<pathclass=\"a\"/>");
        assert_ne!(number("a"), number("b"));
    }
}
