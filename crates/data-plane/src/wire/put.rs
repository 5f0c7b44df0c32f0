//! PutRecords.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use minicbor::Decoder;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use super::{Format, Malformed, cbor};
use crate::record::Record;
use crate::sequence::is_after;

/// The body of a request.
pub fn body(format: Format, stream: &str, records: &[Record]) -> Bytes {
    match format {
        Format::Json => json(stream, records),
        Format::Cbor => in_cbor(stream, records),
    }
    .into()
}

fn stream_member(stream: &str) -> &'static str {
    match stream.starts_with("arn:") {
        true => "StreamARN",
        false => "StreamName",
    }
}

fn in_cbor(stream: &str, records: &[Record]) -> Vec<u8> {
    /// The names of the members, and the heads of all items.
    const AROUND: usize = 40 + 4 * cbor::HEAD;
    let size = |record: &Record| AROUND + record.size() + hash_key_size(record);
    let mut out = Vec::with_capacity(AROUND + stream.len() + records.iter().map(size).sum::<usize>());
    out.push(cbor::MAP);
    cbor::put_text(&mut out, stream_member(stream));
    cbor::put_text(&mut out, stream);
    cbor::put_text(&mut out, "Records");
    out.push(cbor::LIST);
    for record in records {
        out.push(cbor::MAP);
        cbor::put_text(&mut out, "Data");
        cbor::put_bytes(&mut out, &record.data);
        cbor::put_text(&mut out, "PartitionKey");
        cbor::put_text(&mut out, &record.partition_key);
        if let Some(key) = &record.explicit_hash_key {
            cbor::put_text(&mut out, "ExplicitHashKey");
            cbor::put_text(&mut out, key);
        }
        out.push(cbor::END);
    }
    out.extend_from_slice(&[cbor::END, cbor::END]);
    out
}

fn json(stream: &str, records: &[Record]) -> Vec<u8> {
    const AROUND: usize = 64;
    // A key with many escapes makes the buffer grow.
    let size = |record: &Record| {
        let data = record.data.len().div_ceil(3) * 4;
        AROUND + data + record.partition_key.len() + hash_key_size(record)
    };
    let mut out = Vec::with_capacity(AROUND + stream.len() + records.iter().map(size).sum::<usize>());
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(stream_member(stream).as_bytes());
    out.extend_from_slice(b"\":");
    put_json_text(&mut out, stream);
    out.extend_from_slice(b",\"Records\":[");
    for (at, record) in records.iter().enumerate() {
        out.extend_from_slice(if at == 0 {
            b"{\"Data\":\""
        } else {
            b",{\"Data\":\""
        });
        base64_simd::STANDARD.encode_append(&record.data, &mut out);
        out.extend_from_slice(b"\",\"PartitionKey\":");
        put_json_text(&mut out, &record.partition_key);
        if let Some(key) = &record.explicit_hash_key {
            out.extend_from_slice(b",\"ExplicitHashKey\":");
            put_json_text(&mut out, key);
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    out
}

fn hash_key_size(record: &Record) -> usize {
    record.explicit_hash_key.as_ref().map_or(0, |key| key.len() + 24)
}

pub fn put_json_text(out: &mut Vec<u8>, text: &str) {
    let needs_escape = |byte: &u8| *byte < 0x20 || matches!(byte, b'"' | b'\\');
    out.push(b'"');
    match text.as_bytes().iter().any(needs_escape) {
        false => out.extend_from_slice(text.as_bytes()),
        true => {
            out.pop();
            // Writing to memory does not fail.
            let _ = serde_json::to_writer(&mut *out, text);
            return;
        }
    }
    out.push(b'"');
}

/// The answer to a request.
///
/// An entry that was stored takes no memory of its own: the texts of an answer are kept once for each shard.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PutAnswer {
    /// One for each record that the answer has a result for, in the same order.
    pub entries: Vec<EntryResult>,
    /// The shards that stored records.
    pub shards: Vec<StoredIn>,
}

/// Result of one record of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryResult {
    /// Stored durably in this one of [`PutAnswer::shards`].
    Stored { shard: usize },
    /// Not stored; can be retried.
    Refused(Box<Refusal>),
}

/// Why a record was not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// `ProvisionedThroughputExceededException` or `InternalFailure`.
    pub code: String,
    /// AWS's message, which names a throttled shard.
    pub message: String,
}

/// What a request has stored in a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredIn {
    pub shard_id: String,
    /// The lowest sequence number.
    pub first: String,
    /// The highest sequence number.
    pub last: String,
}

