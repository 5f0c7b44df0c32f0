//! All alarms: their operations, evaluation, and actions on state changes.
//!
//! Alarms are evaluated at least once a minute on the metrics of this store, composite alarms after each change of
//! another alarm. A state change is added to the [`history`] and executes the alarm's actions. Stored in one file,
//! replaced with each change; an action is in it until it was executed.

mod composite;
mod describe;
mod history;
mod message;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use self::history::{History, Kind as HistoryKind};
use super::alarm::{self, Alarm, State};
use super::dashboards::StateFile;
use super::error::ApiError;
use super::evaluate::{self, Evaluation};
use super::input::Fields;
use super::mutes::Mutes;
use super::store::Store;
use crate::Caller;
use crate::deliver::Undelivered;
use daemon::protocol::Damage;

/// Source: DeleteAlarms, "as many as 100 alarms"; DescribeAlarms, `AlarmNames`.
const MAX_NAMES: usize = 100;

/// Account, region and name.
type Key = (String, String, String);

/// An action of an alarm that is to be executed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// Distinguishes it from all others of this store.
    id: u64,
    key: Key,
    /// The ARN of the topic or function.
    pub action: String,
    /// Subject of the email.
    pub subject: String,
    /// For topics: JSON, as CloudWatch publishes it.
    pub message: String,
    /// For functions: JSON, as CloudWatch invokes them with it.
    pub event: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct AlarmsFile {
    alarms: Vec<(Key, Alarm)>,
    history: History,
    #[serde(default)]
    outbox: Vec<Notification>,
}

