//! The bodies of PutRecords and GetRecords, written from records and read into them without a tree of values, in JSON or
//! CBOR ([`crate::context::Formats`]).
//!
//! Only bodies are replaced ([`exchange`]): endpoints, credentials, signatures, time limits and errors are the SDK's. Knows
//! nothing of the engines that put and read.

mod cbor;
mod exchange;
mod get;
mod put;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use exchange::{code_in_cbor, get_records, put_records};
pub(crate) use get::{ReadChild, ReadRecord, ReadRecords};
pub use put::{EntryResult, PutAnswer, Refusal, StoredIn};

/// A body that is not what the API specifies.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Malformed(String);
