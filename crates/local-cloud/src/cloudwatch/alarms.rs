//! All alarms: their operations, evaluation, and actions on state changes.
//!
//! Alarms are evaluated at least once a minute on the metrics of this store. A state change is added to the history and
//! sent to the topics of the alarm. Stored in one file, replaced with each change.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::alarm::{self, Alarm, MissingData, State};
use super::dashboards::StateFile;
use super::error::ApiError;
use super::evaluate;
use super::input::Fields;
use super::store::Store;
use super::wire::Out;
use crate::Caller;
use daemon::protocol::Damage;

/// Source: DescribeAlarms, `MaxRecords`.
const MAX_RECORDS: i64 = 100;
/// Source: DeleteAlarms, "as many as 100 alarms"; DescribeAlarms, `AlarmNames`.
const MAX_NAMES: usize = 100;
/// Maximum history items of all alarms.
const HISTORY: usize = 1000;

/// Account, region and name.
type Key = (String, String, String);

/// A notification of an alarm to a topic.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    pub topic: String,
    /// Subject of the email.
    pub subject: String,
    /// JSON, as CloudWatch sends it.
    pub message: String,
}

/// A history item.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct HistoryItem {
    key: Key,
    at_ms: i64,
    kind: String,
    summary: String,
    data: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct AlarmsFile {
    alarms: Vec<(Key, Alarm)>,
    history: VecDeque<HistoryItem>,
}

#[derive(Debug, Default)]
pub(super) struct Alarms {
    file: StateFile,
    alarms: BTreeMap<Key, Alarm>,
    history: VecDeque<HistoryItem>,
    /// Notifications that have not been taken yet.
    outbox: Vec<Notification>,
}

impl Alarms {
    /// Opens the alarms stored in `dir`.
    pub(super) fn open(dir: &Path) -> Self {
        let (file, kept): (_, AlarmsFile) = StateFile::open(dir.join("alarms.json"));
        Self {
            file,
            alarms: kept.alarms.into_iter().collect(),
            history: kept.history,
            outbox: Vec::new(),
        }
    }

    pub(super) fn damage(&self) -> Option<Damage> {
        self.file.damage()
    }

    /// # Errors
    /// `InternalServiceFault` if the file cannot be written. The change is effective in memory.
    fn save(&self) -> Result<(), ApiError> {
        let kept = AlarmsFile {
            alarms: self
                .alarms
                .iter()
                .map(|(key, alarm)| (key.clone(), alarm.clone()))
                .collect(),
            history: self.history.clone(),
        };
        self.file.write(&kept)
    }

    pub(super) fn put(&mut self, caller: &Caller, input: &Fields<'_>, now_ms: i64) -> Result<(), ApiError> {
        let mut alarm = Alarm::read(input, now_ms)?;
        let key = key(caller, &alarm.name);
        let (word, past) = match self.alarms.get(&key) {
            Some(before) => {
                alarm = alarm.replacing(before);
                ("updated", "ConfigurationUpdate")
            }
            None => ("created", "ConfigurationUpdate"),
        };
        let summary = format!("Alarm \"{}\" {word}", alarm.name);
        self.remember(&key, now_ms, past, summary, String::from("{}"));
        self.alarms.insert(key, alarm);
        self.save()
    }

    pub(super) fn delete(&mut self, caller: &Caller, input: &Fields<'_>) -> Result<(), ApiError> {
        // Unknown names are ignored. Source: DeleteAlarms defines no error for them.
        for name in input.words("AlarmNames", MAX_NAMES)? {
            self.alarms.remove(&key(caller, name));
        }
        self.save()
    }

    pub(super) fn describe(&self, caller: &Caller, input: &Fields<'_>) -> Result<Out, ApiError> {
        let names = input.words("AlarmNames", MAX_NAMES)?;
        let prefix = input.text("AlarmNamePrefix", 255)?;
        if !names.is_empty() && prefix.is_some() {
            return Err(ApiError::combination(
                "AlarmNames and AlarmNamePrefix must not be given together.",
            ));
        }
        let state = match input.text("StateValue", 255)? {
            Some(word) => Some(State::parse(word).ok_or_else(|| input.invalid("StateValue", word))?),
            None => None,
        };
        let action = input.text("ActionPrefix", 1024)?;
        let types = input.words("AlarmTypes", 3)?;
        let metric_alarms = types.is_empty() || types.contains(&"MetricAlarm");
        let wanted = |alarm: &&Alarm| {
            metric_alarms
                && (names.is_empty() || names.contains(&alarm.name.as_str()))
                && prefix.is_none_or(|prefix| alarm.name.starts_with(prefix))
                && state.is_none_or(|state| alarm.state == state)
                && action.is_none_or(|action| all_actions(alarm).any(|arn| arn.starts_with(action)))
        };
        let max = input.integer("MaxRecords")?.unwrap_or(50);
        if !(1..=MAX_RECORDS).contains(&max) {
            return Err(input.invalid("MaxRecords", max));
        }
        let after = input.text("NextToken", 1024)?;
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let mut page: Vec<&Alarm> = self
            .of(caller)
            .filter(|alarm| after.is_none_or(|after| alarm.name.as_str() > after))
            .filter(wanted)
            .take(max + 1)
            .collect();
        let more = page.len() > max;
        page.truncate(max);
        let next = page.last().filter(|_| more).map(|alarm| alarm.name.clone());
        let mut out = vec![
            (
                "MetricAlarms",
                Out::List(page.iter().map(|alarm| alarm.out(caller)).collect()),
            ),
            ("CompositeAlarms", Out::List(Vec::new())),
        ];
        out.extend(next.map(|next| ("NextToken", Out::Text(next))));
        Ok(Out::Struct(out))
    }

