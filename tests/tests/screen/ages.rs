//! The age of a context on the screen of the running host.

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::programs::bin;

use crate::pane::{Pane, can};

/// Check that a context that was made under the eyes of the watch has an age in its row and among its facts, and that one of before has none.
#[test]
fn of_contexts() {
    if !can("ages::of_contexts") {
        return;
    }
    let mut fixture = Fixture::spawn();
    fixture.setup(123);
    let script = format!("exec '{}' watch -p {}", bin("aioinspect").display(), fixture.pid());
    let pane = Pane::running(&script, (140, 50), &[]);
    let row = |slots: &str| {
        let shown = pane.now();
        let contexts = shown.split(" contexts ").nth(1).unwrap_or_default().to_owned();
        contexts
            .lines()
            .find(|line| line.contains("0x") && line.split_whitespace().any(|word| word == slots))
            .map(str::to_owned)
    };
    pane.wait("the context of before", || row("123").is_some_and(|row| row.contains(" - ")));
    fixture.setup(45);
    pane.wait("the age of the other", || row("45").is_some_and(|row| row.contains(" s ")));
    assert!(row("123").unwrap().contains(" - "));
}
