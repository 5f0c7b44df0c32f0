//! What a pipeline costs in a month: from what its manifest declares and a load, and before and after a plan.
//!
//! Knows the names of kinds and properties, and makes no call. What is assumed of the traffic is in [`Assumed`].

mod firehose;

use std::collections::BTreeSet;

use serde_json::Value;

use super::resource::{Catalog, Location, Observed, Resource, Spec};
use super::{Manifest, Pipeline};
use crate::cost::{
    CapacityMode, Change, Demand, Encryption, HOURS_A_MONTH, Item, Load, Part, Rate, Scenario, Workload,
    price_book,
};
use crate::stream::ShardMetric;
use ground::error::{Error, Result};

/// Records of a batch if the mapping does not say. Source: CreateEventSourceMapping, Lambda API reference.
const BATCH: u64 = 100;
/// Bytes of records that fit into the 6 MB of an event, in base64. Source: "Lambda quotas", Lambda developer guide.
const PAYLOAD: u64 = 6 * 1_024 * 1_024 / 4 * 3;
/// Memory of a function in MB if it does not say. Source: CreateFunction, Lambda API reference.
const MEMORY_MB: u64 = 128;
/// Shards of a new on-demand stream. Source: CreateStream, Kinesis API reference.
pub const ON_DEMAND_SHARDS: u64 = 4;
/// Bytes of a write request unit. Source: "Amazon DynamoDB pricing".
const WRITE_UNIT: u64 = 1_024;
/// Default capacity of a provisioned table, as in the kind `table`.
const CAPACITY: u64 = 5;
/// As [`crate::stream::channels::FRESHNESS`] begins.
const FRESHNESS_SECONDS: u64 = 300;
/// Bytes of the lines that Lambda and a handler log for an invocation.
const LOG_BYTES: u64 = 1_024;
/// Days of data that are stored where nothing says how long it is kept.
const STORED_DAYS: u64 = 30;

/// What is assumed of the traffic of a pipeline that does not exist yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assumed {
    /// What is put into each stream.
    pub load: Load,
    /// Average duration of an invocation, in milliseconds.
    pub duration_ms: u64,
}

impl Assumed {
    /// No traffic.
    pub fn idle() -> Self {
        Self {
            load: Load::steady(Rate::new(0, 1), Rate::new(0, 1)),
            duration_ms: 0,
        }
    }

    fn is_idle(&self) -> bool {
        self.load.records.is_zero()
    }

    /// The assumptions that decide about the costs of `manifest`, as sentences.
    pub fn remarks(&self, manifest: &Manifest) -> Vec<String> {
        let has = |kind: &str| manifest.resources.iter().any(|one| one.kind.get_ref() == kind);
        if self.is_idle() {
            return vec!["Without traffic: add --records and --size for what records cost.".to_owned()];
        }
        let mut remarks = Vec::new();
        if has("function") {
            remarks.push(format!(
                "Assumed: an invocation takes {} ms (--duration) and logs {LOG_BYTES} bytes, and no record fails.",
                self.duration_ms
            ));
        }
        if has("table") {
            remarks.push(
                "Assumed: each record is one write to each table and to each of its indexes.".to_owned(),
            );
        }
        if has("site") {
            remarks.push("Assumed: each record comes with one request to the site.".to_owned());
        }
        if has("athena_workgroup") {
            remarks.push("Assumed: queries in a work group of Athena scan each record once.".to_owned());
        }
        if has("bucket") {
            let exception = match (has("firehose"), has("channel")) {
                (true, false) => " that no Firehose stream writes to",
                (false, true) => " that no channel writes to",
                (true, true) => " that neither a Firehose stream nor a channel writes to",
                (false, false) => "",
            };
            remarks.push(format!(
                "Assumed: each record is one object in each bucket{exception}."
            ));
        }
        if manifest.resources.iter().any(|one| {
            let prefix = one
                .properties
                .get("prefix")
                .and_then(|prefix| prefix.get_ref().as_str());
            prefix.is_some_and(firehose::has_partition_keys)
        }) {
            remarks.push(format!(
                "Assumed: a Firehose stream with dynamic partitioning has {} active partitions.",
                firehose::PARTITIONS
            ));
        }
        if has("table") || has("bucket") {
            remarks.push(format!(
                "Assumed: data is kept for {STORED_DAYS} days where the template does not say how long."
            ));
        }
        remarks
    }
}

/// A catalog for manifests whose resources are only read: it makes none.
#[derive(Debug)]
pub struct Declarations(Location);

