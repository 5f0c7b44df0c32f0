//! Alarm mute rules: times in which the actions of alarms are not executed.
//!
//! Source: PutAlarmMuteRule, GetAlarmMuteRule, ListAlarmMuteRules and DeleteAlarmMuteRule, CloudWatch API reference;
//! "Alarm Mute Rules", CloudWatch user guide. Known limits: rules apply once (`at`), not repeatedly (`cron`), and their
//! time zone is UTC or an offset from it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::alarm::State;
use super::dashboards::StateFile;
use super::error::ApiError;
use super::input::Fields;
use super::stat;
use super::store::MINUTE_MS;
use super::wire::Out;
use crate::{Caller, partition};
use daemon::protocol::Damage;

/// Source: PutAlarmMuteRule, `MuteTargets`.
const MAX_TARGETS: usize = 100;
/// Source: ListAlarmMuteRules, `MaxRecords`.
const MAX_RECORDS: i64 = 100;
/// Source: Schedule, `Duration`: 1 minute to 15 days.
const MAX_MINUTES: i64 = 15 * 24 * 60;

/// Account, region and name.
type Key = (String, String, String);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Rule {
    description: Option<String>,
    /// As given.
    expression: String,
    duration: String,
    timezone: Option<String>,
    start_date_ms: Option<i64>,
    expire_date_ms: Option<i64>,
    alarms: Vec<String>,
    updated_ms: i64,
    /// When the rule mutes, in milliseconds since the Unix epoch.
    from_ms: i64,
    until_ms: i64,
}

/// An alarm whose actions were muted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Muted {
    rule: Key,
    alarm: String,
    /// Its state before the first muted change.
    before: State,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct MutesFile {
    rules: Vec<(Key, Rule)>,
    muted: Vec<Muted>,
}

#[derive(Debug, Default)]
pub(super) struct Mutes {
    file: StateFile,
    rules: BTreeMap<Key, Rule>,
    muted: Vec<Muted>,
}

impl Rule {
    fn read(input: &Fields<'_>, now_ms: i64) -> Result<Self, ApiError> {
        let need = |fields: &Fields<'_>, name: &str| ApiError::missing(&fields.path(name));
        let rule = input.structure("Rule")?.ok_or_else(|| need(input, "Rule"))?;
        let schedule = rule
            .structure("Schedule")?
            .ok_or_else(|| need(&rule, "Schedule"))?;
        let expression = schedule.need_text("Expression", 256)?;
        let duration = schedule.need_text("Duration", 50)?;
        let timezone = schedule.text("Timezone", 50)?;
        let offset = timezone.map_or(Some(0), stat::offset_minutes).ok_or_else(|| {
            ApiError::validation(
                "The local cloud supports the time zone UTC and offsets from it, such as +05:30, for alarm mute rules.",
            )
        })?;
        if expression.starts_with("cron(") {
            return Err(ApiError::validation(
                "The local cloud does not offer repeated alarm mute rules (cron).",
            ));
        }
        let at = at_ms(expression).ok_or_else(|| schedule.invalid("Expression", expression))?;
        let minutes = minutes(duration).ok_or_else(|| schedule.invalid("Duration", duration))?;
        let targets = input.structure("MuteTargets")?;
        let alarms = targets.map_or(Ok(Vec::new()), |targets| targets.words("AlarmNames", MAX_TARGETS))?;
        let (start_date_ms, expire_date_ms) = (input.time("StartDate")?, input.time("ExpireDate")?);
        let begin = at - offset * MINUTE_MS;
        let end = begin + minutes * MINUTE_MS;
        Ok(Self {
            description: input.text_or_empty("Description", 1024)?.map(str::to_owned),
            expression: expression.to_owned(),
            duration: duration.to_owned(),
            timezone: timezone.map(str::to_owned),
            start_date_ms,
            expire_date_ms,
            alarms: alarms.into_iter().map(str::to_owned).collect(),
            updated_ms: now_ms,
            from_ms: begin.max(start_date_ms.unwrap_or(begin)),
            until_ms: end.min(expire_date_ms.unwrap_or(end)),
        })
    }

