//! What a stream does, and what depends on it: CloudWatch metrics, alarms and dashboards, measured traffic of its shards,
//! dependents, and what is wrong with them.

pub mod alarms;
pub mod dashboards;
pub mod dependents;
pub mod doctor;
pub mod live;
pub mod load;
mod metric_data;
pub mod metrics;
pub mod overview;
pub mod scaling;
pub mod traffic;
pub mod usage;
