//! Changes to one stream. Each waits for the stream to be ACTIVE before and after, because the service accepts one
//! change at a time.

mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use aws_sdk_kinesis::types as sdk;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use tokio::time::Instant;

pub use rules::{
    MAX_SHARDS, MAX_TAGS, TagChange, check_max_record_size, check_retention, check_shards, check_tags,
    check_warm_throughput, same_key, tag_change,
};

use super::event::{Event, Events};
use super::keys::{self, KeyMatch};
use super::quota;
use super::state::{Mode, ShardMetric, Status, StreamState, observe, summary};
use super::wait;
use crate::context::Context;
use ground::error::{self, Error, Result};

/// The AWS managed key, the default for encryption.
/// Source: StartStreamEncryption, Kinesis API reference.
pub const AWS_MANAGED_KEY: &str = "alias/aws/kinesis";

/// The capacity of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capacity {
    /// A fixed number of shards, 1 to 10,000.
    Provisioned { shards: u32 },
    /// On demand.
    OnDemand,
}

/// A stream to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewStream {
    pub capacity: Capacity,
    /// Tags set at creation, at most 50.
    pub tags: BTreeMap<String, String>,
    /// Maximum record size in KiB, 1,024 to 10,240; `None` for the service's default.
    pub max_record_size_kib: Option<u32>,
}

/// Changes one stream. Every method waits for ACTIVE, makes its change, waits for ACTIVE again and returns the new
/// state. If the stream already is as requested, no changing call is made.
#[derive(Clone, Copy)]
pub struct Changer<'a> {
    pub(super) ctx: &'a Context,
    pub(super) name: &'a str,
    pub(super) events: Events<'a>,
    patience: Duration,
}

impl<'a> Changer<'a> {
    /// Changes the stream `name` and reports progress to `events`.
    pub fn new(ctx: &'a Context, name: &'a str, events: Events<'a>) -> Self {
        Self {
            ctx,
            name,
            events,
            patience: Duration::from_secs(15 * 60),
        }
    }

