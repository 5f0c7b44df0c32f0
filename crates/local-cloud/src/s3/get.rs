//! GetObject, HeadObject and GetObjectAttributes.

use super::S3;
use super::bucket::Bucket;
use super::call::{Call, Reply};
use super::condition;
use super::error::{Error, Result};
use super::files::Span;
use super::head;
use super::list::storage_class;
use super::object::{self, Part, Stored, Version};
use super::range;
use super::time;
use crate::query::Xml;

/// The part of an object that a response has.
struct Selection {
    span: Span,
    /// Whether the response is 206.
    is_partial: bool,
    /// Parts of the object, if the request asks for one of them.
    parts: Option<usize>,
}

impl S3 {
    pub(super) fn get_object(&self, call: &Call, is_head: bool) -> Result<Reply> {
        let (bucket, (version, parts)) = self.read(call, |db, bucket| find(db, call, bucket))?;
        condition::READ.check_read(call, &version)?;
        let selection = select(call, &version, &parts)?;
        let span = selection.span;
        let status = if selection.is_partial { 206 } else { 200 };
        let mut reply = match is_head {
            true => Reply::empty(status),
            false => Reply::of(status, "", self.files.body(&parts, span)?),
        };
        head::show(&mut reply, call, &bucket, &version);
        reply.set("content-length", span.length.to_string());
        if selection.is_partial && version.size > 0 {
            reply.set("content-range", range::content_range(span, version.size));
        }
        if let Some(count) = selection.parts {
            reply.set("x-amz-mp-parts-count", count.to_string());
        }
        let wants_checksum = call
            .header("x-amz-checksum-mode")
            .is_some_and(|mode| mode.eq_ignore_ascii_case("enabled"));
        // The checksum is that of the whole object.
        if wants_checksum && span.length == version.size {
            head::show_checksum(&mut reply, &version.head);
        }
        Ok(reply)
    }

    pub(super) fn get_object_attributes(&self, call: &Call) -> Result<Reply> {
        let asked = call.header("x-amz-object-attributes").unwrap_or_default();
        let asked: Vec<&str> = asked
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .collect();
        if asked.is_empty() {
            return Err(Error::request(
                "The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty",
            ));
        }
        const KNOWN: [&str; 5] = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"];
        if let Some(other) = asked.iter().find(|name| !KNOWN.contains(name)) {
            return Err(Error::argument(
                "x-amz-object-attributes",
                other,
                "Invalid attribute name specified.",
            ));
        }
        let (bucket, (version, parts)) = self.read(call, |db, bucket| find(db, call, bucket))?;
        let mut reply = Reply::xml("GetObjectAttributesResponse", |xml| {
            if asked.contains(&"ETag") {
                xml.leaf("ETag", version.etag.trim_matches('"'));
            }
            if let (true, Some(checksum)) = (asked.contains(&"Checksum"), &version.head.checksum) {
                xml.element("Checksum", |xml| {
                    xml.leaf(checksum.algorithm.element(), &checksum.value);
                    xml.leaf("ChecksumType", checksum.kind.as_str());
                });
            }
            if asked.contains(&"ObjectParts") && parts.iter().any(|part| part.number.is_some()) {
                xml.element("ObjectParts", |xml| {
                    xml.leaf("PartsCount", &parts.len().to_string())
                });
            }
            if asked.contains(&"StorageClass") {
                xml.leaf("StorageClass", storage_class(&version));
            }
            if asked.contains(&"ObjectSize") {
                xml.leaf("ObjectSize", &version.size.to_string());
            }
        });
        reply.set("last-modified", time::http(version.modified_ms));
        head::show_version(&mut reply, &bucket, &version.id);
        Ok(reply)
    }
}

/// The version that a request addresses.
///
/// # Errors
/// If there is none, or it is a delete marker.
pub(super) fn find(db: &rusqlite::Connection, call: &Call, bucket: &Bucket) -> Result<Stored> {
    version_of(db, bucket, call.key(), call.parameter("versionId"))
}

/// A version of `key`, by default the current one.
pub(super) fn version_of(
    db: &rusqlite::Connection,
    bucket: &Bucket,
    key: &str,
    id: Option<&str>,
) -> Result<Stored> {
    let found = match id {
        Some(id) => object::by_id(db, bucket.id, key, id)?.ok_or_else(|| Error::no_version(key, id))?,
        None => object::latest(db, bucket.id, key)?.ok_or_else(|| Error::no_key(key))?,
    };
    let version = &found.0;
    if !version.is_marker {
        return Ok(found);
    }
    let error = match id {
        Some(_) => Error::new(
            405,
            "MethodNotAllowed",
            "The specified method is not allowed against this resource.",
        )
        .with("ResourceType", "DeleteMarker")
        .header("allow", "DELETE")
        .header("last-modified", time::http(version.modified_ms)),
        None => Error::no_key(key),
    };
    Err(error
        .header("x-amz-delete-marker", "true")
        .header("x-amz-version-id", version.id.as_str()))
}

fn select(call: &Call, version: &Version, parts: &[Part]) -> Result<Selection> {
    let all = Span {
        first: 0,
        length: version.size,
    };
    let range = call.header("range");
    let Some(number) = call.parameter("partNumber") else {
        let span = range
            .map(|range| range::of_header(range, version.size))
            .transpose()?
            .flatten();
        return Ok(Selection {
            span: span.unwrap_or(all),
            is_partial: span.is_some(),
            parts: None,
        });
    };
    if range.is_some() {
        return Err(Error::request(
            "Cannot specify both Range header and partNumber query parameter",
        ));
    }
    select_part(number, all, parts)
}

fn select_part(number: &str, all: Span, parts: &[Part]) -> Result<Selection> {
    let wanted: usize = number
        .parse()
        .ok()
        .filter(|number| (1..=super::multipart::MAX_PARTS).contains(number))
        .ok_or_else(|| {
            let message = "Part number must be an integer between 1 and 10000, inclusive";
            Error::argument("partNumber", number, message)
        })?;
    let is_in_parts = parts.iter().any(|part| part.number.is_some());
    if !is_in_parts && wanted == 1 {
        return Ok(Selection {
            span: all,
            is_partial: true,
            parts: None,
        });
    }
    let part = parts.get(wanted - 1).filter(|_| is_in_parts).ok_or_else(|| {
        Error::new(
            416,
            "InvalidPartNumber",
            "The requested partnumber is not satisfiable",
        )
        .with("PartNumberRequested", number)
        .with("ActualPartCount", parts.len().max(1).to_string())
    })?;
    let before = parts.iter().take(wanted - 1).map(|part| part.size).sum();
    Ok(Selection {
        span: Span {
            first: before,
            length: part.size,
        },
        is_partial: true,
        parts: Some(parts.len()),
    })
}

/// The checksum elements of a version.
pub(super) fn checksum_elements(xml: &mut Xml, version: &object::Head) {
    if let Some(checksum) = &version.checksum {
        xml.leaf(checksum.algorithm.element(), &checksum.value);
        xml.leaf("ChecksumType", checksum.kind.as_str());
    }
}