impl Declarations {
    /// In `region` of an account that is not known.
    pub fn in_region(region: &str) -> Self {
        Self(Location {
            account: "123456789012".to_owned(),
            region: region.to_owned(),
            partition: "aws".to_owned(),
        })
    }
}

impl Catalog for Declarations {
    fn location(&self) -> &Location {
        &self.0
    }

    fn make<'c>(&'c self, spec: Spec) -> Result<Box<dyn Resource + 'c>> {
        Err(Error::failed(format!(
            "resource {} is only declared here",
            spec.id
        )))
    }
}

impl Pipeline<'_> {
    /// What the declared resources use in a month.
    ///
    /// # Errors
    /// Exit 2 when the manifest refers to something that does not exist.
    pub fn scenario(&self, assumed: &Assumed) -> Result<Scenario> {
        let declared = Declared::read(self)?;
        let mut scenario = Scenario {
            region: self.catalog.location().region.clone(),
            ..Scenario::default()
        };
        for spec in &declared.specs {
            match spec.kind.as_str() {
                "stream" => scenario
                    .streams
                    .push((Some(title(spec)), declared.workload(spec, assumed))),
                _ => scenario.parts.extend(declared.parts(spec, assumed)),
            }
        }
        Ok(scenario)
    }

    /// What a month costs without traffic before and after `plan`.
    ///
    /// # Errors
    /// As [`Pipeline::scenario`].
    pub fn cost_change(&self, plan: &super::plan::Plan<'_>) -> Result<Change> {
        let declared = Declared::read(self)?;
        let region = &self.catalog.location().region;
        let (mut before, mut after) = (Scenario::default(), Scenario::default());
        for planned in &plan.resources {
            let spec = &planned.spec;
            let is_there = planned.observed.present().is_some();
            if spec.kind == "stream" {
                let wanted = declared.workload(spec, &Assumed::idle());
                let mut now = existing(&planned.observed);
                // A stream that is being created shows no shards yet.
                if let Some(now) = now.as_mut().filter(|now| now.shards == 0) {
                    now.shards = wanted.shards;
                }
                let changed: Vec<&str> = planned.changes.iter().filter_map(super::Change::field).collect();
                after.streams.push((
                    None,
                    now.map_or(wanted, |now| with_changes(now, &wanted, &changed)),
                ));
                before.streams.extend(now.map(|now| (None, now)));
                continue;
            }
            let parts = declared.parts(spec, &Assumed::idle());
            before.parts.extend(parts.iter().filter(|_| is_there).cloned());
            after.parts.extend(parts);
        }
        let total = |mut scenario: Scenario| {
            scenario.region.clone_from(region);
            scenario.estimate(price_book(region)).total
        };
        Ok(Change {
            before: total(before),
            after: total(after),
        })
    }
}

/// The stream that exists; `None` if there is none.
fn existing(observed: &Observed) -> Option<Workload> {
    let facts = &observed.present()?.facts;
    let number = |name: &str| facts.get(name).and_then(Value::as_u64).unwrap_or(0);
    let metrics = facts
        .get("monitoring")
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    let mut workload = idle();
    workload.mode = match facts.get("on_demand").and_then(Value::as_bool) {
        Some(true) => CapacityMode::OnDemand,
        _ => CapacityMode::Provisioned,
    };
    workload.shards = number("shards");
    workload.retention_hours = narrow(number("retention_hours"));
    workload.fan_out_consumers = narrow(number("consumers"));
    workload.shard_level_metrics = u32::try_from(metrics).unwrap_or(0);
    workload.encryption = key(facts.get("encryption").and_then(Value::as_str));
    Some(workload)
}

/// `now` with those settings of `wanted` that a plan changes.
fn with_changes(now: Workload, wanted: &Workload, changed: &[&str]) -> Workload {
    let is_changed = |field: &str| changed.contains(&field);
    let mut after = now;
    if is_changed("mode") {
        after.mode = wanted.mode;
    }
    if is_changed("shards") {
        after.shards = wanted.shards;
    }
    if is_changed("retention") {
        after.retention_hours = wanted.retention_hours;
    }
    if is_changed("monitoring") {
        after.shard_level_metrics = wanted.shard_level_metrics;
    }
    if is_changed("encryption") {
        after.encryption = wanted.encryption;
    }
    after
}

fn idle() -> Workload {
    Workload::new(&Demand {
        load: Assumed::idle().load,
        consumers: 0,
        fan_out_consumers: 0,
        retention_hours: 24,
    })
}

