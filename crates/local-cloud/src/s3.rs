//! S3: buckets and objects.
//!
//! Names, settings and lists are in a [`crate::database`]; the data of objects is in files beside it ([`files`]), whose
//! bytes no parser reads. A request is one transaction; a request that stores data writes it to a file first. Owns the
//! REST/XML protocol of the service, and knows no other service: notifications go through [`Targets`].

mod acl;
mod bucket;
mod call;
mod checksum;
mod condition;
mod control;
mod cors;
mod delete;
mod error;
mod files;
mod get;
mod head;
mod list;
mod migrate;
mod multipart;
mod notification;
mod object;
mod outbox;
mod page;
mod payload;
mod permissions;
mod presigned;
mod put;
mod range;
mod route;
mod schema;
mod settings;
mod tagging;
#[cfg(test)]
mod tests;
mod time;
mod virtual_host;
mod xml;

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Response};
use rusqlite::Connection;
use sha2::Digest as _;
use tokio::sync::Notify;

use crate::answer::{blocking, request_id};
use crate::clock::Clock;
use crate::database::Database;
use crate::deliver::Undelivered;
use crate::service::{self, Permission, Request, Service};
use crate::types::{Body, Caller, Tags};
use bucket::Bucket;
use call::{Call, Reply, respond};
use daemon::protocol::Damage;
use error::{Error, Result};
use files::Files;
pub(crate) use outbox::Targets;
use route::{Operation, Route};
use settings::Setting;

/// How long the file of a deleted object stays while others are being read.
const KEEP_MS: i64 = 10 * 60 * 1000;

pub(crate) struct S3 {
    database: Database,
    files: Files,
    clock: Arc<dyn Clock>,
    started: SystemTime,
    is_open: Mutex<bool>,
    /// Whether files without an object have been looked for since the start.
    is_swept: AtomicBool,
    targets: OnceLock<Targets>,
    /// Notified when a notification has been posted.
    posted: Arc<Notify>,
}

impl S3 {
    /// With its database and its files in `dir`, opened on first use.
    pub fn new(dir: &Path, clock: Arc<dyn Clock>) -> Self {
        Self {
            database: Database::new(&dir.join("s3.db"), schema::SCHEMA),
            files: Files::new(dir.join("s3-objects")),
            clock,
            started: SystemTime::now(),
            is_open: Mutex::new(false),
            is_swept: AtomicBool::new(false),
            targets: OnceLock::new(),
            posted: Arc::new(Notify::new()),
        }
    }

    /// Begins to send notifications, also those that an earlier process posted. Call it inside a tokio runtime.
    pub fn connect(self: &Arc<Self>, targets: Targets) {
        if self.targets.set(targets).is_ok() {
            tokio::spawn(outbox::run(Arc::downgrade(self), Arc::clone(&self.posted)));
        }
    }

    /// The database, opened on the first call.
    fn database(&self) -> io::Result<&Database> {
        let mut is_open = self.is_open.lock().unwrap_or_else(PoisonError::into_inner);
        if !*is_open {
            ground::platform::create_private_dir(self.files.dir())?;
            let failed = |error: Error| io::Error::other(error.message);
            if self.database.read(migrate::is_needed).map_err(failed)? {
                let now = self.clock.now_ms();
                let migrated = self.database.write(|db| migrate::run(db, self.files.dir(), now));
                migrated.map_err(failed)?;
            }
            *is_open = true;
        }
        Ok(&self.database)
    }

    /// Reads something of the bucket that a request names.
    fn read<T>(
        &self,
        call: &Call,
        work: impl FnOnce(&Connection, &Bucket) -> Result<T>,
    ) -> Result<(Bucket, T)> {
        self.database()?.read(|db| {
            let bucket = named(db, call)?;
            let value = work(db, &bucket)?;
            Ok((bucket, value))
        })
    }

    /// Changes the bucket that a request names, or something in it, as one transaction.
    fn write<T>(
        &self,
        call: &Call,
        work: impl FnOnce(&Connection, &mut Bucket) -> Result<T>,
    ) -> Result<(Bucket, T)> {
        let written = self.database()?.write(|db| {
            let mut bucket = named(db, call)?;
            let value = work(db, &mut bucket)?;
            Ok::<_, Error>((bucket, value))
        })?;
        if written.0.settings.contains_key(Setting::Notification.name()) {
            self.posted.notify_one();
        }
        Ok(written)
    }

