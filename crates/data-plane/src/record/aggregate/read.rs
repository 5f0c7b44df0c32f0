//! Reads aggregated records. User records are slices of the Kinesis record.

use std::ops::Range;

use bytes::Bytes;
use md5::{Digest as _, Md5};

use super::protobuf::{Fields, Malformed, Value};
use super::{CHECKSUM, MAGIC};

/// What the data of a Kinesis record is.
#[derive(Debug)]
pub enum Content {
    /// Not aggregated: it does not begin with [`MAGIC`].
    Plain,
    Aggregate(UserRecords),
    /// It begins as an aggregated record, and is none. The Kinesis Client Library passes such data on as it is.
    Damaged(Damage),
}

/// Why data that begins as an aggregated record is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    #[error("the aggregated record ends before its checksum")]
    Short,
    #[error("the checksum of the aggregated record is wrong")]
    Checksum,
    /// With the offset in the message.
    #[error("the aggregated record is malformed at byte {0}")]
    Malformed(usize),
    /// With the index of the user record.
    #[error("user record {0} of the aggregated record has no partition key or no data")]
    Incomplete(usize),
    /// With the index of the user record.
    #[error("user record {0} of the aggregated record has a key that is not in the table of keys")]
    Index(usize),
    #[error("a key of the aggregated record is not text")]
    Text,
}

/// The user records of an aggregate.
///
/// An aggregate of 10 MiB can hold a million of them, so they are kept as offsets and made one at a time.
#[derive(Debug, Clone)]
pub struct UserRecords {
    message: Bytes,
    entries: Vec<Entry>,
}

/// A user record. Its data may be an aggregate again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRecord<'a> {
    pub partition_key: &'a str,
    /// A decimal number, unless somebody wrote something else.
    pub explicit_hash_key: Option<&'a str>,
    /// A slice of the Kinesis record.
    pub data: Bytes,
}

/// A range of the message. A Kinesis record has at most 10 MiB.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    key: Span,
    hash_key: Option<Span>,
    data: Span,
}

/// A user record, as it is in the message.
#[derive(Debug, Default)]
struct Raw {
    key: Option<u64>,
    hash_key: Option<u64>,
    data: Option<Range<usize>>,
}

/// Reads the data of a Kinesis record. Nested aggregates are read one level at a time: a user record is data again.
pub fn decode(data: &Bytes) -> Content {
    if !data.starts_with(&MAGIC) {
        return Content::Plain;
    }
    match UserRecords::of(data) {
        Ok(records) => Content::Aggregate(records),
        Err(damage) => Content::Damaged(damage),
    }
}

impl UserRecords {
    fn of(data: &Bytes) -> Result<Self, Damage> {
        let end = data.len() - MAGIC.len();
        let end = end.checked_sub(CHECKSUM).ok_or(Damage::Short)?;
        let message = data.slice(MAGIC.len()..MAGIC.len() + end);
        if Md5::digest(&message)[..] != data[MAGIC.len() + end..] {
            return Err(Damage::Checksum);
        }
        if u32::try_from(end).is_err() {
            return Err(Damage::Malformed(0));
        }
        let (mut keys, mut hash_keys, mut records) = (Vec::new(), Vec::new(), Vec::new());
        let mut fields = Fields::of(&message, 0..end);
        while let Some(field) = fields.next()? {
            match field {
                (1, Value::Bytes(at)) => keys.push(Span::of(&at)),
                (2, Value::Bytes(at)) => hash_keys.push(Span::of(&at)),
                (3, Value::Bytes(at)) => records.push(Span::of(&at)),
                // As the specification of protobuf asks: what is not known is skipped.
                _ => {}
            }
        }
        let is_text = |span: &Span| std::str::from_utf8(&message[span.range()]).is_ok();
        if !keys.iter().chain(&hash_keys).all(is_text) {
            return Err(Damage::Text);
        }
        let entry = |(number, span): (usize, &Span)| {
            let raw = Raw::read(&message, span.range())?;
            raw.resolve(&keys, &hash_keys, number)
        };
        // Tables may come after the records that refer to them.
        let entries = records.iter().enumerate().map(entry).collect::<Result<_, _>>()?;
        Ok(Self { message, entries })
    }

    /// Number of user records.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The user record at `index`, which is its subsequence number.
    pub fn get(&self, index: usize) -> Option<UserRecord<'_>> {
        let entry = self.entries.get(index)?;
        let text = |span: Span| std::str::from_utf8(&self.message[span.range()]).unwrap_or_default();
        Some(UserRecord {
            partition_key: text(entry.key),
            explicit_hash_key: entry.hash_key.map(text),
            data: self.message.slice(entry.data.range()),
        })
    }

    /// The user records in their order.
    pub fn iter(&self) -> impl Iterator<Item = UserRecord<'_>> {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

impl Span {
    /// `range` is in a message whose size fits.
    fn of(range: &Range<usize>) -> Self {
        Self {
            start: range.start as u32,
            end: range.end as u32,
        }
    }

    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl Raw {
    fn read(message: &[u8], range: Range<usize>) -> Result<Self, Damage> {
        let mut raw = Self::default();
        let mut fields = Fields::of(message, range);
        while let Some(field) = fields.next()? {
            match field {
                (1, Value::Varint(index)) => raw.key = Some(index),
                (2, Value::Varint(index)) => raw.hash_key = Some(index),
                (3, Value::Bytes(at)) => raw.data = Some(at),
                _ => {}
            }
        }
        Ok(raw)
    }

    /// `number` is the index of the user record.
    fn resolve(self, keys: &[Span], hash_keys: &[Span], number: usize) -> Result<Entry, Damage> {
        let (Some(key), Some(data)) = (self.key, self.data) else {
            return Err(Damage::Incomplete(number));
        };
        let at = |table: &[Span], index: u64| {
            let index = usize::try_from(index).ok();
            let span = index.and_then(|index| table.get(index));
            span.copied().ok_or(Damage::Index(number))
        };
        Ok(Entry {
            key: at(keys, key)?,
            hash_key: self.hash_key.map(|index| at(hash_keys, index)).transpose()?,
            data: Span::of(&data),
        })
    }
}

impl From<Malformed> for Damage {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed.at)
    }
}
