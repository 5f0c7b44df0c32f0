//! Aggregated records: many user records in one Kinesis record, in the format of the Kinesis Producer Library (KPL).
//!
//! Source: "KPL Aggregated Record Format", aggregation-format.md of awslabs/amazon-kinesis-producer. An aggregated record is
//! [`MAGIC`], a protobuf message, and the MD5 of that message:
//!
//! ```text
//! AggregatedRecord { repeated string partition_key_table = 1; repeated string explicit_hash_key_table = 2;
//!                    repeated Record records = 3; }
//! Record { required uint64 partition_key_index = 1; optional uint64 explicit_hash_key_index = 2;
//!          required bytes data = 3; repeated Tag tags = 4; }
//! ```
//!
//! Nothing reads tags ("Tags are not yet implemented in the KPL and KCL APIs"), so they are neither written nor returned.
//!
//! The Kinesis Client Library skips a user record whose hash key is not in the range of the shard that it reads. So all
//! user records of an aggregate must belong to one shard, and an aggregate that was stored in another one, as after a
//! reshard, must be sent again as new aggregates.
//!
//! The message has five fields, so it is read and written by hand: user records are slices of what was read, and the size
//! of an aggregate is known before it is built. Generated code would copy both ways. Knows nothing of shards and streams.

mod protobuf;
mod read;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher as _};

use bytes::Bytes;
use md5::{Digest as _, Md5};

use self::protobuf::{bytes_len, put_bytes, put_varint, varint_len};
use super::{PartitionKey, Record};

pub use read::{Content, Damage, UserRecord, UserRecords, decode};

/// How an aggregated record begins.
pub const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];

/// Size of the checksum at the end.
const CHECKSUM: usize = 16;

/// The default limit of an aggregate, in bytes, which is the KPL's (`AggregationMaxSize`).
pub const DEFAULT_AGGREGATE_BYTES: usize = 51_200;

/// The partition key of an aggregate. Its explicit hash key selects the shard, so the KPL uses the shortest key.
const PARTITION_KEY: &str = "a";

/// User records on their way into one Kinesis record.
#[derive(Debug)]
pub struct Aggregate {
    limit: usize,
    records: Vec<Record>,
    places: Vec<Place>,
    keys: Table,
    hash_keys: Table,
    /// Size of the message.
    message: usize,
}

/// The indexes of a user record.
#[derive(Debug, Clone, Copy)]
struct Place {
    key: usize,
    hash_key: Option<usize>,
}

/// A table of keys.
#[derive(Debug, Default)]
struct Table {
    /// For each entry, the user record that has the key.
    owners: Vec<usize>,
    /// Entries by the hash of their key.
    found: HashMap<u64, usize>,
    /// The entry of all random keys.
    random: Option<usize>,
}

/// A finished aggregate.
#[derive(Debug)]
pub struct Aggregated {
    /// What is sent. One user record alone is sent as it is, as the KPL does.
    pub record: Record,
    /// The user records, in the order that they were added.
    pub parts: Vec<Record>,
}

