//! Uploads in parts.
//!
//! Source: "Uploading and copying objects using multipart upload", S3 user guide.

mod complete;

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::S3;
use super::bucket::{Bucket, json};
use super::call::{Call, Reply};
use super::checksum::{Algorithm, Kind};
use super::condition;
use super::error::{Error, Result};
use super::files::{Span, Written};
use super::get::checksum_elements;
use super::head;
use super::list::{common_prefixes, filter, last_name, owner, tail};
use super::object::{self, Head, Part};
use super::page::{self, IN_ORDER, Place};
use super::put::{self, Source, read_algorithm};
use super::time::iso;
use crate::query::Xml;

pub(super) const MAX_PARTS: usize = 10_000;
/// The smallest part, but for the last.
const MIN_PART: u64 = 5 << 20;

/// The checksum that an upload asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Wanted {
    algorithm: Algorithm,
    kind: Kind,
}

struct Upload {
    rank: i64,
    key: String,
    id: String,
    started_ms: i64,
    head: Head,
    /// `None` where the client asked for none: the object then gets CRC64NVME.
    checksum: Option<Wanted>,
}

const COLUMNS: &str = "key, rank, id, started_ms, head, checksum";

impl Upload {
    fn of_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            key: String::from_utf8_lossy(row.get_ref(0)?.as_bytes()?).into_owned(),
            rank: row.get(1)?,
            id: row.get(2)?,
            started_ms: row.get(3)?,
            head: json(row, 4)?,
            checksum: json(row, 5)?,
        })
    }

    fn algorithm(&self) -> Algorithm {
        self.checksum
            .map_or(Algorithm::Crc64Nvme, |wanted| wanted.algorithm)
    }
}

struct StoredPart {
    number: u32,
    etag: String,
    modified_ms: i64,
    part: Part,
}

impl StoredPart {
    fn of_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            number: row.get(0)?,
            etag: row.get(1)?,
            modified_ms: row.get(2)?,
            part: json(row, 3)?,
        })
    }
}

/// The upload that a request names.
fn find(db: &Connection, call: &Call, bucket: &Bucket) -> Result<Upload> {
    let id = call.parameter("uploadId").unwrap_or_default();
    by_id(db, bucket.id, id)?
        .filter(|upload| upload.key == call.key())
        .ok_or_else(|| Error::no_upload(id))
}

fn by_id(db: &Connection, bucket: i64, id: &str) -> Result<Option<Upload>> {
    let sql = format!("SELECT {COLUMNS} FROM s3_uploads WHERE id = ?1 AND bucket = ?2");
    let mut statement = db.prepare_cached(&sql)?;
    Ok(statement
        .query_row(params![id, bucket], Upload::of_row)
        .optional()?)
}

/// The parts of an upload with numbers above `after`, in order.
fn parts(db: &Connection, upload: i64, after: u32) -> Result<Vec<StoredPart>> {
    let mut statement = db.prepare_cached(
        "SELECT number, etag, modified_ms, part FROM s3_parts WHERE upload = ?1 AND number > ?2 ORDER BY number",
    )?;
    let rows = statement.query_map(params![upload, after], StoredPart::of_row)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Starts an upload that has this id.
pub(super) fn insert(
    db: &Connection,
    bucket: i64,
    key: &str,
    id: &str,
    head: &Head,
    started_ms: i64,
) -> Result<i64> {
    insert_with(db, bucket, key, id, head, None, started_ms)
}

fn insert_with(
    db: &Connection,
    bucket: i64,
    key: &str,
    id: &str,
    head: &Head,
    checksum: Option<Wanted>,
    started_ms: i64,
) -> Result<i64> {
    db.execute(
        "INSERT INTO s3_uploads (bucket, key, id, started_ms, head, checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            bucket,
            key.as_bytes(),
            id,
            started_ms,
            serde_json::to_string(head)?,
            serde_json::to_string(&checksum)?
        ],
    )?;
    Ok(db.last_insert_rowid())
}

/// Stores a part, in place of an earlier one with this number.
pub(super) fn insert_part(
    db: &Connection,
    upload: i64,
    number: u32,
    etag: &str,
    part: &Part,
    now_ms: i64,
) -> Result<()> {
    let mut replaced = db.prepare_cached("SELECT part FROM s3_parts WHERE upload = ?1 AND number = ?2")?;
    let replaced: Option<Part> = replaced
        .query_row(params![upload, number], |row| json(row, 0))
        .optional()?;
    if let Some(replaced) = replaced {
        object::discard(db, &replaced.file, now_ms)?;
    }
    db.prepare_cached("INSERT OR REPLACE INTO s3_parts VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            upload,
            number,
            etag,
            now_ms,
            serde_json::to_string(part)?
        ])?;
    Ok(())
}

