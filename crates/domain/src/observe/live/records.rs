//! The newest records of a shard.
//!
//! Nothing in Kinesis reads backwards. The reader looks into the last minutes first, further back only while it has found
//! nothing, and then follows the tip. Its calls count against the five reads a second of the shard.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Cell, Row};
use crate::consume::{IteratorStart, Page, ReadError, ShardSource, TailRecord};
use ground::error::Result;

/// Records that are kept.
const KEPT: usize = 200;
/// Records of a call, and calls of a refresh.
const PAGE: i32 = 1_000;
const CALLS: usize = 3;
/// How much of the data of a record is kept and shown.
const DATA_BYTES: usize = 16 * 1024;
/// How far back it looks, in milliseconds, and at last from the oldest record.
const REACHES_MS: [Option<i64>; 4] = [Some(5 * 60_000), Some(3_600_000), Some(24 * 3_600_000), None];

/// Reads one shard.
#[derive(Debug)]
pub struct Newest<S> {
    source: S,
    shard: Arc<str>,
    /// Index of the reach.
    reach: usize,
    iterator: Option<String>,
    /// Sequence number of the last record.
    last: Option<String>,
    /// Whether a closed shard was read to its end.
    is_read: bool,
    /// Newest first.
    rows: VecDeque<Row>,
}

impl<S: ShardSource> Newest<S> {
    pub fn new(source: S, shard: &str) -> Self {
        Self {
            source,
            shard: Arc::from(shard),
            reach: 0,
            iterator: None,
            last: None,
            is_read: false,
            rows: VecDeque::new(),
        }
    }

