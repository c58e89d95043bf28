//! The page of `serve` in a real browser: read, clicked and typed into as by a person.
//!
//! What it shows is held against the fixture's own word and against /proc/sys/fs. Each test ends by asking the browser
//! whether anything went wrong in it: no script may fail, and nothing of the page may offend its own policy.

mod by_itself;
mod driver;
mod hands;
mod owners;
mod unscripted;

use aioinspect_tests::fixture::Fixture;

use driver::Browser;

/// The row of a context.
fn row(fixture: &Fixture, id: u64) -> String {
    format!("#contexts tbody tr[data-key=\"{}\"]", key(fixture, id))
}

/// What the page calls a context.
fn key(fixture: &Fixture, id: u64) -> String {
    format!("{}:{id:#x}", fixture.pid())
}

/// The keys of the rows, in their order.
fn keys(browser: &Browser) -> Vec<String> {
    let keys = browser
        .run("return [...document.querySelectorAll('#contexts tbody tr')].map(r => r.dataset.key)", &[]);
    serde_json::from_value(keys).unwrap()
}

/// The keys of a fixture's rows, in their order.
fn keys_of(browser: &Browser, fixture: &Fixture) -> Vec<String> {
    let prefix = format!("{}:", fixture.pid());
    keys(browser).into_iter().filter(|key| key.starts_with(&prefix)).collect()
}

/// The cells of a column, as numbers.
fn numbers(browser: &Browser, column: usize) -> Vec<u64> {
    let cells = browser.texts(&format!("#contexts tbody td:nth-child({column})"));
    cells.iter().map(|cell| cell.parse().unwrap_or_else(|_| panic!("column {column}: {cells:?}"))).collect()
}

/// What the panel knows of its ring: head, tail, in flight, unreaped.
fn ring(browser: &Browser) -> [String; 4] {
    ["head", "tail", "in-flight", "unreaped"]
        .map(|name| browser.attribute("#ring-panel", &format!("data-{name}")).unwrap_or_default())
}

/// The same by the fixture's word.
fn true_ring(fixture: &mut Fixture, ordinal: u32) -> [String; 4] {
    let truth = fixture.truth();
    let context = truth.context(ordinal).unwrap();
    [context.head, context.tail, context.in_flight, context.unreaped].map(|number| number.to_string())
}

/// Has a fixture call itself so.
fn rename(fixture: &mut Fixture, comm: &str) {
    use std::fmt::Write as _;
    let hex = comm.bytes().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    fixture.run(&format!("set-comm {hex}"));
}
