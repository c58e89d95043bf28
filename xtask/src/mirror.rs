//! The package mirror that this host uses, from apt's lists of sources in both their formats (sources.list(5)).

use std::fs;
use std::path::PathBuf;

/// Where a host that names no mirror of Debian is sent.
const DEFAULT: &str = "http://deb.debian.org/debian";
/// The same for the suites of security updates, which are an archive of their own.
const DEFAULT_SECURITY: &str = "http://deb.debian.org/debian-security";

/// The mirror of this Debian suite.
pub(crate) fn of(suite: &str) -> String {
    let dir = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = dir.map(|entry| entry.path()).collect();
    files.sort();
    files.insert(0, PathBuf::from("/etc/apt/sources.list"));
    let mut sources = Vec::new();
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => sources.extend(one_line(&text)),
            Some("sources") => sources.extend(deb822(&text)),
            _ => {}
        }
    }
    let default = if is_security(suite) { DEFAULT_SECURITY } else { DEFAULT };
    choose(&sources, suite).unwrap_or(default).to_owned()
}

/// A place that packages come from, and one of its suites.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    uri: String,
    suite: String,
}

impl Source {
    fn new(uri: &str, suite: &str) -> Self {
        Self { uri: uri.trim_end_matches('/').to_owned(), suite: suite.to_owned() }
    }
}

/// A source of the very suite, or else the archive that has it: of security updates or Debian's main one, of another suite.
fn choose<'a>(sources: &'a [Source], suite: &str) -> Option<&'a str> {
    let usable = || {
        sources.iter().filter(|source| {
            ["http://", "https://", "file:/"].iter().any(|scheme| source.uri.starts_with(scheme))
        })
    };
    let exact = usable().find(|source| source.suite == suite);
    let archive = || {
        usable().find(|source| {
            if is_security(suite) {
                source.uri.ends_with("/debian-security")
            } else {
                source.uri.ends_with("/debian") && !source.suite.contains(['-', '/'])
            }
        })
    };
    exact.or_else(archive).map(|source| source.uri.as_str())
}

fn is_security(suite: &str) -> bool {
    suite.ends_with("-security")
}

/// `deb [option=value ..] uri suite component..` a line.
fn one_line(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some(rest) = line.strip_prefix("deb").filter(|rest| rest.starts_with([' ', '\t', '['])) else {
            continue;
        };
        let rest = rest.trim_start();
        let rest =
            rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or(rest, |(_, rest)| rest);
        let mut words = rest.split_whitespace();
        if let (Some(uri), Some(suite)) = (words.next(), words.next()) {
            sources.push(Source::new(uri, suite));
        }
    }
    sources
}

/// Stanzas of `Field: value`, continued by lines that begin with a blank.
fn deb822(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    for stanza in lines.split(|line| line.trim().is_empty()) {
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in stanza {
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = fields.last_mut() {
                    value.push_str(line);
                }
            } else if let Some((name, value)) = line.split_once(':') {
                fields.push((name.to_ascii_lowercase(), value.to_owned()));
            }
        }
        let words = |field: &str| -> Vec<&str> {
            let found = fields.iter().find(|(name, _)| name == field);
            found.into_iter().flat_map(|(_, value)| value.split_whitespace()).collect()
        };
        if !words("types").contains(&"deb")
            || words("enabled").first().is_some_and(|word| word.eq_ignore_ascii_case("no"))
        {
            continue;
        }
        for uri in words("uris") {
            sources.extend(words("suites").into_iter().map(|suite| Source::new(uri, suite)));
        }
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check the format of one line a source, with options, comments and sources of sources.
    #[test]
    fn reads_lines() {
        let text = "# deb http://x/debian old main\ndeb-src http://s/debian bookworm main\n\
            deb [signed-by=/k arch=amd64] http://m/debian/ bookworm main # mine\ndeb\thttp://u trixie main\ndeb broken\n";
        let expected = [Source::new("http://m/debian", "bookworm"), Source::new("http://u", "trixie")];
        assert_eq!(one_line(text), expected);
    }

    /// Check stanzas, with comments inside, continued fields, and those that are switched off or of sources.
    #[test]
    fn reads_stanzas() {
        let text = "Types: deb deb-src\n# snapshot\nURIs: http://m/debian\nSuites: bookworm\n bookworm-updates\nComponents: main\n\n\
            Types: deb\nEnabled: no\nURIs: http://off\nSuites: bookworm\n\nTypes: deb-src\nURIs: http://s\nSuites: bookworm\n";
        let expected =
            [Source::new("http://m/debian", "bookworm"), Source::new("http://m/debian", "bookworm-updates")];
        assert_eq!(deb822(text), expected);
    }

    /// Check that the suite itself is preferred, that another suite's archive serves, and that security's serves security alone.
    #[test]
    fn chooses_a_mirror() {
        let sources = [
            Source::new("cdrom:x", "bookworm"),
            Source::new("http://m/debian-security", "bookworm-security"),
            Source::new("http://t/debian", "trixie"),
            Source::new("http://m/debian", "bookworm"),
        ];
        assert_eq!(choose(&sources, "bookworm"), Some("http://m/debian"));
        assert_eq!(choose(&sources, "sid"), Some("http://t/debian"));
        assert_eq!(choose(&sources[..2], "bookworm"), None);
        assert_eq!(choose(&sources, "bullseye-security"), Some("http://m/debian-security"));
        assert_eq!(choose(&sources[2..], "bullseye-security"), None);
    }
}
