//! The stored state of a function.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::name::{self, LATEST};
use crate::Caller;
use crate::clock::utc;
use crate::web::cors::Cors;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Function {
    pub name: String,
    pub latest: Version,
    pub versions: BTreeMap<u64, Version>,
    /// Number of the last published version. Numbers are never reused.
    pub last_version: u64,
    pub aliases: BTreeMap<String, Alias>,
    /// By qualifier; empty for the unqualified function.
    pub policies: BTreeMap<String, Policy>,
    /// By qualifier; `$LATEST` for the unqualified function.
    pub event_configs: BTreeMap<String, EventConfig>,
    /// By alias; empty for the unqualified function.
    #[serde(default)]
    pub urls: BTreeMap<String, Url>,
    pub tags: BTreeMap<String, String>,
    pub reserved: Option<u32>,
}

/// The code and configuration of one version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Version {
    /// `$LATEST` or a number.
    pub version: String,
    /// Changes only with code and configuration. Instances belong to a generation.
    pub generation: String,
    /// Changes with each change.
    pub revision: String,
    pub modified_ms: i64,
    pub runtime: String,
    pub role: String,
    pub handler: String,
    pub description: String,
    pub timeout_seconds: u32,
    pub memory_mb: u32,
    pub ephemeral_mb: u32,
    pub architecture: String,
    pub environment: Option<BTreeMap<String, String>>,
    pub kms_key: Option<String>,
    pub tracing: String,
    pub dead_letter: Option<String>,
    pub logging: Logging,
    /// SHA-256 of the zip, base64.
    pub code_sha256: String,
    /// Size of the zip in bytes.
    pub code_size: u64,
    /// Until this time the version is Pending or its update is in progress.
    pub settled_ms: i64,
    /// Whether the creation is in progress, not an update.
    pub creating: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Logging {
    /// `Text` or `JSON`.
    pub format: String,
    pub application_level: Option<String>,
    pub system_level: Option<String>,
    pub group: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Alias {
    pub version: String,
    pub description: String,
    pub revision: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Policy {
    pub revision: String,
    pub statements: Vec<Value>,
}

/// Configuration of asynchronous invocations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EventConfig {
    pub modified_ms: i64,
    pub retries: Option<u32>,
    pub max_age_seconds: Option<u32>,
    pub on_success: Option<String>,
    pub on_failure: Option<String>,
}

/// A function URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Url {
    /// Unique among all functions.
    pub id: String,
    /// Whether a request must be signed (`AWS_IAM`). Otherwise the type is `NONE`.
    pub signed: bool,
    pub cors: Option<Cors>,
    pub created_ms: i64,
    pub modified_ms: i64,
}

impl Function {
    /// The version for `qualifier`.
    pub fn version(&self, qualifier: Option<&str>) -> Option<&Version> {
        match qualifier {
            None | Some(LATEST) => Some(&self.latest),
            Some(qualifier) => {
                let number = self
                    .aliases
                    .get(qualifier)
                    .map_or(qualifier, |alias| alias.version.as_str());
                if number == LATEST {
                    return Some(&self.latest);
                }
                self.versions.get(&number.parse().ok()?)
            }
        }
    }

    /// All versions, `$LATEST` first.
    pub fn all(&self) -> impl Iterator<Item = &Version> {
        std::iter::once(&self.latest).chain(self.versions.values())
    }
}

impl Version {
    /// Whether the function is Pending: it cannot be invoked or changed.
    pub fn is_pending(&self, now_ms: i64) -> bool {
        self.creating && now_ms < self.settled_ms
    }

    /// Whether a change is in progress.
    pub fn is_changing(&self, now_ms: i64) -> bool {
        now_ms < self.settled_ms
    }

