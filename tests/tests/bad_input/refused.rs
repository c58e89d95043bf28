//! What a refusal looks like, whatever is refused.

use aioinspect_tests::programs::{self, Output, run_aioinspect};

/// Checks that the program refused with this code: nothing on stdout, one message of ours that has all these words.
#[track_caller]
pub fn refused(output: &Output, code: i32, words: &[&str]) {
    assert_eq!(output.code, code, "{output:?}");
    assert_eq!(output.stdout, "", "{output:?}");
    let message = output.stderr.strip_prefix("aioinspect: ");
    let message = message.unwrap_or_else(|| panic!("not our message: {output:?}"));
    let first = message.lines().next().unwrap_or_default();
    assert!(first.starts_with(|c: char| !c.is_uppercase()), "not in lower case: {first:?}");
    assert!(!first.ends_with('.'), "a full stop: {first:?}");
    assert_eq!(output.stderr.matches("aioinspect: ").count(), 1, "said more than once: {output:?}");
    for word in words {
        assert!(output.stderr.contains(word), "no {word:?} in {output:?}");
    }
    no_panic(output);
}

/// Checks that it did not panic, abort or die.
#[track_caller]
pub fn no_panic(output: &Output) {
    assert!((0..=7).contains(&output.code), "{output:?}");
    assert!(!output.stderr.contains("panicked") && !output.stderr.contains("RUST_BACKTRACE"), "{output:?}");
}

/// Runs with these arguments, which must be refused so.
#[track_caller]
pub fn refuses(args: &[&str], code: i32, words: &[&str]) {
    refused(&run_aioinspect(args), code, words);
}

/// Runs with these arguments, which must succeed; its output.
#[track_caller]
pub fn accepts(args: &[&str]) -> Output {
    let output = run_aioinspect(args);
    assert_eq!(output.code, 0, "{args:?}: {output:?}");
    output
}

/// Whether the test can run: it needs root. Says so if not.
pub fn can(test: &str) -> bool {
    let root = programs::is_root();
    if !root {
        programs::skip(test, "needs root");
    }
    root
}
