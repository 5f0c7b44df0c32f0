//! GetRecords.

use bytes::Bytes;
use minicbor::Decoder;

use super::put::{Text, put_json_text};
use super::{Format, Malformed, cbor};

/// An answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ReadRecords {
    pub records: Vec<ReadRecord>,
    pub next: Option<String>,
    pub behind_ms: Option<i64>,
    pub children: Vec<ReadChild>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct ReadRecord {
    pub sequence_number: String,
    /// Milliseconds since the Unix epoch.
    pub arrival_ms: Option<i64>,
    /// Empty in a stream that distributes records itself.
    pub partition_key: String,
    /// A slice of a buffer of the whole answer.
    pub data: Bytes,
    /// `KMS`, or `None` without encryption.
    pub encryption: Option<String>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct ReadChild {
    pub id: String,
    pub parents: Vec<String>,
    /// First and last hash key.
    pub hash_keys: Option<(u128, u128)>,
}

/// The body of a request.
pub fn body(format: Format, iterator: &str, limit: i32) -> Bytes {
    let limit = limit.unsigned_abs();
    let mut out = Vec::with_capacity(iterator.len() + 64);
    match format {
        Format::Json => {
            out.extend_from_slice(b"{\"ShardIterator\":");
            put_json_text(&mut out, iterator);
            out.extend_from_slice(b",\"Limit\":");
            out.extend_from_slice(limit.to_string().as_bytes());
            out.push(b'}');
        }
        Format::Cbor => {
            out.push(cbor::MAP);
            cbor::put_text(&mut out, "ShardIterator");
            cbor::put_text(&mut out, iterator);
            cbor::put_text(&mut out, "Limit");
            cbor::put_head(&mut out, cbor::UNSIGNED, limit.into());
            out.push(cbor::END);
        }
    }
    out.into()
}

pub fn read(format: Format, body: Bytes) -> Result<ReadRecords, Malformed> {
    match format {
        Format::Json => read_json(&body),
        Format::Cbor => read_cbor(&body),
    }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer<'a> {
    #[serde(borrow)]
    records: Vec<Record<'a>>,
    next_shard_iterator: Option<String>,
    millis_behind_latest: Option<i64>,
    child_shards: Option<Vec<Child>>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Record<'a> {
    #[serde(borrow)]
    sequence_number: Text<'a>,
    /// Seconds since the Unix epoch.
    approximate_arrival_timestamp: Option<f64>,
    #[serde(borrow)]
    data: Text<'a>,
    #[serde(borrow, default)]
    partition_key: Text<'a>,
    #[serde(borrow, default)]
    encryption_type: Text<'a>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Child {
    shard_id: String,
    parent_shards: Option<Vec<String>>,
    hash_key_range: Option<HashKeyRange>,
}

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HashKeyRange {
    starting_hash_key: String,
    ending_hash_key: String,
}

impl HashKeyRange {
    fn keys(&self) -> Option<(u128, u128)> {
        Some((
            self.starting_hash_key.parse().ok()?,
            self.ending_hash_key.parse().ok()?,
        ))
    }
}

fn read_json(body: &[u8]) -> Result<ReadRecords, Malformed> {
    let answer: Answer<'_> = serde_json::from_slice(body).map_err(|error| Malformed(error.to_string()))?;
    let size = |record: &Record<'_>| record.data.0.as_ref().map_or(0, |data| data.len() / 4 * 3 + 3);
    // One buffer for all data.
    let mut blob = Vec::with_capacity(answer.records.iter().map(size).sum());
    let mut ends = Vec::with_capacity(answer.records.len());
    for record in &answer.records {
        let data = record.data.0.as_deref().ok_or_else(|| absent("Data"))?;
        let decoded = base64_simd::STANDARD.decode_append(data, &mut blob);
        decoded.map_err(|_| Malformed("the data of a record is not base64".to_owned()))?;
        ends.push(blob.len());
    }
    let blob = Bytes::from(blob);
    let mut start = 0;
    let record = |(record, end): (Record<'_>, usize)| {
        let data = blob.slice(start..end);
        start = end;
        let number = record.sequence_number.0.ok_or_else(|| absent("SequenceNumber"))?;
        Ok(ReadRecord {
            sequence_number: number.into_owned(),
            arrival_ms: record
                .approximate_arrival_timestamp
                .map(|seconds| (seconds * 1000.0).round() as i64),
            partition_key: record.partition_key.0.unwrap_or_default().into_owned(),
            data,
            encryption: encryption(record.encryption_type),
        })
    };
    let child = |child: Child| ReadChild {
        id: child.shard_id,
        parents: child.parent_shards.unwrap_or_default(),
        hash_keys: child.hash_key_range.and_then(|range| range.keys()),
    };
    Ok(ReadRecords {
        records: answer
            .records
            .into_iter()
            .zip(ends)
            .map(record)
            .collect::<Result<_, Malformed>>()?,
        next: answer.next_shard_iterator,
        behind_ms: answer.millis_behind_latest,
        children: answer
            .child_shards
            .unwrap_or_default()
            .into_iter()
            .map(child)
            .collect(),
    })
}

fn encryption(kind: Text<'_>) -> Option<String> {
    kind.0.filter(|kind| kind != "NONE").map(|kind| kind.into_owned())
}

fn absent(member: &str) -> Malformed {
    Malformed(format!("a record has no member {member}"))
}

fn read_cbor(body: &Bytes) -> Result<ReadRecords, Malformed> {
    let mut answer = ReadRecords::default();
    let mut has_records = false;
    cbor::members(&mut Decoder::new(body), |decoder, name| {
        match name {
            "Records" => {
                has_records = true;
                cbor::elements(decoder, |decoder| {
                    answer.records.push(cbor_record(decoder, body)?);
                    Ok(())
                })?;
            }
            "NextShardIterator" => answer.next = Some(cbor::text(decoder)?.into_owned()),
            "MillisBehindLatest" => answer.behind_ms = Some(decoder.i64()?),
            "ChildShards" => cbor::elements(decoder, |decoder| {
                answer.children.push(cbor_child(decoder)?);
                Ok(())
            })?,
            _ => decoder.skip()?,
        }
        Ok(())
    })?;
    match has_records {
        true => Ok(answer),
        false => Err(Malformed("the answer has no member Records".to_owned())),
    }
}

fn cbor_record(decoder: &mut Decoder<'_>, body: &Bytes) -> Result<ReadRecord, Malformed> {
    let (mut number, mut data) = (None, None);
    let mut record = ReadRecord {
        sequence_number: String::new(),
        arrival_ms: None,
        partition_key: String::new(),
        data: Bytes::new(),
        encryption: None,
    };
    cbor::members(decoder, |decoder, name| {
        match name {
            "SequenceNumber" => number = Some(cbor::text(decoder)?.into_owned()),
            "ApproximateArrivalTimestamp" => record.arrival_ms = Some(cbor::time_ms(decoder)?),
            "Data" => data = Some(cbor::bytes(decoder, body)?),
            "PartitionKey" => record.partition_key = cbor::text(decoder)?.into_owned(),
            "EncryptionType" => record.encryption = encryption(Text(Some(cbor::text(decoder)?))),
            _ => decoder.skip()?,
        }
        Ok(())
    })?;
    record.sequence_number = number.ok_or_else(|| absent("SequenceNumber"))?;
    record.data = data.ok_or_else(|| absent("Data"))?;
    Ok(record)
}

fn cbor_child(decoder: &mut Decoder<'_>) -> Result<ReadChild, Malformed> {
    let mut child = ReadChild::default();
    cbor::members(decoder, |decoder, name| {
        match name {
            "ShardId" => child.id = cbor::text(decoder)?.into_owned(),
            "ParentShards" => cbor::elements(decoder, |decoder| {
                child.parents.push(cbor::text(decoder)?.into_owned());
                Ok(())
            })?,
            "HashKeyRange" => {
                let mut range = HashKeyRange::default();
                cbor::members(decoder, |decoder, name| {
                    match name {
                        "StartingHashKey" => range.starting_hash_key = cbor::text(decoder)?.into_owned(),
                        "EndingHashKey" => range.ending_hash_key = cbor::text(decoder)?.into_owned(),
                        _ => decoder.skip()?,
                    }
                    Ok(())
                })?;
                child.hash_keys = range.keys();
            }
            _ => decoder.skip()?,
        }
        Ok(())
    })?;
    Ok(child)
}
