//! Real labs (being written).
fn main() {}