    /// Reads on. A throttled read is no failure: others read the shard, and the next refresh tries again.
    ///
    /// # Errors
    /// When the shard cannot be read.
    pub async fn refresh(&mut self, now_ms: i64) -> Result<()> {
        for _ in 0..CALLS {
            if self.is_read {
                return Ok(());
            }
            let iterator = match self.iterator.take() {
                Some(iterator) => iterator,
                None => match self.source.iterator(&self.shard, &self.start(now_ms)).await {
                    Ok(iterator) => iterator,
                    Err(ReadError::Throttled(_) | ReadError::Expired) => return Ok(()),
                    Err(
                        ReadError::Transient(error)
                        | ReadError::Fatal(error)
                        | ReadError::Damaged { error, .. },
                    ) => return Err(error),
                },
            };
            match self.source.page(&self.shard, &iterator, PAGE).await {
                Ok(page) => {
                    if self.take(page) {
                        return Ok(());
                    }
                }
                // The next iterator begins after the last record.
                Err(ReadError::Expired) => {}
                Err(ReadError::Throttled(_)) => {
                    self.iterator = Some(iterator);
                    return Ok(());
                }
                Err(
                    ReadError::Transient(error) | ReadError::Fatal(error) | ReadError::Damaged { error, .. },
                ) => {
                    self.iterator = Some(iterator);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn start(&self, now_ms: i64) -> IteratorStart {
        match (&self.last, REACHES_MS[self.reach]) {
            (Some(last), _) => IteratorStart::After(last.clone()),
            (None, Some(reach)) => IteratorStart::AtTimestamp(now_ms.saturating_sub(reach)),
            (None, None) => IteratorStart::TrimHorizon,
        }
    }

    /// Takes a page. Returns whether the tip is reached.
    fn take(&mut self, page: Page) -> bool {
        if let Some(record) = page.records.last() {
            self.last = Some(record.sequence_number.clone());
        }
        for record in page.records.iter().rev().take(KEPT).rev() {
            self.rows.push_front(row(record));
        }
        self.rows.truncate(KEPT);
        let is_at_tip = page.next.is_none() || page.behind_ms.unwrap_or(0) == 0;
        if is_at_tip && self.last.is_none() && self.reach + 1 < REACHES_MS.len() {
            self.reach += 1;
            self.iterator = None;
            return false;
        }
        self.is_read = page.next.is_none();
        self.iterator = page.next;
        is_at_tip
    }

    /// The records, newest first.
    pub fn rows(&self) -> Vec<Row> {
        self.rows.iter().cloned().collect()
    }
}

fn row(record: &TailRecord) -> Row {
    let arrival = record
        .arrival_ms
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let cut = record.data.len() > DATA_BYTES;
    let part = &record.data[..record.data.len().min(DATA_BYTES)];
    let text = String::from_utf8_lossy(part);
    // A character that the cut divides is no damage.
    let text = text.trim_end_matches(|c| cut && c == '\u{fffd}');
    let data = match std::str::from_utf8(&record.data) {
        Ok(_) => json!({"text": text}),
        Err(_) => json!({"base64": base64_simd::STANDARD.encode_to_string(part)}),
    };
    // As Kinesis counts: with the partition key.
    let size = record.data.len() + record.partition_key.len();
    let mut detail = json!({
        "sequence_number": record.sequence_number,
        "shard_id": &*record.shard_id,
        "partition_key": record.partition_key,
        "arrival": arrival.map(|time| format!("{time:.3}")),
        "size_bytes": size,
        "encryption": record.encryption,
    });
    if let Some(members) = detail.as_object_mut() {
        match (serde_json::from_slice::<Value>(&record.data), cut) {
            (Ok(value), false) => members.insert("data".into(), value),
            _ => members.insert("data".into(), data),
        };
        members.insert("data_is_cut".into(), json!(cut));
    }
    Row {
        key: record.sequence_number.clone(),
        arn: None,
        cells: vec![
            arrival.map_or(Cell::Missing, |time| {
                Cell::Text(time.strftime("%H:%M:%S%.3f").to_string())
            }),
            Cell::Text(record.partition_key.clone()),
            Cell::Bytes(size as f64),
            Cell::Text(text.to_owned()),
        ],
        detail: Arc::new(detail),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bytes::Bytes;

    use super::*;
    use crate::consume::ShardInfo;

    /// A shard with these records: sequence number, and how long ago it arrived.
    struct Shard {
        records: Vec<(u32, i64)>,
        starts: Mutex<Vec<IteratorStart>>,
    }

    const NOW: i64 = 1_795_251_630_000;

    impl ShardSource for Shard {
        fn stream(&self) -> &str {
            "orders"
        }

        async fn shards(&self) -> std::result::Result<Vec<ShardInfo>, ReadError> {
            Ok(Vec::new())
        }

        async fn iterator(
            &self,
            _shard: &str,
            start: &IteratorStart,
        ) -> std::result::Result<String, ReadError> {
            self.starts.lock().unwrap().push(start.clone());
            let from = match start {
                IteratorStart::AtTimestamp(ms) => {
                    let ago = NOW - ms;
                    self.records.iter().position(|(_, age)| *age <= ago)
                }
                _ => Some(0),
            };
            Ok(from.unwrap_or(self.records.len()).to_string())
        }

        async fn page(
            &self,
            shard: &Arc<str>,
            iterator: &str,
            limit: i32,
        ) -> std::result::Result<Page, ReadError> {
            let from: usize = iterator.parse().unwrap();
            let to = (from + usize::try_from(limit).unwrap()).min(self.records.len());
            let record = |(number, ago): &(u32, i64)| TailRecord {
                shard_id: Arc::clone(shard),
                sequence_number: number.to_string(),
                arrival_ms: Some(NOW - ago),
                partition_key: "k".into(),
                data: Bytes::from(format!("{{\"n\":{number}}}")),
                encryption: None,
            };
            Ok(Page {
                records: self.records[from..to].iter().map(record).collect(),
                next: Some(to.to_string()),
                behind_ms: Some(i64::from(to < self.records.len())),
                children: Vec::new(),
                damaged: Vec::new(),
            })
        }
    }

    fn shard(records: Vec<(u32, i64)>) -> Newest<Shard> {
        let source = Shard {
            records,
            starts: Mutex::default(),
        };
        Newest::new(source, "shardId-000000000000")
    }

    #[tokio::test]
    async fn the_last_minutes_are_enough_where_they_have_records() {
        let mut newest = shard(vec![(1, 7_200_000), (2, 60_000), (3, 1_000)]);
        newest.refresh(NOW).await.unwrap();
        let keys: Vec<String> = newest.rows().into_iter().map(|row| row.key).collect();
        assert_eq!(keys, ["3", "2"]);
        assert_eq!(newest.source.starts.lock().unwrap().len(), 1);
        newest.source.records.push((4, 0));
        newest.refresh(NOW).await.unwrap();
        assert_eq!(newest.rows()[0].key, "4");
        assert_eq!(newest.source.starts.lock().unwrap().len(), 1);
        assert_eq!(newest.rows()[0].detail["data"]["n"], 4);
    }

    #[tokio::test]
    async fn it_looks_further_back_only_while_it_finds_nothing() {
        let mut newest = shard(vec![(1, 48 * 3_600_000), (2, 7_200_000)]);
        newest.refresh(NOW).await.unwrap();
        let keys: Vec<String> = newest.rows().into_iter().map(|row| row.key).collect();
        assert_eq!(keys, ["2"]);
        assert_eq!(newest.source.starts.lock().unwrap().len(), 3);
    }

    #[tokio::test]
    async fn many_records_are_read_over_several_refreshes_and_few_are_kept() {
        let mut newest = shard((0..7_500).map(|n| (n, 1_000)).collect());
        for _ in 0..3 {
            newest.refresh(NOW).await.unwrap();
        }
        assert_eq!(
            (newest.rows().len(), newest.rows()[0].key.as_str()),
            (KEPT, "7499")
        );
    }

    #[test]
    fn long_and_binary_data_are_cut_and_marked() {
        let record = |data: Vec<u8>| TailRecord {
            shard_id: Arc::from("shardId-000000000000"),
            sequence_number: "1".into(),
            arrival_ms: None,
            partition_key: "k".into(),
            data: Bytes::from(data),
            encryption: None,
        };
        let long = row(&record("é".repeat(DATA_BYTES).into_bytes()));
        assert_eq!(long.detail["data_is_cut"], true);
        assert!(!long.detail["data"]["text"].as_str().unwrap().contains('\u{fffd}'));
        assert_eq!(row(&record(vec![0xff, 0x00])).detail["data"]["base64"], "/wA=");
        let empty = row(&record(Vec::new()));
        assert_eq!(
            (&empty.cells[0], &empty.cells[2]),
            (&Cell::Missing, &Cell::Bytes(1.0))
        );
    }
}
