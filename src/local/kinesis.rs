//! The Kinesis engine of the local cloud.

pub mod hash_key;
pub mod iterator;
pub mod sequence;
pub mod store;
pub mod wire;
