//! CompleteMultipartUpload: which parts make the object, and its entity tag and checksum.

use std::collections::BTreeMap;

use md5::Digest as _;
use rusqlite::Connection;

use super::{MAX_PARTS, MIN_PART, StoredPart, Upload, find, parts, remove};
use crate::s3::bucket::Bucket;
use crate::s3::call::Call;
use crate::s3::checksum::{self, Algorithm, Kind};
use crate::s3::condition;
use crate::s3::error::{Error, Result};
use crate::s3::notification::Event;
use crate::s3::object::{Checksum, Head, NewVersion, Part};
use crate::s3::payload::Payload;
use crate::s3::put::{self, current};
use crate::s3::xml;

/// A part that a client lists.
pub(super) struct Listed {
    number: u32,
    etag: String,
    /// Checksums by element.
    checksums: BTreeMap<String, String>,
}

/// The parts that CompleteMultipartUpload lists. Its headers with checksums are those of the object, not of the body.
pub(super) fn completed_parts(call: &Call) -> Result<Vec<Listed>> {
    let mut headers = call.headers.clone();
    for algorithm in Algorithm::ALL {
        headers.remove(algorithm.header());
    }
    let body = Payload::read(&headers, &call.body)?.document()?;
    let document = xml::parse(&body, "CompleteMultipartUpload")?;
    let parts = document.all("Part").map(|part| {
        let number = part.text_of("PartNumber").and_then(|number| number.parse().ok());
        let checksums = part
            .children
            .iter()
            .filter(|child| child.name.starts_with("Checksum"));
        Ok(Listed {
            number: number.ok_or_else(Error::malformed_xml)?,
            etag: part
                .text_of("ETag")
                .ok_or_else(Error::malformed_xml)?
                .trim_matches('"')
                .to_owned(),
            checksums: checksums
                .map(|child| (child.name.clone(), child.text.clone()))
                .collect(),
        })
    });
    let parts: Vec<Listed> = parts.collect::<Result<_>>()?;
    if !(1..=MAX_PARTS).contains(&parts.len()) {
        return Err(Error::malformed_xml());
    }
    if !parts.is_sorted_by(|a, b| a.number < b.number) {
        return Err(Error::new(
            400,
            "InvalidPartOrder",
            "The list of parts was not in ascending order. The parts list must be specified in order by part number.",
        )
        .with("UploadId", call.parameter("uploadId").unwrap_or_default()));
    }
    Ok(parts)
}

/// Makes the object. Returns its version, its head and its entity tag.
pub(super) fn complete(
    db: &Connection,
    call: &Call,
    bucket: &Bucket,
    listed: &[Listed],
) -> Result<(String, Head, String)> {
    let upload = match find(db, call, bucket) {
        Ok(upload) => upload,
        Err(error) => return completed_before(db, call, bucket)?.ok_or(error),
    };
    condition::check_write(call, current(db, bucket, call.key())?.as_ref())?;
    let chosen = choose(&upload, parts(db, upload.rank, 0)?, listed)?;
    let size = chosen.iter().map(|stored| stored.part.size).sum();
    check_size(call, size)?;
    let mut head = upload.head.clone();
    head.checksum = checksum_of(&upload, &chosen);
    head.upload = Some(upload.id.clone());
    check_checksum(call, head.checksum.as_ref())?;
    let etag = etag(&chosen);
    let parts: Vec<Part> = chosen.into_iter().map(|stored| stored.part).collect();
    let new = NewVersion {
        key: call.key(),
        is_marker: false,
        size,
        etag: &etag,
        head: &head,
        parts: &parts,
    };
    let id = put::store(db, call, bucket, &new, Event::CompleteMultipartUpload)?;
    remove(db, upload.rank, &parts, call.now_ms)?;
    Ok((id, head, etag))
}

/// The result of an earlier request, whose response may have been lost.
fn completed_before(db: &Connection, call: &Call, bucket: &Bucket) -> Result<Option<(String, Head, String)>> {
    let current = current(db, bucket, call.key())?;
    let id = call.parameter("uploadId");
    let current =
        current.filter(|current| current.head.upload.is_some() && current.head.upload.as_deref() == id);
    Ok(current.map(|version| (version.id, version.head, version.etag)))
}

