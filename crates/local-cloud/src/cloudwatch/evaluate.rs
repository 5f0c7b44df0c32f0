//! Evaluation of an alarm on its datapoints.
//!
//! Source: "Using Amazon CloudWatch alarms": "Evaluating an alarm" and "Configuring how CloudWatch alarms treat missing
//! data". The examples in its tables are tests here.

use serde_json::json;

use super::alarm::{Alarm, MissingData, State};
use super::store::{MINUTE_MS, Store, periods};
use crate::Caller;
use crate::clock::utc;

/// Periods before the evaluation periods to search for datapoints. CloudWatch documents that it retrieves more than the
/// evaluation periods, and shows five for three.
const EXTRA_PERIODS: usize = 2;

/// A period's start in milliseconds, and its value if there is one.
type Datapoint = (i64, Option<f64>);

/// Result of an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Evaluation {
    pub(super) state: State,
    pub(super) reason: String,
    pub(super) reason_data: String,
}

/// Evaluates `alarm` on the minutes that are complete at `now_ms`.
pub(super) fn evaluate(alarm: &Alarm, caller: &Caller, store: &Store, now_ms: i64) -> Evaluation {
    let points = datapoints(alarm, caller, store, now_ms);
    let state = decide(alarm, &points);
    explain(alarm, &points, state, now_ms)
}

/// The periods of the evaluation range, oldest first. As in CloudWatch, they move by minutes.
fn datapoints(alarm: &Alarm, caller: &Caller, store: &Store, now_ms: i64) -> Vec<Datapoint> {
    let range = i64::try_from(alarm.evaluation_periods + EXTRA_PERIODS).unwrap_or(i64::MAX);
    let period = alarm.period_ms();
    let end = now_ms.div_euclid(MINUTE_MS) * MINUTE_MS;
    let start = end.saturating_sub(period.saturating_mul(range));
    let metric = store.find(caller, &alarm.namespace, &alarm.metric, &alarm.dimensions);
    let units = metric.into_iter().flat_map(|metric| {
        let wanted = |unit: &str| alarm.unit.as_deref().is_none_or(|wanted| wanted == unit);
        metric
            .units
            .iter()
            .filter_map(move |(unit, minutes)| wanted(unit).then_some(minutes))
    });
    let found = periods(units, start, end, period);
    let stat = alarm.stat();
    (0..range)
        .map(|index| {
            let at = start + index * period;
            (at, found.get(&at).and_then(|statistics| stat.of(statistics)))
        })
        .collect()
}

fn decide(alarm: &Alarm, points: &[Datapoint]) -> State {
    let real: Vec<f64> = points.iter().rev().filter_map(|(_, value)| *value).collect();
    let latest = &real[..real.len().min(alarm.evaluation_periods)];
    let breaching = latest
        .iter()
        .filter(|value| alarm.comparison.breaches(**value, alarm.threshold))
        .count();
    let filled = alarm.evaluation_periods - latest.len();
    let needed = alarm.needed();
    let all_breach = breaching == latest.len();
    if breaching >= needed {
        return State::Alarm;
    }
    match alarm.missing_data.unwrap_or(MissingData::Missing) {
        MissingData::Breaching if breaching + filled >= needed => State::Alarm,
        MissingData::Ignore if filled > 0 && all_breach => alarm.state,
        MissingData::Missing if latest.is_empty() => State::InsufficientData,
        MissingData::Missing if filled > 0 && all_breach => State::Alarm,
        _ => State::Ok,
    }
}

/// The evaluation with its reason.
fn explain(alarm: &Alarm, points: &[Datapoint], state: State, now_ms: i64) -> Evaluation {
    let real: Vec<(i64, f64)> = points
        .iter()
        .rev()
        .filter_map(|(at, value)| Some((*at, (*value)?)))
        .take(alarm.evaluation_periods)
        .collect();
    let reason = if real.is_empty() {
        reason_without_data(alarm)
    } else {
        reason_with_data(alarm, &real, state)
    };
    let recent: Vec<f64> = real.iter().rev().map(|(_, value)| *value).collect();
    let reason_data = json!({
        "version": "1.0",
        "queryDate": long_time(now_ms),
        "startDate": real.last().map(|(at, _)| long_time(*at)),
        "statistic": alarm.statistic,
        "period": alarm.period,
        "recentDatapoints": recent,
        "threshold": alarm.threshold,
    });
    Evaluation {
        state,
        reason,
        reason_data: reason_data.to_string(),
    }
}

/// The reason in AWS's wording.
fn reason_without_data(alarm: &Alarm) -> String {
    let periods = alarm.evaluation_periods;
    let none = format!(
        "no datapoints were received for {periods} period{}",
        plural(periods)
    );
    let treated = match alarm.missing_data.unwrap_or(MissingData::Missing) {
        MissingData::Breaching => "Breaching",
        MissingData::NotBreaching => "NonBreaching",
        MissingData::Ignore | MissingData::Missing => return format!("Insufficient Data: {none}."),
    };
    format!(
        "Threshold Crossed: {none} and {periods} missing datapoint{} {} treated as [{treated}].",
        plural(periods),
        was(periods)
    )
}

