//! What is examined ([`Scope`]) and the facts about it ([`Subject`]). Each fact is read once, on first use, and shared by
//! all checks.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;

use futures_util::future::try_join_all;
use jiff::Timestamp;
use tokio::sync::OnceCell;

use super::alarms::{self, Alarm};
use super::finding::Skipped;
use super::logs::{self, ErrorLines};
use super::measured::{self, Measured};
use super::queues::{self, DeadLetters, EventSource, Queue};
use super::{access, cost, posture};
use crate::context::Context;
use crate::functions::function::{self, FunctionState};
use crate::functions::mapping::{self, Mapping};
use crate::observe::metrics::Kind;
use crate::pipeline::Pipeline;
use crate::pipeline::plan::PlanReport;
use crate::stream::consumers::{self, Consumer};
use crate::stream::{self, Listing, ShardMap, StreamState, shards};
use ground::error::Result;

/// The names of what is examined. What is attached to it, such as the functions of mappings, is found and added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Identity of the pipeline that declares the names.
    pub pipeline: Option<String>,
    pub streams: Vec<String>,
    pub functions: Vec<String>,
    pub queues: Vec<String>,
    pub tables: Vec<String>,
    pub alarms: Vec<String>,
    /// The words of the command that sets the pipeline up: `setup`, `retail`.
    pub setup: Vec<String>,
}

impl Scope {
    /// The account only: no stream.
    pub fn account() -> Self {
        Self::default()
    }

    /// One stream and what is attached to it.
    pub fn stream(name: &str) -> Self {
        Self {
            streams: vec![name.to_owned()],
            ..Self::default()
        }
    }

    /// The resources that a pipeline declares. Makes no call.
    ///
    /// # Errors
    /// Exit 2 when a kind refuses its properties.
    pub fn pipeline(pipeline: &Pipeline<'_>) -> Result<Self> {
        let mut scope = Self {
            pipeline: Some(pipeline.identity().to_string()),
            ..Self::default()
        };
        for node in 0..pipeline.graph().len() {
            let (spec, resource) = pipeline.resource(pipeline.graph().id(node))?;
            let names = match spec.kind.as_str() {
                "stream" => &mut scope.streams,
                "function" => &mut scope.functions,
                "queue" => &mut scope.queues,
                "table" => &mut scope.tables,
                "alarm" => &mut scope.alarms,
                _ => continue,
            };
            names.push(resource.name());
        }
        Ok(scope)
    }
}

/// A fact, or why it could not be read.
type Fact<T> = OnceCell<Result<T, Skipped>>;

/// A function and its tags.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    pub name: String,
    pub state: FunctionState,
    pub tags: BTreeMap<String, String>,
}

/// The facts about what is examined.
pub struct Subject<'c> {
    context: &'c Context,
    scope: Scope,
    streams: Fact<BTreeMap<String, Option<StreamState>>>,
    shards: Fact<BTreeMap<String, ShardMap>>,
    consumers: Fact<BTreeMap<String, Vec<Consumer>>>,
    mappings: Fact<Vec<Mapping>>,
    functions: Fact<BTreeMap<String, Option<Function>>>,
    event_sources: Fact<Vec<EventSource>>,
    queues: Fact<BTreeMap<String, Option<Queue>>>,
    dead_letters: Fact<Vec<DeadLetters>>,
    log_groups: Fact<BTreeMap<String, Option<Option<u32>>>>,
    error_lines: Fact<Vec<ErrorLines>>,
    alarms: Fact<Vec<Alarm>>,
    measured: Fact<Measured>,
    pipeline: Option<&'c Pipeline<'c>>,
    plan: Fact<PlanReport>,
    access: access::Facts,
    posture: posture::Facts,
    cost: cost::Facts,
}

