//! What is measured: the metrics of a stream, a function or a pipeline, and the limits that they are measured against.
//!
//! Reads descriptions of resources, each once. A description that may not be read leaves its limits unknown and is named; the
//! metrics are read anyway.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;

use super::catalogue::bundled_namespace;
use super::{Limit, Query, Resource, Series, Spec, Statistic, TimeRange, Unit, fetch, queries};
use crate::context::Context;
use crate::functions::function;
use crate::functions::mapping::{self, Mapping, resource_name};
use crate::observe::doctor::queue;
use crate::pipeline::Pipeline;
use crate::pipeline::resource::Spec as Declared;
use crate::stream::consumers::consumers;
use crate::stream::{self, Listing, Mode, StreamState, shards};
use ground::error::{self, Error, Result};

/// Limits of a shard per second. Source: "Quotas and limits", Kinesis developer guide.
const SHARD_RECORDS_IN: f64 = 1_000.0;
const SHARD_BYTES_IN: f64 = 1024.0 * 1024.0;
const SHARD_BYTES_OUT: f64 = 2.0 * 1024.0 * 1024.0;

/// Values of limits by resource.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limits(BTreeMap<(Resource, Limit), f64>);

impl Limits {
    pub fn set(&mut self, resource: &Resource, limit: Limit, value: f64) {
        self.0.insert((resource.clone(), limit), value);
    }

    /// The value of `limit` for `resource`: of rates per second. `None` if it is not known, or if there is none, as for the
    /// writes of an on-demand stream.
    pub fn of(&self, resource: &Resource, limit: Limit) -> Option<f64> {
        let known = |resource: &Resource| self.0.get(&(resource.clone(), limit)).copied();
        match (resource, limit) {
            (Resource::Shard { .. }, Limit::RecordsIn) => Some(SHARD_RECORDS_IN),
            (Resource::Shard { .. }, Limit::BytesIn) => Some(SHARD_BYTES_IN),
            (Resource::Shard { .. }, Limit::BytesOut) => Some(SHARD_BYTES_OUT),
            (Resource::Shard { stream, .. } | Resource::Consumer { stream, .. }, Limit::Retention) => {
                known(&Resource::Stream(stream.clone()))
            }
            _ => known(resource),
        }
    }
}

/// The metrics to read, in display order, and the limits of their resources.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selection {
    pub queries: Vec<Query>,
    pub limits: Limits,
    /// The streams that exist, by name.
    pub streams: Vec<StreamState>,
    /// What could not be found out, a sentence each.
    pub notes: Vec<String>,
}

/// What was read of a [`Selection`].
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    pub range: TimeRange,
    /// In the order of the selection.
    pub series: Vec<Series>,
}

impl Reading {
    /// Whether there is no data at all.
    pub fn is_empty(&self) -> bool {
        self.series.iter().all(|series| series.points.is_empty())
    }
}

impl Selection {
    /// Reads all metrics over `range`.
    ///
    /// # Errors
    /// When CloudWatch does not answer or refuses.
    pub async fn read(&self, context: &Context, range: TimeRange) -> Result<Reading> {
        let series = fetch(context, &self.queries, &range).await?;
        Ok(Reading { range, series })
    }

    /// The metrics of `stream` and of its registered consumers; with `per_shard` also those of each shard that are enabled.
    ///
    /// # Errors
    /// When the stream does not exist or cannot be described.
    pub async fn stream(context: &Context, stream: &str, per_shard: bool) -> Result<Self> {
        let Some(state) = stream::describe(context, stream).await? else {
            return Err(stream::not_found(context, stream).await);
        };
        let mut selection = Self::default();
        selection.add_stream(context, state, per_shard).await;
        Ok(selection)
    }

    /// The metrics of `stream` alone. Makes no call.
    pub fn of_state(stream: &StreamState) -> Self {
        let mut selection = Self::default();
        let resource = Resource::Stream(stream.name.clone());
        selection.add(&resource);
        selection.set_stream_limits(&resource, stream);
        selection
    }

    /// The metrics of `function` and of its mappings.
    ///
    /// # Errors
    /// When the function does not exist or cannot be read.
    pub async fn function(context: &Context, function: &str) -> Result<Self> {
        let mut selection = Self::default();
        let facts = Function::read(context, function).await;
        if facts.is_absent() {
            return Err(Error::failed(format!("function {function} does not exist"))
                .hint("`streamctl handlers` lists the deployed functions"));
        }
        let streams: BTreeSet<String> = facts.streams().map(str::to_owned).collect();
        selection.add_function(&facts);
        // Their retention is the limit of the iterator age.
        for name in streams {
            match stream::describe(context, &name).await {
                Ok(Some(state)) => {
                    selection.set_function_retention(&facts, &state);
                    selection.streams.push(state);
                }
                Ok(None) => {}
                Err(error) => selection.note(&format!("stream {name}"), &error),
            }
        }
        selection
            .add_account_concurrency(context, std::slice::from_ref(&facts))
            .await;
        Ok(selection)
    }

