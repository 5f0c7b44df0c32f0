//! S3. Adds storage to awsim: after each change the one entry that changed is written, its bytes to a file of its own,
//! the rest to a database. (awsim itself stores names and bytes together, so that `a` and `a/b` exclude each other, and
//! loses tags, checksums and unfinished uploads.)

mod permissions;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use awsim_core::{AwsError, Body, Protocol, RequestContext, RouteDefinition, S3ObjectWriter, ServiceHandler};
use awsim_s3::S3Service;
use awsim_s3::state::{Bucket, BucketSnapshot, MultipartUpload, ObjectVersions};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Response;
use rusqlite::{Connection, params};
use serde_json::{Value, json};

use super::gateway::Gateway;
use super::virtual_host;
use crate::answer::request_id;
use crate::database::Database;
use crate::deliver::Undelivered;
use crate::query;
use crate::service::Permission;
use crate::service::{self, Request, Service};
use crate::types::{Body as HttpBody, Caller, Tags, partition};
use ground::platform;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS buckets (
        account TEXT NOT NULL, bucket TEXT NOT NULL, description TEXT NOT NULL,
        PRIMARY KEY (account, bucket)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS objects (
        account TEXT NOT NULL, bucket TEXT NOT NULL, key TEXT NOT NULL, versions TEXT NOT NULL,
        PRIMARY KEY (account, bucket, key)
    );
    CREATE TABLE IF NOT EXISTS uploads (
        account TEXT NOT NULL, bucket TEXT NOT NULL, id TEXT NOT NULL, upload TEXT NOT NULL,
        PRIMARY KEY (account, bucket, id)
    );
    CREATE TABLE IF NOT EXISTS garbage (file TEXT PRIMARY KEY) WITHOUT ROWID;
";

/// awsim's region of all buckets.
const GLOBAL: &str = "global";

pub(crate) struct S3 {
    inner: S3Service,
    database: Database,
    files: PathBuf,
    is_open: Mutex<bool>,
}

/// The entries that an operation may have changed.
#[derive(Default)]
struct Touched {
    bucket: bool,
    keys: BTreeSet<String>,
    upload: Option<String>,
}

impl S3 {
    /// With its database and its files in `dir`, opened on first use.
    pub fn new(dir: &Path) -> Self {
        Self {
            inner: S3Service::new(),
            database: Database::new(&dir.join("s3.db"), SCHEMA),
            files: dir.join("s3-objects"),
            is_open: Mutex::new(false),
        }
    }

    /// Loads the state, on the first call.
    fn open(&self) -> io::Result<()> {
        let mut is_open = self.is_open.lock().unwrap_or_else(PoisonError::into_inner);
        if !*is_open {
            platform::create_private_dir(&self.files)?;
            self.database
                .read(|db| self.load(db))
                .map_err(|StoreError(error)| error)?;
            *is_open = true;
        }
        Ok(())
    }

    fn load(&self, db: &Connection) -> Result<(), StoreError> {
        let store = self.inner.store();
        let mut statement = db.prepare("SELECT account, description FROM buckets")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let kept: BucketSnapshot = serde_json::from_str(&row.get::<_, String>(1)?)?;
            let state = store.get(&row.get::<_, String>(0)?, GLOBAL);
            state.buckets.insert(kept.name.clone(), bucket_of(kept));
        }
        let mut statement = db.prepare("SELECT account, bucket, key, versions FROM objects")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let mut versions: ObjectVersions = serde_json::from_str(&row.get::<_, String>(3)?)?;
            versions
                .versions
                .iter_mut()
                .for_each(|version| self.relocate(&mut version.body));
            let state = store.get(&row.get::<_, String>(0)?, GLOBAL);
            if let Some(bucket) = state.buckets.get(&row.get::<_, String>(1)?) {
                bucket.objects.insert(row.get(2)?, versions);
            }
        }
        let mut statement = db.prepare("SELECT account, bucket, id, upload FROM uploads")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let mut upload: MultipartUpload = serde_json::from_str(&row.get::<_, String>(3)?)?;
            upload
                .parts
                .values_mut()
                .for_each(|part| self.relocate(&mut part.body));
            let state = store.get(&row.get::<_, String>(0)?, GLOBAL);
            if let Some(bucket) = state.buckets.get(&row.get::<_, String>(1)?) {
                bucket.multipart_uploads.insert(row.get(2)?, upload);
            }
        }
        Ok(())
    }

    /// The data directory may have been moved since the path was stored.
    fn relocate(&self, body: &mut Body) {
        if let Body::OnDisk(path) = body
            && let Some(name) = path.file_name()
        {
            *path = self.files.join(name);
        }
    }

    /// Moves bytes from memory into a file.
    fn to_file(&self, body: &mut Body) -> io::Result<()> {
        if let Body::InMemory(bytes) = body {
            let path = self.files.join(request_id());
            std::fs::write(&path, &*bytes)?;
            *body = Body::OnDisk(path);
        }
        Ok(())
    }

    fn keep(&self, account: &str, bucket: &str, touched: &Touched) -> Result<(), StoreError> {
        let state = self.inner.store().get(account, GLOBAL);
        self.database.write(|db| {
            let Some(found) = state.buckets.get(bucket) else {
                return forget(db, account, bucket);
            };
            if touched.bucket {
                let description = serde_json::to_string(&snapshot_of(&found))?;
                db.prepare_cached("INSERT OR REPLACE INTO buckets VALUES (?1, ?2, ?3)")?
                    .execute([account, bucket, &description])?;
            }
            for key in &touched.keys {
                self.keep_object(db, account, &found, key)?;
            }
            if let Some(id) = &touched.upload {
                self.keep_upload(db, account, &found, id)?;
            }
            Ok(())
        })
    }

    fn keep_object(
        &self,
        db: &Connection,
        account: &str,
        bucket: &Bucket,
        key: &str,
    ) -> Result<(), StoreError> {
        let old: Option<String> = first(
            db,
            "SELECT versions FROM objects WHERE account = ?1 AND bucket = ?2 AND key = ?3",
            [account, &bucket.name, key],
        )?;
        let mut used = BTreeSet::new();
        let entry = bucket.objects.get_mut(key);
        if let Some(mut entry) = entry.filter(|entry| !entry.versions.is_empty()) {
            for version in &mut entry.versions {
                if !version.is_delete_marker {
                    self.to_file(&mut version.body)?;
                }
                used.extend(file_of(&version.body));
            }
            let versions = serde_json::to_string(&*entry)?;
            db.prepare_cached("INSERT OR REPLACE INTO objects VALUES (?1, ?2, ?3, ?4)")?
                .execute([account, &bucket.name, key, &versions])?;
        } else {
            db.prepare_cached("DELETE FROM objects WHERE account = ?1 AND bucket = ?2 AND key = ?3")?
                .execute([account, &bucket.name, key])?;
        }
        let old: Option<ObjectVersions> = old.as_deref().map(serde_json::from_str).transpose()?;
        for version in old.into_iter().flat_map(|old| old.versions) {
            discard(db, file_of(&version.body).filter(|file| !used.contains(file)))?;
        }
        Ok(())
    }

    fn keep_upload(
        &self,
        db: &Connection,
        account: &str,
        bucket: &Bucket,
        id: &str,
    ) -> Result<(), StoreError> {
        let old: Option<String> = first(
            db,
            "SELECT upload FROM uploads WHERE account = ?1 AND bucket = ?2 AND id = ?3",
            [account, &bucket.name, id],
        )?;
        let mut used = BTreeSet::new();
        if let Some(mut upload) = bucket.multipart_uploads.get_mut(id) {
            for part in upload.parts.values_mut() {
                self.to_file(&mut part.body)?;
                used.extend(file_of(&part.body));
            }
            let upload = serde_json::to_string(&*upload)?;
            db.prepare_cached("INSERT OR REPLACE INTO uploads VALUES (?1, ?2, ?3, ?4)")?
                .execute([account, &bucket.name, id, &upload])?;
        } else {
            db.prepare_cached("DELETE FROM uploads WHERE account = ?1 AND bucket = ?2 AND id = ?3")?
                .execute([account, &bucket.name, id])?;
        }
        let old: Option<MultipartUpload> = old.as_deref().map(serde_json::from_str).transpose()?;
        for part in old.into_iter().flat_map(|old| old.parts.into_values()) {
            discard(db, file_of(&part.body).filter(|file| !used.contains(file)))?;
        }
        Ok(())
    }

    /// Gives a new object the tags of its header, which awsim ignores.
    fn tag(&self, account: &str, bucket: &str, key: &str, tags: &str) {
        let state = self.inner.store().get(account, GLOBAL);
        let Some(bucket) = state.buckets.get(bucket) else {
            return;
        };
        if let Some(mut entry) = bucket.objects.get_mut(key)
            && let Some(object) = entry.current_mut()
        {
            object.tags.extend(query::pairs(tags.as_bytes()));
        }
    }

    /// Deletes the files of objects that were overwritten or deleted before the last call: they are not being read any
    /// more. Blocks.
    fn sweep(&self) {
        if !self.database.exists() {
            return;
        }
        let swept = self.database.write(|db| {
            let mut statement = db.prepare("SELECT file FROM garbage")?;
            let files: Vec<String> = statement
                .query_map([], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            for file in files {
                let _ = std::fs::remove_file(self.files.join(file));
            }
            db.execute("DELETE FROM garbage", [])?;
            Ok::<_, StoreError>(())
        });
        if let Err(StoreError(error)) = swept {
            tracing::warn!(%error, "could not delete the files of deleted objects");
        }
    }

    /// Puts an object, as PutObject does.
    ///
    /// # Errors
    /// S3's own.
    pub fn put(&self, caller: &Caller, bucket: &str, key: &str, body: &[u8]) -> Result<(), Undelivered> {
        let undelivered = |code: &str, message: String| Undelivered {
            code: code.to_owned(),
            message,
        };
        self.open()
            .map_err(|error| undelivered("InternalError", error.to_string()))?;
        let body = base64_simd::STANDARD.encode_to_string(body);
        self.inner
            .object_writer()
            .put_object(bucket, key, &body, &caller.account, &caller.region)
            .map_err(|error| undelivered(&error.code, error.message))?;
        let touched = Touched {
            keys: BTreeSet::from([key.to_owned()]),
            ..Touched::default()
        };
        self.keep(&caller.account, bucket, &touched)
            .map_err(|StoreError(error)| undelivered("InternalError", error.to_string()))
    }

    /// The tagged buckets of `caller` in the caller's region, by ARN.
    fn tagged_buckets(&self, caller: &Caller) -> BTreeMap<String, Tags> {
        if !self.database.exists() || self.open().is_err() {
            return BTreeMap::new();
        }
        let state = self.inner.store().get(&caller.account, GLOBAL);
        let partition = partition(&caller.region);
        let tagged = state
            .buckets
            .iter()
            .filter(|bucket| !bucket.tags.is_empty() && bucket.region == caller.region);
        tagged
            .map(|bucket| {
                let arn = format!("arn:{partition}:s3:::{}", bucket.name);
                (arn, bucket.tags.clone().into_iter().collect())
            })
            .collect()
    }
}

