//! `stream`: a Kinesis data stream with its capacity, retention, encryption, shard-level monitoring and tags.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::event_source_mapping::readers_of;
use super::kind::{Existing, Kind, Managed, TagChanges, TagMap};
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::parameter::Origin;
use crate::pipeline::resource::{Change, Check, Outputs};
use crate::pipeline::tags::UNFINISHED;
use crate::stream::desired::metric_names;
use crate::stream::keys::{self, KeyMatch};
use crate::stream::{
    self, Capacity, Changer, Desired, Difference, Mode, NewStream, ShardMetric, Status, StreamState,
};
use ground::error::{Error, Result};

mod checks;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Declared {
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
    /// What `monitoring` means.
    #[serde(skip)]
    metrics: BTreeSet<ShardMetric>,
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

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Facts {
    arn: String,
    status: String,
    on_demand: bool,
    shards: u32,
    retention_hours: u32,
    encryption: Option<String>,
    monitoring: BTreeSet<String>,
    consumers: u32,
    /// Whether the key that encrypts is the declared one under another name.
    #[serde(default)]
    is_declared_key: bool,
    /// Why that is not known.
    #[serde(default)]
    key_is_unknown: Option<String>,
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
            is_declared_key: false,
            key_is_unknown: None,
        }
    }

    fn is_being_deleted(&self) -> bool {
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

type Stream<'a> = Managed<'a, Declared>;

impl Stream<'_> {
    fn mode(&self) -> Mode {
        match self.declared.mode {
            DeclaredMode::Provisioned => Mode::Provisioned,
            DeclaredMode::OnDemand => Mode::OnDemand,
        }
    }

    /// The KMS key for encryption; `None` for no encryption.
    fn key(&self) -> Option<&str> {
        self.declared.encryption.then_some(self.declared.kms_key.as_str())
    }

    /// Makes a change of the stream, passing its events to `step`. A stop takes effect while the change waits.
    async fn change<T>(
        &self,
        step: &Step<'_>,
        change: impl AsyncFnOnce(Changer<'_>) -> Result<T>,
    ) -> Result<T> {
        self.change_reporting(step, true, change).await
    }

    /// As `change`; without `steps` it reports only what it waits for.
    async fn change_reporting<T>(
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
            changer.set_monitoring(&self.declared.metrics).await
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

    async fn apply_tags(&self, (set, mut remove): TagChanges, step: &Step<'_>) -> Result<()> {
        step.go_on()?;
        // Remove the `unfinished` tag last. It is internal and never shown.
        let unfinished: BTreeSet<String> = remove.take(UNFINISHED).into_iter().collect();
        if !set.is_empty() || !remove.is_empty() {
            self.change(step, async |changer| changer.change_tags(&set, &remove).await)
                .await?;
        }
        if !unfinished.is_empty() {
            let none = BTreeMap::new();
            self.change_reporting(step, false, async |changer| {
                changer.change_tags(&none, &unfinished).await
            })
            .await?;
        }
        Ok(())
    }

    /// What the stream should be like, as far as it is asked for. What is not keeps its state.
    fn desired(&self, existing: &Existing<'_, Facts>) -> Desired {
        let facts = &existing.facts;
        let enforced = |key: &str| self.enforced(key, existing);
        // Creation sets mode and shard count, even if it did not finish: a default does not undo them.
        let is_given = |key| self.spec.properties.origin(key) > Origin::Default;
        let mode = is_given("mode").then(|| self.mode());
        let is_provisioned = mode.unwrap_or(facts.mode()) == Mode::Provisioned;
        let has_shards = is_provisioned && is_given("shards") && facts.status != "CREATING";
        let has_key = (enforced("encryption") || enforced("kms_key")) && !facts.is_declared_key;
        Desired {
            mode,
            shards: has_shards.then_some(self.declared.shards),
            retention_hours: enforced("retention_hours").then_some(self.declared.retention_hours),
            monitoring: enforced("monitoring").then(|| self.declared.metrics.clone()),
            encryption: has_key.then(|| self.key().map(str::to_owned)),
            ..Desired::default()
        }
    }

    /// An on-demand stream for which the user asks a number of shards.
    fn refused_shards(&self, facts: &Facts, desired: &Desired) -> Option<Change> {
        let is_on_demand = desired.mode.unwrap_or(facts.mode()) == Mode::OnDemand;
        let is_asked = self.spec.properties.origin("shards") == Origin::Given;
        (is_on_demand && is_asked).then(|| Change::Refused {
            reason: "is on-demand: Kinesis decides on its shards".to_owned(),
            hint: "add --provisioned to switch it over, or leave --shard-count out".to_owned(),
        })
    }
}

impl Facts {
    /// The stream as far as it is compared with what is desired.
    fn state(&self, name: &str) -> StreamState {
        let metrics = self.monitoring.iter();
        StreamState {
            name: name.to_owned(),
            arn: self.arn.clone(),
            status: Status::Other(self.status.clone()),
            mode: self.mode(),
            open_shards: self.shards,
            retention_hours: self.retention_hours,
            encryption: self.encryption.clone(),
            monitoring: metrics
                .filter_map(|metric| ShardMetric::from_str(metric).ok())
                .collect(),
            tags: BTreeMap::new(),
            consumer_count: self.consumers,
            created: None,
            max_record_size_kib: stream::state::DEFAULT_MAX_RECORD_SIZE_KIB,
            warm_throughput_mibps: None,
            record_distribution: None,
        }
    }

    /// A difference as a change of the plan.
    fn change(&self, difference: Difference) -> Change {
        let unknown = self
            .key_is_unknown
            .as_ref()
            .filter(|_| difference.setting == "encryption");
        let note = unknown.map(|why| format!(" (they may be the same key: {why})"));
        Change::Update {
            field: difference.setting,
            from: difference.from,
            to: difference.to.map(|to| to + &note.unwrap_or_default()),
            loses: difference.loses,
        }
    }
}

#[async_trait]
impl Kind for Stream<'_> {
    const NOUN: &'static str = "stream";
    type Facts = Facts;

    fn check(&mut self) -> Result<()> {
        stream::check_name(&self.declared.name)?;
        self.declared.metrics = metrics(&self.declared.monitoring)?;
        Ok(())
    }

    fn name(&self) -> String {
        self.declared.name.clone()
    }

    fn arn(&self) -> String {
        self.arn_of("kinesis", &format!("stream/{}", self.declared.name))
    }

    fn summary(&self) -> String {
        let capacity = match (self.mode(), self.declared.shards) {
            (Mode::OnDemand, _) => "on-demand".to_owned(),
            (Mode::Provisioned, 1) => "1 shard".to_owned(),
            (Mode::Provisioned, shards) => format!("{shards} shards"),
        };
        format!(
            "{capacity}, {} h, encryption {}, shard metrics {}",
            self.declared.retention_hours,
            self.key().unwrap_or("none"),
            metric_names(&self.declared.metrics)
        )
    }

    async fn observe(&self) -> Result<Option<(TagMap, Facts)>> {
        let state = stream::observe(self.context, &self.declared.name).await?;
        let Some(state) = state else { return Ok(None) };
        let mut facts = Facts::of(&state);
        // One key has several names, and a stream takes 25 changes of its encryption a day.
        if let (Some(wanted), Some(there)) = (self.key(), &facts.encryption) {
            match keys::compare(self.context, wanted, there).await? {
                KeyMatch::Same => facts.is_declared_key = true,
                KeyMatch::Different => {}
                KeyMatch::Unknown(why) => facts.key_is_unknown = Some(why),
            }
        }
        Ok(Some((state.tags, facts)))
    }

    fn only_change(&self, facts: &Facts) -> Option<Change> {
        facts.is_being_deleted().then_some(Change::Create)
    }

    fn changes(&self, existing: &Existing<'_, Facts>) -> Result<Vec<Change>> {
        let facts = &existing.facts;
        let state = facts.state(&self.declared.name);
        let mut desired = self.desired(existing);
        let mut changes: Vec<Change> = self.refused_shards(facts, &desired).into_iter().collect();
        let differences = match desired.differences(&state) {
            Ok(differences) => differences,
            Err(error) => {
                let hint = error.hint_text().unwrap_or("choose another shard count");
                changes.push(Change::Refused {
                    reason: format!("cannot be resharded: {error}"),
                    hint: hint.to_owned(),
                });
                // The plan shows the others too.
                desired.shards = None;
                desired.differences(&state)?
            }
        };
        changes.extend(differences.into_iter().map(|one| facts.change(one)));
        Ok(changes)
    }

    async fn create(&self, step: &Step<'_>) -> Result<()> {
        let mut tags = self.spec.tags.all();
        // Removed at the end: a run that finds the tag knows that the rest is still to be done.
        tags.insert(UNFINISHED.to_owned(), "setup".to_owned());
        let new = NewStream {
            capacity: match self.mode() {
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
        // Some AWS-compatible endpoints ignore the tags of CreateStream. They are set at once: without them, a run after a
        // failure would refuse the stream as not ours.
        let mut untagged = new.tags;
        untagged.retain(|key, value| made.tags.get(key) != Some(value));
        if !untagged.is_empty() {
            self.apply_tags((untagged, BTreeSet::new()), step).await?;
        }
        if self.declared.retention_hours != a_day() {
            self.set_retention(step).await?;
        }
        if !self.declared.metrics.is_empty() {
            self.set_monitoring(step).await?;
        }
        if self.key().is_some() {
            self.set_encryption(step).await?;
        }
        let unfinished = BTreeSet::from([UNFINISHED.to_owned()]);
        self.apply_tags((TagMap::new(), unfinished), step).await
    }

    async fn update(&self, field: &str, _existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        match field {
            "mode" => {
                let mode = self.mode();
                let done = self.change(step, async |changer| changer.set_mode(mode).await);
                done.await.map(drop)
            }
            "shards" => {
                let shards = self.declared.shards;
                let done = self.change(step, async |changer| changer.set_shard_count(shards).await);
                done.await.map(drop)
            }
            "retention" => self.set_retention(step).await,
            "encryption" => self.set_encryption(step).await,
            "monitoring" => self.set_monitoring(step).await,
            other => Err(self.unknown_field(other)),
        }
    }

    async fn update_tags(
        &self,
        _existing: &Existing<'_, Facts>,
        changes: TagChanges,
        step: &Step<'_>,
    ) -> Result<()> {
        self.apply_tags(changes, step).await
    }

    async fn delete(&self, _existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        self.change(step, async |changer| changer.delete(true).await)
            .await
    }

    async fn dependents(&self, facts: &Facts) -> Result<Vec<String>> {
        let mut names = readers_of(self.context, &facts.arn, &self.spec).await;
        if facts.consumers == 0 {
            return Ok(names);
        }
        let call = self.context.kinesis().list_stream_consumers();
        let mut pages = call.stream_arn(&facts.arn).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = self.response("list the consumers of", page)?;
            names.extend(page.consumers().iter().map(|consumer| {
                let (name, stream) = (consumer.consumer_name(), &self.declared.name);
                format!("consumer {name} reads stream {stream} (enhanced fan-out)")
            }));
        }
        Ok(names)
    }

    async fn verify(&self, existing: &Existing<'_, Facts>, probe: bool) -> Vec<Check> {
        self.checks(existing, probe).await
    }

    fn outputs(&self, facts: Option<Facts>) -> Outputs {
        self.name_and_arn(facts.map(|facts| facts.arn))
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
                [self.arn()],
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
        // The caller needs no permission for the key that AWS manages.
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
            // Tells whether an alias and an id name the same key.
            needs.push(Statement::new(&["kms:DescribeKey"], [resource.to_owned()]));
        }
        needs
    }
}

/// The metrics in a list of names, which may be `all` or `none`.
fn metrics(names: &[String]) -> Result<BTreeSet<ShardMetric>> {
    let is = |word: &str| names.iter().any(|name| name.eq_ignore_ascii_case(word));
    if is("all") {
        return Ok(ShardMetric::all());
    }
    if is("none") {
        if names.len() == 1 {
            return Ok(BTreeSet::new());
        }
        return Err(Error::usage("monitoring has `none` together with other values")
            .hint("give `all`, `none` or the names of metrics"));
    }
    names.iter().map(|name| ShardMetric::from_str(name)).collect()
}

#[cfg(test)]
mod tests;
