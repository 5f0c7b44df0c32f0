//! CloudWatch metrics of the local cloud.
