//! PutRecords.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use minicbor::Decoder;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use super::{Format, Malformed, cbor};
use crate::record::{RANDOM_KEY_LENGTH, Record};
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

/// The start of an entry, up to its data: a map, and the text `Data`.
const ENTRY_TO_DATA: &[u8] = b"\xBF\x64Data";
/// The text `PartitionKey`.
const PARTITION_KEY: &[u8] = b"\x6CPartitionKey";

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
        out.extend_from_slice(ENTRY_TO_DATA);
        cbor::put_bytes(&mut out, &record.data);
        out.extend_from_slice(PARTITION_KEY);
        put_key(&mut out, &record.partition_key);
        if let Some(key) = &record.explicit_hash_key {
            cbor::put_text(&mut out, "ExplicitHashKey");
            cbor::put_text(&mut out, key);
        }
        out.push(cbor::END);
    }
    out.extend_from_slice(&[cbor::END, cbor::END]);
    out
}

fn put_key(out: &mut Vec<u8>, key: &str) {
    /// The head of a text of this length.
    const HEAD: u8 = 0x60 | RANDOM_KEY_LENGTH as u8;
    // Bytes whose number is known are copied without a call.
    match <&[u8; RANDOM_KEY_LENGTH]>::try_from(key.as_bytes()) {
        Ok(key) => {
            out.push(HEAD);
            out.extend_from_slice(key);
        }
        Err(_) => cbor::put_text(out, key),
    }
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
        let shard = self.shards.iter().position(is_it).unwrap_or(self.shards.len());
        self.entries.push(EntryResult::Stored { shard });
        if shard == self.shards.len() {
            self.shards.push(StoredIn {
                shard_id: shard_id.to_owned(),
                first: sequence_number.to_owned(),
                last: sequence_number.to_owned(),
            });
        }
        self.keep(shard, sequence_number);
    }

    /// This one of the shards has stored a record with this number.
    fn keep(&mut self, shard: usize, sequence_number: &str) {
        let Some(stored) = self.shards.get_mut(shard) else {
            return;
        };
        let place = match is_after(sequence_number, &stored.last) {
            true => &mut stored.last,
            false if is_after(&stored.first, sequence_number) => &mut stored.first,
            false => return,
        };
        place.clear();
        place.push_str(sequence_number);
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
            let mut like = Like::default();
            cbor::elements(decoder, |decoder| {
                if !like.read(decoder, answer) {
                    let next = read_entry(decoder, answer)?;
                    std::mem::replace(&mut like, next).end(answer)?;
                }
                Ok(())
            })?;
            like.end(answer)
        }
        _ => Ok(decoder.skip()?),
    })?;
    answer.ok_or_else(|| Malformed("the answer has no member Records".to_owned()))
}

/// Reads an entry member by member. Returns what the next one may be like.
fn read_entry<'b>(decoder: &mut Decoder<'b>, answer: &mut PutAnswer) -> Result<Like<'b>, Malformed> {
    let body = decoder.input();
    let start = decoder.position();
    let mut entry = Entry::default();
    let mut number_end = start;
    cbor::members(decoder, |decoder, name| {
        let place = match name {
            "ShardId" => &mut entry.shard_id,
            "SequenceNumber" => &mut entry.sequence_number,
            "ErrorCode" => &mut entry.code,
            "ErrorMessage" => &mut entry.message,
            _ => return Ok(decoder.skip()?),
        };
        place.0 = Some(cbor::text(decoder)?);
        if name == "SequenceNumber" {
            number_end = decoder.position();
        }
        Ok(())
    })?;
    let number = match &entry.sequence_number.0 {
        Some(Cow::Borrowed(number)) => number_end - number.len()..number_end,
        _ => start..start,
    };
    entry.add_to(answer);
    Ok(match answer.entries.last() {
        Some(EntryResult::Stored { shard }) if !number.is_empty() => Like {
            before: &body[start..number.start],
            after: &body[number.end..decoder.position()],
            shard: *shard,
            lowest: &body[number.clone()],
            highest: &body[number],
        },
        _ => Like::default(),
    })
}

/// Entries that were stored and differ in their sequence numbers only. The entries of a shard come one after another, so most
/// are read as a whole.
#[derive(Debug, Default)]
struct Like<'b> {
    /// What an entry has before the digits of the number; empty for none.
    before: &'b [u8],
    after: &'b [u8],
    shard: usize,
    /// The lowest and the highest number, which have the same length.
    lowest: &'b [u8],
    highest: &'b [u8],
}

impl<'b> Like<'b> {
    /// Reads the next entry if it is like these.
    fn read(&mut self, decoder: &mut Decoder<'b>, answer: &mut PutAnswer) -> bool {
        let start = decoder.position();
        let rest = decoder.input().get(start..).unwrap_or_default();
        let number = match rest
            .strip_prefix(self.before)
            .and_then(|rest| rest.split_at_checked(self.lowest.len()))
        {
            Some((number, rest)) if !self.before.is_empty() && rest.starts_with(self.after) => number,
            _ => return false,
        };
        self.lowest = self.lowest.min(number);
        self.highest = self.highest.max(number);
        answer.entries.push(EntryResult::Stored { shard: self.shard });
        decoder.set_position(start + self.before.len() + number.len() + self.after.len());
        true
    }

    /// No more entries are like these.
    fn end(self, answer: &mut PutAnswer) -> Result<(), Malformed> {
        if self.before.is_empty() {
            return Ok(());
        }
        for number in [self.lowest, self.highest] {
            let number = std::str::from_utf8(number).map_err(|error| Malformed(error.to_string()))?;
            answer.keep(self.shard, number);
        }
        Ok(())
    }
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
