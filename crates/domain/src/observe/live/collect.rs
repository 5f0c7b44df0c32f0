//! Reads what a view shows, and not more often than it changes.
//!
//! Lists are kept for some seconds (on AWS for a minute), descriptions and metrics are read only of the rows that are seen.
//! CloudWatch charges for each metric that is asked for, and has one value a minute: on AWS metrics are read every 30
//! seconds. The local cloud has neither price nor limit: there the other rows are measured too, in turn.

mod cache;
mod rows;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;

use self::cache::Cache;
use super::meter::Meter;
use super::records::Newest;
use super::{Root, Row, Snapshot, View};
use crate::consume::KinesisShards;
use crate::context::Context;
use crate::functions::mapping::{self, Mapping};
use crate::observe::doctor::{self, Queue};
use crate::observe::metrics::{self, Query, Resource, Statistic, TimeRange};
use crate::stream::list::list;
use crate::stream::{self, Filter, Listing, ShardMap, StreamEntry, StreamState, shards};
use ground::error::aws::Class;
use ground::error::{self, Result};

/// How often metrics are read on AWS.
pub const METRICS_INTERVAL_ON_AWS: Duration = Duration::from_secs(30);
/// How far back figures such as throttles are added up, in seconds.
const SPAN: i64 = 300;
/// Rows that are taken to be seen until the screen tells.
const SEEN_AT_FIRST: usize = 50;
/// Metrics of a refresh on the local cloud, and of a call to CloudWatch.
const QUERIES_LOCAL: usize = 250;
const QUERIES: usize = 500;
/// Descriptions of a refresh. Source: DescribeStreamSummary, 20 calls a second of an account.
const DESCRIPTIONS: usize = 8;

/// A function of ListFunctions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct FunctionEntry {
    name: String,
    arn: String,
    runtime: String,
    handler: String,
    timeout_seconds: i32,
    memory_mib: i32,
    last_modified: String,
}

/// What the lists of the account hold.
#[derive(Debug)]
struct Inventory {
    streams: Cache<Vec<StreamEntry>>,
    functions: Cache<Vec<FunctionEntry>>,
    mappings: Cache<Vec<Mapping>>,
    queues: Cache<Vec<String>>,
    /// Of the stream whose shards are looked at.
    shards: Cache<(String, ShardMap)>,
}

/// Reads snapshots of views.
pub struct Collector<'c> {
    context: &'c Context,
    inventory: Inventory,
    /// By name, with the time of the description.
    states: BTreeMap<String, (Instant, StreamState)>,
    queues: BTreeMap<String, Queue>,
    records: Option<(View, Newest<KinesisShards>)>,
    meter: Meter,
    /// When all seen rows were measured.
    measured: Option<Instant>,
    /// Where to go on with the rows that are not seen.
    turn: usize,
}

impl<'c> Collector<'c> {
    pub fn new(context: &'c Context) -> Self {
        let is_local = context.is_local();
        let keep = |local: u64, aws: u64| Duration::from_secs(if is_local { local } else { aws });
        Self {
            context,
            inventory: Inventory {
                streams: Cache::new(keep(3, 60)),
                functions: Cache::new(keep(5, 60)),
                mappings: Cache::new(keep(5, 60)),
                queues: Cache::new(keep(5, 60)),
                shards: Cache::new(keep(3, 60)),
            },
            states: BTreeMap::new(),
            queues: BTreeMap::new(),
            records: None,
            meter: Meter::new(is_local),
            measured: None,
            turn: 0,
        }
    }

    /// Reads `view`. `seen` has the keys of the rows on the screen.
    ///
    /// # Errors
    /// When the target does not answer or refuses. What was read before is kept for the next call.
    pub async fn collect(&mut self, view: &View, seen: &[String]) -> Result<Snapshot> {
        let mut notes = Vec::new();
        let now = Timestamp::now();
        let (rows, resources) = match view {
            View::Streams => self.streams(seen, now, &mut notes).await?,
            View::Shards { stream } => self.shards(stream, seen, now, &mut notes).await?,
            View::Records { stream, shard } => {
                let rows = self.records(view, stream, shard, now).await?;
                if rows.is_empty() {
                    notes.push("The shard has no records, or they are still being looked for".to_owned());
                }
                (rows, Vec::new())
            }
            View::Functions => self.functions(seen, now, &mut notes).await?,
            View::Mappings { function } => self.mappings(function.as_deref(), seen, now, &mut notes).await?,
            View::Queues => self.queues(seen, now, &mut notes).await?,
        };
        Ok(Snapshot {
            view: view.clone(),
            rows,
            age_seconds: self.meter.age_seconds(&resources, now.as_millisecond()),
            notes,
        })
    }

