//! What is known of a stream besides its records: the part that is saved as one file.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::lineage::ShardMeta;
use crate::kinesis::error::{ApiError, Code, Result};
use crate::partition;

/// Milliseconds of an hour.
pub const HOUR_MS: i64 = 3_600_000;
/// Milliseconds of the rolling day over which AWS counts reshards, key changes and mode switches.
pub const DAY_MS: i64 = 24 * HOUR_MS;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $wire:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $wire)] $variant),* }

        #[allow(dead_code, reason = "not every enum needs all of these")]
        impl $name {
            /// All values.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $wire),* }
            }

            /// The value of a word on the wire.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($wire => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

words! {
    /// Where a stream is in its life.
    Status {
        /// Not usable yet.
        Creating = "CREATING",
        /// Usable.
        Active = "ACTIVE",
        /// A change is under way; data flows.
        Updating = "UPDATING",
        /// Going away.
        Deleting = "DELETING",
    }
}

words! {
    /// How capacity is managed.
    Mode {
        /// By shards.
        Provisioned = "PROVISIONED",
        /// By AWS.
        OnDemand = "ON_DEMAND",
    }
}

words! {
    /// How records find their shard.
    Distribution {
        /// By the engine, whatever the key.
        Auto = "AUTO",
        /// By the partition key's hash.
        UserPartitionKey = "USER_PARTITION_KEY",
    }
}

words! {
    /// The shard-level metrics that can be switched on.
    ShardMetric {
        /// Bytes put.
        IncomingBytes = "IncomingBytes",
        /// Records put.
        IncomingRecords = "IncomingRecords",
        /// Bytes read.
        OutgoingBytes = "OutgoingBytes",
        /// Records read.
        OutgoingRecords = "OutgoingRecords",
        /// Puts throttled.
        WriteProvisionedThroughputExceeded = "WriteProvisionedThroughputExceeded",
        /// Reads throttled.
        ReadProvisionedThroughputExceeded = "ReadProvisionedThroughputExceeded",
        /// Age of the last record read.
        IteratorAgeMilliseconds = "IteratorAgeMilliseconds",
    }
}

/// Whether and with what the records are encrypted. Nothing is really encrypted here; the answers say so as AWS's do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encryption {
    /// Not.
    None,
    /// With this KMS key.
    Kms(String),
}

impl Encryption {
    /// The word on the wire.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Kms(_) => "KMS",
        }
    }

    /// The key, if there is one.
    pub fn key_id(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Kms(key) => Some(key.clone()),
        }
    }
}

/// A registered enhanced fan-out consumer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerMeta {
    /// Its name, unique in the stream.
    pub name: String,
    /// When it was registered.
    pub created_ms: i64,
    /// CREATING, ACTIVE or DELETING.
    pub status: Status,
    /// When CREATING or DELETING ends.
    pub due_ms: i64,
    /// Its tags.
    pub tags: BTreeMap<String, Option<String>>,
    /// Its resource policy.
    pub policy: Option<String>,
}

/// Everything about a stream but its records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamMeta {
    /// Version of this file's form.
    pub version: u32,
    /// 12-digit account id.
    pub account: String,
    /// Region.
    pub region: String,
    /// Name, unique in account and region.
    pub name: String,
    /// This incarnation of the name; never used again.
    pub id: u64,
    /// When it was created.
    pub created_ms: i64,
    /// Status as of the last change; [`StreamMeta::settle`] brings it up to date.
    pub status: Status,
    /// When a status other than ACTIVE ends.
    pub due_ms: i64,
    /// Capacity mode.
    pub mode: Mode,
    /// How long records are kept.
    pub retention_hours: i64,
    /// What arrived before this had expired when the retention was made longer, and does not come back.
    pub expired_before_ms: i64,
    /// Encryption in force.
    pub encryption: Encryption,
    /// Encryption that comes into force when UPDATING ends.
    pub next_encryption: Option<Encryption>,
    /// Shard-level metrics switched on.
    pub monitoring: BTreeSet<ShardMetric>,
    /// Tags.
    pub tags: BTreeMap<String, Option<String>>,
    /// Resource policy.
    pub policy: Option<String>,
    /// Consumers.
    pub consumers: Vec<ConsumerMeta>,
    /// All shards ever, by index.
    pub shards: Vec<ShardMeta>,
    /// Largest record, KiB, key included.
    pub max_record_kib: i64,
    /// Warm throughput, MiB/s.
    pub warm_throughput: Option<i64>,
    /// How records find their shard.
    pub distribution: Distribution,
    /// When UpdateShardCount was called, within the last day.
    pub reshards_ms: Vec<i64>,
    /// When a key was applied, within the last day.
    pub key_starts_ms: Vec<i64>,
    /// When encryption was stopped, within the last day.
    pub key_stops_ms: Vec<i64>,
    /// When the mode was switched, within the last day.
    pub mode_switches_ms: Vec<i64>,
}

impl StreamMeta {
    /// Version of the file's form that this program writes.
    pub const VERSION: u32 = 1;

    /// The stream's ARN.
    pub fn arn(&self) -> String {
        format!(
            "arn:{}:kinesis:{}:{}:stream/{}",
            partition(&self.region),
            self.region,
            self.account,
            self.name
        )
    }

    /// The identifier of this incarnation, in the model's form: 20 characters, a hyphen, 3 characters.
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

    /// A consumer's ARN: the moment of registration tells two of the same name apart.
    pub fn consumer_arn(&self, consumer: &ConsumerMeta) -> String {
        format!(
            "{}/consumer/{}:{}",
            self.arn(),
            consumer.name,
            consumer.created_ms / 1000
        )
    }

    /// The earliest arrival that is still kept.
    pub fn horizon_ms(&self, now_ms: i64) -> i64 {
        let horizon = now_ms.saturating_sub(self.retention_hours.saturating_mul(HOUR_MS));
        horizon.max(self.expired_before_ms)
    }

    /// When [`StreamMeta::settle`] next has something to do.
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

    /// Lets every transition happen whose time has come. A deleted stream stays DELETING; see [`StreamMeta::is_gone`].
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

    /// Refuses unless the stream is ACTIVE.
    ///
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

    /// Refuses unless records can be put and read: ACTIVE or UPDATING.
    ///
    /// # Errors
    /// `ResourceNotFoundException`, as AWS answers for a stream that is not there yet or any more.
    pub fn require_data(&self) -> Result<()> {
        match self.status {
            Status::Active | Status::Updating => Ok(()),
            Status::Creating | Status::Deleting => Err(ApiError::no_stream(&self.name, &self.account)),
        }
    }

    /// Refuses what only a provisioned stream can do.
    ///
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

    /// Refuses what only an on-demand stream can do.
    ///
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

    /// Puts the stream into UPDATING until `due_ms`.
    pub fn update_until(&mut self, due_ms: i64) {
        self.status = Status::Updating;
        self.due_ms = due_ms;
    }

    /// The consumer called `name`.
    pub fn consumer(&self, name: &str) -> Option<&ConsumerMeta> {
        self.consumers.iter().find(|c| c.name == name)
    }

    /// Open shards.
    pub fn open_shards(&self) -> impl Iterator<Item = &ShardMeta> {
        self.shards.iter().filter(|s| s.closed_ms.is_none())
    }
}

/// Counts an event against a daily allowance.
///
/// # Errors
/// `LimitExceededException` with `message` when `most` have happened in the last 24 hours.
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
