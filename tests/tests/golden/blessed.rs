//! Expected texts: compared exactly, or written anew.

use std::fs;
use std::path::{Path, PathBuf};

/// The directory of the captures.
pub(crate) fn captures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures")
}

/// The top of the checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(1).unwrap().to_path_buf()
}

/// Text of a file of the checkout.
pub(crate) fn text_of(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Whether expected texts are to be written anew.
pub(crate) fn is_blessing() -> bool {
    std::env::var_os("AIOINSPECT_BLESS").is_some_and(|value| !value.is_empty())
}

/// Compares texts with their files, all of them before it fails.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    differences: Vec<String>,
}

impl Comparison {
    /// Compares one; with AIOINSPECT_BLESS set, writes it.
    pub(crate) fn compare(&mut self, path: &Path, is: &str) {
        if is_blessing() {
            fs::write(path, is).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            return;
        }
        match fs::read_to_string(path) {
            Ok(expected) if expected == is => {}
            Ok(expected) => self.differences.push(difference(path, &expected, is)),
            Err(error) => self.differences.push(format!("{}: {error}", path.display())),
        }
    }

    /// Fails if anything differed.
    pub(crate) fn done(self) {
        assert!(
            self.differences.is_empty(),
            "{} texts differ; AIOINSPECT_BLESS=1 writes them anew\n{}",
            self.differences.len(),
            self.differences.join("\n")
        );
    }
}

fn difference(path: &Path, expected: &str, is: &str) -> String {
    let at = expected.lines().zip(is.lines()).take_while(|(a, b)| a == b).count();
    let line = |text: &str| text.lines().nth(at).unwrap_or("(end of text)").to_owned();
    format!("{}:{}\n  expected: {}\n  is:       {}", path.display(), at + 1, line(expected), line(is))
}
