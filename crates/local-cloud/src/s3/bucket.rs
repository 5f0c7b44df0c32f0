//! Buckets in the database.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use crate::types::{Caller, Tags, partition};

/// Whether a bucket keeps the versions of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Versioning {
    /// Never turned on.
    Off,
    Enabled,
    /// Existing versions stay; a new object replaces the version `null`.
    Suspended,
}

impl Versioning {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "",
            Self::Enabled => "Enabled",
            Self::Suspended => "Suspended",
        }
    }

    pub fn parse(text: &str) -> Self {
        match text {
            "Enabled" => Self::Enabled,
            "Suspended" => Self::Suspended,
            _ => Self::Off,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bucket {
    pub id: i64,
    pub account: String,
    pub name: String,
    pub region: String,
    pub created_ms: i64,
    pub versioning: Versioning,
    pub tags: Tags,
    /// Configurations by subresource, such as `cors`: the document that the client sent, or the policy in JSON.
    pub settings: BTreeMap<String, String>,
}

impl Bucket {
    pub fn arn(&self) -> String {
        format!("arn:{}:s3:::{}", partition(&self.region), self.name)
    }

    fn of_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            account: row.get(1)?,
            name: row.get(2)?,
            region: row.get(3)?,
            created_ms: row.get(4)?,
            versioning: Versioning::parse(&row.get::<_, String>(5)?),
            tags: json(row, 6)?,
            settings: json(row, 7)?,
        })
    }

    /// Stores everything that can change.
    pub fn save(&self, db: &Connection) -> Result<()> {
        db.prepare_cached("UPDATE s3_buckets SET versioning = ?2, tags = ?3, settings = ?4 WHERE id = ?1")?
            .execute(params![
                self.id,
                self.versioning.as_str(),
                serde_json::to_string(&self.tags)?,
                serde_json::to_string(&self.settings)?,
            ])?;
        Ok(())
    }
}

/// A value that is stored as JSON.
pub(super) fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into())
    })
}

const COLUMNS: &str = "id, account, name, region, created_ms, versioning, tags, settings";

pub(super) fn find(db: &Connection, account: &str, name: &str) -> Result<Option<Bucket>> {
    let sql = format!("SELECT {COLUMNS} FROM s3_buckets WHERE account = ?1 AND name = ?2");
    let mut statement = db.prepare_cached(&sql)?;
    Ok(statement.query_row([account, name], Bucket::of_row).optional()?)
}

/// The bucket `name` of the caller's account.
///
/// # Errors
/// NoSuchBucket.
pub(super) fn get(db: &Connection, account: &str, name: &str) -> Result<Bucket> {
    find(db, account, name)?.ok_or_else(|| Error::no_bucket(name))
}

/// Stores a new bucket, whose id does not count.
pub(super) fn insert(db: &Connection, bucket: &Bucket) -> Result<i64> {
    db.execute(
        "INSERT INTO s3_buckets (account, name, region, created_ms, versioning, tags, settings)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            bucket.account,
            bucket.name,
            bucket.region,
            bucket.created_ms,
            bucket.versioning.as_str(),
            serde_json::to_string(&bucket.tags)?,
            serde_json::to_string(&bucket.settings)?,
        ],
    )?;
    Ok(db.last_insert_rowid())
}

pub(super) fn delete(db: &Connection, bucket: &Bucket) -> Result<()> {
    db.execute("DELETE FROM s3_buckets WHERE id = ?1", [bucket.id])?;
    Ok(())
}

/// The buckets of an account with names from `from` on, in order.
pub(super) fn of_account(db: &Connection, account: &str, from: &str) -> Result<Vec<Bucket>> {
    let sql = format!("SELECT {COLUMNS} FROM s3_buckets WHERE account = ?1 AND name >= ?2 ORDER BY name");
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map([account, from], Bucket::of_row)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The tagged buckets of the caller's account in the caller's region, by ARN.
pub(super) fn tagged(db: &Connection, caller: &Caller) -> Result<BTreeMap<String, Tags>> {
    let buckets = of_account(db, &caller.account, "")?.into_iter();
    let tagged = buckets.filter(|bucket| !bucket.tags.is_empty() && bucket.region == caller.region);
    Ok(tagged.map(|bucket| (bucket.arn(), bucket.tags)).collect())
}

/// Source: "General purpose bucket naming rules", S3 user guide.
pub(super) fn check_name(name: &str) -> Result<()> {
    const PREFIXES: &[&str] = &["xn--", "sthree-", "amzn-s3-demo-"];
    const SUFFIXES: &[&str] = &["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];
    let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-';
    let is_sound = (3..=63).contains(&name.len())
        && name.bytes().all(is_allowed)
        && !name.starts_with(['.', '-'])
        && !name.ends_with(['.', '-'])
        && !name.contains("..")
        && name.parse::<std::net::Ipv4Addr>().is_err()
        && !PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        && !SUFFIXES.iter().any(|suffix| name.ends_with(suffix));
    if is_sound {
        return Ok(());
    }
    Err(Error::new(400, "InvalidBucketName", "The specified bucket is not valid.").with("BucketName", name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules() {
        for name in ["abc", "my.orders-2026", "0a1"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in [
            "ab",
            "Abc",
            "a_b",
            "a..b",
            "-ab",
            "ab-",
            "10.0.0.1",
            "xn--a",
            "x-s3alias",
            "ä-b",
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert!(check_name(&"a".repeat(64)).is_err());
    }
}
