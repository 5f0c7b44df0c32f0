//! Token buckets on the injected clock. They refill continuously and hold the tokens of one second.

pub const MIB: f64 = 1_048_576.0;

/// A rate limit.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    per_second: f64,
    level: f64,
    at_ms: Option<i64>,
}

impl Bucket {
    /// A full bucket that refills at `per_second`.
    pub const fn new(per_second: f64) -> Self {
        Self {
            per_second,
            level: per_second,
            at_ms: None,
        }
    }

    fn refill(&mut self, now_ms: i64) {
        let elapsed = self.at_ms.map_or(0, |at| now_ms.saturating_sub(at)).max(0) as f64;
        self.level = (self.level + elapsed * self.per_second / 1000.0).min(self.per_second);
        // Also if the clock went back: waiting for it to catch up could take hours.
        self.at_ms = Some(now_ms);
    }

    /// Whether `amount` is available. An amount above one second's tokens needs a full bucket.
    pub fn has(&mut self, amount: f64, now_ms: i64) -> bool {
        self.refill(now_ms);
        self.level + 1e-6 >= amount.min(self.per_second)
    }

    /// Whether it is full, and so equal to a new bucket.
    pub fn is_full(&mut self, now_ms: i64) -> bool {
        self.has(self.per_second, now_ms)
    }

    /// Takes `amount`. The level may fall below zero; later calls then wait.
    pub fn take(&mut self, amount: f64) {
        self.level -= amount;
    }

    /// Takes `amount` if available.
    pub fn try_take(&mut self, amount: f64, now_ms: i64) -> bool {
        let there = self.has(amount, now_ms);
        if there {
            self.take(amount);
        }
        there
    }
}

/// Limits of one shard. Source: "Quotas and limits", Amazon Kinesis Data Streams developer guide.
#[derive(Debug)]
pub struct ShardLimits {
    put_bytes: Bucket,
    put_records: Bucket,
    read_calls: Bucket,
    read_bytes: Bucket,
}

impl Default for ShardLimits {
    fn default() -> Self {
        Self {
            put_bytes: Bucket::new(MIB),
            put_records: Bucket::new(1000.0),
            read_calls: Bucket::new(5.0),
            read_bytes: Bucket::new(2.0 * MIB),
        }
    }
}

impl ShardLimits {
    /// Takes one record of `bytes` (including its key), if 1 MiB/s and 1,000 records/s allow.
    pub fn put(&mut self, bytes: usize, now_ms: i64) -> bool {
        let bytes = bytes as f64;
        let fits = self.put_bytes.has(bytes, now_ms) && self.put_records.has(1.0, now_ms);
        if fits {
            self.put_bytes.take(bytes);
            self.put_records.take(1.0);
        }
        fits
    }

    /// Admits a GetRecords call, if 5 calls/s allow and the bytes of earlier reads have been paid back at 2 MiB/s.
    pub fn start_read(&mut self, now_ms: i64) -> bool {
        self.read_bytes.has(0.0, now_ms) && self.read_calls.try_take(1.0, now_ms)
    }

    /// Accounts for the bytes of a read. More than one second's tokens is paid back in full: as the GetRecords
    /// reference says, after 10 MiB the shard returns nothing for 5 seconds.
    pub fn end_read(&mut self, bytes: usize) {
        let bytes = bytes as f64;
        if bytes > self.read_bytes.per_second {
            self.read_bytes.level = self.read_bytes.level.min(0.0);
        }
        self.read_bytes.take(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_a_second_and_refills_with_time() {
        let mut bucket = Bucket::new(5.0);
        assert!((0..5).all(|_| bucket.try_take(1.0, 0)));
        assert!(!bucket.try_take(1.0, 0));
        assert!(bucket.try_take(1.0, 200));
        assert!(!bucket.try_take(1.0, 200));
        assert!((0..5).all(|_| bucket.try_take(1.0, 60_000)));
        assert!(!bucket.try_take(1.0, 60_000));
    }

    #[test]
    fn a_bucket_refills_after_the_clock_goes_back() {
        let mut bucket = Bucket::new(1.0);
        assert!(bucket.try_take(1.0, 3_600_000));
        assert!(!bucket.try_take(1.0, 0));
        assert!(bucket.try_take(1.0, 1_000));
    }

    #[test]
    fn reading_ten_mebibytes_pauses_the_shard() {
        let mut limits = ShardLimits::default();
        assert!(limits.start_read(0));
        limits.end_read(10 * 1_048_576);
        assert!(!limits.start_read(1_000));
        assert!(!limits.start_read(4_900));
        assert!(limits.start_read(5_000));
    }
}
