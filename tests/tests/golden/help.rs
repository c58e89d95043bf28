//! What `--help` says.

use std::path::Path;

use aioinspect::cli::Cli;
use clap::CommandFactory;

use crate::blessed::Comparison;

/// Columns of a pipe, where clap knows no width.
const WIDTH: usize = 100;

/// Check the help of the program and of each verb, word for word.
#[test]
fn is_as_it_was() {
    let mut all = Comparison::default();
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/help");
    let mut program = Cli::command().term_width(WIDTH);
    program.build();
    all.compare(&place.join("aioinspect.txt"), &program.render_long_help().to_string());
    let mut verbs = vec!["aioinspect.txt".to_owned()];
    for verb in program.get_subcommands_mut().filter(|verb| verb.get_name() != "help") {
        let file = format!("{}.txt", verb.get_name());
        all.compare(&place.join(&file), &verb.render_long_help().to_string());
        verbs.push(file);
    }
    all.done();
    let files =
        std::fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<String> = files.collect();
    files.sort();
    verbs.sort();
    assert_eq!(files, verbs, "a help text for each verb, and none left over");
}
