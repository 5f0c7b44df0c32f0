//! The content of objects: records in the format of the channel, dead letters, compression.
//!
//! Source: "How Amazon S3 delivery works", Amazon Kinesis Data Streams developer guide: JSON and STRING are validated,
//! and what fails goes to the dead-letter queue "with error context"; nothing is transformed. The guide names neither
//! the separator of records nor the fields of a dead letter. Here records in JSON and STRING end with a line feed, those
//! in BYTE_ARRAY follow each other directly, and a dead letter is one line of JSON.

use std::io::{self, Write};

use flate2::Compression as Level;
use flate2::write::GzEncoder;
use serde::de::IgnoredAny;
use serde_json::json;

use super::meta::{Compression, RecordFormat};
use crate::kinesis::store::StoredRecord;

/// Why a record cannot be delivered: an error code and a message.
pub type Unfit = (&'static str, String);

/// Adds a record to the content of an object.
///
/// # Errors
/// If the record is not in the channel's format. Nothing is added then.
pub fn add(content: &mut Vec<u8>, format: RecordFormat, data: &[u8]) -> Result<(), Unfit> {
    match format {
        RecordFormat::ByteArray => {
            content.extend_from_slice(data);
            return Ok(());
        }
        RecordFormat::String => {
            std::str::from_utf8(data).map_err(|error| ("InvalidString", format!("not UTF-8: {error}")))?;
        }
        RecordFormat::Json | RecordFormat::GsrJson => {
            serde_json::from_slice::<IgnoredAny>(data)
                .map_err(|error| ("InvalidJson", format!("not valid JSON: {error}")))?;
        }
    }
    content.extend_from_slice(data);
    if !data.ends_with(b"\n") {
        content.push(b'\n');
    }
    Ok(())
}

/// One line about a record that cannot be delivered, with the record.
pub fn dead_letter(stream_arn: &str, shard_id: &str, record: &StoredRecord, unfit: &Unfit) -> Vec<u8> {
    let letter = json!({
        "streamArn": stream_arn,
        "shardId": shard_id,
        "sequenceNumber": record.sequence_number.to_string(),
        "partitionKey": record.partition_key(),
        "approximateArrivalTimestamp": record.arrival_ms,
        "errorCode": unfit.0,
        "errorMessage": unfit.1,
        "rawData": base64_simd::STANDARD.encode_to_string(&record.data),
    });
    let mut line = letter.to_string().into_bytes();
    line.push(b'\n');
    line
}

/// The end of the name of an object, such as `.json.gz`.
pub fn extension(format: RecordFormat, compression: Compression) -> String {
    let content = match format {
        RecordFormat::Json | RecordFormat::GsrJson => ".json",
        RecordFormat::String => ".txt",
        RecordFormat::ByteArray => ".bin",
    };
    let packed = match compression {
        Compression::None | Compression::Snappy => "",
        Compression::Gzip => ".gz",
        Compression::Zstd => ".zst",
    };
    format!("{content}{packed}")
}

/// # Errors
/// If memory cannot be had.
pub fn compress(content: Vec<u8>, compression: Compression) -> io::Result<Vec<u8>> {
    match compression {
        // Snappy is a compression of Parquet files in tables, which are not delivered here.
        Compression::None | Compression::Snappy => Ok(content),
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Level::default());
            encoder.write_all(&content)?;
            encoder.finish()
        }
        Compression::Zstd => zstd::bulk::compress(&content, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Read;

    fn added(format: RecordFormat, data: &[u8]) -> Option<Vec<u8>> {
        let mut content = Vec::new();
        add(&mut content, format, data).ok().map(|()| content)
    }

    #[test]
    fn records_are_lines_unless_they_are_bytes() {
        assert_eq!(added(RecordFormat::Json, b"{\"a\":1}").unwrap(), b"{\"a\":1}\n");
        assert_eq!(added(RecordFormat::Json, b"[1]\n").unwrap(), b"[1]\n");
        assert_eq!(
            added(RecordFormat::String, "é".as_bytes()).unwrap(),
            "é\n".as_bytes()
        );
        assert_eq!(added(RecordFormat::ByteArray, &[0xff, 0]).unwrap(), [0xff, 0]);
    }

    #[test]
    fn a_record_in_another_format_is_not_added() {
        for data in [&b"{"[..], b"", b"{} {}", b"nan", &[0xff]] {
            assert_eq!(added(RecordFormat::Json, data), None);
        }
        assert_eq!(added(RecordFormat::String, &[0xff]), None);
        // As deep as anything may be: the parser refuses it, and does not overflow the stack.
        assert_eq!(added(RecordFormat::Json, "[".repeat(1_000_000).as_bytes()), None);
    }

    proptest! {
        #[test]
        fn compression_loses_nothing(content in prop::collection::vec(any::<u8>(), 0..4096)) {
            let packed = compress(content.clone(), Compression::Gzip).unwrap();
            let mut unpacked = Vec::new();
            flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut unpacked).unwrap();
            prop_assert_eq!(&unpacked, &content);
            let packed = compress(content.clone(), Compression::Zstd).unwrap();
            prop_assert_eq!(zstd::bulk::decompress(&packed, 1 << 20).unwrap(), content);
        }
    }
}