fn key(key: Option<&str>) -> Encryption {
    match key {
        None => Encryption::None,
        Some(key) if key.contains("alias/aws/") => Encryption::AwsKey,
        Some(_) => Encryption::OwnKey,
    }
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Kind and name: `function scorer`.
pub(crate) fn title(spec: &Spec) -> String {
    let name = text(spec, "name").unwrap_or(&spec.id);
    format!("{} {name}", spec.kind.replace('_', " "))
}

fn text<'s>(spec: &'s Spec, property: &str) -> Option<&'s str> {
    spec.properties.get(property)?.as_str()
}

/// A number that may be written as text.
fn number(spec: &Spec, property: &str) -> Option<u64> {
    let value = spec.properties.get(property)?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn flag(spec: &Spec, property: &str) -> Option<bool> {
    let value = spec.properties.get(property)?;
    value.as_bool().or_else(|| value.as_str()?.parse().ok())
}

fn list(spec: &Spec, property: &str) -> Vec<Value> {
    let found = spec.properties.get(property).and_then(Value::as_array);
    found.cloned().unwrap_or_default()
}

/// Objects of a month for buffers of so many seconds or bytes, each of so many partitions.
fn buffers(load: &Load, seconds: u64, size: u64, partitions: u64) -> u64 {
    let records = load.records.over_hours(HOURS_A_MONTH);
    let bytes = load.bytes.over_hours(HOURS_A_MONTH);
    let by_time = (HOURS_A_MONTH * 3_600 / seconds.max(1)).saturating_mul(partitions);
    by_time.max(bytes.div_ceil(size)).min(records)
}

/// What a manifest declares, with its references between resources.
struct Declared<'p> {
    manifest: &'p Manifest,
    specs: Vec<Spec>,
    /// Days that the parameter `ttl_days` keeps items of tables.
    ttl_days: Option<u64>,
}

impl<'p> Declared<'p> {
    fn read(pipeline: &'p Pipeline<'_>) -> Result<Self> {
        let ids = pipeline.graph().order();
        let specs = ids.map(|id| pipeline.spec(id)).collect::<Result<_>>()?;
        Ok(Self {
            manifest: &pipeline.manifest,
            specs,
            ttl_days: pipeline.values.get("ttl_days").and_then(Value::as_u64),
        })
    }

    /// The resource that a property of `spec` refers to, as in `"${stream.arn}"`, or names.
    fn referred(&self, spec: &Spec, property: &str) -> Option<&Spec> {
        let declared = self.manifest.resource(&spec.id)?;
        let written = declared.properties.get(property)?.get_ref().as_str()?;
        let id = written
            .strip_prefix("${")
            .and_then(|rest| rest.split(['.', '}']).next());
        self.specs.iter().find(|one| match id {
            Some(id) => one.id == id,
            None => text(one, "name") == Some(written),
        })
    }

    fn mappings(&self) -> impl Iterator<Item = &Spec> {
        let mappings = self
            .specs
            .iter()
            .filter(|spec| spec.kind == "event_source_mapping");
        mappings.filter(|spec| flag(spec, "enabled") != Some(false))
    }

    fn workload(&self, spec: &Spec, assumed: &Assumed) -> Workload {
        let reads = |mapping: &&Spec| {
            self.referred(mapping, "stream")
                .is_some_and(|one| one.id == spec.id)
        };
        let mut workload = idle();
        workload.load = assumed.load;
        workload.consumers = narrow(self.mappings().filter(reads).count() as u64);
        workload.mode = match text(spec, "mode") {
            Some("on-demand") => CapacityMode::OnDemand,
            _ => CapacityMode::Provisioned,
        };
        workload.shards = match workload.mode {
            CapacityMode::Provisioned => number(spec, "shards").unwrap_or(1),
            CapacityMode::OnDemand | CapacityMode::Advantage => ON_DEMAND_SHARDS,
        };
        workload.retention_hours = narrow(number(spec, "retention_hours").unwrap_or(24));
        workload.shard_level_metrics = metrics(&list(spec, "monitoring"));
        if flag(spec, "encryption") == Some(true) {
            workload.encryption = key(Some(text(spec, "kms_key").unwrap_or("alias/aws/kinesis")));
        }
        workload
    }