    /// Sets the timeout of each change (default 15 minutes, at most 30 days).
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience.min(Duration::from_secs(30 * 24 * 60 * 60));
        self
    }

    /// Creates the stream. An existing stream of that name that has all of `new.tags` (at least one) counts as created
    /// by an earlier attempt whose response was lost.
    ///
    /// # Errors
    /// Exit 2 when `new` is out of range; exit 1 when another stream has that name, or an account limit is reached.
    pub async fn create(&self, new: &NewStream) -> Result<StreamState> {
        super::check_name(self.name)?;
        check_tags(&new.tags)?;
        let (mode, shards) = match new.capacity {
            Capacity::Provisioned { shards } => {
                check_shards(shards)?;
                (sdk::StreamMode::Provisioned, Some(as_i32(shards)))
            }
            Capacity::OnDemand => (sdk::StreamMode::OnDemand, None),
        };
        if let Some(kib) = new.max_record_size_kib {
            check_max_record_size(kib)?;
        }
        let deadline = self.deadline();
        // The name of a stream that is being deleted is not free yet.
        let before = summary(self.ctx, self.name).await?;
        if before.is_some_and(|found| found.stream_status == sdk::StreamStatus::Deleting) {
            wait::wait_until_gone(self.ctx, self.name, deadline, self.events).await?;
        }
        self.step("creating the stream");
        let kinesis = self.ctx.kinesis_once();
        let sent = wait::retry(deadline, self.events, || {
            let request = kinesis
                .create_stream()
                .stream_name(self.name)
                .set_shard_count(shards)
                .stream_mode_details(mode_details(mode.clone()))
                .set_max_record_size_in_kib(new.max_record_size_kib.map(as_i32));
            let request = new
                .tags
                .iter()
                .fold(request, |request, (k, v)| request.tags(k, v));
            async move {
                match request.send().await {
                    // In this case the error means "exists": retrying does not help.
                    Err(e) if e.code() == Some("ResourceInUseException") => Ok(Err(e)),
                    other => other.map(Ok),
                }
            }
        });
        if let Err(exists) = sent.await.map_err(|e| self.failed("create", e))? {
            let found = match observe(self.ctx, self.name).await? {
                Some(found) => found,
                None => wait::wait_until_created(self.ctx, self.name, deadline, self.events).await?,
            };
            let ours = !new.tags.is_empty() && new.tags.iter().all(|(k, v)| found.tags.get(k) == Some(v));
            if !ours {
                return Err(self.failed("create", exists).hint(format!(
                    "choose another name with --stream, or look at it with `streamctl describe {}`",
                    self.name
                )));
            }
        }
        wait::wait_until_created(self.ctx, self.name, deadline, self.events).await
    }

    /// Deletes the stream and waits until it is gone. Succeeds if there is none. `with_consumers` also deletes its
    /// registered consumers.
    ///
    /// # Errors
    /// Exit 1 when it has consumers and `with_consumers` is false.
    pub async fn delete(&self, with_consumers: bool) -> Result<()> {
        let deadline = self.deadline();
        let Some(found) = summary(self.ctx, self.name).await? else {
            return Ok(());
        };
        let has_channels = found.channel_count().is_some_and(|count| count > 0);
        let found = StreamState::from_summary(&found, BTreeMap::new());
        if found.status != Status::Deleting {
            if has_channels {
                self.require_no_channels(&found.arn).await?;
            }
            if found.consumer_count > 0 && !with_consumers {
                return Err(Error::failed(format!(
                    "stream {} has {}",
                    self.name,
                    counted(found.consumer_count, "registered consumer")
                ))
                .hint("deregister them first, or delete the stream together with its consumers"));
            }
            if !found.is_active() {
                wait::wait_until_active(self.ctx, self.name, deadline, self.events).await?;
            }
            self.step("deleting the stream");
            let kinesis = self.ctx.kinesis_once();
            let sent = wait::retry(deadline, self.events, || {
                kinesis
                    .delete_stream()
                    .stream_name(self.name)
                    .enforce_consumer_deletion(with_consumers)
                    .send()
            });
            match sent.await {
                Ok(_) => {}
                Err(e) if error::aws::is_not_found(&e) => return Ok(()),
                Err(e) => return Err(self.failed("delete", e)),
            }
        }
        wait::wait_until_gone(self.ctx, self.name, deadline, self.events).await
    }

    /// Sets the retention to `hours`, 24 to 8,760. A shorter retention makes older records unreadable.
    ///
    /// # Errors
    /// Exit 2 when out of range, exit 1 when the call fails.
    pub async fn set_retention(&self, hours: u32) -> Result<StreamState> {
        check_retention(hours)?;
        let deadline = self.deadline();
        let now = self.ready(deadline).await?;
        if now.retention_hours == hours {
            return Ok(now);
        }
        self.step(format!("setting the retention to {hours} h"));
        let kinesis = self.ctx.kinesis_once();
        let is_set = |s: &StreamState| s.retention_hours == hours;
        if hours > now.retention_hours {
            let send = || {
                let request = kinesis.increase_stream_retention_period().stream_name(self.name);
                request.retention_period_hours(as_i32(hours)).send()
            };
            self.call_until(
                deadline,
                "increase the retention of",
                send,
                "the retention",
                &is_set,
            )
            .await
        } else {
            let send = || {
                let request = kinesis.decrease_stream_retention_period().stream_name(self.name);
                request.retention_period_hours(as_i32(hours)).send()
            };
            self.call_until(
                deadline,
                "decrease the retention of",
                send,
                "the retention",
                &is_set,
            )
            .await
        }
    }

    /// Encrypts new records with the KMS key `key` (alias, id or ARN), or stops encrypting (`None`).
    ///
    /// # Errors
    /// Exit 1 when the key cannot be used or the call fails.
    pub async fn set_encryption(&self, key: Option<&str>) -> Result<StreamState> {
        let deadline = self.deadline();
        let now = self.ready(deadline).await?;
        let kinesis = self.ctx.kinesis_once();
        match (key, &now.encryption) {
            (None, None) => return Ok(now),
            (Some(wanted), Some(current))
                if keys::compare(self.ctx, wanted, current).await? == KeyMatch::Same =>
            {
                return Ok(now);
            }
            (Some(wanted), _) => {
                self.step(format!("encrypting with {wanted}"));
                self.call(deadline, "encrypt", || {
                    let request = kinesis.start_stream_encryption().stream_name(self.name);
                    request
                        .encryption_type(sdk::EncryptionType::Kms)
                        .key_id(wanted)
                        .send()
                })
                .await
                .map_err(key_hint)
                .map_err(|error| quota::KEYS.explain(error))?;
            }
            (None, Some(current)) => {
                self.step("turning encryption off");
                self.call(deadline, "turn off the encryption of", || {
                    let request = kinesis.stop_stream_encryption().stream_name(self.name);
                    request
                        .encryption_type(sdk::EncryptionType::Kms)
                        .key_id(current)
                        .send()
                })
                .await
                .map_err(|error| quota::KEYS.explain(error))?;
            }
        }
        // The service may return the key in another form.
        self.shown(deadline, "the encryption", &|s| {
            s.encryption.is_some() == key.is_some()
        })
        .await
    }

    /// Enables exactly these shard-level metrics and disables the others.
    ///
    /// # Errors
    /// Exit 1 when a call fails.
    pub async fn set_monitoring(&self, metrics: &BTreeSet<ShardMetric>) -> Result<StreamState> {
        let deadline = self.deadline();
        let mut now = self.ready(deadline).await?;
        let kinesis = self.ctx.kinesis_once();
        let on: BTreeSet<_> = metrics.difference(&now.monitoring).copied().collect();
        let off: BTreeSet<_> = now.monitoring.difference(metrics).copied().collect();
        if !on.is_empty() {
            self.step(format!("turning on {}", counted(on.len(), "shard-level metric")));
            self.call(deadline, "turn on shard-level metrics of", || {
                let request = kinesis.enable_enhanced_monitoring().stream_name(self.name);
                request
                    .set_shard_level_metrics(Some(rules::api_metrics(&on)))
                    .send()
            })
            .await?;
            now = self
                .shown(deadline, "the shard-level metrics", &|s| {
                    on.is_subset(&s.monitoring)
                })
                .await?;
        }
        if !off.is_empty() {
            self.step(format!(
                "turning off {}",
                counted(off.len(), "shard-level metric")
            ));
            self.call(deadline, "turn off shard-level metrics of", || {
                let request = kinesis.disable_enhanced_monitoring().stream_name(self.name);
                request
                    .set_shard_level_metrics(Some(rules::api_metrics(&off)))
                    .send()
            })
            .await?;
            now = self
                .shown(deadline, "the shard-level metrics", &|s| {
                    off.is_disjoint(&s.monitoring)
                })
                .await?;
        }
        Ok(now)
    }

    /// Sets the tags of `set` and removes the keys of `remove`; other tags stay. A key in both is set.
    ///
    /// # Errors
    /// Exit 2 when a tag is malformed or there would be more than 50, exit 1 when a call fails.
    pub async fn change_tags(
        &self,
        set: &BTreeMap<String, String>,
        remove: &BTreeSet<String>,
    ) -> Result<StreamState> {
        let deadline = self.deadline();
        let now = self.ready(deadline).await?;
        let change = tag_change(&now.tags, set, remove)?;
        if change.is_empty() {
            return Ok(now);
        }
        let kinesis = self.ctx.kinesis_once();
        // Remove first: a stream has at most 50 tags. Each call takes at most 50.
        if !change.remove.is_empty() {
            self.step(format!("removing {}", counted(change.remove.len(), "tag")));
            self.call(deadline, "remove tags of", || {
                let request = kinesis.remove_tags_from_stream().stream_name(self.name);
                request.set_tag_keys(Some(change.remove.clone())).send()
            })
            .await?;
        }
        if !change.set.is_empty() {
            self.step(format!("setting {}", counted(change.set.len(), "tag")));
            self.call(deadline, "tag", || {
                let request = kinesis.add_tags_to_stream().stream_name(self.name);
                request
                    .set_tags(Some(change.set.clone().into_iter().collect()))
                    .send()
            })
            .await?;
        }
        self.ready(deadline).await
    }

    /// Switches the capacity mode; the service allows it twice in 24 hours.
    ///
    /// # Errors
    /// Exit 1 when the call fails.
    pub async fn set_mode(&self, mode: Mode) -> Result<StreamState> {
        let deadline = self.deadline();
        let now = self.ready(deadline).await?;
        if now.mode == mode {
            return Ok(now);
        }
        self.step(format!("switching to {mode} mode"));
        let wanted = match mode {
            Mode::Provisioned => sdk::StreamMode::Provisioned,
            Mode::OnDemand => sdk::StreamMode::OnDemand,
        };
        if mode == Mode::Provisioned {
            self.require_no_channels(&now.arn).await?;
        }
        let kinesis = self.ctx.kinesis_once();
        let send = || {
            let request = kinesis.update_stream_mode().stream_arn(&now.arn);
            request.stream_mode_details(mode_details(wanted.clone())).send()
        };
        self.call_until(deadline, "switch the mode of", send, "the mode", &|s| {
            s.mode == mode
        })
        .await
        .map_err(|error| quota::MODES.explain(error))
    }

    /// Accepts records of up to `kib` KiB, 1,024 to 10,240.
    ///
    /// # Errors
    /// Exit 2 when out of range, exit 1 when the call fails.
    pub async fn set_max_record_size(&self, kib: u32) -> Result<StreamState> {
        check_max_record_size(kib)?;
        let deadline = self.deadline();
        let now = self.ready(deadline).await?;
        if now.max_record_size_kib == kib {
            return Ok(now);
        }
        self.step(format!("setting the largest record to {kib} KiB"));
        let kinesis = self.ctx.kinesis_once();
        let send = || {
            let request = kinesis.update_max_record_size();
            request
                .stream_arn(&now.arn)
                .max_record_size_in_kib(as_i32(kib))
                .send()
        };
        let is_set = |s: &StreamState| s.max_record_size_kib == kib;
        self.call_until(
            deadline,
            "set the largest record of",
            send,
            "the record size",
            &is_set,
        )
        .await
    }

    /// Keeps an on-demand stream ready for `mibps` MiB/s of writes, at most 10,240.
    ///
    /// # Errors
    /// Exit 2 when out of range, exit 1 when the call fails.
    pub async fn set_warm_throughput(&self, mibps: u32) -> Result<StreamState> {
        check_warm_throughput(mibps)?;
        let deadline = self.deadline();
        let now = self.ready(deadline).await?;
        if now.warm_throughput_mibps == Some(mibps) {
            return Ok(now);
        }
        self.step(format!("setting the warm throughput to {mibps} MiB/s"));
        let send = || {
            let request = self.ctx.kinesis().update_stream_warm_throughput();
            request
                .stream_arn(&now.arn)
                .warm_throughput_mibps(as_i32(mibps))
                .send()
        };
        self.call(deadline, "set the warm throughput of", send).await?;
        // The current throughput may follow later.
        self.shown(deadline, "the warm throughput", &|s| {
            s.warm_throughput_mibps.is_some()
        })
        .await
    }
}

