//! Checks of a stream by itself: existence, status, hash ranges, distribution of records, consumers, quotas.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_kinesis::types::MinimumThroughputBillingCommitmentOutputStatus as Commitment;
use jiff::Timestamp;

use super::Check;
use super::finding::{Finding, Looked, Skipped};
use super::subject::Subject;
use crate::functions::mapping::Mapping;
use crate::stream::budget::{Basis, Budget, budget};
use crate::stream::consumers::MOST_CONSUMERS;
use crate::stream::reshard::STEPS_A_DAY;
use crate::stream::whereabouts::{self, Whereabouts};
use crate::stream::{Mode, ShardMap, Status, StreamState};
use ground::duration;
use ground::error;

pub(super) const CHECKS: &[Check] = &[
    Check::new("stream-missing", "the stream exists", |s| Box::pin(missing(s))),
    Check::new("stream-status", "the stream is ACTIVE", |s| Box::pin(status(s))),
    Check::new("uneven-hash-ranges", "shards have even hash key ranges", |s| {
        Box::pin(hash_ranges(s))
    }),
    Check::new(
        "partition-keys-ignored",
        "records are distributed by partition key",
        |s| Box::pin(distribution(s)),
    ),
    Check::new("consumer-limit", "more consumers can be registered", |s| {
        Box::pin(consumer_limit(s))
    }),
    Check::new("reshard-budget", "the shard count can be changed today", |s| {
        Box::pin(reshard_budget(s))
    }),
    Check::new("shard-quota", "the account has shards left", |s| {
        Box::pin(shard_quota(s))
    }),
];

/// Creating a stream takes some ten seconds. Source: CreateStream, Kinesis API reference.
const CREATED_WITHIN: Duration = Duration::from_secs(600);
/// A shard with this many times the range of another makes the ranges uneven.
const UNEVEN: f64 = 1.9;
/// Consumers of a stream with On-demand Advantage. Source: RegisterStreamConsumer, Kinesis API reference.
const MOST_CONSUMERS_ADVANTAGE: usize = 50;
/// Share of a quota from which it is nearly used.
const NEARLY: f64 = 0.9;

async fn missing(subject: &Subject<'_>) -> Looked {
    // The missing resources of a pipeline are one finding of their own.
    if subject.scope().pipeline.is_some() {
        return Ok(Vec::new());
    }
    let described = subject.described().await?;
    let mut findings = Vec::new();
    for (name, _) in described.iter().filter(|(_, state)| state.is_none()) {
        let elsewhere = whereabouts::find(subject.context(), name).await;
        findings.push(is_missing(name, &elsewhere));
    }
    Ok(findings)
}

fn is_missing(name: &str, elsewhere: &Whereabouts) -> Finding {
    let mut finding = Finding::fault(
        format!("stream {name}"),
        "does not exist in this account and region",
    );
    if !elsewhere.regions.is_empty() {
        finding = finding.evidence(format!("it is in {}", elsewhere.regions.join(", ")));
    }
    if !elsewhere.similar.is_empty() {
        finding = finding.evidence(format!("similar names here: {}", elsewhere.similar.join(", ")));
    }
    for region in &elsewhere.regions {
        finding = finding.fix(&["doctor", name, "--region", region]);
    }
    for similar in &elsewhere.similar {
        finding = finding.fix(&["doctor", similar]);
    }
    finding.fix(&["list"]).fix(&["create", name])
}

async fn status(subject: &Subject<'_>) -> Looked {
    let now = Timestamp::now();
    let streams = subject.streams().await?;
    Ok(streams
        .into_iter()
        .filter_map(|state| status_of(state, now))
        .collect())
}

fn status_of(state: &StreamState, now: Timestamp) -> Option<Finding> {
    let of = format!("stream {}", state.name);
    let describe = ["describe", &state.name];
    let age = state
        .created
        .and_then(|created| Duration::try_from(now.duration_since(created)).ok());
    match &state.status {
        Status::Active => None,
        Status::Creating => {
            let late = age.is_some_and(|age| age > CREATED_WITHIN);
            let finding = match late {
                true => Finding::fault(of, "is still being created: it can be neither written nor read"),
                false => Finding::caution(of, "is being created: it can be neither written nor read yet"),
            };
            let since = age.map(|age| Duration::from_secs(age.as_secs()));
            let since = since.map(|age| format!("it was created {} ago", duration::format(age)));
            Some(finding.evidence_if(since).fix(&describe))
        }
        Status::Updating => Some(
            Finding::caution(
                of,
                "is being changed: other changes are refused until it is ACTIVE",
            )
            .evidence("reads and writes work meanwhile")
            .fix(&describe),
        ),
        Status::Deleting => Some(
            Finding::fault(of, "is being deleted: its records are gone when that is complete").fix(&["list"]),
        ),
        Status::Other(other) => {
            Some(Finding::caution(of, format!("has the unknown status {other}")).fix(&describe))
        }
    }
}