/// The stored parts that the client lists.
fn choose(upload: &Upload, stored: Vec<StoredPart>, listed: &[Listed]) -> Result<Vec<StoredPart>> {
    let mut stored: BTreeMap<u32, StoredPart> =
        stored.into_iter().map(|stored| (stored.number, stored)).collect();
    let element = upload.checksum.map(|wanted| wanted.algorithm.element());
    let mut chosen = Vec::with_capacity(listed.len());
    for listed in listed {
        let invalid = || {
            Error::new(
                400,
                "InvalidPart",
                "One or more of the specified parts could not be found.  The part may not have been uploaded, or the \
                 specified entity tag may not match the part's entity tag.",
            )
            .with("UploadId", upload.id.as_str())
            .with("PartNumber", listed.number.to_string())
            .with("ETag", listed.etag.as_str())
        };
        let found = stored.remove(&listed.number).ok_or_else(invalid)?;
        let sent = element.and_then(|element| listed.checksums.get(element));
        let differs = sent.is_some() && sent != found.part.checksum.as_ref();
        if found.etag.trim_matches('"') != listed.etag || differs {
            return Err(invalid());
        }
        chosen.push(found);
    }
    check_sizes(&chosen)?;
    Ok(chosen)
}

fn check_sizes(chosen: &[StoredPart]) -> Result<()> {
    let all_but_last = chosen.split_last().map_or(&[][..], |(_, rest)| rest);
    match all_but_last.iter().find(|stored| stored.part.size < MIN_PART) {
        None => Ok(()),
        Some(small) => Err(Error::new(
            400,
            "EntityTooSmall",
            "Your proposed upload is smaller than the minimum allowed size",
        )
        .with("ETag", small.etag.trim_matches('"'))
        .with("MinSizeAllowed", MIN_PART.to_string())
        .with("ProposedSize", small.part.size.to_string())
        .with("PartNumber", small.number.to_string())),
    }
}

fn check_size(call: &Call, size: u64) -> Result<()> {
    match call.header("x-amz-mp-object-size") {
        Some(sent) if sent.parse() != Ok(size) => Err(Error::request(format!(
            "The provided 'x-amz-mp-object-size' header value {sent} does not match what was computed: {size}"
        ))),
        _ => Ok(()),
    }
}

/// Compares the checksum of the object with the one that the client sent in a header.
fn check_checksum(call: &Call, checksum: Option<&Checksum>) -> Result<()> {
    for algorithm in Algorithm::ALL {
        let Some(sent) = call.header(algorithm.header()) else {
            continue;
        };
        // A client may leave the number of parts out.
        let bare = |value: &str| value.split('-').next().unwrap_or_default().to_owned();
        let matches = checksum
            .is_some_and(|checksum| checksum.algorithm == algorithm && bare(&checksum.value) == bare(sent));
        if !matches {
            return Err(Error::new(
                400,
                "BadDigest",
                format!(
                    "The {} you specified did not match the calculated checksum.",
                    algorithm.as_str().to_ascii_lowercase()
                ),
            ));
        }
    }
    Ok(())
}

/// The checksum of an object of these parts. `None` for parts of earlier versions, which have none.
fn checksum_of(upload: &Upload, chosen: &[StoredPart]) -> Option<Checksum> {
    let algorithm = upload.algorithm();
    let kind = upload
        .checksum
        .map_or(algorithm.kind_of_parts(), |wanted| wanted.kind);
    let decoded: Vec<(Vec<u8>, u64)> = chosen
        .iter()
        .map(|stored| {
            Some((
                algorithm.decode(stored.part.checksum.as_deref()?)?,
                stored.part.size,
            ))
        })
        .collect::<Option<_>>()?;
    let value = match kind {
        Kind::Composite => checksum::composite(algorithm, decoded.iter().map(|(bytes, _)| bytes.as_slice())),
        Kind::Full => {
            let parts = decoded.iter().map(|(bytes, size)| (bytes.as_slice(), *size));
            checksum::encode(&checksum::combine(algorithm, parts)?)
        }
    };
    Some(Checksum {
        algorithm,
        value,
        kind,
    })
}

/// The MD5 of the MD5s of the parts, and their number.
fn etag(chosen: &[StoredPart]) -> String {
    let mut md5 = md5::Md5::new();
    for stored in chosen {
        // Entity tags of parts are MD5s in hex.
        md5.update(hex::decode(stored.etag.trim_matches('"')).unwrap_or_default());
    }
    format!("\"{}-{}\"", hex::encode(md5.finalize()), chosen.len())
}
