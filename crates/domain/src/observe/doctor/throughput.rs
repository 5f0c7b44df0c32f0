//! Checks of a stream's throughput: throttled writes and reads, hot shards.

use std::time::Duration;

use super::Check;
use super::finding::{Finding, Looked};
use super::measured::{Measured, Metric};
use super::subject::Subject;
use crate::functions::mapping::Mapping;
use crate::observe::traffic::{self, SHARD_BYTES, SHARD_RECORDS, Source, Traffic};
use crate::stream::{Mode, ShardMetric, StreamState};

pub(super) const CHECKS: &[Check] = &[
    Check::new("write-throttles", "writes are not throttled", |s| {
        Box::pin(writes(s))
    }),
    Check::new("read-throttles", "reads are not throttled", |s| {
        Box::pin(reads(s))
    }),
    Check::new("hot-shards", "shards share the traffic", |s| Box::pin(hot(s))),
];

/// Share of throttled records from which throttling is a fault.
const MUCH: f64 = 0.01;
/// Minutes with throttled calls in an hour from which throttling is a fault: not one burst.
const OFTEN: usize = 5;
/// Use of a stream's write capacity below which throttling is due to single shards.
const FAR_FROM_FULL: f64 = 0.6;
/// Seconds of a point of a metric.
const MINUTE: f64 = 60.0;

async fn writes(subject: &Subject<'_>) -> Looked {
    let measured = subject.measured().await?;
    let streams = subject.streams().await?.into_iter();
    Ok(streams
        .filter_map(|state| throttled_writes(state, measured))
        .collect())
}

/// Minutes with a value above 0.
fn minutes(measured: &Measured, metric: Metric, name: &str) -> usize {
    let points = measured.points(metric, name).iter();
    points.filter(|(_, value)| *value > 0.0).count()
}

/// Share of the write capacity of all shards that the busiest minute used.
fn utilisation(state: &StreamState, measured: &Measured) -> Option<f64> {
    let shards = f64::from(state.open_shards.max(1));
    let bytes = measured.max(Metric::BytesIn, &state.name);
    let records = measured.max(Metric::RecordsIn, &state.name);
    let bytes = bytes.map(|bytes| bytes / (MINUTE * SHARD_BYTES * shards));
    let records = records.map(|records| records / (MINUTE * SHARD_RECORDS * shards));
    bytes.into_iter().chain(records).reduce(f64::max)
}

fn throttled_writes(state: &StreamState, measured: &Measured) -> Option<Finding> {
    let name = state.name.as_str();
    let throttled = measured.sum(Metric::WriteThrottles, name).filter(|n| *n > 0.0)?;
    let accepted = measured.sum(Metric::RecordsIn, name).unwrap_or(0.0);
    let share = throttled / (throttled + accepted);
    let often = minutes(measured, Metric::WriteThrottles, name);
    let summary = format!("refused {throttled:.0} records in the last hour: over the write limit");
    let of = format!("stream {name}");
    let finding = match share >= MUCH || often >= OFTEN {
        true => Finding::fault(of, summary),
        false => Finding::caution(of, summary),
    };
    let used = utilisation(state, measured);
    let finding = finding
        .evidence(format!(
            "{accepted:.0} records were accepted; {:.1} % were refused, in {often} of 60 minutes",
            share * 100.0
        ))
        .evidence_if(used.map(|used| {
            format!(
                "the busiest minute used {:.0} % of the capacity of {} shards",
                used * 100.0,
                state.open_shards
            )
        }));
    Some(match state.mode {
        Mode::OnDemand => finding
            .evidence("an on-demand stream takes up to twice its highest rate of the last 30 days")
            .fix(&["metrics", name]),
        Mode::Provisioned if used.is_some_and(|used| used < FAR_FROM_FULL) && state.open_shards > 1 => {
            finding
                .evidence("the stream as a whole has room: some shards get more than their share")
                .fix(&["monitoring", "enable", name])
                .fix(&["reshard", name, "--balance"])
        }
        Mode::Provisioned => {
            finding
                .fix(&["reshard", name, "--scale", "+100%"])
                .fix(&["mode", name, "on-demand"])
        }
    })
}

async fn reads(subject: &Subject<'_>) -> Looked {
    let measured = subject.measured().await?;
    let mappings = subject.mappings().await.unwrap_or_default();
    let streams = subject.streams().await?.into_iter();
    Ok(streams
        .filter_map(|state| throttled_reads(state, measured, mappings))
        .collect())
}