    /// The metrics of all resources that `pipeline` declares, and of what its functions publish themselves.
    ///
    /// # Errors
    /// When a kind refuses its properties.
    pub async fn pipeline(context: &Context, pipeline: &Pipeline<'_>, per_shard: bool) -> Result<Self> {
        let names = Names::of(pipeline)?;
        let describe = |name: &String| {
            let name = name.clone();
            async move { (stream::describe(context, &name).await, name) }
        };
        let (streams, functions, queues, tables) = tokio::join!(
            join_all(names.streams.iter().map(describe)),
            join_all(names.functions.iter().map(|name| Function::read(context, name))),
            join_all(names.queues.iter().map(|name| queue(context, name))),
            join_all(names.tables.iter().map(|name| provisioned(context, name))),
        );
        let mut selection = Self::default();
        for (state, name) in streams {
            match state {
                Ok(Some(state)) => selection.add_stream(context, state, per_shard).await,
                Ok(None) => {
                    selection.add(&Resource::Stream(name.clone()));
                    selection.absent(&format!("stream {name}"));
                }
                Err(error) => {
                    selection.add(&Resource::Stream(name.clone()));
                    selection.note(&format!("stream {name}"), &error);
                }
            }
        }
        for facts in &functions {
            selection.add_function(facts);
            let states: Vec<StreamState> = selection.streams.clone();
            for state in states
                .iter()
                .filter(|state| facts.streams().any(|name| name == state.name))
            {
                selection.set_function_retention(facts, state);
            }
        }
        selection.add_account_concurrency(context, &functions).await;
        for (name, queue) in names.queues.iter().zip(queues) {
            let resource = Resource::Queue(name.clone());
            selection.add(&resource);
            match queue {
                Ok(Some(queue)) => {
                    let seconds = f64::from(queue.retention_seconds);
                    selection.limits.set(&resource, Limit::MessageRetention, seconds);
                }
                Ok(None) => selection.absent(&format!("queue {name}")),
                Err(error) => selection.note(&format!("queue {name}"), &error),
            }
        }
        for (name, units) in names.tables.iter().zip(tables) {
            selection.add_table(name, units);
        }
        selection.queries.extend(names.own);
        Ok(selection)
    }

    fn add(&mut self, resource: &Resource) {
        self.queries.extend(queries(resource));
    }

    fn note(&mut self, what: &str, error: &Error) {
        let reason = error.chain().join(": ");
        self.notes
            .push(format!("The limits of {what} are not known: {reason}"));
    }

    fn absent(&mut self, what: &str) {
        self.notes.push(format!("The {what} does not exist"));
    }

    fn set_stream_limits(&mut self, resource: &Resource, state: &StreamState) {
        let shards = f64::from(state.open_shards);
        let retention = f64::from(state.retention_hours) * 3_600_000.0;
        self.limits.set(resource, Limit::Retention, retention);
        // The shards of an on-demand stream follow the traffic.
        if state.mode == Mode::Provisioned {
            self.limits
                .set(resource, Limit::RecordsIn, shards * SHARD_RECORDS_IN);
            self.limits.set(resource, Limit::BytesIn, shards * SHARD_BYTES_IN);
            self.limits
                .set(resource, Limit::BytesOut, shards * SHARD_BYTES_OUT);
        }
    }

    async fn add_stream(&mut self, context: &Context, state: StreamState, per_shard: bool) {
        let resource = Resource::Stream(state.name.clone());
        self.add(&resource);
        self.set_stream_limits(&resource, &state);
        if state.consumer_count > 0 {
            match consumers(context, &state.arn).await {
                Ok(found) => found
                    .iter()
                    .for_each(|consumer| self.add_consumer(&state, &consumer.name)),
                Err(error) => self.note(&format!("the consumers of {}", state.name), &error),
            }
        }
        if per_shard {
            self.add_shards(context, &state).await;
        }
        self.streams.push(state);
    }

    fn add_consumer(&mut self, state: &StreamState, name: &str) {
        let resource = Resource::Consumer {
            stream: state.name.clone(),
            consumer: name.to_owned(),
        };
        self.add(&resource);
        if state.mode == Mode::Provisioned {
            // Source: SubscribeToShard: 2 MiB/s for each shard and consumer.
            let bytes = f64::from(state.open_shards) * SHARD_BYTES_OUT;
            self.limits.set(&resource, Limit::FanOutBytes, bytes);
        }
    }

