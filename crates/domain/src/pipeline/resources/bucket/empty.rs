//! Empties a bucket and deletes it. It keeps no state: after a stop, the next run starts with what is left.

use aws_sdk_s3::types as sdk;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::super::common::{Wait, built, refused};
use super::Bucket;
use super::calls::{BUSY, on};
use crate::pipeline::event::Step;
use ground::error::aws::Class;
use ground::error::{self, Error, Result};

/// Objects that one call lists or deletes. Source: DeleteObjects and ListObjectVersions, S3 API reference.
const PAGE: i32 = 1_000;
/// How often a bucket is emptied again because something still writes to it, or S3 asked to slow down.
const ROUNDS: usize = 5;
/// Uploads aborted at once.
const AT_ONCE: usize = 8;
/// Failures named in a message.
const NAMED: usize = 3;

/// A page of versions and delete markers.
#[derive(Default)]
struct Page {
    versions: Vec<sdk::ObjectIdentifier>,
    /// Key and version after which the next page begins.
    next: Option<(Option<String>, Option<String>)>,
}

impl Bucket<'_> {
    /// What is in the bucket, in words; `None` for an empty one. Looks at one page only.
    pub(super) async fn contents(&self) -> Result<Option<String>> {
        let page = match self.page((None, None)).await {
            Ok(page) => page,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let name = &self.declared.name;
        let count = match (page.versions.len(), page.next.is_some()) {
            (0, false) => return Ok(None),
            (_, true) => "1,000+ objects and versions".to_owned(),
            (1, false) => "1 object".to_owned(),
            (n, false) => format!("{n} objects and versions"),
        };
        Ok(Some(format!("bucket {name} holds {count}, deleted with it")))
    }

    /// Empties the bucket and deletes it.
    pub(super) async fn remove(&self, step: &Step<'_>) -> Result<()> {
        let mut wait = Wait::new(BUSY);
        let mut rounds = 0;
        let mut deleted = 0;
        loop {
            step.doing("emptying");
            self.empty(&mut deleted, step).await?;
            step.go_on()?;
            step.doing("deleting");
            let Err(error) = on!(self, delete_bucket).send().await else {
                return Ok(());
            };
            if error::aws::is_not_found(&error) {
                return Ok(());
            }
            rounds += 1;
            let aborted = error::aws::class(&error) == Class::Conflict;
            let again = (refused(&error, &["BucketNotEmpty"]) && rounds < ROUNDS || aborted)
                && wait.pause(step, "S3 still finds something in it").await?;
            if again {
                continue;
            }
            let full = refused(&error, &["BucketNotEmpty"]);
            let failed = error::aws::failed(self.failure("delete"), error);
            return Err(match full {
                true => failed.hint("stop what writes to it, then run the same command again"),
                false => failed,
            });
        }
    }

    /// Deletes all versions, delete markers and unfinished uploads; a page is deleted while the next one is listed.
    async fn empty(&self, deleted: &mut usize, step: &Step<'_>) -> Result<()> {
        let mut page = match self.page((None, None)).await {
            Ok(page) => page,
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error),
        };
        loop {
            step.go_on()?;
            let next = page.next.take();
            let listing = async {
                match next {
                    Some(after) => self.page(after).await.map(Some),
                    None => Ok(None),
                }
            };
            let (gone, following) = tokio::join!(self.delete_versions(page.versions), listing);
            *deleted += gone?;
            if *deleted > 0 {
                step.waiting(format!("emptying: {deleted} objects and versions deleted"));
            }
            match following? {
                Some(following) => page = following,
                None => break,
            }
        }
        self.abort_uploads(step).await
    }

    async fn page(&self, (key, version): (Option<String>, Option<String>)) -> Result<Page> {
        let call = on!(self, list_object_versions)
            .max_keys(PAGE)
            .set_key_marker(key)
            .set_version_id_marker(version);
        let answer = self.response("list the objects of", call.send().await)?;
        let versions = answer.versions.unwrap_or_default().into_iter();
        let markers = answer.delete_markers.unwrap_or_default().into_iter();
        let all = versions
            .map(|one| (one.key, one.version_id))
            .chain(markers.map(|one| (one.key, one.version_id)));
        let versions = all
            .filter_map(|(key, version)| {
                let one = sdk::ObjectIdentifier::builder().key(key?);
                Some(built(one.set_version_id(version).build()))
            })
            .collect::<Result<Vec<_>>>()?;
        let next = (answer.is_truncated == Some(true))
            .then_some((answer.next_key_marker, answer.next_version_id_marker))
            // Without a marker there is no next page; the next round lists again.
            .filter(|(key, _)| key.is_some());
        Ok(Page { versions, next })
    }

    /// Deletes `versions`, and returns how many. The next round deletes what S3 asks to retry later.
    async fn delete_versions(&self, versions: Vec<sdk::ObjectIdentifier>) -> Result<usize> {
        let mut gone = 0;
        let limit = usize::try_from(PAGE).unwrap_or(1_000);
        for versions in versions.chunks(limit) {
            let delete = sdk::Delete::builder()
                .set_objects(Some(versions.to_vec()))
                .quiet(true);
            let call = on!(self, delete_objects).delete(built(delete.build())?);
            let answer = self.response("delete the objects of", call.send().await)?;
            let errors = answer.errors.unwrap_or_default();
            gone += versions.len().saturating_sub(errors.len());
            let lasting: Vec<&sdk::Error> = errors.iter().filter(|error| is_lasting(error)).collect();
            if !lasting.is_empty() {
                return Err(self.undeletable(&lasting));
            }
        }
        Ok(gone)
    }

    fn undeletable(&self, errors: &[&sdk::Error]) -> Error {
        let words: Vec<String> = errors
            .iter()
            .take(NAMED)
            .map(|error| {
                let text = |part: Option<&str>| part.unwrap_or("?").to_owned();
                let (code, message) = (text(error.code()), text(error.message()));
                format!("{}: {message} ({code})", text(error.key()))
            })
            .collect();
        let more = match errors.len().saturating_sub(NAMED) {
            0 => String::new(),
            n => format!("\nand {n} more"),
        };
        let count = match errors.len() {
            1 => "1 object".to_owned(),
            n => format!("{n} objects"),
        };
        Error::failed(format!(
            "{count} of bucket {} could not be deleted",
            self.declared.name
        ))
        .cause(words.join("\n") + &more)
        .hint("an object lock or a policy may keep them; lift it, then run the same command again")
    }

    async fn abort_uploads(&self, step: &Step<'_>) -> Result<()> {
        let (mut key, mut upload) = (None, None);
        loop {
            step.go_on()?;
            let call = on!(self, list_multipart_uploads)
                .max_uploads(PAGE)
                .set_key_marker(key)
                .set_upload_id_marker(upload);
            let page = self.response("list the uploads to", call.send().await)?;
            let uploads = page.uploads.unwrap_or_default();
            let aborting = uploads.into_iter().map(|upload| async move {
                let call = on!(self, abort_multipart_upload)
                    .set_key(upload.key)
                    .set_upload_id(upload.upload_id);
                self.response_unless("abort an upload to", &["NoSuchUpload"], call.send().await)
                    .map(drop)
            });
            stream::iter(aborting)
                .buffer_unordered(AT_ONCE)
                .try_collect::<Vec<()>>()
                .await?;
            (key, upload) = (page.next_key_marker, page.next_upload_id_marker);
            if page.is_truncated != Some(true) || key.is_none() {
                return Ok(());
            }
        }
    }
}

/// Whether deleting the object again would fail again. Source: "List of error codes", S3 API reference.
fn is_lasting(error: &sdk::Error) -> bool {
    !matches!(
        error.code(),
        Some("InternalError" | "SlowDown" | "ServiceUnavailable" | "NoSuchKey" | "NoSuchVersion")
    )
}
