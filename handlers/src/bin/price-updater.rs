//! The function `price-updater`.

fn main() {}
