//! The measured use of a stream and of a pipeline, for their cost: as CloudWatch and the services tell it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::load::{self, Measured};
use super::metrics::{
    MAX_RANGE_SECONDS, Query, Resource, Spec as MetricSpec, Statistic, TimeRange, Unit, fetch, of_stream,
};
use crate::context::Context;
use crate::cost::{
    CapacityMode, Demand, Encryption, Estimate, HOURS_A_MONTH, Item, Load, Mode as PricedMode, Part, Rate,
    Scenario, Usage, Workload, billed_bytes, payload_units, so_far as estimate,
};
use crate::pipeline::cost::{Assumed, title};
use crate::pipeline::{Pipeline, Spec};
use crate::stream::{self, Mode, StreamState, account};
use ground::error::{Error, Result};
use ground::shell::quoted;

const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

/// What a stream carries, as it was measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamUse {
    pub workload: Workload,
    /// Seconds that the averages are of; `None` if nothing was put in that time.
    pub seconds: Option<u64>,
}

/// The use of `state` over the last `since` seconds, 60 seconds to 14 days.
///
/// # Errors
/// Exit 2 when `since` is out of range; when a call fails.
pub async fn of_one(context: &Context, state: &StreamState, since: i64) -> Result<StreamUse> {
    let (measured, mode) = tokio::join!(
        load::measure(context, state, since),
        capacity_mode(context, state)
    );
    let measured = measured?;
    Ok(StreamUse {
        workload: workload(state, mode, measured.as_ref()),
        seconds: measured.map(|measured| measured.seconds),
    })
}

/// The mode in which `state` is paid for. Where the account may not be asked, it has no commitment.
async fn capacity_mode(context: &Context, state: &StreamState) -> CapacityMode {
    if state.mode == Mode::Provisioned {
        return CapacityMode::Provisioned;
    }
    match account::commitment(context).await {
        Ok(commitment) if commitment.is(true) => CapacityMode::Advantage,
        _ => CapacityMode::OnDemand,
    }
}

fn workload(state: &StreamState, mode: CapacityMode, measured: Option<&Measured>) -> Workload {
    let nothing = Load::steady(Rate::new(0, 1), Rate::new(0, 1));
    let mut workload = Workload::new(&Demand {
        load: measured.map_or(nothing, |measured| measured.load),
        consumers: measured.map_or(0, |measured| measured.shared_consumers),
        fan_out_consumers: state.consumer_count,
        retention_hours: state.retention_hours,
    });
    workload.mode = mode;
    workload.shards = state.open_shards.into();
    workload.shard_level_metrics = u32::try_from(state.monitoring.len()).unwrap_or(0);
    workload.encryption = match state.encryption.as_deref() {
        None => Encryption::None,
        Some(key) if key.contains("alias/aws/") => Encryption::AwsKey,
        Some(_) => Encryption::OwnKey,
    };
    workload
}

/// What a stream has cost since it was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoFar {
    /// The start of the time that was measured.
    pub since: Timestamp,
    pub hours: u64,
    /// Whether the stream is older than CloudWatch keeps metrics.
    pub is_cut: bool,
    pub records: u64,
    pub estimate: Estimate,
}

/// What `state` has cost since it was created, at most the 455 days that CloudWatch keeps hours. Shards, mode, retention and
/// consumers count as they are now, and each consumer as if it had read everything.
///
/// # Errors
/// Exit 1 if the service does not tell when the stream was created; when a call fails.
pub async fn so_far(context: &Context, state: &StreamState) -> Result<SoFar> {
    let Some(created) = state.created else {
        return Err(Error::failed(format!(
            "the service does not return when stream {} was created",
            state.name
        )));
    };
    let now = Timestamp::now().as_second();
    let age = now.saturating_sub(created.as_second()).max(60);
    let measured = age.min(MAX_RANGE_SECONDS);
    // From the hour in which it was created.
    let range = TimeRange::last((measured + HOUR).min(MAX_RANGE_SECONDS), Some(HOUR), now)?;
    let names = ["IncomingRecords", "IncomingBytes", "GetRecords.Bytes"];
    let series = of_stream(context, &state.name, &names, &range).await?;
    let total = |name: &str| {
        let points = series
            .iter()
            .filter(|one| one.spec.name == name)
            .flat_map(|one| &one.points);
        // An earlier hour is of an earlier stream with this name.
        let own = points.filter(|point| point.at + HOUR > created.as_second());
        whole(own.map(|point| point.value).sum())
    };
    let [records, bytes_in, bytes_out] = names.map(total);
    let hours = u64::try_from(measured).unwrap_or(0).div_ceil(3_600);
    let mode = capacity_mode(context, state).await;
    Ok(SoFar {
        since: Timestamp::from_second(now - measured).unwrap_or(created),
        hours,
        is_cut: age > measured,
        records,
        estimate: estimate(&usage(
            state,
            mode,
            context.region(),
            hours,
            [records, bytes_in, bytes_out],
        )),
    })
}

