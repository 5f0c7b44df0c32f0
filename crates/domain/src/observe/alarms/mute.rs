//! Muting: with an end, an alarm mute rule of CloudWatch; without one, its actions are disabled.
//!
//! Source: PutAlarmMuteRule and DisableAlarmActions, CloudWatch API reference.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_cloudwatch::operation::get_alarm_mute_rule::GetAlarmMuteRuleOutput;
use aws_sdk_cloudwatch::types::{AlarmMuteRuleStatus, MuteTargets, Rule, Schedule};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::context::Context;
use ground::error::{self, Error, Result};
use ground::shell::quoted;

/// Rules that are read at the same time.
const READS: usize = 8;
/// The longest rule. Source: Schedule, `Duration`.
const LONGEST: Duration = Duration::from_secs(15 * 24 * 3_600);
/// Codes of endpoints that do not have the operation.
const NOT_OFFERED: &[&str] = &[
    "InvalidAction",
    "NotImplemented",
    "UnknownOperation",
    "UnknownOperationException",
    "UnsupportedOperation",
];

/// Why the actions of an alarm are not executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Muted {
    /// Its actions are disabled, until they are enabled.
    Disabled,
    /// A mute rule is active.
    Rule {
        name: String,
        /// `None` if it is repeated.
        until: Option<Timestamp>,
    },
}

/// The name of the mute rule of streamctl for an alarm.
fn rule_name(alarm: &str) -> String {
    // Source: PutAlarmMuteRule, `Name`: at most 255 characters.
    format!("streamctl-{alarm}").chars().take(255).collect()
}

/// Active mute rules by the names of their alarms. None where the endpoint has no mute rules.
pub(super) async fn rules(context: &Context) -> Result<BTreeMap<String, Muted>> {
    let names = active(context).await?;
    let found: Vec<_> = stream::iter(names.into_iter().map(|name| read(context, name)))
        .buffered(READS)
        .try_collect()
        .await?;
    let mut muted = BTreeMap::new();
    for (name, rule) in found.into_iter().flatten() {
        let schedule = rule.rule().and_then(Rule::schedule);
        let until = schedule.and_then(end_of);
        let targets = rule
            .mute_targets()
            .map(MuteTargets::alarm_names)
            .unwrap_or_default();
        for alarm in targets {
            let name = name.clone();
            muted.insert(alarm.clone(), Muted::Rule { name, until });
        }
    }
    Ok(muted)
}

/// Names of the active rules.
async fn active(context: &Context) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut token = None;
    loop {
        let call = context
            .cloudwatch()
            .list_alarm_mute_rules()
            .statuses(AlarmMuteRuleStatus::Active)
            .set_next_token(token);
        let page = match call.send().await {
            Ok(page) => page,
            // Policies of earlier times do not allow the operation: what is not known is not shown.
            Err(error) if error.code().is_some_and(is_not_offered_or_denied) => return Ok(Vec::new()),
            Err(error) => return Err(error::aws::failed("could not list the alarm mute rules", error)),
        };
        let rules = page.alarm_mute_rule_summaries().iter();
        let arns = rules.filter_map(|one| one.alarm_mute_rule_arn());
        names.extend(arns.filter_map(|arn| Some(arn.split_once(":alarm-mute-rule:")?.1.to_owned())));
        token = page.next_token;
        if token.is_none() {
            return Ok(names);
        }
    }
}

fn is_not_offered_or_denied(code: &str) -> bool {
    NOT_OFFERED.contains(&code) || code.contains("AccessDenied")
}

/// The rule `name` with its name; `None` if it was deleted meanwhile.
async fn read(context: &Context, name: String) -> Result<Option<(String, GetAlarmMuteRuleOutput)>> {
    let call = context.cloudwatch().get_alarm_mute_rule();
    match call.alarm_mute_rule_name(&name).send().await {
        Ok(rule) => Ok(Some((name, rule))),
        Err(error) if error::aws::is_not_found(&error) => Ok(None),
        Err(error) => {
            let what = format!("could not read the alarm mute rule {name}");
            Err(error::aws::failed(what, error))
        }
    }
}

/// The end of a rule that applies once and in UTC.
fn end_of(schedule: &Schedule) -> Option<Timestamp> {
    if schedule.timezone().is_some_and(|timezone| timezone != "UTC") {
        return None;
    }
    let at = schedule.expression()?.strip_prefix("at(")?.strip_suffix(')')?;
    let start: Timestamp = format!("{at}:00Z").parse().ok()?;
    start.checked_add(iso(schedule.duration()?)?).ok()
}

/// An ISO 8601 duration of days, hours and minutes.
fn iso(text: &str) -> Option<SignedDuration> {
    let (days, time) = text
        .strip_prefix('P')?
        .split_once('T')
        .unwrap_or((text.strip_prefix('P')?, ""));
    let days: i64 = match days {
        "" => 0,
        days => days.strip_suffix('D')?.parse().ok()?,
    };
    let time: SignedDuration = match time {
        "" => SignedDuration::ZERO,
        time => format!("PT{time}").parse().ok()?,
    };
    time.checked_add(SignedDuration::from_hours(days.checked_mul(24)?))
}

