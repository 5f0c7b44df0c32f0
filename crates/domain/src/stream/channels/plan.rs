//! A channel to create, and what must be true before anything is made.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::change::failed;
use super::role::{self, Role};
use super::{Channel, ChannelStatus, Compression, RecordFormat, describe, list};
use crate::context::Context;
use crate::stream::change::{AWS_MANAGED_KEY, same_key};
use crate::stream::check_name;
use crate::stream::state::{Mode, StreamState};
use ground::duration;
use ground::error::{self, Error, Result};

/// How old a record becomes before it is delivered, at most. Source: "Data delivery concepts", developer guide.
pub const FRESHNESS: RangeInclusive<Duration> = Duration::from_secs(300)..=Duration::from_secs(900);

/// What a channel does not do. Source: "Data delivery concepts" and "Delivery quotas and limits", developer guide.
pub const DOES_NOT: &str =
    "records that are already in the stream are not delivered, and records are not transformed";

/// A channel to create.
#[derive(Debug, Clone)]
pub struct NewChannel {
    /// Unique in account and region.
    pub name: String,
    /// Bucket of this account, in the region of the stream.
    pub bucket: String,
    pub format: RecordFormat,
    pub compression: Compression,
    pub freshness: Duration,
    /// `None` for AWS's default.
    pub key_template: Option<String>,
    /// `None` for the bucket itself.
    pub dead_letter_bucket: Option<String>,
    /// Customer managed KMS key of the objects.
    pub kms_key: Option<String>,
    /// Name or ARN of a role; `None` to make one.
    pub role: Option<String>,
    /// Tags of the channel, and of the role that is made for it.
    pub tags: BTreeMap<String, String>,
}

impl NewChannel {
    /// Checks what can be checked without a call.
    ///
    /// # Errors
    /// Exit 2.
    pub fn check(&self) -> Result<()> {
        check_channel_name(&self.name)?;
        for bucket in [Some(&self.bucket), self.dead_letter_bucket.as_ref()]
            .into_iter()
            .flatten()
        {
            check_bucket(bucket)?;
        }
        if !FRESHNESS.contains(&self.freshness) {
            let text = format!("{} is not a data freshness", duration::format(self.freshness));
            return Err(Error::usage(text).hint("use 5m to 15m"));
        }
        if let Some(template) = &self.key_template {
            check_template(template)?;
        }
        if self.role.is_none() {
            role::check_name(&self.name)?;
        }
        Ok(())
    }
}

/// Source: CreateChannel, `ChannelName`, Kinesis API reference.
///
/// # Errors
/// Exit 2.
fn check_channel_name(name: &str) -> Result<()> {
    check_name(name).map_err(|_| {
        Error::usage(format!("{name:?} is not a channel name"))
            .hint("use 1 to 128 letters, digits, `_`, `.` or `-`")
    })
}

/// Source: `BucketARN` of S3StorageConfiguration, Kinesis API reference.
fn check_bucket(name: &str) -> Result<()> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    if (3..=63).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(Error::usage(format!("{name:?} is not a bucket name"))
        .hint("give the name of a bucket, not its URL or ARN"))
}

/// Variables of a key template. Source: "S3 output key template for Amazon S3 delivery", developer guide.
const VARIABLES: [&str; 8] = [
    "channel-name",
    "channel-id",
    "yyyy",
    "MM",
    "dd",
    "HH",
    "mm",
    "extension",
];

fn check_template(template: &str) -> Result<()> {
    let invalid = |why: String| {
        Err(Error::usage(format!("the key template is not valid: {why}"))
            .hint(format!("variables are !{{{}}}", VARIABLES.join("}, !{"))))
    };
    // Source: `OutputKeyTemplate`, Kinesis API reference.
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!-_'.*()/=:{}".contains(&b);
    if template.is_empty() || template.len() > 1024 || !template.bytes().all(allowed) {
        return invalid("it needs 1 to 1,024 letters, digits and ! - _ ' . * ( ) / = : { }".to_owned());
    }
    let mut rest = template;
    while let Some((_, after)) = rest.split_once("!{") {
        match after.split_once('}') {
            Some((name, after)) if VARIABLES.contains(&name) => rest = after,
            Some((name, _)) => return invalid(format!("!{{{name}}} is not a variable")),
            None => return invalid("a variable has no closing brace".to_owned()),
        }
    }
    Ok(())
}

/// What creating a channel does.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(super) stream_arn: String,
    pub account: String,
    pub role: Role,
    /// A channel that has these settings already.
    pub existing: Option<Channel>,
}

/// Checks that the channel can be created, before anything is made.
///
/// # Errors
/// Exit 2 when `new` is invalid; exit 1 when the stream, a bucket or the role does not fit, or the stream has a channel.
pub async fn plan(ctx: &Context, stream: &StreamState, new: &NewChannel) -> Result<Plan> {
    new.check()?;
    check_stream(stream)?;
    let existing = existing(ctx, stream, new).await?;
    if existing.is_none() {
        check_bucket_place(ctx, &new.bucket).await?;
        if let Some(bucket) = &new.dead_letter_bucket {
            check_bucket_place(ctx, bucket).await?;
        }
    }
    let account = ctx.account().await?.to_owned();
    Ok(Plan {
        stream_arn: stream.arn.clone(),
        role: role::plan(ctx, &account, new).await?,
        account,
        existing,
    })
}

