//! Settings of a function and their valid ranges.
//! Source: CreateFunction and UpdateFunctionConfiguration, Lambda API reference; "Lambda quotas", developer guide.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::{ApiError, Result};
use super::model::{Logging, Version};

/// Supported runtimes.
const RUNTIMES: &[&str] = &["provided.al2023", "provided.al2"];
/// Maximum total bytes of the environment variables.
const MAX_ENVIRONMENT: usize = 4096;
/// The settings that CreateFunction and UpdateFunctionConfiguration share.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Settings {
    pub runtime: Option<String>,
    pub role: Option<String>,
    pub handler: Option<String>,
    pub description: Option<String>,
    pub timeout: Option<i64>,
    pub memory_size: Option<i64>,
    pub environment: Option<Environment>,
    #[serde(rename = "KMSKeyArn")]
    pub kms_key_arn: Option<String>,
    pub tracing_config: Option<TracingConfig>,
    pub dead_letter_config: Option<DeadLetterConfig>,
    pub ephemeral_storage: Option<EphemeralStorage>,
    pub logging_config: Option<LoggingConfig>,
    pub layers: Option<Vec<String>>,
    pub vpc_config: Option<Value>,
    pub file_system_configs: Option<Vec<Value>>,
    pub image_config: Option<Value>,
    pub snap_start: Option<SnapStart>,
    pub capacity_provider_config: Option<Value>,
    pub durable_config: Option<Value>,
    pub tenancy_config: Option<Value>,
    pub revision_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Environment {
    variables: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct TracingConfig {
    mode: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct DeadLetterConfig {
    target_arn: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct EphemeralStorage {
    size: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct SnapStart {
    apply_on: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct LoggingConfig {
    log_format: Option<String>,
    application_log_level: Option<String>,
    system_log_level: Option<String>,
    log_group: Option<String>,
}

/// Parses a request body. An empty body is an empty object.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body)
        .map_err(|error| ApiError::serialization(format!("The request could not be read: {error}")))
}

impl Settings {
    /// Validates all settings, then applies them to `version`.
    pub fn apply(&self, version: &mut Version) -> Result<()> {
        self.refuse_unsupported()?;
        if let Some(runtime) = &self.runtime {
            check_runtime(runtime)?;
            version.runtime.clone_from(runtime);
        }
        if let Some(role) = &self.role {
            check_role(role)?;
            version.role.clone_from(role);
        }
        if let Some(handler) = &self.handler {
            check_handler(handler)?;
            version.handler.clone_from(handler);
        }
        if let Some(description) = &self.description {
            check_description(description)?;
            version.description.clone_from(description);
        }
        if let Some(seconds) = self.timeout {
            version.timeout_seconds = ranged(seconds, "timeout", 1, 900)?;
        }
        if let Some(mb) = self.memory_size {
            version.memory_mb = memory(mb)?;
        }
        if let Some(size) = self.ephemeral_storage.as_ref().and_then(|storage| storage.size) {
            version.ephemeral_mb = ranged(size, "ephemeralStorage.size", 512, 10_240)?;
        }
        if let Some(variables) = self.environment.as_ref().and_then(|all| all.variables.as_ref()) {
            check_environment(variables)?;
            version.environment = (!variables.is_empty()).then(|| variables.clone());
        }
        if let Some(key) = &self.kms_key_arn {
            version.kms_key = (!key.is_empty()).then(|| key.clone());
        }
        if let Some(mode) = self
            .tracing_config
            .as_ref()
            .and_then(|tracing| tracing.mode.as_ref())
        {
            version.tracing = one_of(mode, "tracingConfig.mode", &["Active", "PassThrough"])?;
        }
        if let Some(dead_letter) = &self.dead_letter_config {
            let target = dead_letter.target_arn.clone().unwrap_or_default();
            check_dead_letter(&target)?;
            version.dead_letter = (!target.is_empty()).then_some(target);
        }
        if let Some(logging) = &self.logging_config {
            logging.apply(&mut version.logging)?;
        }
        Ok(())
    }

    /// Rejects settings that the local cloud does not support, so that no caller relies on them.
    fn refuse_unsupported(&self) -> Result<()> {
        let refuse = |what: &str| {
            Err(ApiError::invalid(format!(
                "The local cloud does not support {what}."
            )))
        };
        let is_set = |value: &Option<Value>| value.as_ref().is_some_and(|value| !is_empty(value));
        if self.layers.as_ref().is_some_and(|layers| !layers.is_empty()) {
            return refuse("layers: put everything the function needs into its zip");
        }
        if is_set(&self.vpc_config) {
            return refuse("functions in a VPC");
        }
        if self
            .file_system_configs
            .as_ref()
            .is_some_and(|all| !all.is_empty())
        {
            return refuse("file systems for functions");
        }
        if is_set(&self.image_config) {
            return refuse("container images: upload a zip");
        }
        if is_set(&self.capacity_provider_config) {
            return refuse("capacity providers");
        }
        if is_set(&self.durable_config) {
            return refuse("durable functions");
        }
        if is_set(&self.tenancy_config) {
            return refuse("tenant isolation");
        }
        let apply_on = self.snap_start.as_ref().and_then(|snap| snap.apply_on.as_deref());
        if apply_on.is_some_and(|apply_on| apply_on != "None") {
            // AWS has the same message for these runtimes.
            return Err(ApiError::invalid(
                "The runtime provided is not supported for SnapStart enabled functions.",
            ));
        }
        Ok(())
    }
}

impl LoggingConfig {
    fn apply(&self, logging: &mut Logging) -> Result<()> {
        if let Some(format) = &self.log_format {
            logging.format = one_of(format, "loggingConfig.logFormat", &["JSON", "Text"])?;
        }
        if logging.format == "Text"
            && (self.application_log_level.is_some() || self.system_log_level.is_some())
        {
            return Err(ApiError::invalid(
                "Log level configuration is only supported for JSON log format.",
            ));
        }
        if logging.format == "Text" {
            (logging.application_level, logging.system_level) = (None, None);
        } else {
            let levels = &["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
            let level = match &self.application_log_level {
                Some(level) => Some(one_of(level, "loggingConfig.applicationLogLevel", levels)?),
                None => logging.application_level.take(),
            };
            logging.application_level = level.or_else(|| Some("INFO".to_owned()));
            let level = match &self.system_log_level {
                Some(level) => Some(one_of(
                    level,
                    "loggingConfig.systemLogLevel",
                    &["DEBUG", "INFO", "WARN"],
                )?),
                None => logging.system_level.take(),
            };
            logging.system_level = level.or_else(|| Some("INFO".to_owned()));
        }
        if let Some(group) = &self.log_group {
            let is_group = (1..=512).contains(&group.len())
                && group
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b".-_/#".contains(&b));
            if !is_group {
                return Err(ApiError::constraint(
                    group,
                    "loggingConfig.logGroup",
                    "Member must satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+",
                ));
            }
            logging.group.clone_from(group);
        }
        Ok(())
    }
}

/// Rejects all runtimes except those for native code.
pub(super) fn check_runtime(runtime: &str) -> Result<()> {
    if RUNTIMES.contains(&runtime) {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "The local cloud runs the runtimes provided.al2023 and provided.al2 only, not {runtime}: functions are \
         native executables named bootstrap."
    )))
}

/// The architecture. AWS allows a list of one.
pub(super) fn architecture(given: Option<&[String]>) -> Result<String> {
    match given {
        None | Some([]) => Ok("x86_64".to_owned()),
        Some([one]) => one_of(one, "architectures", &["x86_64", "arm64"]),
        Some(_) => Err(ApiError::constraint(
            "[x86_64, arm64]",
            "architectures",
            "Member must have length less than or equal to 1",
        )),
    }
}

pub(super) fn check_description(text: &str) -> Result<()> {
    if text.chars().count() <= 256 {
        return Ok(());
    }
    Err(ApiError::constraint(
        text,
        "description",
        "Member must have length less than or equal to 256",
    ))
}

/// Validates the tags of a resource.
/// Source: "Tag requirements", Lambda developer guide.
pub(super) fn check_tags(tags: &BTreeMap<String, String>) -> Result<()> {
    if tags.len() > 50 {
        return Err(ApiError::invalid(
            "Number of tags exceeds function tag limit of 50.",
        ));
    }
    for (key, value) in tags {
        let is_sound = (1..=128).contains(&key.chars().count())
            && value.chars().count() <= 256
            && !key.to_ascii_lowercase().starts_with("aws:");
        if !is_sound {
            return Err(ApiError::invalid(format!(
                "The tag '{key}' is not valid: a key has 1 to 128 characters and does not begin with aws:, a value has \
                 up to 256."
            )));
        }
    }
    Ok(())
}

/// Checks that `value` is in `least..=most`.
pub(super) fn ranged(value: i64, field: &str, least: u32, most: u32) -> Result<u32> {
    if value < i64::from(least) {
        return Err(ApiError::constraint(
            value,
            field,
            &format!("Member must have value greater than or equal to {least}"),
        ));
    }
    u32::try_from(value)
        .ok()
        .filter(|value| *value <= most)
        .ok_or_else(|| {
            ApiError::constraint(
                value,
                field,
                &format!("Member must have value less than or equal to {most}"),
            )
        })
}

fn memory(mb: i64) -> Result<u32> {
    // The model's range is larger than the quota.
    let mb = ranged(mb, "memorySize", 128, 32_768)?;
    if mb > 10_240 {
        return Err(ApiError::invalid(
            "'MemorySize' value failed to satisfy constraint: Member must have value less than or equal to 10240",
        ));
    }
    Ok(mb)
}

fn one_of(value: &str, field: &str, values: &[&str]) -> Result<String> {
    if values.contains(&value) {
        return Ok(value.to_owned());
    }
    Err(ApiError::constraint(
        value,
        field,
        &format!("Member must satisfy enum value set: [{}]", values.join(", ")),
    ))
}

fn check_role(role: &str) -> Result<()> {
    let rest = role
        .strip_prefix("arn:")
        .and_then(|rest| rest.split_once(":iam::"))
        .map(|(_, rest)| rest)
        .and_then(|rest| rest.split_once(":role/"));
    let is_role = rest.is_some_and(|(account, name)| {
        account.len() == 12
            && account.bytes().all(|b| b.is_ascii_digit())
            && !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+=,.@-_/".contains(&b))
    });
    if is_role {
        return Ok(());
    }
    Err(ApiError::constraint(
        role,
        "role",
        "Member must satisfy regular expression pattern: \
         arn:(aws[a-zA-Z-]*)?:iam::\\d{12}:role/?[a-zA-Z_0-9+=,.@\\-_/]+",
    ))
}

fn check_handler(handler: &str) -> Result<()> {
    if !handler.is_empty() && handler.len() <= 128 && !handler.chars().any(char::is_whitespace) {
        return Ok(());
    }
    Err(ApiError::constraint(
        handler,
        "handler",
        "Member must satisfy regular expression pattern: [^\\s]+",
    ))
}

fn check_environment(variables: &BTreeMap<String, String>) -> Result<()> {
    let reserved: Vec<&str> = variables
        .keys()
        .map(String::as_str)
        .filter(|name| lambda_host::RESERVED_VARIABLES.contains(name))
        .collect();
    if !reserved.is_empty() {
        return Err(ApiError::invalid(format!(
            "Lambda was unable to configure your environment variables because the environment variables you have \
             provided contains reserved keys that are currently not supported for modification. Reserved keys used \
             in this request: {}",
            reserved.join(", ")
        )));
    }
    for (name, value) in variables {
        let begins = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
        let rest = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !begins || !rest || name.len() < 2 {
            return Err(ApiError::constraint(
                format!("{{{name}=***}}"),
                "environment.variables",
                "Map keys must satisfy constraint: [Member must satisfy regular expression pattern: \
                 [a-zA-Z]([a-zA-Z0-9_])+]",
            ));
        }
        if value.contains('\0') {
            return Err(ApiError::invalid(format!(
                "The environment variable {name} holds a zero byte."
            )));
        }
    }
    let size: usize = variables
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if size > MAX_ENVIRONMENT {
        let measured = serde_json::to_string(variables).unwrap_or_default();
        return Err(ApiError::invalid(format!(
            "Lambda was unable to configure your environment variables because the environment variables you have \
             provided exceeded the 4KB limit. String measured: {measured}"
        )));
    }
    Ok(())
}

fn check_dead_letter(arn: &str) -> Result<()> {
    if arn.is_empty() || arn.contains(":sqs:") || arn.contains(":sns:") {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "The dead letter target {arn} must be an SQS queue or an SNS topic."
    )))
}

/// Terraform and other clients send unset members as an object of empty lists.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(set) => !set,
        Value::String(text) => text.is_empty(),
        Value::Array(all) => all.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Number(_) => false,
    }
}