/// Deletes an upload. The files of parts that are not in `kept` are no longer used.
fn remove(db: &Connection, upload: i64, kept: &[Part], now_ms: i64) -> Result<()> {
    let kept: std::collections::HashSet<&str> = kept.iter().map(|part| part.file.as_str()).collect();
    for stored in parts(db, upload, 0)? {
        if !kept.contains(stored.part.file.as_str()) {
            object::discard(db, &stored.part.file, now_ms)?;
        }
    }
    db.execute("DELETE FROM s3_parts WHERE upload = ?1", [upload])?;
    db.execute("DELETE FROM s3_uploads WHERE rank = ?1", [upload])?;
    Ok(())
}

/// Deletes all uploads of a bucket.
pub(super) fn abort_all(db: &Connection, bucket: i64, now_ms: i64) -> Result<()> {
    let mut statement = db.prepare("SELECT rank FROM s3_uploads WHERE bucket = ?1")?;
    let uploads: Vec<i64> = statement
        .query_map([bucket], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    uploads
        .into_iter()
        .try_for_each(|upload| remove(db, upload, &[], now_ms))
}

impl S3 {
    pub(super) fn create_multipart_upload(&self, call: &Call) -> Result<Reply> {
        let (bucket, ()) = self.read(call, |_, _| Ok(()))?;
        let head = Head::of_request(call, &bucket)?;
        let checksum = wanted_checksum(call)?;
        let id = format!("{:032x}{:016x}", rand::random::<u128>(), rand::random::<u64>());
        let (bucket, ()) = self.write(call, |db, bucket| {
            insert_with(db, bucket.id, call.key(), &id, &head, checksum, call.now_ms).map(drop)
        })?;
        let mut reply = Reply::xml("InitiateMultipartUploadResult", |xml| {
            xml.leaf("Bucket", &bucket.name);
            xml.leaf("Key", call.key());
            xml.leaf("UploadId", &id);
        });
        head::show_encryption(&mut reply, &head);
        if let Some(wanted) = checksum {
            reply.set("x-amz-checksum-algorithm", wanted.algorithm.as_str());
            reply.set("x-amz-checksum-type", wanted.kind.as_str());
        }
        Ok(reply)
    }

    pub(super) fn upload_part(&self, call: &Call) -> Result<Reply> {
        let number = part_number(call)?;
        let (_, upload) = self.read(call, |db, bucket| find(db, call, bucket))?;
        let payload = call.payload()?;
        check_algorithm(&upload, payload.algorithm())?;
        let written = payload.store(&self.files, &[upload.algorithm()])?;
        let mut reply = Reply::empty(200).with("etag", written.etag());
        let shown = payload
            .algorithm()
            .or(upload.checksum.map(|wanted| wanted.algorithm));
        if let Some((algorithm, value)) = shown.and_then(|one| Some((one, written.checksum(one)?))) {
            reply.set(algorithm.header(), value);
        }
        head::show_encryption(&mut reply, &upload.head);
        self.keep_part(call, number, &upload, written)?;
        Ok(reply)
    }

    pub(super) fn upload_part_copy(&self, call: &Call) -> Result<Reply> {
        let number = part_number(call)?;
        let (_, upload) = self.read(call, |db, bucket| find(db, call, bucket))?;
        let source = Source::of(call)?;
        let (source_bucket, (from, stored)) = self.read_source(call, &source)?;
        condition::COPY.check_copy(call, &from)?;
        let span = copied_span(call.header("x-amz-copy-source-range"), from.size)?;
        let mut writer = self.files.create(&[upload.algorithm()])?;
        self.files.read(&stored, span, |block| writer.write(block))?;
        let written = writer.finish();
        let mut reply = Reply::xml("CopyPartResult", |xml| {
            xml.leaf("LastModified", &iso(call.now_ms));
            xml.leaf("ETag", &written.etag());
            if let Some((wanted, value)) = upload
                .checksum
                .and_then(|wanted| Some((wanted, written.checksum(wanted.algorithm)?)))
            {
                xml.leaf(wanted.algorithm.element(), value);
            }
        });
        head::show_encryption(&mut reply, &upload.head);
        put::show_source(&mut reply, &source_bucket, &from);
        self.keep_part(call, number, &upload, written)?;
        Ok(reply)
    }

    fn keep_part(&self, call: &Call, number: u32, upload: &Upload, written: Written) -> Result<()> {
        let part = Part {
            number: Some(number),
            checksum: written.checksum(upload.algorithm()).map(str::to_owned),
            ..written.part.clone()
        };
        self.write(call, |db, bucket| {
            // It may have been completed or aborted meanwhile.
            let upload = find(db, call, bucket)?;
            insert_part(db, upload.rank, number, &written.etag(), &part, call.now_ms)
        })?;
        written.keep();
        Ok(())
    }

    pub(super) fn complete_multipart_upload(&self, call: &Call) -> Result<Reply> {
        let listed = complete::completed_parts(call)?;
        let (bucket, (version, head, etag)) =
            self.write(call, |db, bucket| complete::complete(db, call, bucket, &listed))?;
        let host = call.header("host").unwrap_or("localhost");
        let mut reply = Reply::xml("CompleteMultipartUploadResult", |xml| {
            xml.leaf(
                "Location",
                &format!("http://{host}/{}/{}", bucket.name, call.key()),
            );
            xml.leaf("Bucket", &bucket.name);
            xml.leaf("Key", call.key());
            xml.leaf("ETag", &etag);
            checksum_elements(xml, &head);
        });
        head::show_encryption(&mut reply, &head);
        head::show_version(&mut reply, &bucket, &version);
        Ok(reply)
    }

    pub(super) fn abort_multipart_upload(&self, call: &Call) -> Result<Reply> {
        self.write(call, |db, bucket| {
            let upload = find(db, call, bucket)?;
            remove(db, upload.rank, &[], call.now_ms)
        })?;
        Ok(Reply::empty(204))
    }

    pub(super) fn list_parts(&self, call: &Call) -> Result<Reply> {
        let max = call.page_size("max-parts")?;
        let marker = call.parameter("part-number-marker").unwrap_or_default();
        let after: u32 = marker.parse().unwrap_or(0);
        let (bucket, (upload, mut parts)) = self.read(call, |db, bucket| {
            let upload = find(db, call, bucket)?;
            let parts = parts(db, upload.rank, after)?;
            Ok((upload, parts))
        })?;
        let is_truncated = parts.len() > max;
        parts.truncate(max);
        Ok(Reply::xml("ListPartsResult", |xml| {
            xml.leaf("Bucket", &bucket.name);
            xml.leaf("Key", call.key());
            xml.leaf("UploadId", &upload.id);
            owner(xml, "Initiator", &bucket.account);
            owner(xml, "Owner", &bucket.account);
            xml.leaf(
                "StorageClass",
                upload.head.storage_class.as_deref().unwrap_or("STANDARD"),
            );
            xml.leaf("PartNumberMarker", &after.to_string());
            if let Some(last) = parts.last() {
                xml.leaf("NextPartNumberMarker", &last.number.to_string());
            }
            xml.leaf("MaxParts", &max.to_string());
            xml.leaf("IsTruncated", if is_truncated { "true" } else { "false" });
            show_wanted(xml, upload.checksum);
            for part in &parts {
                show_part(xml, part, upload.checksum);
            }
        }))
    }

    pub(super) fn list_multipart_uploads(&self, call: &Call) -> Result<Reply> {
        let names = call.names()?;
        let filter = filter(call, "max-uploads")?;
        let key_marker = call.parameter("key-marker").unwrap_or_default();
        // Without a key it does not count. Source: ListMultipartUploads, S3 API reference.
        let id_marker = call
            .parameter("upload-id-marker")
            .filter(|_| !key_marker.is_empty());
        let (bucket, page) = self.read(call, |db, bucket| {
            let from = match id_marker.filter(|id| !id.is_empty()) {
                None => filter.after(key_marker),
                // One that has ended since the last page: what is left of the key is listed.
                Some(id) => {
                    by_id(db, bucket.id, id)?.map_or(Place::at(key_marker.as_bytes()), |upload| Place {
                        key: upload.key.into_bytes(),
                        rank: upload.rank + 1,
                    })
                }
            };
            let sql = format!("SELECT {COLUMNS} FROM s3_uploads WHERE {IN_ORDER}");
            page::read(db, &sql, bucket.id, &filter, from, Upload::of_row)
        })?;
        Ok(Reply::xml("ListMultipartUploadsResult", |xml| {
            xml.leaf("Bucket", &bucket.name);
            names.leaf(xml, "KeyMarker", key_marker);
            xml.leaf("UploadIdMarker", id_marker.unwrap_or_default());
            if page.next.is_some() {
                names.leaf(xml, "NextKeyMarker", last_name(&page, |upload| &upload.key));
                if let Some(page::Entry::Item(upload)) = page.entries.last() {
                    xml.leaf("NextUploadIdMarker", &upload.id);
                }
            }
            names.leaf(xml, "Prefix", filter.prefix);
            tail(xml, names, &filter, "MaxUploads", page.next.is_some());
            for upload in page.items() {
                xml.element("Upload", |xml| {
                    names.leaf(xml, "Key", &upload.key);
                    xml.leaf("UploadId", &upload.id);
                    owner(xml, "Initiator", &bucket.account);
                    owner(xml, "Owner", &bucket.account);
                    xml.leaf(
                        "StorageClass",
                        upload.head.storage_class.as_deref().unwrap_or("STANDARD"),
                    );
                    xml.leaf("Initiated", &iso(upload.started_ms));
                    show_wanted(xml, upload.checksum);
                });
            }
            common_prefixes(xml, names, &page);
        }))
    }
}

fn show_wanted(xml: &mut Xml, checksum: Option<Wanted>) {
    if let Some(wanted) = checksum {
        xml.leaf("ChecksumAlgorithm", wanted.algorithm.as_str());
        xml.leaf("ChecksumType", wanted.kind.as_str());
    }
}

fn show_part(xml: &mut Xml, stored: &StoredPart, checksum: Option<Wanted>) {
    xml.element("Part", |xml| {
        xml.leaf("PartNumber", &stored.number.to_string());
        xml.leaf("LastModified", &iso(stored.modified_ms));
        xml.leaf("ETag", &stored.etag);
        if let (Some(wanted), Some(value)) = (checksum, &stored.part.checksum) {
            xml.leaf(wanted.algorithm.element(), value);
        }
        xml.leaf("Size", &stored.part.size.to_string());
    });
}

fn wanted_checksum(call: &Call) -> Result<Option<Wanted>> {
    let kind = match call.header("x-amz-checksum-type") {
        None => None,
        Some("FULL_OBJECT") => Some(Kind::Full),
        Some("COMPOSITE") => Some(Kind::Composite),
        Some(_) => return Err(Error::request("Value for x-amz-checksum-type header is invalid.")),
    };
    let Some(name) = call.header("x-amz-checksum-algorithm") else {
        return match kind {
            None => Ok(None),
            Some(_) => Err(Error::request(
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
            )),
        };
    };
    let algorithm = read_algorithm(name)?;
    let kind = kind.unwrap_or(algorithm.kind_of_parts());
    if !algorithm.allows(kind) {
        return Err(Error::request(format!(
            "The {} checksum type cannot be used with the {} checksum algorithm.",
            kind.as_str(),
            algorithm.as_str().to_ascii_lowercase()
        )));
    }
    Ok(Some(Wanted { algorithm, kind }))
}

fn check_algorithm(upload: &Upload, sent: Option<Algorithm>) -> Result<()> {
    match (upload.checksum, sent) {
        (Some(wanted), Some(sent)) if wanted.algorithm != sent => {
            let lower = |algorithm: Algorithm| algorithm.as_str().to_ascii_lowercase();
            Err(Error::request(format!(
                "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
                lower(wanted.algorithm),
                lower(sent)
            )))
        }
        _ => Ok(()),
    }
}

fn part_number(call: &Call) -> Result<u32> {
    let given = call.parameter("partNumber").unwrap_or_default();
    let max = u32::try_from(MAX_PARTS).unwrap_or(u32::MAX);
    given
        .parse()
        .ok()
        .filter(|number| (1..=max).contains(number))
        .ok_or_else(|| {
            let message = "Part number must be an integer between 1 and 10000, inclusive";
            Error::argument("partNumber", given, message)
        })
}

/// The range of the source of a part. Unlike that of a read, it must be inside the object.
fn copied_span(range: Option<&str>, size: u64) -> Result<Span> {
    let Some(range) = range else {
        return Ok(Span {
            first: 0,
            length: size,
        });
    };
    let bounds = range.strip_prefix("bytes=").and_then(|range| {
        let (first, last) = range.split_once('-')?;
        Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?))
    });
    match bounds {
        Some((first, last)) if first <= last && last < size => Ok(Span {
            first,
            length: last - first + 1,
        }),
        Some(_) => Err(Error::argument(
            "x-amz-copy-source-range",
            range,
            format!("Range specified is not valid for source object of size: {size}"),
        )),
        None => Err(Error::argument(
            "x-amz-copy-source-range",
            range,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the \
             zero-based offsets of the first and last bytes to copy",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_a_source_is_inside_it() {
        let span = |range| copied_span(range, 10).map(|span| (span.first, span.length)).ok();
        assert_eq!(span(None), Some((0, 10)));
        assert_eq!(span(Some("bytes=2-9")), Some((2, 8)));
        for range in ["bytes=2-10", "bytes=3-2", "bytes=-3", "bytes=2-", "2-3"] {
            assert_eq!(span(Some(range)), None, "{range}");
        }
    }
}
