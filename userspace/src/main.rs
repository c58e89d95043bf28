//! The command `aioinspect`.
fn main() {}