    fn parts(&self, spec: &Spec, assumed: &Assumed) -> Vec<Part> {
        let quantities = match spec.kind.as_str() {
            "function" => self.function(spec, assumed),
            "log_group" => self.log_group(spec, assumed),
            "table" => self.table(spec, assumed),
            "bucket" => bucket(spec, assumed, self.objects(spec, assumed)),
            "firehose" => firehose::quantities(spec, &assumed.load),
            "channel" => vec![(Item::ChannelData, assumed.load.bytes.over_hours(HOURS_A_MONTH))],
            // The Data Catalog costs nothing below a million databases, tables and partitions. Source: "AWS Glue pricing".
            "glue_database" | "glue_table" => Vec::new(),
            "athena_workgroup" => vec![(Item::AthenaData, assumed.load.bytes.over_hours(HOURS_A_MONTH))],
            "alarm" => alarm(spec),
            "dashboard" => vec![(Item::Dashboards, HOURS_A_MONTH)],
            "site" => vec![(
                Item::CloudFrontRequests,
                assumed.load.records.over_hours(HOURS_A_MONTH),
            )],
            "http_api" | "rest_api" => {
                let item = match spec.kind.as_str() {
                    "http_api" => Item::HttpApiRequests,
                    _ => Item::RestApiRequests,
                };
                vec![(item, assumed.load.records.over_hours(HOURS_A_MONTH))]
            }
            _ => Vec::new(),
        };
        let part = |(item, quantity)| Part {
            resource: title(spec),
            item,
            quantity,
        };
        quantities.into_iter().map(part).collect()
    }

    /// Objects that are written to a bucket in a month: one for each record, or for each buffer of a Firehose stream or a
    /// channel.
    fn objects(&self, bucket: &Spec, assumed: &Assumed) -> u64 {
        let records = assumed.load.records.over_hours(HOURS_A_MONTH);
        let is_written = |writer: &&Spec| {
            let written = self.referred(writer, "bucket");
            written.is_some_and(|one| one.id == bucket.id)
        };
        let of_writer = |writer: &Spec| match writer.kind.as_str() {
            "firehose" => Some(firehose::objects(writer, &assumed.load)),
            // AWS documents no size.
            "channel" => {
                let seconds = number(writer, "freshness_seconds").unwrap_or(FRESHNESS_SECONDS);
                Some(buffers(&assumed.load, seconds, u64::MAX, 1))
            }
            _ => None,
        };
        let writers = self.specs.iter().filter(is_written);
        let written: Vec<u64> = writers.filter_map(of_writer).collect();
        match written.as_slice() {
            [] => records,
            written => written.iter().sum(),
        }
    }

    /// Invocations of a function in a month.
    fn invocations(&self, function: &Spec, assumed: &Assumed) -> u64 {
        let calls = |mapping: &&Spec| {
            let called = self.referred(mapping, "function");
            called.is_some_and(|one| one.id == function.id)
        };
        let of_mapping = |mapping: &Spec| {
            let shards = match self.referred(mapping, "stream") {
                Some(stream) => self.workload(stream, assumed).shards,
                None => 1,
            };
            invocations(&assumed.load, shards, mapping)
        };
        let requests = assumed.load.records.over_hours(HOURS_A_MONTH);
        // Each request to an API or a URL invokes its function.
        let endpoints = self
            .specs
            .iter()
            .filter(|spec| is_endpoint(spec) && calls(spec))
            .count() as u64;
        let of_mappings: u64 = self.mappings().filter(calls).map(of_mapping).sum();
        of_mappings.saturating_add(requests.saturating_mul(endpoints))
    }

    fn function(&self, spec: &Spec, assumed: &Assumed) -> Vec<(Item, u64)> {
        let invocations = self.invocations(spec, assumed);
        let memory = number(spec, "memory_mb").unwrap_or(MEMORY_MB);
        let duration = match text(spec, "architecture") {
            Some("arm64") => Item::LambdaDurationArm,
            _ => Item::LambdaDuration,
        };
        let used = invocations
            .saturating_mul(assumed.duration_ms)
            .saturating_mul(memory);
        vec![(Item::LambdaRequests, invocations), (duration, used)]
    }

    fn log_group(&self, spec: &Spec, assumed: &Assumed) -> Vec<(Item, u64)> {
        let writes = |function: &&Spec| {
            let group = self.referred(function, "log_group");
            function.kind == "function" && group.is_some_and(|one| one.id == spec.id)
        };
        let functions = self.specs.iter().filter(writes);
        let invocations: u64 = functions
            .map(|function| self.invocations(function, assumed))
            .sum();
        let bytes = invocations.saturating_mul(LOG_BYTES);
        let days = number(spec, "retention_days").unwrap_or(STORED_DAYS);
        vec![(Item::LogsIn, bytes), (Item::LogsStorage, stored(bytes, days))]
    }

