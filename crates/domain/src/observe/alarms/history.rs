//! What happened to an alarm: DescribeAlarmHistory.

use aws_sdk_cloudwatch::types::{AlarmHistoryItem, AlarmType, HistoryItemType, ScanBy};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::context::Context;
use ground::error::{self, Result};

/// An item of the history.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(
    feature = "schemas",
    derive(schemars::JsonSchema),
    schemars(rename = "AlarmEvent")
)]
pub struct Item {
    pub at: Option<Timestamp>,
    pub alarm: String,
    /// `StateUpdate`, `ConfigurationUpdate` or `Action`.
    pub kind: String,
    pub summary: String,
    /// Why the state changed; empty for other items.
    pub reason: String,
}

impl Item {
    fn of(item: &AlarmHistoryItem) -> Self {
        let data = item.history_data().unwrap_or_default();
        let data: Value = serde_json::from_str(data).unwrap_or_default();
        Self {
            at: item
                .timestamp()
                .and_then(|time| Timestamp::from_second(time.secs()).ok()),
            alarm: item.alarm_name().unwrap_or_default().to_owned(),
            kind: item
                .history_item_type()
                .map_or_else(String::new, |kind| kind.as_str().to_owned()),
            summary: item.history_summary().unwrap_or_default().to_owned(),
            reason: data["newState"]["stateReason"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        }
    }
}

/// The newest `limit` items of the alarm `name`, newest first. CloudWatch keeps them for 30 days.
///
/// # Errors
/// When the history cannot be read.
pub async fn read(context: &Context, name: &str, states_only: bool, limit: usize) -> Result<Vec<Item>> {
    let call = context
        .cloudwatch()
        .describe_alarm_history()
        .alarm_name(name)
        .alarm_types(AlarmType::MetricAlarm)
        .alarm_types(AlarmType::CompositeAlarm)
        .set_history_item_type(states_only.then_some(HistoryItemType::StateUpdate))
        .scan_by(ScanBy::TimestampDescending);
    let mut pages = call.into_paginator().send();
    let mut items = Vec::new();
    while items.len() < limit
        && let Some(page) = pages.next().await
    {
        let what = || format!("could not read the history of alarm {name}");
        let page = page.map_err(|e| error::aws::failed(what(), e))?;
        items.extend(page.alarm_history_items().iter().map(Item::of));
    }
    items.truncate(limit);
    Ok(items)
}
