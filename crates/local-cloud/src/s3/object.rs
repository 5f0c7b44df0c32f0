//! Versions of objects in the database.
//!
//! The rows of a bucket are in the order of ListObjectVersions: by key, then from the newest version to the oldest. An
//! index holds the current objects alone. Every operation on one key, and each step of a listing, is a search in one of
//! the two, whatever the size of the bucket.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::bucket::{Bucket, Versioning, json};
use super::checksum::{Algorithm, Kind};
use super::error::Result;
use crate::types::Tags;

/// The version id of an object that was put while the bucket kept no versions.
pub(super) const NULL: &str = "null";

/// Encryption that a client or the bucket asks for. It has no effect: only its settings are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Encryption {
    /// `AES256`, `aws:kms` or `aws:kms:dsse`.
    pub algorithm: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(default)]
    pub bucket_key: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checksum {
    pub algorithm: Algorithm,
    /// In Base64; of a composite checksum with the number of parts.
    pub value: String,
    pub kind: Kind,
}

/// What a client says about an object, and gets back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Head {
    /// `content-type`, `cache-control` and so on.
    pub headers: BTreeMap<String, String>,
    /// The headers `x-amz-meta-*`, without the prefix.
    pub metadata: BTreeMap<String, String>,
    pub tags: Tags,
    /// `None` for STANDARD.
    pub storage_class: Option<String>,
    pub encryption: Option<Encryption>,
    /// A canned access control list, or a document.
    pub acl: Option<String>,
    pub checksum: Option<Checksum>,
    /// The upload that made the object, so that a repeated CompleteMultipartUpload gets the same answer.
    pub upload: Option<String>,
}

/// A file with data of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    pub file: String,
    pub size: u64,
    /// CRC64NVME of the data, in Base64, which reads compare. `None` in homes of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crc: Option<String>,
    /// Number and checksum in the upload. `None` for an object that was put as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    pub key: String,
    pub rank: i64,
    /// [`NULL`], or an opaque id.
    pub id: String,
    pub is_latest: bool,
    pub is_marker: bool,
    pub size: u64,
    /// With quotes. Empty for a delete marker.
    pub etag: String,
    pub modified_ms: i64,
    pub head: Head,
}

impl Version {
    /// Reads the columns [`COLUMNS`], beginning at `first`.
    pub fn of_row(row: &Row<'_>, first: usize) -> rusqlite::Result<Self> {
        Ok(Self {
            key: String::from_utf8_lossy(row.get_ref(first)?.as_bytes()?).into_owned(),
            rank: row.get(first + 1)?,
            id: row.get(first + 2)?,
            is_latest: row.get(first + 3)?,
            is_marker: row.get(first + 4)?,
            size: u64::try_from(row.get::<_, i64>(first + 5)?).unwrap_or(0),
            etag: row.get(first + 6)?,
            modified_ms: row.get(first + 7)?,
            head: json(row, first + 8)?,
        })
    }
}

pub(super) const COLUMNS: &str =
    "key, rank, version, is_latest, is_marker, size, etag, modified_ms, head, parts";

/// A version and where its data is.
pub(super) type Stored = (Version, Vec<Part>);

fn of_row(row: &Row<'_>) -> rusqlite::Result<Stored> {
    Ok((Version::of_row(row, 0)?, json(row, 9)?))
}

/// The newest version of a key, which may be a delete marker.
pub(super) fn latest(db: &Connection, bucket: i64, key: &str) -> Result<Option<Stored>> {
    let sql =
        format!("SELECT {COLUMNS} FROM s3_versions WHERE bucket = ?1 AND key = ?2 ORDER BY rank LIMIT 1");
    let mut statement = db.prepare_cached(&sql)?;
    Ok(statement
        .query_row(params![bucket, key.as_bytes()], of_row)
        .optional()?)
}

pub(super) fn by_id(db: &Connection, bucket: i64, key: &str, id: &str) -> Result<Option<Stored>> {
    let sql = format!("SELECT {COLUMNS} FROM s3_versions WHERE bucket = ?1 AND key = ?2 AND version = ?3");
    let mut statement = db.prepare_cached(&sql)?;
    Ok(statement
        .query_row(params![bucket, key.as_bytes(), id], of_row)
        .optional()?)
}