async fn hash_ranges(subject: &Subject<'_>) -> Looked {
    let shards = subject.shards().await?;
    let streams = subject.streams().await?.into_iter();
    let provisioned = streams.filter(|state| state.mode == Mode::Provisioned);
    Ok(provisioned
        .filter_map(|state| uneven(&state.name, shards.get(&state.name)?))
        .collect())
}

/// Only ranges: traffic is even where partition keys are many and the ranges are even.
fn uneven(stream: &str, shards: &ShardMap) -> Option<Finding> {
    let mut open: Vec<_> = shards.open().collect();
    open.sort_by(|a, b| b.share().total_cmp(&a.share()));
    let (widest, narrowest) = (open.first()?, open.last()?);
    let times = widest.share() / narrowest.share();
    if times < UNEVEN {
        return None;
    }
    let even = 100.0 / f64::from(u32::try_from(open.len()).unwrap_or(u32::MAX));
    let share = |shard: &crate::stream::Shard| format!("{:.1} %", shard.share() * 100.0);
    Some(
        Finding::caution(
            format!("stream {stream}"),
            format!("one shard takes {times:.0} times the hash keys of another"),
        )
        .evidence(format!(
            "{} has {} of the hash key space, {} has {}; an even share is {even:.1} %",
            widest.id,
            share(widest),
            narrowest.id,
            share(narrowest)
        ))
        .fix(&["reshard", stream, "--balance"]),
    )
}

async fn distribution(subject: &Subject<'_>) -> Looked {
    let mappings = subject.mappings().await?;
    let streams = subject.streams().await?.into_iter();
    Ok(streams
        .filter_map(|state| ignored_keys(state, mappings))
        .collect())
}

fn ignored_keys(state: &StreamState, mappings: &[Mapping]) -> Option<Finding> {
    if !state.ignores_partition_keys() {
        return None;
    }
    let needs = |mapping: &&Mapping| {
        let settings = &mapping.settings;
        let reads = mapping.stream() == state.name;
        reads
            && (settings.parallelization.unwrap_or(1) > 1
                || settings.tumbling_window_seconds.unwrap_or(0) > 0)
    };
    let of = format!("stream {}", state.name);
    let readers: BTreeSet<&str> = mappings.iter().filter(needs).map(Mapping::function).collect();
    let summary = "ignores partition keys: records of one key are in several shards and out of order";
    let finding = match readers.is_empty() {
        true => Finding::caution(of, summary),
        false => {
            let readers: Vec<&str> = readers.into_iter().collect();
            Finding::fault(of, summary).evidence(format!(
                "parallel batches and tumbling windows of {} depend on the key",
                readers.join(", ")
            ))
        }
    };
    Some(
        finding
            .evidence("its record distribution strategy is AUTO")
            .other_fix(format!(
                "aws kinesis update-stream-record-distribution-strategy --stream-arn {} \
                 --record-distribution-strategy USER_PARTITION_KEY",
                state.arn
            )),
    )
}

async fn consumer_limit(subject: &Subject<'_>) -> Looked {
    let mut findings = Vec::new();
    for state in subject.streams().await? {
        let count = usize::try_from(state.consumer_count).unwrap_or(usize::MAX);
        if !is_nearly_used(count, MOST_CONSUMERS) {
            continue;
        }
        let most = match has_advantage(subject).await? {
            true => MOST_CONSUMERS_ADVANTAGE,
            false => MOST_CONSUMERS,
        };
        findings.extend(consumers_used(&state.name, count, most));
    }
    Ok(findings)
}

fn is_nearly_used(used: usize, most: usize) -> bool {
    used as f64 >= NEARLY * most as f64
}

