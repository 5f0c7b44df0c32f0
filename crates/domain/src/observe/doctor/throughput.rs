//! Checks of a stream's throughput: throttled writes and reads.

use super::Check;
use super::finding::{Finding, Looked};
use super::measured::{Measured, Metric};
use super::subject::Subject;
use crate::functions::mapping::Mapping;
use crate::stream::{Mode, StreamState};

pub(super) const CHECKS: &[Check] = &[
    Check::new("write-throttles", "writes are not throttled", |s| {
        Box::pin(writes(s))
    }),
    Check::new("read-throttles", "reads are not throttled", |s| {
        Box::pin(reads(s))
    }),
];

/// Share of throttled records from which throttling is a fault.
const MUCH: f64 = 0.01;
/// Minutes with throttled calls in an hour from which throttling is a fault: not one burst.
const OFTEN: usize = 5;
/// Use of a stream's write capacity below which throttling is due to single shards.
const FAR_FROM_FULL: f64 = 0.6;
/// Write limits of a shard in a minute. Source: "Quotas and limits", Kinesis developer guide.
const SHARD_BYTES: f64 = 60.0 * 1024.0 * 1024.0;
const SHARD_RECORDS: f64 = 60.0 * 1000.0;

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
    let bytes = bytes.map(|bytes| bytes / (SHARD_BYTES * shards));
    let records = records.map(|records| records / (SHARD_RECORDS * shards));
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