fn throttled_reads(state: &StreamState, measured: &Measured, mappings: &[Mapping]) -> Option<Finding> {
    let name = state.name.as_str();
    let throttled = measured.sum(Metric::ReadThrottles, name).filter(|n| *n > 0.0)?;
    let often = minutes(measured, Metric::ReadThrottles, name);
    let summary = format!("refused {throttled:.0} reads in the last hour: over the read limit");
    let of = format!("stream {name}");
    let finding = match often >= OFTEN {
        true => Finding::fault(of, summary),
        false => Finding::caution(of, summary),
    };
    let shared: Vec<&str> = mappings
        .iter()
        .filter(|mapping| mapping.stream_arn == state.arn)
        .map(Mapping::function)
        .collect();
    let readers = (!shared.is_empty()).then(|| format!("functions that share it: {}", shared.join(", ")));
    Some(
        finding
            .evidence(format!("in {often} of 60 minutes"))
            .evidence("all readers without enhanced fan-out share 5 calls and 2 MiB a second of each shard")
            .evidence_if(readers)
            .fix(&["consumer", "register", name, "reader"])
            .fix(&["reshard", name, "--scale", "+100%"]),
    )
}

/// Window in which the traffic of shards is measured. CloudWatch shows values some minutes late.
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Use of its capacity from which a shard is hot.
const HOT: f64 = 0.8;
/// A shard is uneven if it has this many times the traffic of the average shard.
const TIMES_AVERAGE: f64 = 2.0;
/// Share of a shard's traffic from which one key alone makes it hot.
const ONE_KEY: f64 = 0.5;

async fn hot(subject: &Subject<'_>) -> Looked {
    let measured = subject.measured().await?;
    let shards = subject.shards().await?;
    let mut findings = Vec::new();
    for state in subject.streams().await? {
        let refused = measured.sum(Metric::WriteThrottles, &state.name).unwrap_or(0.0);
        let metrics = [ShardMetric::IncomingBytes, ShardMetric::IncomingRecords];
        let has_metrics = metrics.iter().any(|metric| state.monitoring.contains(metric));
        // Without metrics of shards, records are read, which takes from the limits of other readers.
        let Some(map) = shards.get(&state.name).filter(|_| refused > 0.0 || has_metrics) else {
            continue;
        };
        let traffic = traffic::measure(subject.context(), state, map, WINDOW).await?;
        findings.extend(hot_shard(state, &traffic, refused));
    }
    Ok(findings)
}

/// `refused` are the throttled writes of the whole stream: a sample does not tell those of a shard.
fn hot_shard(state: &StreamState, traffic: &Traffic, refused: f64) -> Option<Finding> {
    let hottest = traffic.hottest()?;
    let used = hottest.utilisation?;
    let throttled = hottest.throttled.unwrap_or(0);
    let known: Vec<f64> = traffic
        .shards
        .iter()
        .filter_map(|shard| shard.utilisation)
        .collect();
    let all = known.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let times = used / all * known.len() as f64;
    let is_uneven = known.len() > 1 && times >= TIMES_AVERAGE;
    let key = traffic.keys.iter().find(|key| key.shard == hottest.shard);
    let key = key.filter(|key| key.share >= ONE_KEY);
    let is_throttled = throttled > 0 || (hottest.throttled.is_none() && refused > 0.0);
    // A stream whose shards are all full is throttled as a whole.
    if !(is_uneven || key.is_some()) || (used < HOT && !is_throttled) {
        return None;
    }
    let name = state.name.as_str();
    let of = format!("stream {name}");
    let share = used / all * 100.0;
    let summary = format!(
        "has a hot shard: {} gets {share:.0} % of the traffic",
        hottest.shard
    );
    let finding = match used >= 1.0 || is_throttled {
        true => Finding::fault(of, summary),
        false => Finding::caution(of, summary),
    };
    let finding = finding.evidence(format!(
        "it used {:.0} % of its write limit on average",
        used * 100.0
    ));
    let source = match traffic.source {
        Source::Metrics => "by its metrics of the last 15 minutes",
        Source::Sample => "by a sample of the records of the last 15 minutes",
    };
    let finding = finding
        .evidence(format!(
            "{times:.1} times the average of {} shards, {source}",
            known.len()
        ))
        .evidence_if((throttled > 0).then(|| format!("{throttled} writes to it were refused")));
    let split = format!("{}@by-traffic", hottest.shard);
    Some(match key {
        Some(key) => finding
            .evidence(format!(
                "partition key {:?} alone has {:.0} % of its traffic: no split helps, the producer needs a finer key",
                key.key,
                key.share * 100.0
            ))
            .fix(&["reshard", name, "--split", &split, "--dry-run"]),
        None if state.mode == Mode::Provisioned => finding.fix(&["reshard", name, "--split", &split]),
        None => finding
            .evidence("an on-demand stream splits hot shards by itself")
            .fix(&["describe", name, "--shards"]),
    })
}

#[cfg(test)]
mod tests {
    use super::super::test_support::stream;
    use super::*;
    use crate::observe::doctor::Severity;

