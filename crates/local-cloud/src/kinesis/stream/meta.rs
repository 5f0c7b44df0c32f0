//! Metadata of a stream: everything except its records, saved as one file.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::lineage::ShardMeta;
use crate::kinesis::error::{ApiError, Code, Result};
use crate::partition;

pub const HOUR_MS: i64 = 3_600_000;
/// The rolling day in which AWS counts reshards, key changes and mode switches.
pub const DAY_MS: i64 = 24 * HOUR_MS;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $wire:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $wire)] $variant),* }

        #[allow(dead_code, reason = "not every enum needs all of these")]
        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $wire),* }
            }

            pub fn parse(word: &str) -> Option<Self> {
                match word { $($wire => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

pub(crate) use words;

words! {
    Status {
        Creating = "CREATING",
        Active = "ACTIVE",
        /// A change is in progress. Records can be written and read.
        Updating = "UPDATING",
        Deleting = "DELETING",
    }
}

words! {
    Mode {
        Provisioned = "PROVISIONED",
        OnDemand = "ON_DEMAND",
    }
}

words! {
    /// How records are distributed to shards.
    Distribution {
        /// By the engine, independent of the key.
        Auto = "AUTO",
        /// By the partition key's hash.
        UserPartitionKey = "USER_PARTITION_KEY",
    }
}

words! {
    ShardMetric {
        IncomingBytes = "IncomingBytes",
        IncomingRecords = "IncomingRecords",
        OutgoingBytes = "OutgoingBytes",
        OutgoingRecords = "OutgoingRecords",
        /// Throttled puts.
        WriteProvisionedThroughputExceeded = "WriteProvisionedThroughputExceeded",
        /// Throttled reads.
        ReadProvisionedThroughputExceeded = "ReadProvisionedThroughputExceeded",
        /// Age of the last record read.
        IteratorAgeMilliseconds = "IteratorAgeMilliseconds",
    }
}

/// Encryption of the records. Nothing is really encrypted here; only the answers say so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encryption {
    None,
    Kms(String),
}

impl Encryption {
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Kms(_) => "KMS",
        }
    }

    pub fn key_id(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Kms(key) => Some(key.clone()),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerMeta {
    /// Unique in the stream.
    pub name: String,
    pub created_ms: i64,
    /// CREATING, ACTIVE or DELETING.
    pub status: Status,
    /// When CREATING or DELETING ends.
    pub due_ms: i64,
    pub tags: BTreeMap<String, Option<String>>,
    pub policy: Option<String>,
}

/// Metadata of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamMeta {
    /// Version of the file format.
    pub version: u32,
    /// 12-digit account id.
    pub account: String,
    pub region: String,
    /// Unique in account and region.
    pub name: String,
    /// Id of this incarnation. Never reused.
    pub id: u64,
    pub created_ms: i64,
    /// Status as of the last change. [`StreamMeta::settle`] updates it.
    pub status: Status,
    /// When a status other than ACTIVE ends.
    pub due_ms: i64,
    pub mode: Mode,
    pub retention_hours: i64,
    /// Records that arrived before this expired before the retention was increased. They do not come back.
    pub expired_before_ms: i64,
    /// Current encryption.
    pub encryption: Encryption,
    /// Encryption from the end of UPDATING.
    pub next_encryption: Option<Encryption>,
    /// Enabled shard-level metrics.
    pub monitoring: BTreeSet<ShardMetric>,
    pub tags: BTreeMap<String, Option<String>>,
    pub policy: Option<String>,
    pub consumers: Vec<ConsumerMeta>,
    /// All shards ever created, by index.
    pub shards: Vec<ShardMeta>,
    /// Largest record including its key, KiB.
    pub max_record_kib: i64,
    /// Warm throughput, MiB/s.
    pub warm_throughput: Option<i64>,
    pub distribution: Distribution,
    /// Times of UpdateShardCount calls in the last day.
    pub reshards_ms: Vec<i64>,
    /// Times when a key was applied in the last day.
    pub key_starts_ms: Vec<i64>,
    /// Times when encryption was stopped in the last day.
    pub key_stops_ms: Vec<i64>,
    /// Times when the mode was switched in the last day.
    pub mode_switches_ms: Vec<i64>,
    /// Peaks of the last 30 days, while the stream is on demand: how many shards they need.
    #[serde(default)]
    pub peaks: Vec<Peak>,
}

/// The peak of write traffic on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peak {
    /// Start of the day.
    pub day_ms: i64,
    /// Shards that have double its throughput.
    pub shards: u32,
}

impl StreamMeta {
    /// Version of the file format that this program writes. Streams of version 1 have no file of ends.
    pub const VERSION: u32 = 2;

    pub fn arn(&self) -> String {
        format!(
            "arn:{}:kinesis:{}:{}:stream/{}",
            partition(&self.region),
            self.region,
            self.account,
            self.name
        )
    }

