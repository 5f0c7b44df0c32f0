//! Control plane of one stream: its description ([`state`], [`shards`]), changes to it ([`change`], [`desired`], [`reshard`],
//! [`split`], [`balance`]), what decides on them ([`autoscale`], [`budget`], [`divide`]) and waiting for a change to complete
//! ([`wait`]).
//!
//! Works only through [`crate::context::Context`]. Reports progress as [`event::Event`]s.

pub mod account;
pub mod autoscale;
pub mod balance;
pub mod budget;
pub mod change;
pub mod channels;
pub mod consumers;
pub mod desired;
pub mod divide;
pub mod event;
pub mod keys;
pub mod list;
mod quota;
pub mod reference;
pub mod reshard;
mod scale;
pub mod shards;
pub mod split;
pub mod state;
pub mod trail;
pub mod wait;
pub mod whereabouts;

pub use change::{Capacity, Changer, NewStream};
pub use desired::{Desired, Difference};
pub use event::{Event, Events};
pub use list::{Filter, NamePattern, StreamEntry, TagFilter, Totals, list};
pub use quota::MODE_SWITCHES_A_DAY;
pub use reference::StreamReference;
pub use shards::{Listing, Shard, ShardMap};
pub use state::{Mode, ShardMetric, Status, StreamState, describe, observe, observe_as_allowed};
pub use wait::{wait_until_active, wait_until_gone};
pub use whereabouts::not_found;

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
