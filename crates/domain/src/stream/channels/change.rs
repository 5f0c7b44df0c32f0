//! Creating, updating and deleting a channel, and waiting for each.

use std::time::Duration;

use aws_sdk_kinesis::operation::create_channel::builders::CreateChannelFluentBuilder;
use aws_sdk_kinesis::operation::update_channel::builders::UpdateChannelFluentBuilder;
use aws_sdk_kinesis::types as sdk;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use tokio::time::Instant;

use super::{Channel, ChannelStatus, NewChannel, Plan, built, describe, list, no_channel, role};
use crate::context::Context;
use crate::stream::change::Changer;
use crate::stream::wait;
use ground::error::{self, Error, Result};

pub(super) fn failed(stream: &str, channel: &Channel) -> Error {
    let reason = channel
        .reason
        .clone()
        .unwrap_or_else(|| "the service gives no reason".to_owned());
    Error::failed(format!("channel {} is FAILED and delivers nothing", channel.name))
        .cause(reason)
        .hint(format!(
            "correct the cause, delete it with `streamctl channel delete {stream} --name {}`, and create it again",
            channel.name
        ))
}

impl Changer<'_> {
    /// Creates the channel as planned, with its role, and waits until it is ACTIVE.
    ///
    /// # Errors
    /// Exit 1 when a call fails or the channel is FAILED.
    pub async fn create_channel(&self, plan: &Plan, new: &NewChannel) -> Result<Channel> {
        let deadline = self.deadline();
        let arn = match &plan.existing {
            Some(channel) => channel.arn.clone(),
            None => {
                self.ready(deadline).await?;
                let role = role::make(self, &plan.role, new, &plan.account).await?;
                self.send_channel(deadline, plan, new, &role).await?
            }
        };
        let made = self.channel_until(deadline, &arn, |found| match found {
            Some(found) if found.status == ChannelStatus::Failed => Err(failed(self.name, &found)),
            Some(found) if found.status == ChannelStatus::Active => Ok(Ok(found)),
            Some(found) => Ok(Err(found.status)),
            None => Ok(Err(ChannelStatus::Creating)),
        });
        made.await
    }

    /// Refuses a change that Kinesis refuses while the stream has an active channel, with an error code that else means
    /// "not now".
    ///
    /// # Errors
    /// Exit 1 if it has one. Not if that cannot be found out: Kinesis then decides.
    pub(in crate::stream) async fn require_no_channels(&self, stream_arn: &str) -> Result<()> {
        let all = list(self.ctx, Some(stream_arn)).await.unwrap_or_default();
        let mut active = all
            .into_iter()
            .filter(|channel| !matches!(channel.status, ChannelStatus::Failed | ChannelStatus::Deleting));
        active.next().map_or(Ok(()), |channel| {
            Err(Error::failed(format!(
                "stream {} has the active channel {}",
                self.name, channel.name
            ))
            .hint(format!(
                "`streamctl channel delete {} --name {}` deletes it",
                self.name, channel.name
            )))
        })
    }

    /// Calls CreateChannel. Returns the ARN.
    async fn send_channel(
        &self,
        deadline: Instant,
        plan: &Plan,
        new: &NewChannel,
        role: &str,
    ) -> Result<String> {
        self.step(format!("creating channel {}", new.name));
        let call = creation(self.ctx, &plan.account, &plan.stream_arn, new, role)?;
        let sent = wait::retry(deadline, self.events, || {
            let call = call.clone();
            async move {
                match call.send().await {
                    Err(e) if e.code() == Some("ResourceInUseException") => Ok(Err(e)),
                    other => other.map(Ok),
                }
            }
        });
        let what = || format!("could not create channel {}", new.name);
        match sent.await.map_err(|e| error::aws::failed(what(), e))? {
            Ok(answer) => {
                let made = answer.channel_description.map(|made| made.channel_arn);
                made.ok_or_else(|| Error::failed("the endpoint's answer does not describe the channel"))
            }
            // An earlier attempt may have been accepted, and its response lost.
            Err(e) => {
                let all = list(self.ctx, Some(&plan.stream_arn)).await?;
                let ours = all.into_iter().find(|channel| channel.name == new.name);
                ours.map(|channel| channel.arn)
                    .ok_or_else(|| error::aws::failed(what(), e))
            }
        }
    }

    /// Deletes a channel, and its role if it was made for it. Waits until the channel is gone.
    ///
    /// # Errors
    /// Exit 1 when a call fails.
    pub async fn delete_channel(&self, channel: &Channel) -> Result<()> {
        let deadline = self.deadline();
        self.step(format!("deleting channel {}", channel.name));
        let sent = wait::retry(deadline, self.events, || {
            self.ctx
                .kinesis()
                .delete_channel()
                .channel_arn(&channel.arn)
                .send()
        });
        match sent.await {
            Ok(_) => {}
            Err(e) if error::aws::is_not_found(&e) => {}
            Err(e) => {
                return Err(error::aws::failed(
                    format!("could not delete channel {}", channel.name),
                    e,
                ));
            }
        }
        self.channel_until(deadline, &channel.arn, |found| match found {
            None => Ok(Ok(())),
            Some(left) => Ok(Err(left.status)),
        })
        .await?;
        role::remove(self, channel).await
    }

    /// Changes how old a record becomes before `channel` delivers it, and waits until the channel is ACTIVE again.
    ///
    /// # Errors
    /// Exit 1 when a call fails.
    pub async fn update_channel(&self, channel: &Channel, freshness: Duration) -> Result<Channel> {
        let deadline = self.deadline();
        self.step(format!("updating channel {}", channel.name));
        let seconds = seconds(freshness);
        let call = update(self.ctx, channel, freshness)?;
        let sent = wait::retry(deadline, self.events, || call.clone().send()).await;
        sent.map_err(|e| error::aws::failed(format!("could not update channel {}", channel.name), e))?;
        let changed = self.channel_until(deadline, &channel.arn, |found| match found {
            Some(found) if found.status == ChannelStatus::Failed => Err(failed(self.name, &found)),
            Some(found)
                if found.status == ChannelStatus::Active && found.freshness_seconds == Some(seconds) =>
            {
                Ok(Ok(found))
            }
            Some(found) => Ok(Err(found.status)),
            None => Err(no_channel(self.name, Some(&channel.name))),
        });
        changed.await
    }

    /// Describes the channel until `judge` accepts what is found; the inner `Err` is the status until then.
    async fn channel_until<T>(
        &self,
        deadline: Instant,
        arn: &str,
        judge: impl Fn(Option<Channel>) -> Result<std::result::Result<T, ChannelStatus>>,
    ) -> Result<T> {
        let look = async || judge(describe(self.ctx, arn).await?);
        let hint = format!("see how far it is with `streamctl channel list {}`", self.name);
        self.until(deadline, (format!("channel {arn}"), hint), look).await
    }
}