    /// The enabled metrics of each shard. Closed shards too: they may have data in the time range.
    async fn add_shards(&mut self, context: &Context, state: &StreamState) {
        let name = &state.name;
        if state.monitoring.is_empty() {
            self.notes.push(format!(
                "No figures for the shards of {name}: shard-level metrics are off; `streamctl monitoring enable {name}` \
                 turns them on (CloudWatch charges for them)"
            ));
            return;
        }
        let map = match shards::list(context, name, &Listing::All).await {
            Ok(map) => map,
            Err(error) => return self.note(&format!("the shards of {name}"), &error),
        };
        let enabled: BTreeSet<&str> = state.monitoring.iter().map(|metric| metric.name()).collect();
        for shard in map.all() {
            let of_shard = queries(&Resource::Shard {
                stream: name.clone(),
                shard: shard.id.clone(),
            });
            let is_enabled = |query: &Query| enabled.contains(query.spec.name.as_ref());
            self.queries.extend(of_shard.into_iter().filter(is_enabled));
        }
    }

    fn add_function(&mut self, facts: &Function) {
        let name = &facts.name;
        let resource = Resource::Function(name.clone());
        self.add(&resource);
        match &facts.state {
            Ok(Some(state)) => {
                let timeout = f64::from(state.timeout_seconds) * 1_000.0;
                self.limits.set(&resource, Limit::Timeout, timeout);
                if let Some(reserved) = state.reserved_concurrency {
                    self.limits.set(&resource, Limit::Concurrency, reserved.into());
                }
            }
            Ok(None) => self.absent(&format!("function {name}")),
            Err(error) => self.note(&format!("function {name}"), error),
        }
        match &facts.mappings {
            Ok(mappings) => mappings
                .iter()
                .filter(|mapping| mapping.counts_events)
                .for_each(|mapping| {
                    self.add(&Resource::Mapping {
                        id: mapping.id.clone(),
                        function: name.clone(),
                    });
                }),
            Err(error) => self.note(&format!("the mappings of {name}"), error),
        }
    }

    /// The shortest retention of the streams of a function is the limit of its iterator age.
    fn set_function_retention(&mut self, facts: &Function, state: &StreamState) {
        let resource = Resource::Function(facts.name.clone());
        let retention = f64::from(state.retention_hours) * 3_600_000.0;
        let known = self.limits.of(&resource, Limit::Retention).unwrap_or(retention);
        self.limits.set(&resource, Limit::Retention, retention.min(known));
    }

    /// The concurrency of the account, for functions that reserve none.
    async fn add_account_concurrency(&mut self, context: &Context, functions: &[Function]) {
        let shared: Vec<Resource> = functions
            .iter()
            .filter(|facts| matches!(&facts.state, Ok(Some(state)) if state.reserved_concurrency.is_none()))
            .map(|facts| Resource::Function(facts.name.clone()))
            .collect();
        if shared.is_empty() {
            return;
        }
        let answer = context.lambda().get_account_settings().send().await;
        match answer.map_err(|e| error::aws::failed("could not read the limits of Lambda", e)) {
            Ok(answer) => {
                let limit = answer
                    .account_limit()
                    .map_or(0, |limit| limit.concurrent_executions());
                for resource in shared.iter().filter(|_| limit > 0) {
                    self.limits.set(resource, Limit::Concurrency, limit.into());
                }
            }
            Err(error) => self.note("the account", &error),
        }
    }

    fn add_table(&mut self, name: &str, units: Result<Option<Units>>) {
        let resource = Resource::Table(name.to_owned());
        self.add(&resource);
        match units {
            Ok(Some(Units::Provisioned { read, write })) => {
                self.limits.set(&resource, Limit::ReadUnits, read);
                self.limits.set(&resource, Limit::WriteUnits, write);
            }
            Ok(Some(Units::OnDemand)) => {}
            Ok(None) => self.absent(&format!("table {name}")),
            Err(error) => self.note(&format!("table {name}"), &error),
        }
    }
}

/// A function and its mappings, as far as they can be read.
struct Function {
    name: String,
    state: Result<Option<function::FunctionState>>,
    mappings: Result<Vec<Mapping>>,
}

impl Function {
    async fn read(context: &Context, name: &str) -> Self {
        let (state, mappings) = tokio::join!(
            function::observe(context, name),
            mapping::list(context, Some(name), None)
        );
        Self {
            name: name.to_owned(),
            state: state.map(|found| found.map(|(state, _)| state)),
            mappings,
        }
    }

    fn is_absent(&self) -> bool {
        matches!(self.state, Ok(None))
    }

