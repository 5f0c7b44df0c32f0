//! `stream`: a Kinesis data stream with its capacity, retention, encryption, shard-level monitoring and tags.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::common::{self, observed};
use super::event_source_mapping::readers_of;
use super::stream_arn;
use crate::context::Context;
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::parameter::Origin;
use crate::pipeline::resource::{Change, Check, Location, Observed, Outputs, Resource, Spec, Surroundings};
use crate::pipeline::tags::UNFINISHED;
use crate::stream::{self, Capacity, Changer, Mode, NewStream, ShardMetric, Status, StreamState, reshard};
use ground::error::{self, Error, Result};

mod checks;

/// What a manifest can say about a stream.
pub(super) const PROPERTIES: &[&str] = &[
    "name",
    "mode",
    "shards",
    "retention_hours",
    "encryption",
    "kms_key",
    "monitoring",
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Declared {
    name: String,
    #[serde(default)]
    mode: DeclaredMode,
    #[serde(default = "one")]
    shards: u32,
    #[serde(default = "a_day")]
    retention_hours: u32,
    #[serde(default)]
    encryption: bool,
    #[serde(default = "aws_managed_key")]
    kms_key: String,
    #[serde(default)]
    monitoring: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum DeclaredMode {
    #[default]
    Provisioned,
    OnDemand,
}

fn one() -> u32 {
    1
}

fn a_day() -> u32 {
    stream::state::DEFAULT_RETENTION_HOURS
}

fn aws_managed_key() -> String {
    stream::change::AWS_MANAGED_KEY.to_owned()
}

/// What is there, as far as the differences matter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Facts {
    arn: String,
    status: String,
    on_demand: bool,
    shards: u32,
    retention_hours: u32,
    encryption: Option<String>,
    monitoring: BTreeSet<String>,
    consumers: u32,
}

impl Facts {
    fn of(state: &StreamState) -> Self {
        Self {
            arn: state.arn.clone(),
            status: state.status.to_string(),
            on_demand: state.mode == Mode::OnDemand,
            shards: state.open_shards,
            retention_hours: state.retention_hours,
            encryption: state.encryption.clone(),
            monitoring: state.monitoring.iter().map(ToString::to_string).collect(),
            consumers: state.consumer_count,
        }
    }

    fn is_going(&self) -> bool {
        self.status == Status::Deleting.to_string()
    }

    fn mode(&self) -> Mode {
        if self.on_demand {
            Mode::OnDemand
        } else {
            Mode::Provisioned
        }
    }
}

pub(super) struct Stream<'a> {
    context: &'a Context,
    spec: Spec,
    arn: String,
    declared: Declared,
    mode: Mode,
    monitoring: BTreeSet<ShardMetric>,
}

impl<'a> Stream<'a> {
    pub(super) fn new(context: &'a Context, location: &Location, spec: Spec) -> Result<Self> {
        let declared: Declared = spec.read()?;
        stream::check_name(&declared.name)?;
        Ok(Self {
            context,
            arn: stream_arn(location, &declared.name),
            mode: match declared.mode {
                DeclaredMode::Provisioned => Mode::Provisioned,
                DeclaredMode::OnDemand => Mode::OnDemand,
            },
            monitoring: metrics(&declared.monitoring)?,
            declared,
            spec,
        })
    }

    /// The KMS key that records are to be encrypted with.
    fn key(&self) -> Option<&str> {
        self.declared.encryption.then_some(self.declared.kms_key.as_str())
    }

