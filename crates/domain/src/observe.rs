//! What is seen of a stream from outside: its metrics, its traffic by shard, and what depends on it.

pub mod dependents;
pub mod metrics;
pub mod scaling;
pub mod traffic;
