//! PutObject and CopyObject.

use http::HeaderMap;
use rusqlite::Connection;

use super::S3;
use super::acl;
use super::bucket::{self, Bucket};
use super::call::{Call, Reply};
use super::checksum::{Algorithm, Kind};
use super::condition;
use super::error::{Error, Result};
use super::files::{Span, Written};
use super::get::{checksum_elements, version_of};
use super::head::{self, content_headers, metadata};
use super::notification::{self, Event};
use super::object::{self, Checksum, Head, NewVersion, Stored, Version};
use super::tagging;
use super::time::iso;
use crate::query::percent_decode;

/// The largest source of one copy. Source: CopyObject, S3 API reference.
const MAX_COPY: u64 = 5 << 30;
const REDIRECT: &str = "x-amz-website-redirect-location";

/// The current object of a key; `None` for a delete marker.
pub(super) fn current(db: &Connection, bucket: &Bucket, key: &str) -> Result<Option<Version>> {
    let latest = object::latest(db, bucket.id, key)?;
    Ok(latest
        .map(|(version, _)| version)
        .filter(|version| !version.is_marker))
}

impl S3 {
    pub(super) fn put_object(&self, call: &Call) -> Result<Reply> {
        // Checked again where it counts: a condition that does not hold is known before the data is written.
        let check = |db: &Connection, bucket: &Bucket| {
            condition::check_write(call, current(db, bucket, call.key())?.as_ref())
        };
        let (bucket, ()) = self.read(call, check)?;
        let payload = call.payload()?;
        let mut head = Head::of_request(call, &bucket)?;
        let written = payload.store(&self.files, &[])?;
        head.checksum = checksum_of(&written, payload.algorithm().unwrap_or(Algorithm::Crc64Nvme));
        let etag = written.etag();
        let (bucket, id) = self.write(call, |db, bucket| {
            check(db, bucket)?;
            let new = new_version(call.key(), &written, &etag, &head);
            store(db, call, bucket, &new, Event::Put)
        })?;
        written.keep();
        let mut reply = Reply::empty(200).with("etag", etag);
        head::show_checksum(&mut reply, &head);
        head::show_encryption(&mut reply, &head);
        head::show_version(&mut reply, &bucket, &id);
        Ok(reply)
    }

    pub(super) fn copy_object(&self, call: &Call) -> Result<Reply> {
        let source = Source::of(call)?;
        let (source_bucket, (from, parts)) = self.read_source(call, &source)?;
        condition::COPY.check_copy(call, &from)?;
        if from.size > MAX_COPY {
            return Err(Error::request(format!(
                "The specified copy source is larger than the maximum allowable size for a copy source: {MAX_COPY}"
            )));
        }
        let (bucket, ()) = self.read(call, |_, _| Ok(()))?;
        let mut head = head_of_copy(call, &bucket, &from)?;
        refuse_useless(call, &source, &from)?;
        let algorithm = match call.header("x-amz-checksum-algorithm") {
            Some(name) => read_algorithm(name)?,
            None => from
                .head
                .checksum
                .as_ref()
                .map_or(Algorithm::Crc64Nvme, |checksum| checksum.algorithm),
        };
        let mut writer = self.files.create(&[algorithm])?;
        let all = Span {
            first: 0,
            length: from.size,
        };
        self.files.read(&parts, all, |block| writer.write(block))?;
        let written = writer.finish();
        head.checksum = checksum_of(&written, algorithm);
        let etag = written.etag();
        let (bucket, id) = self.write(call, |db, bucket| {
            condition::check_write(call, current(db, bucket, call.key())?.as_ref())?;
            let new = new_version(call.key(), &written, &etag, &head);
            store(db, call, bucket, &new, Event::Copy)
        })?;
        written.keep();
        let mut reply = Reply::xml("CopyObjectResult", |xml| {
            xml.leaf("LastModified", &iso(call.now_ms));
            xml.leaf("ETag", &etag);
            checksum_elements(xml, &head);
        });
        head::show_encryption(&mut reply, &head);
        head::show_version(&mut reply, &bucket, &id);
        show_source(&mut reply, &source_bucket, &from);
        Ok(reply)
    }

    /// The bucket and the version that a copy reads.
    pub(super) fn read_source(&self, call: &Call, source: &Source) -> Result<(Bucket, Stored)> {
        let owner = call.header("x-amz-source-expected-bucket-owner");
        if owner.is_some_and(|owner| owner != call.caller.account) {
            return Err(Error::access_denied("Access Denied"));
        }
        self.database()?.read(|db| {
            let bucket = bucket::get(db, &call.caller.account, &source.bucket)?;
            let found = version_of(db, &bucket, &source.key, source.version.as_deref())?;
            Ok((bucket, found))
        })
    }
}

/// Names the version of the source, where its bucket has versions.
pub(super) fn show_source(reply: &mut Reply, bucket: &Bucket, from: &Version) {
    if bucket.versioning != bucket::Versioning::Off {
        reply.set("x-amz-copy-source-version-id", from.id.as_str());
    }
}

