//! The metrics of `aioinspect serve` against the fixture's own word, on every kernel: nothing but the program and the fixture is needed.

mod truth;
