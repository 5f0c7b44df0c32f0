//! The bodies of PutRecords and GetRecords, written from records and read into them without a tree of values, in JSON or
//! CBOR.
//!
//! Knows nothing of requests, and nothing of the engines that put and read.

pub mod cbor;
mod format;
pub mod get;
pub mod put;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

pub use format::Format;
pub use get::{ReadChild, ReadRecord, ReadRecords};
pub use put::{EntryResult, PutAnswer, Refusal, StoredIn};

/// A body that is not what the API specifies.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub(crate) String);
