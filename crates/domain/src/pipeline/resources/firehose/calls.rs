//! The calls that observe, create and change a Firehose stream.

use std::time::Duration;

use aws_sdk_firehose::types as sdk;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::super::common::{Wait, refused, sdk_tags};
use super::super::kind::TagMap;
use super::wanted::{destination_of, facts};
use super::{Facts, Hose, LOG_STREAM};
use crate::pipeline::event::Step;
use ground::error::{Error, Result};

/// How long a role or its permissions may not be visible to Firehose yet.
const LAG: Duration = Duration::from_secs(120);
/// How long Firehose may take until a stream is ACTIVE, or gone.
const TRANSITION: Duration = Duration::from_secs(900);
/// Pages of tags that are read at most: a stream has 50 tags.
const MAX_PAGES: usize = 10;

impl Hose<'_> {
    async fn described(&self) -> Result<Option<sdk::DeliveryStreamDescription>> {
        let call = self.context.firehose().describe_delivery_stream();
        let call = call.delivery_stream_name(&self.declared.name);
        let answer = self.response_if_exists("read", call.send().await)?;
        Ok(answer.and_then(|answer| answer.delivery_stream_description))
    }

    /// `None` if the stream is gone.
    async fn tags(&self) -> Result<Option<TagMap>> {
        let mut tags = TagMap::new();
        for _ in 0..MAX_PAGES {
            let call = self.context.firehose().list_tags_for_delivery_stream();
            let call = call
                .delivery_stream_name(&self.declared.name)
                .set_exclusive_start_tag_key(tags.last_key_value().map(|(key, _)| key.clone()));
            let Some(page) = self.response_if_exists("list the tags of", call.send().await)? else {
                return Ok(None);
            };
            tags.extend(
                page.tags
                    .into_iter()
                    .map(|tag| (tag.key, tag.value.unwrap_or_default())),
            );
            if !page.has_more_tags {
                break;
            }
        }
        Ok(Some(tags))
    }

    pub(super) async fn observe_hose(&self) -> Result<Option<(TagMap, Facts)>> {
        let Some(description) = self.described().await? else {
            return Ok(None);
        };
        let tags = self.tags().await?;
        Ok(tags.map(|tags| (tags, facts(&description))))
    }

    /// Makes the log stream of errors: Firehose writes only to one that exists.
    /// Source: "Monitor Amazon Data Firehose using CloudWatch Logs", Amazon Data Firehose developer guide.
    async fn make_log_stream(&self) -> Result<()> {
        let Some(group) = self.declared.log_group.as_ref().filter(|group| !group.is_empty()) else {
            return Ok(());
        };
        let call = self.context.logs().create_log_stream();
        let call = call.log_group_name(group).log_stream_name(LOG_STREAM);
        let made = self.response_unless(
            "create the log stream of",
            &["ResourceAlreadyExistsException"],
            call.send().await,
        );
        made.map(drop)
    }

    pub(super) async fn create_hose(&self, step: &Step<'_>) -> Result<()> {
        step.doing("creating");
        self.make_log_stream().await?;
        let source = self.source()?;
        let kind = match source {
            Some(_) => sdk::DeliveryStreamType::KinesisStreamAsSource,
            None => sdk::DeliveryStreamType::DirectPut,
        };
        let call = self.context.firehose().create_delivery_stream();
        let call = call
            .delivery_stream_name(&self.declared.name)
            .delivery_stream_type(kind)
            .set_kinesis_stream_source_configuration(source)
            .extended_s3_destination_configuration(self.destination()?)
            .set_tags(Some(sdk_tags!(sdk::Tag, self.spec.tags.all())?));
        let mut wait = Wait::new(LAG);
        loop {
            match call.clone().send().await {
                Err(error)
                    if is_lag(&error) && wait.pause(step, "Firehose does not see the role yet").await? => {}
                // An earlier attempt was accepted and its answer lost: what is there is compared on the next run.
                answer => {
                    self.response("create", answer)?;
                    break;
                }
            }
        }
        step.touched();
        self.until_active(step).await
    }

    /// Waits until the stream is ACTIVE.
    pub(super) async fn until_active(&self, step: &Step<'_>) -> Result<()> {
        let mut wait = Wait::new(TRANSITION);
        loop {
            let description = self.described().await?;
            let status = description.as_ref().map(|one| facts(one).status);
            match status.as_deref() {
                Some("ACTIVE") => return Ok(()),
                // Firehose shows a new stream late.
                None | Some("CREATING") => {}
                Some(other) => {
                    return Err(Error::failed(self.failure("create")).cause(format!("it is {other}")));
                }
            }
            if !wait.pause(step, "it is being created").await? {
                return Err(
                    Error::failed(self.failure("create")).cause("it was not ACTIVE within 15 minutes")
                );
            }
        }
    }

    /// Waits until the stream is gone.
    pub(super) async fn until_gone(&self, step: &Step<'_>) -> Result<()> {
        let mut wait = Wait::new(TRANSITION);
        while self.described().await?.is_some() {
            if !wait.pause(step, "it is being deleted").await? {
                return Err(Error::failed(self.failure("delete")).cause("it was not gone within 15 minutes"));
            }
        }
        Ok(())
    }

    /// The part of an update that sets `field`.
    fn update_of(
        &self,
        field: &str,
        there: &Facts,
        destination: Option<&sdk::ExtendedS3DestinationDescription>,
    ) -> Result<sdk::ExtendedS3DestinationUpdate> {
        let declared = &self.declared;
        let update = sdk::ExtendedS3DestinationUpdate::builder();
        let update = match field {
            "role" => update.role_arn(&declared.role),
            "bucket" => update.bucket_arn(self.bucket_arn()),
            // Each may be valid with the other only.
            "prefix" | "error prefix" | "partition keys" | "deaggregation" => {
                let update = update
                    .set_prefix(declared.prefix.clone())
                    .set_error_output_prefix(declared.error_prefix.clone());
                match self.is_partitioned() {
                    true => {
                        let processing = destination.and_then(|one| one.processing_configuration());
                        update.processing_configuration(self.processing(processing)?)
                    }
                    false => update,
                }
            }
            "partition retries" => {
                update.set_dynamic_partitioning_configuration(self.partitioning(Some(there)))
            }
            "buffer" => update.buffering_hints(self.hints(Some(there))),
            "compression" => update.set_compression_format(self.format()),
            "file extension" => update.set_file_extension(declared.file_extension.clone()),
            "time zone" => update.set_custom_time_zone(declared.time_zone.clone()),
            "encryption" => update.set_encryption_configuration(self.object_encryption()?),
            "log group" => update.set_cloud_watch_logging_options(self.logging()),
            "newline" | "transform" => {
                let processing = destination.and_then(|one| one.processing_configuration());
                update.processing_configuration(self.processing(processing)?)
            }
            other => return Err(self.unknown_field(other)),
        };
        Ok(update.build())
    }

    /// Changes one field. Another change may have made a new version meanwhile.
    pub(super) async fn update_hose(&self, field: &str, there: &Facts, step: &Step<'_>) -> Result<()> {
        if field == "log group" {
            self.make_log_stream().await?;
        }
        const BUSY: [&str; 2] = ["ConcurrentModificationException", "ResourceInUseException"];
        let mut wait = Wait::new(LAG);
        loop {
            let description = self.described().await?;
            let Some(description) = description else {
                return Err(Error::failed(self.failure("change")).cause("it does not exist any more"));
            };
            let id = description.destinations().first().map(|one| one.destination_id());
            let update = self.update_of(field, there, destination_of(&description))?;
            let call = self.context.firehose().update_destination();
            let call = call
                .delivery_stream_name(&self.declared.name)
                .current_delivery_stream_version_id(description.version_id())
                .destination_id(id.unwrap_or_default())
                .extended_s3_destination_update(update);
            match call.send().await {
                Err(error)
                    if (refused(&error, &BUSY) || is_lag(&error))
                        && wait.pause(step, "another change is under way").await? => {}
                answer => return self.response("change", answer).map(drop),
            }
        }
    }
}

/// Whether a call may have been refused only because a role or its permissions are not visible yet.
fn is_lag(error: &impl ProvideErrorMetadata) -> bool {
    let text = error.message().unwrap_or_default();
    let is_about_role = text.contains("unable to assume role") || text.contains("is not authorized to");
    error.code() == Some("InvalidArgumentException") && is_about_role
}
