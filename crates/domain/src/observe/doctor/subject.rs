//! What is examined ([`Scope`]) and the facts about it ([`Subject`]). Each fact is read once, on first use, and shared by
//! all checks.

use std::collections::BTreeMap;

use tokio::sync::OnceCell;

use super::finding::Skipped;
use super::{access, cost, posture};
use crate::context::Context;
use crate::functions::function::{self, FunctionState};
use crate::functions::mapping::{self, Mapping};
use crate::pipeline::Pipeline;
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
    pub log_groups: Vec<String>,
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
                "log_group" => &mut scope.log_groups,
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
    access: access::Facts,
    posture: posture::Facts,
    cost: cost::Facts,
}

/// Reads a fact once.
async fn once<T>(fact: &Fact<T>, read: impl Future<Output = Result<T, Skipped>>) -> Result<&T, Skipped> {
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
            access: access::Facts::default(),
            posture: posture::Facts::default(),
            cost: cost::Facts::default(),
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
        once(&self.streams, async {
            let mut states = BTreeMap::new();
            for name in &self.scope.streams {
                states.insert(name.clone(), stream::observe(self.context, name).await?);
            }
            Ok(states)
        })
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
        once(&self.shards, async {
            let mut maps = BTreeMap::new();
            for state in self.streams().await? {
                let map = shards::list(self.context, &state.name, &Listing::All).await?;
                maps.insert(state.name.clone(), map);
            }
            Ok(maps)
        })
        .await
    }

    /// The registered consumers of each stream by its name.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn consumers(&self) -> Result<&BTreeMap<String, Vec<Consumer>>, Skipped> {
        once(&self.consumers, async {
            let mut all = BTreeMap::new();
            for state in self.streams().await? {
                let found = match state.consumer_count {
                    0 => Vec::new(),
                    _ => consumers::consumers(self.context, &state.arn).await?,
                };
                all.insert(state.name.clone(), found);
            }
            Ok(all)
        })
        .await
    }

    /// The mappings of the streams that are not being deleted.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn mappings(&self) -> Result<&[Mapping], Skipped> {
        let all = once(&self.mappings, async {
            let mut all = Vec::new();
            for state in self.streams().await? {
                let found = mapping::list(self.context, None, Some(&state.arn)).await?;
                all.extend(found.into_iter().filter(|mapping| !mapping.is_going()));
            }
            Ok(all)
        })
        .await?;
        Ok(all)
    }

    /// The functions of the scope and of its mappings by name; `None` where one does not exist.
    ///
    /// # Errors
    /// When one cannot be read.
    pub async fn named_functions(&self) -> Result<&BTreeMap<String, Option<Function>>, Skipped> {
        once(&self.functions, async {
            let mut names = self.scope.functions.clone();
            let mapped = self.mappings().await?.iter();
            names.extend(mapped.map(|mapping| mapping.function().to_owned()));
            names.sort();
            names.dedup();
            let mut all = BTreeMap::new();
            for name in names {
                let found = function::observe(self.context, &name).await?;
                let found = found.map(|(state, tags)| Function {
                    name: name.clone(),
                    state,
                    tags,
                });
                all.insert(name, found);
            }
            Ok(all)
        })
        .await
    }

    /// The functions that exist.
    ///
    /// # Errors
    /// As [`Subject::named_functions`].
    pub async fn functions(&self) -> Result<Vec<&Function>, Skipped> {
        Ok(self.named_functions().await?.values().flatten().collect())
    }
}
