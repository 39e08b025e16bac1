//! camlens
fn main() {}
