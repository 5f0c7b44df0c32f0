//! Evaluation of an alarm on its datapoints.
//!
//! Source: "Using Amazon CloudWatch alarms": "Evaluating an alarm" and "Configuring how CloudWatch alarms treat missing
//! data". The examples in its tables are tests here.

use serde_json::json;

use super::alarm::{LowSamples, MetricAlarm, MissingData, OneMetric, State, Watched, Window};
use super::queries;
use super::stat::Stat;
use super::store::{MINUTE_MS, Store, periods};
use crate::Caller;
use crate::clock::utc;

/// Periods before the evaluation periods to search for datapoints. CloudWatch documents that it retrieves more than the
/// evaluation periods, and shows five for three.
const EXTRA_PERIODS: usize = 2;
/// A Monday at midnight, where wall clock windows of a week begin.
const A_MONDAY_MS: i64 = 4 * 86_400_000;

/// A period's start in milliseconds, and its value if there is one.
type Datapoint = (i64, Option<f64>);

/// Result of an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Evaluation {
    pub(super) state: State,
    pub(super) reason: String,
    pub(super) reason_data: String,
}

/// Evaluates `alarm` on the periods that are complete at `now_ms`; `None` if the state is kept.
pub(super) fn evaluate(
    alarm: &MetricAlarm,
    caller: &Caller,
    store: &Store,
    now_ms: i64,
) -> Option<Evaluation> {
    let range = range(alarm, now_ms);
    let found = match &alarm.watched {
        Watched::Metric(metric) => of_metric(alarm, metric, caller, store, range)?,
        Watched::Queries { metrics } => match queries::evaluate(store, caller, metrics, range) {
            Ok(results) => results.into_iter().next().map(|(_, points)| points)?,
            Err(error) => {
                return Some(Evaluation {
                    state: State::InsufficientData,
                    reason: error.message().to_owned(),
                    reason_data: "{}".to_owned(),
                });
            }
        },
    };
    let points = in_periods(alarm, &found, range);
    let state = decide(alarm, &points)?;
    Some(explain(alarm, &points, state, now_ms))
}

/// Start and end of the evaluation range. As in CloudWatch, a sliding window moves by minutes, and a wall clock window by
/// periods.
fn range(alarm: &MetricAlarm, now_ms: i64) -> (i64, i64) {
    let periods = i64::try_from(alarm.evaluation_periods + EXTRA_PERIODS).unwrap_or(i64::MAX);
    let period = alarm.period_ms();
    let end = match &alarm.window {
        Some(Window::WallClock { offset_minutes, .. }) => {
            let origin = A_MONDAY_MS - offset_minutes * MINUTE_MS;
            (now_ms - origin).div_euclid(period) * period + origin
        }
        None | Some(Window::Sliding) => now_ms.div_euclid(MINUTE_MS) * MINUTE_MS,
    };
    (end.saturating_sub(period.saturating_mul(periods)), end)
}

/// The datapoints of a metric; `None` if the latest one is a percentile of too few samples to be evaluated.
fn of_metric(
    alarm: &MetricAlarm,
    watched: &OneMetric,
    caller: &Caller,
    store: &Store,
    (start, end): (i64, i64),
) -> Option<queries::Points> {
    let metric = store.find(caller, &watched.namespace, &watched.metric, &watched.dimensions);
    let units = metric.into_iter().flat_map(|metric| {
        let wanted = |unit: &str| watched.unit.as_deref().is_none_or(|wanted| wanted == unit);
        metric
            .units
            .iter()
            .filter_map(move |(unit, minutes)| wanted(unit).then_some(minutes))
    });
    let found = periods(units, start, end, alarm.period_ms());
    let stat = watched.stat();
    let latest = found.last_key_value().map(|(_, statistics)| statistics.count);
    if alarm.low_samples == Some(LowSamples::Ignore)
        && latest.is_some_and(|samples| samples < needed_samples(stat))
    {
        return None;
    }
    let points = found.iter();
    Some(
        points
            .filter_map(|(at, statistics)| Some((*at, stat.of(statistics)?)))
            .collect(),
    )
}

/// The samples that make a percentile significant. Source: "Percentile-based CloudWatch alarms and low data samples",
/// CloudWatch user guide.
fn needed_samples(stat: Stat) -> f64 {
    match stat {
        Stat::Percentile(percent) if percent >= 50.0 => 10.0 / (1.0 - percent / 100.0),
        Stat::Percentile(percent) => 10.0 / (percent / 100.0),
        _ => 0.0,
    }
}

