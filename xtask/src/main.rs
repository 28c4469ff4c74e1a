//! Checks and code generation of this repository.
fn main() {}
