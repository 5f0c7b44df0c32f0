//! The traffic of a stream in seven days, and the shards that would take it.

use crate::cost::{billed_bytes, payload_units};
use crate::observe::metrics::{Series, TimeRange, find_stream};

/// How long a stream is watched before it is judged.
pub(super) const WATCHED_SECONDS: i64 = 7 * 86_400;
/// Shards take this many times the highest load.
const HEADROOM: f64 = 2.0;
/// Limits of a shard per second. Source: "Quotas and limits", Kinesis developer guide.
const BYTES_IN: f64 = 1024.0 * 1024.0;
const RECORDS_IN: f64 = 1000.0;
const BYTES_OUT: f64 = 2.0 * 1024.0 * 1024.0;
/// Seven-day figures to those of a month of 730 hours.
const WEEKS: f64 = 730.0 / 168.0;

/// What was put into and read from a stream.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Traffic {
    pub records_in: f64,
    pub bytes_in: f64,
    /// With GetRecords.
    pub bytes_out: f64,
    /// Per second, in the busiest period.
    pub peak_records_in: f64,
    pub peak_bytes_in: f64,
    pub peak_bytes_out: f64,
    /// The age of the oldest record that was read, in milliseconds; `None` where nothing was read.
    pub oldest_read_ms: Option<f64>,
}

impl Traffic {
    pub fn of(all: &[Series], range: &TimeRange) -> Self {
        let series = |name: &str| find_stream(all, name);
        let total = |name: &str| series(name).and_then(|it| it.figure()).unwrap_or_default();
        let peak = |name: &str| {
            let highest = series(name).and_then(|it| it.peak()).unwrap_or_default();
            highest / range.period_seconds()
        };
        Self {
            records_in: total("IncomingRecords"),
            bytes_in: total("IncomingBytes"),
            bytes_out: total("GetRecords.Bytes"),
            peak_records_in: peak("IncomingRecords"),
            peak_bytes_in: peak("IncomingBytes"),
            peak_bytes_out: peak("GetRecords.Bytes"),
            oldest_read_ms: series("GetRecords.IteratorAgeMilliseconds").and_then(|it| it.peak()),
        }
    }

    /// Shards that take [`HEADROOM`] times the highest load, at least 1.
    pub fn needed_shards(&self) -> u32 {
        let shares = [
            self.peak_bytes_in / BYTES_IN,
            self.peak_records_in / RECORDS_IN,
            self.peak_bytes_out / BYTES_OUT,
        ];
        let needed = shares.into_iter().fold(0.0, f64::max) * HEADROOM;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "casts of floats to integers saturate"
        )]
        let needed = needed.ceil() as u32;
        needed.max(1)
    }

    /// The busiest period, in words.
    pub fn peaks(&self) -> String {
        format!(
            "the busiest 5 minutes of 7 days had {:.1} records/s and {:.1} KiB/s in, {:.1} KiB/s out",
            self.peak_records_in,
            self.peak_bytes_in / 1024.0,
            self.peak_bytes_out / 1024.0
        )
    }

    fn average_record(&self) -> u64 {
        whole(self.bytes_in / self.records_in.max(1.0))
    }

    pub fn monthly_put_units(&self) -> u64 {
        monthly(self.records_in).saturating_mul(payload_units(self.average_record()))
    }

    pub fn monthly_billed_bytes(&self) -> u64 {
        monthly(self.records_in).saturating_mul(billed_bytes(self.average_record()))
    }

    pub fn monthly_bytes_out(&self) -> u64 {
        monthly(self.bytes_out)
    }
}

fn monthly(weekly: f64) -> u64 {
    whole(weekly * WEEKS)
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "casts of floats to integers saturate"
)]
fn whole(value: f64) -> u64 {
    value.ceil() as u64
}