impl PutAnswer {
    /// The next record is stored.
    pub fn stored(&mut self, shard_id: &str, sequence_number: &str) {
        let is_it = |stored: &StoredIn| stored.shard_id == shard_id;
        // The records of a shard come one after another.
        let previous = match self.entries.last() {
            Some(EntryResult::Stored { shard }) => Some(*shard),
            _ => None,
        };
        let previous = previous.filter(|index| self.shards.get(*index).is_some_and(is_it));
        let known = previous.or_else(|| self.shards.iter().position(is_it));
        let shard = known.unwrap_or(self.shards.len());
        self.entries.push(EntryResult::Stored { shard });
        match self.shards.get_mut(shard) {
            None => self.shards.push(StoredIn {
                shard_id: shard_id.to_owned(),
                first: sequence_number.to_owned(),
                last: sequence_number.to_owned(),
            }),
            Some(stored) if is_after(sequence_number, &stored.last) => {
                stored.last.clear();
                stored.last.push_str(sequence_number);
            }
            Some(stored) if is_after(&stored.first, sequence_number) => {
                stored.first.clear();
                stored.first.push_str(sequence_number);
            }
            Some(_) => {}
        }
    }

    /// The next record is refused.
    pub fn refused(&mut self, code: String, message: String) {
        self.entries
            .push(EntryResult::Refused(Box::new(Refusal { code, message })));
    }
}

/// The result of an entry, as it is in an answer.
#[derive(Debug, Default, serde::Deserialize)]
struct Entry<'a> {
    #[serde(default, borrow, rename = "ShardId")]
    shard_id: Text<'a>,
    #[serde(default, borrow, rename = "SequenceNumber")]
    sequence_number: Text<'a>,
    #[serde(default, borrow, rename = "ErrorCode")]
    code: Text<'a>,
    #[serde(default, borrow, rename = "ErrorMessage")]
    message: Text<'a>,
}

/// A text that may be absent or null.
#[derive(Debug, Default)]
pub struct Text<'a>(pub Option<Cow<'a, str>>);

/// The answer in `body`.
pub fn read(format: Format, body: &[u8]) -> Result<PutAnswer, Malformed> {
    match format {
        Format::Json => read_json(body),
        Format::Cbor => read_cbor(body),
    }
}

fn read_json(body: &[u8]) -> Result<PutAnswer, Malformed> {
    #[derive(serde::Deserialize)]
    struct Answer<'a> {
        #[serde(borrow, rename = "Records")]
        records: Vec<Entry<'a>>,
    }
    let answer: Answer<'_> = serde_json::from_slice(body).map_err(|error| Malformed(error.to_string()))?;
    let mut read = PutAnswer::default();
    answer
        .records
        .into_iter()
        .for_each(|entry| entry.add_to(&mut read));
    Ok(read)
}

fn read_cbor(body: &[u8]) -> Result<PutAnswer, Malformed> {
    let mut answer = None;
    cbor::members(&mut Decoder::new(body), |decoder, name| match name {
        "Records" => {
            let answer = answer.insert(PutAnswer::default());
            cbor::elements(decoder, |decoder| {
                let mut entry = Entry::default();
                cbor::members(decoder, |decoder, name| {
                    let place = match name {
                        "ShardId" => &mut entry.shard_id,
                        "SequenceNumber" => &mut entry.sequence_number,
                        "ErrorCode" => &mut entry.code,
                        "ErrorMessage" => &mut entry.message,
                        _ => return Ok(decoder.skip()?),
                    };
                    place.0 = Some(cbor::text(decoder)?);
                    Ok(())
                })?;
                entry.add_to(answer);
                Ok(())
            })
        }
        _ => Ok(decoder.skip()?),
    })?;
    answer.ok_or_else(|| Malformed("the answer has no member Records".to_owned()))
}

impl Entry<'_> {
    /// An entry without all that a stored one has is not known to be stored.
    fn add_to(self, answer: &mut PutAnswer) {
        let owned = |text: Text<'_>| text.0.map(Cow::into_owned);
        match (self.shard_id.0, self.sequence_number.0) {
            (Some(shard_id), Some(number)) if self.code.0.is_none() => answer.stored(&shard_id, &number),
            _ => answer.refused(
                owned(self.code).unwrap_or_else(|| "InternalFailure".to_owned()),
                owned(self.message).unwrap_or_default(),
            ),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Borrowed(text))))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Owned(text.to_owned()))))
            }

            fn visit_unit<E: Error>(self) -> Result<Text<'de>, E> {
                Ok(Text(None))
            }
        }
        deserializer.deserialize_any(Any)
    }
}
