//! Takes over buckets and objects that an earlier version of the local cloud stored.
//!
//! Before, the state of each bucket, object and upload was a JSON value of the crate awsim-s3, in the tables `buckets`,
//! `objects`, `uploads` and `garbage` of the same database. The files with the data are used as they are.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};
use serde::Deserialize;
use serde_json::Value;

use super::bucket::{self, Bucket, Versioning};
use super::checksum::{Algorithm, Kind};
use super::error::{Error, Result};
use super::multipart;
use super::object::{self, Checksum, Encryption, Head, NewVersion, Part};
use super::settings::Setting;
use super::time::read_http;
use super::xml::{self, Node};
use crate::types::Tags;

#[derive(Deserialize)]
struct OldBucket {
    name: String,
    region: String,
    created_at: String,
    versioning: String,
    #[serde(default)]
    tags: Tags,
    policy: Option<String>,
    cors: Option<String>,
    #[serde(default)]
    lifecycle: Option<String>,
    #[serde(default)]
    encryption: Option<String>,
    acl: Option<String>,
    logging: Option<String>,
    #[serde(default)]
    notification_config: OldNotifications,
    #[serde(default)]
    configs: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
struct OldNotifications {
    destinations: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct OldVersions {
    /// The oldest first.
    versions: Vec<OldObject>,
}

#[derive(Deserialize)]
struct OldObject {
    body: OldBody,
    content_type: String,
    content_length: u64,
    etag: String,
    last_modified: String,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    version_id: Option<String>,
    #[serde(default)]
    tags: Tags,
    content_encoding: Option<String>,
    cache_control: Option<String>,
    content_disposition: Option<String>,
    content_language: Option<String>,
    expires: Option<String>,
    checksum_algorithm: Option<String>,
    checksum_value: Option<String>,
    sse_algorithm: Option<String>,
    sse_kms_key_id: Option<String>,
    #[serde(default)]
    is_delete_marker: bool,
}

#[derive(Deserialize)]
struct OldUpload {
    parts: BTreeMap<u32, OldPart>,
    created_at: String,
    content_type: String,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct OldPart {
    body: OldBody,
    etag: String,
}

#[derive(Deserialize)]
enum OldBody {
    InMemory(Vec<u8>),
    OnDisk(std::path::PathBuf),
}

impl OldBody {
    /// The file of `size` bytes, if there is one: an object without data may have none. One that is missing or too short
    /// is an error when it is read.
    fn part(&self, size: u64) -> Option<Part> {
        let Self::OnDisk(path) = self else { return None };
        let file = path.file_name()?.to_str()?.to_owned();
        Some(Part {
            file,
            size,
            crc: None,
            number: None,
            checksum: None,
        })
    }

