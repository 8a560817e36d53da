//! The kvik binary.

fn main() {}
