//! The function `concert-stream-processor`.

fn main() {}