/// Refuses a length that CloudWatch does not take. Makes no call.
///
/// # Errors
/// Exit 2.
pub fn check_length(length: Option<Duration>) -> Result<()> {
    match length {
        Some(length) if length > LONGEST || length.is_zero() => Err(Error::usage(
            "an alarm can be muted for at most 15 days, and for more than 0s",
        )
        .hint("leave --for out to mute it until you unmute it")),
        _ => Ok(()),
    }
}

/// Mutes the alarm `name`: for `length`, or until it is unmuted.
///
/// # Errors
/// Exit 2 for a length that CloudWatch does not take.
pub async fn mute(context: &Context, name: &str, length: Option<Duration>, now: Timestamp) -> Result<Muted> {
    let Some(length) = length else {
        let call = context.cloudwatch().disable_alarm_actions().alarm_names(name);
        call.send()
            .await
            .map_err(|e| error::aws::failed(format!("could not disable the actions of alarm {name}"), e))?;
        return Ok(Muted::Disabled);
    };
    let (expression, minutes) = schedule(length, now)?;
    let schedule = Schedule::builder()
        .expression(expression)
        .duration(format!("PT{minutes}M"))
        .timezone("UTC")
        .build();
    let rule_name = rule_name(name);
    let call = context
        .cloudwatch()
        .put_alarm_mute_rule()
        .name(&rule_name)
        .description(format!("streamctl alarms mute {name}"))
        .rule(Rule::builder().schedule(schedule.clone()).build())
        .mute_targets(MuteTargets::builder().alarm_names(name).build());
    match call.send().await {
        Ok(_) => Ok(Muted::Rule {
            name: rule_name,
            until: end_of(&schedule),
        }),
        Err(error) if error.code().is_some_and(|code| NOT_OFFERED.contains(&code)) => Err(Error::failed(
            "this endpoint has no alarm mute rules, so nothing would end the mute",
        )
        .hint(format!(
            "leave --for out, and end it with `streamctl alarms unmute {}`",
            quoted(name)
        ))),
        Err(error) => Err(error::aws::failed(format!("could not mute alarm {name}"), error)),
    }
}

/// The expression of a rule that begins in this minute, and its length in minutes, so that it lasts at least `length`.
fn schedule(length: Duration, now: Timestamp) -> Result<(String, u64)> {
    check_length(Some(length))?;
    let begun = now.as_second().rem_euclid(60);
    let seconds = length.as_secs() + begun.unsigned_abs();
    let expression = now.strftime("at(%Y-%m-%dT%H:%M)").to_string();
    Ok((expression, seconds.div_ceil(60)))
}

/// Ends the mute of the alarm `name`: enables its actions, and deletes streamctl's mute rule for it.
///
/// # Errors
/// When a call fails.
pub async fn unmute(context: &Context, name: &str, muted: Option<&Muted>) -> Result<()> {
    match muted {
        Some(Muted::Rule { name: rule, .. }) if *rule != rule_name(name) => {
            return Err(Error::failed(format!(
                "alarm {name} is muted by the rule {rule}, which streamctl did not make"
            ))
            .hint(format!(
                "end it with `aws cloudwatch delete-alarm-mute-rule --alarm-mute-rule-name {rule}`"
            )));
        }
        Some(Muted::Rule { name: rule, .. }) => {
            let call = context.cloudwatch().delete_alarm_mute_rule();
            call.alarm_mute_rule_name(rule)
                .send()
                .await
                .map_err(|e| error::aws::failed(format!("could not delete the alarm mute rule {rule}"), e))?;
        }
        Some(Muted::Disabled) | None => {}
    }
    let call = context.cloudwatch().enable_alarm_actions().alarm_names(name);
    call.send()
        .await
        .map(drop)
        .map_err(|e| error::aws::failed(format!("could not enable the actions of alarm {name}"), e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_begins_in_this_minute_and_lasts_long_enough() {
        let now: Timestamp = "2026-11-28T23:59:30Z".parse().unwrap();
        let hour = Duration::from_secs(3_600);
        let (expression, minutes) = schedule(hour * 2, now).unwrap();
        assert_eq!((expression.as_str(), minutes), ("at(2026-11-28T23:59)", 121));
        let rule = Schedule::builder()
            .expression(expression)
            .duration("PT121M")
            .timezone("UTC")
            .build();
        let end = end_of(&rule).unwrap();
        assert!(end.duration_since(now) >= SignedDuration::from_hours(2));
        assert_eq!(
            schedule(hour * 24 * 16, now).unwrap_err().exit(),
            ground::exit::Exit::Usage
        );
    }

    #[test]
    fn lengths_of_rules_are_read() {
        let hours = |text: &str| iso(text).map(|length| length.as_hours());
        assert_eq!(
            ["PT2H", "P2DT12H", "P7D", "PT90M"].map(hours),
            [Some(2), Some(60), Some(168), Some(1)]
        );
        for bad in ["", "P", "2H", "P2", "PTX"] {
            assert!(bad == "P" || iso(bad).is_none(), "{bad}");
        }
    }
}
