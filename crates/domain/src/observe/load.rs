//! The load of a stream as CloudWatch has measured it: averages, peaks by the minute, and how often it is read.

use jiff::Timestamp;
use serde::Serialize;

use super::metrics::{self, Series, TimeRange};
use crate::context::Context;
use crate::cost::{Load, Rate};
use crate::stream::StreamState;
use ground::error::Result;

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Measured {
    #[serde(flatten)]
    pub load: Load,
    /// Seconds that the averages are of.
    pub seconds: u64,
    /// How many times the stream was read with GetRecords, rounded: the consumers that share its shards.
    pub shared_consumers: u32,
    /// The registered consumers.
    pub fan_out_consumers: u32,
}

/// Measures `stream` over the last `since` seconds, 60 seconds to 14 days; `None` if nothing was put.
///
/// # Errors
/// Exit 2 when `since` is out of range; when a call fails.
pub async fn measure(context: &Context, stream: &StreamState, since: i64) -> Result<Option<Measured>> {
    let now = Timestamp::now();
    let range = TimeRange::last(since, Some(60), now.as_second())?;
    let found = metrics::of_stream(context, &stream.name, &[], &range).await?;
    Ok(of(&found, &range, stream, now))
}

fn of(series: &[Series], range: &TimeRange, stream: &StreamState, now: Timestamp) -> Option<Measured> {
    let find = |name: &str| {
        let series = metrics::find_stream(series, name);
        series.filter(|series| !series.points.is_empty())
    };
    let (records, bytes) = (find("IncomingRecords")?, find("IncomingBytes")?);
    // A stream that was created within the range has not been used all that time.
    let begin = stream
        .created
        .map_or(range.start, |created| created.as_second().max(range.start));
    let elapsed = now.as_second().min(range.end).saturating_sub(begin);
    let seconds = u64::try_from(elapsed).unwrap_or(0).max(60);
    let period = u64::try_from(range.period).unwrap_or(60);
    let total = |series: &Series| whole(series.figure());
    let peak = |series: &Series| Rate::new(whole(series.peak()), period);
    let (total_records, total_bytes) = (total(records), total(bytes));
    if total_records == 0 {
        return None;
    }
    let read = find("GetRecords.Bytes").map_or(0, total);
    let times = read.saturating_add(total_bytes / 2) / total_bytes.max(1);
    Some(Measured {
        load: Load {
            records: Rate::new(total_records, seconds),
            bytes: Rate::new(total_bytes, seconds),
            peak_records: peak(records),
            peak_bytes: peak(bytes),
        },
        seconds,
        shared_consumers: u32::try_from(times).unwrap_or(u32::MAX),
        fan_out_consumers: stream.consumer_count,
    })
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float that is converted saturates"
)]
fn whole(figure: Option<f64>) -> u64 {
    figure.unwrap_or(0.0).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{Mode, Status};

    fn stream(created: i64) -> StreamState {
        StreamState {
            name: "orders".to_owned(),
            arn: String::new(),
            status: Status::Active,
            mode: Mode::Provisioned,
            open_shards: 1,
            retention_hours: 24,
            encryption: None,
            monitoring: Default::default(),
            tags: Default::default(),
            consumer_count: 2,
            created: Timestamp::from_second(created).ok(),
            max_record_size_kib: 1_024,
            warm_throughput_mibps: None,
            record_distribution: None,
        }
    }

    fn series(name: &str, values: &[f64]) -> Series {
        let times = (0..).map(|minute| 6_000 + minute * 60);
        let points: Vec<(i64, f64)> = times.zip(values.iter().copied()).collect();
        metrics::test_support::of_stream(name, &points)
    }

    fn measured(created: i64, read: f64) -> Option<Measured> {
        let all = [
            series("IncomingRecords", &[600.0, 60.0]),
            series("IncomingBytes", &[6_000.0, 60_000.0]),
            series("GetRecords.Bytes", &[read]),
        ];
        let range = TimeRange {
            start: 6_000,
            end: 6_600,
            period: 60,
        };
        of(
            &all,
            &range,
            &stream(created),
            Timestamp::from_second(6_540).unwrap(),
        )
    }

    #[test]
    fn peaks_are_those_of_the_busiest_minute() {
        let found = measured(0, 125_000.0).unwrap();
        assert_eq!(found.load.peak_records, Rate::new(10, 1));
        assert_eq!(found.load.peak_bytes, Rate::new(1_000, 1));
        assert_eq!(found.load.records, Rate::new(660, 540));
        assert_eq!((found.shared_consumers, found.fan_out_consumers), (2, 2));
    }

    #[test]
    fn a_young_stream_is_measured_since_it_was_created() {
        assert_eq!(measured(6_420, 0.0).unwrap().load.records, Rate::new(660, 120));
        assert_eq!(measured(6_530, 0.0).unwrap().seconds, 60);
        assert_eq!(
            of(
                &[],
                &TimeRange {
                    start: 0,
                    end: 60,
                    period: 60
                },
                &stream(0),
                Timestamp::UNIX_EPOCH
            ),
            None
        );
    }
}
