//! `channel`: a Kinesis channel, which delivers the records of an on-demand stream to a bucket, without a consumer.

use std::time::Duration;

use async_trait::async_trait;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde::{Deserialize, Serialize};

use super::common::{Wait, is_known, outputs};
use super::kind::{Existing, Kind, Managed, TagMap};
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::resource::{Change, Check, CheckState, Outputs, UNKNOWN};
use crate::stream::channels::{
    Channel, ChannelStatus, Compression, FRESHNESS, NewChannel, RecordFormat, creation, describe, list,
    update,
};
use ground::error::{self, Error, Result};

/// How long a role or its permissions may not be visible to Kinesis yet.
const LAG: Duration = Duration::from_secs(120);
/// How long Kinesis may take until a channel is ACTIVE, or gone.
const TRANSITION: Duration = Duration::from_secs(900);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Declared {
    /// Unique in account and region.
    name: String,
    /// The ARN of the on-demand stream.
    stream: String,
    /// The name of the bucket, in the region of the stream.
    bucket: String,
    /// The ARN of the role that writes the objects.
    role: String,
    /// `json` (the default), `string` or `bytes`.
    format: Option<String>,
    /// `gzip` (the default), `none` or `zstd`.
    compression: Option<String>,
    /// How old a record becomes before it is delivered: 300 to 900.
    freshness_seconds: Option<u64>,
    key_template: Option<String>,
    /// The bucket of records that cannot be delivered; the same bucket by default.
    dead_letter_bucket: Option<String>,
    /// Customer managed KMS key of the objects.
    kms_key: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Facts {
    arn: String,
    status: String,
    /// Why it is FAILED.
    failure: Option<String>,
    stream: String,
    bucket: String,
    role: String,
    format: String,
    compression: String,
    freshness_seconds: u64,
    key_template: String,
    dead_letter_bucket: String,
    kms_key: String,
}

impl From<Channel> for Facts {
    fn from(found: Channel) -> Self {
        let freshness = found.freshness_seconds.map(u64::try_from);
        let dead = found.dead_letters.unwrap_or_default();
        Self {
            arn: found.arn,
            status: found.status.to_string(),
            failure: found.reason,
            stream: found.stream_arn,
            bucket: found.to,
            role: found.role,
            format: found.format.unwrap_or_default(),
            compression: found.compression.unwrap_or_default(),
            freshness_seconds: freshness.and_then(|seconds| seconds.ok()).unwrap_or_default(),
            key_template: found.key_template.unwrap_or_default(),
            dead_letter_bucket: dead.split('/').next().unwrap_or_default().to_owned(),
            kms_key: found.kms_key.unwrap_or_default(),
        }
    }
}

type KinesisChannel<'a> = Managed<'a, Declared>;

impl KinesisChannel<'_> {
    fn format(&self) -> Result<RecordFormat> {
        self.declared.format.as_deref().unwrap_or("json").parse()
    }

    fn compression(&self) -> Result<Compression> {
        self.declared.compression.as_deref().unwrap_or("gzip").parse()
    }

    fn freshness(&self) -> Duration {
        let seconds = self.declared.freshness_seconds.map(Duration::from_secs);
        seconds.unwrap_or(*FRESHNESS.start())
    }

    fn wanted(&self) -> Result<NewChannel> {
        let declared = &self.declared;
        Ok(NewChannel {
            name: declared.name.clone(),
            bucket: declared.bucket.clone(),
            format: self.format()?,
            compression: self.compression()?,
            freshness: self.freshness(),
            key_template: declared.key_template.clone(),
            dead_letter_bucket: declared.dead_letter_bucket.clone(),
            kms_key: declared.kms_key.clone(),
            role: Some(declared.role.clone()),
            tags: self.spec.tags.all().clone().into_iter().collect(),
        })
    }

    /// What differs and cannot be changed.
    fn fixed(&self, there: &Facts) -> Option<String> {
        let declared = &self.declared;
        let format = declared.format.as_ref().and_then(|_| self.format().ok());
        let compression = declared
            .compression
            .as_ref()
            .and_then(|_| self.compression().ok());
        let given = |value: &Option<String>| value.clone().filter(|value| is_known(value));
        let known = |value: &String| Some(value.clone()).filter(|value| is_known(value));
        [
            ("stream", known(&declared.stream), &there.stream),
            ("bucket", known(&declared.bucket), &there.bucket),
            ("role", known(&declared.role), &there.role),
            ("format", format.map(|one| one.wire().to_owned()), &there.format),
            (
                "compression",
                compression.map(|one| one.wire().to_owned()),
                &there.compression,
            ),
            ("key template", given(&declared.key_template), &there.key_template),
            (
                "dead letter bucket",
                given(&declared.dead_letter_bucket),
                &there.dead_letter_bucket,
            ),
            ("KMS key", given(&declared.kms_key), &there.kms_key),
        ]
        .into_iter()
        .find_map(|(what, wanted, there)| {
            let wanted = wanted.filter(|wanted| wanted != there)?;
            Some(format!(
                "has another {what}, which cannot be changed: {there} instead of {wanted}"
            ))
        })
    }

    async fn found(&self) -> Result<Option<Channel>> {
        let all = list(self.context, None).await?;
        match all.into_iter().find(|channel| channel.name == self.declared.name) {
            Some(channel) => describe(self.context, &channel.arn).await,
            None => Ok(None),
        }
    }

    /// Waits until `judge` accepts the status; `None` is a channel that does not exist.
    async fn until(
        &self,
        step: &Step<'_>,
        (action, waiting): (&str, &str),
        judge: impl Fn(Option<&Channel>) -> bool + Send,
    ) -> Result<()> {
        let mut wait = Wait::new(TRANSITION);
        loop {
            let found = self.found().await?;
            if judge(found.as_ref()) {
                return Ok(());
            }
            if let Some(failed) = found.filter(|found| found.status == ChannelStatus::Failed) {
                let reason = failed
                    .reason
                    .unwrap_or_else(|| "Kinesis does not say why".to_owned());
                return Err(Error::failed(self.failure(action)).cause(format!("it is FAILED: {reason}")));
            }
            if !wait.pause(step, waiting).await? {
                return Err(Error::failed(self.failure(action)).cause("it took more than 15 minutes"));
            }
        }
    }

    async fn until_active(&self, step: &Step<'_>, action: &str) -> Result<()> {
        let is_active =
            |found: Option<&Channel>| found.is_some_and(|one| one.status == ChannelStatus::Active);
        self.until(step, (action, "it is not ACTIVE yet"), is_active)
            .await
    }
}

