//! How fast a shard is sent to: its limits as a token bucket, corrected by what the shard answers.
//!
//! A shard takes 1,000 records and 1 MiB each second. Source: "Quotas and limits", Kinesis Data Streams developer guide. The
//! bucket starts with one second's tokens, as the shard may have been idle. Emulators often have no limit: until a shard
//! throttles for the first time, a lane that runs out of tokens sends a few records more, and its rate grows by the same
//! factor as long as they are all stored. After the first throttle the rate follows the shard: it falls with each throttle,
//! since others may send to it too, and rises again slowly.

use std::time::Duration;

use tokio::time::Instant;

use ground::backoff::Backoff;

const RECORDS: f64 = 1000.0;
const BYTES: f64 = 1024.0 * 1024.0;
/// The part of the first second's tokens that is used: requests may reach the shard closer together than they were sent.
const FIRST: f64 = 0.97;
/// The most records that a lane first sends without tokens, to see whether its shard has a limit.
const PROBE: f64 = 8.0;
/// Growth of the rate for each success, before the first throttle.
const GROWTH: f64 = 4.0;
/// Beyond this, the rate is no limit.
const UNLIMITED: f64 = 1e6;
/// The rate of a throttled shard, as a part of the documented one, and its changes.
const LOWEST: f64 = 0.02;
const FIRST_CUT: f64 = 0.98;
const CUT: f64 = 0.9;
/// Throttles of requests that were in flight together count once.
const CUT_INTERVAL: Duration = Duration::from_millis(250);
/// How long a large record waits after a throttle. It was sent when the bucket had its tokens, so few are missing.
const SHORT_OF_TOKENS: f64 = 0.15;
/// Rise in a second, below the documented rate and above it.
const RISE: f64 = 0.05;
const RISE_ABOVE: f64 = 0.0005;
/// A shard that has throttled for long has so many levels to go down again.
const MAX_LEVEL: u32 = 16;

/// The rate of one shard.
#[derive(Debug, Clone)]
pub(super) struct ShardRate {
    /// `None` where the limits are not known, because the lane is not that of one shard.
    bucket: Option<Bucket>,
    /// Throttles in a row.
    level: u32,
    /// Nothing is sent before.
    until: Instant,
}

#[derive(Debug, Clone)]
struct Bucket {
    /// The multiple of the documented rate.
    factor: f64,
    records: f64,
    bytes: f64,
    /// When it was last filled.
    at: Instant,
    /// Whether the shard has throttled.
    has_limit: bool,
    /// Records that may be sent without tokens while none is in flight.
    probe: f64,
    /// When the rate last changed.
    changed: Instant,
}

impl ShardRate {
    /// The rate of a shard.
    pub(super) fn of_shard(now: Instant) -> Self {
        Self {
            bucket: Some(Bucket {
                factor: 1.0,
                records: RECORDS * FIRST,
                bytes: BYTES * FIRST,
                at: now,
                has_limit: false,
                probe: PROBE,
                changed: now,
            }),
            ..Self::unknown(now)
        }
    }

    /// The rate of shards that are not known: only throttles slow it down.
    pub(super) fn unknown(now: Instant) -> Self {
        Self {
            bucket: None,
            level: 0,
            until: now,
        }
    }

    /// The rate of a shard that a reshard has made of this one.
    pub(super) fn of_child(&self, now: Instant) -> Self {
        let mut child = Self::of_shard(now);
        if let (Some(bucket), Some(own)) = (&mut child.bucket, &self.bucket)
            && !own.has_limit
        {
            bucket.factor = own.factor;
            bucket.probe = own.probe;
        }
        child
    }

    /// How many records and bytes may be sent now; `first` is the size of the next record, and `idle` means that none of
    /// the shard is in flight.
    pub(super) fn available(&mut self, now: Instant, first: usize, idle: bool) -> (usize, usize) {
        if now < self.until {
            return (0, 0);
        }
        let Some(bucket) = &mut self.bucket else {
            return (usize::MAX, usize::MAX);
        };
        if bucket.factor >= UNLIMITED {
            return (usize::MAX, usize::MAX);
        }
        bucket.fill(now);
        let first = first as f64;
        // From float to integer, `as` saturates.
        match bucket.wait_for(first).is_zero() {
            true => (bucket.records as usize, bucket.bytes.max(first) as usize),
            false if idle && !bucket.has_limit => {
                (bucket.probe as usize, (bucket.probe * 1024.0).max(first) as usize)
            }
            false => (0, 0),
        }
    }