fn usage(
    state: &StreamState,
    mode: CapacityMode,
    region: &str,
    hours: u64,
    [records, bytes_in, bytes_out]: [u64; 3],
) -> Usage {
    let shards = u64::from(state.open_shards);
    let mode = match mode {
        CapacityMode::Provisioned => PricedMode::Provisioned { shards },
        CapacityMode::OnDemand => PricedMode::OnDemand,
        CapacityMode::Advantage => PricedMode::Advantage,
    };
    let record = bytes_in.div_ceil(records.max(1));
    let retention = u64::from(state.retention_hours);
    // Data of the hours beyond the first day, of those that the stream has existed.
    let kept =
        |from: u64, to: u64| bytes_in / hours.max(1) * retention.min(to).min(hours).saturating_sub(from);
    Usage {
        put_units: records.saturating_mul(payload_units(record)),
        bytes_in: records.saturating_mul(billed_bytes(record)),
        bytes_out,
        shard_level_metrics: shards.saturating_mul(state.monitoring.len() as u64),
        fan_out_consumers: state.consumer_count.into(),
        fan_out_bytes: bytes_in.saturating_mul(state.consumer_count.into()),
        retention_hours: retention,
        extended_bytes: kept(24, 168),
        long_term_bytes: kept(168, u64::MAX),
        ..Usage::idle(region, mode, hours)
    }
}

/// What a pipeline uses in a month, as it was measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineUse {
    pub scenario: Scenario,
    /// Seconds that the measurement is of.
    pub seconds: u64,
    /// What was not measured, as sentences.
    pub remarks: Vec<String>,
}

/// The use of the resources of `pipeline`, which `template` names, that exist, over the last `since` seconds, scaled to a month.
///
/// # Errors
/// Exit 1 if nothing of the pipeline exists; exit 2 when `since` is out of range; when a call fails.
pub async fn of_pipeline(
    context: &Context,
    template: &str,
    pipeline: &Pipeline<'_>,
    since: i64,
) -> Result<PipelineUse> {
    // Observes all resources, so that the names that refer to others are known.
    let plan = pipeline.plan().await?;
    if plan.is_all_missing() {
        return Err(
            Error::failed(format!("no resource of {} exists", pipeline.identity())).hint(format!(
                "`streamctl cost --template {}` estimates a pipeline that does not exist",
                quoted(template)
            )),
        );
    }
    let there = plan.present();
    let specs: Vec<Spec> = there.iter().map(|id| pipeline.spec(id)).collect::<Result<_>>()?;
    let standing = pipeline.scenario(&Assumed::idle())?;
    let mut found = PipelineUse {
        scenario: Scenario {
            region: context.region().to_owned(),
            ..Scenario::default()
        },
        seconds: u64::try_from(since).unwrap_or(0),
        remarks: Vec::new(),
    };
    for spec in specs.iter().filter(|spec| spec.kind == "stream") {
        let Some(name) = text(spec, "name") else { continue };
        if let Some(state) = stream::observe(context, name).await? {
            let used = of_one(context, &state, since).await?;
            found.seconds = used.seconds.unwrap_or(found.seconds);
            found.scenario.streams.push((Some(title(spec)), used.workload));
        }
    }
    // What is paid for without use: alarms, dashboards, provisioned capacity.
    let titles: Vec<String> = specs.iter().map(title).collect();
    let stands = standing
        .parts
        .into_iter()
        .filter(|part| part.quantity > 0 && titles.contains(&part.resource));
    found.scenario.parts = stands.collect();
    found
        .scenario
        .parts
        .extend(measured_parts(context, &specs, since, found.seconds).await?);
    found
        .scenario
        .parts
        .extend(stored_parts(context, &specs, &mut found.remarks).await);
    if specs.iter().any(|spec| spec.kind == "bucket") {
        found
            .remarks
            .push("Requests to buckets are not measured.".to_owned());
    }
    Ok(found)
}