/// The periods of the evaluation range, oldest first.
fn in_periods(alarm: &MetricAlarm, found: &[(i64, f64)], (start, end): (i64, i64)) -> Vec<Datapoint> {
    let period = alarm.period_ms();
    let count = (end - start) / period;
    let value = |at: i64| {
        let index = found.binary_search_by_key(&at, |(at, _)| *at);
        index.ok().map(|index| found[index].1)
    };
    (0..count)
        .map(|index| {
            let at = start + index * period;
            (at, value(at))
        })
        .collect()
}

/// The state that the points ask for; `None` if the state is kept.
fn decide(alarm: &MetricAlarm, points: &[Datapoint]) -> Option<State> {
    // The latest values, and how many periods ago each is.
    let real: Vec<(usize, f64)> = (1..)
        .zip(points.iter().rev())
        .filter_map(|(age, (_, value))| Some((age, (*value)?)))
        .take(alarm.evaluation_periods)
        .collect();
    let breaching = real
        .iter()
        .filter(|(_, value)| alarm.comparison.breaches(*value, alarm.threshold))
        .count();
    let missing = alarm.evaluation_periods - real.len();
    let needed = alarm.needed();
    let all_breach = breaching == real.len();
    if breaching >= needed {
        return Some(State::Alarm);
    }
    match alarm.missing() {
        MissingData::Breaching if breaching + missing >= needed => Some(State::Alarm),
        MissingData::Ignore if missing > 0 && all_breach => None,
        MissingData::Missing if real.is_empty() => Some(State::InsufficientData),
        // The next datapoint may be within the threshold. Source: "Avoiding premature transitions to alarm state".
        MissingData::Missing if missing > 0 && all_breach => {
            let oldest = real.last().map_or(0, |(age, _)| *age);
            (oldest >= needed).then_some(State::Alarm)
        }
        _ => Some(State::Ok),
    }
}

/// The evaluation with its reason.
fn explain(alarm: &MetricAlarm, points: &[Datapoint], state: State, now_ms: i64) -> Evaluation {
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
    let evaluated = real
        .iter()
        .map(|(at, value)| json!({"timestamp": long_time(*at), "value": value}));
    let mut reason_data = json!({
        "version": "1.0",
        "queryDate": long_time(now_ms),
        "startDate": real.last().map(|(at, _)| long_time(*at)),
        "period": alarm.watched.period(),
        "recentDatapoints": recent,
        "threshold": alarm.threshold,
        "evaluatedDatapoints": evaluated.collect::<Vec<_>>(),
    });
    if let Watched::Metric(metric) = &alarm.watched {
        reason_data["statistic"] = metric.statistic.as_str().into();
    }
    Evaluation {
        state,
        reason,
        reason_data: reason_data.to_string(),
    }
}