fn check_stream(stream: &StreamState) -> Result<()> {
    let name = &stream.name;
    if stream.mode != Mode::OnDemand {
        return Err(Error::failed(format!(
            "stream {name} is in provisioned mode, and channels read on-demand streams only"
        ))
        .hint(format!(
            "`streamctl mode {name} on-demand --dry-run` shows what the switch costs"
        )));
    }
    // Source: "Access control for streaming tables and Amazon S3 delivery", developer guide.
    if stream
        .encryption
        .as_deref()
        .is_some_and(|key| same_key(key, AWS_MANAGED_KEY))
    {
        return Err(Error::failed(format!(
            "stream {name} is encrypted with {AWS_MANAGED_KEY}, and channels need a customer managed key"
        ))
        .hint(format!("`streamctl encrypt {name} --key KEY` changes the key")));
    }
    Ok(())
}

/// The channel of this name, if it has these settings already.
async fn existing(ctx: &Context, stream: &StreamState, new: &NewChannel) -> Result<Option<Channel>> {
    let all = list(ctx, Some(&stream.arn)).await?;
    let Some(found) = all.iter().find(|channel| channel.destination == "S3") else {
        return Ok(None);
    };
    let hint = format!(
        "`streamctl channel delete {} --name {}` deletes it",
        stream.name, found.name
    );
    if found.name != new.name {
        let text = format!(
            "stream {} already has the channel {}, and can have only one channel to a bucket",
            stream.name, found.name
        );
        return Err(Error::failed(text).hint(hint));
    }
    let Some(channel) = describe(ctx, &found.arn).await? else {
        return Ok(None);
    };
    if channel.status == ChannelStatus::Failed {
        return Err(failed(&stream.name, &channel));
    }
    let other = differences(&channel, new);
    if other.is_empty() {
        return Ok(Some(channel));
    }
    Err(Error::failed(format!(
        "channel {} exists with another {}, which cannot be changed",
        new.name,
        other.join(" and another ")
    ))
    .hint(format!("{hint}; then create it again")))
}

fn differences(channel: &Channel, new: &NewChannel) -> Vec<&'static str> {
    let freshness = channel
        .freshness_seconds
        .and_then(|seconds| u64::try_from(seconds).ok());
    let dead_letters = new.dead_letter_bucket.as_ref().unwrap_or(&new.bucket);
    let template = new
        .key_template
        .as_ref()
        .is_none_or(|wanted| channel.key_template.as_ref() == Some(wanted));
    [
        ("bucket", channel.to == new.bucket),
        ("format", channel.format.as_deref() == Some(new.format.wire())),
        (
            "compression",
            channel.compression.as_deref() == Some(new.compression.wire()),
        ),
        ("data freshness", freshness == Some(new.freshness.as_secs())),
        ("key template", template),
        ("KMS key", channel.kms_key == new.kms_key),
        (
            "dead letter bucket",
            channel
                .dead_letters
                .as_ref()
                .is_some_and(|there| there.split('/').next() == Some(dead_letters)),
        ),
    ]
    .into_iter()
    .filter_map(|(name, is_same)| (!is_same).then_some(name))
    .collect()
}

/// Checks that a bucket exists, and in the region of the stream.
async fn check_bucket_place(ctx: &Context, bucket: &str) -> Result<()> {
    let region = ctx.region();
    let elsewhere = |found: &str| {
        Err(Error::failed(format!(
            "bucket {bucket} is in {found}, and a channel delivers in the region of its stream, {region}"
        ))
        .hint(format!(
            "create a bucket with `aws s3 mb s3://NAME --region {region}`"
        )))
    };
    match ctx.s3().head_bucket().bucket(bucket).send().await {
        Ok(answer) => match answer.bucket_region() {
            Some(found) if found != region => elsewhere(found),
            _ => Ok(()),
        },
        // A response to HEAD has no body, hence no code.
        Err(error) => {
            let answer = error.raw_response();
            let found = answer.and_then(|answer| answer.headers().get("x-amz-bucket-region"));
            match answer.map(|answer| answer.status().as_u16()) {
                Some(404) => Err(
                    Error::failed(format!("there is no bucket {bucket}")).hint(format!(
                        "create it with `aws s3 mb s3://{bucket} --region {region}`"
                    )),
                ),
                Some(301 | 400) => elsewhere(found.unwrap_or("another region")),
                _ => Err(error::aws::failed(
                    format!("could not look at bucket {bucket}"),
                    error,
                )),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new() -> NewChannel {
        NewChannel {
            name: "orders".to_owned(),
            bucket: "lake".to_owned(),
            format: RecordFormat::Json,
            compression: Compression::Gzip,
            freshness: Duration::from_secs(300),
            key_template: None,
            dead_letter_bucket: None,
            kms_key: None,
            role: None,
            tags: BTreeMap::new(),
        }
    }

    #[test]
    fn what_no_channel_can_be_is_refused_before_the_first_call() {
        assert!(new().check().is_ok());
        type Edit = fn(&mut NewChannel);
        let wrong: [Edit; 9] = [
            |new| new.name = "a b".to_owned(),
            |new| new.name = "x".repeat(60),
            |new| new.bucket = "s3://lake".to_owned(),
            |new| new.dead_letter_bucket = Some("Lake".to_owned()),
            |new| new.freshness = Duration::from_secs(299),
            |new| new.freshness = Duration::from_secs(901),
            |new| new.key_template = Some("a b".to_owned()),
            |new| new.key_template = Some("!{shard}".to_owned()),
            |new| new.key_template = Some("!{yyyy".to_owned()),
        ];
        for (index, edit) in wrong.into_iter().enumerate() {
            let mut channel = new();
            edit(&mut channel);
            let error = channel.check().expect_err(&index.to_string());
            assert_eq!(error.exit(), ground::exit::Exit::Usage, "{index}");
        }
        let mut named = new();
        named.name = "x".repeat(128);
        named.role = Some("writer".to_owned());
        named.key_template = Some("dt=!{yyyy}-!{MM}/!{channel-id}!{extension}".to_owned());
        assert!(named.check().is_ok());
    }
}
