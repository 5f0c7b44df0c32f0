//! How a stream is doing: its figures from CloudWatch.

pub mod metrics;