/// awsim decodes names in path and query as Latin-1: decodes them as UTF-8.
fn decode_utf8(input: &mut Value) {
    for value in input
        .as_object_mut()
        .into_iter()
        .flat_map(|fields| fields.values_mut())
    {
        let Some(text) = value.as_str() else { continue };
        if text.is_ascii() {
            continue;
        }
        let bytes: Result<Vec<u8>, _> = text.chars().map(|c| u8::try_from(u32::from(c))).collect();
        if let Some(decoded) = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok()) {
            *value = Value::String(decoded);
        }
    }
}

/// An error while storing.
struct StoreError(io::Error);

impl<E: std::error::Error + Send + Sync + 'static> From<E> for StoreError {
    fn from(error: E) -> Self {
        Self(io::Error::other(error))
    }
}

fn first(db: &Connection, sql: &str, values: [&str; 3]) -> rusqlite::Result<Option<String>> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    rows.next()?.map(|row| row.get(0)).transpose()
}

fn file_of(body: &Body) -> Option<String> {
    match body {
        Body::OnDisk(path) => Some(path.file_name()?.to_string_lossy().into_owned()),
        Body::InMemory(_) => None,
    }
}

fn discard(db: &Connection, file: Option<String>) -> rusqlite::Result<()> {
    if let Some(file) = file {
        db.prepare_cached("INSERT OR IGNORE INTO garbage VALUES (?1)")?
            .execute([file])?;
    }
    Ok(())
}

