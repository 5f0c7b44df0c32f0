//! The function `retail-event-processor`.

fn main() {}
