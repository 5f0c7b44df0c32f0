//! What streams and their readers do: metrics, dependents, and what is wrong with them.

pub mod dependents;
pub mod doctor;
pub mod load;
pub mod metrics;
