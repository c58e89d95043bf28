//! `/proc/PID/mountinfo`: a line for each mount (fs/proc_namespace.c:show_mountinfo).
//!
//! `24 1 0:12 / /sys/kernel/tracing rw,relatime shared:9 - tracefs tracefs rw`: any number of optional fields before the dash; blanks, line feeds
//! and backslashes of a path are octal escapes.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Where file systems of that type are mounted, in the order of the text. Lines of another shape are passed over.
pub fn places_of(text: &[u8], kind: &[u8]) -> Vec<PathBuf> {
    let place = |line: &[u8]| {
        let mut fields = line.split(|byte| *byte == b' ');
        let place = fields.nth(4)?;
        let of = fields.skip_while(|field| *field != b"-").nth(1)?;
        (of == kind).then(|| PathBuf::from(OsString::from_vec(unescaped(place))))
    };
    text.split(|byte| *byte == b'\n').filter_map(place).collect()
}

/// The options of the file system that is mounted at that place, the last one there: what it was mounted with, not what this mount of it adds.
pub fn options_at<'a>(text: &'a [u8], place: &[u8]) -> Option<&'a [u8]> {
    let options = |line: &'a [u8]| {
        let mut fields = line.split(|byte| *byte == b' ');
        let here = fields.nth(4)?;
        let options = fields.skip_while(|field| *field != b"-").nth(3)?;
        (here == place).then_some(options)
    };
    text.split(|byte| *byte == b'\n').filter_map(options).next_back()
}

fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = match after.get(..3) {
            Some(digits) if *first == b'\\' => {
                str::from_utf8(digits).ok().and_then(|digits| u8::from_str_radix(digits, 8).ok())
            }
            Some(_) | None => None,
        };
        path.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/vda rw
24 22 0:12 / /sys/kernel/tracing rw,nosuid shared:9 master:1 - tracefs tracefs rw
31 22 0:12 / /mnt/a\\040b\\134 ro - tracefs none rw
40 22 0:40 / /mnt/- rw - tmpfs tracefs rw
cut 22 0:12 /
41 22 0:41 / /mnt/x rw shared:3
";

    /// Check that the type is taken from behind the dash, and that a path is given as it is.
    #[test]
    fn places() {
        let tracefs = places_of(TEXT, b"tracefs");
        assert_eq!(tracefs, [PathBuf::from("/sys/kernel/tracing"), PathBuf::from("/mnt/a b\\")]);
        assert_eq!(places_of(TEXT, b"tmpfs"), [PathBuf::from("/mnt/-")]);
        assert!(places_of(TEXT, b"securityfs").is_empty());
        assert!(places_of(b"", b"tracefs").is_empty());
    }

    /// Check that options are those of the file system, of the last mount at a place.
    #[test]
    fn options() {
        let text = b"30 22 0:5 / /proc rw,nosuid shared:9 - proc proc rw,gid=4,hidepid=invisible\n\
            31 22 0:5 / /proc/x rw - proc proc rw\n32 30 0:5 / /proc rw - proc proc rw,hidepid=2\ncut 22 0:5 / /proc rw -\n";
        assert_eq!(options_at(text, b"/proc"), Some(&b"rw,hidepid=2"[..]));
        assert_eq!(options_at(text, b"/proc/x"), Some(&b"rw"[..]));
        assert_eq!(options_at(text, b"/sys"), None);
    }
}
