//! PutRecords and GetRecords with the bodies of [`data_plane::wire`], in JSON or CBOR ([`crate::context::Formats`]).
//!
//! Only bodies are replaced ([`exchange`]): endpoints, credentials, signatures, time limits and errors are the SDK's. Knows
//! nothing of the engines that put and read.

mod exchange;
#[cfg(test)]
mod tests;

pub(crate) use data_plane::wire::{ReadChild, ReadRecord, ReadRecords};
pub(crate) use exchange::{code_in_cbor, get_records, put_records};
