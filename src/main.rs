//! camlens
fn main(){}
