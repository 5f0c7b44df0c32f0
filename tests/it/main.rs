//! The real binary, end to end. Each test has a local cloud of its own: a free port, a temporary home.

mod durability;
mod support;
