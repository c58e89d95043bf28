//! Tests of the arguments.

use std::time::Duration;

use clap::{CommandFactory, Parser};

use crate::cli::{Cli, Verb, duration, pid, restore_on};

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
    for wrong in ["", "s", "-1s", "5 s", "inf", "NaN", "1e9h", "5x", "ü"] {
        assert!(duration(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn pids_and_cpus_are_numbers_in_range() {
    assert_eq!(pid("4194304"), Ok(4_194_304));
    for wrong in ["0", "-1", "4194305", "x", ""] {
        assert!(pid(wrong).is_err(), "{wrong}");
    }
    assert_eq!(restore_on("cpus=64"), Ok(64));
    for wrong in ["64", "cpus=", "cpus=0", "cpus=99999"] {
        assert!(restore_on(wrong).is_err(), "{wrong}");
    }
}