/// Whether the bucket has neither objects nor delete markers.
pub(super) fn is_empty(db: &Connection, bucket: i64) -> Result<bool> {
    let mut statement = db.prepare_cached("SELECT 1 FROM s3_versions WHERE bucket = ?1 LIMIT 1")?;
    Ok(!statement.exists([bucket])?)
}

/// What is about to be stored.
pub(super) struct NewVersion<'a> {
    pub key: &'a str,
    pub is_marker: bool,
    pub size: u64,
    pub etag: &'a str,
    pub head: &'a Head,
    pub parts: &'a [Part],
}

/// Stores a version as the newest of its key, in place of the version `null` where the bucket keeps no versions.
/// Returns its id.
pub(super) fn insert(db: &Connection, bucket: &Bucket, new: &NewVersion<'_>, now_ms: i64) -> Result<String> {
    let id = match bucket.versioning {
        Versioning::Enabled => format!("{:032x}", rand::random::<u128>()),
        Versioning::Off | Versioning::Suspended => {
            if let Some(replaced) = by_id(db, bucket.id, new.key, NULL)? {
                remove_row(db, bucket.id, &replaced, now_ms)?;
            }
            NULL.to_owned()
        }
    };
    insert_row(db, bucket.id, new, &id, now_ms)?;
    Ok(id)
}

/// Stores a version with this id and time as the newest of its key.
pub(super) fn insert_row(
    db: &Connection,
    bucket: i64,
    new: &NewVersion<'_>,
    id: &str,
    modified_ms: i64,
) -> Result<()> {
    let key = new.key.as_bytes();
    let mut newest = db.prepare_cached("SELECT min(rank) FROM s3_versions WHERE bucket = ?1 AND key = ?2")?;
    let newest: Option<i64> = newest.query_row(params![bucket, key], |row| row.get(0))?;
    if let Some(rank) = newest {
        db.prepare_cached(
            "UPDATE s3_versions SET is_latest = 0 WHERE bucket = ?1 AND key = ?2 AND rank = ?3",
        )?
        .execute(params![bucket, key, rank])?;
    }
    db.prepare_cached("INSERT INTO s3_versions VALUES (?1, ?2, ?3, ?4, 1, ?5, ?6, ?7, ?8, ?9, ?10)")?
        .execute(params![
            bucket,
            key,
            newest.unwrap_or(0) - 1,
            id,
            new.is_marker,
            i64::try_from(new.size).unwrap_or(i64::MAX),
            new.etag,
            modified_ms,
            serde_json::to_string(new.head)?,
            serde_json::to_string(new.parts)?,
        ])?;
    Ok(())
}

/// Deletes a version; the next older one becomes the latest.
pub(super) fn remove(db: &Connection, bucket: i64, stored: &Stored, now_ms: i64) -> Result<()> {
    remove_row(db, bucket, stored, now_ms)?;
    if stored.0.is_latest {
        db.prepare_cached(
            "UPDATE s3_versions SET is_latest = 1 WHERE bucket = ?1 AND key = ?2
             AND rank = (SELECT min(rank) FROM s3_versions WHERE bucket = ?1 AND key = ?2)",
        )?
        .execute(params![bucket, stored.0.key.as_bytes()])?;
    }
    Ok(())
}

fn remove_row(db: &Connection, bucket: i64, (version, parts): &Stored, now_ms: i64) -> Result<()> {
    db.prepare_cached("DELETE FROM s3_versions WHERE bucket = ?1 AND key = ?2 AND rank = ?3")?
        .execute(params![bucket, version.key.as_bytes(), version.rank])?;
    for part in parts {
        discard(db, &part.file, now_ms)?;
    }
    Ok(())
}

/// Marks a file as no longer used.
pub(super) fn discard(db: &Connection, file: &str, now_ms: i64) -> Result<()> {
    db.prepare_cached("INSERT OR IGNORE INTO s3_discarded VALUES (?1, ?2)")?
        .execute(params![file, now_ms])?;
    Ok(())
}

/// Stores a changed head of a version.
pub(super) fn save_head(db: &Connection, bucket: i64, version: &Version) -> Result<()> {
    db.prepare_cached("UPDATE s3_versions SET head = ?4 WHERE bucket = ?1 AND key = ?2 AND rank = ?3")?
        .execute(params![
            bucket,
            version.key.as_bytes(),
            version.rank,
            serde_json::to_string(&version.head)?
        ])?;
    Ok(())
}
