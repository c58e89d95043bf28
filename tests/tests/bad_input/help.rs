//! Help and version: results, not errors, with what a caller must know.

use crate::refused::accepts;

/// Check that help and version succeed, on stdout alone, for the program and each verb.
#[test]
fn are_results() {
    let version = accepts(&["--version"]);
    assert_eq!(version.stdout, format!("aioinspect {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(accepts(&["-V"]), version);
    for args in [&["--help"][..], &["-h"], &["help"], &["help", "dump"], &["dump", "-h"]] {
        let help = accepts(args);
        assert!(help.stdout.contains("Usage:") && help.stderr.is_empty(), "{help:?}");
    }
}

/// Check that each verb names its exit codes, and dump what it does to a process.
#[test]
fn say_what_a_caller_must_know() {
    for verb in [&[][..], &["list"], &["check"], &["dump"], &["amend"], &["show"], &["doctor"]] {
        let help = accepts(&[verb, &["--help"]].concat()).stdout;
        let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for code in [
            "0 success",
            "1 error",
            "2 wrong arguments",
            "3 no such",
            "4 not permitted",
            "5 check failed",
            "6 timed",
        ] {
            assert!(words.contains(code), "{verb:?} --help has no {code:?}");
        }
    }
    assert!(accepts(&["dump", "--help"]).stdout.contains("EINTR"));
}
