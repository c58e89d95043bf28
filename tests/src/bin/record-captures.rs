//! Records tests/captures anew, or only the captures named: see tests/captures/README.md.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::{env, io};

use aioinspect_tests::record::{RECIPES, record};

fn main() -> ExitCode {
    let wanted: Vec<String> = env::args().skip(1).collect();
    let mut says = io::stderr().lock();
    let mut code = ExitCode::SUCCESS;
    for name in &wanted {
        if !RECIPES.iter().any(|recipe| recipe.name == name.as_str()) {
            // Nobody to tell if that fails.
            let _ = writeln!(says, "record-captures: no recipe {name}");
            return ExitCode::from(2);
        }
    }
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
    for recipe in RECIPES.iter().filter(|recipe| wanted.is_empty() || wanted.iter().any(|n| n == recipe.name))
    {
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