/// Deletes the rows of a bucket that was deleted.
fn forget(db: &Connection, account: &str, bucket: &str) -> Result<(), StoreError> {
    let mut statement = db.prepare_cached("SELECT upload FROM uploads WHERE account = ?1 AND bucket = ?2")?;
    let uploads: Vec<String> = statement
        .query_map([account, bucket], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for upload in uploads {
        let upload: MultipartUpload = serde_json::from_str(&upload)?;
        for part in upload.parts.values() {
            discard(db, file_of(&part.body))?;
        }
    }
    for table in ["buckets", "objects", "uploads"] {
        let sql = format!("DELETE FROM {table} WHERE account = ?1 AND bucket = ?2");
        db.execute(&sql, params![account, bucket])?;
    }
    Ok(())
}

fn snapshot_of(bucket: &Bucket) -> BucketSnapshot {
    BucketSnapshot {
        name: bucket.name.clone(),
        region: bucket.region.clone(),
        created_at: bucket.created_at.clone(),
        versioning: bucket.versioning.clone(),
        tags: bucket.tags.clone(),
        policy: bucket.policy.clone(),
        cors: bucket.cors.clone(),
        notification_config: bucket.notification_config.clone(),
        acl: bucket.acl.clone(),
        lifecycle: bucket.lifecycle.clone(),
        encryption: bucket.encryption.clone(),
        logging: bucket.logging.clone(),
        configs: bucket.configs.clone(),
        objects: Vec::new(),
    }
}

fn bucket_of(kept: BucketSnapshot) -> Bucket {
    let mut bucket = Bucket::new(kept.name, kept.region, kept.created_at);
    bucket.versioning = kept.versioning;
    bucket.tags = kept.tags;
    bucket.policy = kept.policy;
    bucket.cors = kept.cors;
    bucket.notification_config = kept.notification_config;
    bucket.acl = kept.acl;
    bucket.lifecycle = kept.lifecycle;
    bucket.encryption = kept.encryption;
    bucket.logging = kept.logging;
    bucket.configs = kept.configs;
    bucket
}

impl Touched {
    /// The entries that `operation` changes; `None` when it only reads.
    fn by(operation: &str, input: &Value) -> Option<Self> {
        const READING: &[&str] = &["Get", "Head", "List", "SelectObjectContent", "CreateSession"];
        if READING.iter().any(|verb| operation.starts_with(verb)) {
            return None;
        }
        let text = |field: &str| input[field].as_str().map(str::to_owned);
        let mut keys: BTreeSet<String> = text("Key").into_iter().collect();
        if operation == "DeleteObjects" {
            let listed = input.get("Delete").unwrap_or(input).get("Object");
            let listed: Vec<&Value> = match listed {
                Some(Value::Array(all)) => all.iter().collect(),
                Some(one) => vec![one],
                None => Vec::new(),
            };
            keys.extend(
                listed
                    .iter()
                    .filter_map(|object| object["Key"].as_str().map(str::to_owned)),
            );
        }
        if operation == "RenameObject"
            && let Some(source) = text("RenameSource")
        {
            keys.insert(source.trim_start_matches('/').to_owned());
        }
        let is_about_bytes = [
            "PutObject",
            "CopyObject",
            "DeleteObject",
            "DeleteObjects",
            "UploadPart",
            "UploadPartCopy",
            "CreateMultipartUpload",
        ]
        .contains(&operation);
        Some(Self {
            bucket: !is_about_bytes,
            keys,
            upload: text("UploadId").or_else(|| text("uploadId")),
        })
    }
}

#[async_trait]
impl ServiceHandler for S3 {
    fn service_name(&self) -> &str {
        "s3"
    }

    fn protocol(&self) -> Protocol {
        self.inner.protocol()
    }

    fn routes(&self) -> Vec<RouteDefinition> {
        self.inner.routes()
    }

    async fn handle(
        &self,
        operation: &str,
        mut input: Value,
        ctx: &RequestContext,
    ) -> Result<Value, AwsError> {
        virtual_host::show_type(&mut input);
        decode_utf8(&mut input);
        if let Some(source) = input["CopySource"].as_str() {
            input["CopySource"] = json!(query::percent_decode(source));
        }
        self.open()
            .map_err(|error| AwsError::internal(error.to_string()))?;
        let touched = Touched::by(operation, &input);
        let bucket = input["Bucket"].as_str().unwrap_or_default().to_owned();
        let tags = (operation == "PutObject")
            .then(|| input["Tagging"].as_str().map(str::to_owned))
            .flatten();
        let mut output = self.inner.handle(operation, input, ctx).await?;
        if operation == "GetBucketPolicy"
            && let Some(policy) = output["Policy"].as_str()
        {
            let policy = base64_simd::STANDARD.encode_to_string(policy);
            output = json!({"__raw_body": policy, "ContentType": "application/json"});
        }
        if let (Some(tags), Some(key)) = (tags, touched.as_ref().and_then(|touched| touched.keys.first())) {
            self.tag(&ctx.account_id, &bucket, key, &tags);
        }
        if let Some(mut touched) = touched {
            touched
                .keys
                .extend(output["__notify_key"].as_str().map(str::to_owned));
            if operation == "CreateMultipartUpload" {
                touched.keys.clear();
                touched.upload = upload_id(&output);
            }
            self.keep(&ctx.account_id, &bucket, &touched)
                .map_err(|StoreError(error)| {
                    AwsError::internal(format!(
                        "the change was made but will not survive a restart: {error}"
                    ))
                })?;
        }
        Ok(output)
    }
}

/// The id in an output, which may be wrapped in an element of its own.
fn upload_id(output: &Value) -> Option<String> {
    let wrapped = output.as_object().into_iter().flat_map(|fields| fields.values());
    std::iter::once(output)
        .chain(wrapped)
        .find_map(|value| value.get("UploadId")?.as_str().map(str::to_owned))
}

/// S3 as a service of the local cloud.
pub(crate) struct S3Api {
    s3: Arc<S3>,
    gateway: Gateway,
}

impl S3Api {
    pub fn new(s3: Arc<S3>) -> Self {
        let routes = s3.routes();
        let gateway = Gateway::new(Arc::clone(&s3) as Arc<dyn ServiceHandler>, routes);
        Self { s3, gateway }
    }
}

impl Service for S3Api {
    fn call(self: Arc<Self>, mut request: Request) -> BoxFuture<'static, Response<HttpBody>> {
        request.parts.uri = virtual_host::path_style(&request.parts);
        virtual_host::hide_type(&mut request.parts.headers);
        async move { self.gateway.call(request).await }.boxed()
    }

    fn permissions(&self, request: &Request) -> Vec<Permission> {
        permissions::of(request)
    }

    fn access_denied(&self) -> (u16, &'static str) {
        (403, "AccessDeniedException")
    }

    fn protocol(&self) -> service::Protocol {
        service::Protocol::RestXml
    }

    fn tagged(&self, caller: &Caller) -> BTreeMap<String, Tags> {
        self.s3.tagged_buckets(caller)
    }

    fn tick(&self) {
        self.s3.sweep();
    }

    fn shutdown(&self) {
        self.s3.sweep();
    }
}