    fn status(&self, now_ms: i64) -> &'static str {
        if now_ms >= self.until_ms {
            "EXPIRED"
        } else if now_ms >= self.from_ms {
            "ACTIVE"
        } else {
            "SCHEDULED"
        }
    }

    fn is_active(&self, now_ms: i64) -> bool {
        self.status(now_ms) == "ACTIVE"
    }

    fn summary(&self, caller: &Caller, name: &str, now_ms: i64) -> Vec<(&'static str, Out)> {
        let mut out = vec![
            ("AlarmMuteRuleArn", Out::Text(arn(caller, name))),
            ("Status", Out::Text(self.status(now_ms).to_owned())),
            ("MuteType", Out::Text("ONE_TIME".to_owned())),
            ("LastUpdatedTimestamp", Out::Time(self.updated_ms)),
        ];
        out.extend(self.expire_date_ms.map(|ms| ("ExpireDate", Out::Time(ms))));
        out
    }

    fn out(&self, caller: &Caller, name: &str, now_ms: i64) -> Out {
        let text = |text: &String| Out::Text(text.clone());
        let mut schedule = vec![
            ("Expression", text(&self.expression)),
            ("Duration", text(&self.duration)),
        ];
        schedule.extend(
            self.timezone
                .as_ref()
                .map(|timezone| ("Timezone", text(timezone))),
        );
        let mut out = self.summary(caller, name, now_ms);
        out.push(("Name", Out::Text(name.to_owned())));
        out.push(("Rule", Out::Struct(vec![("Schedule", Out::Struct(schedule))])));
        let alarms = Out::List(self.alarms.iter().map(text).collect());
        out.push(("MuteTargets", Out::Struct(vec![("AlarmNames", alarms)])));
        out.extend(
            self.description
                .as_ref()
                .map(|words| ("Description", text(words))),
        );
        out.extend(self.start_date_ms.map(|ms| ("StartDate", Out::Time(ms))));
        Out::Struct(out)
    }
}

impl Mutes {
    /// Opens the rules stored in `dir`.
    pub(super) fn open(dir: &Path) -> Self {
        let (file, kept): (_, MutesFile) = StateFile::open(dir.join("mutes.json"));
        Self {
            file,
            rules: kept.rules.into_iter().collect(),
            muted: kept.muted,
        }
    }

    pub(super) fn damage(&self) -> Option<Damage> {
        self.file.damage()
    }

    fn save(&self) -> Result<(), ApiError> {
        let rules = self.rules.iter();
        self.file.write(&MutesFile {
            rules: rules.map(|(key, rule)| (key.clone(), rule.clone())).collect(),
            muted: self.muted.clone(),
        })
    }

    pub(super) fn put(&mut self, caller: &Caller, input: &Fields<'_>, now_ms: i64) -> Result<(), ApiError> {
        let name = input.need_text("Name", 255)?;
        let rule = Rule::read(input, now_ms)?;
        self.rules.insert(key(caller, name), rule);
        self.save()
    }

    pub(super) fn get(&self, caller: &Caller, input: &Fields<'_>, now_ms: i64) -> Result<Out, ApiError> {
        let name = input.need_text("AlarmMuteRuleName", 255)?;
        let rule = self.rules.get(&key(caller, name)).ok_or_else(|| {
            ApiError::not_found(
                "ResourceNotFoundException",
                format!("The alarm mute rule {name} does not exist"),
            )
        })?;
        Ok(rule.out(caller, name, now_ms))
    }

    pub(super) fn list(&self, caller: &Caller, input: &Fields<'_>, now_ms: i64) -> Result<Out, ApiError> {
        let alarm = input.text("AlarmName", 255)?;
        let statuses = input.words("Statuses", 3)?;
        let max = input.integer("MaxRecords")?.unwrap_or(50);
        if !(1..=MAX_RECORDS).contains(&max) {
            return Err(input.invalid("MaxRecords", max));
        }
        let after = input.text("NextToken", 1024)?;
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let of_caller = |key: &Key| key.0 == caller.account && key.1 == caller.region;
        let mut page: Vec<(&str, &Rule)> = self
            .rules
            .iter()
            .filter(|(key, _)| of_caller(key) && after.is_none_or(|after| key.2.as_str() > after))
            .map(|(key, rule)| (key.2.as_str(), rule))
            .filter(|(_, rule)| alarm.is_none_or(|alarm| rule.alarms.iter().any(|name| name == alarm)))
            .filter(|(_, rule)| statuses.is_empty() || statuses.contains(&rule.status(now_ms)))
            .take(max + 1)
            .collect();
        let more = page.len() > max;
        page.truncate(max);
        let next = page.last().filter(|_| more).map(|(name, _)| (*name).to_owned());
        let summaries = page
            .iter()
            .map(|(name, rule)| Out::Struct(rule.summary(caller, name, now_ms)));
        let mut out = vec![("AlarmMuteRuleSummaries", Out::List(summaries.collect()))];
        out.extend(next.map(|next| ("NextToken", Out::Text(next))));
        Ok(Out::Struct(out))
    }

    /// DeleteAlarmMuteRule. An unknown name is ignored: it defines no error for it. Alarms that the rule muted act at the
    /// next evaluation.
    pub(super) fn delete(&mut self, caller: &Caller, input: &Fields<'_>) -> Result<(), ApiError> {
        let name = input.need_text("AlarmMuteRuleName", 255)?;
        self.rules.remove(&key(caller, name));
        self.save()
    }

    /// Whether a rule with this ARN exists.
    pub(super) fn has_arn(&self, caller: &Caller, wanted: &str) -> bool {
        let name = wanted
            .split_once(":alarm-mute-rule:")
            .map_or("", |(_, name)| name);
        self.rules.contains_key(&key(caller, name)) && arn(caller, name) == wanted
    }