    /// Makes a change of the stream, passing on what it tells. A wish to stop is heard while it waits.
    async fn change<T>(
        &self,
        step: &Step<'_>,
        change: impl AsyncFnOnce(Changer<'_>) -> Result<T>,
    ) -> Result<T> {
        self.change_telling(step, true, change).await
    }

    /// As [`Stream::change`]; without `steps` it says nothing of what it does, only what it waits for.
    async fn change_telling<T>(
        &self,
        step: &Step<'_>,
        steps: bool,
        change: impl AsyncFnOnce(Changer<'_>) -> Result<T>,
    ) -> Result<T> {
        let pause = Notify::new();
        let tell = |event: stream::Event| match event {
            stream::Event::Waiting { .. } => {
                if step.is_stopped() {
                    pause.notify_one();
                }
                step.waiting(event.to_string());
            }
            stream::Event::Retrying { .. } => step.waiting(event.to_string()),
            _ if !steps => {}
            other => step.doing(other.to_string()),
        };
        let changer = Changer::new(self.context, &self.declared.name, &tell);
        step.pausable(&pause, change(changer)).await
    }

    async fn create(&self, step: &Step<'_>) -> Result<()> {
        let mut tags = self.spec.tags.all();
        // Taken away at the end: a run that finds it knows that the rest is still to be done.
        tags.insert(UNFINISHED.to_owned(), "setup".to_owned());
        let new = NewStream {
            capacity: match self.mode {
                Mode::Provisioned => Capacity::Provisioned {
                    shards: self.declared.shards,
                },
                Mode::OnDemand => Capacity::OnDemand,
            },
            tags,
            max_record_size_kib: None,
        };
        step.touched();
        let made = self
            .change(step, async |changer| changer.create(&new).await)
            .await?;
        // Some AWS-compatible endpoints pass over the tags of CreateStream. Set at once: a run that goes on after a failure
        // would take the stream for somebody else's.
        let mut untagged = new.tags;
        untagged.retain(|key, value| made.tags.get(key) != Some(value));
        if !untagged.is_empty() {
            self.set_tags(&untagged, BTreeSet::new(), step).await?;
        }
        if self.declared.retention_hours != a_day() {
            self.set_retention(step).await?;
        }
        if !self.monitoring.is_empty() {
            self.set_monitoring(step).await?;
        }
        if self.key().is_some() {
            self.set_encryption(step).await?;
        }
        let mark = BTreeSet::from([UNFINISHED.to_owned()]);
        self.set_tags(&BTreeMap::new(), mark, step).await
    }

    async fn set_retention(&self, step: &Step<'_>) -> Result<()> {
        step.go_on()?;
        let hours = self.declared.retention_hours;
        self.change(step, async |changer| changer.set_retention(hours).await)
            .await
            .map(drop)
    }

    async fn set_monitoring(&self, step: &Step<'_>) -> Result<()> {
        step.go_on()?;
        self.change(step, async |changer| {
            changer.set_monitoring(&self.monitoring).await
        })
        .await
        .map(drop)
    }

    async fn set_encryption(&self, step: &Step<'_>) -> Result<()> {
        step.go_on()?;
        self.change(step, async |changer| changer.set_encryption(self.key()).await)
            .await
            .map(drop)
    }

    async fn set_tags(
        &self,
        set: &BTreeMap<String, String>,
        mut remove: BTreeSet<String>,
        step: &Step<'_>,
    ) -> Result<()> {
        step.go_on()?;
        // The mark of an unfinished stream goes last, and is nobody's business.
        let mark: BTreeSet<String> = remove.take(UNFINISHED).into_iter().collect();
        if !set.is_empty() || !remove.is_empty() {
            self.change(step, async |changer| changer.change_tags(set, &remove).await)
                .await?;
        }
        if !mark.is_empty() {
            let none = BTreeMap::new();
            self.change_telling(step, false, async |changer| {
                changer.change_tags(&none, &mark).await
            })
            .await?;
        }
        Ok(())
    }

    /// Changes of mode and shard count.
    fn capacity_changes(&self, facts: &Facts) -> Vec<Change> {
        let origin = |key| self.spec.properties.origin(key);
        let mut changes = Vec::new();
        // Both were settled when the stream was made, even if the rest was not: a default does not undo them.
        let mode = if origin("mode") > Origin::Default {
            self.mode
        } else {
            facts.mode()
        };
        if mode != facts.mode() {
            changes.push(Change::update("mode", facts.mode(), mode));
        }
        match (mode, origin("shards")) {
            (Mode::OnDemand, Origin::Given) => changes.push(Change::Refused {
                reason: "is on-demand: Kinesis decides on its shards".to_owned(),
                hint: "add --provisioned to switch it over, or leave --shard-count out".to_owned(),
            }),
            (Mode::Provisioned, Origin::Environment | Origin::Given | Origin::Template)
                if facts.shards != self.declared.shards && facts.status != "CREATING" =>
            {
                changes.push(match reshard::checked_plan(facts.shards, self.declared.shards) {
                    Ok(_) => Change::update("shards", facts.shards, self.declared.shards),
                    Err(error) => Change::Refused {
                        reason: format!("cannot be resharded: {error}"),
                        hint: error
                            .hint_text()
                            .unwrap_or("choose another shard count")
                            .to_owned(),
                    },
                });
            }
            _ => {}
        }
        changes
    }

    fn retention_change(&self, facts: &Facts) -> Option<Change> {
        let hours = self.declared.retention_hours;
        (facts.retention_hours != hours).then(|| Change::Update {
            field: "retention".to_owned(),
            from: Some(format!("{} h", facts.retention_hours)),
            to: Some(format!("{hours} h")),
            loses: (hours < facts.retention_hours)
                .then(|| format!("records older than {hours} h become unreadable")),
        })
    }

    fn encryption_change(&self, facts: &Facts) -> Option<Change> {
        let same = match (self.key(), &facts.encryption) {
            (None, None) => true,
            (Some(wanted), Some(there)) => stream::change::same_key(wanted, there),
            _ => false,
        };
        let word = |key: Option<&str>| key.unwrap_or("none").to_owned();
        (!same).then(|| {
            let there = facts.encryption.as_deref();
            Change::update("encryption", word(there), word(self.key()))
        })
    }

    fn monitoring_change(&self, facts: &Facts) -> Option<Change> {
        let wanted: BTreeSet<String> = self.monitoring.iter().map(ToString::to_string).collect();
        (wanted != facts.monitoring).then(|| {
            Change::update(
                "monitoring",
                metric_words(&facts.monitoring),
                metric_words(&wanted),
            )
        })
    }
}

#[async_trait]
impl Resource for Stream<'_> {
    fn name(&self) -> String {
        self.declared.name.clone()
    }

    fn summary(&self) -> String {
        let capacity = match (self.mode, self.declared.shards) {
            (Mode::OnDemand, _) => "on-demand".to_owned(),
            (Mode::Provisioned, 1) => "1 shard".to_owned(),
            (Mode::Provisioned, shards) => format!("{shards} shards"),
        };
        let metrics: BTreeSet<String> = self.monitoring.iter().map(ToString::to_string).collect();
        format!(
            "{capacity}, {} h, encryption {}, shard metrics {}",
            self.declared.retention_hours,
            self.key().unwrap_or("none"),
            metric_words(&metrics)
        )
    }

    async fn observe(&self) -> Result<Observed> {
        Ok(match stream::observe(self.context, &self.declared.name).await? {
            None => Observed::Absent,
            Some(state) => observed(state.tags.clone(), &Facts::of(&state))?,
        })
    }

    fn diff(&self, observed: &Observed, _around: &Surroundings) -> Result<Vec<Change>> {
        let Some(present) = observed.present() else {
            return Ok(vec![Change::Create]);
        };
        let facts: Facts = present.read()?;
        if facts.is_going() {
            return Ok(vec![Change::Create]);
        }
        let enforced = |key: &str| self.spec.properties.enforced(key, present);
        let mut changes = self.capacity_changes(&facts);
        if enforced("retention_hours") {
            changes.extend(self.retention_change(&facts));
        }
        if enforced("encryption") || enforced("kms_key") {
            changes.extend(self.encryption_change(&facts));
        }
        if enforced("monitoring") {
            changes.extend(self.monitoring_change(&facts));
        }
        // Last, since this takes the mark of an unfinished stream away.
        changes.extend(self.spec.tags.change(&present.tags));
        Ok(changes)
    }

    async fn apply(&self, change: &Change, observed: &Observed, step: &Step<'_>) -> Result<()> {
        let Some(field) = common::field(change)? else {
            return self.create(step).await;
        };
        step.touched();
        match field {
            "mode" => {
                let mode = self.mode;
                self.change(step, async |changer| changer.set_mode(mode).await)
                    .await?;
            }
            "shards" => {
                let shards = self.declared.shards;
                self.change(step, async |changer| changer.set_shard_count(shards).await)
                    .await?;
            }
            "retention" => self.set_retention(step).await?,
            "encryption" => self.set_encryption(step).await?,
            "monitoring" => self.set_monitoring(step).await?,
            "tags" => {
                let there = &common::there(observed, "stream")?.tags;
                let (set, remove) = self.spec.tags.difference(there);
                self.set_tags(&set, remove, step).await?;
            }
            other => return Err(Error::failed(format!("a stream has no {other} to change"))),
        }
        Ok(())
    }

    async fn delete(&self, _observed: &Observed, step: &Step<'_>) -> Result<()> {
        self.change(step, async |changer| changer.delete(true).await)
            .await
    }

    async fn dependents(&self, observed: &Observed) -> Result<Vec<String>> {
        let Some(present) = observed.present() else {
            return Ok(Vec::new());
        };
        let facts: Facts = present.read()?;
        let mut names = readers_of(self.context, &facts.arn, &self.spec).await;
        if facts.consumers == 0 {
            return Ok(names);
        }
        let mut token = None;
        loop {
            let call = self.context.kinesis().list_stream_consumers();
            let call = call.stream_arn(&facts.arn).set_next_token(token).send();
            let page = call.await.map_err(|error| {
                let what = format!("could not list the consumers of stream {}", self.declared.name);
                error::aws::failed(what, error)
            })?;
            let consumers = page.consumers.unwrap_or_default();
            names.extend(consumers.into_iter().map(|consumer| {
                let (name, stream) = (consumer.consumer_name, &self.declared.name);
                format!("consumer {name} reads stream {stream} (enhanced fan-out)")
            }));
            token = page.next_token;
            if token.is_none() {
                return Ok(names);
            }
        }
    }

    async fn verify(&self, observed: &Observed, probe: bool) -> Vec<Check> {
        self.checks(observed, probe).await
    }

    fn outputs(&self, observed: &Observed) -> Outputs {
        let arn = common::facts(observed).map_or_else(|| self.arn.clone(), |there: Facts| there.arn);
        common::outputs([("name", self.declared.name.clone()), ("arn", arn)])
    }

    /// Source: "Actions, resources, and condition keys for Amazon Kinesis Data Streams", service authorization reference.
    fn iam(&self) -> Vec<Statement> {
        let mut needs = vec![
            Statement::new(
                &[
                    "kinesis:CreateStream",
                    "kinesis:DeleteStream",
                    "kinesis:DescribeStreamSummary",
                    "kinesis:UpdateShardCount",
                    "kinesis:UpdateStreamMode",
                    "kinesis:IncreaseStreamRetentionPeriod",
                    "kinesis:DecreaseStreamRetentionPeriod",
                    "kinesis:StartStreamEncryption",
                    "kinesis:StopStreamEncryption",
                    "kinesis:EnableEnhancedMonitoring",
                    "kinesis:DisableEnhancedMonitoring",
                    "kinesis:AddTagsToStream",
                    "kinesis:RemoveTagsFromStream",
                    "kinesis:ListTagsForStream",
                    "kinesis:ListStreamConsumers",
                    "kinesis:PutRecord",
                ],
                [self.arn.clone()],
            ),
            Statement::new(
                &[
                    "kinesis:ListStreams",
                    "kinesis:DescribeLimits",
                    "lambda:ListEventSourceMappings",
                    "cloudwatch:GetMetricStatistics",
                ],
                ["*".to_owned()],
            ),
        ];
        // The key that AWS manages needs no permission of the caller's.
        if let Some(key) = self.key().filter(|key| *key != stream::change::AWS_MANAGED_KEY) {
            let resource = if key.starts_with("arn:") { key } else { "*" };
            let via = format!("kinesis.{}.amazonaws.com", self.context.region());
            needs.push(
                Statement::new(
                    &["kms:DescribeKey", "kms:GenerateDataKey", "kms:Decrypt"],
                    [resource.to_owned()],
                )
                .only_if("StringEquals", "kms:ViaService", via),
            );
        }
        needs
    }
}

/// The metrics that a list such as `all`, `none` or names means.
fn metrics(names: &[String]) -> Result<BTreeSet<ShardMetric>> {
    let is = |word: &str| names.iter().any(|name| name.eq_ignore_ascii_case(word));
    if is("all") {
        return Ok(ShardMetric::all());
    }
    if is("none") {
        if names.len() == 1 {
            return Ok(BTreeSet::new());
        }
        return Err(Error::usage("monitoring is `none` and something else")
            .hint("give `all`, `none` or the names of metrics"));
    }
    names.iter().map(|name| ShardMetric::from_str(name)).collect()
}

fn metric_words(metrics: &BTreeSet<String>) -> String {
    match metrics.len() {
        0 => "none".to_owned(),
        7 => "all".to_owned(),
        _ => metrics.iter().cloned().collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests;
