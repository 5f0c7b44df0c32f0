//! Groups: several tails share the shards of a stream.
//!
//! Each shard has a lease in a DynamoDB table with the name of the group, in the form of the Kinesis Client Library (KCL 2
//! and 3). So the position of a KCL application can be read, shown and reset, and the other way round. A member renews its
//! leases, takes those of members that died, and takes its share of those of others: they finish the batch in hand, keep
//! its checkpoint, and only then hand the lease over.
//!
//! Knows the stream as a [`ShardSource`](super::ShardSource) and the table as [`Leases`].
//!
//! Source of names and forms: the KCL's lease table as described in "Kinesis Client Library" of the Kinesis developer
//! guide, and the attributes of its leases.

mod admin;
mod balance;
mod lease;
mod member;
mod table;
#[cfg(test)]
mod tests;

use async_trait::async_trait;

pub use admin::{Group, LeaseState, ResetPlan, list, reset_plan, shards, show, write_reset};
pub use lease::{Checkpoint, Lease};
pub use member::{Member, MemberOptions};
pub use table::Table;

use ground::error::{Error, Result};

/// The leases of a group. Conditional changes return whether the condition held.
#[async_trait]
pub trait Leases: Send + Sync + 'static {
    /// All leases.
    async fn list(&self) -> Result<Vec<Lease>>;

    /// Creates `lease` if there is none with its key.
    async fn create(&self, lease: &Lease) -> Result<bool>;

    /// Sets the counter of `key` to one more than `counter`, if it has that and `owner` owns it or hands it over.
    async fn renew(&self, key: &str, owner: &str, counter: i64) -> Result<bool>;

    /// Makes `owner` the owner of `lease`, if it is as it was read.
    async fn take(&self, lease: &Lease, owner: &str) -> Result<bool>;

    /// Asks the owner of `lease` to hand it over to `owner`, if it is still the owner.
    async fn claim(&self, lease: &Lease, owner: &str) -> Result<bool>;

    /// Keeps the checkpoint of `key`, if `owner` owns it or hands it over.
    async fn checkpoint(&self, key: &str, owner: &str, sequence_number: &str) -> Result<bool>;

    /// Keeps that the shard of `key` was read to its end, if `owner` owns it or hands it over. Nobody owns it then.
    async fn end(&self, key: &str, owner: &str, children: &[String]) -> Result<bool>;

    /// Gives up the lease of `key`, or hands it over to the member that claims it.
    async fn release(&self, key: &str, owner: &str) -> Result<bool>;
}

/// Checks the name of a group, which is that of a table.
/// Source: "Naming rules and data types", DynamoDB developer guide.
///
/// # Errors
/// Exit 2.
pub fn check_name(name: &str) -> Result<()> {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    match (3..=255).contains(&name.len()) && name.chars().all(is_safe) {
        true => Ok(()),
        false => Err(Error::usage(format!("{name:?} is not the name of a group"))
            .hint("use 3 to 255 letters, digits, `_`, `.` or `-`")),
    }
}
