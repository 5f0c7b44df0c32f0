//! The history of alarms, and DescribeAlarmHistory.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Alarms, Key};
use crate::Caller;
use crate::cloudwatch::alarm::Alarm;
use crate::cloudwatch::error::ApiError;
use crate::cloudwatch::input::Fields;
use crate::cloudwatch::wire::Out;
use crate::deliver::Undelivered;

/// Maximum items of all alarms.
const ITEMS: usize = 1000;
/// Source: DescribeAlarmHistory, `MaxRecords`.
const MAX_RECORDS: i64 = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    #[serde(rename = "ConfigurationUpdate")]
    Configuration,
    StateUpdate,
    Action,
}

impl Kind {
    const ALL: [(&'static str, Self); 3] = [
        ("ConfigurationUpdate", Self::Configuration),
        ("StateUpdate", Self::StateUpdate),
        ("Action", Self::Action),
    ];

    fn name(self) -> &'static str {
        let known = Self::ALL.into_iter().find(|(_, kind)| *kind == self);
        known.map_or("", |(name, _)| name)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Item {
    key: Key,
    at_ms: i64,
    kind: Kind,
    summary: String,
    data: String,
    /// Whether the alarm is a composite alarm.
    #[serde(default)]
    composite: bool,
}

impl Item {
    fn type_name(&self) -> &'static str {
        match self.composite {
            true => "CompositeAlarm",
            false => "MetricAlarm",
        }
    }

    fn out(&self) -> Out {
        Out::Struct(vec![
            ("AlarmName", Out::Text(self.key.2.clone())),
            ("AlarmType", Out::Text(self.type_name().to_owned())),
            ("Timestamp", Out::Time(self.at_ms)),
            ("HistoryItemType", Out::Text(self.kind.name().to_owned())),
            ("HistorySummary", Out::Text(self.summary.clone())),
            ("HistoryData", Out::Text(self.data.clone())),
        ])
    }
}

/// Items of all alarms, oldest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct History(VecDeque<Item>);

impl History {
    pub(super) fn add(
        &mut self,
        key: &Key,
        alarm: &Alarm,
        at_ms: i64,
        kind: Kind,
        summary: String,
        data: String,
    ) {
        if self.0.len() >= ITEMS {
            self.0.pop_front();
        }
        self.0.push_back(Item {
            key: key.clone(),
            at_ms,
            kind,
            summary,
            data,
            composite: alarm.composite().is_some(),
        });
    }
}

/// The data of a state change, in CloudWatch's form.
pub(super) fn state_data(before: &Alarm, after: &Alarm) -> String {
    let state = |alarm: &Alarm| {
        let data = alarm.reason_data.as_deref();
        let data = data.and_then(|data| serde_json::from_str::<Value>(data).ok());
        json!({
            "stateValue": alarm.state.word(),
            "stateReason": alarm.reason,
            "stateReasonData": data,
        })
    };
    json!({"version": "1.0", "oldState": state(before), "newState": state(after)}).to_string()
}

/// The data of an executed action.
pub(super) fn action_data(action: &str, error: Option<Undelivered>) -> String {
    let state = if error.is_some() { "Failed" } else { "Succeeded" };
    let error = error.map(|error| error.message);
    json!({"actionState": state, "notificationResource": action, "publishedMessage": null, "error": error})
        .to_string()
}

impl Alarms {
    pub(in crate::cloudwatch) fn history(
        &self,
        caller: &Caller,
        input: &Fields<'_>,
    ) -> Result<Out, ApiError> {
        let name = input.text("AlarmName", 255)?;
        let types = input.words("AlarmTypes", 3)?;
        let kind = match input.text("HistoryItemType", 255)? {
            Some(word) => {
                let known = Kind::ALL.into_iter().find(|(name, _)| *name == word);
                Some(known.ok_or_else(|| input.invalid("HistoryItemType", word))?.1)
            }
            None => None,
        };
        let (start, end) = (input.time("StartDate")?, input.time("EndDate")?);
        let ascending = match input.text("ScanBy", 255)? {
            None | Some("TimestampDescending") => false,
            Some("TimestampAscending") => true,
            Some(other) => return Err(input.invalid("ScanBy", other)),
        };
        let max = input.integer("MaxRecords")?.unwrap_or(MAX_RECORDS);
        if !(1..=MAX_RECORDS).contains(&max) {
            return Err(input.invalid("MaxRecords", max));
        }
        let skipped = match input.text("NextToken", 1024)? {
            Some(token) => token.parse().map_err(|_| ApiError::next_token())?,
            None => 0usize,
        };
        let mut items: Vec<&Item> = self
            .history
            .0
            .iter()
            .filter(|item| item.key.0 == caller.account && item.key.1 == caller.region)
            .filter(|item| name.is_none_or(|name| item.key.2 == name))
            .filter(|item| kind.is_none_or(|kind| item.kind == kind))
            .filter(|item| types.is_empty() || types.contains(&item.type_name()))
            .filter(|item| start.is_none_or(|start| item.at_ms >= start))
            .filter(|item| end.is_none_or(|end| item.at_ms <= end))
            .collect();
        if !ascending {
            items.reverse();
        }
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let page: Vec<Out> = items
            .iter()
            .skip(skipped)
            .take(max)
            .map(|item| item.out())
            .collect();
        let next = skipped.saturating_add(page.len());
        let mut out = vec![("AlarmHistoryItems", Out::List(page))];
        out.extend((next < items.len()).then(|| ("NextToken", Out::Text(next.to_string()))));
        Ok(Out::Struct(out))
    }
}
