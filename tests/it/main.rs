//! The real binary, end to end. Each test has a local cloud of its own: a free port, a temporary home.

mod bad_input;
mod durability;
mod failures;
mod first_session;
mod help;
mod support;