fn consumers_used(stream: &str, count: usize, most: usize) -> Option<Finding> {
    if !is_nearly_used(count, most) {
        return None;
    }
    let summary = match most.saturating_sub(count) {
        0 => "accepts no more consumers".to_owned(),
        1 => "accepts only one more consumer".to_owned(),
        left => format!("accepts only {left} more consumers"),
    };
    Some(
        Finding::caution(format!("stream {stream}"), summary)
            .evidence(format!("{count} of {most} consumers are registered"))
            .fix(&["consumer", "list", stream]),
    )
}

async fn has_advantage(subject: &Subject<'_>) -> Result<bool, Skipped> {
    let call = subject.context().kinesis().describe_account_settings();
    let answer = call
        .send()
        .await
        .map_err(|e| error::aws::failed("could not read the account's settings", e))?;
    let commitment = answer.minimum_throughput_billing_commitment();
    Ok(commitment.is_some_and(|commitment| *commitment.status() != Commitment::Disabled))
}

async fn reshard_budget(subject: &Subject<'_>) -> Looked {
    let shards = subject.shards().await?;
    let mut findings = Vec::new();
    for state in subject.streams().await? {
        // Without a closed shard there was no reshard within the retention, which is a day at least.
        let resharded = shards
            .get(&state.name)
            .filter(|map| map.closed().next().is_some());
        let Some(map) = resharded.filter(|_| state.mode == Mode::Provisioned) else {
            continue;
        };
        let used = budget(subject.context(), state, map, Timestamp::now()).await?;
        findings.extend(few_reshards_left(&state.name, &used));
    }
    Ok(findings)
}

fn few_reshards_left(stream: &str, budget: &Budget) -> Option<Finding> {
    if !is_nearly_used(budget.used + 1, STEPS_A_DAY) {
        return None;
    }
    let summary = match budget.left {
        0 => "accepts no more changes of its shard count for now".to_owned(),
        1 => "accepts only one more change of its shard count for now".to_owned(),
        left => format!("accepts only {left} more changes of its shard count for now"),
    };
    let basis = match budget.basis {
        Basis::CloudTrail => "according to CloudTrail",
        Basis::Lineage => "at most, according to the lineage of its shards",
    };
    let free = budget.next_free.map(|at| {
        let at = at.strftime("%Y-%m-%d %H:%M UTC");
        format!("the first is available at {at}")
    });
    Some(
        Finding::caution(format!("stream {stream}"), summary)
            .evidence(format!(
                "{} of {STEPS_A_DAY} changes in the last 24 hours, {basis}",
                budget.used
            ))
            .evidence_if(free)
            .fix(&["mode", stream, "on-demand"]),
    )
}

async fn shard_quota(subject: &Subject<'_>) -> Looked {
    let call = subject.context().kinesis().describe_limits();
    let limits = call
        .send()
        .await
        .map_err(|e| error::aws::failed("could not read the account's limits", e))?;
    let count = |n: i32| usize::try_from(n).unwrap_or(0);
    let shards = quota_used(
        "shards",
        count(limits.open_shard_count()),
        count(limits.shard_limit()),
    );
    let streams = quota_used(
        "on-demand streams",
        count(limits.on_demand_stream_count()),
        count(limits.on_demand_stream_count_limit()),
    );
    Ok(shards.into_iter().chain(streams).collect())
}

