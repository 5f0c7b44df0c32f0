//! Checks of cost: what is paid for and not used, with the saving in a month.
//!
//! Judges by the traffic of seven days, so a stream that is younger is not judged. Prices are those of
//! [`crate::cost`]: where it knows none, a finding has no amount.

mod traffic;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tokio::sync::OnceCell;

use super::Check;
use super::alarms::Alarm;
use super::finding::{Finding, Looked, Skipped};
use super::subject::Subject;
use crate::context::Context;
use crate::cost::{Item, Money, PriceBook, price_book};
use crate::observe::metrics::{self, Kind, Query, Resource, TimeRange};
use crate::stream::consumers::{Consumer, ConsumerStatus};
use crate::stream::{Mode, StreamState};
use traffic::{Traffic, WATCHED_SECONDS};

pub(super) const CHECKS: &[Check] = &[
    Check::new("stream-unused", "streams are used", |s| Box::pin(unused(s))),
    Check::new("idle-shards", "shards have traffic", |s| Box::pin(idle_shards(s))),
    Check::new("on-demand-steady", "the capacity mode fits the traffic", |s| {
        Box::pin(on_demand(s))
    }),
    Check::new("consumer-unused", "consumers read", |s| Box::pin(consumers(s))),
    Check::new(
        "shard-metrics-unwatched",
        "an alarm watches shard-level metrics",
        |s| Box::pin(shard_metrics(s)),
    )
    .posture(),
    Check::new("retention-unused", "retention is not longer than needed", |s| {
        Box::pin(long_retention(s))
    })
    .posture(),
];

/// Seconds of a period of the metrics. Shorter peaks are averaged: [`traffic::HEADROOM`] makes up for that.
const PERIOD_SECONDS: i64 = 300;
/// Hours of a month in AWS's monthly prices.
const HOURS: u64 = 730;

/// The traffic of streams that are old enough, by name.
type Week = BTreeMap<String, Traffic>;

/// What several of these checks ask for, read once.
#[derive(Default)]
pub(super) struct Facts(OnceCell<Result<Week, Skipped>>);

/// The traffic of each stream that has existed for seven days.
async fn week<'s>(subject: &'s Subject<'_>) -> Result<&'s Week, Skipped> {
    let streams = subject.streams().await?;
    let facts = subject.cost();
    let read = facts.0.get_or_init(|| async {
        let now = Timestamp::now().as_second();
        let mut all = Week::new();
        for stream in streams.into_iter().filter(|stream| is_old(stream.created, now)) {
            let range = TimeRange::last(WATCHED_SECONDS, Some(PERIOD_SECONDS), now)?;
            let found = metrics::of_stream(subject.context(), &stream.name, &[], &range).await?;
            all.insert(stream.name.clone(), Traffic::of(&found, &range));
        }
        Ok(all)
    });
    read.await.as_ref().map_err(Clone::clone)
}

fn is_old(created: Option<Timestamp>, now: i64) -> bool {
    created.is_some_and(|created| now - created.as_second() >= WATCHED_SECONDS)
}

/// What `rule` finds in each stream that is old enough.
async fn each(
    subject: &Subject<'_>,
    rule: fn(&StreamState, &Traffic, Option<&PriceBook>) -> Option<Finding>,
) -> Looked {
    let week = week(subject).await?;
    let book = price_book(subject.context().region());
    let streams = subject.streams().await?.into_iter();
    Ok(streams
        .filter_map(|stream| rule(stream, week.get(&stream.name)?, book))
        .collect())
}

fn saving(finding: Finding, amount: Option<Money>, book: Option<&PriceBook>) -> Finding {
    let saved = amount.zip(book);
    finding.evidence_if(saved.map(|(amount, book)| {
        format!(
            "saves {amount} in a month of {HOURS} hours (prices of {}, as of {})",
            book.region, book.as_of
        )
    }))
}

fn of(stream: &StreamState) -> String {
    format!("stream {}", stream.name)
}

async fn unused(subject: &Subject<'_>) -> Looked {
    each(subject, no_traffic).await
}

