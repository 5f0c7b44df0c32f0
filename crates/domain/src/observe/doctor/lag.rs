//! Checks of how far readers are behind, and when that loses records.

use std::time::Duration;

use jiff::Timestamp;

use super::Check;
use super::finding::{Finding, Looked};
use super::fixes::change_mapping;
use super::measured::{Measured, Metric, Point};
use super::subject::Subject;
use crate::functions::mapping::Mapping;
use crate::stream::{Mode, ShardMap, StreamState};
use ground::duration;

pub(super) const CHECKS: &[Check] = &[
    Check::new("iterator-age", "readers keep up with the stream", |s| {
        Box::pin(ages(s))
    }),
    Check::new("closed-shards-unread", "closed shards are read in time", |s| {
        Box::pin(closed_shards(s))
    }),
    Check::new(
        "record-age-beyond-retention",
        "mappings give up records before they expire",
        |s| Box::pin(record_ages(s)),
    ),
];

const HOUR: u64 = 3_600;
/// Age from which a reader is behind. A batching window is 5 minutes at most.
const BEHIND: Duration = Duration::from_secs(300 + 60);
/// Values that a trend is made of. CloudWatch publishes single false values.
const TREND_POINTS: usize = 15;
/// A trend needs this many values.
const FEWEST_POINTS: usize = 5;
/// Retention that is proposed for a reader that is far behind: it takes time to repair.
const LONGER_RETENTION: &str = "7d";
const LONGER_RETENTION_HOURS: u32 = 7 * 24;

/// How an age develops.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Trend {
    /// Age now, in seconds: the median of the newest values.
    age: f64,
    /// Seconds that the age grows by each second; 1 for a reader that stands still, negative for one that catches up.
    growth: f64,
}

impl Trend {
    /// The trend of `points`, ages in milliseconds. `None` without data.
    fn of(points: &[Point]) -> Option<Self> {
        let newest = &points[points.len().saturating_sub(TREND_POINTS)..];
        let last: Vec<f64> = newest.iter().rev().take(3).map(|(_, age)| age / 1000.0).collect();
        let age = median(last)?;
        let growth = match newest.len() >= FEWEST_POINTS {
            true => median(slopes(newest)).unwrap_or(0.0),
            false => 0.0,
        };
        Some(Self { age, growth })
    }

    /// Time until the age reaches `limit` if it keeps growing; `None` if it never does.
    fn until(&self, limit: Duration) -> Option<Duration> {
        let left = limit.as_secs_f64() - self.age;
        if left <= 0.0 {
            return Some(Duration::ZERO);
        }
        if self.growth <= 0.01 {
            return None;
        }
        Duration::try_from_secs_f64(left / self.growth).ok()
    }
}

/// Slopes between all pairs of values (Theil and Sen): their median ignores single false values.
fn slopes(points: &[Point]) -> Vec<f64> {
    let mut slopes = Vec::new();
    for (index, (at, age)) in points.iter().enumerate() {
        for (later, older) in &points[index + 1..] {
            if later > at {
                slopes.push((older - age) / 1000.0 / (later - at) as f64);
            }
        }
    }
    slopes
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// A limit on the age of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    /// The stream's retention: older records are gone.
    Retention(Duration),
    /// The mapping's maximum record age: older records are discarded.
    RecordAge(Duration),
}

impl Limit {
    fn length(self) -> Duration {
        match self {
            Self::Retention(length) | Self::RecordAge(length) => length,
        }
    }

    /// The nearer limit of `mapping` on a stream.
    fn of(state: &StreamState, mapping: Option<&Mapping>) -> Self {
        let retention = Duration::from_secs(u64::from(state.retention_hours) * HOUR);
        let age = mapping.and_then(|mapping| mapping.settings.max_record_age_seconds);
        match age.and_then(|seconds| u64::try_from(seconds).ok()) {
            Some(seconds) if Duration::from_secs(seconds) < retention => {
                Self::RecordAge(Duration::from_secs(seconds))
            }
            _ => Self::Retention(retention),
        }
    }
}