fn new_version<'a>(key: &'a str, written: &'a Written, etag: &'a str, head: &'a Head) -> NewVersion<'a> {
    NewVersion {
        key,
        is_marker: false,
        size: written.part.size,
        etag,
        head,
        parts: std::slice::from_ref(&written.part),
    }
}

/// Stores a new object and posts its notifications. Returns its version id.
pub(super) fn store(
    db: &Connection,
    call: &Call,
    bucket: &Bucket,
    new: &NewVersion<'_>,
    event: Event,
) -> Result<String> {
    let id = object::insert(db, bucket, new, call.now_ms)?;
    let object = notification::Object {
        key: new.key,
        version: &id,
        content: Some((new.size, new.etag)),
    };
    notification::post(db, call, bucket, event, &object)?;
    Ok(id)
}

fn checksum_of(written: &Written, algorithm: Algorithm) -> Option<Checksum> {
    written.checksum(algorithm).map(|value| Checksum {
        algorithm,
        value: value.to_owned(),
        kind: Kind::Full,
    })
}

pub(super) fn read_algorithm(name: &str) -> Result<Algorithm> {
    Algorithm::parse(name).ok_or_else(|| {
        Error::request("Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]")
    })
}

/// The object that the header `x-amz-copy-source` names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub bucket: String,
    pub key: String,
    pub version: Option<String>,
}

impl Source {
    pub fn of(call: &Call) -> Result<Self> {
        Self::of_headers(&call.headers).ok_or_else(|| {
            let given = call.header("x-amz-copy-source").unwrap_or_default();
            Error::argument("x-amz-copy-source", given, "Invalid copy source object key")
        })
    }

    pub fn of_headers(headers: &HeaderMap) -> Option<Self> {
        let given = headers.get("x-amz-copy-source")?;
        Self::parse(&String::from_utf8_lossy(given.as_bytes()))
    }

    fn parse(text: &str) -> Option<Self> {
        let (path, version) = match text.rsplit_once("?versionId=") {
            Some((path, version)) => (path, Some(version.to_owned())),
            None => (text, None),
        };
        let path = percent_decode(path);
        let path = path.strip_prefix('/').unwrap_or(&path);
        let (bucket, key) = path.split_once('/')?;
        (!bucket.is_empty() && !key.is_empty()).then(|| Self {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            version,
        })
    }
}

/// Whether the header `name` says REPLACE; COPY is the default.
fn replaces(call: &Call, name: &'static str) -> Result<bool> {
    match call.header(name) {
        None | Some("COPY") => Ok(false),
        Some("REPLACE") => Ok(true),
        Some(other) => Err(Error::argument(name, other, "Unknown metadata directive.")),
    }
}

fn head_of_copy(call: &Call, bucket: &Bucket, from: &Version) -> Result<Head> {
    head::refuse_unknown(call)?;
    let (mut headers, metadata) = match replaces(call, "x-amz-metadata-directive")? {
        true => (content_headers(call), metadata(call)?),
        false => (from.head.headers.clone(), from.head.metadata.clone()),
    };
    // A redirect is not copied.
    headers.remove(REDIRECT);
    if let Some(redirect) = call.header(REDIRECT) {
        headers.insert(REDIRECT.to_owned(), redirect.to_owned());
    }
    let tags = match replaces(call, "x-amz-tagging-directive")? {
        true => tagging::of_header(call.header("x-amz-tagging").unwrap_or_default())?,
        false => from.head.tags.clone(),
    };
    Ok(Head {
        headers,
        metadata,
        tags,
        storage_class: head::read_storage_class(call)?,
        encryption: head::encryption(call, bucket)?,
        acl: acl::of_headers(call, bucket)?,
        checksum: None,
        upload: None,
    })
}

/// Refuses to copy an object onto itself without a change.
fn refuse_useless(call: &Call, source: &Source, from: &Version) -> Result<()> {
    let is_same = source.bucket == call.bucket() && source.key == call.key() && from.is_latest;
    let changes = replaces(call, "x-amz-metadata-directive")?
        || [
            REDIRECT,
            "x-amz-storage-class",
            "x-amz-server-side-encryption",
            "x-amz-checksum-algorithm",
        ]
        .iter()
        .any(|name| call.header(name).is_some());
    if !is_same || changes {
        return Ok(());
    }
    Err(Error::request(
        "This copy request is illegal because it is trying to copy an object to itself without changing the object's \
         metadata, storage class, website redirect location or encryption attributes.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_paths_of_objects() {
        let source = |text| {
            Source::parse(text).map(|source| (source.bucket, source.key, source.version.unwrap_or_default()))
        };
        let expected = |bucket: &str, key: &str, version: &str| {
            Some((bucket.to_owned(), key.to_owned(), version.to_owned()))
        };
        assert_eq!(source("/b/a%20b%2Bc"), expected("b", "a b+c", ""));
        assert_eq!(source("b/k?versionId=1"), expected("b", "k", "1"));
        assert_eq!(source("b//k%3FversionId=1"), expected("b", "/k?versionId=1", ""));
        for text in ["", "b", "b/", "/", "//k"] {
            assert_eq!(source(text), None, "{text}");
        }
    }
}
