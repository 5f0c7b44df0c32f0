//! Changes to one stream. Each waits for the stream to be ACTIVE before and after: the service takes one change at a
//! time and refuses the others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::event::Events;
use super::state::{Mode, ShardMetric, StreamState};
use crate::context::Context;
use crate::error::{Error, Result};

/// The key that Kinesis owns, used for encryption where the user names none.
/// Source: StartStreamEncryption, Kinesis API reference.
pub const AWS_MANAGED_KEY: &str = "alias/aws/kinesis";

/// How much a stream is to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capacity {
    /// This many shards, 1 to 10,000.
    Provisioned {
        /// Open shards.
        shards: u32,
    },
    /// As much as comes.
    OnDemand,
}

/// A stream to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewStream {
    /// How much it is to take.
    pub capacity: Capacity,
    /// Tags it carries from its first moment, at most 50.
    pub tags: BTreeMap<String, String>,
    /// Largest record in KiB, 1,024 to 10,240; `None` for the service's default.
    pub max_record_size_kib: Option<u32>,
}

/// Changes one stream. Every method waits for ACTIVE, makes its change, waits for ACTIVE again and returns what the
/// stream is then; where the stream is as wanted already, no changing call is made.
#[derive(Clone, Copy)]
pub struct Changer<'a> {
    ctx: &'a Context,
    name: &'a str,
    events: Events<'a>,
    patience: Duration,
}

impl<'a> Changer<'a> {
    /// Changes the stream `name`, telling `events` what happens.
    pub fn new(ctx: &'a Context, name: &'a str, events: Events<'a>) -> Self {
        Self {
            ctx,
            name,
            events,
            patience: Duration::from_secs(15 * 60),
        }
    }

    /// Gives each change this long (15 minutes unless told).
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Creates the stream. A stream of that name that already carries all of `new.tags` (and there are some) is taken
    /// for ours: an earlier attempt whose answer was lost.
    ///
    /// # Errors
    /// Exit 1 when there is another stream of that name, or a limit of the account is in the way.
    pub async fn create(&self, _new: &NewStream) -> Result<StreamState> {
        Err(Error::failed("not built yet"))
    }

    /// Deletes the stream and waits until it is gone; fine where there is none. `with_consumers` deletes its registered
    /// consumers too.
    ///
    /// # Errors
    /// Exit 1 when it has consumers and `with_consumers` is false.
    pub async fn delete(&self, _with_consumers: bool) -> Result<()> {
        Err(Error::failed("not built yet"))
    }

    /// Keeps records for `hours`, 24 to 8,760. A shorter time makes older records unreadable.
    ///
    /// # Errors
    /// Exit 2 when out of range.
    pub async fn set_retention(&self, _hours: u32) -> Result<StreamState> {
        Err(Error::failed("not built yet"))
    }

    /// Encrypts new records with the KMS key `key` (alias, id or ARN), or no longer (`None`).
    ///
    /// # Errors
    /// Exit 1 when the key cannot be used.
    pub async fn set_encryption(&self, _key: Option<&str>) -> Result<StreamState> {
        Err(Error::failed("not built yet"))
    }

    /// Turns exactly these shard-level metrics on, and the others off.
    ///
    /// # Errors
    /// Exit 1 when a call fails.
    pub async fn set_monitoring(&self, _metrics: &BTreeSet<ShardMetric>) -> Result<StreamState> {
        Err(Error::failed("not built yet"))
    }

    /// Sets the tags of `set` and removes the keys of `remove`; other tags stay.
    ///
    /// # Errors
    /// Exit 2 when a tag is malformed or there would be more than 50.
    pub async fn change_tags(
        &self,
        _set: &BTreeMap<String, String>,
        _remove: &BTreeSet<String>,
    ) -> Result<StreamState> {
        Err(Error::failed("not built yet"))
    }

    /// Switches the capacity mode; at most twice in 24 hours.
    ///
    /// # Errors
    /// Exit 1 when a call fails.
    pub async fn set_mode(&self, _mode: Mode) -> Result<StreamState> {
        Err(Error::failed("not built yet"))
    }

    /// Accepts records of up to `kib` KiB, 1,024 to 10,240.
    ///
    /// # Errors
    /// Exit 2 when out of range.
    pub async fn set_max_record_size(&self, _kib: u32) -> Result<StreamState> {
        Err(Error::failed("not built yet"))
    }
}
