//! Composite alarms: their creation, their evaluation after a change of another alarm, and what they depend on.
//!
//! Source: PutCompositeAlarm and DeleteAlarms, CloudWatch API reference.

use std::collections::BTreeSet;

use serde_json::json;

use super::{Alarms, Key, caller_of, key};
use crate::Caller;
use crate::clock::utc;
use crate::cloudwatch::alarm::{self, Alarm, State};
use crate::cloudwatch::error::ApiError;
use crate::cloudwatch::evaluate::{Evaluation, long_time};
use crate::cloudwatch::input::Fields;
use crate::cloudwatch::mutes::Mutes;
use crate::cloudwatch::rule::Rule;

impl Alarms {
    /// PutCompositeAlarm. The alarm is evaluated at once.
    pub(in crate::cloudwatch) fn put_composite(
        &mut self,
        caller: &Caller,
        input: &Fields<'_>,
        mutes: &mut Mutes,
        now_ms: i64,
    ) -> Result<(), ApiError> {
        let alarm = Alarm::read_composite(input, now_ms)?;
        let rule = alarm.composite().and_then(|composite| composite.parsed());
        let unknown: Vec<String> = rule
            .iter()
            .flat_map(Rule::names)
            .filter(|name| *name != alarm.name && !self.has(caller, name))
            .map(str::to_owned)
            .collect();
        if !unknown.is_empty() {
            return Err(ApiError::validation(format!(
                "Could not save the composite alarm as alarms [{}] in the alarm rule do not exist",
                unknown.join(", ")
            )));
        }
        let is_new = !self.has(caller, &alarm.name);
        let key = self.put(caller, alarm, now_ms)?;
        if let Some((state, children)) = self.evaluated(&key) {
            let word = if is_new { "created" } else { "updated" };
            let arn = alarm::arn(caller, &key.2);
            let evaluation = Evaluation {
                state,
                reason: format!(
                    "{arn} was {word} and its alarm rule evaluates to {}",
                    state.word()
                ),
                reason_data: self.triggers(&key, &children),
            };
            self.apply(&key, evaluation, mutes, now_ms);
        }
        self.settle(mutes, now_ms);
        self.save()
    }

    /// Evaluates composite alarms until none changes. Returns whether one changed.
    pub(super) fn settle(&mut self, mutes: &mut Mutes, now_ms: i64) -> bool {
        let composites: Vec<Key> = self
            .alarms
            .iter()
            .filter(|(_, alarm)| alarm.composite().is_some())
            .map(|(key, _)| key.clone())
            .collect();
        let mut any = false;
        // Each pass settles at least one level of alarms that refer to alarms.
        for _ in 0..composites.len() {
            let mut changed = false;
            for key in &composites {
                changed |= self.settle_one(key, mutes, now_ms);
            }
            any |= changed;
            if !changed {
                break;
            }
        }
        any
    }

    fn settle_one(&mut self, key: &Key, mutes: &mut Mutes, now_ms: i64) -> bool {
        let Some((state, children)) = self.evaluated(key) else {
            return false;
        };
        let latest = children
            .iter()
            .filter_map(|name| self.child(key, name))
            .max_by_key(|child| child.state_changed_ms);
        // A state that was set with SetAlarmState stays until another alarm changes.
        let since = latest.map_or(i64::MIN, |child| child.state_changed_ms);
        let stays = |alarm: &Alarm| alarm.state == state || since < alarm.state_updated_ms;
        if self.alarms.get(key).is_none_or(stays) {
            return false;
        }
        let (reason, data) = match latest {
            Some(child) => (
                format!(
                    "{} transitioned to {} at {}",
                    alarm::arn(&caller_of(key), &child.name),
                    child.state.word(),
                    utc(child.state_changed_ms, "%A %d %B, %Y %H:%M:%S UTC")
                ),
                self.triggers(key, std::slice::from_ref(&child.name)),
            ),
            None => ("The alarm rule has no alarms".to_owned(), "{}".to_owned()),
        };
        let evaluation = Evaluation {
            state,
            reason,
            reason_data: data,
        };
        self.apply(key, evaluation, mutes, now_ms);
        true
    }

    /// The state of a composite alarm by its rule, and the names in the rule. `None` for an alarm that depends on
    /// itself: CloudWatch does not evaluate it.
    fn evaluated(&self, key: &Key) -> Option<(State, Vec<String>)> {
        let rule = self.alarms.get(key)?.composite()?.parsed()?;
        if self.reaches(key, &rule, &key.2) {
            return None;
        }
        // A deleted alarm has no data.
        let state = |name: &str| {
            self.child(key, name)
                .map_or(State::InsufficientData, |child| child.state)
        };
        let holds = rule.holds(&state);
        let names = rule.names().into_iter().map(str::to_owned).collect();
        Some((if holds { State::Alarm } else { State::Ok }, names))
    }

    /// Whether `rule`, of the alarm `key`, depends on the alarm `wanted`, also through other composite alarms.
    fn reaches(&self, key: &Key, rule: &Rule, wanted: &str) -> bool {
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let mut left: Vec<String> = rule.names().into_iter().map(str::to_owned).collect();
        while let Some(name) = left.pop() {
            if name == wanted {
                return true;
            }
            let child = self.child(key, &name).and_then(Alarm::composite);
            if let Some(rule) = child.and_then(|composite| composite.parsed())
                && seen.insert(name)
            {
                left.extend(rule.names().into_iter().map(str::to_owned));
            }
        }
        false
    }

    /// The alarm `name` of the account and region of `of`.
    fn child(&self, of: &Key, name: &str) -> Option<&Alarm> {
        self.alarms.get(&(of.0.clone(), of.1.clone(), name.to_owned()))
    }

    /// The reason data of a composite alarm whose state follows from the alarms `names`.
    fn triggers(&self, key: &Key, names: &[String]) -> String {
        let caller = caller_of(key);
        let triggers: Vec<_> = names
            .iter()
            .filter_map(|name| self.child(key, name))
            .map(|child| {
                json!({
                    "arn": alarm::arn(&caller, &child.name),
                    "state": {"value": child.state.word(), "timestamp": long_time(child.state_changed_ms)},
                })
            })
            .collect();
        json!({ "triggeringAlarms": triggers }).to_string()
    }

    /// Refuses the deletion of more than one composite alarm, and of one that another one depends on.
    pub(super) fn check_deletion(&self, caller: &Caller, names: &[&str]) -> Result<(), ApiError> {
        let is_composite = |name: &&&str| {
            let alarm = self.alarms.get(&key(caller, name));
            alarm.is_some_and(|alarm| alarm.composite().is_some())
        };
        let composites: Vec<&&str> = names.iter().filter(is_composite).collect();
        let Some(composite) = composites.first() else {
            return Ok(());
        };
        if composites.len() > 1 {
            return Err(ApiError::validation(
                "At most one composite alarm can be deleted in a request.",
            ));
        }
        let dependent = self.of(caller).find(|alarm| {
            let rule = alarm.composite().and_then(|composite| composite.parsed());
            let others = alarm.name != ***composite;
            others && rule.is_some_and(|rule| rule.names().contains(*composite))
        });
        match dependent {
            Some(dependent) => Err(ApiError::validation(format!(
                "The composite alarm {composite} cannot be deleted: the alarm {} depends on it.",
                dependent.name
            ))),
            None => Ok(()),
        }
    }
}
