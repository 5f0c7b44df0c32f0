//! The bodies of CreateEventSourceMapping and UpdateEventSourceMapping.

use std::collections::BTreeMap;

use lambda_host::filter::Filters;
use serde::Deserialize;
use serde_json::Value;

use super::Settings;
use crate::mappings::error::ApiError;
use crate::{Caller, partition};

/// A request body. Members that do not apply to Kinesis are declared only to reject them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(in crate::mappings) struct Input {
    pub function_name: Option<String>,
    pub event_source_arn: Option<String>,
    enabled: Option<bool>,
    batch_size: Option<i64>,
    filter_criteria: Option<FilterCriteria>,
    maximum_batching_window_in_seconds: Option<i64>,
    parallelization_factor: Option<i64>,
    starting_position: Option<String>,
    starting_position_timestamp: Option<f64>,
    destination_config: Option<DestinationConfig>,
    maximum_record_age_in_seconds: Option<i64>,
    bisect_batch_on_function_error: Option<bool>,
    maximum_retry_attempts: Option<i64>,
    tumbling_window_in_seconds: Option<i64>,
    function_response_types: Option<Vec<String>>,
    pub tags: Option<BTreeMap<String, String>>,
    #[serde(rename = "KMSKeyArn")]
    kms_key_arn: Option<String>,
    metrics_config: Option<MetricsConfig>,
    topics: Option<Value>,
    queues: Option<Value>,
    scaling_config: Option<Value>,
    self_managed_event_source: Option<Value>,
    provisioned_poller_config: Option<Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct FilterCriteria {
    filters: Option<Vec<Filter>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Filter {
    pattern: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct DestinationConfig {
    on_success: Option<Value>,
    on_failure: Option<Destination>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Destination {
    destination: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct MetricsConfig {
    metrics: Option<Vec<String>>,
}

impl Input {
    /// Reads a request body. A mapping may have `max_filters` filters.
    pub fn parse(body: &[u8], max_filters: usize) -> Result<Self, ApiError> {
        let input: Self = serde_json::from_slice(body)
            .map_err(|error| ApiError::content(format!("Could not parse request body into json: {error}")))?;
        input.check()?;
        input.check_filters(max_filters)?;
        Ok(input)
    }

    /// Checks the constraints of the API's model, and rejects members that do not apply to Kinesis.
    fn check(&self) -> Result<(), ApiError> {
        for (member, value, low, high) in [
            ("batchSize", self.batch_size, 1, 10_000),
            (
                "maximumBatchingWindowInSeconds",
                self.maximum_batching_window_in_seconds,
                0,
                300,
            ),
            ("parallelizationFactor", self.parallelization_factor, 1, 10),
            (
                "maximumRecordAgeInSeconds",
                self.maximum_record_age_in_seconds,
                -1,
                604_800,
            ),
            ("maximumRetryAttempts", self.maximum_retry_attempts, -1, 10_000),
            ("tumblingWindowInSeconds", self.tumbling_window_in_seconds, 0, 900),
        ] {
            in_range(member, value, low, high)?;
        }
        if self
            .maximum_record_age_in_seconds
            .is_some_and(|age| (0..60).contains(&age))
        {
            return Err(ApiError::invalid(
                "MaximumRecordAgeInSeconds must be -1, or at least 60 and at most 604800.",
            ));
        }
        if let Some(bad) = self
            .function_response_types
            .iter()
            .flatten()
            .find(|t| *t != "ReportBatchItemFailures")
        {
            let enumeration = "Member must satisfy enum value set: [ReportBatchItemFailures]";
            return Err(ApiError::constraint("functionResponseTypes", bad, enumeration));
        }
        let metrics = self.metrics().map(Vec::as_slice).unwrap_or_default();
        if let Some(bad) = metrics.iter().find(|metric| *metric != "EventCount") {
            let enumeration = "Member must satisfy enum value set: [EventCount]";
            return Err(ApiError::constraint("metricsConfig.metrics", bad, enumeration));
        }
        let foreign = [
            ("Topics", &self.topics),
            ("Queues", &self.queues),
            ("ScalingConfig", &self.scaling_config),
            ("SelfManagedEventSource", &self.self_managed_event_source),
            ("ProvisionedPollerConfig", &self.provisioned_poller_config),
        ];
        if let Some((name, _)) = foreign.iter().find(|(_, value)| value.is_some()) {
            return Err(ApiError::invalid(format!(
                "Unsupported {name} parameter for given event source mapping type."
            )));
        }
        self.check_destination()
    }

    fn check_destination(&self) -> Result<(), ApiError> {
        let Some(config) = &self.destination_config else {
            return Ok(());
        };
        if config.on_success.is_some() {
            return Err(ApiError::invalid(
                "Unsupported DestinationConfig parameter for given event source mapping type.",
            ));
        }
        let arn = config
            .on_failure
            .as_ref()
            .and_then(|to| to.destination.as_deref())
            .unwrap_or_default();
        let mut parts = arn.splitn(6, ':');
        let (prefix, service, name) = (parts.next(), parts.nth(1), parts.nth(2));
        let takes = prefix == Some("arn")
            && matches!(service, Some("sqs" | "sns" | "s3"))
            && name.is_some_and(|name| !name.is_empty());
        if arn.is_empty() || takes {
            return Ok(());
        }
        Err(ApiError::invalid(format!(
            "The destination ARN {arn} is invalid."
        )))
    }

    fn check_filters(&self, max_filters: usize) -> Result<(), ApiError> {
        let Some(patterns) = self.filters() else {
            return Ok(());
        };
        if patterns.len() > max_filters {
            return Err(ApiError::invalid(format!(
                "The number of filters exceeds the maximum of {max_filters}."
            )));
        }
        Filters::compile(&patterns).map(|_| ()).map_err(ApiError::invalid)
    }

    /// The patterns. `None` if the request has no filters.
    fn filters(&self) -> Option<Vec<String>> {
        let criteria = self.filter_criteria.as_ref()?;
        let filters = criteria.filters.iter().flatten();
        Some(
            filters
                .map(|filter| filter.pattern.clone().unwrap_or_default())
                .collect(),
        )
    }

    fn metrics(&self) -> Option<&Vec<String>> {
        self.metrics_config.as_ref()?.metrics.as_ref()
    }

    /// The settings of a new mapping, with AWS's defaults. Does not check that function and stream exist.
    pub fn create(&self, caller: &Caller, uuid: String, now_ms: i64) -> Result<Settings, ApiError> {
        let Some(event_source_arn) = self.event_source_arn.clone().filter(|arn| !arn.is_empty()) else {
            return Err(ApiError::invalid("Unrecognized event source."));
        };
        if event_source_arn.split(':').nth(2) != Some("kinesis") {
            return Err(ApiError::invalid(
                "Unrecognized event source: the local cloud reads Kinesis data streams only.",
            ));
        }
        let (starting_position, starting_timestamp_ms) = self.starting_position(now_ms)?;
        let function_arn = self
            .function(caller)?
            .ok_or_else(|| ApiError::constraint("functionName", "null", "Member must not be null"))?;
        let mut settings = Settings {
            uuid,
            account: caller.account.clone(),
            region: caller.region.clone(),
            function_arn,
            event_source_arn,
            starting_position,
            starting_timestamp_ms,
            enabled: true,
            batch_size: 100,
            window_seconds: 0,
            parallelization: 1,
            retries: -1,
            max_age_seconds: -1,
            bisect: false,
            tumbling_seconds: 0,
            report_failures: false,
            on_failure: None,
            filters: Vec::new(),
            metrics: Vec::new(),
            kms_key: None,
            tags: self.tags.clone().unwrap_or_default(),
            last_modified_ms: now_ms,
        };
        self.apply(&mut settings)?;
        Ok(settings)
    }

    /// The starting position, and its timestamp in milliseconds for AT_TIMESTAMP.
    fn starting_position(&self, now_ms: i64) -> Result<(String, Option<i64>), ApiError> {
        let starting_position = self.starting_position.clone().ok_or_else(|| {
            ApiError::invalid(
                "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: Member \
                 must not be null.",
            )
        })?;
        if !["LATEST", "AT_TIMESTAMP", "TRIM_HORIZON"].contains(&starting_position.as_str()) {
            let enumeration = "Member must satisfy enum value set: [LATEST, AT_TIMESTAMP, TRIM_HORIZON]";
            return Err(ApiError::constraint(
                "startingPosition",
                starting_position,
                enumeration,
            ));
        }
        let timestamp_ms = self
            .starting_position_timestamp
            .map(|s| (s * 1000.0).round() as i64);
        match (starting_position.as_str(), timestamp_ms) {
            ("AT_TIMESTAMP", None) => {
                return Err(ApiError::invalid(
                    "StartingPositionTimestamp is required with StartingPosition AT_TIMESTAMP.",
                ));
            }
            ("AT_TIMESTAMP", Some(at)) if at > now_ms => {
                return Err(ApiError::invalid(
                    "StartingPositionTimestamp cannot be in the future.",
                ));
            }
            ("LATEST" | "TRIM_HORIZON", Some(_)) => {
                return Err(ApiError::invalid(
                    "StartingPositionTimestamp is only valid with StartingPosition AT_TIMESTAMP.",
                ));
            }
            _ => {}
        }
        Ok((starting_position, timestamp_ms))
    }

    /// `settings` with the changes of this request.
    pub fn update(&self, caller: &Caller, settings: &Settings, now_ms: i64) -> Result<Settings, ApiError> {
        let mut settings = settings.clone();
        if let Some(arn) = self.function(caller)? {
            settings.function_arn = arn;
        }
        settings.last_modified_ms = now_ms;
        self.apply(&mut settings)?;
        Ok(settings)
    }

    /// The ARN of the function.
    fn function(&self, caller: &Caller) -> Result<Option<String>, ApiError> {
        let Some(name) = self.function_name.as_deref() else {
            return Ok(None);
        };
        function_arn(caller, name)
            .map(Some)
            .ok_or_else(|| ApiError::constraint("functionName", name, "Member must satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}(-gov)?-[a-z]+-\\d{1}:)?(\\d{12}:)?(function:)?([a-zA-Z0-9-_\\.]+)(:(\\$LATEST|[a-zA-Z0-9-_]+))?"))
    }

    /// Applies the members common to create and update. Their ranges are already checked.
    ///
    /// # Errors
    /// The resulting settings exclude each other.
    fn apply(&self, settings: &mut Settings) -> Result<(), ApiError> {
        let small = |value: i64| u32::try_from(value).unwrap_or_default();
        let large = |value: i64| usize::try_from(value).unwrap_or(1);
        set(&mut settings.enabled, self.enabled);
        set(&mut settings.batch_size, self.batch_size.map(large));
        set(
            &mut settings.window_seconds,
            self.maximum_batching_window_in_seconds.map(small),
        );
        set(
            &mut settings.parallelization,
            self.parallelization_factor.map(large),
        );
        set(&mut settings.retries, self.maximum_retry_attempts);
        set(&mut settings.max_age_seconds, self.maximum_record_age_in_seconds);
        set(&mut settings.bisect, self.bisect_batch_on_function_error);
        set(
            &mut settings.tumbling_seconds,
            self.tumbling_window_in_seconds.map(small),
        );
        set(
            &mut settings.report_failures,
            self.function_response_types.as_ref().map(|t| !t.is_empty()),
        );
        set(&mut settings.filters, self.filters());
        if let Some(config) = &self.destination_config {
            let arn = config.on_failure.as_ref().and_then(|to| to.destination.clone());
            settings.on_failure = arn.filter(|arn| !arn.is_empty());
        }
        if self.metrics_config.is_some() {
            settings.metrics = self.metrics().cloned().unwrap_or_default();
        }
        if let Some(key) = &self.kms_key_arn {
            settings.kms_key = Some(key.clone()).filter(|key| !key.is_empty());
        }
        // The state of a window passes from batch to batch, so a shard has one batch at a time.
        // Source: "Implementing stateful Kinesis Data Streams processing in Lambda", AWS Lambda developer guide.
        if settings.tumbling_seconds > 0 && settings.parallelization > 1 {
            return Err(ApiError::invalid(
                "ParallelizationFactor must be 1 if TumblingWindowInSeconds is greater than 0.",
            ));
        }
        Ok(())
    }
}

fn set<T>(to: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *to = value;
    }
}

/// Rejects values outside `low..=high`.
pub(in crate::mappings) fn in_range(
    member: &str,
    value: Option<i64>,
    low: i64,
    high: i64,
) -> Result<(), ApiError> {
    match value {
        Some(value) if value < low => {
            let text = format!("Member must have value greater than or equal to {low}");
            Err(ApiError::constraint(member, value, &text))
        }
        Some(value) if value > high => {
            let text = format!("Member must have value less than or equal to {high}");
            Err(ApiError::constraint(member, value, &text))
        }
        _ => Ok(()),
    }
}

/// The ARN for a function's name: a name, a partial ARN (`account:function:name`) or an ARN, each with an optional
/// version or alias. `None` if `name` is none of these.
/// Source: `FunctionName`, CreateEventSourceMapping, Lambda API reference.
pub(in crate::mappings) fn function_arn(caller: &Caller, name: &str) -> Option<String> {
    let parts: Vec<&str> = name.split(':').collect();
    let (region, account, rest): (&str, &str, &[&str]) = match parts.as_slice() {
        ["arn", _, "lambda", region, account, "function", rest @ ..] => (region, account, rest),
        [account, "function", rest @ ..] if account.len() == 12 => (&caller.region, account, rest),
        ["function", rest @ ..] | rest => (&caller.region, &caller.account, rest),
    };
    let word = |text: &str, extra: &str| {
        !text.is_empty()
            && text.len() <= 140
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
    };
    let (name, qualifier) = match rest {
        [name] => (*name, None),
        [name, qualifier] => (*name, Some(*qualifier)),
        _ => return None,
    };
    let fits = word(name, "-_") && qualifier.is_none_or(|q| q == "$LATEST" || word(q, "-_"));
    fits.then(|| {
        let arn = format!(
            "arn:{}:lambda:{region}:{account}:function:{name}",
            partition(region)
        );
        qualifier.map_or(arn.clone(), |qualifier| format!("{arn}:{qualifier}"))
    })
}