/// Reads a fact once. `read` is boxed: facts are read for others, and a future that holds those of all of them grows with
/// each level until it does not fit on the stack.
async fn once<'f, T>(
    fact: &'f Fact<T>,
    read: Pin<Box<dyn Future<Output = Result<T, Skipped>> + 'f>>,
) -> Result<&'f T, Skipped> {
    fact.get_or_init(|| read).await.as_ref().map_err(Clone::clone)
}

impl<'c> Subject<'c> {
    pub fn new(context: &'c Context, scope: Scope) -> Self {
        Self {
            context,
            scope,
            streams: Fact::new(),
            shards: Fact::new(),
            consumers: Fact::new(),
            mappings: Fact::new(),
            functions: Fact::new(),
            event_sources: Fact::new(),
            queues: Fact::new(),
            dead_letters: Fact::new(),
            log_groups: Fact::new(),
            error_lines: Fact::new(),
            alarms: Fact::new(),
            measured: Fact::new(),
            pipeline: None,
            plan: Fact::new(),
            access: access::Facts::default(),
            posture: posture::Facts::default(),
            cost: cost::Facts::default(),
        }
    }

    /// A pipeline, whose resources are `scope`.
    pub fn of_pipeline(context: &'c Context, scope: Scope, pipeline: &'c Pipeline<'c>) -> Self {
        Self {
            pipeline: Some(pipeline),
            ..Self::new(context, scope)
        }
    }

