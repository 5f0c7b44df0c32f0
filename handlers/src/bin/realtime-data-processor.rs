//! The function `realtime-data-processor`.

fn main() {}
