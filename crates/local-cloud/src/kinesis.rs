//! The Kinesis engine of the local cloud: every operation of the Kinesis Data Streams API.
//!
//! | layer | modules | owns |
//! |---|---|---|
//! | dispatch | [`service`], [`operation`], [`error`], [`wire`] | requests and responses |
//! | operations | [`control`], [`data`], [`model`] | input, checks, work and output of each operation |
//! | state | [`engine`], [`catalog`], [`stream`], [`subscriptions`] | streams, shards and their lineage, saved before the response |
//! | by themselves | [`channels`], [`on_demand`] | delivery to S3, the number of shards of on-demand streams |
//! | records | [`store`], [`sequence`], [`hash_key`], [`iterator`] | the durable log of each shard |
//! | internal | [`reader`] | access for other services of the local cloud |
//!
//! Each layer imports the layers below it only.
//!
//! Specification: the Amazon Kinesis Data Streams API reference, version 2013-12-02.

mod catalog;
pub(crate) mod channels;
mod control;
mod data;
pub mod engine;
mod error;
pub mod hash_key;
mod iterator;
mod model;
mod on_demand;
mod operation;
pub mod reader;
pub mod sequence;
pub mod service;
pub mod store;
pub mod stream;
mod subscriptions;
pub mod wire;

#[cfg(test)]
pub(crate) mod tests;
