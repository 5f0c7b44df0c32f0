//! The objects of a delivery stream: their keys, their content, and how they are put into the bucket.

use jiff::tz::TimeZone;

use super::{PAGE_BYTES, PAGE_RECORDS, PRINCIPAL, Work};
use crate::answer::request_id;
use crate::firehose::content::{CONTENT_TYPE, Compression};
use crate::firehose::files::{Intent, Progress};
use crate::firehose::input::bucket_of;
use crate::firehose::model::Processors;
use crate::firehose::prefix::{Name, PROCESSING_FAILED};
use crate::firehose::transform::{Incoming, Transformation};
use crate::kinesis::channels::Object;
use crate::kinesis::stream::lineage::shard_id;

/// The records of an object.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub content: Vec<u8>,
    /// Records that could not be transformed, a line for each.
    pub failed: Vec<u8>,
    /// Records read.
    pub read: u64,
    pub bytes: u64,
    /// Arrival of the last record.
    pub newest_ms: Option<i64>,
}

impl Work<'_> {
    pub(super) fn settings(&self) -> (&str, &str) {
        let s3 = &self.meta.destination;
        (
            s3.bucket_arn.as_deref().unwrap_or_default(),
            s3.compression_format.as_deref().unwrap_or_default(),
        )
    }

    /// Whether the keys of an object are still right. A new prefix is for the objects after it.
    pub(super) fn fits(&self, intent: &Intent) -> bool {
        self.settings() == (intent.bucket_arn.as_str(), intent.compression.as_str())
    }

    /// The name of an object without partition keys.
    pub(super) fn object_name<'b>(&'b self, oldest_ms: i64, zone: &'b TimeZone, uuid: &'b str) -> Name<'b> {
        let given = self.meta.destination.file_extension.as_deref();
        let given = given.filter(|extension| !extension.is_empty());
        Name {
            stream: &self.meta.name,
            version: self.meta.version_id,
            at_ms: oldest_ms,
            zone,
            extension: given.unwrap_or_else(|| self.compression().extension()),
            uuid,
            keys: None,
        }
    }

    /// Gives an object its keys.
    pub(super) fn name(&self, intent: &mut Intent) {
        let s3 = &self.meta.destination;
        let uuid = request_id();
        let zone = self.meta.zone();
        let name = self.object_name(intent.oldest_ms, &zone, &uuid);
        let (bucket_arn, compression) = self.settings();
        bucket_arn.clone_into(&mut intent.bucket_arn);
        compression.clone_into(&mut intent.compression);
        intent.key = name.key(s3.prefix.as_deref());
        // Failed records are JSON, whatever the extension of the others is.
        let name = Name {
            extension: self.compression().extension(),
            ..name
        };
        intent.error_key = name.error_key(
            s3.prefix.as_deref(),
            s3.error_output_prefix.as_deref(),
            PROCESSING_FAILED,
        );
    }

    fn compression(&self) -> Compression {
        Compression::of(self.settings().1)
    }

    /// Reads the records of an object, and transforms them.
    pub(super) fn collect(&self, progress: &Progress, intent: &Intent) -> Result<Batch, String> {
        let processors = self.meta.processors();
        let mut batch = Batch::default();
        let mut transformation = processors
            .transform
            .as_ref()
            .map(|transform| Transformation::new(self.shared, self.meta, transform));
        for (index, until) in &intent.until {
            let mut next = progress.shards.get(index).map_or(0, |at| at.next);
            while next < until.next {
                let page = self.source.read(*index, next, PAGE_RECORDS, PAGE_BYTES)?;
                if page.next.index <= next {
                    break;
                }
                next = page.next.index;
                let records = page.records.iter();
                for record in records.filter(|record| record.sequence_number.index() < until.next) {
                    batch.read += 1;
                    batch.bytes += record.data.len() as u64;
                    batch.newest_ms = Some(record.arrival_ms);
                    match &mut transformation {
                        None => add(&mut batch.content, &processors, &record.data),
                        Some(transformation) => transformation.push(Incoming {
                            id: record.sequence_number.to_string(),
                            part: 0,
                            arrival_ms: record.arrival_ms,
                            partition_key: record.partition_key().to_owned(),
                            shard_id: shard_id(*index),
                            data: record.data.clone(),
                        }),
                    }
                }
                if let Some(transformation) = &mut transformation {
                    drain(transformation, &processors, &mut batch);
                }
            }
        }
        if let Some(transformation) = &mut transformation {
            transformation.flush();
            drain(transformation, &processors, &mut batch);
        }
        Ok(batch)
    }

    /// Writes the object, if it has content. Returns its bytes.
    pub(super) fn put_content(&self, intent: &Intent, content: Vec<u8>) -> Result<u64, String> {
        if content.is_empty() {
            return Ok(0);
        }
        let bytes = content.len() as u64;
        self.put(&intent.key, content)?;
        Ok(bytes)
    }

    pub(super) fn put_failed(&self, intent: &Intent, failed: Vec<u8>) -> Result<(), String> {
        match failed.is_empty() {
            true => Ok(()),
            false => self.put(&intent.error_key, failed),
        }
    }

    pub(super) fn put(&self, key: &str, content: Vec<u8>) -> Result<(), String> {
        let s3 = &self.meta.destination;
        let role = s3.role_arn.as_deref().unwrap_or_default();
        let (bucket_arn, _) = self.settings();
        let destination = &self.shared.destination;
        if !destination.trusts(role, PRINCIPAL) {
            return Err(format!("Firehose is unable to assume role {role}"));
        }
        let resource = format!("{bucket_arn}/{key}");
        if !destination.allows(role, "s3:PutObject", &resource) {
            return Err(format!(
                "S3.AccessDenied: the role {role} is not authorized to perform s3:PutObject on {resource}"
            ));
        }
        let compression = self.compression();
        let body = compression
            .apply(content, key)
            .map_err(|error| format!("an object could not be compressed: {error}"))?;
        let kms = s3
            .encryption_configuration
            .as_ref()
            .and_then(|configuration| configuration.kms.as_ref());
        let object = Object {
            key: key.to_owned(),
            body: body.into(),
            storage_class: "STANDARD".to_owned(),
            key_id: kms.and_then(|key| key.arn.clone()),
            content_type: Some(CONTENT_TYPE),
            content_encoding: compression.content_encoding(),
        };
        let bucket = bucket_of(bucket_arn);
        let put = destination.put(&self.meta.owner(), bucket, object);
        put.map_err(|error| format!("S3.{}: bucket {bucket}: {}", error.code, error.message))
    }
}

fn add(content: &mut Vec<u8>, processors: &Processors, data: &[u8]) {
    content.extend_from_slice(data);
    if processors.delimiter {
        content.push(b'\n');
    }
}

/// Takes what a transformation has returned.
fn drain(transformation: &mut Transformation<'_>, processors: &Processors, batch: &mut Batch) {
    for record in transformation.transformed.drain(..) {
        add(&mut batch.content, processors, &record.data);
    }
    for (_, line) in transformation.failed.drain(..) {
        batch.failed.extend(line);
    }
}
