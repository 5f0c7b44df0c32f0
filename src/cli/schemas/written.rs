//! Documents that are written without a type that tells their shape, as types for their schemas. `RecordingLine` of the
//! domain writes records, and its `to_entry_json` entries.

use schemars::JsonSchema;
use serde_json::{Map, Value};

/// A record. It has either `data` or `data_base64`.
#[derive(JsonSchema)]
pub(super) struct RecordedLine {
    /// Only where records of several streams are printed.
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<String>,
    shard_id: String,
    sequence_number: String,
    /// The number of a user record in an aggregated record, from 0 on.
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_sequence_number: Option<u64>,
    /// When Kinesis received it, in UTC.
    approximate_arrival_timestamp: Option<String>,
    partition_key: String,
    /// Only of a user record in an aggregated record that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    explicit_hash_key: Option<String>,
    /// `KMS` where the record is encrypted at rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption_type: Option<String>,
    /// The log group of an event of CloudWatch Logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    log_group: Option<String>,
    /// The log stream of an event of CloudWatch Logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    log_stream: Option<String>,
    /// The time of an event of CloudWatch Logs, in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    log_timestamp: Option<String>,
    /// Why the data could not be decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    decode_error: Option<String>,
    /// The data as text. With `--json-data`, data that is a JSON object or array is that.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
    /// Data that is not text.
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
}

/// An entry of PutRecords.
#[derive(JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutEntry {
    /// The data in base64.
    data: String,
    partition_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    explicit_hash_key: Option<String>,
}

/// A policy of IAM for the work with a stream or a pipeline.
#[derive(JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PolicyDocument {
    /// `2012-10-17`.
    version: String,
    /// The statements, in the grammar of IAM.
    statement: Vec<Map<String, Value>>,
}

/// A resource policy as the service returns it, in the grammar of IAM.
#[derive(JsonSchema)]
pub(super) struct ResourcePolicy(Map<String, Value>);
