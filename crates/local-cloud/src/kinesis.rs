//! The Kinesis engine of the local cloud: every operation of the Kinesis Data Streams API except those on channels.
//!
//! | layer | modules | owns |
//! |---|---|---|
//! | door | [`service`], [`operation`], [`error`], [`wire`] | requests in, answers out |
//! | operations | [`control`], [`data`], [`model`] | what each operation takes, checks, does and answers |
//! | state | [`catalog`], [`stream`] | streams, shards and their lineage, saved before they are answered for |
//! | records | [`store`], [`sequence`], [`hash_key`], [`iterator`] | the durable log of each shard |
//! | inside | [`reader`] | the way in for other services of the local cloud |
//!
//! Specification: the Amazon Kinesis Data Streams API reference, version 2013-12-02.

pub mod catalog;
pub mod control;
pub mod data;
pub mod error;
pub mod hash_key;
pub mod iterator;
pub mod model;
pub mod operation;
pub mod reader;
pub mod sequence;
pub mod service;
pub mod store;
pub mod stream;
pub mod wire;

#[cfg(test)]
mod tests;