/// The reason in AWS's wording.
fn reason_without_data(alarm: &MetricAlarm) -> String {
    let periods = alarm.evaluation_periods;
    let none = format!(
        "no datapoints were received for {periods} period{}",
        plural(periods)
    );
    let treated = match alarm.missing() {
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
fn reason_with_data(alarm: &MetricAlarm, real: &[(i64, f64)], state: State) -> String {
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
    use proptest::prelude::*;

    use super::*;
    use crate::cloudwatch::alarm::Alarm;
    use crate::cloudwatch::input::Fields;

    fn alarm(periods: usize, needed: usize, missing: &str) -> MetricAlarm {
        let input = json!({
            "AlarmName": "a", "Namespace": "App", "MetricName": "M", "Statistic": "Sum", "Period": 60,
            "EvaluationPeriods": periods, "DatapointsToAlarm": needed, "Threshold": 1,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold", "TreatMissingData": missing,
        });
        let alarm = Alarm::read_metric(&Fields::of(input.as_object().unwrap()), 0).unwrap();
        alarm.metric().unwrap().clone()
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
            let decided = decide(&alarm(periods, needed, missing), &points(points_));
            decided.map_or("retain", State::word)
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
        assert_eq!(decided("- - - X -", 3, 2), ["ALARM", "retain", "ALARM", "OK"]);
    }

    #[test]
    fn a_new_breaching_datapoint_is_not_enough() {
        for points in ["- - - - X", "- - - X -"] {
            assert_eq!(decided(points, 3, 3)[0], "retain", "{points}");
        }
        assert_eq!(decided("- - - X 0", 3, 3)[0], "OK");
        assert_eq!(decided("- - - - X", 3, 2)[0], "retain");
        assert_eq!(decided("- - X", 1, 1)[0], "ALARM");
    }

    #[test]
    fn alarms_on_tables_ignore_missing_data() {
        let mut of_table = alarm(1, 1, "breaching");
        let Watched::Metric(metric) = &mut of_table.watched else {
            panic!("not on one metric")
        };
        metric.namespace = "AWS/DynamoDB".to_owned();
        assert_eq!(decide(&of_table, &points("- - -")), None);
    }

    #[test]
    fn wall_clock_windows_end_at_boundaries_of_their_time_zone() {
        let mut daily = alarm(1, 1, "missing");
        let Watched::Metric(metric) = &mut daily.watched else {
            panic!("not on one metric")
        };
        metric.period = 86_400;
        let end = |alarm: &MetricAlarm, now: &str| {
            let now: jiff::Timestamp = now.parse().unwrap();
            utc(range(alarm, now.as_millisecond()).1, "%a %d %H:%M")
        };
        assert_eq!(end(&daily, "2026-11-21T09:30:20Z"), "Sat 21 09:30");
        let wall_clock = |offset_minutes| {
            Some(Window::WallClock {
                timezone: None,
                offset_minutes,
            })
        };
        daily.window = wall_clock(0);
        assert_eq!(end(&daily, "2026-11-21T09:30:20Z"), "Sat 21 00:00");
        daily.window = wall_clock(330);
        assert_eq!(end(&daily, "2026-11-21T09:30:20Z"), "Fri 20 18:30");
        let Watched::Metric(metric) = &mut daily.watched else {
            panic!("not on one metric")
        };
        metric.period = 7 * 86_400;
        daily.window = wall_clock(0);
        assert_eq!(end(&daily, "2026-11-21T09:30:20Z"), "Mon 16 00:00");
    }

    #[test]
    fn percentiles_need_samples() {
        let needed = |stat: &str| needed_samples(Stat::parse(stat).unwrap());
        assert!((needed("p90") - 100.0).abs() < 1e-9);
        assert!((needed("p10") - 100.0).abs() < 1e-9);
        assert_eq!(needed("Sum"), 0.0);
    }

    #[test]
    fn reasons_have_the_wording_of_cloudwatch() {
        let reason = |text: &str, missing: &str| {
            let alarm = alarm(1, 1, missing);
            let points = points(text);
            explain(&alarm, &points, decide(&alarm, &points).unwrap(), 0).reason
        };
        insta::assert_snapshot!(reason("- - X", "missing"), @"Threshold Crossed: 1 out of the last 1 datapoints [1.0 (01/01/70 00:00:00)] was greater than or equal to the threshold (1.0) (minimum 1 datapoint for OK -> ALARM transition).");
        insta::assert_snapshot!(reason("- - 0", "missing"), @"Threshold Crossed: 1 out of the last 1 datapoints [0.0 (01/01/70 00:00:00)] was not greater than or equal to the threshold (1.0) (minimum 1 datapoint for ALARM -> OK transition).");
        insta::assert_snapshot!(reason("- - -", "notBreaching"), @"Threshold Crossed: no datapoints were received for 1 period and 1 missing datapoint was treated as [NonBreaching].");
        insta::assert_snapshot!(reason("- - -", "missing"), @"Insufficient Data: no datapoints were received for 1 period.");
    }

    /// The rules of the user guide, literally: the latest values fill the evaluation periods, missing periods are
    /// filled with what missing data is treated as.
    fn model(values: &[Option<bool>], periods: usize, needed: usize, missing: &str) -> Option<State> {
        let latest: Vec<bool> = values.iter().rev().flatten().copied().take(periods).collect();
        let mut filled = latest.clone();
        match missing {
            "breaching" => filled.resize(periods, true),
            "notBreaching" => filled.resize(periods, false),
            _ => {}
        }
        if filled.iter().filter(|breaches| **breaches).count() >= needed {
            return Some(State::Alarm);
        }
        if filled.len() == periods || filled.contains(&false) {
            return Some(State::Ok);
        }
        if missing == "ignore" {
            return None;
        }
        if latest.is_empty() {
            return Some(State::InsufficientData);
        }
        // Which of the values is the oldest that is evaluated, counted from the latest period.
        let ages = (1..)
            .zip(values.iter().rev())
            .filter(|(_, value)| value.is_some());
        let oldest = ages.map(|(age, _)| age).nth(latest.len() - 1).unwrap();
        (oldest >= needed).then_some(State::Alarm)
    }

    proptest! {
        #[test]
        fn decisions_are_those_of_the_rules(
            values in prop::collection::vec(prop::option::of(any::<bool>()), 12),
            periods in 1usize..10,
            part in 0.0f64..1.0,
            missing in prop::sample::select(vec!["missing", "ignore", "breaching", "notBreaching"]),
        ) {
            let needed = 1 + (part * periods as f64) as usize;
            let values = &values[12 - (periods + EXTRA_PERIODS)..];
            let points: Vec<Datapoint> = (0..)
                .zip(values)
                .map(|(at, value)| (at, value.map(|breaches| f64::from(u8::from(breaches)))))
                .collect();
            prop_assert_eq!(
                decide(&alarm(periods, needed, missing), &points),
                model(values, periods, needed, missing)
            );
        }
    }
}