    pub(super) fn describe_for_metric(&self, caller: &Caller, input: &Fields<'_>) -> Result<Out, ApiError> {
        let metric = input.need_text("MetricName", 255)?;
        let namespace = super::put::namespace(input)?.ok_or_else(|| ApiError::missing("Namespace"))?;
        let mut dimensions = input.dimensions(30)?;
        dimensions.sort();
        let alarms = self.of(caller).filter(|alarm| {
            let mut theirs = alarm.dimensions.clone();
            theirs.sort();
            alarm.metric == metric && alarm.namespace == namespace && theirs == dimensions
        });
        let alarms = alarms.map(|alarm| alarm.out(caller)).collect();
        Ok(Out::Struct(vec![("MetricAlarms", Out::List(alarms))]))
    }

    pub(super) fn history(&self, caller: &Caller, input: &Fields<'_>) -> Result<Out, ApiError> {
        let name = input.text("AlarmName", 255)?;
        let max = input
            .integer("MaxRecords")?
            .unwrap_or(MAX_RECORDS)
            .clamp(1, MAX_RECORDS);
        let items = self
            .history
            .iter()
            .rev()
            .filter(|past| past.key.0 == caller.account && past.key.1 == caller.region)
            .filter(|past| name.is_none_or(|name| past.key.2 == name))
            .take(usize::try_from(max).unwrap_or(usize::MAX))
            .map(|past| {
                Out::Struct(vec![
                    ("AlarmName", Out::Text(past.key.2.clone())),
                    ("AlarmType", Out::Text("MetricAlarm".to_owned())),
                    ("Timestamp", Out::Time(past.at_ms)),
                    ("HistoryItemType", Out::Text(past.kind.clone())),
                    ("HistorySummary", Out::Text(past.summary.clone())),
                    ("HistoryData", Out::Text(past.data.clone())),
                ])
            });
        Ok(Out::Struct(vec![(
            "AlarmHistoryItems",
            Out::List(items.collect()),
        )]))
    }

    pub(super) fn set_state(
        &mut self,
        caller: &Caller,
        input: &Fields<'_>,
        now_ms: i64,
    ) -> Result<(), ApiError> {
        let name = input.need_text("AlarmName", 255)?;
        let word = input.need_text("StateValue", 255)?;
        let state = State::parse(word).ok_or_else(|| input.invalid("StateValue", word))?;
        let evaluation = evaluate::Evaluation {
            state,
            reason: input.need_text("StateReason", 1023)?.to_owned(),
            reason_data: input.text("StateReasonData", 4000)?.unwrap_or("{}").to_owned(),
        };
        let key = key(caller, name);
        if !self.alarms.contains_key(&key) {
            return Err(ApiError::not_found(
                "ResourceNotFound",
                format!("Unknown alarm {name}"),
            ));
        }
        self.apply(&key, evaluation, now_ms);
        self.save()
    }

    pub(super) fn enable(&mut self, caller: &Caller, input: &Fields<'_>, on: bool) -> Result<(), ApiError> {
        for name in input.words("AlarmNames", MAX_NAMES)? {
            if let Some(alarm) = self.alarms.get_mut(&key(caller, name)) {
                alarm.actions_enabled = on;
            }
        }
        self.save()
    }

    /// Whether an alarm with this ARN exists.
    pub(super) fn has_arn(&self, caller: &Caller, arn: &str) -> bool {
        self.of(caller)
            .any(|alarm| alarm::arn(caller, &alarm.name) == arn)
    }

    pub(super) fn evaluate(&mut self, store: &Store, now_ms: i64) {
        let evaluations: Vec<(Key, evaluate::Evaluation)> = self
            .alarms
            .iter()
            .map(|(key, alarm)| {
                let caller = Caller {
                    account: key.0.clone(),
                    region: key.1.clone(),
                };
                (key.clone(), evaluate::evaluate(alarm, &caller, store, now_ms))
            })
            .collect();
        let mut changed = false;
        for (key, evaluation) in evaluations {
            if self
                .alarms
                .get(&key)
                .is_some_and(|alarm| alarm.state != evaluation.state)
            {
                self.apply(&key, evaluation, now_ms);
                changed = true;
            }
        }
        if changed && let Err(error) = self.save() {
            tracing::warn!(error = error.message(), "the state of alarms could not be saved");
        }
    }

