//! Channels: they deliver the records of on-demand streams to S3, without a consumer and without shard capacity.
//!
//! Owns the channels of all accounts, their files, and delivery. Knows S3, IAM and CloudWatch Logs only as a
//! [`Destination`], and requests not at all: [`super::control::channels`] has the operations.
//!
//! | module | owns |
//! |---|---|
//! | [`meta`] | settings and status of one channel |
//! | [`files`] | both, and how far each shard is delivered, on disk |
//! | [`delivery`] | what is due: reading, objects, repeating what failed |
//! | [`template`], [`format`] | keys and content of objects |
//! | [`task`] | when to look |
//!
//! Records wait in the log of their shard, not in memory: an object is read, written and recorded as delivered, and then
//! the next one. A process that is killed in between writes the same object again, under the same key: its name has the
//! number of the object and the time of its first record. So each record is in at least one object, and in one only
//! unless somebody read the first version of a repeated object.
//!
//! S3 Tables does not exist in the local cloud. A channel to a table is stored and listed, and FAILED with that reason.
//!
//! Source: "Streaming tables and Amazon S3 delivery", Amazon Kinesis Data Streams developer guide, and the API reference.

mod delivery;
mod files;
mod format;
pub mod meta;
pub mod task;
pub mod template;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::watch;

use self::delivery::Delivery;
use self::files::Files;
use self::meta::{ChannelMeta, ChannelStatus, Target, bucket_of};
use crate::deliver::Undelivered;
use crate::kinesis::catalog::unusable;
use crate::kinesis::error::{ApiError, Result};
use crate::kinesis::store::DamagedFile;
use crate::kinesis::stream::locked;
use crate::types::Caller;
use ground::platform;

/// The service that a channel's role must trust. Source: "IAM permissions for data delivery", developer guide.
pub const PRINCIPAL: &str = "kinesis.amazonaws.com";

/// One object.
#[derive(Debug, Clone)]
pub struct Object {
    pub key: String,
    pub body: bytes::Bytes,
    pub storage_class: String,
    pub key_id: Option<String>,
    pub content_type: Option<&'static str>,
    pub content_encoding: Option<&'static str>,
}

/// What channels and Firehose need of S3, IAM and CloudWatch Logs. All of it blocks.
pub trait Destination: Send + Sync + 'static {
    /// The region of a bucket of `account`. `None` if there is no such bucket.
    fn bucket_region(&self, account: &str, bucket: &str) -> Option<String>;

    /// Whether the role exists and trusts `principal`.
    fn trusts(&self, role: &str, principal: &str) -> bool;

    /// Whether the policies of the role allow an action.
    fn allows(&self, role: &str, action: &str, resource: &str) -> bool;

    /// # Errors
    /// S3's own.
    fn put(&self, owner: &Caller, bucket: &str, object: Object) -> std::result::Result<(), Undelivered>;

    fn log(&self, caller: &Caller, group: &str, stream: &str, at_ms: i64, text: String);
}

/// One channel, with the state of its delivery.
pub struct Channel {
    meta: Mutex<Arc<ChannelMeta>>,
    files: Files,
    delivery: Mutex<Delivery>,
}

impl Channel {
    fn new(meta: ChannelMeta, files: Files, delivery: Delivery) -> Self {
        Self {
            meta: Mutex::new(Arc::new(meta)),
            files,
            delivery: Mutex::new(delivery),
        }
    }

    /// The channel after every transition that is due.
    pub fn settled(&self, destination: &dyn Destination, now_ms: i64) -> Arc<ChannelMeta> {
        let mut shown = locked(&self.meta);
        if !shown.is_due(now_ms) || shown.is_gone(now_ms) {
            return Arc::clone(&shown);
        }
        let mut meta = ChannelMeta::clone(&shown);
        if meta.status == ChannelStatus::Creating
            && let Some(reason) = unfit(&meta, destination)
        {
            meta.fail(reason);
        } else {
            meta.active_ms.get_or_insert(meta.due_ms);
            meta.status = ChannelStatus::Active;
        }
        // A restart comes to the same, but for a clock that is set back.
        if let Err(error) = self.files.save(&meta) {
            tracing::warn!(%error, "the new status of a channel could not be saved");
        }
        *shown = Arc::new(meta);
        Arc::clone(&shown)
    }