/// Whether a call may have been refused only because the role or its permissions are not visible yet.
fn is_lag(error: &impl ProvideErrorMetadata) -> bool {
    let about_role = error.message().is_some_and(|text| text.contains("role"));
    matches!(
        error.code(),
        Some("AccessDeniedException" | "InvalidArgumentException" | "ValidationException")
    ) && about_role
}

#[async_trait]
impl Kind for KinesisChannel<'_> {
    const NOUN: &'static str = "channel";
    type Facts = Facts;

    fn check(&mut self) -> Result<()> {
        let wanted = self
            .wanted()
            .map_err(|error| self.bad_property(&error.to_string()))?;
        let mut known = wanted.clone();
        // What is not known yet is checked by the resource that it is of.
        for (value, example) in [(&mut known.bucket, "bucket"), (&mut known.name, "name")] {
            if !is_known(value) {
                example.clone_into(value);
            }
        }
        known.dead_letter_bucket = known.dead_letter_bucket.filter(|bucket| is_known(bucket));
        known
            .check()
            .map_err(|error| self.bad_property(&error.to_string()))
    }

    fn name(&self) -> String {
        self.declared.name.clone()
    }

    fn summary(&self) -> String {
        format!(
            "to {}, after {} s, {}",
            self.declared.bucket,
            self.freshness().as_secs(),
            self.declared.compression.as_deref().unwrap_or("gzip")
        )
    }

    async fn observe(&self) -> Result<Option<(TagMap, Facts)>> {
        let Some(found) = self.found().await? else {
            return Ok(None);
        };
        let call = self.context.kinesis().list_tags_for_resource();
        let call = call.resource_arn(&found.arn);
        let answer = self.response_if_exists("list the tags of", call.send().await)?;
        Ok(answer.map(|answer| {
            let tags = answer.tags.unwrap_or_default().into_iter();
            let tags = tags.map(|tag| (tag.key, tag.value.unwrap_or_default()));
            (tags.collect(), found.into())
        }))
    }

    fn only_change(&self, facts: &Facts) -> Option<Change> {
        if facts.status == "DELETING" {
            return Some(Change::Create);
        }
        let failed = || {
            (facts.status == "FAILED").then(|| {
                format!(
                    "is FAILED: {}",
                    facts.failure.as_deref().unwrap_or("Kinesis does not say why")
                )
            })
        };
        let reason = failed().or_else(|| self.fixed(facts))?;
        Some(Change::Refused {
            reason,
            hint: "destroy the pipeline, then set it up again".to_owned(),
        })
    }

    fn changes(&self, existing: &Existing<'_, Facts>) -> Result<Vec<Change>> {
        let facts = &existing.facts;
        let mut changes = Vec::new();
        if matches!(facts.status.as_str(), "CREATING" | "UPDATING") {
            changes.push(Change::update("status", &facts.status, "ACTIVE"));
        }
        let wanted = self.freshness().as_secs();
        if self.enforced("freshness_seconds", existing) && wanted != facts.freshness_seconds {
            let words = |seconds: u64| format!("{seconds} s");
            changes.push(Change::update(
                "freshness",
                words(facts.freshness_seconds),
                words(wanted),
            ));
        }
        Ok(changes)
    }

    async fn create(&self, step: &Step<'_>) -> Result<()> {
        step.doing("creating");
        let (account, declared) = (&self.location.account, &self.declared);
        let call = creation(
            self.context,
            account,
            &declared.stream,
            &self.wanted()?,
            &declared.role,
        )?;
        let mut wait = Wait::new(LAG);
        loop {
            match call.clone().send().await {
                Err(error)
                    if is_lag(&error) && wait.pause(step, "Kinesis does not see the role yet").await? => {}
                // An earlier attempt was accepted and its answer lost: what is there is compared on the next run.
                answer => {
                    self.response("create", answer)?;
                    break;
                }
            }
        }
        step.touched();
        self.until_active(step, "create").await
    }

    async fn recreate(&self, _deleting: &Facts, step: &Step<'_>) -> Result<()> {
        let is_gone = |found: Option<&Channel>| found.is_none();
        self.until(step, ("delete", "it is being deleted"), is_gone)
            .await?;
        self.create(step).await
    }

    async fn update(&self, field: &str, _existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        if field == "status" {
            return self.until_active(step, "change").await;
        }
        step.doing("setting the freshness");
        let Some(found) = self.found().await? else {
            return Err(Error::failed(self.failure("change")).cause("it does not exist any more"));
        };
        let call = update(self.context, &found, self.freshness())?;
        self.response("change", call.send().await)?;
        self.until_active(step, "change").await
    }

    fn tag_target(&self, facts: &Facts) -> String {
        facts.arn.clone()
    }

    async fn tag(&self, target: &str, tags: TagMap) -> Result<()> {
        let call = self.context.kinesis().tag_resource().resource_arn(target);
        let call = call.set_tags(Some(tags.into_iter().collect()));
        self.response("tag", call.send().await).map(drop)
    }

    async fn untag(&self, target: &str, keys: Vec<String>) -> Result<()> {
        let call = self.context.kinesis().untag_resource().resource_arn(target);
        self.response("untag", call.set_tag_keys(Some(keys)).send().await)
            .map(drop)
    }

    async fn delete(&self, existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        step.doing("deleting");
        let call = self.context.kinesis().delete_channel();
        let call = call.channel_arn(&existing.facts.arn);
        match call.send().await {
            Err(error) if error::aws::is_not_found(&error) => {}
            answer => drop(self.response("delete", answer)?),
        }
        let is_gone = |found: Option<&Channel>| found.is_none();
        self.until(step, ("delete", "it is being deleted"), is_gone).await
    }

    async fn verify(&self, existing: &Existing<'_, Facts>, _probe: bool) -> Vec<Check> {
        const CHECK: &str = "described";
        let facts = &existing.facts;
        if facts.status != "ACTIVE" {
            let why = facts
                .failure
                .as_ref()
                .map_or_else(String::new, |why| format!(": {why}"));
            return vec![Check::new(
                CheckState::Fault,
                CHECK,
                format!("is {}{why}", facts.status),
            )];
        }
        let words = format!(
            "delivers to {} within {} s, {} {}",
            facts.bucket, facts.freshness_seconds, facts.format, facts.compression
        );
        vec![Check::new(CheckState::Good, CHECK, words)]
    }

    fn outputs(&self, facts: Option<Facts>) -> Outputs {
        outputs([
            ("name", self.name()),
            ("arn", facts.map_or_else(|| UNKNOWN.to_owned(), |facts| facts.arn)),
        ])
    }

    /// Source: "Actions, resources, and condition keys for Amazon Kinesis Data Streams", service authorization reference.
    fn iam(&self) -> Vec<Statement> {
        let role = match self.declared.role.as_str() {
            UNKNOWN => "*",
            arn => arn,
        };
        let stream = match self.declared.stream.as_str() {
            UNKNOWN => self.arn_of("kinesis", "stream/*"),
            arn => arn.to_owned(),
        };
        vec![
            Statement::new(&["kinesis:ListChannels"], ["*".to_owned()]),
            Statement::new(
                &[
                    "kinesis:CreateChannel",
                    "kinesis:DeleteChannel",
                    "kinesis:DescribeChannel",
                    "kinesis:ListTagsForResource",
                    "kinesis:TagResource",
                    "kinesis:UntagResource",
                    "kinesis:UpdateChannel",
                ],
                [self.arn_of("kinesis", "channel/*"), stream],
            ),
            Statement::new(&["iam:PassRole"], [role.to_owned()]).only_if(
                "StringEquals",
                "iam:PassedToService",
                "kinesis.amazonaws.com",
            ),
        ]
    }
}

#[cfg(test)]
mod tests;