    #[test]
    fn a_burst_is_worth_a_look_and_steady_throttling_a_fault() {
        let state = stream("orders");
        let judge = |accepted: f64, throttled: &[(i64, f64)]| {
            let measured = Measured::of(
                3600,
                &[
                    (Metric::RecordsIn, "orders", &[(0, accepted)]),
                    (Metric::WriteThrottles, "orders", throttled),
                ],
            );
            throttled_writes(&state, &measured).map(|found| found.severity)
        };
        assert_eq!(judge(1_000.0, &[]), None);
        assert_eq!(judge(1_000.0, &[(0, 0.0)]), None);
        assert_eq!(judge(10_000.0, &[(0, 50.0)]), Some(Severity::Caution));
        assert_eq!(judge(10_000.0, &[(0, 500.0)]), Some(Severity::Fault));
        let steady: Vec<(i64, f64)> = (0..5).map(|minute| (minute * 60, 1.0)).collect();
        assert_eq!(judge(10_000.0, &steady), Some(Severity::Fault));
    }

    #[test]
    fn single_hot_shards_are_told_from_a_full_stream() {
        let mut state = stream("orders");
        state.open_shards = 4;
        let fixes = |records: f64| {
            let measured = Measured::of(
                3600,
                &[
                    (Metric::RecordsIn, "orders", &[(0, records)]),
                    (Metric::WriteThrottles, "orders", &[(0, 1_000.0)]),
                ],
            );
            throttled_writes(&state, &measured).unwrap().fixes[0]
                .command
                .clone()
        };
        assert_eq!(fixes(60_000.0), "streamctl monitoring enable orders");
        assert_eq!(fixes(230_000.0), "streamctl reshard orders --scale +100%");
    }

    fn traffic(used: &[f64], source: Source) -> Traffic {
        let shard = |(index, used): (usize, &f64)| traffic::ShardTraffic {
            shard: format!("shardId-{index}"),
            records_per_second: Some(used * SHARD_RECORDS),
            bytes_per_second: None,
            utilisation: Some(*used),
            throttled: None,
        };
        Traffic {
            window: WINDOW,
            source,
            shards: used.iter().enumerate().map(shard).collect(),
            keys: Vec::new(),
        }
    }

    #[test]
    fn a_hot_shard_is_split_by_its_traffic() {
        let state = stream("orders");
        let judge = |used: &[f64]| hot_shard(&state, &traffic(used, Source::Metrics), 0.0);
        assert_eq!(judge(&[0.3, 0.3]), None);
        assert_eq!(judge(&[0.95, 0.9]), None, "the whole stream is full");
        assert_eq!(judge(&[0.5, 0.05, 0.05]), None, "uneven, and far from its limit");
        assert_eq!(judge(&[0.9]), None, "the only shard");
        let found = judge(&[0.1, 0.9, 0.1]).unwrap();
        assert_eq!(found.severity, Severity::Caution);
        assert_eq!(
            found.fixes[0].command,
            "streamctl reshard orders --split shardId-1@by-traffic"
        );
        assert_eq!(judge(&[0.1, 1.0, 0.1]).unwrap().severity, Severity::Fault);
        // A burst that was throttled is little on average.
        let burst = traffic(&[0.001, 0.1, 0.001], Source::Sample);
        assert_eq!(hot_shard(&state, &burst, 0.0), None);
        let found = hot_shard(&state, &burst, 5.0).unwrap();
        assert_eq!(found.severity, Severity::Fault);
        assert_eq!(
            found.summary,
            "has a hot shard: shardId-1 gets 98 % of the traffic"
        );
    }

    #[test]
    fn no_split_is_proposed_for_one_hot_key() {
        let mut sampled = traffic(&[1.0], Source::Sample);
        sampled.keys.push(traffic::KeyTraffic {
            key: "everything".to_owned(),
            shard: "shardId-0".to_owned(),
            hash_key: None,
            share: 0.97,
        });
        let found = hot_shard(&stream("orders"), &sampled, 0.0).unwrap();
        assert!(
            found.evidence[2].contains("no split helps"),
            "{:?}",
            found.evidence
        );
        assert!(found.fixes[0].command.ends_with("--dry-run"));
    }

    #[test]
    fn reads_over_the_limit_name_the_functions_that_share_it() {
        let state = stream("orders");
        let measured = Measured::of(3600, &[(Metric::ReadThrottles, "orders", &[(0, 3.0)])]);
        let mapping = Mapping {
            function_arn: "scorer".to_owned(),
            stream_arn: state.arn.clone(),
            ..Mapping::default()
        };
        let found = throttled_reads(&state, &measured, &[mapping]).unwrap();
        assert_eq!(found.severity, Severity::Caution);
        assert!(
            found
                .evidence
                .contains(&"functions that share it: scorer".to_owned())
        );
    }
}
