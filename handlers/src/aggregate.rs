//! Records aggregated by the Kinesis Producer Library (KPL): several user records in one Kinesis record.
//!
//! Format: four magic bytes, a Protocol Buffers message, and the MD5 of the message.
//! <https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md>

use md5::{Digest, Md5};
use prost::Message;

const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];
const DIGEST_BYTES: usize = 16;

#[derive(Clone, PartialEq, Message)]
struct AggregatedRecord {
    #[prost(string, repeated, tag = "1")]
    partition_key_table: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    explicit_hash_key_table: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    records: Vec<Record>,
}

#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(uint64, required, tag = "1")]
    partition_key_index: u64,
    #[prost(uint64, optional, tag = "2")]
    explicit_hash_key_index: Option<u64>,
    #[prost(bytes = "vec", required, tag = "3")]
    data: Vec<u8>,
    #[prost(message, repeated, tag = "4")]
    tags: Vec<Tag>,
}

#[derive(Clone, PartialEq, Message)]
struct Tag {
    #[prost(string, required, tag = "1")]
    key: String,
    #[prost(string, optional, tag = "2")]
    value: Option<String>,
}

/// One user record in an aggregated record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UserRecord {
    /// The partition key of the user record.
    pub partition_key: String,
    pub data: Vec<u8>,
}

/// Splits an aggregated record into its user records, in order. `None` if `data` is not an aggregated record. Data with
/// a wrong digest or message counts as plain data, as in the Kinesis Client Library.
pub fn split(data: &[u8]) -> Option<Vec<UserRecord>> {
    let rest = data.strip_prefix(&MAGIC)?;
    let (message, digest) = rest.split_at(rest.len().checked_sub(DIGEST_BYTES)?);
    if Md5::digest(message)[..] != *digest {
        return None;
    }
    let aggregate = AggregatedRecord::decode(message).ok()?;
    let keys = aggregate.partition_key_table;
    let user_record = |record: Record| {
        let key = keys.get(usize::try_from(record.partition_key_index).ok()?)?;
        Some(UserRecord {
            partition_key: key.clone(),
            data: record.data,
        })
    };
    aggregate.records.into_iter().map(user_record).collect()
}

/// Joins user records into one aggregated record, the reverse of [`split`].
pub fn join(records: &[UserRecord]) -> Vec<u8> {
    let mut aggregate = AggregatedRecord::default();
    for record in records {
        let table = &mut aggregate.partition_key_table;
        let known = table.iter().position(|key| *key == record.partition_key);
        let index = known.unwrap_or_else(|| {
            table.push(record.partition_key.clone());
            table.len() - 1
        });
        aggregate.records.push(Record {
            partition_key_index: index as u64,
            explicit_hash_key_index: None,
            data: record.data.clone(),
            tags: Vec::new(),
        });
    }
    let message = aggregate.encode_to_vec();
    let digest = Md5::digest(&message);
    [&MAGIC[..], &message, &digest[..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn user_record(partition_key: &str, data: &str) -> UserRecord {
        UserRecord {
            partition_key: partition_key.to_owned(),
            data: data.as_bytes().to_vec(),
        }
    }

    #[test]
    fn an_aggregate_of_the_kpl_is_split() {
        // Table ["k"], one record of key 0 with data "hi", and the message's MD5.
        let message = b"\x0a\x01k\x1a\x06\x08\x00\x1a\x02hi";
        let mut data = vec![0xF3, 0x89, 0x9A, 0xC2];
        data.extend_from_slice(message);
        data.extend_from_slice(&Md5::digest(message));
        assert_eq!(split(&data), Some(vec![user_record("k", "hi")]));
        assert_eq!(join(&[user_record("k", "hi")]), data);
    }

    #[test]
    fn a_wrong_digest_makes_it_plain_data() {
        let mut data = join(&[user_record("k", "hi")]);
        *data.last_mut().unwrap() ^= 1;
        assert_eq!(split(&data), None);
        assert_eq!(split(&MAGIC), None);
        assert_eq!(split(b"{}"), None);
    }

    proptest! {
        #[test]
        fn splitting_undoes_joining(records in proptest::collection::vec(("[a-c]{1,2}", proptest::collection::vec(any::<u8>(), 0..20)), 0..20)) {
            let records: Vec<_> = records.into_iter().map(|(partition_key, data)| UserRecord { partition_key, data }).collect();
            prop_assert_eq!(split(&join(&records)), Some(records));
        }

        #[test]
        fn rubbish_never_panics(message in proptest::collection::vec(any::<u8>(), 0..60)) {
            let digest = Md5::digest(&message);
            let _ = split(&[&MAGIC[..], &message, &digest[..]].concat());
        }
    }
}