async fn ages(subject: &Subject<'_>) -> Looked {
    let measured = subject.measured().await?;
    let mappings = subject.mappings().await.unwrap_or_default();
    let now = Timestamp::now();
    let mut findings = Vec::new();
    for state in subject.streams().await? {
        let readers = mappings.iter().filter(|mapping| mapping.stream() == state.name);
        let late: Vec<Finding> = readers
            .filter_map(|mapping| late_function(state, mapping, measured, now))
            .collect();
        if late.is_empty() {
            findings.extend(late_readers(state, measured, now));
        }
        findings.extend(late);
    }
    Ok(findings)
}

fn late_function(
    state: &StreamState,
    mapping: &Mapping,
    measured: &Measured,
    now: Timestamp,
) -> Option<Finding> {
    let trend = Trend::of(measured.points(Metric::FunctionAge, mapping.function()))?;
    let limit = Limit::of(state, Some(mapping));
    let of = format!("function {}", mapping.function());
    let finding = judge(of, &state.name, trend, limit, now)?;
    let parallel = mapping.settings.parallelization.unwrap_or(1);
    let finding = match parallel < 10 {
        true => {
            let more = (parallel * 2).min(10).to_string();
            change_mapping(finding, mapping, &["--parallelization", &more], false)
        }
        false => finding,
    };
    Some(with_stream_fixes(finding, state, limit).fix(&["logs", mapping.function(), "--since", "1h"]))
}

/// The readers that use GetRecords, for a stream whose functions keep up.
fn late_readers(state: &StreamState, measured: &Measured, now: Timestamp) -> Option<Finding> {
    let trend = Trend::of(measured.points(Metric::StreamAge, &state.name))?;
    let limit = Limit::of(state, None);
    let of = format!("stream {}", state.name);
    let finding = judge(of, &state.name, trend, limit, now)?;
    Some(with_stream_fixes(finding, state, limit).fix(&["metrics", &state.name]))
}

fn with_stream_fixes(finding: Finding, state: &StreamState, limit: Limit) -> Finding {
    let finding = match limit {
        Limit::Retention(_) if state.retention_hours < LONGER_RETENTION_HOURS => {
            finding.safe_fix(&["retention", &state.name, LONGER_RETENTION])
        }
        _ => finding,
    };
    match state.mode {
        Mode::Provisioned => finding.fix(&["reshard", &state.name, "--scale", "+100%"]),
        Mode::OnDemand => finding,
    }
}

/// A fault if half of the limit is reached, or will be reached in less than half of its length.
fn judge(of: String, stream: &str, trend: Trend, limit: Limit, now: Timestamp) -> Option<Finding> {
    let age = Duration::try_from_secs_f64(trend.age.max(0.0)).ok()?;
    let length = limit.length();
    // A short maximum record age is reached before a reader counts as behind.
    if age < BEHIND.min(length / 2) {
        return None;
    }
    let left = trend.until(length);
    let catches_up = trend.growth < -0.05;
    let is_near = age >= length / 2 || left.is_some_and(|left| left < length / 2);
    let summary = format!("is {} behind stream {stream}", duration::measured(age));
    let finding = match is_near && !catches_up {
        true => Finding::fault(of, summary),
        false => Finding::caution(of, summary),
    };
    let (what, loss) = match limit {
        Limit::Retention(_) => ("the stream keeps records for", "records are lost"),
        Limit::RecordAge(_) => ("the mapping gives up records after", "records are discarded"),
    };
    let outlook = match left {
        Some(left) if left.is_zero() => format!("{loss} now"),
        Some(left) => format!("{loss} from {} on, at this rate", date(now, left)),
        None if catches_up => "it is catching up".to_owned(),
        None => "it does not fall further behind".to_owned(),
    };
    Some(
        finding
            .evidence(format!("{what} {}", in_words(length)))
            .evidence(format!("{:+.0} s a minute: {outlook}", trend.growth * 60.0)),
    )
}

/// A limit, as an option takes it.
fn in_words(length: Duration) -> String {
    duration::format(Duration::from_secs(length.as_secs()))
}