    /// Changes and saves the channel.
    ///
    /// # Errors
    /// Errors of `edit`; `InternalFailureException`.
    pub fn change(&self, edit: impl FnOnce(&mut ChannelMeta) -> Result<()>) -> Result<Arc<ChannelMeta>> {
        let mut shown = locked(&self.meta);
        let mut meta = ChannelMeta::clone(&shown);
        edit(&mut meta)?;
        let saved = self.files.save(&meta);
        saved.map_err(|error| ApiError::internal("the channel could not be saved", &error))?;
        *shown = Arc::new(meta);
        Ok(Arc::clone(&shown))
    }

    fn meta(&self) -> Arc<ChannelMeta> {
        Arc::clone(&locked(&self.meta))
    }
}

/// Why a channel cannot deliver. Source of the causes: "Troubleshooting data delivery", developer guide.
fn unfit(meta: &ChannelMeta, destination: &dyn Destination) -> Option<String> {
    let s3 = match &meta.target {
        Target::S3(s3) => s3,
        Target::Tables(_) => {
            return Some(
                "S3 Tables is not available in the local cloud: a channel can deliver to a general purpose bucket only."
                    .to_owned(),
            );
        }
    };
    if !destination.trusts(&meta.role, PRINCIPAL) {
        return Some(format!(
            "The role {} does not exist, or {PRINCIPAL} may not assume it.",
            meta.role
        ));
    }
    let key = delivery::key(meta, &s3.storage.output_key_template, "", 0, meta.due_ms);
    let prefix = s3.dead_letters.error_output_prefix.as_deref().unwrap_or_default();
    let (storage, dead) = (&s3.storage, &s3.dead_letters);
    let objects = [
        (&storage.bucket_arn, &storage.expected_bucket_owner, key.clone()),
        (
            &dead.bucket_arn,
            &dead.expected_bucket_owner,
            format!("{prefix}{key}"),
        ),
    ];
    objects.into_iter().find_map(|(arn, owner, key)| {
        let bucket = bucket_of(arn);
        match destination.bucket_region(owner, bucket) {
            None => Some(format!(
                "The bucket {bucket} of the account {owner} does not exist."
            )),
            Some(region) if region != meta.region => Some(format!(
                "The bucket {bucket} is in {region}, and the stream in {}.",
                meta.region
            )),
            Some(_) if !destination.allows(&meta.role, "s3:PutObject", &format!("{arn}/{key}")) => {
                Some(format!(
                    "The role {} is not authorized to perform s3:PutObject on {arn}/{key}.",
                    meta.role
                ))
            }
            Some(_) => None,
        }
    })
}

/// The channels of all accounts and regions.
pub struct Channels {
    dir: PathBuf,
    all: RwLock<BTreeMap<String, Arc<Channel>>>,
    /// Held by a creation: names and numbers are checked under it.
    creating: Mutex<()>,
    /// Files that could not be read when the channels were opened.
    damage: Vec<DamagedFile>,
    /// Changes when a channel is created.
    created: watch::Sender<()>,
}

impl Channels {
    /// Opens the channels in `dir`. What is damaged is left as it is and listed by [`Channels::damage`].
    ///
    /// # Errors
    /// When a directory cannot be made or read; the error names it.
    pub fn open(dir: PathBuf) -> io::Result<Self> {
        platform::create_private_dir(&dir).map_err(|error| platform::at_path(error, &dir))?;
        let (mut all, mut damage) = (BTreeMap::new(), Vec::new());
        for files in Files::list(&dir)? {
            let opened = files.load().and_then(|meta| Ok((meta, files.progress()?)));
            match opened {
                Ok((Some(meta), progress)) => {
                    let id = meta.id.clone();
                    let channel = Channel::new(meta, files, Delivery::new(progress));
                    all.insert(id, Arc::new(channel));
                }
                // A creation that was not acknowledged, or a deletion that is.
                Ok((None, _)) => files.remove(),
                Err(error) => {
                    tracing::warn!(%error, "a channel cannot be opened; its files are left as they are");
                    damage.push(unusable(files.path(), "the channel cannot be opened", &error));
                }
            }
        }
        Ok(Self {
            dir,
            all: RwLock::new(all),
            creating: Mutex::new(()),
            damage,
            created: watch::Sender::new(()),
        })
    }

