//! The real binary, end to end.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod local;