    /// The names for the picker: what each is, where it leads, and the row to select there. A list that may not be read
    /// has no names.
    pub async fn names(&mut self) -> Vec<(&'static str, String, View)> {
        let context = self.context;
        let inventory = &mut self.inventory;
        let (streams, functions, queues) = tokio::join!(
            inventory.streams.get(|| stream_entries(context)),
            inventory.functions.get(|| function_entries(context)),
            inventory.queues.get(|| queue_names(context)),
        );
        let streams = streams.map_or(&[][..], Vec::as_slice).iter().map(|stream| {
            let view = View::Shards {
                stream: stream.name.clone(),
            };
            ("stream", stream.name.clone(), view)
        });
        let functions = functions.map_or(&[][..], Vec::as_slice).iter();
        let functions = functions.map(|function| ("function", function.name.clone(), View::Functions));
        let queues = queues.map_or(&[][..], Vec::as_slice).iter();
        let queues = queues.map(|queue| ("queue", queue.clone(), View::Queues));
        let roots = Root::ALL.map(|root| ("view", root.name().to_owned(), root.view()));
        roots
            .into_iter()
            .chain(streams)
            .chain(functions)
            .chain(queues)
            .collect()
    }

    async fn streams(
        &mut self,
        seen: &[String],
        now: Timestamp,
        notes: &mut Vec<String>,
    ) -> Result<(Vec<Row>, Vec<Resource>)> {
        let context = self.context;
        let found = self.inventory.streams.get(|| stream_entries(context)).await?;
        let names: Vec<String> = found.iter().map(|stream| stream.name.clone()).collect();
        let seen = seen_of(&names, seen);
        self.states.retain(|name, _| names.contains(name));
        self.describe(&seen).await?;
        let resource = |name: &String| Resource::Stream(name.clone());
        let (resources, others) = parted(&names, &seen, resource);
        self.measure(&resources, &others, now, notes).await;
        let entries = self.inventory.streams.kept().map_or(&[][..], Vec::as_slice);
        let rows = entries.iter().map(|entry| {
            let state = self.states.get(&entry.name).map(|(_, state)| state);
            rows::stream(entry, state, &self.meter)
        });
        Ok((rows.collect(), resources))
    }

    async fn shards(
        &mut self,
        stream: &str,
        seen: &[String],
        now: Timestamp,
        notes: &mut Vec<String>,
    ) -> Result<(Vec<Row>, Vec<Resource>)> {
        let context = self.context;
        let kept = &mut self.inventory.shards;
        kept.keep_if(|(of, _)| of == stream);
        let read = || async {
            let map = shards::list(context, stream, &Listing::FromTrimHorizon).await?;
            Ok((stream.to_owned(), map))
        };
        let (_, map) = kept.get(read).await?;
        let ids: Vec<String> = map.all().iter().map(|shard| shard.id.clone()).collect();
        let seen = seen_of(&ids, seen);
        self.describe(&[stream.to_owned()]).await?;
        let state = self.states.get(stream).map(|(_, state)| state.clone());
        let resource = |id: &String| Resource::Shard {
            stream: stream.to_owned(),
            shard: id.clone(),
        };
        let (resources, others) = parted(&ids, &seen, resource);
        if state.as_ref().is_none_or(|state| !state.monitoring.is_empty()) {
            self.measure(&resources, &others, now, notes).await;
        } else {
            notes.push(format!(
                "Figures of shards need shard-level metrics: `streamctl monitoring enable {stream}` turns them on"
            ));
        }
        let map = self.inventory.shards.kept().map(|(_, map)| map);
        let all = map.map_or(&[][..], ShardMap::all).iter();
        let rows = all.map(|shard| rows::shard(stream, shard, state.as_ref(), &self.meter));
        Ok((rows.collect(), resources))
    }

    async fn records(&mut self, view: &View, stream: &str, shard: &str, now: Timestamp) -> Result<Vec<Row>> {
        let newest = match &mut self.records {
            Some((of, newest)) if of == view => newest,
            records => {
                let source = KinesisShards::new(self.context, stream);
                let newest = Newest::new(source, shard);
                &mut records.insert((view.clone(), newest)).1
            }
        };
        newest.refresh(now.as_millisecond()).await?;
        Ok(newest.rows())
    }

