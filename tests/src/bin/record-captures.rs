//! Records tests/captures anew, as far as they are of such a machine as this, or only the captures named; with `-D DIR` into that directory: see
//! tests/captures/README.md.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, io};

use aioinspect_tests::record::{Machine, RECIPES, record};

fn main() -> ExitCode {
    let mut wanted: Vec<String> = env::args().skip(1).collect();
    let mut captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
    if wanted.first().is_some_and(|first| first == "-D") && wanted.len() >= 2 {
        captures = wanted.drain(..2).next_back().map_or(captures, PathBuf::from);
    }
    let here = Machine::here();
    let mut says = io::stderr().lock();
    let mut code = ExitCode::SUCCESS;
    for name in &wanted {
        let why_not = match RECIPES.iter().find(|recipe| recipe.name == name.as_str()) {
            None => format!("no recipe {name}"),
            Some(recipe) if recipe.on != here => {
                format!("{name} is of {:?}, and this is {here:?}", recipe.on)
            }
            Some(_) => continue,
        };
        // Nobody to tell if that fails.
        let _ = writeln!(says, "record-captures: {why_not}");
        return ExitCode::from(2);
    }
    let is_wanted = |name| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    for recipe in RECIPES.iter().filter(|recipe| recipe.on == here && is_wanted(recipe.name)) {
        let result = record(recipe, &captures);
        let _ = match result {
            Ok(()) => writeln!(says, "{}", recipe.name),
            Err(error) => {
                code = ExitCode::FAILURE;
                writeln!(says, "record-captures: {error:#}")
            }
        };
    }
    code
}