/// Steps shared by all changes.
impl Changer<'_> {
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.patience
    }

    pub(super) fn step(&self, what: impl Into<String>) {
        (self.events)(Event::Step { what: what.into() });
    }

    /// Waits until the stream accepts changes.
    pub(super) async fn ready(&self, deadline: Instant) -> Result<StreamState> {
        wait::wait_until_active(self.ctx, self.name, deadline, self.events).await
    }

    /// Waits until the stream shows the change `what`.
    pub(super) async fn shown(
        &self,
        deadline: Instant,
        what: &str,
        shown: &(dyn Fn(&StreamState) -> bool + Sync),
    ) -> Result<StreamState> {
        wait::wait_until_shown(self.ctx, self.name, deadline, self.events, what, shown).await
    }

    /// Repeats a changing call until it is accepted; `what` completes "could not … stream NAME".
    pub(super) async fn call<T, E, Sending>(
        &self,
        deadline: Instant,
        what: &str,
        send: impl FnMut() -> Sending,
    ) -> Result<T>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        Sending: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        wait::retry(deadline, self.events, send)
            .await
            .map_err(|e| self.failed(what, e))
    }

    /// As [`Changer::call`], then waits until the stream shows the change `of` it. If the call is rejected but the
    /// stream already shows the change, an earlier attempt was accepted and its response lost: the service rejects a
    /// change to the current value.
    pub(super) async fn call_until<T, E, Sending>(
        &self,
        deadline: Instant,
        what: &str,
        send: impl FnMut() -> Sending,
        of: &str,
        shown: &(dyn Fn(&StreamState) -> bool + Sync),
    ) -> Result<StreamState>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        Sending: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let refused = match self.call(deadline, what, send).await {
            Ok(_) => return self.shown(deadline, of, shown).await,
            Err(refused) => refused,
        };
        match observe(self.ctx, self.name).await {
            Ok(Some(found)) if found.is_active() && shown(&found) => Ok(found),
            _ => Err(refused),
        }
    }

    fn failed<E>(&self, what: &str, error: SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        error::aws::failed(format!("could not {what} stream {}", self.name), error)
    }
}