    pub fn context(&self) -> &'c Context {
        self.context
    }

    pub(super) fn access(&self) -> &access::Facts {
        &self.access
    }

    pub(super) fn posture(&self) -> &posture::Facts {
        &self.posture
    }

    pub(super) fn cost(&self) -> &cost::Facts {
        &self.cost
    }

    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Each stream of the scope by name; `None` where it does not exist.
    ///
    /// # Errors
    /// When a stream cannot be described.
    pub async fn described(&self) -> Result<&BTreeMap<String, Option<StreamState>>, Skipped> {
        once(
            &self.streams,
            Box::pin(async move {
                let describe = |name: &String| {
                    let name = name.clone();
                    async move {
                        let state = stream::observe(self.context, &name).await?;
                        Ok::<_, Skipped>((name, state))
                    }
                };
                let states = try_join_all(self.scope.streams.iter().map(describe)).await?;
                Ok(states.into_iter().collect())
            }),
        )
        .await
    }

    /// The streams of the scope that exist.
    ///
    /// # Errors
    /// As [`Subject::described`].
    pub async fn streams(&self) -> Result<Vec<&StreamState>, Skipped> {
        Ok(self.described().await?.values().flatten().collect())
    }

    /// The shards of each stream by its name, closed ones included.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn shards(&self) -> Result<&BTreeMap<String, ShardMap>, Skipped> {
        once(
            &self.shards,
            Box::pin(async move {
                let mut maps = BTreeMap::new();
                for state in self.streams().await? {
                    let map = shards::list(self.context, &state.name, &Listing::All).await?;
                    maps.insert(state.name.clone(), map);
                }
                Ok(maps)
            }),
        )
        .await
    }

    /// The registered consumers of each stream by its name.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn consumers(&self) -> Result<&BTreeMap<String, Vec<Consumer>>, Skipped> {
        once(
            &self.consumers,
            Box::pin(async move {
                let mut all = BTreeMap::new();
                for state in self.streams().await? {
                    let found = match state.consumer_count {
                        0 => Vec::new(),
                        _ => consumers::consumers(self.context, &state.arn).await?,
                    };
                    all.insert(state.name.clone(), found);
                }
                Ok(all)
            }),
        )
        .await
    }

    /// The mappings of the streams and of their consumers that are not being deleted.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn mappings(&self) -> Result<&[Mapping], Skipped> {
        let all = once(
            &self.mappings,
            Box::pin(async move {
                let mut all = Vec::new();
                for state in self.streams().await? {
                    let consumers = self.consumers().await?.get(&state.name);
                    let consumers = consumers.into_iter().flatten().map(|consumer| &consumer.arn);
                    for arn in std::iter::once(&state.arn).chain(consumers) {
                        let found = mapping::list(self.context, None, Some(arn)).await?;
                        all.extend(found.into_iter().filter(|mapping| !mapping.is_going()));
                    }
                }
                Ok(all)
            }),
        )
        .await?;
        Ok(all)
    }

    /// The functions of the scope and of its mappings by name; `None` where one does not exist.
    ///
    /// # Errors
    /// When one cannot be read.
    pub async fn named_functions(&self) -> Result<&BTreeMap<String, Option<Function>>, Skipped> {
        once(
            &self.functions,
            Box::pin(async move {
                let mut names = self.scope.functions.clone();
                let mapped = self.mappings().await?.iter();
                names.extend(mapped.map(|mapping| mapping.function().to_owned()));
                names.sort();
                names.dedup();
                let observe = |name: String| async move {
                    let found = function::observe(self.context, &name).await?;
                    let found = found.map(|(state, tags)| Function {
                        name: name.clone(),
                        state,
                        tags,
                    });
                    Ok::<_, Skipped>((name, found))
                };
                let all = try_join_all(names.into_iter().map(observe)).await?;
                Ok(all.into_iter().collect())
            }),
        )
        .await
    }

    /// The functions that exist.
    ///
    /// # Errors
    /// As [`Subject::named_functions`].
    pub async fn functions(&self) -> Result<Vec<&Function>, Skipped> {
        Ok(self.named_functions().await?.values().flatten().collect())
    }

    /// The queues that functions read.
    ///
    /// # Errors
    /// When the mappings of a function cannot be listed.
    pub async fn event_sources(&self) -> Result<&[EventSource], Skipped> {
        let all = once(
            &self.event_sources,
            Box::pin(async move {
                let functions = self.functions().await?;
                let found = functions
                    .iter()
                    .map(|function| queues::event_sources(self.context, &function.name));
                let found = try_join_all(found).await?;
                Ok(found.into_iter().flatten().collect())
            }),
        )
        .await?;
        Ok(all)
    }

    /// The queues of the scope, of failed records, and of functions, by name; `None` where one does not exist.
    ///
    /// # Errors
    /// When one cannot be read.
    pub async fn queues(&self) -> Result<&BTreeMap<String, Option<Queue>>, Skipped> {
        once(
            &self.queues,
            Box::pin(async move {
                let mut names: BTreeSet<String> = self.scope.queues.iter().cloned().collect();
                names.extend(self.failure_queues().await?);
                let sources = self.event_sources().await?.iter();
                names.extend(sources.map(|source| source.queue.clone()));
                let read = |name: String| async move {
                    let queue = queues::read(self.context, &name).await?;
                    Ok::<_, Skipped>((name, queue))
                };
                let all = try_join_all(names.into_iter().map(read)).await?;
                Ok(all.into_iter().collect())
            }),
        )
        .await
    }

    /// Names of the queues that take failed records.
    ///
    /// # Errors
    /// As [`Subject::mappings`] and [`Subject::functions`].
    pub async fn failure_queues(&self) -> Result<BTreeSet<String>, Skipped> {
        let mut names = BTreeSet::new();
        for mapping in self.mappings().await? {
            names.extend(queues::queue_of(mapping.settings.on_failure.as_deref()));
        }
        for function in self.functions().await? {
            let url = function.state.environment.get("QUEUE_URL");
            names.extend(url.and_then(|url| Some(url.rsplit('/').next()?.to_owned())));
        }
        Ok(names)
    }

    /// Some of the messages about failed records, of the queues that hold any.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn dead_letters(&self) -> Result<&[DeadLetters], Skipped> {
        let all = once(
            &self.dead_letters,
            Box::pin(async move {
                let wanted = self.failure_queues().await?;
                let queues = self.queues().await?.values().flatten();
                let full = queues
                    .filter(|queue| queue.visible > 0 && !queue.redrives && wanted.contains(&queue.name));
                let samples = full.map(|queue| queues::sample(self.context, queue));
                Ok(try_join_all(samples).await?)
            }),
        )
        .await?;
        Ok(all)
    }

    /// Days that the log group of each function is kept, by its name: `Some(None)` for ever, `None` where it does not
    /// exist.
    ///
    /// # Errors
    /// When a log group cannot be read.
    pub async fn log_groups(&self) -> Result<&BTreeMap<String, Option<Option<u32>>>, Skipped> {
        once(
            &self.log_groups,
            Box::pin(async move {
                let functions = self.functions().await?;
                let names: BTreeSet<&str> = functions
                    .iter()
                    .map(|function| function.state.log_group.as_str())
                    .collect();
                let read = |name: &str| {
                    let name = name.to_owned();
                    async move {
                        let kept = crate::functions::logs::retention(self.context, &name).await?;
                        Ok::<_, Skipped>((name, kept))
                    }
                };
                let all = try_join_all(names.into_iter().map(read)).await?;
                Ok(all.into_iter().collect())
            }),
        )
        .await
    }

    /// The newest lines about errors of the functions that failed in the last hour.
    ///
    /// # Errors
    /// When a log cannot be read.
    pub async fn error_lines(&self) -> Result<&[ErrorLines], Skipped> {
        let all = once(
            &self.error_lines,
            Box::pin(async move {
                let measured = self.measured().await?;
                let functions = self.functions().await?.into_iter();
                let failed = functions
                    .filter(|function| measured.sum(measured::Metric::Errors, &function.name) > Some(0.0));
                let lines = failed.map(|function| logs::error_lines(self.context, function));
                Ok(try_join_all(lines).await?)
            }),
        )
        .await?;
        Ok(all)
    }

    /// The alarms on what is examined.
    ///
    /// # Errors
    /// When the alarms cannot be listed.
    pub async fn alarms(&self) -> Result<&[Alarm], Skipped> {
        let all = once(
            &self.alarms,
            Box::pin(async move {
                let names = self.named().await;
                let all = alarms::read(self.context).await?;
                let is_ours =
                    |alarm: &Alarm| self.scope.alarms.contains(&alarm.name) || alarm.watches_one_of(&names);
                Ok(all.into_iter().filter(is_ours).collect())
            }),
        )
        .await?;
        Ok(all)
    }

    /// What has metrics, as far as it can be found.
    async fn named(&self) -> BTreeSet<(Kind, String)> {
        let mut names = BTreeSet::new();
        let mut add = |kind: Kind, more: Vec<String>| names.extend(more.into_iter().map(|name| (kind, name)));
        add(Kind::Stream, self.scope.streams.clone());
        add(Kind::Table, self.scope.tables.clone());
        let functions = self.named_functions().await.map(BTreeMap::keys);
        let functions: Vec<String> = functions.into_iter().flatten().cloned().collect();
        if !functions.is_empty() {
            add(Kind::Account, vec![String::new()]);
        }
        add(Kind::Function, functions);
        let queues = self.queues().await.map(BTreeMap::keys);
        add(Kind::Queue, queues.into_iter().flatten().cloned().collect());
        names
    }

    /// The metrics of the last hour.
    ///
    /// # Errors
    /// When CloudWatch refuses the call.
    pub async fn measured(&self) -> Result<&Measured, Skipped> {
        once(
            &self.measured,
            Box::pin(async move {
                let names = self.named().await;
                Ok(measured::read(self.context, &names, Timestamp::now().as_second()).await?)
            }),
        )
        .await
    }

    /// The differences of a pipeline from its manifest; `None` if no pipeline is examined.
    ///
    /// # Errors
    /// When a resource cannot be observed.
    pub async fn plan(&self) -> Result<Option<&PlanReport>, Skipped> {
        let Some(pipeline) = self.pipeline else {
            return Ok(None);
        };
        let plan = once(
            &self.plan,
            Box::pin(async move { Ok(pipeline.plan().await?.report(pipeline)) }),
        );
        plan.await.map(Some)
    }
}
