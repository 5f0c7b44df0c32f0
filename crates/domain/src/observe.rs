//! A stream's CloudWatch metrics.

pub mod dependents;
pub mod metrics;
pub mod overview;