    /// When a record of `size` bytes may be sent, where it may not be sent now.
    pub(super) fn due(&self, now: Instant, size: usize) -> Instant {
        let tokens = self
            .bucket
            .as_ref()
            .map_or(Duration::ZERO, |bucket| bucket.wait_for(size as f64));
        self.until.max(now + tokens)
    }

    /// Takes the tokens of `records` records of `bytes` bytes in all.
    pub(super) fn take(&mut self, records: usize, bytes: usize) {
        if let Some(bucket) = &mut self.bucket
            && bucket.factor < UNLIMITED
        {
            bucket.records -= records as f64;
            bucket.bytes -= bytes as f64;
        }
    }

    /// The shard stored all of a request that was sent at `sent`. `starved` means that records waited for tokens.
    /// Returns whether the rate has grown.
    pub(super) fn stored(&mut self, now: Instant, sent: Instant, starved: bool) -> bool {
        self.level = self.level.saturating_sub(1);
        match &mut self.bucket {
            Some(bucket) if starved => bucket.rise(now, sent),
            _ => false,
        }
    }

    /// The shard throttled; the next record has `size` bytes. Responses of requests that were already in flight when it
    /// first did say nothing new.
    pub(super) fn throttled(&mut self, now: Instant, size: usize, backoff: &Backoff) {
        if let Some(bucket) = &mut self.bucket {
            bucket.cut(now, size as f64);
        }
        if now >= self.until {
            self.until = now + backoff.pause(self.level);
            self.level = (self.level + 1).min(MAX_LEVEL);
        }
    }
}

impl Bucket {
    fn fill(&mut self, now: Instant) {
        let elapsed = now.duration_since(self.at).as_secs_f64() * self.factor;
        let most = self.factor.max(1.0);
        self.records = (self.records + elapsed * RECORDS).min(RECORDS * FIRST * most);
        self.bytes = (self.bytes + elapsed * BYTES).min(BYTES * FIRST * most);
        self.at = now;
    }

    /// How long until there are tokens for a record of `size` bytes. One above a second's tokens needs a full bucket, and
    /// those after it wait until it is paid back.
    fn wait_for(&self, size: f64) -> Duration {
        let records = (1.0 - self.records) / (RECORDS * self.factor);
        let bytes = (size.min(BYTES * FIRST) - self.bytes) / (BYTES * self.factor);
        let seconds = records.max(bytes);
        if seconds <= 0.0 {
            return Duration::ZERO;
        }
        // Rounded up, so that a timer does not fire just too early.
        Duration::try_from_secs_f64(seconds).map_or(Duration::MAX / 4, |wait| wait + Duration::from_millis(1))
    }

    fn rise(&mut self, now: Instant, sent: Instant) -> bool {
        if self.has_limit {
            let elapsed = now.duration_since(self.changed).as_secs_f64().min(1.0);
            self.factor = match self.factor < 1.0 {
                true => (self.factor + RISE * elapsed).min(1.0),
                false => self.factor + RISE_ABOVE * elapsed,
            };
            self.changed = now;
            return false;
        }
        // A request that was sent before the last change says nothing of the present rate.
        if sent <= self.changed {
            return false;
        }
        self.factor = (self.factor * GROWTH).min(UNLIMITED);
        self.probe = (self.probe * GROWTH).min(UNLIMITED);
        self.records = self.records.max(self.probe);
        self.bytes = self.bytes.max(self.probe * 1024.0);
        self.changed = now;
        true
    }

    fn cut(&mut self, now: Instant, size: f64) {
        let is_first = !std::mem::replace(&mut self.has_limit, true);
        if is_first || now.duration_since(self.changed) >= CUT_INTERVAL {
            self.factor = match self.factor >= 1.0 {
                true => FIRST_CUT,
                false => (self.factor * CUT).max(LOWEST),
            };
            self.changed = now;
        }
        self.fill(now);
        self.records = self.records.min(0.0);
        let bytes = size.min(BYTES * FIRST) - SHORT_OF_TOKENS * BYTES * self.factor;
        self.bytes = self.bytes.min(bytes.max(0.0));
    }
}
