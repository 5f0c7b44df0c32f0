//! The Kinesis engine of the local cloud.

pub mod catalog;
pub mod error;
pub mod hash_key;
pub mod iterator;
pub mod model;
pub mod operation;
pub mod sequence;
pub mod store;
pub mod stream;
pub mod wire;
