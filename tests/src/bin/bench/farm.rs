//! The crowd that is counted: 1,000 processes with 10 contexts each.

use aioinspect_tests::fixture::Fixture;

/// How many processes there are.
pub(crate) const PROCESSES: u32 = 1_000;
/// Contexts of each.
pub(crate) const EACH: u32 = 10;

/// Starts them; they end with the fixture.
pub(crate) fn farm() -> Fixture {
    let mut fixture = Fixture::spawn();
    fixture.run(&format!("farm {PROCESSES} {EACH} 1"));
    fixture
}