/// The reason in AWS's wording. `real` has the datapoints that are not missing, newest first.
fn reason_with_data(alarm: &Alarm, real: &[(i64, f64)], state: State) -> String {
    let in_alarm = state == State::Alarm;
    let shown: Vec<String> = real
        .iter()
        .filter(|(_, value)| alarm.comparison.breaches(*value, alarm.threshold) == in_alarm)
        .map(|(at, value)| format!("{value:?} ({})", short_time(*at)))
        .collect();
    let (not, transition) = if in_alarm {
        ("", "OK -> ALARM")
    } else {
        ("not ", "ALARM -> OK")
    };
    format!(
        "Threshold Crossed: {} out of the last {} datapoints [{}] {} {not}{} the threshold ({:?}) (minimum {} \
         datapoint{} for {transition} transition).",
        shown.len(),
        alarm.evaluation_periods,
        shown.join(", "),
        was(shown.len()),
        alarm.comparison.words(),
        alarm.threshold,
        alarm.needed(),
        plural(alarm.needed()),
    )
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn was(count: usize) -> &'static str {
    if count == 1 { "was" } else { "were" }
}

fn short_time(ms: i64) -> String {
    utc(ms, "%d/%m/%y %H:%M:%S")
}

/// Example: `2026-11-21T09:00:00.000+0000`.
pub(super) fn long_time(ms: i64) -> String {
    utc(ms, "%Y-%m-%dT%H:%M:%S%.3f+0000")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloudwatch::input::Fields;

    fn alarm(periods: usize, needed: usize, missing: &str, state: State) -> Alarm {
        let input = json!({
            "AlarmName": "a", "Namespace": "App", "MetricName": "M", "Statistic": "Sum", "Period": 60,
            "EvaluationPeriods": periods, "DatapointsToAlarm": needed, "Threshold": 1,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold", "TreatMissingData": missing,
        });
        let mut alarm = Alarm::read(&Fields::of(input.as_object().unwrap()), 0).unwrap();
        alarm.state = state;
        alarm
    }

    /// `0` is within the threshold, `X` breaches it, `-` is missing.
    fn points(text: &str) -> Vec<Datapoint> {
        let value = |c: &str| match c {
            "0" => Some(0.0),
            "X" => Some(1.0),
            _ => None,
        };
        text.split(' ')
            .enumerate()
            .map(|(at, c)| (at as i64, value(c)))
            .collect()
    }

    fn decided(points_: &str, periods: usize, needed: usize) -> [&'static str; 4] {
        ["missing", "ignore", "breaching", "notBreaching"].map(|missing| {
            let in_ok = decide(&alarm(periods, needed, missing, State::Ok), &points(points_));
            let in_alarm = decide(&alarm(periods, needed, missing, State::Alarm), &points(points_));
            if in_ok == in_alarm { in_ok.word() } else { "retain" }
        })
    }

    #[test]
    fn missing_data_is_treated_as_in_the_user_guide() {
        // Three of three.
        assert_eq!(decided("0 - X - X", 3, 3), ["OK", "OK", "OK", "OK"]);
        assert_eq!(decided("0 - - - -", 3, 3), ["OK", "OK", "OK", "OK"]);
        assert_eq!(
            decided("- - - - -", 3, 3),
            ["INSUFFICIENT_DATA", "retain", "ALARM", "OK"]
        );
        assert_eq!(decided("0 X X - X", 3, 3), ["ALARM"; 4]);
        assert_eq!(decided("- - X - -", 3, 3), ["ALARM", "retain", "ALARM", "OK"]);
        // Two of three.
        assert_eq!(decided("0 - X - X", 3, 2), ["ALARM"; 4]);
        assert_eq!(decided("0 0 X 0 X", 3, 2), ["ALARM"; 4]);
        assert_eq!(decided("0 - X - -", 3, 2), ["OK", "OK", "ALARM", "OK"]);
        assert_eq!(decided("- - - - 0", 3, 2), ["OK", "OK", "ALARM", "OK"]);
        assert_eq!(decided("- - - - X", 3, 2), ["ALARM", "retain", "ALARM", "OK"]);
    }

    #[test]
    fn reasons_have_the_wording_of_cloudwatch() {
        let reason = |text: &str, missing: &str| {
            let alarm = alarm(1, 1, missing, State::Ok);
            let points = points(text);
            explain(&alarm, &points, decide(&alarm, &points), 0).reason
        };
        insta::assert_snapshot!(reason("- - X", "missing"), @"Threshold Crossed: 1 out of the last 1 datapoints [1.0 (01/01/70 00:00:00)] was greater than or equal to the threshold (1.0) (minimum 1 datapoint for OK -> ALARM transition).");
        insta::assert_snapshot!(reason("- - 0", "missing"), @"Threshold Crossed: 1 out of the last 1 datapoints [0.0 (01/01/70 00:00:00)] was not greater than or equal to the threshold (1.0) (minimum 1 datapoint for ALARM -> OK transition).");
        insta::assert_snapshot!(reason("- - -", "notBreaching"), @"Threshold Crossed: no datapoints were received for 1 period and 1 missing datapoint was treated as [NonBreaching].");
        insta::assert_snapshot!(reason("- - -", "missing"), @"Insufficient Data: no datapoints were received for 1 period.");
    }
}
