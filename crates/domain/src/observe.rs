//! A stream's CloudWatch metrics.

pub mod metrics;
