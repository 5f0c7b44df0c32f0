//! Answers that cannot be decoded: what of them is kept, and how a reader passes them. Nothing is left out in silence.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::{IteratorStart, Page, TailRecord};

/// Reads of the same answer: it may have been damaged on the way.
const TRIES: u32 = 2;

/// How a reader passes an answer that it cannot decode.
#[derive(Debug, Default)]
pub(super) struct Skip {
    tries: u32,
    /// Answers left out in a row.
    skipped: u32,
    /// Arrival of the last record read, in milliseconds since the Unix epoch.
    arrival_ms: Option<i64>,
}

impl Skip {
    pub(super) fn read_to(&mut self, arrival_ms: Option<i64>) {
        *self = Self {
            arrival_ms: arrival_ms.or(self.arrival_ms),
            ..Self::default()
        };
    }

    /// Counts a failed read; whether to make the same one again.
    pub(super) fn tries_again(&mut self) -> bool {
        self.tries += 1;
        self.tries < TRIES
    }

    /// Where to read on after an answer without a next iterator, and a clause that says what is left out. Goes further with
    /// each answer that is left out.
    pub(super) fn past(&mut self, now_ms: i64) -> (IteratorStart, String) {
        self.tries = 0;
        let step = 1_i64 << self.skipped.min(40);
        self.skipped += 1;
        let from = self
            .arrival_ms
            .map_or(now_ms, |arrival| arrival.saturating_add(step));
        self.arrival_ms = self.arrival_ms.map(|_| from);
        let lost = format!("records that arrived before {} are left out", rfc3339(from));
        (IteratorStart::AtTimestamp(from), lost)
    }
}

fn rfc3339(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| time.to_string())
}

/// What can be read of a GetRecords answer in JSON that the SDK refuses. `None` if not even its next iterator can be.
pub(super) fn salvage(shard_id: &Arc<str>, body: &[u8]) -> Option<Page> {
    let Ok(answer) = serde_json::from_slice::<Value>(body) else {
        return Some(Page {
            next: Some(next_iterator(body)?),
            behind_ms: Some(1),
            damaged: vec!["a page of records could not be decoded and is left out".to_owned()],
            ..Page::default()
        });
    };
    let next = answer["NextShardIterator"].as_str().map(str::to_owned);
    let records = answer["Records"].as_array()?;
    // Without an iterator, the shard may end or the answer be damaged there too.
    next.as_ref()?;
    let mut page = Page {
        next,
        behind_ms: answer["MillisBehindLatest"].as_i64(),
        ..Page::default()
    };
    for record in records {
        match decode(shard_id, record) {
            Ok(record) => page.records.push(record),
            Err(what) => {
                let number = record["SequenceNumber"].as_str().unwrap_or("without a number");
                page.damaged.push(format!(
                    "record {number} is left out: its {what} could not be decoded"
                ));
            }
        }
    }
    if page.damaged.is_empty() {
        page.damaged
            .push("a part of the answer other than its records could not be decoded".to_owned());
    }
    Some(page)
}

/// A record, or the name of the member that is damaged.
fn decode(shard_id: &Arc<str>, record: &Value) -> Result<TailRecord, &'static str> {
    let sequence_number = record["SequenceNumber"].as_str().ok_or("SequenceNumber")?;
    let data = record["Data"].as_str().ok_or("Data")?;
    let data = base64_simd::STANDARD.decode_to_vec(data).map_err(|_| "Data")?;
    let partition_key = record["PartitionKey"].as_str().ok_or("PartitionKey")?;
    let arrival_ms = match &record["ApproximateArrivalTimestamp"] {
        Value::Null => None,
        time => Some((time.as_f64().ok_or("ApproximateArrivalTimestamp")? * 1000.0).round() as i64),
    };
    let encryption = record["EncryptionType"].as_str().filter(|kind| *kind != "NONE");
    Ok(TailRecord {
        shard_id: Arc::clone(shard_id),
        sequence_number: sequence_number.to_owned(),
        arrival_ms,
        partition_key: partition_key.to_owned(),
        data: Bytes::from(data),
        encryption: encryption.map(str::to_owned),
    })
}

/// The next iterator in an answer that is not JSON as a whole. Iterators are base64: they need no escapes.
fn next_iterator(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let (_, rest) = text.rsplit_once("\"NextShardIterator\"")?;
    let value = rest
        .trim_start()
        .strip_prefix(':')?
        .trim_start()
        .strip_prefix('"')?;
    let (iterator, _) = value.split_once('"')?;
    (!iterator.is_empty()).then(|| iterator.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BODY: &str = r#"{"Records":[
        {"SequenceNumber":"1","Data":"b25l","PartitionKey":"k","ApproximateArrivalTimestamp":1795255200.25},
        {"SequenceNumber":"2","Data":"!!","PartitionKey":"k","ApproximateArrivalTimestamp":1795255200.5},
        {"SequenceNumber":"3","Data":"dGhyZWU=","PartitionKey":7},
        {"SequenceNumber":"4","Data":"Zm91cg==","PartitionKey":"k","EncryptionType":"KMS"}],
        "NextShardIterator":"next+/=","MillisBehindLatest":5}"#;

    fn salvaged(body: &str) -> Option<Page> {
        salvage(&Arc::from("shardId-000000000000"), body.as_bytes())
    }

    #[test]
    fn whole_records_are_kept_and_damaged_ones_are_named() {
        let page = salvaged(BODY).unwrap();
        let numbers: Vec<&str> = page.records.iter().map(|r| r.sequence_number.as_str()).collect();
        assert_eq!(numbers, ["1", "4"]);
        assert_eq!(&page.records[0].data[..], b"one");
        assert_eq!(page.records[0].arrival_ms, Some(1_795_255_200_250));
        assert_eq!(page.records[1].encryption.as_deref(), Some("KMS"));
        assert_eq!(page.next.as_deref(), Some("next+/="));
        assert_eq!(page.behind_ms, Some(5));
        assert_eq!(
            page.damaged,
            [
                "record 2 is left out: its Data could not be decoded",
                "record 3 is left out: its PartitionKey could not be decoded"
            ]
        );
    }

    #[test]
    fn an_answer_that_is_no_json_is_passed_by_its_iterator() {
        let cut = BODY.replace("\"Data\":\"b25l\"", "\"Data\":\"b25");
        let page = salvaged(&cut).unwrap();
        assert_eq!((page.records.len(), page.next.as_deref()), (0, Some("next+/=")));
        assert_eq!(page.damaged.len(), 1);
        assert!(salvaged("{\"Records\":[").is_none());
        assert!(salvaged("").is_none());
    }

    #[test]
    fn each_answer_left_out_goes_further() {
        let mut skip = Skip::default();
        skip.read_to(Some(1000));
        assert!(skip.tries_again());
        assert!(!skip.tries_again());
        let times: Vec<IteratorStart> = (0..4).map(|_| skip.past(9_000).0).collect();
        let expected = [1001, 1003, 1007, 1015].map(IteratorStart::AtTimestamp);
        assert_eq!(times, expected);
        assert_eq!(Skip::default().past(9_000).0, IteratorStart::AtTimestamp(9_000));
    }

    proptest! {
        #[test]
        fn no_body_panics(body: Vec<u8>, cut in 0..BODY.len(), flip: u8) {
            let shard = Arc::from("shardId-000000000000");
            let _ = salvage(&shard, &body);
            let mut damaged = BODY.as_bytes().to_vec();
            damaged[cut] ^= flip;
            let _ = salvage(&shard, &damaged);
            let _ = salvage(&shard, &damaged[..cut]);
        }
    }
}