fn no_traffic(stream: &StreamState, traffic: &Traffic, book: Option<&PriceBook>) -> Option<Finding> {
    if traffic.records_in > 0.0 {
        return None;
    }
    let shards = u64::from(stream.open_shards);
    let amount = book.and_then(|book| match stream.mode {
        Mode::Provisioned => book.amount(Item::ShardHour, shards * HOURS),
        Mode::OnDemand => book.amount(Item::StreamHour, HOURS),
    });
    let finding = Finding::caution(of(stream), "got no records for 7 days").fix(&["delete", &stream.name]);
    Some(saving(finding, amount, book))
}

async fn idle_shards(subject: &Subject<'_>) -> Looked {
    each(subject, too_many_shards).await
}

fn too_many_shards(stream: &StreamState, traffic: &Traffic, book: Option<&PriceBook>) -> Option<Finding> {
    let needed = traffic.needed_shards();
    let spare = stream
        .open_shards
        .checked_sub(needed)
        .filter(|spare| *spare > 0)?;
    // A quarter less is worth a change.
    if stream.mode != Mode::Provisioned || traffic.records_in <= 0.0 || spare * 4 < stream.open_shards {
        return None;
    }
    let summary = format!(
        "has {} shards, and {needed} would take twice the highest load of 7 days",
        stream.open_shards
    );
    let finding = Finding::caution(of(stream), summary)
        .evidence(traffic.peaks())
        .fix(&["reshard", &stream.name, "--to", &needed.to_string()]);
    let amount = book.and_then(|book| book.amount(Item::ShardHour, u64::from(spare) * HOURS));
    Some(saving(finding, amount, book))
}

async fn on_demand(subject: &Subject<'_>) -> Looked {
    each(subject, cheaper_provisioned).await
}

fn cheaper_provisioned(stream: &StreamState, traffic: &Traffic, book: Option<&PriceBook>) -> Option<Finding> {
    let book = book.filter(|_| stream.mode == Mode::OnDemand && traffic.records_in > 0.0)?;
    let needed = traffic.needed_shards();
    let provisioned = book.amount(Item::ShardHour, u64::from(needed) * HOURS)?
        + book.amount(Item::PutUnits, traffic.monthly_put_units())?;
    let on_demand = book.amount(Item::StreamHour, HOURS)?
        + book.amount(Item::OnDemandIn, traffic.monthly_billed_bytes())?
        + book.amount(Item::OnDemandOut, traffic.monthly_bytes_out())?;
    let saved = Money::from_nanos(on_demand.nanos() - provisioned.nanos());
    // A third less is worth a change: on-demand mode needs no attention.
    if saved.nanos() * 3 < on_demand.nanos() {
        return None;
    }
    let finding = Finding::caution(of(stream), "would cost less in provisioned mode")
        .evidence(traffic.peaks())
        .evidence(format!(
            "on-demand costs {on_demand} in a month, {needed} provisioned shards cost {provisioned}"
        ))
        .fix(&[
            "mode",
            &stream.name,
            "provisioned",
            "--shards",
            &needed.to_string(),
        ]);
    Some(saving(finding, Some(saved), Some(book)))
}

async fn consumers(subject: &Subject<'_>) -> Looked {
    let now = Timestamp::now().as_second();
    let all = subject.consumers().await?;
    let book = price_book(subject.context().region());
    let mut found = Vec::new();
    for stream in subject.streams().await? {
        let Some(consumers) = all.get(&stream.name) else {
            continue;
        };
        let old: Vec<&Consumer> = consumers
            .iter()
            .filter(|it| it.status == ConsumerStatus::Active && is_old(it.created, now))
            .collect();
        if old.is_empty() {
            continue;
        }
        let reading = reading(subject.context(), &stream.name, &old, now).await?;
        let idle = old.iter().filter(|consumer| !reading.contains(&consumer.name));
        found.extend(idle.map(|consumer| idle_consumer(stream, consumer, book)));
    }
    Ok(found)
}

