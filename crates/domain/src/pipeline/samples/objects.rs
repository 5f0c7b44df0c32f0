//! Files of a template that are put into a bucket, and objects of any length.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use serde::Deserialize;

use super::super::Pipeline;
use super::super::condition::Condition;
use crate::context::Context;
use ground::error::{self, Error, Result};

/// A file that comes with a template, and the object that it becomes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredObject {
    when: Option<Condition>,
    /// Name of the bucket, such as `${data.name}`.
    pub(in super::super) bucket: String,
    pub(in super::super) key: String,
    /// A text file, relative to the manifest.
    pub(in super::super) file: String,
    #[serde(skip)]
    pub(in super::super) text: String,
}

impl DeclaredObject {
    /// `None` if its condition does not hold, or its bucket is left out.
    pub(super) fn filled(&self, pipeline: &Pipeline<'_>) -> Result<Option<SampleObject>> {
        let holds = |when: &Condition| when.holds(&|name| pipeline.lookup(name));
        if !self.when.as_ref().is_none_or(holds) {
            return Ok(None);
        }
        let (bucket, key) = (
            pipeline.sample_name(&self.bucket)?,
            pipeline.sample_name(&self.key)?,
        );
        Ok(bucket.zip(key).map(|(bucket, key)| SampleObject {
            bucket,
            key,
            text: self.text.clone(),
        }))
    }

    /// The parameters that its condition refers to.
    pub(in super::super) fn conditions(&self) -> impl Iterator<Item = &str> {
        self.when.iter().flat_map(Condition::names)
    }
}

/// An object to put.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleObject {
    pub bucket: String,
    pub key: String,
    pub text: String,
}

impl SampleObject {
    /// Puts the object. One of the same key is replaced.
    ///
    /// # Errors
    /// Exit 1 when S3 refuses it.
    pub async fn load(&self, context: &Context) -> Result<()> {
        put(context, &self.bucket, &self.key, self.text.clone().into()).await
    }
}

fn putting(bucket: &str, key: &str) -> String {
    format!("could not put object {key} into bucket {bucket}")
}

async fn put(context: &Context, bucket: &str, key: &str, content: Bytes) -> Result<()> {
    let call = context.s3().put_object().bucket(bucket).key(key);
    let answer = call.body(ByteStream::from(content)).send().await;
    answer
        .map(drop)
        .map_err(|error| error::aws::failed(putting(bucket, key), error))
}

/// An object that is put part by part, so that only one part is in memory.
pub(super) struct Upload<'a> {
    context: &'a Context,
    bucket: &'a str,
    key: &'a str,
    /// The id of the upload, from the first part on.
    id: Option<String>,
    parts: Vec<CompletedPart>,
}

impl<'a> Upload<'a> {
    /// The bytes of a part: S3 wants 5 MiB at least, except of the last one, and 10,000 parts at most.
    /// Source: "Amazon S3 multipart upload limits", S3 user guide.
    pub const PART: usize = 8 << 20;

    pub fn new(context: &'a Context, bucket: &'a str, key: &'a str) -> Self {
        Self {
            context,
            bucket,
            key,
            id: None,
            parts: Vec::new(),
        }
    }

    fn putting(&self) -> String {
        putting(self.bucket, self.key)
    }

    /// Puts the next part, which is not the last one.
    pub async fn part(&mut self, content: Bytes) -> Result<()> {
        let s3 = self.context.s3();
        let id = match &self.id {
            Some(id) => id.clone(),
            None => {
                let call = s3.create_multipart_upload().bucket(self.bucket).key(self.key);
                let answer = call.send().await;
                let answer = answer.map_err(|error| error::aws::failed(self.putting(), error))?;
                let id = answer
                    .upload_id
                    .ok_or_else(|| Error::failed("S3 gave no upload id"))?;
                self.id.insert(id).clone()
            }
        };
        let number = i32::try_from(self.parts.len() + 1).unwrap_or(i32::MAX);
        let call = s3.upload_part().bucket(self.bucket).key(self.key).upload_id(id);
        let answer = call
            .part_number(number)
            .body(ByteStream::from(content))
            .send()
            .await;
        let answer = answer.map_err(|error| error::aws::failed(self.putting(), error))?;
        let part = CompletedPart::builder().part_number(number);
        self.parts.push(part.set_e_tag(answer.e_tag).build());
        Ok(())
    }

    /// Puts the last part. Then the object is there.
    pub async fn finish(&mut self, content: Bytes) -> Result<()> {
        if self.id.is_none() {
            return put(self.context, self.bucket, self.key, content).await;
        }
        self.part(content).await?;
        let parts = CompletedMultipartUpload::builder().set_parts(Some(self.parts.clone()));
        let call = self.context.s3().complete_multipart_upload();
        let call = call.bucket(self.bucket).key(self.key);
        let answer = call
            .set_upload_id(self.id.clone())
            .multipart_upload(parts.build())
            .send()
            .await;
        answer
            .map(drop)
            .map_err(|error| error::aws::failed(self.putting(), error))
    }

    /// Deletes the parts of an upload that was not finished: S3 keeps and bills them otherwise.
    pub async fn abandon(self) {
        let Some(id) = self.id else { return };
        let call = self.context.s3().abort_multipart_upload();
        let call = call.bucket(self.bucket).key(self.key).upload_id(id);
        if let Err(failure) = call.send().await {
            let error = error::aws::failed(putting(self.bucket, self.key), failure);
            tracing::warn!("the parts of {} are not deleted: {error}", self.key);
        }
    }
}