    /// Names of the streams that it reads.
    fn streams(&self) -> impl Iterator<Item = &str> {
        let mappings = self.mappings.as_ref().map_or(&[][..], Vec::as_slice).iter();
        let of_stream = mappings.filter(|mapping| mapping.stream_arn.contains(":kinesis:"));
        // A consumer's ARN is that of its stream and `/consumer/NAME:TIME`.
        of_stream.map(|mapping| {
            let arn = mapping.stream_arn.split("/consumer/").next().unwrap_or_default();
            resource_name(arn)
        })
    }
}

/// Capacity units of a table, a second.
enum Units {
    OnDemand,
    Provisioned { read: f64, write: f64 },
}

/// The capacity of a table; `None` if it does not exist.
async fn provisioned(context: &Context, name: &str) -> Result<Option<Units>> {
    let answer = context.dynamodb().describe_table().table_name(name).send().await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(e) if error::aws::is_not_found(&e) => return Ok(None),
        Err(e) => return Err(error::aws::failed(format!("could not describe table {name}"), e)),
    };
    let throughput = answer.table.and_then(|table| table.provisioned_throughput);
    #[allow(clippy::cast_precision_loss, reason = "units are far below 2^53")]
    let units = |count: Option<i64>| count.unwrap_or(0) as f64;
    let (read, write) = throughput.map_or((0.0, 0.0), |throughput| {
        (
            units(throughput.read_capacity_units),
            units(throughput.write_capacity_units),
        )
    });
    // Both are zero for an on-demand table.
    Ok(Some(match read > 0.0 && write > 0.0 {
        true => Units::Provisioned { read, write },
        false => Units::OnDemand,
    }))
}

/// The names of what a pipeline declares, and the metrics that its functions publish.
#[derive(Default)]
struct Names {
    streams: Vec<String>,
    functions: Vec<String>,
    queues: Vec<String>,
    tables: Vec<String>,
    own: Vec<Query>,
}

impl Names {
    /// Makes no call.
    fn of(pipeline: &Pipeline<'_>) -> Result<Self> {
        let mut names = Self::default();
        for node in 0..pipeline.graph().len() {
            let (declared, resource) = pipeline.resource(pipeline.graph().id(node))?;
            match declared.kind.as_str() {
                "stream" => names.streams.push(resource.name()),
                "function" => {
                    names.add_own(published(&declared, &resource.name()));
                    names.functions.push(resource.name());
                }
                "queue" => names.queues.push(resource.name()),
                "table" => names.tables.push(resource.name()),
                "alarm" => names.add_own(watched(&declared).into_iter().collect()),
                _ => {}
            }
        }
        Ok(names)
    }

    fn add_own(&mut self, more: Vec<Query>) {
        for query in more {
            let same = |known: &Query| {
                known.resource == query.resource
                    && known.spec.name == query.spec.name
                    && known.spec.statistic == query.spec.statistic
            };
            if !self.own.iter().any(same) {
                self.own.push(query);
            }
        }
    }
}

/// What a bundled function publishes itself.
fn published(declared: &Declared, function: &str) -> Vec<Query> {
    let text = |key: &str| declared.properties.get(key).and_then(|value| value.as_str());
    let Some((namespace, dimension)) = text("handler").and_then(bundled_namespace) else {
        return Vec::new();
    };
    let variables = declared.properties.get("environment");
    let value = match dimension {
        "FunctionName" => Some(function),
        _ => variables
            .and_then(|all| all.get(dimension.to_uppercase()))
            .and_then(|value| value.as_str()),
    };
    let Some(value) = value else { return Vec::new() };
    queries(&Resource::Custom {
        namespace: namespace.to_owned(),
        dimensions: vec![(dimension.to_owned(), value.to_owned())],
    })
}

/// The metric that an alarm watches, if it is in a namespace that is not AWS's.
fn watched(declared: &Declared) -> Option<Query> {
    let property = |key: &str| declared.properties.get(key);
    let text = |key: &str| property(key).and_then(|value| value.as_str());
    let namespace = text("namespace").filter(|namespace| !namespace.starts_with("AWS/"))?;
    let statistic = match text("statistic")? {
        "Sum" => Statistic::Sum,
        "Average" => Statistic::Average,
        "Maximum" => Statistic::Maximum,
        _ => return None,
    };
    let dimensions = property("dimensions").and_then(|value| value.as_object());
    let dimensions = dimensions
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
    let resource = Resource::Custom {
        namespace: namespace.to_owned(),
        dimensions: dimensions.collect(),
    };
    let name = text("metric")?;
    let mut known = queries(&resource).into_iter();
    let known = known.find(|query| query.spec.name == name && query.spec.statistic == statistic);
    Some(known.unwrap_or_else(|| Query {
        resource,
        spec: Spec::custom(name, Unit::Count, statistic),
    }))
}

#[cfg(test)]
mod tests;