/// The names of the consumers that had a subscription in the last seven days. Kinesis emits the metric only for those.
/// Source: "Monitoring the Amazon Kinesis Data Streams Service with Amazon CloudWatch", Kinesis developer guide.
async fn reading(
    context: &Context,
    stream: &str,
    consumers: &[&Consumer],
    now: i64,
) -> Result<BTreeSet<String>, Skipped> {
    let spec = metrics::spec(Kind::Consumer, "SubscribeToShardEvent.Records");
    let queries: Vec<Query> = consumers
        .iter()
        .flat_map(|consumer| {
            let resource = Resource::Consumer {
                stream: stream.to_owned(),
                consumer: consumer.name.clone(),
            };
            spec.map(|spec| Query {
                resource,
                spec: spec.clone(),
            })
        })
        .collect();
    let range = TimeRange::last(WATCHED_SECONDS, Some(3_600), now)?;
    let found = metrics::fetch(context, &queries, &range).await?;
    let with_data = found.into_iter().filter(|series| !series.points.is_empty());
    Ok(with_data
        .map(|series| series.resource.name().to_owned())
        .collect())
}

fn idle_consumer(stream: &StreamState, consumer: &Consumer, book: Option<&PriceBook>) -> Finding {
    let hours = u64::from(stream.open_shards) * HOURS;
    // On-demand mode has no price for a consumer that reads nothing.
    let book = book.filter(|_| stream.mode == Mode::Provisioned);
    let amount = book.and_then(|book| book.amount(Item::ConsumerShardHour, hours));
    let finding = Finding::caution(
        of(stream),
        format!("has a consumer {} that has not read for 7 days", consumer.name),
    )
    .fix(&["consumer", "deregister", &stream.name, &consumer.name]);
    saving(finding, amount, book)
}

async fn shard_metrics(subject: &Subject<'_>) -> Looked {
    let streams: Vec<&StreamState> = subject
        .streams()
        .await?
        .into_iter()
        .filter(|stream| !stream.monitoring.is_empty())
        .collect();
    if streams.is_empty() {
        return Ok(Vec::new());
    }
    let alarms = subject.alarms().await?.iter();
    let watched: BTreeSet<&str> = alarms.filter_map(shard_level).collect();
    let book = price_book(subject.context().region());
    let silent = streams
        .into_iter()
        .filter(|stream| !watched.contains(stream.name.as_str()));
    Ok(silent.map(|stream| unwatched(stream, book)).collect())
}

/// The stream of an alarm on a shard-level metric.
fn shard_level(alarm: &Alarm) -> Option<&str> {
    alarm.dimensions.get("ShardId")?;
    alarm.dimensions.get("StreamName").map(String::as_str)
}

fn unwatched(stream: &StreamState, book: Option<&PriceBook>) -> Finding {
    let metrics = stream.monitoring.len() as u64 * u64::from(stream.open_shards);
    let amount = book.and_then(|book| book.amount(Item::Metrics, metrics * HOURS));
    let finding = Finding::caution(
        of(stream),
        format!("pays for {metrics} shard-level metrics, and no alarm watches one"),
    )
    .fix(&["monitoring", "disable", &stream.name]);
    saving(finding, amount, book)
}

async fn long_retention(subject: &Subject<'_>) -> Looked {
    each(subject, kept_too_long).await
}

fn kept_too_long(stream: &StreamState, traffic: &Traffic, book: Option<&PriceBook>) -> Option<Finding> {
    const DAY_HOURS: u32 = 24;
    let oldest_hours = traffic.oldest_read_ms? / 3_600_000.0;
    if stream.retention_hours <= DAY_HOURS || oldest_hours >= f64::from(DAY_HOURS) {
        return None;
    }
    let summary = format!(
        "keeps records for {} hours, and none older than {} hours was read in 7 days",
        stream.retention_hours,
        oldest_hours.ceil().max(1.0)
    );
    let finding = Finding::caution(of(stream), summary)
        .evidence("a shorter retention deletes the older records")
        .fix(&["retention", &stream.name, "24h"]);
    let hours = u64::from(stream.open_shards) * HOURS;
    let book = book.filter(|_| stream.mode == Mode::Provisioned);
    let amount = book.and_then(|book| book.amount(Item::ExtendedRetention, hours));
    Some(saving(finding, amount, book))
}

#[cfg(test)]
mod tests;