    pub fn damage(&self) -> &[DamagedFile] {
        &self.damage
    }

    fn read<T>(&self, look: impl FnOnce(&BTreeMap<String, Arc<Channel>>) -> T) -> T {
        look(&self.all.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn every(&self) -> Vec<Arc<Channel>> {
        self.read(|all| all.values().cloned().collect())
    }

    /// The channels of `caller` by name. Removes those whose deletion is complete.
    pub fn list(&self, caller: &Caller, now_ms: i64) -> Vec<Arc<Channel>> {
        let mut own: Vec<_> = self
            .every()
            .into_iter()
            .map(|channel| (channel.meta(), channel))
            .filter(|(meta, _)| meta.account == caller.account && meta.region == caller.region)
            .filter(|(meta, _)| self.keep(meta, now_ms))
            .collect();
        own.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        own.into_iter().map(|(_, channel)| channel).collect()
    }

    /// The channel with this ARN.
    ///
    /// # Errors
    /// `ResourceNotFoundException`.
    pub fn find(&self, caller: &Caller, arn: &str, now_ms: i64) -> Result<Arc<Channel>> {
        let id = arn.rsplit_once(":channel/").map_or("", |(_, id)| id);
        let found = self.read(|all| all.get(id).cloned());
        let theirs = |channel: &Arc<Channel>| {
            let meta = channel.meta();
            meta.arn() == arn && meta.account == caller.account && meta.region == caller.region
        };
        found
            .filter(theirs)
            .filter(|channel| self.keep(&channel.meta(), now_ms))
            .ok_or_else(|| {
                ApiError::not_found(format!(
                    "Channel {arn} under account {} not found.",
                    caller.account
                ))
            })
    }

    /// Channels of a stream that are not being deleted.
    pub fn count(&self, stream_id: u64) -> usize {
        let of_stream = |meta: &ChannelMeta| meta.stream_id == stream_id;
        let live = self.every().into_iter().map(|channel| channel.meta());
        live.filter(|meta| of_stream(meta) && meta.status != ChannelStatus::Deleting)
            .count()
    }

    /// Rejects a change of a stream that its channels do not outlive. Source: DeleteChannel, API reference: a stream
    /// cannot be deleted while it has active channels.
    ///
    /// # Errors
    /// `ResourceInUseException`.
    pub fn release(&self, stream_id: u64, stream: &str, account: &str) -> Result<()> {
        let all = self.every().into_iter().map(|channel| channel.meta());
        let mut needing = all.filter(|meta| meta.stream_id == stream_id && meta.needs_stream());
        match needing.next() {
            None => Ok(()),
            Some(meta) => Err(ApiError::in_use(format!(
                "Stream {stream} under account {account} has the active channel {}. Delete its channels first.",
                meta.name
            ))),
        }
    }

    /// Creates a channel after `admit` has accepted it, given the caller's other channels.
    ///
    /// # Errors
    /// Errors of `admit`; `InternalFailureException`.
    pub fn create(
        &self,
        caller: &Caller,
        meta: ChannelMeta,
        now_ms: i64,
        admit: impl FnOnce(&[Arc<ChannelMeta>]) -> Result<()>,
    ) -> Result<()> {
        let _one = locked(&self.creating);
        let others = self.list(caller, now_ms);
        admit(&others.iter().map(|channel| channel.meta()).collect::<Vec<_>>())?;
        let files = Files::new(&self.dir, &meta.id);
        if let Err(error) = files.save(&meta) {
            files.remove();
            return Err(ApiError::internal("the channel could not be made", &error));
        }
        let id = meta.id.clone();
        let channel = Arc::new(Channel::new(meta, files, Delivery::default()));
        self.all
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, channel);
        self.created.send_replace(());
        Ok(())
    }

    /// Whether the channel still exists. Removes it if its deletion is complete.
    fn keep(&self, meta: &ChannelMeta, now_ms: i64) -> bool {
        if !meta.is_gone(now_ms) {
            return true;
        }
        let removed = self
            .all
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&meta.id);
        if let Some(channel) = removed {
            channel.files.remove();
        }
        false
    }

    /// Removes each channel whose deletion is complete.
    pub fn sweep(&self, now_ms: i64) {
        for channel in self.every() {
            self.keep(&channel.meta(), now_ms);
        }
    }
}