/// The time `left` after `now`, to the minute.
fn date(now: Timestamp, left: Duration) -> String {
    let then = now.checked_add(left);
    then.map_or_else(
        |_| "a distant day".to_owned(),
        |then| then.strftime("%Y-%m-%d %H:%M UTC").to_string(),
    )
}

async fn closed_shards(subject: &Subject<'_>) -> Looked {
    let shards = subject.shards().await?;
    let mappings = subject.mappings().await?;
    let measured = subject.measured().await?;
    let mut findings = Vec::new();
    for state in subject.streams().await? {
        let Some(map) = shards.get(&state.name) else {
            continue;
        };
        let readers = mappings.iter().filter(|mapping| mapping.stream() == state.name);
        findings.extend(readers.filter_map(|mapping| {
            let points = measured.points(Metric::FunctionAge, mapping.function());
            unread(state, map, mapping, Trend::of(points))
        }));
    }
    Ok(findings)
}

/// A closed shard takes no new records, so what it holds only gets older: a reader that is far behind has to finish it
/// before its children.
fn unread(
    state: &StreamState,
    shards: &ShardMap,
    mapping: &Mapping,
    trend: Option<Trend>,
) -> Option<Finding> {
    let closed: Vec<&str> = shards.closed().map(|shard| shard.id.as_str()).collect();
    let (first, others) = closed.split_first()?;
    let retention = Duration::from_secs(u64::from(state.retention_hours) * HOUR);
    let disabled = mapping.settings.enabled == Some(false);
    let behind = trend.is_some_and(|trend| trend.age >= retention.as_secs_f64() / 2.0);
    if !disabled && !behind {
        return None;
    }
    let of = format!("function {}", mapping.function());
    let shards = match others.len() {
        0 => format!("closed shard {first}"),
        more => format!("closed shard {first} and {more} more"),
    };
    let summary = format!("may not read {shards} before the records expire");
    let finding = match behind {
        true => Finding::fault(of, summary),
        false => Finding::caution(of, summary),
    };
    let reason = match (disabled, trend) {
        (true, _) => "its mapping is disabled".to_owned(),
        (false, Some(trend)) => {
            let age = Duration::try_from_secs_f64(trend.age.max(0.0)).unwrap_or_default();
            format!("it is {} behind", duration::measured(age))
        }
        (false, None) => String::new(),
    };
    let finding = finding.evidence(reason).evidence(format!(
        "the stream keeps records for {}; a closed shard is read before its children",
        in_words(retention)
    ));
    let finding = match state.retention_hours < LONGER_RETENTION_HOURS {
        true => finding.safe_fix(&["retention", &state.name, LONGER_RETENTION]),
        false => finding,
    };
    Some(match disabled {
        true => change_mapping(finding, mapping, &["--enabled"], true),
        false => finding.fix(&["describe", &state.name, "--shards"]),
    })
}

async fn record_ages(subject: &Subject<'_>) -> Looked {
    let mappings = subject.mappings().await?;
    let mut findings = Vec::new();
    for state in subject.streams().await? {
        let readers = mappings.iter().filter(|mapping| mapping.stream() == state.name);
        findings.extend(readers.filter_map(|mapping| beyond_retention(state, mapping)));
    }
    Ok(findings)
}

