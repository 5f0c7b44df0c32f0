//! Tags of buckets and objects.
//!
//! Source: "Categorizing your storage using tags" and "Using cost allocation S3 bucket tags", S3 user guide.

use super::S3;
use super::call::{Call, Reply};
use super::error::{Error, Result};
use super::get;
use super::head;
use super::notification::{self, Event};
use super::object;
use super::xml::Node;
use crate::query::pairs;
use crate::types::Tags;

const MAX_OF_BUCKET: usize = 50;
const MAX_OF_OBJECT: usize = 10;

impl S3 {
    pub(super) fn get_bucket_tagging(&self, call: &Call) -> Result<Reply> {
        let (bucket, ()) = self.read(call, |_, _| Ok(()))?;
        if bucket.tags.is_empty() {
            let message = "The TagSet does not exist";
            return Err(Error::new(404, "NoSuchTagSet", message).with("BucketName", bucket.name));
        }
        Ok(document(&bucket.tags))
    }

    pub(super) fn put_bucket_tagging(&self, call: &Call) -> Result<Reply> {
        let tags = of_document(&call.document("Tagging")?, MAX_OF_BUCKET)?;
        self.set_bucket_tags(call, tags)
    }

    pub(super) fn delete_bucket_tagging(&self, call: &Call) -> Result<Reply> {
        self.set_bucket_tags(call, Tags::new())
    }

    fn set_bucket_tags(&self, call: &Call, tags: Tags) -> Result<Reply> {
        self.write(call, |db, bucket| {
            bucket.tags = tags;
            bucket.save(db)
        })?;
        Ok(Reply::empty(204))
    }

    pub(super) fn get_object_tagging(&self, call: &Call) -> Result<Reply> {
        let (bucket, (version, _)) = self.read(call, |db, bucket| get::find(db, call, bucket))?;
        let mut reply = document(&version.head.tags);
        head::show_version(&mut reply, &bucket, &version.id);
        Ok(reply)
    }

    pub(super) fn put_object_tagging(&self, call: &Call) -> Result<Reply> {
        let tags = of_document(&call.document("Tagging")?, MAX_OF_OBJECT)?;
        self.set_object_tags(call, tags, Event::TaggingPut, 200)
    }

    pub(super) fn delete_object_tagging(&self, call: &Call) -> Result<Reply> {
        self.set_object_tags(call, Tags::new(), Event::TaggingDelete, 204)
    }

    fn set_object_tags(&self, call: &Call, tags: Tags, event: Event, status: u16) -> Result<Reply> {
        let (bucket, id) = self.write(call, |db, bucket| {
            let (mut version, _) = get::find(db, call, bucket)?;
            version.head.tags = tags;
            object::save_head(db, bucket.id, &version)?;
            let object = notification::Object {
                key: &version.key,
                version: &version.id,
                content: Some((version.size, &version.etag)),
            };
            notification::post(db, call, bucket, event, &object)?;
            Ok(version.id)
        })?;
        let mut reply = Reply::empty(status);
        head::show_version(&mut reply, &bucket, &id);
        Ok(reply)
    }
}

fn document(tags: &Tags) -> Reply {
    Reply::xml("Tagging", |xml| {
        xml.element("TagSet", |xml| {
            for (key, value) in tags {
                xml.element("Tag", |xml| {
                    xml.leaf("Key", key);
                    xml.leaf("Value", value);
                });
            }
        });
    })
}

/// The tags of a document `Tagging`.
fn of_document(document: &Node, max: usize) -> Result<Tags> {
    let set = document.child("TagSet").ok_or_else(Error::malformed_xml)?;
    of_set(set, max)
}

/// The tags of a new bucket.
pub(super) fn of_new_bucket(configuration: &Node) -> Result<Tags> {
    match configuration.child("Tags") {
        Some(set) => of_set(set, MAX_OF_BUCKET),
        None => Ok(Tags::new()),
    }
}

fn of_set(set: &Node, max: usize) -> Result<Tags> {
    let tags = set.all("Tag").map(|tag| {
        let key = tag.text_of("Key").ok_or_else(Error::malformed_xml)?;
        let value = tag.text_of("Value").ok_or_else(Error::malformed_xml)?;
        Ok((key.to_owned(), value.to_owned()))
    });
    check(tags.collect::<Result<Vec<_>>>()?, max)
}

/// The tags of the header `x-amz-tagging`, which are encoded like the query of a URL.
pub(super) fn of_header(header: &str) -> Result<Tags> {
    check(pairs(header.as_bytes()).collect(), MAX_OF_OBJECT)
}

fn check(pairs: Vec<(String, String)>, max: usize) -> Result<Tags> {
    if pairs.len() > max {
        let message = match max {
            MAX_OF_OBJECT => "Object tags cannot be greater than 10",
            _ => "Bucket tag count cannot be greater than 50",
        };
        return Err(Error::new(400, "BadRequest", message));
    }
    let mut tags = Tags::new();
    for (key, value) in pairs {
        let refuse = |message: &str| Err(Error::new(400, "InvalidTag", message).with("TagKey", key.as_str()));
        if !(1..=128).contains(&key.chars().count()) || !key.chars().all(is_allowed) {
            return refuse("The TagKey you have provided is invalid");
        }
        if value.chars().count() > 256 || !value.chars().all(is_allowed) {
            return refuse("The TagValue you have provided is invalid");
        }
        if key.starts_with("aws:") {
            return refuse("System tags cannot be added/updated by requester");
        }
        if tags.insert(key.clone(), value).is_some() {
            return refuse("Cannot provide multiple Tags with the same key");
        }
    }
    Ok(tags)
}

fn is_allowed(c: char) -> bool {
    c.is_alphanumeric() || c.is_whitespace() || "_.:/=+-@".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_checked() {
        assert_eq!(of_header("a=1&b=x%20y&c=").unwrap().len(), 3);
        for (header, code) in [
            ("=1".to_owned(), "InvalidTag"),
            ("a=1&a=2".to_owned(), "InvalidTag"),
            ("aws:a=1".to_owned(), "InvalidTag"),
            (format!("a={}", "x".repeat(257)), "InvalidTag"),
            ((0..11).map(|at| format!("{at}=&")).collect(), "BadRequest"),
        ] {
            assert_eq!(of_header(&header).unwrap_err().code, code, "{header}");
        }
    }
}