    /// Answers a request, whatever policies say. Blocks.
    pub fn answer(&self, request: Request) -> Response<Body> {
        let _reading = self.files.lease();
        let id = request_id();
        let method = request.parts.method.clone();
        let resource = request.parts.uri.path().to_owned();
        let is_head = method == Method::HEAD;
        let (result, allowed) = match Route::of(&request.parts) {
            Err(error) => (Err(error), None),
            Ok(route) if method == Method::OPTIONS => {
                match self.preflight(&request.caller, &route.bucket, &request.parts.headers) {
                    Ok((reply, allowed)) => (Ok(reply), Some(allowed)),
                    Err(error) => (Err(error), None),
                }
            }
            Ok(route) => {
                let Request { caller, parts, .. } = &request;
                let allowed = self.allowed(caller, &route.bucket, method.as_str(), &parts.headers);
                let result = self.call_of(request, route, &id);
                (result.and_then(|call| self.run(&call)), allowed)
            }
        };
        let mut response = respond(result, &id, &resource, is_head);
        if let Some(allowed) = allowed {
            allowed.apply(&mut response);
        }
        response
    }

    fn call_of(&self, request: Request, route: Route, id: &str) -> Result<Call> {
        let Request { caller, parts, body } = request;
        let now_ms = self.clock.now_ms();
        presigned::check(&route, now_ms)?;
        Ok(Call {
            caller,
            operation: route.operation(&parts)?,
            route,
            headers: parts.headers,
            body,
            now_ms,
            request_id: id.to_owned(),
        })
    }

    fn run(&self, call: &Call) -> Result<Reply> {
        use Operation as O;
        use Setting as S;
        match call.operation {
            O::AbortMultipartUpload => self.abort_multipart_upload(call),
            O::CompleteMultipartUpload => self.complete_multipart_upload(call),
            O::CopyObject => self.copy_object(call),
            O::CreateBucket => self.create_bucket(call),
            O::CreateMultipartUpload => self.create_multipart_upload(call),
            O::DeleteBucket => self.delete_bucket(call),
            O::DeleteBucketCors => self.delete_setting(call, S::Cors),
            O::DeleteBucketEncryption => self.delete_setting(call, S::Encryption),
            O::DeleteBucketLifecycle => self.delete_setting(call, S::Lifecycle),
            O::DeleteBucketOwnershipControls => self.delete_setting(call, S::OwnershipControls),
            O::DeleteBucketPolicy => self.delete_bucket_policy(call),
            O::DeleteBucketTagging => self.delete_bucket_tagging(call),
            O::DeleteBucketWebsite => self.delete_setting(call, S::Website),
            O::DeleteObject => self.delete_object(call),
            O::DeleteObjects => self.delete_objects(call),
            O::DeleteObjectTagging => self.delete_object_tagging(call),
            O::DeletePublicAccessBlock => self.delete_setting(call, S::PublicAccessBlock),
            O::GetBucketAccelerateConfiguration => self.get_default(call, "AccelerateConfiguration", |_| {}),
            O::GetBucketAcl => self.get_bucket_acl(call),
            O::GetBucketCors => self.get_setting(call, S::Cors),
            O::GetBucketEncryption => self.get_setting(call, S::Encryption),
            O::GetBucketLifecycleConfiguration => self.get_setting(call, S::Lifecycle),
            O::GetBucketLocation => self.get_bucket_location(call),
            O::GetBucketLogging => self.get_default(call, "BucketLoggingStatus", |_| {}),
            O::GetBucketNotificationConfiguration => self.get_setting(call, S::Notification),
            O::GetBucketOwnershipControls => self.get_setting(call, S::OwnershipControls),
            O::GetBucketPolicy => self.get_bucket_policy(call),
            O::GetBucketReplication => self.get_missing(
                call,
                "ReplicationConfigurationNotFoundError",
                "The replication configuration was not found",
            ),
            O::GetBucketRequestPayment => self.get_default(call, "RequestPaymentConfiguration", |xml| {
                xml.leaf("Payer", "BucketOwner");
            }),
            O::GetBucketTagging => self.get_bucket_tagging(call),
            O::GetBucketVersioning => self.get_bucket_versioning(call),
            O::GetBucketWebsite => self.get_setting(call, S::Website),
            O::GetObject => self.get_object(call, false),
            O::GetObjectAcl => self.get_object_acl(call),
            O::GetObjectAttributes => self.get_object_attributes(call),
            O::GetObjectLockConfiguration => self.get_missing(
                call,
                "ObjectLockConfigurationNotFoundError",
                "Object Lock configuration does not exist for this bucket",
            ),
            O::GetObjectTagging => self.get_object_tagging(call),
            O::GetPublicAccessBlock => self.get_setting(call, S::PublicAccessBlock),
            O::HeadBucket => self.head_bucket(call),
            O::HeadObject => self.get_object(call, true),
            O::ListBuckets => self.list_buckets(call),
            O::ListMultipartUploads => self.list_multipart_uploads(call),
            O::ListObjects => self.list_objects(call, false),
            O::ListObjectsV2 => self.list_objects(call, true),
            O::ListObjectVersions => self.list_object_versions(call),
            O::ListParts => self.list_parts(call),
            O::PutBucketAcl => self.put_bucket_acl(call),
            O::PutBucketCors => self.put_setting(call, S::Cors),
            O::PutBucketEncryption => self.put_setting(call, S::Encryption),
            O::PutBucketLifecycleConfiguration => self.put_setting(call, S::Lifecycle),
            O::PutBucketNotificationConfiguration => self.put_bucket_notification(call),
            O::PutBucketOwnershipControls => self.put_setting(call, S::OwnershipControls),
            O::PutBucketPolicy => self.put_bucket_policy(call),
            O::PutBucketTagging => self.put_bucket_tagging(call),
            O::PutBucketVersioning => self.put_bucket_versioning(call),
            O::PutBucketWebsite => self.put_setting(call, S::Website),
            O::PutObject => self.put_object(call),
            O::PutObjectAcl => self.put_object_acl(call),
            O::PutObjectTagging => self.put_object_tagging(call),
            O::PutPublicAccessBlock => self.put_setting(call, S::PublicAccessBlock),
            O::UploadPart => self.upload_part(call),
            O::UploadPartCopy => self.upload_part_copy(call),
        }
    }

