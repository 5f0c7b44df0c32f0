//! The traffic of a stream: exact rates, on average and at its peak.

use std::cmp::Ordering;

use serde::{Serialize, Serializer};

/// A number of things in a length of time, such as 1,000,000 records a day.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    count: u128,
    /// At least 1.
    seconds: u128,
}

impl Rate {
    /// `count` things in `seconds` seconds, at least one.
    pub fn new(count: u64, seconds: u64) -> Self {
        Self {
            count: count.into(),
            seconds: seconds.max(1).into(),
        }
    }

    pub fn is_zero(&self) -> bool {
        self.count == 0
    }

    /// The number in a second, rounded up.
    pub fn per_second(&self) -> u64 {
        narrow(self.count.div_ceil(self.seconds))
    }

    /// The number in `hours` hours, rounded up.
    pub fn over_hours(&self, hours: u64) -> u64 {
        narrow(
            self.count
                .saturating_mul(u128::from(hours) * 3_600)
                .div_ceil(self.seconds),
        )
    }

    /// `numerator / denominator` times as much.
    #[must_use]
    pub fn times(&self, numerator: u32, denominator: u32) -> Self {
        Self {
            count: self.count.saturating_mul(numerator.into()),
            seconds: self.seconds.saturating_mul(denominator.max(1).into()),
        }
    }

    /// How many of `other` are in one of this, rounded up: bytes in a record. `None` if this is zero.
    fn share(&self, other: &Self) -> Option<u64> {
        let share = other.count.saturating_mul(self.seconds);
        let own = self.count.saturating_mul(other.seconds);
        (own > 0).then(|| narrow(share.div_ceil(own)))
    }

    /// The number in a second as it is shown and written to JSON.
    #[allow(clippy::cast_precision_loss, reason = "shown with a few digits")]
    pub fn as_f64(&self) -> f64 {
        self.count as f64 / self.seconds as f64
    }
}

fn narrow(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

impl PartialEq for Rate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Rate {}

impl PartialOrd for Rate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Rate {
    fn cmp(&self, other: &Self) -> Ordering {
        let (one, another) = (
            self.count.saturating_mul(other.seconds),
            other.count.saturating_mul(self.seconds),
        );
        one.cmp(&another)
    }
}

/// The number in a second.
impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.as_f64())
    }
}

#[cfg(feature = "schemas")]
impl schemars::JsonSchema for Rate {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Rate".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "number", "minimum": 0 })
    }
}

/// What is written to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct Load {
    #[serde(rename = "records_per_second")]
    pub records: Rate,
    #[serde(rename = "bytes_per_second")]
    pub bytes: Rate,
    #[serde(rename = "peak_records_per_second")]
    pub peak_records: Rate,
    #[serde(rename = "peak_bytes_per_second")]
    pub peak_bytes: Rate,
}

impl Load {
    /// A load that never changes.
    pub fn steady(records: Rate, bytes: Rate) -> Self {
        Self {
            records,
            bytes,
            peak_records: records,
            peak_bytes: bytes,
        }
    }

    /// The same load with peaks of `numerator / denominator` times as much.
    #[must_use]
    pub fn with_peak(mut self, (numerator, denominator): (u32, u32)) -> Self {
        self.peak_records = self.peak_records.times(numerator, denominator);
        self.peak_bytes = self.peak_bytes.times(numerator, denominator);
        self
    }

    /// Bytes of an average record, rounded up; `None` without records.
    pub fn record_bytes(&self) -> Option<u64> {
        self.records.share(&self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_exact_over_any_time() {
        let daily = Rate::new(1_000_000, 86_400);
        assert_eq!(daily.per_second(), 12);
        assert_eq!(daily.over_hours(24), 1_000_000);
        assert_eq!(daily.over_hours(730), 30_416_667);
        assert_eq!(daily.times(3, 2), Rate::new(1_500_000, 86_400));
        assert!(daily < Rate::new(12, 1));
        assert_eq!(Rate::new(5, 0).per_second(), 5);
    }

    #[test]
    fn the_average_record_is_rounded_up() {
        let record = |records, bytes| Load::steady(records, bytes).record_bytes();
        assert_eq!(record(Rate::new(2_500, 1), Rate::new(1 << 20, 1)), Some(420));
        assert_eq!(record(Rate::new(10, 1), Rate::new(10_241, 1)), Some(1_025));
        assert_eq!(record(Rate::new(0, 1), Rate::new(1, 1)), None);
    }

    proptest::proptest! {
        #[test]
        fn no_rate_overflows(a: u64, b: u64, c: u64, d: u64, n: u32, m: u32, hours: u64) {
            let (one, other) = (Rate::new(a, b), Rate::new(c, d));
            let load = Load::steady(one, other).with_peak((n, m));
            let _ = (load.record_bytes(), load.peak_bytes.over_hours(hours), one.cmp(&other));
        }
    }
}