    async fn functions(
        &mut self,
        seen: &[String],
        now: Timestamp,
        notes: &mut Vec<String>,
    ) -> Result<(Vec<Row>, Vec<Resource>)> {
        let context = self.context;
        let found = self.inventory.functions.get(|| function_entries(context)).await?;
        let names: Vec<String> = found.iter().map(|function| function.name.clone()).collect();
        let seen = seen_of(&names, seen);
        let (resources, others) = parted(&names, &seen, |name| Resource::Function(name.clone()));
        self.measure(&resources, &others, now, notes).await;
        let entries = self.inventory.functions.kept().map_or(&[][..], Vec::as_slice);
        let rows = entries.iter().map(|entry| rows::function(entry, &self.meter));
        Ok((rows.collect(), resources))
    }

    async fn mappings(
        &mut self,
        function: Option<&str>,
        seen: &[String],
        now: Timestamp,
        notes: &mut Vec<String>,
    ) -> Result<(Vec<Row>, Vec<Resource>)> {
        let context = self.context;
        let found = self
            .inventory
            .mappings
            .get(|| mapping::list(context, None, None))
            .await?;
        let is_of = |mapping: &&Mapping| function.is_none_or(|name| mapping.function() == name);
        let shown: Vec<Mapping> = found.iter().filter(is_of).cloned().collect();
        let ids: Vec<String> = shown.iter().map(|mapping| mapping.id.clone()).collect();
        let seen = seen_of(&ids, seen);
        let is_seen = |mapping: &&Mapping| seen.contains(&mapping.id);
        let resources: Vec<Resource> = shown.iter().filter(is_seen).flat_map(rows::of_mapping).collect();
        self.measure(&resources, &[], now, notes).await;
        let rows = shown.iter().map(|mapping| rows::mapping(mapping, &self.meter));
        Ok((rows.collect(), resources))
    }

    async fn queues(
        &mut self,
        seen: &[String],
        now: Timestamp,
        notes: &mut Vec<String>,
    ) -> Result<(Vec<Row>, Vec<Resource>)> {
        let context = self.context;
        let names = self.inventory.queues.get(|| queue_names(context)).await?.clone();
        let seen = seen_of(&names, seen);
        self.queues.retain(|name, _| names.contains(name));
        let reads = seen.iter().map(|name| doctor::queue(context, name));
        for queue in join_all(reads).await {
            if let Some(queue) = queue? {
                self.queues.insert(queue.name.clone(), queue);
            }
        }
        let (resources, others) = parted(&names, &seen, |name| Resource::Queue(name.clone()));
        self.measure(&resources, &others, now, notes).await;
        let rows = names
            .iter()
            .map(|name| rows::queue(context, name, self.queues.get(name), &self.meter));
        Ok((rows.collect(), resources))
    }