    /// The name of a rule that mutes the alarm `name` now.
    pub(super) fn muting(&self, caller: &Caller, name: &str, now_ms: i64) -> Option<String> {
        let of_caller = |key: &Key| key.0 == caller.account && key.1 == caller.region;
        let targets = |rule: &Rule| rule.alarms.iter().any(|alarm| alarm == name);
        self.rules
            .iter()
            .find(|(key, rule)| of_caller(key) && rule.is_active(now_ms) && targets(rule))
            .map(|(key, _)| key.2.clone())
    }

    /// Remembers that `rule` muted the actions of `alarm` after its state `before`.
    pub(super) fn remember(&mut self, caller: &Caller, rule: &str, alarm: &str, before: State) {
        let rule = key(caller, rule);
        let known = |muted: &Muted| muted.rule == rule && muted.alarm == alarm;
        if self.muted.iter().any(known) {
            return;
        }
        self.muted.push(Muted {
            rule,
            alarm: alarm.to_owned(),
            before,
        });
        self.warn_unless_saved();
    }

    /// Takes the alarms whose mute rules have ended, with the state that each had before its actions were muted.
    pub(super) fn take_ended(&mut self, now_ms: i64) -> Vec<(Caller, String, State)> {
        let rules = &self.rules;
        let (still, ended): (Vec<Muted>, Vec<Muted>) = std::mem::take(&mut self.muted)
            .into_iter()
            .partition(|muted| rules.get(&muted.rule).is_some_and(|rule| rule.is_active(now_ms)));
        self.muted = still;
        if !ended.is_empty() {
            self.warn_unless_saved();
        }
        let caller = |key: &Key| Caller {
            account: key.0.clone(),
            region: key.1.clone(),
        };
        ended
            .into_iter()
            .map(|muted| (caller(&muted.rule), muted.alarm, muted.before))
            .collect()
    }

    fn warn_unless_saved(&self) {
        if let Err(error) = self.save() {
            tracing::warn!(error = error.message(), "the muted alarms could not be saved");
        }
    }
}

fn key(caller: &Caller, name: &str) -> Key {
    (caller.account.clone(), caller.region.clone(), name.to_owned())
}

pub(super) fn arn(caller: &Caller, name: &str) -> String {
    let Caller { account, region } = caller;
    format!(
        "arn:{}:cloudwatch:{region}:{account}:alarm-mute-rule:{name}",
        partition(region)
    )
}

/// The time of `at(yyyy-MM-ddThh:mm)`, as if it were in UTC.
fn at_ms(expression: &str) -> Option<i64> {
    let text = expression.strip_prefix("at(")?.strip_suffix(')')?;
    let time: jiff::Timestamp = format!("{text}:00Z").parse().ok()?;
    // 2026-11-28T09:05 has 16 characters.
    (text.len() == 16).then(|| time.as_millisecond())
}

/// The minutes of an ISO 8601 duration of days, hours and minutes, such as `P2DT12H`.
fn minutes(duration: &str) -> Option<i64> {
    let (days, time) = match duration.strip_prefix('P')?.split_once('T') {
        Some((_, "")) => return None,
        Some((days, time)) => (days, time),
        None => (duration.strip_prefix('P')?, ""),
    };
    let mut total = 0;
    let mut rest = format!("{days}{time}");
    let units = [('D', 24 * 60, days), ('H', 60, time), ('M', 1, time)];
    for (unit, minutes, part) in units {
        if let Some((number, after)) = rest.split_once(unit) {
            let plain = number.len() <= 5 && number.bytes().all(|byte| byte.is_ascii_digit());
            if !plain || !part.contains(unit) {
                return None;
            }
            total += number.parse::<i64>().ok()? * minutes;
            rest = after.to_owned();
        }
    }
    (rest.is_empty() && (1..=MAX_MINUTES).contains(&total)).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_in_iso_8601() {
        let read = ["PT1M", "PT2H", "PT1H30M", "P2DT12H", "P15D"].map(minutes);
        assert_eq!(read, [Some(1), Some(120), Some(90), Some(3600), Some(21_600)]);
        for bad in [
            "", "P", "PT", "PT0M", "2H", "P2H", "PT2D", "P16D", "PT1S", "PT-1H", "PT1H1H", "P1DT",
        ] {
            assert_eq!(minutes(bad), None, "{bad}");
        }
    }

    #[test]
    fn expressions_name_a_minute() {
        assert_eq!(at_ms("at(1970-01-02T00:01)"), Some(86_460_000));
        for bad in [
            "at(1970-01-02)",
            "at(1970-01-02T00:01:30)",
            "1970-01-02T00:01",
            "at()",
            "at(x)",
        ] {
            assert_eq!(at_ms(bad), None, "{bad}");
        }
    }
}
