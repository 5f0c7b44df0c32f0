//! What every crate of streamctl may use: errors, exit codes, platform code, lengths of time and
//! waiting.
//!
//! Owns no feature and keeps no state. Knows none of the other crates, no terminal and no command line.

pub mod backoff;
pub mod duration;
pub mod error;
pub mod exit;
pub mod file;
pub mod platform;
pub mod shell;
pub mod stop;
pub mod unicode;
pub mod xml;