    /// Describes the streams `names` that were not described lately, some at a time.
    async fn describe(&mut self, names: &[String]) -> Result<()> {
        let context = self.context;
        let keep = self.inventory.streams.keep();
        let age = |name: &String| self.states.get(name).map(|(at, _)| at.elapsed());
        let mut due: Vec<(Option<Duration>, &String)> = names
            .iter()
            .map(|name| (age(name), name))
            .filter(|(age, _)| age.is_none_or(|age| age > keep))
            .collect();
        // Those that were never described first, then the oldest.
        due.sort_by_key(|(age, _)| std::cmp::Reverse(age.unwrap_or(Duration::MAX)));
        let due = due
            .into_iter()
            .take(DESCRIPTIONS)
            .map(|(_, name)| stream::describe(context, name));
        for state in join_all(due).await {
            match state {
                Ok(Some(state)) => {
                    self.states.insert(state.name.clone(), (Instant::now(), state));
                }
                Ok(None) => {}
                // The next refresh asks again.
                Err(error) if error.class() == Some(Class::Throttle) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Measures `seen`, and on the local cloud some of the `others`. Without metrics the rest is still of use.
    async fn measure(
        &mut self,
        seen: &[Resource],
        others: &[Resource],
        now: Timestamp,
        notes: &mut Vec<String>,
    ) {
        let is_local = self.context.is_local();
        let is_due = is_local
            || self
                .measured
                .is_none_or(|at| at.elapsed() >= METRICS_INTERVAL_ON_AWS);
        let mut asked: Vec<Query> = seen
            .iter()
            .filter(|resource| is_due || !self.meter.knows(resource))
            .flat_map(queries)
            .collect();
        asked.truncate(QUERIES);
        if is_local && !others.is_empty() {
            let start = self.turn % others.len();
            let turn = others[start..].iter().chain(&others[..start]);
            for resource in turn {
                let more = queries(resource);
                if asked.len() + more.len() > QUERIES_LOCAL {
                    break;
                }
                asked.extend(more);
                self.turn = self.turn.wrapping_add(1);
            }
        }
        if asked.is_empty() {
            return;
        }
        let range = TimeRange::last(SPAN, Some(60), now.as_second());
        let series = match range {
            Ok(range) => metrics::fetch(self.context, &asked, &range).await,
            Err(error) => Err(error),
        };
        match series {
            Ok(series) => {
                // The figures are of the end of the call, which may have taken long.
                let now = Timestamp::now();
                self.meter.read(series, now.as_millisecond());
                self.meter.forget_before(now.as_millisecond() - 2 * 1_000 * SPAN);
                if is_due {
                    self.measured = Some(Instant::now());
                }
            }
            Err(error) => notes.push(format!("No figures: {}", error.chain().join(": "))),
        }
    }
}

/// The metrics of `resource` that the views show.
fn queries(resource: &Resource) -> Vec<Query> {
    let mut queries = metrics::queries(resource);
    queries.retain(|query| {
        let is_shown = rows::METRICS.contains(&query.spec.name.as_ref());
        is_shown && query.spec.statistic != Statistic::Average
    });
    queries
}

/// The keys of `all` on the screen; the first ones if the screen has shown none of them yet.
fn seen_of(all: &[String], seen: &[String]) -> Vec<String> {
    let there: Vec<String> = seen.iter().filter(|key| all.contains(key)).cloned().collect();
    match there.is_empty() {
        true => all.iter().take(SEEN_AT_FIRST).cloned().collect(),
        false => there,
    }
}

/// The resources of what is `seen`, and of the others.
fn parted(
    all: &[String],
    seen: &[String],
    resource: impl Fn(&String) -> Resource,
) -> (Vec<Resource>, Vec<Resource>) {
    let others = all.iter().filter(|key| !seen.contains(key));
    (
        seen.iter().map(&resource).collect(),
        others.map(&resource).collect(),
    )
}

async fn stream_entries(context: &Context) -> Result<Vec<StreamEntry>> {
    list(context, &Filter::default(), false).await
}

async fn function_entries(context: &Context) -> Result<Vec<FunctionEntry>> {
    let mut pages = context.lambda().list_functions().into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| error::aws::failed("could not list the functions", e))?;
        let functions = page.functions.unwrap_or_default().into_iter();
        found.extend(functions.map(|function| {
            FunctionEntry {
                name: function.function_name.unwrap_or_default(),
                arn: function.function_arn.unwrap_or_default(),
                runtime: function
                    .runtime
                    .map_or_else(String::new, |runtime| runtime.as_str().to_owned()),
                handler: function.handler.unwrap_or_default(),
                timeout_seconds: function.timeout.unwrap_or_default(),
                memory_mib: function.memory_size.unwrap_or_default(),
                last_modified: function.last_modified.unwrap_or_default(),
            }
        }));
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

async fn queue_names(context: &Context) -> Result<Vec<String>> {
    let mut pages = context
        .sqs()
        .list_queues()
        .max_results(1_000)
        .into_paginator()
        .send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| error::aws::failed("could not list the queues", e))?;
        let urls = page.queue_urls.unwrap_or_default().into_iter();
        found.extend(urls.filter_map(|url| url.rsplit('/').next().map(str::to_owned)));
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_views_show_is_asked_for() {
        let count = |resource: Resource| queries(&resource).len();
        assert_eq!(count(Resource::Stream("orders".into())), 8);
        assert_eq!(count(Resource::Function("scorer".into())), 6);
        assert_eq!(count(Resource::Queue("failed".into())), 3);
        let shard = Resource::Shard {
            stream: "orders".into(),
            shard: "shardId-000000000000".into(),
        };
        assert_eq!(count(shard), 7);
        let mapping = Resource::Mapping {
            id: "u".into(),
            function: "scorer".into(),
        };
        assert_eq!(count(mapping), 3);
    }

    #[test]
    fn before_the_screen_is_known_the_first_rows_are_taken_to_be_seen() {
        let all: Vec<String> = (0..200).map(|n| format!("{n:03}")).collect();
        assert_eq!(seen_of(&all, &[]).len(), SEEN_AT_FIRST);
        let gone = ["x".to_owned(), "007".to_owned()];
        assert_eq!(seen_of(&all, &gone), ["007"]);
        let (seen, others) = parted(&all, &gone[1..], |name| Resource::Stream(name.clone()));
        assert_eq!((seen.len(), others.len()), (1, 199));
    }
}