    fn table(&self, spec: &Spec, assumed: &Assumed) -> Vec<(Item, u64)> {
        let indexes = list(spec, "indexes").len() as u64;
        let load = &assumed.load;
        let records = load.records.over_hours(HOURS_A_MONTH);
        let units = load.record_bytes().unwrap_or(0).div_ceil(WRITE_UNIT).max(1);
        let is_sized = number(spec, "read_capacity").is_some() || number(spec, "write_capacity").is_some();
        let is_provisioned = match text(spec, "billing_mode") {
            Some(mode) => mode == "provisioned",
            None => is_sized,
        };
        let mut used = match is_provisioned {
            true => {
                let hours =
                    |property| number(spec, property).unwrap_or(CAPACITY) * (1 + indexes) * HOURS_A_MONTH;
                vec![
                    (Item::TableWriteCapacity, hours("write_capacity")),
                    (Item::TableReadCapacity, hours("read_capacity")),
                ]
            }
            false => {
                let writes = records.saturating_mul(units).saturating_mul(1 + indexes);
                vec![(Item::TableWrites, writes)]
            }
        };
        let days = self
            .ttl_days
            .filter(|_| text(spec, "ttl").is_some())
            .unwrap_or(STORED_DAYS);
        let bytes = load.bytes.over_hours(HOURS_A_MONTH);
        used.push((
            Item::TableStorage,
            stored(bytes.saturating_mul(1 + indexes), days),
        ));
        if flag(spec, "point_in_time_recovery") == Some(true) {
            used.push((Item::TableRecovery, stored(bytes, days)));
        }
        used
    }
}

/// Byte-hours of a month of what stays for `days`, of `bytes` that come in a month.
fn stored(bytes: u64, days: u64) -> u64 {
    // As much as comes in that time is there at any hour.
    let there = u128::from(bytes) * u128::from(days) * 24 / u128::from(HOURS_A_MONTH);
    u64::try_from(there * u128::from(HOURS_A_MONTH)).unwrap_or(u64::MAX)
}

/// Whether web clients call it.
fn is_endpoint(spec: &Spec) -> bool {
    ["http_api", "function_url"].contains(&spec.kind.as_str())
}

/// Shard-level metrics that `monitoring` enables: `all`, `none` or names.
fn metrics(names: &[Value]) -> u32 {
    let words: BTreeSet<&str> = names.iter().filter_map(Value::as_str).collect();
    match words {
        words if words.contains("all") => narrow(ShardMetric::ALL.len() as u64),
        words => narrow(words.iter().filter(|word| **word != "none").count() as u64),
    }
}

/// Batches of a month: as many as the records fill, or as the batching window ends, but not more than records.
fn invocations(load: &Load, shards: u64, mapping: &Spec) -> u64 {
    let records = load.records.over_hours(HOURS_A_MONTH);
    let fits = (PAYLOAD / load.record_bytes().unwrap_or(0).max(1)).max(1);
    let batch = number(mapping, "batch_size").unwrap_or(BATCH).clamp(1, fits);
    // Without a window, Lambda reads each shard once a second.
    // Source: "How Lambda processes records from stream and queue-based event sources", Lambda developer guide.
    let window = number(mapping, "window_seconds").unwrap_or(0).max(1);
    let lanes = shards.saturating_mul(number(mapping, "parallelization").unwrap_or(1));
    let windows = (HOURS_A_MONTH * 3_600 / window).saturating_mul(lanes);
    records.div_ceil(batch).max(windows.min(records))
}

fn bucket(spec: &Spec, assumed: &Assumed, objects: u64) -> Vec<(Item, u64)> {
    let bytes = assumed.load.bytes.over_hours(HOURS_A_MONTH);
    let rules = list(spec, "lifecycle");
    let first = |name: &str| rules.iter().filter_map(|rule| rule.get(name)?.as_u64()).min();
    let expires = first("expire_days").unwrap_or(STORED_DAYS);
    let archived = first("glacier_days").unwrap_or(u64::MAX).min(expires);
    vec![
        (Item::BucketPuts, objects),
        (Item::BucketStorage, stored(bytes, archived)),
        (Item::GlacierStorage, stored(bytes, expires - archived)),
    ]
}

/// The alarm, and the custom metric that it watches.
fn alarm(spec: &Spec) -> Vec<(Item, u64)> {
    let alarm = match number(spec, "period_seconds") {
        Some(seconds) if seconds < 60 => Item::HighResolutionAlarms,
        _ => Item::Alarms,
    };
    let custom = text(spec, "namespace").is_some_and(|namespace| !namespace.starts_with("AWS/"));
    let metric = custom.then_some((Item::Metrics, HOURS_A_MONTH));
    std::iter::once((alarm, HOURS_A_MONTH)).chain(metric).collect()
}

#[cfg(test)]
mod tests;