    /// Puts an object, as PutObject does. Blocks.
    ///
    /// # Errors
    /// S3's own.
    pub fn put(&self, caller: &Caller, bucket: &str, key: &str, body: Bytes) -> Result<(), Undelivered> {
        self.put_with(caller, bucket, key, HeaderMap::new(), body)
    }

    /// [`S3::put`], with the headers of the request. Blocks.
    ///
    /// # Errors
    /// S3's own.
    pub fn put_with(
        &self,
        caller: &Caller,
        bucket: &str,
        key: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<(), Undelivered> {
        let call = Call {
            caller: caller.clone(),
            operation: Operation::PutObject,
            route: Route {
                bucket: bucket.to_owned(),
                key: key.to_owned(),
                query: Vec::new(),
            },
            headers,
            body,
            now_ms: self.clock.now_ms(),
            request_id: request_id(),
        };
        self.put_object(&call).map(drop).map_err(|error| Undelivered {
            code: error.code.to_owned(),
            message: error.message,
        })
    }

    /// The region of a bucket of `account`. `None` if there is no such bucket, or the database cannot be read. Blocks.
    pub fn bucket_region(&self, account: &str, name: &str) -> Option<String> {
        self.bucket(account, name).map(|bucket| bucket.region)
    }

    /// The policy of a bucket of `account`, in JSON. `None` if it has none, or the database cannot be read. Blocks.
    pub fn bucket_policy(&self, account: &str, name: &str) -> Option<String> {
        let mut bucket = self.bucket(account, name)?;
        bucket.settings.remove(control::POLICY)
    }

    /// A bucket of `account`. `None` if there is none, or the database cannot be read. Blocks.
    fn bucket(&self, account: &str, name: &str) -> Option<Bucket> {
        let found = self
            .database()
            .map_err(Error::from)
            .and_then(|database| database.read(|db| bucket::find(db, account, name)));
        found.unwrap_or_else(|error| {
            tracing::warn!(message = error.message, "a bucket could not be looked up");
            None
        })
    }

    /// Deletes files that no object has any more. Blocks.
    fn sweep(&self) {
        // A damaged database may not name all that it has stored.
        if !self.database.exists() || !self.database.damage().is_empty() {
            return;
        }
        let swept = self.delete_discarded().and_then(|()| {
            // Files of requests that were under way when an earlier process was killed.
            match self.is_swept.swap(true, Ordering::Relaxed) {
                true => Ok(()),
                false => self.delete_unknown(),
            }
        });
        if let Err(error) = swept {
            tracing::warn!(
                message = error.message,
                "could not delete the files of deleted objects"
            );
        }
    }

    fn delete_discarded(&self) -> Result<()> {
        let now = self.clock.now_ms();
        // A response may still be reading them.
        let before = if self.files.are_read() { now - KEEP_MS } else { now };
        let files = self.database()?.read(|db| {
            let mut statement = db.prepare("SELECT file FROM s3_discarded WHERE at_ms <= ?1")?;
            let files = statement.query_map([before], |row| row.get(0))?;
            Ok::<_, Error>(files.collect::<rusqlite::Result<Vec<String>>>()?)
        })?;
        for file in &files {
            self.files.remove(file);
        }
        self.database()?.write(|db| {
            let mut delete = db.prepare("DELETE FROM s3_discarded WHERE file = ?1")?;
            for file in &files {
                delete.execute([file])?;
            }
            Ok(())
        })
    }

    /// Deletes files that the database does not name and that are older than this process. Deletes none if the file of an
    /// object is missing: its name in the database may be damaged.
    fn delete_unknown(&self) -> Result<()> {
        let (needed, discarded) = self.database()?.read(object_files)?;
        let mut missing: HashSet<&String> = needed.iter().collect();
        let mut unknown = Vec::new();
        for entry in std::fs::read_dir(self.files.dir())? {
            let entry = entry?;
            let is_old = entry.metadata()?.modified()? < self.started;
            let name = entry.file_name().to_string_lossy().into_owned();
            missing.remove(&name);
            if is_old && !needed.contains(&name) && !discarded.contains(&name) {
                unknown.push(name);
            }
        }
        for file in &missing {
            self.files.note_missing(file);
        }
        if missing.is_empty() {
            unknown.iter().for_each(|file| self.files.remove(file));
        }
        Ok(())
    }
}

/// The files of all objects and parts, and those of deleted ones.
fn object_files(db: &Connection) -> Result<(HashSet<String>, HashSet<String>)> {
    let files = |sql: &str| {
        let mut statement = db.prepare(sql)?;
        let rows = statement.query_map([], |row| row.get(0))?;
        rows.collect::<rusqlite::Result<HashSet<String>>>()
    };
    let needed = files(
        "SELECT json_extract(value, '$.file') FROM s3_versions, json_each(parts)
         UNION ALL SELECT json_extract(part, '$.file') FROM s3_parts",
    )?;
    Ok((needed, files("SELECT file FROM s3_discarded")?))
}

/// The bucket that a request names, if it is the account's that the client expects.
fn named(db: &Connection, call: &Call) -> Result<Bucket> {
    let bucket = bucket::get(db, &call.caller.account, call.bucket())?;
    let expected = call.header("x-amz-expected-bucket-owner");
    if expected.is_some_and(|expected| expected != bucket.account) {
        return Err(Error::access_denied("Access Denied"));
    }
    Ok(bucket)
}

/// The canonical user id of an account: 64 hexadecimal digits.
fn owner_id(account: &str) -> String {
    hex::encode(sha2::Sha256::digest(account))
}

impl Service for S3 {
    fn call(self: Arc<Self>, request: Request) -> BoxFuture<'static, Response<Body>> {
        async move {
            let stopping = |message| {
                let error = Error::new(503, "ServiceUnavailable", message);
                respond(Err(error), &request_id(), "/", false)
            };
            blocking(move || self.answer(request), stopping).await
        }
        .boxed()
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

    /// Buckets have CORS configurations, and URLs that are signed for pages.
    fn serves_pages(&self) -> bool {
        true
    }

    fn tagged(&self, caller: &Caller) -> BTreeMap<String, Tags> {
        if !self.database.exists() {
            return BTreeMap::new();
        }
        let tagged = self
            .database()
            .map_err(Error::from)
            .and_then(|database| database.read(|db| bucket::tagged(db, caller)));
        tagged.unwrap_or_default()
    }

    fn tick(&self) {
        self.sweep();
    }

    fn open(&self) {
        self.database.open_existing();
    }

    fn damage(&self) -> Vec<Damage> {
        let mut all = self.database.damage();
        all.extend(self.files.damage());
        all
    }

    fn shutdown(&self) {
        self.sweep();
        self.database.close();
    }
}
