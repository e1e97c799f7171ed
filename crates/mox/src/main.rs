//! The mox binary.

fn main() {}