fn beyond_retention(state: &StreamState, mapping: &Mapping) -> Option<Finding> {
    let seconds = u64::try_from(mapping.settings.max_record_age_seconds?).ok()?;
    let retention = u64::from(state.retention_hours) * HOUR;
    if seconds <= retention {
        return None;
    }
    let age = in_words(Duration::from_secs(retention));
    let finding = Finding::caution(
        format!("mapping {} → {}", state.name, mapping.function()),
        "gives up records only after they have expired: none of them reaches the on-failure destination",
    )
    .evidence(format!(
        "maximum record age {}, retention of the stream {age}",
        in_words(Duration::from_secs(seconds))
    ));
    let finding = change_mapping(finding, mapping, &["--max-record-age", &age], false);
    // A maximum record age is 7 days at most, so that one retention is enough for all mappings.
    Some(finding.safe_fix(&["retention", &state.name, LONGER_RETENTION]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::test_support::{mapping, stream};
    use super::*;
    use crate::observe::doctor::Severity;
    use crate::stream::Shard;

    const MINUTE: i64 = 60;

    /// Ages of a reader that begins at `age` seconds and grows by `growth` a second.
    fn ages(age: f64, growth: f64, minutes: i64) -> Vec<Point> {
        (0..minutes)
            .map(|minute| {
                let at = minute * MINUTE;
                (at, (age + growth * at as f64) * 1000.0)
            })
            .collect()
    }

    fn now() -> Timestamp {
        "2026-11-28T12:00:00Z".parse().unwrap()
    }

    fn judged(points: &[Point], limit: Duration) -> Option<Finding> {
        let trend = Trend::of(points)?;
        judge(
            "function scorer".to_owned(),
            "orders",
            trend,
            Limit::Retention(limit),
            now(),
        )
    }

    #[test]
    fn a_reader_that_stands_still_is_told_when_records_are_lost() {
        let day = Duration::from_secs(24 * HOUR);
        let found = judged(&ages(12.0 * 3600.0, 1.0, 20), day).unwrap();
        assert_eq!(found.severity, Severity::Fault);
        assert_eq!(found.summary, "is 12h18m behind stream orders");
        assert_eq!(
            found.evidence,
            [
                "the stream keeps records for 1d",
                "+60 s a minute: records are lost from 2026-11-28 23:42 UTC on, at this rate"
            ]
        );
    }

    #[test]
    fn small_ages_and_single_false_values_are_no_finding() {
        let day = Duration::from_secs(24 * HOUR);
        assert_eq!(judged(&ages(3.0, 0.0, 30), day), None);
        assert_eq!(judged(&ages(200.0, 0.0, 3), day), None);
        let mut spiked = ages(3.0, 0.0, 30);
        spiked[29].1 = 86_400_000.0;
        assert_eq!(judged(&spiked, day), None);
        assert_eq!(judged(&[], day), None);
    }

    #[test]
    fn a_reader_that_catches_up_is_no_fault() {
        let day = Duration::from_secs(24 * HOUR);
        let found = judged(&ages(20.0 * 3600.0, -5.0, 20), day).unwrap();
        assert_eq!(found.severity, Severity::Caution);
        assert!(
            found.evidence[1].ends_with("it is catching up"),
            "{:?}",
            found.evidence
        );
        // Behind, but neither near the limit nor falling further back.
        let steady = judged(&ages(3600.0, 0.0, 20), day).unwrap();
        assert_eq!(steady.severity, Severity::Caution);
        // Past the limit.
        let lost = judged(&ages(25.0 * 3600.0, 1.0, 20), day).unwrap();
        assert!(
            lost.evidence[1].ends_with("records are lost now"),
            "{:?}",
            lost.evidence
        );
    }

    #[test]
    fn the_nearer_limit_counts() {
        let state = stream("orders");
        let mut reader = mapping("scorer", "orders");
        let retention = Limit::Retention(Duration::from_secs(24 * HOUR));
        assert_eq!(Limit::of(&state, Some(&reader)), retention);
        reader.settings.max_record_age_seconds = Some(600);
        assert_eq!(
            Limit::of(&state, Some(&reader)),
            Limit::RecordAge(Duration::from_secs(600))
        );
        reader.settings.max_record_age_seconds = Some(604_800);
        assert_eq!(Limit::of(&state, Some(&reader)), retention);
    }

    #[test]
    fn a_longer_retention_is_the_safe_fix_of_a_late_function() {
        let state = stream("orders");
        let points = ages(13.0 * 3600.0, 1.0, 20);
        let measured = Measured::of(0, &[(Metric::FunctionAge, "scorer", &points)]);
        let found = late_function(&state, &mapping("scorer", "orders"), &measured, now()).unwrap();
        let fixes: Vec<(&str, bool)> = found
            .fixes
            .iter()
            .map(|fix| (fix.command.as_str(), fix.is_safe))
            .collect();
        assert_eq!(
            fixes,
            [
                (
                    "streamctl attach scorer --stream orders --parallelization 2",
                    false
                ),
                ("streamctl retention orders 7d", true),
                ("streamctl reshard orders --scale +100%", false),
                ("streamctl logs scorer --since 1h", false),
            ]
        );
    }

    #[test]
    fn closed_shards_of_a_disabled_or_late_mapping_are_named() {
        let state = stream("orders");
        let shard = |id: &str, last: Option<&str>| Shard {
            id: id.to_owned(),
            parent: None,
            adjacent_parent: None,
            first_hash: 0,
            last_hash: u128::MAX,
            first_sequence: "1".to_owned(),
            last_sequence: last.map(str::to_owned),
        };
        let open = ShardMap::new(vec![shard("shardId-1", None)]);
        let closed = ShardMap::new(vec![shard("shardId-0", Some("9")), shard("shardId-1", None)]);
        let mut reader = mapping("scorer", "orders");
        let late = Some(Trend {
            age: 13.0 * 3600.0,
            growth: 1.0,
        });
        assert_eq!(unread(&state, &closed, &reader, None), None);
        assert_eq!(unread(&state, &open, &reader, late), None);
        let found = unread(&state, &closed, &reader, late).unwrap();
        assert_eq!(found.severity, Severity::Fault);
        assert_eq!(
            found.summary,
            "may not read closed shard shardId-0 before the records expire"
        );
        reader.settings.enabled = Some(false);
        let found = unread(&state, &closed, &reader, None).unwrap();
        assert_eq!(found.severity, Severity::Caution);
        assert_eq!(
            found.fixes[1].command,
            "streamctl attach scorer --stream orders --enabled"
        );
    }

    #[test]
    fn records_are_to_be_given_up_before_they_expire() {
        let state = stream("orders");
        let mut reader = mapping("scorer", "orders");
        assert_eq!(beyond_retention(&state, &reader), None);
        reader.settings.max_record_age_seconds = Some(86_400);
        assert_eq!(beyond_retention(&state, &reader), None);
        reader.settings.max_record_age_seconds = Some(90_000);
        let found = beyond_retention(&state, &reader).unwrap();
        let fixes: Vec<&str> = found.fixes.iter().map(|fix| fix.command.as_str()).collect();
        assert_eq!(
            fixes,
            [
                "streamctl attach scorer --stream orders --max-record-age 1d",
                "streamctl retention orders 7d",
            ]
        );
    }

    proptest! {
        #[test]
        fn the_time_until_loss_is_that_of_a_straight_line(
            age in 0.0f64..80_000.0,
            growth in 0.02f64..1.0,
            minutes in 5i64..60,
            limit in 3_600u64..31_536_000,
        ) {
            let points = ages(age, growth, minutes);
            let trend = Trend::of(&points).unwrap();
            prop_assert!((trend.growth - growth).abs() < 1e-6);
            let left = trend.until(Duration::from_secs(limit)).unwrap();
            let expected = ((limit as f64 - trend.age) / growth).max(0.0);
            prop_assert!((left.as_secs_f64() - expected).abs() <= 1e-3 * expected.max(1.0));
        }

        #[test]
        fn one_false_value_changes_a_trend_by_little(
            age in 0.0f64..10_000.0,
            growth in 0.0f64..1.0,
            at in 0usize..30,
            spike in 0.0f64..86_400_000.0,
        ) {
            let mut points = ages(age, growth, 30);
            points[at].1 = spike;
            let trend = Trend::of(&points).unwrap();
            prop_assert!((trend.growth - growth).abs() < 0.05, "{} {}", trend.growth, growth);
        }

        #[test]
        fn any_points_have_a_trend_without_a_panic(
            points in proptest::collection::vec((0i64..4_000, proptest::num::f64::ANY), 0..40),
            hours in 24u64..8_760,
        ) {
            if let Some(trend) = Trend::of(&points) {
                let limit = Limit::Retention(Duration::from_secs(hours * HOUR));
                judge("function f".to_owned(), "orders", trend, limit, now());
            }
        }
    }
}
