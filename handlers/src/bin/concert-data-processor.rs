//! The function `concert-data-processor`.

fn main() {}
