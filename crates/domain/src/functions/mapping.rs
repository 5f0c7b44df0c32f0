//! Event source mappings: their settings ([`Settings`]), their observed state ([`Mapping`]), and changes ([`Mapper`]).
//!
//! Source for settings, defaults and ranges: CreateEventSourceMapping, Lambda API reference, and "Lambda parameters for
//! Amazon Kinesis Data Streams event source mappings", Lambda developer guide.

mod destination;
mod lag;
mod service;
mod settings;

use std::collections::BTreeMap;

use aws_sdk_lambda::types::{
    EventSourceMappingConfiguration, EventSourceMappingMetric, EventSourcePosition, FunctionResponseType,
};
use serde::{Deserialize, Serialize};

pub use destination::check as check_destination;
pub use lag::iterator_ages;
pub use service::{Event, Events, Mapper, find, list};
pub use settings::{Difference, Settings, StartingPosition};

/// A mapping as Lambda describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// The UUID.
    pub id: String,
    /// Empty if the endpoint returns none.
    pub arn: String,
    /// May include a version or alias.
    pub function_arn: String,
    pub stream_arn: String,
    /// `Enabled`, `Disabled`, or a transitional state such as `Enabling`.
    pub state: String,
    pub state_reason: String,
    /// Result of the last invocation: `OK`, `No records processed` or `PROBLEM: …`.
    pub last_result: String,
    pub settings: Settings,
    /// Whether it has metrics of its records: `EventCount` of `MetricsConfig`.
    #[serde(skip)]
    pub counts_events: bool,
    /// When it was last changed, in seconds since the epoch.
    #[serde(skip)]
    pub changed_seconds: Option<i64>,
}

impl Mapping {
    /// Name of the function, without version or alias.
    pub fn function(&self) -> &str {
        function_name(&self.function_arn)
    }

    /// Name of the stream or other event source.
    pub fn stream(&self) -> &str {
        resource_name(&self.stream_arn)
    }

    /// Whether the state is final.
    pub fn is_settled(&self) -> bool {
        matches!(self.state.as_str(), "Enabled" | "Disabled")
    }

    pub fn is_going(&self) -> bool {
        self.state == "Deleting"
    }

    /// Whether the last invocation failed.
    pub fn has_problem(&self) -> bool {
        self.last_result.starts_with("PROBLEM")
    }

    fn of(found: EventSourceMappingConfiguration) -> Self {
        let flag = |set: Option<bool>| Some(set.unwrap_or(false));
        let number = |set: Option<i32>, default: i64| Some(set.map_or(default, i64::from));
        let state = found.state.unwrap_or_default();
        let destination = found
            .destination_config
            .and_then(|config| config.on_failure)
            .and_then(|on_failure| on_failure.destination);
        let filters = found
            .filter_criteria
            .and_then(|criteria| criteria.filters)
            .unwrap_or_default();
        let counts_events = found
            .metrics_config
            .is_some_and(|config| config.metrics().contains(&EventSourceMappingMetric::EventCount));
        let partial = found
            .function_response_types
            .is_some_and(|types| types.contains(&FunctionResponseType::ReportBatchItemFailures));
        Self {
            settings: Settings {
                batch_size: number(found.batch_size, 100),
                window_seconds: number(found.maximum_batching_window_in_seconds, 0),
                parallelization: number(found.parallelization_factor, 1),
                retries: number(found.maximum_retry_attempts, -1),
                max_record_age_seconds: number(found.maximum_record_age_in_seconds, -1),
                bisect: flag(found.bisect_batch_on_function_error),
                partial_failures: Some(partial),
                tumbling_window_seconds: number(found.tumbling_window_in_seconds, 0),
                on_failure: Some(destination.unwrap_or_default()),
                filters: Some(filters.into_iter().filter_map(|filter| filter.pattern).collect()),
                enabled: Some(!matches!(state.as_str(), "Disabled" | "Disabling")),
                starting_position: found.starting_position.and_then(|position| {
                    Some(match position {
                        EventSourcePosition::Latest => StartingPosition::Latest,
                        EventSourcePosition::TrimHorizon => StartingPosition::TrimHorizon,
                        EventSourcePosition::AtTimestamp => {
                            StartingPosition::At(found.starting_position_timestamp?.to_millis().ok()?)
                        }
                        _ => return None,
                    })
                }),
            },
            id: found.uuid.unwrap_or_default(),
            arn: found.event_source_mapping_arn.unwrap_or_default(),
            function_arn: found.function_arn.unwrap_or_default(),
            stream_arn: found.event_source_arn.unwrap_or_default(),
            state,
            state_reason: found.state_transition_reason.unwrap_or_default(),
            last_result: found.last_processing_result.unwrap_or_default(),
            counts_events,
            changed_seconds: found.last_modified.map(|time| time.secs()),
        }
    }
}

/// Tags in the type that the SDK needs.
fn sdk_tags(tags: &BTreeMap<String, String>) -> std::collections::HashMap<String, String> {
    tags.iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// The function name in an ARN, partial ARN or name, without version or alias.
pub fn function_name(function: &str) -> &str {
    let rest = function
        .split_once("function:")
        .map_or(function, |(_, rest)| rest);
    rest.split(':').next().unwrap_or(rest)
}

/// Last part of an ARN: `orders` for `arn:aws:kinesis:…:stream/orders`. For a stream consumer, the stream.
pub fn resource_name(arn: &str) -> &str {
    let resource = arn.splitn(6, ':').nth(5).unwrap_or(arn);
    match resource.strip_prefix("stream/") {
        Some(rest) => rest.split('/').next().unwrap_or(rest),
        None => resource,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_from_arns() {
        let arn = "arn:aws:lambda:us-east-1:000000000000:function:orders";
        let aliased = format!("{arn}:live");
        assert_eq!(
            [arn, &aliased, "orders", "orders:live", "1:function:orders"].map(function_name),
            ["orders"; 5]
        );
        let stream = "arn:aws:kinesis:us-east-1:000000000000:stream/clicks";
        let consumer = format!("{stream}/consumer/app:1");
        assert_eq!([stream, &consumer].map(resource_name), ["clicks"; 2]);
        assert_eq!(
            resource_name("arn:aws:sqs:us-east-1:000000000000:failed"),
            "failed"
        );
    }

    #[test]
    fn what_the_service_leaves_out_has_its_default() {
        let found = EventSourceMappingConfiguration::builder()
            .uuid("1")
            .state("Disabling")
            .starting_position(EventSourcePosition::TrimHorizon)
            .build();
        let mapping = Mapping::of(found);
        let settings = &mapping.settings;
        assert_eq!((settings.batch_size, settings.retries), (Some(100), Some(-1)));
        assert_eq!(settings.enabled, Some(false));
        assert_eq!(settings.starting_position, Some(StartingPosition::TrimHorizon));
        assert!(!mapping.is_settled());
    }
}
