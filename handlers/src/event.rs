//! Lambda's Kinesis event: <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html>.
//!
//! The types of `aws_lambda_events` are not used: these borrow from the payload, which saves copies.

use std::borrow::Cow;
use std::fmt;

use md5::{Digest, Md5};
use serde::Deserialize;

use crate::aggregate::{self, UserRecord};
use crate::invalid::Invalid;
use crate::json::{self, Json, Object};

/// A batch of records from one shard.
#[derive(Debug)]
pub struct Event<'a> {
    /// In the order of the shard.
    pub records: Vec<Record<'a>>,
}

/// One Kinesis record.
#[derive(Debug)]
pub struct Record<'a> {
    /// Lambda's id of the record: `shardId-000000000000:` and the sequence number.
    pub event_id: Cow<'a, str>,
    pub stream_arn: Cow<'a, str>,
    pub partition_key: Cow<'a, str>,
    /// A decimal integer.
    pub sequence_number: Cow<'a, str>,
    /// When Kinesis received the record, in milliseconds since 1970-01-01 UTC. The same at each delivery.
    pub arrival_ms: i64,
    /// The decoded data; `None` if it is not valid base64.
    data: Option<Vec<u8>>,
}

/// What a producer put: a Kinesis record, or one user record of an aggregated record.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Index of the Kinesis record in the batch.
    pub index: usize,
    /// The Kinesis record.
    pub record: &'a Record<'a>,
    /// Index within an aggregated record; `None` for a plain record.
    pub sub_sequence: Option<u32>,
    /// The partition key that the producer set.
    pub partition_key: Cow<'a, str>,
    data: Option<Cow<'a, [u8]>>,
}

/// Why a payload is not a Kinesis event.
#[derive(Debug)]
pub struct NotKinesis(String);

impl fmt::Display for NotKinesis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the payload is not an event of a Kinesis stream: {}", self.0)
    }
}

impl std::error::Error for NotKinesis {}

#[derive(Deserialize)]
struct WireEvent<'a> {
    #[serde(borrow, rename = "Records")]
    records: Vec<WireRecord<'a>>,
}

#[derive(Deserialize)]
struct WireRecord<'a> {
    #[serde(borrow)]
    kinesis: WireKinesis<'a>,
    #[serde(borrow, rename = "eventID", default)]
    event_id: Cow<'a, str>,
    #[serde(borrow, rename = "eventSourceARN", default)]
    stream_arn: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireKinesis<'a> {
    #[serde(borrow, default)]
    partition_key: Cow<'a, str>,
    #[serde(borrow)]
    sequence_number: Cow<'a, str>,
    #[serde(borrow)]
    data: Cow<'a, str>,
    /// Seconds with a fraction.
    #[serde(default)]
    approximate_arrival_timestamp: f64,
}

impl<'a> Event<'a> {
    /// Parses the payload of an invocation.
    ///
    /// # Errors
    /// It is not a Kinesis event. Without sequence numbers, no batch item failure could be reported.
    pub fn parse(payload: &'a [u8]) -> Result<Self, NotKinesis> {
        let event: WireEvent<'a> =
            serde_json::from_slice(payload).map_err(|error| NotKinesis(error.to_string()))?;
        let records = event.records.into_iter().map(Record::from_wire).collect();
        Ok(Self { records })
    }

    /// All entries in order. Aggregated records are split.
    pub fn entries(&self) -> Vec<Entry<'_>> {
        let mut entries = Vec::with_capacity(self.records.len());
        for (index, record) in self.records.iter().enumerate() {
            match record.data.as_deref().and_then(aggregate::split) {
                Some(users) => entries.extend(
                    (0..)
                        .zip(users)
                        .map(|(sub, user)| Entry::of_user(index, record, sub, user)),
                ),
                None => entries.push(Entry {
                    index,
                    record,
                    sub_sequence: None,
                    partition_key: Cow::Borrowed(&record.partition_key),
                    data: record.data.as_deref().map(Cow::Borrowed),
                }),
            }
        }
        entries
    }
}

impl<'a> Record<'a> {
    fn from_wire(wire: WireRecord<'a>) -> Self {
        let kinesis = wire.kinesis;
        Self {
            event_id: wire.event_id,
            stream_arn: wire.stream_arn,
            partition_key: kinesis.partition_key,
            sequence_number: kinesis.sequence_number,
            arrival_ms: (kinesis.approximate_arrival_timestamp * 1000.0).round() as i64,
            data: base64_simd::STANDARD.decode_to_vec(kinesis.data.as_bytes()).ok(),
        }
    }

    /// The shard id, such as `shardId-000000000000`.
    pub fn shard_id(&self) -> &str {
        self.event_id.split_once(':').map_or("", |(shard, _)| shard)
    }
}

impl<'a> Entry<'a> {
    fn of_user(index: usize, record: &'a Record<'a>, sub: u32, user: UserRecord) -> Self {
        Self {
            index,
            record,
            sub_sequence: Some(sub),
            partition_key: Cow::Owned(user.partition_key),
            data: Some(Cow::Owned(user.data)),
        }
    }