    /// FunctionConfiguration, with `qualifier` in the ARN.
    pub fn describe(&self, caller: &Caller, name: &str, qualifier: Option<&str>, now_ms: i64) -> Value {
        let arn = name::arn(caller, name);
        let mut value = json!({
            "FunctionName": name,
            "FunctionArn": qualifier.map_or_else(|| arn.clone(), |qualifier| format!("{arn}:{qualifier}")),
            "Runtime": self.runtime,
            "Role": self.role,
            "Handler": self.handler,
            "CodeSize": self.code_size,
            "Description": self.description,
            "Timeout": self.timeout_seconds,
            "MemorySize": self.memory_mb,
            "LastModified": timestamp(self.modified_ms),
            "CodeSha256": self.code_sha256,
            "Version": self.version,
            "TracingConfig": {"Mode": self.tracing},
            "RevisionId": self.revision,
            "PackageType": "Zip",
            "Architectures": [self.architecture],
            "EphemeralStorage": {"Size": self.ephemeral_mb},
            "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
            "RuntimeVersionConfig": {"RuntimeVersionArn": runtime_version(&caller.region, &self.runtime)},
            "LoggingConfig": self.logging.describe(),
        });
        if let Some(environment) = &self.environment {
            value["Environment"] = json!({"Variables": environment});
        }
        if let Some(key) = &self.kms_key {
            value["KMSKeyArn"] = json!(key);
        }
        if let Some(target) = &self.dead_letter {
            value["DeadLetterConfig"] = json!({"TargetArn": target});
        }
        self.describe_state(&mut value, now_ms);
        value
    }

    fn describe_state(&self, value: &mut Value, now_ms: i64) {
        if self.is_pending(now_ms) {
            value["State"] = json!("Pending");
            value["StateReason"] = json!("The function is being created.");
            value["StateReasonCode"] = json!("Creating");
            value["LastUpdateStatus"] = json!("Successful");
        } else {
            value["State"] = json!("Active");
            let status = if self.is_changing(now_ms) {
                "InProgress"
            } else {
                "Successful"
            };
            value["LastUpdateStatus"] = json!(status);
            if status == "InProgress" {
                value["LastUpdateStatusReason"] = json!("The function is being created.");
                value["LastUpdateStatusReasonCode"] = json!("Creating");
            }
        }
    }
}

impl Logging {
    fn describe(&self) -> Value {
        let mut value = json!({"LogFormat": self.format, "LogGroup": self.group});
        if let Some(level) = &self.application_level {
            value["ApplicationLogLevel"] = json!(level);
        }
        if let Some(level) = &self.system_level {
            value["SystemLogLevel"] = json!(level);
        }
        value
    }
}

impl Alias {
    /// AliasConfiguration.
    pub fn describe(&self, function_arn: &str, name: &str) -> Value {
        json!({
            "AliasArn": format!("{function_arn}:{name}"),
            "Name": name,
            "FunctionVersion": self.version,
            "Description": self.description,
            "RevisionId": self.revision,
        })
    }
}

impl EventConfig {
    /// FunctionEventInvokeConfig.
    pub fn describe(&self, arn: &str) -> Value {
        let destination = |arn: &Option<String>| match arn {
            Some(arn) => json!({"Destination": arn}),
            None => json!({}),
        };
        let mut value = json!({
            "LastModified": seconds(self.modified_ms),
            "FunctionArn": arn,
            "DestinationConfig": {
                "OnSuccess": destination(&self.on_success),
                "OnFailure": destination(&self.on_failure),
            },
        });
        if let Some(retries) = self.retries {
            value["MaximumRetryAttempts"] = json!(retries);
        }
        if let Some(age) = self.max_age_seconds {
            value["MaximumEventAgeInSeconds"] = json!(age);
        }
        value
    }
}

/// A time in Lambda's format: `2026-11-21T12:40:39.123+0000`.
pub(super) fn timestamp(ms: i64) -> String {
    utc(ms, "%Y-%m-%dT%H:%M:%S%.3f+0000")
}

/// ARN of a runtime version. Each runtime has only one here.
pub(super) fn runtime_version(region: &str, runtime: &str) -> String {
    let hash = hex::encode(super::code::sha256(runtime.as_bytes()));
    format!("arn:{}:lambda:{region}::runtime:{hash}", crate::partition(region))
}

#[allow(
    clippy::cast_precision_loss,
    reason = "milliseconds of this era fit into 53 bits"
)]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::timestamp;

    #[test]
    fn times_have_the_format_of_lambda() {
        assert_eq!(timestamp(1_763_728_839_007), "2025-11-21T12:40:39.007+0000");
    }
}
