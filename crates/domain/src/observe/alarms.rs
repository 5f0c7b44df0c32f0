//! CloudWatch alarms: those that streamctl makes for a stream, a function or a pipeline, and operations on any alarm.
//!
//! Owns [which alarms a set has](set), what is [listed](list), and the changes of alarms that exist. Alarms are created
//! and deleted as resources of a pipeline, so that tags tell the owner and the alarms of others are never changed.

mod actions;
mod history;
mod list;
mod mute;
mod set;
mod subjects;
mod subscribe;
#[cfg(test)]
mod tests;
mod trial;

pub use actions::{check_deletion, delete, monthly_cost, own_topic};
pub use history::{Item, read as history};
pub use list::{AlarmEntry, Filter, State, find, list, overview};
pub use mute::{Muted, check_length, mute, unmute};
pub use set::{AlarmSet, Kept, Metric, Subjects, Thresholds, Wanted, manifest};
pub use subjects::subjects;
pub use subscribe::{TOPIC, check_email, manifest as subscription_manifest};
pub use trial::{Step, Trial, can_drive, drive, set_alarm};