    fn holds_data(&self) -> bool {
        matches!(self, Self::InMemory(bytes) if !bytes.is_empty())
    }
}

/// Whether there is something to take over.
pub(super) fn is_needed(db: &Connection) -> Result<bool> {
    let old = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'objects'";
    Ok(db.prepare(old)?.exists([])?)
}

/// Moves everything to the tables of this version, in one transaction of the caller. What cannot be read stays where it
/// is, and is named in the log at each start.
pub(super) fn run(db: &Connection, files: &std::path::Path, now_ms: i64) -> Result<()> {
    let buckets = move_buckets(db)?;
    let objects = move_objects(db, now_ms)?;
    let uploads = move_uploads(db, files, now_ms)?;
    db.execute(
        "INSERT OR IGNORE INTO s3_discarded SELECT file, ?1 FROM garbage",
        [now_ms],
    )?;
    let left: i64 = db.query_row(
        "SELECT (SELECT count(*) FROM buckets) + (SELECT count(*) FROM objects) + (SELECT count(*) FROM uploads)",
        [],
        |row| row.get(0),
    )?;
    if left > 0 {
        tracing::error!(
            left,
            "entries of an earlier version's S3 cannot be read; they stay in s3.db"
        );
        db.execute("DELETE FROM garbage", [])?;
        return Ok(());
    }
    for table in ["buckets", "objects", "uploads", "garbage"] {
        db.execute(&format!("DROP TABLE {table}"), [])?;
    }
    tracing::info!(
        buckets,
        objects,
        uploads,
        "took over the objects of an earlier version"
    );
    Ok(())
}

/// The rows of a table, as texts.
fn rows(db: &Connection, sql: &str, columns: usize) -> Result<Vec<Vec<String>>> {
    let mut statement = db.prepare(sql)?;
    let rows = statement.query_map([], |row| (0..columns).map(|column| row.get(column)).collect())?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The value in a row, unless it cannot be read, which is logged.
fn read<T: serde::de::DeserializeOwned>(text: &str, what: &[&str]) -> Option<T> {
    serde_json::from_str(text)
        .inspect_err(|error| {
            tracing::error!(%error, entry = what.join("/"), "an entry of an earlier version's S3 cannot be read");
        })
        .ok()
}

fn move_buckets(db: &Connection) -> Result<usize> {
    let mut moved = 0;
    for row in rows(db, "SELECT account, bucket, description FROM buckets", 3)? {
        let [account, name, description] = row.as_slice() else {
            continue;
        };
        let Some(old) = read::<OldBucket>(description, &[account, name]) else {
            continue;
        };
        bucket::insert(db, &bucket_of(account, old))?;
        db.execute(
            "DELETE FROM buckets WHERE account = ?1 AND bucket = ?2",
            [account, name],
        )?;
        moved += 1;
    }
    Ok(moved)
}

fn bucket_of(account: &str, old: OldBucket) -> Bucket {
    let mut settings = BTreeMap::new();
    let mut keep = |setting: Setting, json: Option<&String>| {
        let Some(json) = json else { return };
        match document_of(json, setting.root()) {
            Some(document) => {
                settings.insert(setting.name().to_owned(), xml::to_xml(&document));
            }
            None => tracing::error!(
                bucket = old.name,
                setting = setting.name(),
                "could not take over a setting"
            ),
        }
    };
    keep(Setting::Cors, old.cors.as_ref());
    keep(Setting::Lifecycle, old.lifecycle.as_ref());
    keep(Setting::Encryption, old.encryption.as_ref());
    let mut others = old.configs;
    for (name, setting) in [
        ("public-access-block", Setting::PublicAccessBlock),
        ("ownership-controls", Setting::OwnershipControls),
        ("website", Setting::Website),
    ] {
        keep(setting, others.remove(name).as_ref());
    }
    let dropped = [
        ("acl", old.acl.is_some()),
        ("logging", old.logging.is_some()),
        // They never were sent.
        ("notification", !old.notification_config.destinations.is_empty()),
    ];
    let dropped = dropped
        .into_iter()
        .filter_map(|(name, is_set)| is_set.then_some(name));
    for name in others.keys().map(String::as_str).chain(dropped) {
        tracing::warn!(
            bucket = old.name,
            setting = name,
            "this setting of an earlier version was not taken over"
        );
    }
    if let Some(policy) = old.policy {
        settings.insert("policy".to_owned(), policy);
    }
    let created: Option<jiff::Timestamp> = old.created_at.parse().ok();
    Bucket {
        id: 0,
        account: account.to_owned(),
        name: old.name,
        region: old.region,
        created_ms: created.map_or(0, |created| created.as_millisecond()),
        versioning: Versioning::parse(&old.versioning),
        tags: old.tags,
        settings,
    }
}

/// A document that was stored as JSON: an object's fields are elements, an array repeats one.
fn document_of(json: &str, root: &str) -> Option<Node> {
    let value: Value = serde_json::from_str(json).ok()?;
    // The parameters of the request stood beside the elements, or around the root.
    let inner = value.get(root).unwrap_or(&value).clone();
    let mut nodes = nodes(root, &inner);
    let mut node = nodes.pop()?;
    let parameters = ["Bucket", "__xml_root", "bucket"];
    node.children.retain(|child| {
        let first = child.name.chars().next();
        !parameters.contains(&child.name.as_str()) && first.is_some_and(|first| first.is_ascii_uppercase())
    });
    // Headers of the request, such as `ContentMD5` or `XAmzDate`.
    let is_element = |node: &Node| !node.children.is_empty() || KNOWN_LEAVES.contains(&node.name.as_str());
    node.children.retain(is_element);
    Some(node)
}

/// Elements with text directly below a root.
const KNOWN_LEAVES: &[&str] = &[
    "BlockPublicAcls",
    "IgnorePublicAcls",
    "BlockPublicPolicy",
    "RestrictPublicBuckets",
];

fn nodes(name: &str, value: &Value) -> Vec<Node> {
    let node = |text: &str, children| Node {
        name: name.to_owned(),
        text: text.to_owned(),
        children,
    };
    match value {
        Value::Array(all) => all.iter().flat_map(|one| nodes(name, one)).collect(),
        Value::Object(fields) => {
            let children = fields.iter().flat_map(|(name, value)| nodes(name, value));
            vec![node("", children.collect())]
        }
        Value::String(text) => vec![node(text, Vec::new())],
        Value::Null => vec![node("", Vec::new())],
        other => vec![node(&other.to_string(), Vec::new())],
    }
}

/// The names stood with their prefix.
fn metadata_of(old: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let bare = |name: &str| name.strip_prefix("x-amz-meta-").unwrap_or(name).to_owned();
    old.iter()
        .map(|(name, value)| (bare(name), value.clone()))
        .collect()
}

fn head_of(old: &OldObject) -> Head {
    let headers = [
        ("content-type", Some(&old.content_type)),
        ("content-encoding", old.content_encoding.as_ref()),
        ("cache-control", old.cache_control.as_ref()),
        ("content-disposition", old.content_disposition.as_ref()),
        ("content-language", old.content_language.as_ref()),
        ("expires", old.expires.as_ref()),
    ];
    let headers = headers
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.clone())));
    let algorithm = old.checksum_algorithm.as_deref().and_then(Algorithm::parse);
    let checksum = algorithm.zip(old.checksum_value.clone());
    Head {
        headers: headers.filter(|(_, value)| !value.is_empty()).collect(),
        metadata: metadata_of(&old.metadata),
        tags: old.tags.clone(),
        encryption: old.sse_algorithm.clone().map(|algorithm| Encryption {
            algorithm,
            key: old.sse_kms_key_id.clone(),
            bucket_key: false,
        }),
        checksum: checksum.map(|(algorithm, value)| Checksum {
            kind: if value.contains('-') {
                Kind::Composite
            } else {
                Kind::Full
            },
            algorithm,
            value,
        }),
        ..Head::default()
    }
}

fn move_objects(db: &Connection, now_ms: i64) -> Result<usize> {
    let mut moved = 0;
    for row in rows(db, "SELECT account, bucket, key, versions FROM objects", 4)? {
        let [account, name, key, versions] = row.as_slice() else {
            continue;
        };
        let Some(old) = read::<OldVersions>(versions, &[account, name, key]) else {
            continue;
        };
        let Some(bucket) = bucket::find(db, account, name)? else {
            tracing::error!(
                bucket = name,
                key,
                "an object of an earlier version has no bucket"
            );
            continue;
        };
        if old.versions.iter().any(|version| version.body.holds_data()) {
            continue;
        }
        for version in &old.versions {
            move_version(db, bucket.id, key, version, now_ms)?;
            moved += 1;
        }
        db.execute(
            "DELETE FROM objects WHERE account = ?1 AND bucket = ?2 AND key = ?3",
            params![account, name, key],
        )?;
    }
    Ok(moved)
}

fn move_version(db: &Connection, bucket: i64, key: &str, old: &OldObject, now_ms: i64) -> Result<()> {
    let (parts, size, etag) = match old.is_delete_marker {
        true => (None, 0, ""),
        false => (
            old.body.part(old.content_length),
            old.content_length,
            old.etag.as_str(),
        ),
    };
    let new = NewVersion {
        key,
        is_marker: old.is_delete_marker,
        size,
        etag,
        head: &head_of(old),
        parts: parts.as_slice(),
    };
    let id = old.version_id.as_deref().unwrap_or(object::NULL);
    let modified = read_http(&old.last_modified).map_or(now_ms, |seconds| seconds * 1000);
    object::insert_row(db, bucket, &new, id, modified)
}

fn move_uploads(db: &Connection, files: &std::path::Path, now_ms: i64) -> Result<usize> {
    let mut moved = 0;
    for row in rows(db, "SELECT account, bucket, id, upload FROM uploads", 4)? {
        let [account, name, id, upload] = row.as_slice() else {
            continue;
        };
        let Some(value) = read::<Value>(upload, &[account, name, id]) else {
            continue;
        };
        let key = value["key"].as_str().unwrap_or_default().to_owned();
        let Ok(old) = serde_json::from_value::<OldUpload>(value) else {
            tracing::error!(
                bucket = name,
                id,
                "an upload of an earlier version cannot be read"
            );
            continue;
        };
        let Some(bucket) = bucket::find(db, account, name)? else {
            continue;
        };
        move_upload(db, files, &bucket, &key, id, &old, now_ms)?;
        db.execute(
            "DELETE FROM uploads WHERE account = ?1 AND bucket = ?2 AND id = ?3",
            [account, name, id],
        )?;
        moved += 1;
    }
    Ok(moved)
}

fn move_upload(
    db: &Connection,
    files: &std::path::Path,
    bucket: &Bucket,
    key: &str,
    id: &str,
    old: &OldUpload,
    now_ms: i64,
) -> Result<(), Error> {
    let started_ms = read_http(&old.created_at).map_or(now_ms, |seconds| seconds * 1000);
    let mut head = Head {
        metadata: metadata_of(&old.metadata),
        ..Head::default()
    };
    head.headers
        .insert("content-type".to_owned(), old.content_type.clone());
    let upload = multipart::insert(db, bucket.id, key, id, &head, started_ms)?;
    for (number, part) in &old.parts {
        if let Some(mut stored) = part.body.part(0) {
            stored.number = Some(*number);
            stored.size = std::fs::metadata(files.join(&stored.file)).map_or(0, |file| file.len());
            multipart::insert_part(db, upload, *number, &part.etag, &stored, now_ms)?;
        }
    }
    Ok(())
}
