//! What is shown of a record.

use bytes::Bytes;

use super::TailRecord;

/// A record, or a part of one, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item<'a> {
    /// The Kinesis record.
    pub record: &'a TailRecord,
    pub partition_key: &'a str,
    /// That of a user record of an aggregated record.
    pub explicit_hash_key: Option<&'a str>,
    /// The index of a user record in its aggregated record.
    pub sub_sequence_number: Option<usize>,
    /// Where the data is a message that CloudWatch Logs has sent.
    pub log_event: Option<LogEvent<'a>>,
    pub data: Bytes,
    /// Why the data is not decoded, or not any further.
    pub fault: Option<String>,
}

/// Where a log message is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEvent<'a> {
    pub group: &'a str,
    pub stream: &'a str,
    /// In milliseconds since the Unix epoch.
    pub at_ms: i64,
}

impl<'a> Item<'a> {
    /// The record as it was read.
    pub fn of(record: &'a TailRecord) -> Self {
        Self {
            record,
            partition_key: &record.partition_key,
            explicit_hash_key: None,
            sub_sequence_number: None,
            log_event: None,
            data: record.data.clone(),
            fault: None,
        }
    }

    /// The data, if it is text.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.data).ok()
    }
}
