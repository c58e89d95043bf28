//! Tests of the arguments.

use std::time::Duration;

use clap::{CommandFactory, Parser};

use crate::cli::{Asked, Cli, Verb, age, duration, looking, pid, size};

#[test]
fn clap_accepts_the_definition() {
    Cli::command().debug_assert();
}

#[test]
fn without_a_verb_the_options_are_those_of_list() {
    let cli = Cli::try_parse_from(["aioinspect", "-J", "-p", "1,2"]).unwrap();
    assert!(cli.verb.is_none());
    assert_eq!(cli.list.pid, [1, 2]);
    assert_eq!(Cli::try_parse_from(["aioinspect", "-v", "list"]).unwrap().verbose, 1);
    assert!(matches!(Cli::try_parse_from(["aioinspect", "list", "-H"]).unwrap().verb, Some(Verb::List(_))));
}

#[test]
fn times_are_bounded_and_have_units() {
    assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
    assert_eq!(duration("5"), Ok(Duration::from_secs(5)));
    assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
    assert_eq!((looking("2s"), looking("1999ms").is_err()), (Ok(Duration::from_secs(2)), true));
    for wrong in ["", "s", "-1s", "5 s", "inf", "NaN", "1e9h", "5x", "ü"] {
        assert!(duration(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn sizes_and_ages_are_bounded() {
    assert_eq!([size("64K"), size("65536"), size("1GiB")], [Ok(1 << 16), Ok(1 << 16), Ok(1 << 30)]);
    for wrong in ["", "1", "63K", "65G", "64m", "-1G", "1.5G", "99999999999999999999G", "64 M", "ü"] {
        assert!(size(wrong).is_err(), "{wrong}");
    }
    assert_eq!([age("7d"), age("12h")], [Ok(Duration::from_secs(604_800)), Ok(Duration::from_secs(43_200))]);
    for wrong in ["", "0d", "d", "3651d", "10ms", "1.5d", "-1d", "25h"] {
        assert!(age(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn pids_are_numbers_in_range() {
    assert_eq!(pid("4194304"), Ok(4_194_304));
    for wrong in ["0", "-1", "4194305", "x", ""] {
        assert!(pid(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn check_takes_a_process_or_a_file() {
    let asked = |text: &str| match Cli::try_parse_from(["aioinspect", "check", text]).ok()?.verb {
        Some(Verb::Check(args)) => args.pid,
        _ => None,
    };
    assert_eq!(asked("12"), Some(Asked::Pid(12)));
    assert_eq!(asked("/"), Some(Asked::Saved("/".into())));
    for wrong in ["0", "no-such-file", "4194305", ""] {
        assert_eq!(asked(wrong), None, "{wrong}");
    }
}