    /// The stream's id in the model's format: 20 characters, a hyphen, 3 characters.
    pub fn stream_id(&self) -> String {
        let mut digits = [b'0'; 23];
        let mut rest = self.id;
        for digit in digits[..20].iter_mut().rev() {
            *digit = b"0123456789abcdefghijklmnopqrstuvwxyz"[(rest % 36) as usize];
            rest /= 36;
        }
        let text: String = digits.iter().map(|&b| char::from(b)).collect();
        format!("{}-{}", &text[..20], &text[20..])
    }

    /// A consumer's ARN. The registration time distinguishes two consumers of the same name.
    pub fn consumer_arn(&self, consumer: &ConsumerMeta) -> String {
        format!(
            "{}/consumer/{}:{}",
            self.arn(),
            consumer.name,
            consumer.created_ms / 1000
        )
    }

    /// The earliest arrival that is retained.
    pub fn horizon_ms(&self, now_ms: i64) -> i64 {
        let horizon = now_ms.saturating_sub(self.retention_hours.saturating_mul(HOUR_MS));
        horizon.max(self.expired_before_ms)
    }

    /// When [`StreamMeta::settle`] next has an effect.
    pub fn settle_at(&self) -> i64 {
        let own = if self.status == Status::Active {
            i64::MAX
        } else {
            self.due_ms
        };
        let consumers = self
            .consumers
            .iter()
            .filter(|c| c.status != Status::Active)
            .map(|c| c.due_ms);
        consumers.fold(own, i64::min)
    }

    /// Applies every transition that is due. A deleted stream stays DELETING; see [`StreamMeta::is_gone`].
    pub fn settle(&mut self, now_ms: i64) {
        if matches!(self.status, Status::Creating | Status::Updating) && now_ms >= self.due_ms {
            self.status = Status::Active;
            if let Some(next) = self.next_encryption.take() {
                self.encryption = next;
            }
        }
        self.consumers
            .retain(|c| c.status != Status::Deleting || now_ms < c.due_ms);
        for consumer in &mut self.consumers {
            if consumer.status == Status::Creating && now_ms >= consumer.due_ms {
                consumer.status = Status::Active;
            }
        }
    }

    /// Whether its deletion is complete.
    pub fn is_gone(&self, now_ms: i64) -> bool {
        self.status == Status::Deleting && now_ms >= self.due_ms
    }

    /// # Errors
    /// `ResourceInUseException`.
    pub fn require_active(&self) -> Result<()> {
        if self.status == Status::Active {
            return Ok(());
        }
        Err(ApiError::in_use(format!(
            "Stream {} under account {} not ACTIVE, instead in state {}",
            self.name,
            self.account,
            self.status.as_str()
        )))
    }

    /// Requires that records can be written and read: ACTIVE or UPDATING.
    ///
    /// # Errors
    /// `ResourceNotFoundException`, as AWS answers for a stream that is being created or deleted.
    pub fn require_data(&self) -> Result<()> {
        match self.status {
            Status::Active | Status::Updating => Ok(()),
            Status::Creating | Status::Deleting => Err(ApiError::no_stream(&self.name, &self.account)),
        }
    }

    /// # Errors
    /// `ValidationException`.
    pub fn require_provisioned(&self) -> Result<()> {
        match self.mode {
            Mode::Provisioned => Ok(()),
            Mode::OnDemand => Err(ApiError::validation(format!(
                "Request is invalid. Stream {} under account {} is in On-Demand mode.",
                self.name, self.account
            ))),
        }
    }

    /// # Errors
    /// `ValidationException`.
    pub fn require_on_demand(&self) -> Result<()> {
        match self.mode {
            Mode::OnDemand => Ok(()),
            Mode::Provisioned => Err(ApiError::validation(format!(
                "Request is invalid. Stream {} under account {} is in Provisioned mode.",
                self.name, self.account
            ))),
        }
    }

    /// Sets the status to UPDATING until `due_ms`.
    pub fn update_until(&mut self, due_ms: i64) {
        self.status = Status::Updating;
        self.due_ms = due_ms;
    }

    pub fn consumer(&self, name: &str) -> Option<&ConsumerMeta> {
        self.consumers.iter().find(|c| c.name == name)
    }

    pub fn open_shards(&self) -> impl Iterator<Item = &ShardMeta> {
        self.shards.iter().filter(|s| s.closed_ms.is_none())
    }
}

/// Counts an event against a daily quota.
///
/// # Errors
/// `LimitExceededException` with `message` if `most` events happened in the last 24 hours.
pub fn count_in_day(
    events: &mut Vec<i64>,
    now_ms: i64,
    most: usize,
    message: impl FnOnce() -> String,
) -> Result<()> {
    events.retain(|&at| at > now_ms - DAY_MS);
    if events.len() >= most {
        return Err(ApiError::new(Code::LimitExceededException, message()));
    }
    events.push(now_ms);
    Ok(())
}