#[derive(Debug, Default)]
pub(super) struct Alarms {
    file: StateFile,
    alarms: BTreeMap<Key, Alarm>,
    history: History,
    /// Actions that have not been executed yet.
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
            outbox: kept.outbox,
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
            outbox: self.outbox.clone(),
        };
        self.file.write(&kept)
    }

    /// PutMetricAlarm.
    pub(super) fn put_metric(
        &mut self,
        caller: &Caller,
        input: &Fields<'_>,
        now_ms: i64,
    ) -> Result<(), ApiError> {
        self.put(caller, Alarm::read_metric(input, now_ms)?, now_ms)?;
        self.save()
    }

    fn put(&mut self, caller: &Caller, alarm: Alarm, now_ms: i64) -> Result<Key, ApiError> {
        let key = key(caller, &alarm.name);
        let (word, alarm) = match self.alarms.get(&key) {
            Some(before) if before.type_name() != alarm.type_name() => {
                return Err(ApiError::validation(format!(
                    "An alarm of another type has the name {}.",
                    alarm.name
                )));
            }
            Some(before) => ("updated", alarm.replacing(before)),
            None => ("created", alarm),
        };
        let summary = format!("Alarm \"{}\" {word}", alarm.name);
        self.history.add(
            &key,
            &alarm,
            now_ms,
            HistoryKind::Configuration,
            summary,
            "{}".to_owned(),
        );
        self.alarms.insert(key.clone(), alarm);
        Ok(key)
    }

    /// DeleteAlarms. Unknown names are ignored: it defines no error for them.
    pub(super) fn delete(&mut self, caller: &Caller, input: &Fields<'_>) -> Result<(), ApiError> {
        let names = input.words("AlarmNames", MAX_NAMES)?;
        self.check_deletion(caller, &names)?;
        for name in names {
            self.alarms.remove(&key(caller, name));
        }
        self.save()
    }

    pub(super) fn set_state(
        &mut self,
        caller: &Caller,
        input: &Fields<'_>,
        mutes: &mut Mutes,
        now_ms: i64,
    ) -> Result<(), ApiError> {
        let name = input.need_text("AlarmName", 255)?;
        let word = input.need_text("StateValue", 255)?;
        let state = State::parse(word).ok_or_else(|| input.invalid("StateValue", word))?;
        let evaluation = Evaluation {
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
        self.apply(&key, evaluation, mutes, now_ms);
        self.settle(mutes, now_ms);
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

    /// Whether an alarm of this name exists.
    pub(super) fn has(&self, caller: &Caller, name: &str) -> bool {
        self.alarms.contains_key(&key(caller, name))
    }

    /// Whether an alarm with this ARN exists.
    pub(super) fn has_arn(&self, caller: &Caller, arn: &str) -> bool {
        let name = alarm::name_of(arn);
        self.has(caller, name) && alarm::arn(caller, name) == arn
    }

    /// Evaluates the alarms. Executes the actions of alarms that were muted until now and are still in the state that
    /// their actions are for.
    pub(super) fn evaluate(&mut self, store: &Store, mutes: &mut Mutes, now_ms: i64) {
        let evaluations: Vec<(Key, Evaluation)> = self
            .alarms
            .iter()
            .filter_map(|(key, alarm)| {
                let metric = alarm.metric()?;
                let evaluation = evaluate::evaluate(metric, &caller_of(key), store, now_ms)?;
                (alarm.state != evaluation.state).then(|| (key.clone(), evaluation))
            })
            .collect();
        let mut changed = !evaluations.is_empty();
        for (key, evaluation) in evaluations {
            self.apply(&key, evaluation, mutes, now_ms);
        }
        changed |= self.settle(mutes, now_ms);
        for (caller, name, before) in mutes.take_ended(now_ms) {
            let key = key(&caller, &name);
            if let Some(alarm) = self.alarms.get(&key).cloned()
                && alarm.state != before
            {
                self.act(&key, &alarm, before, mutes, now_ms);
                changed = true;
            }
        }
        if changed && let Err(error) = self.save() {
            tracing::warn!(error = error.message(), "the state of alarms could not be saved");
        }
    }

    /// The actions to execute.
    pub(super) fn outbox(&self) -> Vec<Notification> {
        self.outbox.clone()
    }

    /// Records the result of an action.
    pub(super) fn executed(
        &mut self,
        notification: &Notification,
        result: Result<(), Undelivered>,
        now_ms: i64,
    ) {
        self.outbox.retain(|one| one.id != notification.id);
        let action = &notification.action;
        let summary = match &result {
            Ok(()) => format!("Successfully executed action {action}"),
            Err(error) => format!(
                "Failed to execute action {action}. Received error: \"{}\"",
                error.message
            ),
        };
        if let Some(alarm) = self.alarms.get(&notification.key) {
            let data = history::action_data(action, result.err());
            self.history.add(
                &notification.key,
                alarm,
                now_ms,
                HistoryKind::Action,
                summary,
                data,
            );
        }
        if let Err(error) = self.save() {
            tracing::warn!(
                error = error.message(),
                "the history of alarms could not be saved"
            );
        }
    }

    /// Makes the evaluated state the state of the alarm, and acts if it is another one.
    fn apply(&mut self, key: &Key, evaluation: Evaluation, mutes: &mut Mutes, now_ms: i64) {
        let Some(alarm) = self.alarms.get_mut(key) else {
            return;
        };
        let before = alarm.clone();
        alarm.state = evaluation.state;
        alarm.reason = evaluation.reason;
        alarm.reason_data = Some(evaluation.reason_data);
        alarm.state_updated_ms = now_ms;
        if before.state == alarm.state {
            return;
        }
        alarm.state_changed_ms = now_ms;
        let alarm = alarm.clone();
        let summary = format!(
            "Alarm updated from {} to {}",
            before.state.word(),
            alarm.state.word()
        );
        let data = history::state_data(&before, &alarm);
        self.history
            .add(key, &alarm, now_ms, HistoryKind::StateUpdate, summary, data);
        self.act(key, &alarm, before.state, mutes, now_ms);
    }

    /// Puts the actions of the alarm's state into the outbox.
    fn act(&mut self, key: &Key, alarm: &Alarm, before: State, mutes: &mut Mutes, now_ms: i64) {
        let caller = caller_of(key);
        if !alarm.actions_enabled || alarm.actions().is_empty() {
            return;
        }
        if let Some(rule) = mutes.muting(&caller, &alarm.name, now_ms) {
            mutes.remember(&caller, &rule, &alarm.name, before);
            let summary = format!("Actions muted by the alarm mute rule {rule}");
            self.history
                .add(key, alarm, now_ms, HistoryKind::Action, summary, "{}".to_owned());
            return;
        }
        for action in alarm.actions() {
            let id = self.outbox.iter().map(|one| one.id).max().unwrap_or(0) + 1;
            self.outbox.push(Notification {
                id,
                key: key.clone(),
                action: action.clone(),
                subject: message::subject(alarm, &caller),
                message: message::for_topic(alarm, &caller, before, now_ms),
                event: message::for_function(alarm, &caller, before, now_ms),
            });
        }
    }

    fn of<'a>(&'a self, caller: &'a Caller) -> impl Iterator<Item = &'a Alarm> {
        self.alarms
            .iter()
            .filter(|(key, _)| key.0 == caller.account && key.1 == caller.region)
            .map(|(_, alarm)| alarm)
    }
}

fn key(caller: &Caller, name: &str) -> Key {
    (caller.account.clone(), caller.region.clone(), name.to_owned())
}

fn caller_of(key: &Key) -> Caller {
    Caller {
        account: key.0.clone(),
        region: key.1.clone(),
    }
}
