//! The settings of a mapping: what a request may contain, and what is stored.

mod input;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(super) use self::input::{Input, function_arn, in_range};
use crate::{Caller, partition};

/// Settings of a mapping, saved as one file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Settings {
    pub uuid: String,
    /// 12-digit account id.
    pub account: String,
    pub region: String,
    /// The function, with version or alias if given.
    pub function_arn: String,
    /// The stream, or one of its consumers.
    pub event_source_arn: String,
    /// `TRIM_HORIZON`, `LATEST` or `AT_TIMESTAMP`.
    pub starting_position: String,
    /// For `AT_TIMESTAMP`, milliseconds since the Unix epoch.
    pub starting_timestamp_ms: Option<i64>,
    pub enabled: bool,
    /// Maximum records per batch, 1 to 10,000.
    pub batch_size: usize,
    /// Batching window, 0 to 300 seconds.
    pub window_seconds: u32,
    /// Concurrent batches per shard, 1 to 10.
    pub parallelization: usize,
    /// Maximum retries of a batch, 0 to 10,000; -1 for no limit.
    pub retries: i64,
    /// Maximum age of a record, 60 to 604,800 seconds; -1 for no limit.
    pub max_age_seconds: i64,
    /// Whether a failed batch is split in two.
    pub bisect: bool,
    /// Tumbling window, 1 to 900 seconds; 0 for none.
    pub tumbling_seconds: u32,
    /// Whether the response reports failed records.
    pub report_failures: bool,
    /// ARN of the queue, topic or bucket for discarded batches.
    pub on_failure: Option<String>,
    /// Patterns, of which one must match. Without patterns all records match.
    pub filters: Vec<String>,
    /// Enabled metrics: `EventCount`.
    pub metrics: Vec<String>,
    /// KMS key that AWS would use to encrypt the filters.
    pub kms_key: Option<String>,
    pub tags: BTreeMap<String, String>,
    /// Milliseconds since the Unix epoch.
    pub last_modified_ms: i64,
}

impl Settings {
    pub(super) fn caller(&self) -> Caller {
        Caller {
            account: self.account.clone(),
            region: self.region.clone(),
        }
    }

    pub(super) fn arn(&self) -> String {
        format!(
            "arn:{}:lambda:{}:{}:event-source-mapping:{}",
            partition(&self.region),
            self.region,
            self.account,
            self.uuid
        )
    }

    /// The function's name without version or alias.
    pub(super) fn function_name(&self) -> &str {
        self.function_arn.split(':').nth(6).unwrap_or_default()
    }

    /// Version or alias of the function, if given.
    pub(super) fn qualifier(&self) -> Option<&str> {
        self.function_arn.split(':').nth(7)
    }

    /// Concurrent batches per shard. With tumbling windows 1: the state passes from batch to batch.
    pub(super) fn lanes(&self) -> usize {
        if self.tumbling_seconds > 0 {
            1
        } else {
            self.parallelization.max(1)
        }
    }

    /// The mapping, as all operations return it.
    /// Source: `EventSourceMappingConfiguration`, Lambda API reference.
    pub(super) fn render(&self, state: &str, last_result: &str) -> Value {
        let mut out = json!({
            "UUID": self.uuid,
            "BatchSize": self.batch_size,
            "BisectBatchOnFunctionError": self.bisect,
            "DestinationConfig": {"OnFailure": {}},
            "EventSourceArn": self.event_source_arn,
            "EventSourceMappingArn": self.arn(),
            "FunctionArn": self.function_arn,
            "FunctionResponseTypes": [],
            "LastModified": seconds(self.last_modified_ms),
            "LastProcessingResult": last_result,
            "MaximumBatchingWindowInSeconds": self.window_seconds,
            "MaximumRecordAgeInSeconds": self.max_age_seconds,
            "MaximumRetryAttempts": self.retries,
            "ParallelizationFactor": self.parallelization,
            "StartingPosition": self.starting_position,
            "State": state,
            "StateTransitionReason": "User action",
            "TumblingWindowInSeconds": self.tumbling_seconds,
        });
        if self.report_failures {
            out["FunctionResponseTypes"] = json!(["ReportBatchItemFailures"]);
        }
        if let Some(arn) = &self.on_failure {
            out["DestinationConfig"]["OnFailure"]["Destination"] = json!(arn);
        }
        if let Some(ms) = self.starting_timestamp_ms {
            out["StartingPositionTimestamp"] = seconds(ms);
        }
        if !self.filters.is_empty() {
            let filters = self.filters.iter().map(|pattern| json!({"Pattern": pattern}));
            out["FilterCriteria"] = json!({"Filters": filters.collect::<Vec<_>>()});
        }
        if !self.metrics.is_empty() {
            out["MetricsConfig"] = json!({"Metrics": self.metrics});
        }
        if let Some(key) = &self.kms_key {
            out["KMSKeyArn"] = json!(key);
        }
        out
    }
}

/// A time in Lambda's format: seconds with a fraction.
fn seconds(ms: i64) -> Value {
    json!(ms as f64 / 1000.0)
}