impl Aggregate {
    /// An aggregate of at most `limit` bytes: the size that counts against Kinesis's limits, which is that of
    /// [`Record::size`].
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            records: Vec::new(),
            places: Vec::new(),
            keys: Table::default(),
            hash_keys: Table::default(),
            message: 0,
        }
    }

    /// Number of user records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The [`Record::size`] that the finished aggregate will have.
    pub fn size(&self) -> usize {
        match self.records.as_slice() {
            [] => 0,
            [alone] => alone.size(),
            _ => around(self.message),
        }
    }

    /// Whether `record` can be added within the limit. An empty aggregate takes any record: it is sent as it is.
    pub fn fits(&self, record: &Record) -> bool {
        self.is_empty() || around(self.message + self.place(record).1) <= self.limit
    }

    /// Adds `record`. The caller must check [`Aggregate::fits`] first.
    ///
    /// Records with random keys share the first of these keys: nobody asked for the others, and they would take more room
    /// than all else that is added to a record.
    pub fn push(&mut self, record: Record) {
        let (place, added) = self.place(&record);
        let owner = self.records.len();
        self.keys
            .add(place.key, &record.partition_key, record.has_random_key, owner);
        if let (Some(at), Some(key)) = (place.hash_key, &record.explicit_hash_key) {
            self.hash_keys.add(at, key, false, owner);
        }
        self.message += added;
        self.places.push(place);
        self.records.push(record);
    }

    /// Where the keys of `record` are or would be, and how many bytes it would add to the message.
    fn place(&self, record: &Record) -> (Place, usize) {
        let of = |owner: usize| self.records[owner].partition_key.as_str();
        let key = self.keys.entry(&record.partition_key, record.has_random_key, of);
        let mut added = 0;
        if key == self.keys.owners.len() {
            added += bytes_len(record.partition_key.len());
        }
        let mut hash_key = None;
        if let Some(text) = &record.explicit_hash_key {
            let of = |owner: usize| {
                self.records[owner]
                    .explicit_hash_key
                    .as_deref()
                    .unwrap_or_default()
            };
            let entry = self.hash_keys.entry(text, false, of);
            if entry == self.hash_keys.owners.len() {
                added += bytes_len(text.len());
            }
            hash_key = Some(entry);
        }
        let place = Place { key, hash_key };
        (place, added + bytes_len(place.message_len(record.data.len())))
    }

    /// The Kinesis record, `None` if nothing was added.
    ///
    /// Its explicit hash key is that of the first user record, or the hash of its partition key.
    pub fn finish(self) -> Option<Aggregated> {
        let first = self.records.first()?;
        let record = match self.records.len() {
            1 => first.clone(),
            _ => Record {
                data: self.encode(),
                partition_key: PartitionKey::const_new(PARTITION_KEY),
                explicit_hash_key: Some(match &first.explicit_hash_key {
                    Some(key) => key.clone(),
                    None => first.hash_key().to_string(),
                }),
                has_random_key: false,
                number: first.number,
                line: first.line,
            },
        };
        Some(Aggregated {
            record,
            parts: self.records,
        })
    }

    fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(MAGIC.len() + self.message + CHECKSUM);
        out.extend_from_slice(&MAGIC);
        for &owner in &self.keys.owners {
            put_bytes(&mut out, 1, self.records[owner].partition_key.as_bytes());
        }
        let hash_key = |&owner: &usize| self.records[owner].explicit_hash_key.as_deref();
        for key in self.hash_keys.owners.iter().filter_map(hash_key) {
            put_bytes(&mut out, 2, key.as_bytes());
        }
        for (place, record) in self.places.iter().zip(&self.records) {
            out.push(protobuf::tag(3, protobuf::LENGTH));
            put_varint(&mut out, place.message_len(record.data.len()) as u64);
            out.push(protobuf::tag(1, protobuf::VARINT));
            put_varint(&mut out, place.key as u64);
            if let Some(hash_key) = place.hash_key {
                out.push(protobuf::tag(2, protobuf::VARINT));
                put_varint(&mut out, hash_key as u64);
            }
            put_bytes(&mut out, 3, &record.data);
        }
        let checksum = Md5::digest(&out[MAGIC.len()..]);
        out.extend_from_slice(&checksum);
        out.into()
    }
}

/// The size of an aggregate with a message of this size.
const fn around(message: usize) -> usize {
    MAGIC.len() + message + CHECKSUM + PARTITION_KEY.len()
}

impl Place {
    /// Size of a `Record` message.
    fn message_len(self, data: usize) -> usize {
        let index = |index: usize| 1 + varint_len(index as u64);
        index(self.key) + self.hash_key.map_or(0, index) + bytes_len(data)
    }
}

impl Table {
    /// The entry of `key`, or the number of entries if it has none. Two keys with one hash have an entry each, and the
    /// second is not found again: a key may stand in a table more than once.
    fn entry<'a>(&self, key: &str, is_random: bool, of: impl Fn(usize) -> &'a str) -> usize {
        let found = match is_random {
            true => self.random,
            false => {
                let found = self.found.get(&hash(key)).copied();
                found.filter(|&at| of(self.owners[at]) == key)
            }
        };
        found.unwrap_or(self.owners.len())
    }

    /// Keeps `key` of the user record `owner` if it has the next entry.
    fn add(&mut self, entry: usize, key: &str, is_random: bool, owner: usize) {
        if entry < self.owners.len() {
            return;
        }
        self.owners.push(owner);
        match is_random {
            true => self.random = Some(entry),
            false => {
                self.found.entry(hash(key)).or_insert(entry);
            }
        }
    }
}

fn hash(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(key.as_bytes());
    hasher.finish()
}