    /// Takes the notifications to publish.
    pub(super) fn take_outbox(&mut self) -> Vec<Notification> {
        std::mem::take(&mut self.outbox)
    }

    fn apply(&mut self, key: &Key, evaluation: evaluate::Evaluation, now_ms: i64) {
        let Some(alarm) = self.alarms.get_mut(key) else {
            return;
        };
        let before = alarm.state;
        alarm.state = evaluation.state;
        alarm.reason = evaluation.reason;
        alarm.reason_data = Some(evaluation.reason_data);
        alarm.state_updated_ms = now_ms;
        if before == alarm.state {
            return;
        }
        alarm.state_changed_ms = now_ms;
        let alarm = alarm.clone();
        let summary = format!("Alarm updated from {} to {}", before.word(), alarm.state.word());
        let data = json!({
            "version": "1.0",
            "oldState": {"stateValue": before.word()},
            "newState": {"stateValue": alarm.state.word(), "stateReason": alarm.reason},
        });
        self.remember(key, now_ms, "StateUpdate", summary, data.to_string());
        if !alarm.actions_enabled {
            return;
        }
        let caller = Caller {
            account: key.0.clone(),
            region: key.1.clone(),
        };
        for action in alarm.actions() {
            let summary = format!("Successfully executed action {action}");
            self.remember(key, now_ms, "Action", summary, String::from("{}"));
            self.outbox
                .push(notification(&alarm, &caller, before, action, now_ms));
        }
    }

    fn remember(&mut self, key: &Key, at_ms: i64, kind: &str, summary: String, data: String) {
        if self.history.len() >= HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(HistoryItem {
            key: key.clone(),
            at_ms,
            kind: kind.to_owned(),
            summary,
            data,
        });
    }

    fn of<'a>(&'a self, caller: &'a Caller) -> impl Iterator<Item = &'a Alarm> {
        self.alarms
            .iter()
            .filter(|(key, _)| key.0 == caller.account && key.1 == caller.region)
            .map(|(_, alarm)| alarm)
    }
}

fn all_actions(alarm: &Alarm) -> impl Iterator<Item = &String> {
    alarm
        .ok_actions
        .iter()
        .chain(&alarm.alarm_actions)
        .chain(&alarm.insufficient_data_actions)
}

fn key(caller: &Caller, name: &str) -> Key {
    (caller.account.clone(), caller.region.clone(), name.to_owned())
}

/// The message that CloudWatch publishes. Source: "Amazon SNS notifications" of alarms, CloudWatch user guide.
fn notification(alarm: &Alarm, caller: &Caller, before: State, topic: &str, now_ms: i64) -> Notification {
    let region = region_name(&caller.region);
    let dimensions: Vec<_> = alarm
        .dimensions
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    let mut trigger = json!({
        "MetricName": alarm.metric,
        "Namespace": alarm.namespace,
        "StatisticType": alarm.statistic_field(),
        "Statistic": alarm.statistic.to_uppercase(),
        "Unit": alarm.unit,
        "Dimensions": dimensions,
        "Period": alarm.period,
        "EvaluationPeriods": alarm.evaluation_periods,
        "ComparisonOperator": alarm.comparison.name(),
        "Threshold": alarm.threshold,
        "TreatMissingData": alarm.missing_data.unwrap_or(MissingData::Missing).name(),
        "EvaluateLowSampleCountPercentile": "",
    });
    if let Some(needed) = alarm.datapoints_to_alarm {
        trigger["DatapointsToAlarm"] = needed.into();
    }
    let message = json!({
        "AlarmName": alarm.name,
        "AlarmDescription": alarm.description,
        "AWSAccountId": caller.account,
        "AlarmConfigurationUpdatedTimestamp": evaluate::long_time(alarm.configured_ms),
        "NewStateValue": alarm.state.word(),
        "NewStateReason": alarm.reason,
        "StateChangeTime": evaluate::long_time(now_ms),
        "Region": region,
        "AlarmArn": alarm::arn(caller, &alarm.name),
        "OldStateValue": before.word(),
        "OKActions": alarm.ok_actions,
        "AlarmActions": alarm.alarm_actions,
        "InsufficientDataActions": alarm.insufficient_data_actions,
        "Trigger": trigger,
    });
    Notification {
        topic: topic.to_owned(),
        // Source: Publish, `Subject`: at most 100 characters.
        subject: format!("{}: \"{}\" in {region}", alarm.state.word(), alarm.name)
            .chars()
            .take(100)
            .collect(),
        message: message.to_string(),
    }
}

/// The region's name in CloudWatch's messages. The region itself if unknown. Source: "AWS Regions", AWS general
/// reference.
fn region_name(region: &str) -> &str {
    match region {
        "us-east-1" => "US East (N. Virginia)",
        "us-east-2" => "US East (Ohio)",
        "us-west-1" => "US West (N. California)",
        "us-west-2" => "US West (Oregon)",
        "eu-west-1" => "EU (Ireland)",
        "eu-central-1" => "EU (Frankfurt)",
        "ap-northeast-1" => "Asia Pacific (Tokyo)",
        other => other,
    }
}