/// A number of things in words, such as "1 tag" or "7 tags".
fn counted(number: impl ToString, thing: &str) -> String {
    let number = number.to_string();
    let plural = if number == "1" { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// The API's counts are signed; ours are checked against much smaller limits.
pub(super) fn as_i32(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

fn mode_details(mode: sdk::StreamMode) -> sdk::StreamModeDetails {
    sdk::StreamModeDetails::builder()
        .stream_mode(mode)
        .build()
        .expect("the mode, the only required field, is set")
}

fn key_hint(error: Error) -> Error {
    if error.code().is_some_and(|code| code.starts_with("KMS")) {
        return error.hint(
            "name an enabled symmetric KMS key of this region that you may use, or `alias/aws/kinesis`",
        );
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Changes run in spawned tasks: this compiles only while their futures are `Send`.
    #[allow(dead_code, reason = "checked by the compiler")]
    fn futures_can_be_spawned(ctx: &Context, events: Events<'_>, new: &NewStream) {
        fn sendable(_: impl Send) {}
        let changer = Changer::new(ctx, "orders", events);
        let (tags, keys, metrics) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        let filter = crate::stream::Filter::default();
        sendable(changer.create(new));
        sendable(changer.delete(true));
        sendable(changer.set_retention(24));
        sendable(changer.set_encryption(None));
        sendable(changer.set_monitoring(&metrics));
        sendable(changer.change_tags(&tags, &keys));
        sendable(changer.set_mode(Mode::OnDemand));
        sendable(changer.set_max_record_size(1_024));
        sendable(changer.set_warm_throughput(100));
        sendable(changer.set_shard_count(2));
        sendable(crate::stream::list(ctx, &filter, true));
    }
}