fn quota_used(what: &str, used: usize, most: usize) -> Option<Finding> {
    // Endpoints that know no quota answer 0.
    if most == 0 || !is_nearly_used(used, most) {
        return None;
    }
    Some(
        Finding::caution(
            "account",
            format!("has nearly used its quota of {what} in this region"),
        )
        .evidence(format!("{used} of {most} {what}"))
        .fix(&["list"])
        .other_fix("aws service-quotas list-service-quotas --service-code kinesis"),
    )
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{mapping, stream};
    use super::*;
    use crate::observe::doctor::Severity;
    use crate::stream::Shard;

    fn severity(found: Option<&Finding>) -> Option<Severity> {
        found.map(|finding| finding.severity)
    }

    #[test]
    fn a_stream_that_stays_in_creation_is_a_fault() {
        let at = |time: &str| time.parse::<Timestamp>().unwrap();
        let judge = |status, time| {
            let mut orders = stream("orders");
            orders.status = status;
            severity(status_of(&orders, at(time)).as_ref())
        };
        assert_eq!(judge(Status::Active, "2026-11-28T12:00:05Z"), None);
        assert_eq!(
            judge(Status::Creating, "2026-11-28T12:00:05Z"),
            Some(Severity::Caution)
        );
        assert_eq!(
            judge(Status::Creating, "2026-11-28T12:10:01Z"),
            Some(Severity::Fault)
        );
        assert_eq!(
            judge(Status::Updating, "2026-11-28T12:10:01Z"),
            Some(Severity::Caution)
        );
        assert_eq!(
            judge(Status::Deleting, "2026-11-28T12:10:01Z"),
            Some(Severity::Fault)
        );
    }

    fn shards(bounds: &[(u128, u128)]) -> ShardMap {
        let shard = |(index, (first, last)): (usize, &(u128, u128))| Shard {
            id: format!("shardId-{index:012}"),
            parent: None,
            adjacent_parent: None,
            first_hash: *first,
            last_hash: *last,
            first_sequence: "1".to_owned(),
            last_sequence: None,
        };
        ShardMap::new(bounds.iter().enumerate().map(shard).collect())
    }

    #[test]
    fn ranges_are_uneven_if_one_is_twice_another() {
        let half = u128::MAX / 2;
        let quarter = u128::MAX / 4;
        assert_eq!(
            uneven("orders", &shards(&[(0, half), (half + 1, u128::MAX)])),
            None
        );
        assert_eq!(uneven("orders", &shards(&[(0, u128::MAX)])), None);
        let bounds = [
            (0, half),
            (half + 1, half + quarter),
            (half + quarter + 1, u128::MAX),
        ];
        let found = uneven("orders", &shards(&bounds)).unwrap();
        assert_eq!(found.summary, "one shard takes 2 times the hash keys of another");
        assert_eq!(found.fixes[0].command, "streamctl reshard orders --balance");
    }

    #[test]
    fn ignored_keys_are_worse_where_a_mapping_needs_them() {
        let mut state = stream("orders");
        let mut reader = mapping("scorer", "orders");
        assert_eq!(ignored_keys(&state, &[]), None);
        state.record_distribution = Some("AUTO".to_owned());
        let judge = |reader: &Mapping| severity(ignored_keys(&state, std::slice::from_ref(reader)).as_ref());
        assert_eq!(judge(&reader), Some(Severity::Caution));
        reader.settings.parallelization = Some(2);
        assert_eq!(judge(&reader), Some(Severity::Fault));
    }

    #[test]
    fn a_missing_stream_may_be_elsewhere() {
        let elsewhere = Whereabouts {
            regions: vec!["eu-west-1".to_owned()],
            similar: vec!["orders-dev".to_owned()],
        };
        let found = is_missing("orders", &elsewhere);
        let commands: Vec<&str> = found.fixes.iter().map(|fix| fix.command.as_str()).collect();
        assert_eq!(
            commands,
            [
                "streamctl doctor orders --region eu-west-1",
                "streamctl doctor orders-dev",
                "streamctl list",
                "streamctl create orders",
            ]
        );
        assert_eq!(
            found.evidence,
            ["it is in eu-west-1", "similar names here: orders-dev"]
        );
    }

    #[test]
    fn the_last_reshards_of_a_day_are_told() {
        let judge = |used: usize| {
            let budget = Budget {
                basis: Basis::CloudTrail,
                used,
                left: STEPS_A_DAY - used,
                next_free: "2026-11-29T10:00:00Z".parse().ok(),
                last: None,
            };
            few_reshards_left("orders", &budget)
        };
        assert_eq!(judge(7), None);
        assert_eq!(
            judge(8).unwrap().summary,
            "accepts only 2 more changes of its shard count for now"
        );
        let none = judge(10).unwrap();
        assert_eq!(none.summary, "accepts no more changes of its shard count for now");
        assert_eq!(
            none.evidence,
            [
                "10 of 10 changes in the last 24 hours, according to CloudTrail",
                "the first is available at 2026-11-29 10:00 UTC"
            ]
        );
    }

    #[test]
    fn quotas_are_named_when_nearly_used() {
        assert_eq!(consumers_used("orders", 17, 20), None);
        let found = |count| consumers_used("orders", count, 20).map(|found| found.summary);
        assert_eq!(found(19).as_deref(), Some("accepts only one more consumer"));
        assert_eq!(found(20).as_deref(), Some("accepts no more consumers"));
        assert_eq!(quota_used("shards", 0, 0), None);
        assert_eq!(quota_used("shards", 899, 1000), None);
        assert_eq!(
            quota_used("shards", 900, 1000).unwrap().evidence,
            ["900 of 1000 shards"]
        );
    }
}
