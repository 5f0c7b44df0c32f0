//! Wire formats of the Kinesis API.

pub mod fast;
