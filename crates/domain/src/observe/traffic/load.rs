//! The write traffic of a stream minute by minute, from its stream-level metrics, which are always there.

use jiff::Timestamp;

use super::{SHARD_BYTES, SHARD_RECORDS};
use crate::context::Context;
use crate::observe::metrics::{self, Series, TimeRange};
use ground::error::Result;

/// CloudWatch shows the figures of a minute up to so many minutes later.
const LATE: usize = 3;

/// The last `minutes` minutes of `stream`, oldest first: the number of shards that the traffic would use up completely,
/// by records or by bytes, whichever are more. `None` without figures. The newest minutes that CloudWatch does not show yet
/// are left out.
///
/// # Errors
/// When CloudWatch does not answer or refuses.
pub async fn load(
    context: &Context,
    stream: &str,
    minutes: usize,
    now: Timestamp,
) -> Result<Vec<Option<f64>>> {
    let seconds = i64::try_from(minutes.saturating_add(LATE + 1).saturating_mul(60)).unwrap_or(i64::MAX);
    let range = TimeRange::last(seconds, Some(60), now.as_second())?;
    let names = ["IncomingRecords", "IncomingBytes"];
    let series = metrics::of_stream(context, stream, &names, &range).await?;
    Ok(demand(&series, &range, minutes))
}

fn demand(series: &[Series], range: &TimeRange, minutes: usize) -> Vec<Option<f64>> {
    let slots = |name: &str, per_shard: f64| -> Vec<Option<f64>> {
        let found = metrics::find_stream(series, name);
        let slots = found.map(|series| series.slots(range)).unwrap_or_default();
        let share = |sum: f64| sum / range.period_seconds() / per_shard;
        slots.into_iter().map(|slot| slot.map(share)).collect()
    };
    let (records, bytes) = (
        slots("IncomingRecords", SHARD_RECORDS),
        slots("IncomingBytes", SHARD_BYTES),
    );
    // Without a figure f64::max takes the other one.
    let pairs = records.into_iter().zip(bytes);
    let mut all: Vec<Option<f64>> = pairs
        .map(|(records, bytes)| [records, bytes].into_iter().flatten().reduce(f64::max))
        .collect();
    // The running minute is not complete.
    all.pop();
    for _ in 0..LATE {
        if all.last().is_some_and(Option::is_none) {
            all.pop();
        }
    }
    all.split_off(all.len().saturating_sub(minutes))
}

#[cfg(test)]
mod tests {
    use super::metrics::test_support::of_stream as series;
    use super::*;

    #[test]
    fn each_complete_minute_has_its_demand() {
        let range = TimeRange {
            start: 0,
            end: 600,
            period: 60,
        };
        let all = [
            series(
                "IncomingRecords",
                &[(240, 60_000.0), (300, 60_000.0), (420, 6_000.0)],
            ),
            series(
                "IncomingBytes",
                &[(300, 90.0 * SHARD_BYTES), (420, 6.0 * SHARD_BYTES), (540, 9.0)],
            ),
        ];
        let found = demand(&all, &range, 4);
        assert_eq!(found, [Some(1.0), Some(1.5), None, Some(0.1)]);
        assert_eq!(demand(&[], &range, 4), []);
    }
}
