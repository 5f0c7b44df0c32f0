//! PutRecords.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use minicbor::Decoder;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use super::{Malformed, cbor};
use crate::context::formats::Format;
use crate::record::Record;

/// The body of a request.
pub(super) fn body(format: Format, stream: &str, records: &[Record]) -> Bytes {
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

pub(super) fn put_json_text(out: &mut Vec<u8>, text: &str) {
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

/// The result of an entry.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PutResult {
    pub shard_id: Option<String>,
    pub sequence_number: Option<String>,
    /// Of an entry that was not stored.
    pub code: Option<String>,
    pub message: Option<String>,
}

/// The same, as it is in an answer.
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
pub(super) struct Text<'a>(pub Option<Cow<'a, str>>);

/// The results of the entries.
pub(super) fn read(format: Format, body: &[u8]) -> Result<Vec<PutResult>, Malformed> {
    match format {
        Format::Json => read_json(body),
        Format::Cbor => read_cbor(body),
    }
}

fn read_json(body: &[u8]) -> Result<Vec<PutResult>, Malformed> {
    #[derive(serde::Deserialize)]
    struct Answer<'a> {
        #[serde(borrow, rename = "Records")]
        records: Vec<Entry<'a>>,
    }
    let answer: Answer<'_> = serde_json::from_slice(body).map_err(|error| Malformed(error.to_string()))?;
    Ok(answer.records.into_iter().map(Entry::result).collect())
}

fn read_cbor(body: &[u8]) -> Result<Vec<PutResult>, Malformed> {
    let mut results = None;
    cbor::members(&mut Decoder::new(body), |decoder, name| match name {
        "Records" => {
            let results = results.insert(Vec::new());
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
                results.push(entry.result());
                Ok(())
            })
        }
        _ => Ok(decoder.skip()?),
    })?;
    results.ok_or_else(|| Malformed("the answer has no member Records".to_owned()))
}

impl Entry<'_> {
    fn result(self) -> PutResult {
        let owned = |text: Text<'_>| text.0.map(Cow::into_owned);
        PutResult {
            shard_id: owned(self.shard_id),
            sequence_number: owned(self.sequence_number),
            code: owned(self.code),
            message: owned(self.message),
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
