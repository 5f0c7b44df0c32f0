//! DeleteObject and DeleteObjects.
//!
//! Source: "Deleting object versions from a versioning-enabled bucket", S3 user guide.

use rusqlite::Connection;

use super::S3;
use super::bucket::{Bucket, Versioning};
use super::call::{Call, MAX_ENTRIES, Reply};
use super::condition;
use super::error::{Error, Result};
use super::notification::{self, Event};
use super::object::{self, Head, NewVersion};
use super::put::current;
use super::xml::Node;
use crate::query::Xml;

/// What a deletion did.
#[derive(Default)]
struct Deleted {
    /// Whether a delete marker was added, or deleted.
    marker: bool,
    /// The version that was deleted, or the delete marker that was added.
    version: Option<String>,
}

impl S3 {
    pub(super) fn delete_object(&self, call: &Call) -> Result<Reply> {
        let id = call.parameter("versionId");
        let (_, deleted) = self.write(call, |db, bucket| {
            if call.header("if-match").is_some() {
                condition::check_write(call, current(db, bucket, call.key())?.as_ref())?;
            }
            delete(db, call, bucket, call.key(), id)
        })?;
        let mut reply = Reply::empty(204);
        if deleted.marker {
            reply.set("x-amz-delete-marker", "true");
        }
        if let Some(version) = deleted.version {
            reply.set("x-amz-version-id", version);
        }
        Ok(reply)
    }

    pub(super) fn delete_objects(&self, call: &Call) -> Result<Reply> {
        let document = call.document("Delete")?;
        let objects: Vec<&Node> = document.all("Object").collect();
        if !(1..=MAX_ENTRIES).contains(&objects.len()) {
            return Err(Error::malformed_xml());
        }
        let is_quiet = document.text_of("Quiet") == Some("true");
        let (_, results) = self.write(call, |db, bucket| {
            objects
                .iter()
                .map(|object| match delete_listed(db, call, bucket, object) {
                    // A failure of the database is not one of this key alone.
                    Err(error) if error.status == 500 => Err(error),
                    result => Ok(result),
                })
                .collect::<Result<Vec<_>>>()
        })?;
        Ok(Reply::xml("DeleteResult", |xml| {
            for (object, result) in objects.iter().zip(results) {
                match result {
                    Ok(_) if is_quiet => {}
                    Ok(deleted) => xml.element("Deleted", |xml| show(xml, object, &deleted)),
                    Err(error) => xml.element("Error", |xml| {
                        show_names(xml, object);
                        xml.leaf("Code", error.code);
                        xml.leaf("Message", &error.message);
                    }),
                }
            }
        }))
    }
}

fn show_names(xml: &mut Xml, object: &Node) {
    xml.leaf("Key", object.text_of("Key").unwrap_or_default());
    if let Some(version) = object.text_of("VersionId") {
        xml.leaf("VersionId", version);
    }
}

fn show(xml: &mut Xml, object: &Node, deleted: &Deleted) {
    show_names(xml, object);
    if let (true, Some(version)) = (deleted.marker, &deleted.version) {
        xml.leaf("DeleteMarker", "true");
        xml.leaf("DeleteMarkerVersionId", version);
    }
}

/// Deletes an entry of DeleteObjects.
fn delete_listed(db: &Connection, call: &Call, bucket: &Bucket, object: &Node) -> Result<Deleted> {
    let key = object.text_of("Key").unwrap_or_default();
    if key.is_empty() {
        return Err(Error::new(
            400,
            "UserKeyMustBeSpecified",
            "The bucket POST must contain the specified field name. If it is specified, check the order of the fields.",
        ));
    }
    if let Some(etag) = object.text_of("ETag") {
        let current = current(db, bucket, key)?;
        let matches = current.is_some_and(|current| current.etag.trim_matches('"') == etag.trim_matches('"'));
        if !matches && etag != "*" {
            return Err(Error::precondition("If-Match"));
        }
    }
    let id = object.text_of("VersionId").filter(|id| !id.is_empty());
    delete(db, call, bucket, key, id)
}

/// Deletes a version, or the current object: in a bucket with versions that adds a delete marker.
fn delete(db: &Connection, call: &Call, bucket: &Bucket, key: &str, id: Option<&str>) -> Result<Deleted> {
    let now = call.now_ms;
    let removed = match id.or((bucket.versioning != Versioning::Enabled).then_some(object::NULL)) {
        Some(id) => object::by_id(db, bucket.id, key, id)?,
        None => None,
    };
    if let Some(removed) = &removed {
        object::remove(db, bucket.id, removed, now)?;
    }
    if id.is_none() && bucket.versioning != Versioning::Off {
        return add_marker(db, call, bucket, key);
    }
    let marker = removed.as_ref().is_some_and(|(version, _)| version.is_marker);
    if let Some((version, _)) = &removed {
        let object = notification::Object {
            key,
            version: &version.id,
            content: None,
        };
        notification::post(db, call, bucket, Event::Delete, &object)?;
    }
    Ok(Deleted {
        marker,
        version: id.map(str::to_owned),
    })
}

fn add_marker(db: &Connection, call: &Call, bucket: &Bucket, key: &str) -> Result<Deleted> {
    let marker = NewVersion {
        key,
        is_marker: true,
        size: 0,
        etag: "",
        head: &Head::default(),
        parts: &[],
    };
    let version = object::insert(db, bucket, &marker, call.now_ms)?;
    let object = notification::Object {
        key,
        version: &version,
        content: None,
    };
    notification::post(db, call, bucket, Event::DeleteMarker, &object)?;
    Ok(Deleted {
        marker: true,
        version: Some(version),
    })
}
