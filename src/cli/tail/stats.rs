//! The report of `--stats`.

use serde::Serialize;

use super::line::short_shard;
use crate::ui::{Report, Style, lines, or_dash, table, units, visible};
use domain::consume::stats::{Counts, KeyCount, Stats};

/// Partition keys in the report.
const KEYS: usize = 10;

/// A stable contract with scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct StatsReport {
    #[serde(flatten)]
    total: CountsReport,
    shards: Vec<ShardReport>,
    /// The most frequent ones.
    keys: Vec<KeyReport>,
    #[serde(skip)]
    names_streams: bool,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct CountsReport {
    records: u64,
    bytes: u64,
    /// By the times of arrival; `null` for less than a second.
    records_per_second: Option<f64>,
    bytes_per_second: Option<f64>,
    smallest_bytes: Option<usize>,
    mean_bytes: Option<u64>,
    largest_bytes: Option<usize>,
    first_arrival: Option<String>,
    last_arrival: Option<String>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ShardReport {
    stream: String,
    shard_id: String,
    #[serde(flatten)]
    counts: CountsReport,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct KeyReport {
    partition_key: String,
    /// At most this many.
    records: u64,
    /// At least this many.
    at_least: u64,
}

impl CountsReport {
    fn new(counts: &Counts) -> Self {
        let rates = counts.rates();
        let (first, last) = counts.arrivals.unzip();
        Self {
            records: counts.records,
            bytes: counts.bytes,
            records_per_second: rates.map(|(records, _)| two_decimals(records)),
            bytes_per_second: rates.map(|(_, bytes)| two_decimals(bytes)),
            smallest_bytes: counts.sizes.map(|(least, _)| least),
            mean_bytes: counts.sizes.map(|_| counts.mean()),
            largest_bytes: counts.sizes.map(|(_, most)| most),
            first_arrival: first.map(units::rfc3339),
            last_arrival: last.map(units::rfc3339),
        }
    }

    fn cells(&self, total: u64) -> [String; 7] {
        let size = |bytes: Option<u64>| or_dash(bytes.map(units::bytes));
        [
            units::count(self.records),
            share(self.records, total),
            units::bytes(self.bytes),
            or_dash(self.records_per_second.map(ground::duration::decimal)),
            or_dash(
                self.bytes_per_second
                    .map(|rate| format!("{}/s", units::bytes(rounded(rate)))),
            ),
            size(self.mean_bytes),
            size(self.largest_bytes.map(|bytes| bytes as u64)),
        ]
    }
}

impl StatsReport {
    pub(super) fn new(stats: &Stats, names_streams: bool) -> Self {
        let shard = |(stream, shard_id, counts): (&str, &str, &Counts)| ShardReport {
            stream: stream.to_owned(),
            shard_id: shard_id.to_owned(),
            counts: CountsReport::new(counts),
        };
        let key = |(key, count): (&str, KeyCount)| KeyReport {
            partition_key: key.to_owned(),
            records: count.records,
            at_least: count.records - count.error,
        };
        Self {
            total: CountsReport::new(stats.total()),
            shards: stats.shards().map(shard).collect(),
            keys: stats.keys(KEYS).into_iter().map(key).collect(),
            names_streams,
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a share to show")]
fn share(part: u64, total: u64) -> String {
    match total {
        0 => "-".to_owned(),
        total => format!("{:.0}%", part as f64 / total as f64 * 100.0),
    }
}

fn two_decimals(rate: f64) -> f64 {
    (rate * 100.0).round() / 100.0
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "from float to integer, `as` saturates"
)]
fn rounded(rate: f64) -> u64 {
    rate.round() as u64
}

impl Report for StatsReport {
    fn table(&self, style: &Style) -> String {
        let total = self.total.records;
        let mut shards = table([
            "SHARD",
            "RECORDS",
            "SHARE",
            "BYTES",
            "RECORDS/S",
            "RATE",
            "MEAN",
            "LARGEST",
        ]);
        for shard in &self.shards {
            let short = short_shard(&shard.shard_id);
            let name = match self.names_streams {
                true => format!("{}/{short}", visible(&shard.stream)),
                false => short,
            };
            shards.add_row(std::iter::once(name).chain(shard.counts.cells(total)));
        }
        shards.add_row(std::iter::once("all".to_owned()).chain(self.total.cells(total)));
        let mut text = shards.trim_fmt();
        if let (Some(first), Some(last)) = (&self.total.first_arrival, &self.total.last_arrival) {
            text.push_str(&format!(
                "\n\n{}",
                style.dim(&format!("Arrived from {first} to {last}"))
            ));
        }
        if !self.keys.is_empty() {
            let mut keys = table(["KEY", "RECORDS", "SHARE"]);
            for key in &self.keys {
                let records = match key.at_least == key.records {
                    true => units::count(key.records),
                    false => format!("{} to {}", units::count(key.at_least), units::count(key.records)),
                };
                keys.add_row([visible(&key.partition_key), records, share(key.at_least, total)]);
            }
            text.push_str(&format!("\n\n{}", keys.trim_fmt()));
        }
        text
    }

    fn text(&self) -> String {
        let shards = self.shards.iter().map(|shard| {
            vec![
                "shard".to_owned(),
                shard.stream.clone(),
                shard.shard_id.clone(),
                shard.counts.records.to_string(),
                shard.counts.bytes.to_string(),
            ]
        });
        let keys = self.keys.iter().map(|key| {
            let name = visible(&key.partition_key);
            vec![
                "key".to_owned(),
                name,
                key.records.to_string(),
                key.at_least.to_string(),
            ]
        });
        lines(shards.chain(keys))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use domain::consume::{Item, TailRecord};
    use insta::assert_snapshot;

    use super::*;

    fn report() -> StatsReport {
        let mut stats = Stats::default();
        for n in 0..5_000_u32 {
            let shard = if n % 5 == 0 { 3 } else { 0 };
            let record = TailRecord {
                shard_id: Arc::from(format!("shardId-{shard:012}")),
                sequence_number: n.to_string(),
                arrival_ms: Some(1_795_255_200_000 + i64::from(n) * 2),
                partition_key: if n % 2 == 0 {
                    "hot\u{1b}".into()
                } else {
                    format!("k-{n}")
                },
                data: Bytes::from(vec![b'x'; 100 + (n as usize % 7) * 50]),
                encryption: None,
            };
            stats.add(&Arc::from("orders"), &Item::of(&record));
        }
        StatsReport::new(&stats, false)
    }

    #[test]
    fn all_forms() {
        assert_snapshot!("stats-table", report().table(&Style::plain()));
        assert_snapshot!("stats-text", report().text());
        assert_snapshot!("stats-json", serde_json::to_string_pretty(&report()).unwrap());
        let empty = StatsReport::new(&Stats::default(), false);
        assert_snapshot!(serde_json::to_string(&empty).unwrap(), @r#"{"records":0,"bytes":0,"records_per_second":null,"bytes_per_second":null,"smallest_bytes":null,"mean_bytes":null,"largest_bytes":null,"first_arrival":null,"last_arrival":null,"shards":[],"keys":[]}"#);
    }
}
