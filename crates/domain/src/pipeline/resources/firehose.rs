//! `firehose`: a Firehose stream, which collects the records of a Kinesis stream, or direct puts, and writes them to a bucket.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_firehose::types as sdk;
use serde::{Deserialize, Serialize};

use super::common::{self, is_known, on_off, sdk_tags};
use super::kind::{Existing, Kind, Managed, TagMap};
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::resource::{Change, Check, CheckState, Outputs, UNKNOWN};
use ground::error::Result;

mod calls;
mod partitioning;
mod wanted;

/// Defaults. Source: `BufferingHints`, Amazon Data Firehose API reference.
const BUFFER_MB: u32 = 5;
const BUFFER_SECONDS: u32 = 300;
/// With dynamic partitioning. Firehose refuses less than [`partitioning::LEAST_MB`].
const PARTITIONED_MB: u32 = 128;
/// The log stream of errors, as AWS's console names it.
const LOG_STREAM: &str = "DestinationDelivery";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Declared {
    name: String,
    /// The ARN of the Kinesis stream that it reads; without it, records are put directly.
    stream: Option<String>,
    /// The name of the bucket.
    bucket: String,
    /// The ARN of the role that reads the stream and writes the objects.
    role: String,
    prefix: Option<String>,
    error_prefix: Option<String>,
    buffer_mb: Option<u32>,
    buffer_seconds: Option<u32>,
    compression: Option<Compression>,
    file_extension: Option<String>,
    /// Such as `Asia/Tokyo`; UTC by default.
    time_zone: Option<String>,
    /// Whether a line feed ends each record.
    newline: Option<bool>,
    /// The ARN of a function that transforms the records.
    transform: Option<String>,
    /// For each partition key, the jq expression that takes it out of a record. The prefix has each key.
    partition_keys: Option<BTreeMap<String, String>>,
    /// How long an object of a partition is tried again.
    partition_retry_seconds: Option<u32>,
    /// Which records are in a record.
    deaggregate: Option<partitioning::Deaggregate>,
    /// The ARN of the KMS key of the objects.
    kms_key: Option<String>,
    /// The log group of errors.
    log_group: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Compression {
    None,
    Gzip,
    Zip,
    Snappy,
    HadoopSnappy,
}

impl Compression {
    const fn format(self) -> &'static str {
        match self {
            Self::None => "UNCOMPRESSED",
            Self::Gzip => "GZIP",
            Self::Zip => "ZIP",
            Self::Snappy => "Snappy",
            Self::HadoopSnappy => "HADOOP_SNAPPY",
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Facts {
    arn: String,
    status: String,
    /// Why it could not be created.
    failure: Option<String>,
    /// The ARN of the source stream.
    stream: Option<String>,
    role: String,
    bucket_arn: String,
    prefix: String,
    error_prefix: String,
    buffer_mb: u32,
    buffer_seconds: u32,
    /// As the API writes it.
    compression: String,
    file_extension: String,
    time_zone: String,
    newline: bool,
    transform: Option<String>,
    /// Dynamic partitioning is enabled.
    #[serde(default)]
    partitioned: bool,
    #[serde(default)]
    retry_seconds: u32,
    /// The query of the partition keys.
    #[serde(default)]
    query: Option<String>,
    #[serde(default)]
    deaggregate: Option<String>,
    kms_key: Option<String>,
    log_group: Option<String>,
}

type Hose<'a> = Managed<'a, Declared>;

/// Text, or a word for none.
fn shown(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

impl Hose<'_> {
    fn bucket_arn(&self) -> String {
        format!("arn:{}:s3:::{}", self.location.partition, self.declared.bucket)
    }

    fn buffer(&self, there: Option<&Facts>) -> (u32, u32) {
        let default_mb = if self.is_partitioned() {
            PARTITIONED_MB
        } else {
            BUFFER_MB
        };
        let (mb, seconds) = there.map_or((default_mb, BUFFER_SECONDS), |there| {
            (there.buffer_mb, there.buffer_seconds)
        });
        (
            self.declared.buffer_mb.unwrap_or(mb),
            self.declared.buffer_seconds.unwrap_or(seconds),
        )
    }

    /// Differences of the properties that are texts, as `field`, what is there and what is declared.
    fn text_changes(&self, existing: &Existing<'_, Facts>) -> Vec<Change> {
        let (declared, facts) = (&self.declared, &existing.facts);
        let none = String::new();
        let format = declared.compression.map(|one| one.format().to_owned());
        let kms_key = facts.kms_key.as_ref().unwrap_or(&none);
        let log_group = facts.log_group.as_ref().unwrap_or(&none);
        [
            ("prefix", "prefix", &declared.prefix, &facts.prefix),
            (
                "error_prefix",
                "error prefix",
                &declared.error_prefix,
                &facts.error_prefix,
            ),
            ("compression", "compression", &format, &facts.compression),
            (
                "file_extension",
                "file extension",
                &declared.file_extension,
                &facts.file_extension,
            ),
            ("time_zone", "time zone", &declared.time_zone, &facts.time_zone),
            ("kms_key", "encryption", &declared.kms_key, kms_key),
            ("log_group", "log group", &declared.log_group, log_group),
        ]
        .into_iter()
        .filter(|(key, ..)| self.enforced(key, existing))
        .filter_map(|(_, field, wanted, there)| {
            let wanted = wanted
                .as_ref()
                .filter(|wanted| *wanted != there && is_known(wanted))?;
            Some(Change::update(field, shown(there), shown(wanted)))
        })
        .collect()
    }

    fn refused(&self, facts: &Facts) -> Option<Change> {
        let wanted = self.declared.stream.as_ref();
        if wanted.is_none_or(|wanted| is_known(wanted)) && wanted != facts.stream.as_ref() {
            let source = |stream: Option<&String>| stream.map_or("direct puts", String::as_str).to_owned();
            return Some(Change::Refused {
                reason: format!(
                    "has another source, which cannot be changed: {} instead of {}",
                    source(facts.stream.as_ref()),
                    source(wanted)
                ),
                hint: "choose another name, or destroy the pipeline first".to_owned(),
            });
        }
        if let Some(refused) = self.partitioning_refused(facts) {
            return Some(refused);
        }
        facts.status.ends_with("_FAILED").then(|| Change::Refused {
            reason: format!(
                "is {}: {}",
                facts.status,
                facts.failure.as_deref().unwrap_or("Firehose does not say why")
            ),
            hint: "destroy the pipeline, then set it up again".to_owned(),
        })
    }
}

#[async_trait]
impl Kind for Hose<'_> {
    const NOUN: &'static str = "Firehose stream";
    type Facts = Facts;

    /// Source: CreateDeliveryStream, `BufferingHints` and `ExtendedS3DestinationConfiguration`, Amazon Data Firehose API
    /// reference; "Understand custom prefixes for Amazon S3 objects", developer guide.
    fn check(&mut self) -> Result<()> {
        let declared = &self.declared;
        common::check_name("Firehose stream", &declared.name, (1, 64), "_.-")?;
        let (mb, seconds) = self.buffer(None);
        if !(1..=128).contains(&mb) {
            return Err(self.bad_property(&format!("buffer_mb must be from 1 to 128, not {mb}")));
        }
        if seconds > 900 {
            return Err(self.bad_property(&format!("buffer_seconds must be from 0 to 900, not {seconds}")));
        }
        let has_expressions = |text: &Option<String>| text.as_ref().is_some_and(|text| text.contains("!{"));
        let error_prefix = declared.error_prefix.as_deref().unwrap_or_default();
        if has_expressions(&declared.prefix) && error_prefix.is_empty() {
            return Err(self.bad_property("a prefix with expressions needs an error_prefix"));
        }
        if has_expressions(&declared.error_prefix) && !error_prefix.contains("!{firehose:error-output-type}")
        {
            return Err(
                self.bad_property("an error_prefix with expressions must have !{firehose:error-output-type}")
            );
        }
        self.check_partitioning((mb, seconds))?;
        let extension = declared.file_extension.as_deref().unwrap_or_default();
        if !extension.is_empty() && !extension.starts_with('.') {
            return Err(self.bad_property(&format!(
                "file_extension must begin with a dot, not {extension:?}"
            )));
        }
        Ok(())
    }

    fn name(&self) -> String {
        self.declared.name.clone()
    }

    fn arn(&self) -> String {
        self.arn_of("firehose", &format!("deliverystream/{}", self.declared.name))
    }

    fn summary(&self) -> String {
        let (mb, seconds) = self.buffer(None);
        let source = match &self.declared.stream {
            Some(_) => "reads a stream",
            None => "direct puts",
        };
        let keys = self.declared.partition_keys.iter().flat_map(BTreeMap::keys);
        let keys: Vec<&str> = keys.map(String::as_str).collect();
        let partitioned = match keys.is_empty() {
            true => String::new(),
            false => format!(", partitioned by {}", keys.join(", ")),
        };
        format!(
            "{source}, buffers {mb} MB or {seconds} s, to {}{partitioned}",
            self.declared.bucket
        )
    }

    async fn observe(&self) -> Result<Option<(TagMap, Facts)>> {
        self.observe_hose().await
    }

    fn only_change(&self, facts: &Facts) -> Option<Change> {
        if facts.status == "DELETING" {
            return Some(Change::Create);
        }
        self.refused(facts)
    }

    fn changes(&self, existing: &Existing<'_, Facts>) -> Result<Vec<Change>> {
        let (declared, facts) = (&self.declared, &existing.facts);
        let mut changes = Vec::new();
        if facts.status == "CREATING" {
            changes.push(Change::update("status", "CREATING", "ACTIVE"));
        }
        if is_known(&declared.role) && declared.role != facts.role {
            changes.push(Change::update("role", &facts.role, &declared.role));
        }
        if is_known(&declared.bucket) && self.bucket_arn() != facts.bucket_arn {
            changes.push(Change::update("bucket", &facts.bucket_arn, self.bucket_arn()));
        }
        let (mb, seconds) = self.buffer(Some(facts));
        let is_enforced = self.enforced("buffer_mb", existing) || self.enforced("buffer_seconds", existing);
        if is_enforced && (mb, seconds) != (facts.buffer_mb, facts.buffer_seconds) {
            let words = |mb: u32, seconds: u32| format!("{mb} MB or {seconds} s");
            let there = words(facts.buffer_mb, facts.buffer_seconds);
            changes.push(Change::update("buffer", there, words(mb, seconds)));
        }
        changes.extend(self.text_changes(existing));
        if let Some(newline) = declared.newline.filter(|_| self.enforced("newline", existing))
            && newline != facts.newline
        {
            changes.push(Change::update("newline", on_off(facts.newline), on_off(newline)));
        }
        if let Some(function) = declared
            .transform
            .as_deref()
            .filter(|_| self.enforced("transform", existing))
            .filter(|function| is_known(function))
        {
            let there = facts.transform.as_deref().unwrap_or_default();
            if there != function {
                changes.push(Change::update("transform", shown(there), shown(function)));
            }
        }
        changes.extend(self.partitioning_changes(existing));
        Ok(changes)
    }

    async fn create(&self, step: &Step<'_>) -> Result<()> {
        self.create_hose(step).await
    }

    async fn recreate(&self, _deleting: &Facts, step: &Step<'_>) -> Result<()> {
        self.until_gone(step).await?;
        self.create_hose(step).await
    }

    async fn update(&self, field: &str, existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        if field == "status" {
            return self.until_active(step).await;
        }
        step.doing(format!("setting {field}"));
        self.update_hose(field, &existing.facts, step).await
    }

    async fn tag(&self, _target: &str, tags: TagMap) -> Result<()> {
        let call = self.context.firehose().tag_delivery_stream();
        let call = call.delivery_stream_name(&self.declared.name);
        let call = call.set_tags(Some(sdk_tags!(sdk::Tag, tags)?));
        self.response("tag", call.send().await).map(drop)
    }

    async fn untag(&self, _target: &str, keys: Vec<String>) -> Result<()> {
        let call = self.context.firehose().untag_delivery_stream();
        let call = call.delivery_stream_name(&self.declared.name);
        self.response("untag", call.set_tag_keys(Some(keys)).send().await)
            .map(drop)
    }

    async fn delete(&self, existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        if existing.facts.status == "CREATING" {
            self.until_active(step).await?;
        }
        step.doing("deleting");
        let call = self.context.firehose().delete_delivery_stream();
        let call = call.delivery_stream_name(&self.declared.name);
        self.response_if_exists("delete", call.send().await)?;
        self.until_gone(step).await
    }

    async fn verify(&self, existing: &Existing<'_, Facts>, _probe: bool) -> Vec<Check> {
        const CHECK: &str = "described";
        let facts = &existing.facts;
        if facts.status != "ACTIVE" {
            return vec![Check::new(
                CheckState::Fault,
                CHECK,
                format!("is {}", facts.status),
            )];
        }
        let source = facts
            .stream
            .as_ref()
            .map_or("direct puts", |_| "reads its stream");
        let partitioned = if facts.partitioned { ", partitioned" } else { "" };
        let words = format!(
            "{source}, buffers {} MB or {} s, to {}{partitioned}",
            facts.buffer_mb, facts.buffer_seconds, facts.bucket_arn
        );
        vec![Check::new(CheckState::Good, CHECK, words)]
    }

    fn outputs(&self, facts: Option<Facts>) -> Outputs {
        self.name_and_arn(facts.map(|facts| facts.arn))
    }

    /// Source: "Actions, resources, and condition keys for Amazon Kinesis Firehose", service authorization reference.
    fn iam(&self) -> Vec<Statement> {
        let role = match self.declared.role.as_str() {
            UNKNOWN => "*",
            arn => arn,
        };
        let mut needs = vec![
            Statement::new(
                &[
                    "firehose:CreateDeliveryStream",
                    "firehose:DeleteDeliveryStream",
                    "firehose:DescribeDeliveryStream",
                    "firehose:ListTagsForDeliveryStream",
                    "firehose:TagDeliveryStream",
                    "firehose:UntagDeliveryStream",
                    "firehose:UpdateDestination",
                ],
                [self.arn()],
            ),
            Statement::new(&["iam:PassRole"], [role.to_owned()]).only_if(
                "StringEquals",
                "iam:PassedToService",
                "firehose.amazonaws.com",
            ),
        ];
        let is_named = |group: &&String| !group.is_empty() && is_known(group);
        if let Some(group) = self.declared.log_group.as_ref().filter(is_named) {
            let stream = self.arn_of("logs", &format!("log-group:{group}:log-stream:{LOG_STREAM}"));
            needs.push(Statement::new(&["logs:CreateLogStream"], [stream]));
        }
        needs
    }
}

#[cfg(test)]
mod tests;
