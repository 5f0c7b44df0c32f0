//! Control plane of one stream: its description ([`state`], [`shards`]), changes to it ([`change`], [`desired`], [`reshard`]) and
//! waiting for a change to complete ([`wait`]).
//!
//! Works only through [`crate::context::Context`]. Reports progress as [`event::Event`]s.

pub mod change;
pub mod channels;
pub mod consumers;
pub mod desired;
pub mod event;
pub mod keys;
pub mod list;
mod quota;
pub mod reference;
pub mod reshard;
pub mod shards;
pub mod split;
pub mod state;
pub mod wait;

pub use change::{Capacity, Changer, NewStream};
pub use desired::{Desired, Difference};
pub use event::{Event, Events};
pub use list::{StreamEntry, list};
pub use reference::StreamReference;
pub use shards::{Listing, Shard, ShardMap};
pub use state::{Mode, ShardMetric, Status, StreamState, observe};
pub use wait::{not_found, wait_until_active, wait_until_gone};

use ground::error::{Error, Result};

/// Checks a stream name: 1 to 128 characters of `a-zA-Z0-9_.-`.
/// Source: CreateStream, `StreamName`, Kinesis API reference.
///
/// # Errors
/// Exit 2.
pub fn check_name(name: &str) -> Result<()> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    if !name.is_empty() && name.len() <= 128 && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(Error::usage(format!("{name:?} is not a stream name"))
        .hint("use 1 to 128 letters, digits, `_`, `.` or `-`"))
}

#[cfg(test)]
mod tests;
