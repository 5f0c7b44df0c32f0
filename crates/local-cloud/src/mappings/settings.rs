//! The settings of a mapping: what a request may say, and what is kept of it.

mod input;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(super) use self::input::{Input, function_arn, in_range};
use crate::{Caller, partition};

/// Everything a mapping was told. Saved as one file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Settings {
    /// Its identifier.
    pub uuid: String,
    /// 12-digit account id.
    pub account: String,
    /// Region.
    pub region: String,
    /// The function, with version or alias if one was named.
    pub function_arn: String,
    /// The stream or one of its consumers.
    pub event_source_arn: String,
    /// `TRIM_HORIZON`, `LATEST` or `AT_TIMESTAMP`.
    pub starting_position: String,
    /// For `AT_TIMESTAMP`, milliseconds since the Unix epoch.
    pub starting_timestamp_ms: Option<i64>,
    /// Whether it reads.
    pub enabled: bool,
    /// Most records of a batch, 1 to 10,000.
    pub batch_size: usize,
    /// How long a batch is gathered, 0 to 300 seconds.
    pub window_seconds: u32,
    /// Batches of a shard at a time, 1 to 10.
    pub parallelization: usize,
    /// How often a batch is tried again, 0 to 10,000; -1 for ever.
    pub retries: i64,
    /// Age at which a record is given up, 60 to 604,800 seconds; -1 never.
    pub max_age_seconds: i64,
    /// Whether a failed batch is halved.
    pub bisect: bool,
    /// Length of a tumbling window, 0 (none) to 900 seconds.
    pub tumbling_seconds: u32,
    /// Whether the function reports which records failed.
    pub report_failures: bool,
    /// ARN of the queue, topic or bucket for discarded batches.
    pub on_failure: Option<String>,
    /// Patterns, of which one must match; none: everything matches.
    pub filters: Vec<String>,
    /// Metrics switched on: `EventCount`.
    pub metrics: Vec<String>,
    /// KMS key that AWS would encrypt the filters with.
    pub kms_key: Option<String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// When they were changed last, milliseconds since the Unix epoch.
    pub last_modified_ms: i64,
}

impl Settings {
    /// Whose mapping it is.
    pub(super) fn caller(&self) -> Caller {
        Caller {
            account: self.account.clone(),
            region: self.region.clone(),
        }
    }

    /// The mapping's ARN.
    pub(super) fn arn(&self) -> String {
        format!(
            "arn:{}:lambda:{}:{}:event-source-mapping:{}",
            partition(&self.region),
            self.region,
            self.account,
            self.uuid
        )
    }

    /// The function's name, without version or alias.
    pub(super) fn function_name(&self) -> &str {
        self.function_arn.split(':').nth(6).unwrap_or_default()
    }

    /// Version or alias of the function, if one was named.
    pub(super) fn qualifier(&self) -> Option<&str> {
        self.function_arn.split(':').nth(7)
    }

    /// Batches of a shard at a time. A window's state is passed from batch to batch, so there is one then.
    pub(super) fn lanes(&self) -> usize {
        if self.tumbling_seconds > 0 {
            1
        } else {
            self.parallelization.max(1)
        }
    }

    /// The mapping as every operation answers it.
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

/// A point in time as Lambda writes it: seconds with a fraction.
fn seconds(ms: i64) -> Value {
    json!(ms as f64 / 1000.0)
}