/// The call that creates the channel `new` of the stream `stream_arn`, with the ARN of a role.
///
/// # Errors
/// Exit 1 if the request is not complete.
pub(crate) fn creation(
    ctx: &Context,
    account: &str,
    stream_arn: &str,
    new: &NewChannel,
    role: &str,
) -> Result<CreateChannelFluentBuilder> {
    let records = sdk::RecordConfiguration::builder().record_format_type(new.format.wire().into());
    let stream = sdk::ChannelStreamConfiguration::builder()
        .stream_arn(stream_arn)
        .record_configuration(built(records.build())?);
    Ok(ctx
        .kinesis()
        .create_channel()
        .channel_name(&new.name)
        .service_execution_role_arn(role)
        .stream_configuration_list(built(stream.build())?)
        .s3_destination_configuration(destination(ctx, account, new)?)
        .set_encryption_configuration(encryption(new)?)
        .set_tags(Some(new.tags.clone().into_iter().collect()).filter(|_| !new.tags.is_empty())))
}

/// The call that changes how old a record becomes before `channel` delivers it.
///
/// # Errors
/// Exit 1 if the request is not complete.
pub(crate) fn update(
    ctx: &Context,
    channel: &Channel,
    freshness: Duration,
) -> Result<UpdateChannelFluentBuilder> {
    let seconds = seconds(freshness);
    let call = ctx.kinesis().update_channel().channel_arn(&channel.arn);
    Ok(match channel.destination.as_str() {
        "S3_TABLES" => {
            let update = sdk::S3TablesDestinationUpdateInput::builder().data_freshness_in_seconds(seconds);
            call.s3_tables_destination_configuration(built(update.build())?)
        }
        _ => {
            let update = sdk::S3DestinationUpdateInput::builder().data_freshness_in_seconds(seconds);
            call.s3_destination_configuration(built(update.build())?)
        }
    })
}

fn seconds(freshness: Duration) -> i32 {
    i32::try_from(freshness.as_secs()).unwrap_or(i32::MAX)
}

fn destination(ctx: &Context, account: &str, new: &NewChannel) -> Result<sdk::S3DestinationConfiguration> {
    let arn = |bucket: &str| format!("arn:{}:s3:::{bucket}", ctx.partition());
    let storage = sdk::S3StorageConfiguration::builder()
        .bucket_arn(arn(&new.bucket))
        .expected_bucket_owner(account)
        .set_output_key_template(new.key_template.clone())
        .compression_type(new.compression.wire().into());
    let dead = new.dead_letter_bucket.as_ref().map(|bucket| {
        let dead = sdk::DeadLetterQueueS3Configuration::builder();
        built(
            dead.bucket_arn(arn(bucket))
                .expected_bucket_owner(account)
                .build(),
        )
    });
    Ok(sdk::S3DestinationConfiguration::builder()
        .data_freshness_in_seconds(seconds(new.freshness))
        .set_dead_letter_queue_s3_configuration(dead.transpose()?)
        .storage_configuration(built(storage.build())?)
        .build())
}

fn encryption(new: &NewChannel) -> Result<Option<sdk::ChannelEncryptionConfiguration>> {
    let key = new.kms_key.as_ref().map(|key| {
        let encryption = sdk::ChannelEncryptionConfiguration::builder();
        built(
            encryption
                .encryption_type(sdk::ChannelEncryptionType::Kms)
                .key_id(key)
                .build(),
        )
    });
    key.transpose()
}
