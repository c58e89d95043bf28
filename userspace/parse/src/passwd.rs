//! `/etc/passwd`: a line for each user, its parts between colons (passwd(5)).
//!
//! ```text
//! mysql:x:999:999:MySQL Server:/var/lib/mysql:/bin/false
//! ```

use std::collections::HashMap;

/// Names of users by their number: of several lines the first counts, as for getpwuid(3). What is no such line is passed over.
pub fn names_by_uid(text: &[u8]) -> HashMap<u32, Vec<u8>> {
    let mut names = HashMap::new();
    for line in text.split(|byte| *byte == b'\n') {
        let mut parts = line.split(|byte| *byte == b':');
        let (Some(name), Some(_), Some(uid)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let is_name = !name.is_empty() && !name.starts_with(b"#") && uid.iter().all(u8::is_ascii_digit);
        let uid = str::from_utf8(uid).ok().and_then(|uid| uid.parse().ok());
        if let Some(uid) = uid.filter(|_| is_name) {
            names.entry(uid).or_insert_with(|| name.to_vec());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Check that the first name of a number counts, and that what is no user is none.
    #[test]
    fn users() {
        let text = b"root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:/bin/sh\n\n#a:x:5:5\n:x:6:6\n\
            +nis::\nb:x:-1:0\nc:x:+7:0\nd:x:4294967296:0\nmy\xff:x:999:999:::\nshort:x\nnobody:x:4294967295";
        let names = names_by_uid(text);
        let of = |uid: u32| names.get(&uid).map(Vec::as_slice);
        assert_eq!(of(0), Some(b"root".as_slice()));
        assert_eq!(of(999), Some(b"my\xff".as_slice()));
        assert_eq!(of(u32::MAX), Some(b"nobody".as_slice()));
        assert_eq!(names.len(), 3, "{names:?}");
    }

    proptest! {
        /// Check that no text makes it panic.
        #[test]
        fn any_text(bytes: Vec<u8>, text in "([a-z#+]{0,3}:x?:[-+0-9]{0,11}(:[0-9]*)?\n){0,6}") {
            let _ = (names_by_uid(&bytes), names_by_uid(text.as_bytes()));
        }
    }
}