fn text<'s>(spec: &'s Spec, property: &str) -> Option<&'s str> {
    spec.properties.get(property)?.as_str()
}

/// A metric whose sum is paid for.
struct Counter {
    resource: String,
    item: Item,
    /// What one of it has in counted units of the item.
    factor: u64,
    namespace: &'static str,
    metric: &'static str,
    dimensions: Vec<(&'static str, String)>,
}

/// Source of the names: "CloudWatch metrics" in the developer guides of Lambda, DynamoDB, SQS, SNS and CloudWatch Logs.
fn counters(spec: &Spec) -> Vec<Counter> {
    let Some(name) = text(spec, "name") else {
        return Vec::new();
    };
    let counter = |item, factor, namespace, metric, dimension| Counter {
        resource: title(spec),
        item,
        factor,
        namespace,
        metric,
        dimensions: vec![(dimension, name.to_owned())],
    };
    match spec.kind.as_str() {
        "function" => function_counters(spec, &counter),
        "table" => table_counters(spec, &counter),
        "queue" => {
            let requests = |metric| counter(Item::QueueRequests, 1, "AWS/SQS", metric, "QueueName");
            [
                "NumberOfMessagesSent",
                "NumberOfMessagesReceived",
                "NumberOfMessagesDeleted",
                "NumberOfEmptyReceives",
            ]
            .map(requests)
            .into()
        }
        "topic" => {
            vec![counter(
                Item::TopicRequests,
                1,
                "AWS/SNS",
                "NumberOfMessagesPublished",
                "TopicName",
            )]
        }
        "log_group" => vec![counter(
            Item::LogsIn,
            1,
            "AWS/Logs",
            "IncomingBytes",
            "LogGroupName",
        )],
        _ => Vec::new(),
    }
}

/// Makes a counter of the resource that is looked at: item, factor, namespace, metric, dimension of its name.
type Make<'m> = &'m dyn Fn(Item, u64, &'static str, &'static str, &'static str) -> Counter;

fn function_counters(spec: &Spec, counter: Make<'_>) -> Vec<Counter> {
    let memory = spec.properties.get("memory_mb").and_then(Value::as_u64);
    let duration = match text(spec, "architecture") {
        Some("arm64") => Item::LambdaDurationArm,
        _ => Item::LambdaDuration,
    };
    vec![
        counter(
            Item::LambdaRequests,
            1,
            "AWS/Lambda",
            "Invocations",
            "FunctionName",
        ),
        counter(
            duration,
            memory.unwrap_or(128),
            "AWS/Lambda",
            "Duration",
            "FunctionName",
        ),
    ]
}

fn table_counters(spec: &Spec, counter: Make<'_>) -> Vec<Counter> {
    // Provisioned capacity is paid for whether or not it is used.
    if text(spec, "billing_mode") == Some("provisioned") {
        return Vec::new();
    }
    let units = [
        (Item::TableWrites, "ConsumedWriteCapacityUnits"),
        (Item::TableReads, "ConsumedReadCapacityUnits"),
    ];
    let of_table = |(item, metric)| counter(item, 1, "AWS/DynamoDB", metric, "TableName");
    let indexes = spec.properties.get("indexes").and_then(Value::as_array);
    let names = indexes
        .into_iter()
        .flatten()
        .filter_map(|index| index.get("name")?.as_str());
    let mut counters: Vec<Counter> = units.map(of_table).into();
    for name in names {
        for unit in units {
            let mut of_index = of_table(unit);
            of_index
                .dimensions
                .push(("GlobalSecondaryIndexName", name.to_owned()));
            counters.push(of_index);
        }
    }
    counters
}

async fn measured_parts(context: &Context, specs: &[Spec], since: i64, seconds: u64) -> Result<Vec<Part>> {
    let counters: Vec<Counter> = specs.iter().flat_map(counters).collect();
    let range = TimeRange::last(since, None, Timestamp::now().as_second())?;
    let sum = |counter: &Counter| {
        query(
            counter.namespace,
            counter.metric,
            &counter.dimensions,
            Statistic::Sum,
        )
    };
    let queries: Vec<Query> = counters.iter().map(sum).collect();
    let series = match queries.is_empty() {
        true => Vec::new(),
        false => fetch(context, &queries, &range).await?,
    };
    let mut sums: BTreeMap<(String, Item), u64> = BTreeMap::new();
    for (counter, series) in counters.iter().zip(&series) {
        let sum = series.figure().unwrap_or(0.0);
        let used = monthly(whole(sum).saturating_mul(counter.factor), seconds);
        let total = sums.entry((counter.resource.clone(), counter.item)).or_default();
        *total = total.saturating_add(used);
    }
    let part = |((resource, item), quantity)| Part {
        resource,
        item,
        quantity,
    };
    Ok(sums.into_iter().map(part).collect())
}

/// A metric that the catalogue does not have: it is asked for only to say what it costs.
fn query(
    namespace: &str,
    metric: &str,
    dimensions: &[(&'static str, String)],
    statistic: Statistic,
) -> Query {
    let dimensions = dimensions.iter();
    Query {
        resource: Resource::Custom {
            namespace: namespace.to_owned(),
            dimensions: dimensions
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
        },
        spec: MetricSpec::custom(metric, Unit::Count, statistic),
    }
}

/// `counted` in `seconds` seconds, in a month, rounded up.
fn monthly(counted: u64, seconds: u64) -> u64 {
    let month = u128::from(HOURS_A_MONTH) * 3_600;
    let scaled = (u128::from(counted) * month).div_ceil(u128::from(seconds.max(1)));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float that is converted saturates"
)]
fn whole(figure: f64) -> u64 {
    figure.round() as u64
}

/// What tables, buckets and log groups store now, as if for a month. What may not be read is named in `remarks`.
async fn stored_parts(context: &Context, specs: &[Spec], remarks: &mut Vec<String>) -> Vec<Part> {
    let mut parts = Vec::new();
    for spec in specs {
        let Some(name) = text(spec, "name") else { continue };
        let stored = match spec.kind.as_str() {
            "table" => (Item::TableStorage, table_bytes(context, name).await),
            "log_group" => (Item::LogsStorage, log_bytes(context, name).await),
            "bucket" => (Item::BucketStorage, bucket_bytes(context, name).await),
            _ => continue,
        };
        let (item, Some(bytes)) = stored else {
            remarks.push(format!("The size of the {} could not be read.", title(spec)));
            continue;
        };
        parts.push(Part {
            resource: title(spec),
            item,
            quantity: bytes.saturating_mul(HOURS_A_MONTH),
        });
        let recovers = spec
            .properties
            .get("point_in_time_recovery")
            .and_then(Value::as_bool);
        if spec.kind == "table" && recovers == Some(true) {
            parts.push(Part {
                resource: title(spec),
                item: Item::TableRecovery,
                quantity: bytes.saturating_mul(HOURS_A_MONTH),
            });
        }
    }
    parts
}

/// Bytes of a table and its indexes, which DynamoDB counts every six hours.
async fn table_bytes(context: &Context, name: &str) -> Option<u64> {
    let described = context
        .dynamodb()
        .describe_table()
        .table_name(name)
        .send()
        .await
        .ok()?;
    let table = described.table?;
    let indexes = table.global_secondary_indexes.unwrap_or_default();
    let indexes = indexes.iter().filter_map(|index| index.index_size_bytes);
    let bytes = table.table_size_bytes.unwrap_or(0) + indexes.sum::<i64>();
    u64::try_from(bytes).ok()
}

async fn log_bytes(context: &Context, name: &str) -> Option<u64> {
    let found = context
        .logs()
        .describe_log_groups()
        .log_group_name_prefix(name)
        .send()
        .await
        .ok()?;
    let groups = found.log_groups.unwrap_or_default();
    let group = groups
        .iter()
        .find(|group| group.log_group_name.as_deref() == Some(name))?;
    u64::try_from(group.stored_bytes.unwrap_or(0)).ok()
}

/// Bytes of a bucket, which S3 counts once a day.
async fn bucket_bytes(context: &Context, name: &str) -> Option<u64> {
    let range = TimeRange::last(3 * DAY, Some(DAY), Timestamp::now().as_second()).ok()?;
    let dimensions = [
        ("BucketName", name.to_owned()),
        ("StorageType", "StandardStorage".to_owned()),
    ];
    let query = query("AWS/S3", "BucketSizeBytes", &dimensions, Statistic::Average);
    let series = fetch(context, &[query], &range).await.ok()?;
    series.first()?.newest().map(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Status;

    fn state(mode: Mode) -> StreamState {
        StreamState {
            name: "orders".to_owned(),
            arn: String::new(),
            status: Status::Active,
            mode,
            open_shards: 2,
            retention_hours: 168,
            encryption: Some("alias/aws/kinesis".to_owned()),
            monitoring: Default::default(),
            tags: Default::default(),
            consumer_count: 1,
            created: None,
            max_record_size_kib: 1_024,
            warm_throughput_mibps: None,
            record_distribution: None,
        }
    }

    #[test]
    fn measured_sums_are_scaled_to_a_month() {
        assert_eq!(monthly(86_400, 86_400), 730 * 3_600);
        assert_eq!(monthly(1, 730 * 3_600), 1);
        assert_eq!(monthly(1, 730 * 3_600 + 1), 1);
        assert_eq!(monthly(0, 0), 0);
        assert_eq!(monthly(u64::MAX, 1), u64::MAX);
    }

    #[test]
    fn a_stream_without_traffic_costs_what_stands() {
        let idle = workload(&state(Mode::Provisioned), CapacityMode::Provisioned, None);
        assert_eq!((idle.shards, idle.consumers, idle.fan_out_consumers), (2, 0, 1));
        assert_eq!(idle.encryption, Encryption::AwsKey);
        assert!(idle.load.records.is_zero());
    }

    #[test]
    fn ten_hours_so_far() {
        let figures = [1_000, 1_025_000, 2_050_000];
        let used = usage(
            &state(Mode::OnDemand),
            CapacityMode::OnDemand,
            "us-east-1",
            10,
            figures,
        );
        // 1,025 bytes are billed as 2 KB.
        assert_eq!(
            (used.put_units, used.bytes_in, used.bytes_out),
            (1_000, 2_048_000, 2_050_000)
        );
        // Nothing is older than a day.
        assert_eq!((used.extended_bytes, used.long_term_bytes), (0, 0));
        let used = usage(
            &state(Mode::OnDemand),
            CapacityMode::OnDemand,
            "us-east-1",
            100,
            figures,
        );
        assert_eq!(used.extended_bytes, 10_250 * 76);
    }

    #[test]
    fn indexes_are_metered_by_themselves() {
        let mut spec = Spec {
            id: "events".to_owned(),
            kind: "table".to_owned(),
            line: 1,
            properties: Default::default(),
            tags: Default::default(),
            identity: crate::pipeline::Identity::new("retail", "dev"),
        };
        spec.properties.put("name", "events".into());
        spec.properties
            .put("indexes", serde_json::json!([{"name": "by-type"}]));
        let dimensions: Vec<usize> = counters(&spec)
            .iter()
            .map(|counter| counter.dimensions.len())
            .collect();
        assert_eq!(dimensions, [1, 1, 2, 2]);
        spec.properties.put("billing_mode", "provisioned".into());
        assert!(counters(&spec).is_empty());
    }
}