    /// A unique id that is the same at each delivery: Lambda's id, and the index within an aggregated record.
    pub fn id(&self) -> Cow<'a, str> {
        match self.sub_sequence {
            None => Cow::Borrowed(&self.record.event_id),
            Some(sub) => Cow::Owned(format!("{}/{sub}", self.record.event_id)),
        }
    }

    /// Position in the stream as sortable text: for the same partition key, a later record has a greater position.
    pub fn position(&self) -> String {
        let sub = self.sub_sequence.unwrap_or(0);
        format!("{:0>64}/{sub:06}", self.record.sequence_number)
    }

    /// The bytes that the producer put.
    ///
    /// # Errors
    /// They are not valid base64.
    pub fn bytes(&self) -> Result<&[u8], Invalid> {
        self.data
            .as_deref()
            .ok_or_else(|| Invalid::json("the data is not valid base64"))
    }

    /// The JSON object that the producer put.
    ///
    /// # Errors
    /// The data is not a JSON object.
    pub fn object(&self) -> Result<Object<'_>, Invalid> {
        match json::parse(self.bytes()?) {
            Ok(Json::Object(object)) => Ok(object),
            Ok(_) => Err(Invalid::json("the data is JSON but not an object")),
            Err(error) => Err(Invalid::json(format!("the data is not JSON: {error}"))),
        }
    }
}

/// A name for the records of `entries`: first and last sequence number, and a digest of all. The same records always
/// get the same name, other records get another one.
pub fn span(entries: &[&Entry<'_>]) -> String {
    let mut digest = Md5::new();
    for entry in entries {
        digest.update(entry.id().as_bytes());
        digest.update(b"\n");
    }
    let digest = digest.finalize();
    let sequence = |entry: Option<&&Entry<'_>>| {
        entry
            .map_or("0", |entry| &entry.record.sequence_number)
            .to_owned()
    };
    let mut name = format!("{}-{}-", sequence(entries.first()), sequence(entries.last()));
    for byte in &digest[..6] {
        name.push_str(&format!("{byte:02x}"));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use proptest::prelude::*;

    /// The example in AWS's documentation.
    const DOCUMENTED: &str = r#"{
        "Records": [
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": "1",
                    "sequenceNumber": "49590338271490256608559692538361571095921575989136588898",
                    "data": "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==",
                    "approximateArrivalTimestamp": 1545084650.987
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": "shardId-000000000006:49590338271490256608559692538361571095921575989136588898",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": "arn:aws:iam::111122223333:role/lambda-role",
                "awsRegion": "us-east-2",
                "eventSourceARN": "arn:aws:kinesis:us-east-2:111122223333:stream/lambda-stream"
            }
        ]
    }"#;

    #[test]
    fn the_documented_event_is_read() {
        let event = Event::parse(DOCUMENTED.as_bytes()).unwrap();
        let entries = event.entries();
        let [entry] = &entries[..] else { panic!() };
        assert_eq!(entry.bytes().unwrap(), b"Hello, this is a test.");
        assert_eq!(entry.partition_key, "1");
        assert_eq!(entry.record.arrival_ms, 1_545_084_650_987);
        assert_eq!(entry.record.shard_id(), "shardId-000000000006");
        assert_eq!(
            entry.id(),
            "shardId-000000000006:49590338271490256608559692538361571095921575989136588898"
        );
        assert_eq!(
            entry.position(),
            "0000000049590338271490256608559692538361571095921575989136588898/000000"
        );
        assert_eq!(entry.object().unwrap_err().kind.as_str(), "JSON_DECODE_ERROR");
    }

    #[test]
    fn an_aggregate_has_an_entry_for_each_user_record() {
        let users = ["a", "b"].map(|key| UserRecord {
            partition_key: key.to_owned(),
            data: format!(r#"{{"key":"{key}"}}"#).into_bytes(),
        });
        let payload = testing::event(&[testing::record(7, "outer", aggregate::join(&users))]);
        let event = Event::parse(&payload).unwrap();
        let seen: Vec<_> = event
            .entries()
            .iter()
            .map(|entry| (entry.id().into_owned(), entry.partition_key.to_string()))
            .collect();
        assert_eq!(
            seen,
            [
                ("shardId-000000000000:7/0".to_owned(), "a".to_owned()),
                ("shardId-000000000000:7/1".to_owned(), "b".to_owned())
            ]
        );
    }

    #[test]
    fn what_is_no_kinesis_event_is_refused() {
        let error = Event::parse(br#"{"Records":[{"s3":{}}]}"#)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("the payload is not an event of a Kinesis stream: missing field `kinesis`"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn rubbish_never_panics(data in proptest::collection::vec(any::<u8>(), 0..100), base64 in ".{0,20}") {
            let _ = Event::parse(&data);
            let payload = serde_json::json!({"Records": [{"kinesis": {"sequenceNumber": base64, "data": base64, "approximateArrivalTimestamp": 1e300}}]});
            let payload = payload.to_string();
            for entry in Event::parse(payload.as_bytes()).unwrap().entries() {
                let _ = (entry.object(), entry.id(), entry.position());
            }
        }
    }
}
