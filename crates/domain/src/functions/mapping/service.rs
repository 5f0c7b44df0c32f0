//! Finds, creates, changes and deletes event source mappings, and waits for each change to complete.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use aws_sdk_lambda::types::{
    DestinationConfig, EventSourcePosition, Filter, FilterCriteria, FunctionResponseType, OnFailure,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::DateTime;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use tokio::time::Instant;

use super::{Mapping, Settings, StartingPosition, function_name, sdk_tags};
use crate::context::Context;
use ground::backoff::{self, Backoff, Look};
use ground::error::aws::Class;
use ground::error::{self, Error, Result};

/// How long to wait for a final state. AWS needs seconds, sometimes one or two minutes.
const SETTLES_WITHIN: Duration = Duration::from_secs(300);
/// How long a new permission of a role may not be effective yet.
/// Source: "Changes that I make are not always immediately visible", IAM user guide.
const ROLE_LAG: Duration = Duration::from_secs(40);
/// How long calls are made again while service or network fail.
const OUTAGE: Duration = Duration::from_secs(60);
/// How long a new mapping may not be visible yet.
const CREATION_LAG: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
const SETTLING: Backoff = Backoff::new(Duration::from_millis(50), LONGEST_PAUSE).factor(1.5);
const RETRYING: Backoff = Backoff::new(Duration::from_millis(200), LONGEST_PAUSE);

/// Progress of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A call is about to be made.
    Doing(&'static str),
    /// The mapping is in this transitional state.
    Waiting(String),
    /// The call is retried after this failure.
    Retrying(String),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Doing(what) => f.write_str(what),
            Self::Waiting(state) => write!(f, "is {state}"),
            Self::Retrying(reason) => write!(f, "{reason}; trying again"),
        }
    }
}

/// Receives events; `false` ends the wait.
pub type Events<'a> = &'a (dyn Fn(Event) -> bool + Send + Sync);

/// Lists the mappings of `function`, of the stream `stream_arn`, or of both. Only Kinesis event sources are included. A
/// function that does not exist has no mappings.
///
/// # Errors
/// When the call fails.
pub async fn list(
    context: &Context,
    function: Option<&str>,
    stream_arn: Option<&str>,
) -> Result<Vec<Mapping>> {
    let mut pages = context
        .lambda()
        .list_event_source_mappings()
        .set_function_name(function.map(str::to_owned))
        .set_event_source_arn(stream_arn.map(str::to_owned))
        .into_paginator()
        .send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        match page {
            Ok(page) => found.extend(page.event_source_mappings.unwrap_or_default()),
            Err(error) if error::aws::is_not_found(&error) => break,
            Err(error) => {
                return Err(error::aws::failed(
                    "could not list the event source mappings",
                    error,
                ));
            }
        }
    }
    let mut found: Vec<Mapping> = found
        .into_iter()
        .map(Mapping::of)
        .filter(|mapping| mapping.stream_arn.contains(":kinesis:"))
        // Some endpoints ignore the filter.
        .filter(|mapping| function.is_none_or(|name| mapping.function() == function_name(name)))
        .filter(|mapping| stream_arn.is_none_or(|arn| mapping.stream_arn == arn))
        .collect();
    found.sort_by(|one, other| {
        let key = |mapping: &Mapping| (mapping.function().to_owned(), mapping.stream_arn.clone());
        key(one).cmp(&key(other))
    });
    Ok(found)
}

/// Finds the mapping of `function` on the stream `stream_arn`. One that is being deleted is returned only if it is the
/// only one.
///
/// # Errors
/// When the call fails.
pub async fn find(context: &Context, function: &str, stream_arn: &str) -> Result<Option<Mapping>> {
    let found = list(context, Some(function), Some(stream_arn)).await?;
    Ok(found.into_iter().min_by_key(Mapping::is_going))
}

/// Creates and changes mappings, and waits until each change is complete.
pub struct Mapper<'a> {
    context: &'a Context,
    events: Events<'a>,
}

impl<'a> Mapper<'a> {
    pub fn new(context: &'a Context, events: Events<'a>) -> Self {
        Self { context, events }
    }

    /// Creates the mapping and waits until its state is final. If it exists already, returns it.
    ///
    /// # Errors
    /// If AWS rejects it. Missing permissions of the role are retried until they should be effective.
    pub async fn create(
        &self,
        function: &str,
        stream_arn: &str,
        settings: &Settings,
        tags: &BTreeMap<String, String>,
    ) -> Result<Mapping> {
        self.tell(Event::Doing("attaching"))?;
        let start = settings.starting_position.unwrap_or(StartingPosition::Latest);
        let (position, time) = match start {
            StartingPosition::Latest => (EventSourcePosition::Latest, None),
            StartingPosition::TrimHorizon => (EventSourcePosition::TrimHorizon, None),
            StartingPosition::At(ms) => (EventSourcePosition::AtTimestamp, Some(DateTime::from_millis(ms))),
        };
        let call = self
            .context
            .lambda()
            .create_event_source_mapping()
            .function_name(function)
            .event_source_arn(stream_arn)
            .starting_position(position)
            .set_starting_position_timestamp(time)
            .set_batch_size(narrow(settings.batch_size))
            .set_maximum_batching_window_in_seconds(narrow(settings.window_seconds))
            .set_parallelization_factor(narrow(settings.parallelization))
            .set_maximum_retry_attempts(narrow(settings.retries))
            .set_maximum_record_age_in_seconds(narrow(settings.max_record_age_seconds))
            .set_bisect_batch_on_function_error(settings.bisect)
            .set_function_response_types(response_types(settings))
            .set_tumbling_window_in_seconds(narrow(settings.tumbling_window_seconds))
            .set_destination_config(
                settings
                    .on_failure
                    .as_deref()
                    .filter(|arn| !arn.is_empty())
                    .map(destination),
            )
            .set_filter_criteria(
                settings
                    .filters
                    .as_deref()
                    .filter(|list| !list.is_empty())
                    .map(criteria),
            )
            .set_enabled(settings.enabled)
            .set_tags(Some(sdk_tags(tags)).filter(|tags| !tags.is_empty()));
        let made = match self.retried(|| call.clone().send()).await {
            Ok(made) => made.uuid.unwrap_or_default(),
            Err(error) if error.code() == Some("ResourceConflictException") => {
                match find(self.context, function, stream_arn).await? {
                    Some(there) => there.id,
                    None => return Err(refused(function, error)),
                }
            }
            Err(error) => return Err(refused(function, error)),
        };
        self.settled(&made).await
    }

    /// Changes the given settings and waits until the state is final.
    ///
    /// # Errors
    /// If AWS rejects it.
    pub async fn update(&self, id: &str, settings: &Settings) -> Result<Mapping> {
        self.tell(Event::Doing("changing"))?;
        let call = self
            .context
            .lambda()
            .update_event_source_mapping()
            .uuid(id)
            .set_batch_size(narrow(settings.batch_size))
            .set_maximum_batching_window_in_seconds(narrow(settings.window_seconds))
            .set_parallelization_factor(narrow(settings.parallelization))
            .set_maximum_retry_attempts(narrow(settings.retries))
            .set_maximum_record_age_in_seconds(narrow(settings.max_record_age_seconds))
            .set_bisect_batch_on_function_error(settings.bisect)
            .set_function_response_types(response_types(settings))
            .set_tumbling_window_in_seconds(narrow(settings.tumbling_window_seconds))
            // An empty destination, or an empty list of filters, removes the existing one.
            .set_destination_config(settings.on_failure.as_deref().map(destination))
            .set_filter_criteria(settings.filters.as_deref().map(criteria))
            .set_enabled(settings.enabled);
        self.retried(|| call.clone().send())
            .await
            .map_err(|error| refused("the function", error))?;
        self.settled(id).await
    }

    /// Deletes the mapping and waits until it no longer exists.
    ///
    /// # Errors
    /// If AWS rejects it, or the mapping still exists after the time limit.
    pub async fn delete(&self, id: &str) -> Result<()> {
        self.tell(Event::Doing("detaching"))?;
        let call = self.context.lambda().delete_event_source_mapping().uuid(id);
        match self.retried(|| call.clone().send()).await {
            Ok(_) => {}
            Err(error) if error::aws::is_not_found(&error) => return Ok(()),
            Err(error) => {
                return Err(error::aws::failed(
                    "could not delete the event source mapping",
                    error,
                ));
            }
        }
        let judge = |found: Option<Mapping>| {
            Ok(match found {
                None => Look::Done(()),
                there => Look::NotYet(there),
            })
        };
        self.wait(id, judge).await
    }

    /// Waits until the state of the mapping is final.
    ///
    /// # Errors
    /// If the mapping does not exist, or its state is not final after the time limit.
    pub async fn settled(&self, id: &str) -> Result<Mapping> {
        let started = Instant::now();
        let judge = |found: Option<Mapping>| match found {
            Some(mapping) if mapping.is_settled() => Ok(Look::Done(mapping)),
            None if started.elapsed() >= CREATION_LAG => {
                Err(Error::failed("the event source mapping is gone"))
            }
            found => Ok(Look::NotYet(found)),
        };
        self.wait(id, judge).await
    }

    /// Polls the mapping until `judge` returns a result.
    async fn wait<T>(
        &self,
        id: &str,
        judge: impl Fn(Option<Mapping>) -> Result<Look<T, Option<Mapping>>>,
    ) -> Result<T> {
        let look = || async { judge(self.get(id).await?) };
        let state = |found: &Option<Mapping>| {
            let state = found.as_ref().map(|mapping| mapping.state.clone());
            state.unwrap_or_else(|| "unknown".to_owned())
        };
        let tell = |found: &Option<Mapping>, _: Duration| self.tell(Event::Waiting(state(found)));
        let deadline = Instant::now() + SETTLES_WITHIN;
        match backoff::wait_until(SETTLING, deadline, look, tell).await? {
            Look::Done(value) => Ok(value),
            Look::NotYet(found) => Err(Error::failed(format!(
                "the event source mapping {id} is still {}",
                state(&found)
            ))
            .hint("`streamctl mappings` shows its state; run the same command again later")),
        }
    }

    /// Reads its tags. On endpoints without tags for mappings, reads those of its function: they have the same owner.
    ///
    /// # Errors
    /// If neither can be read.
    pub async fn tags(&self, mapping: &Mapping) -> Result<BTreeMap<String, String>> {
        let list = |arn: &str| self.context.lambda().list_tags().resource(arn).send();
        let answer = if mapping.arn.is_empty() {
            list(&mapping.function_arn).await
        } else {
            match list(&mapping.arn).await {
                Err(error) if is_unsupported(&error) => list(&mapping.function_arn).await,
                answer => answer,
            }
        };
        match answer {
            Ok(answer) => Ok(answer.tags.unwrap_or_default().into_iter().collect()),
            Err(error) if error::aws::is_not_found(&error) => Ok(BTreeMap::new()),
            Err(error) => Err(error::aws::failed(
                "could not read the tags of the mapping",
                error,
            )),
        }
    }

    /// Sets and removes tags.
    ///
    /// # Errors
    /// If AWS rejects it.
    pub async fn change_tags(
        &self,
        mapping: &Mapping,
        set: &BTreeMap<String, String>,
        remove: &BTreeSet<String>,
    ) -> Result<()> {
        if mapping.arn.is_empty() {
            return Ok(());
        }
        let what = "could not tag the event source mapping";
        if !set.is_empty() {
            let call = self.context.lambda().tag_resource().resource(&mapping.arn);
            let call = call.set_tags(Some(sdk_tags(set))).send();
            match call.await {
                Ok(_) => {}
                // The tags of the function are used instead.
                Err(error) if is_unsupported(&error) => return Ok(()),
                Err(error) => return Err(error::aws::failed(what, error)),
            }
        }
        if !remove.is_empty() {
            let call = self.context.lambda().untag_resource().resource(&mapping.arn);
            let call = call.set_tag_keys(Some(remove.iter().cloned().collect())).send();
            call.await.map_err(|error| error::aws::failed(what, error))?;
        }
        Ok(())
    }

    async fn get(&self, id: &str) -> Result<Option<Mapping>> {
        let call = self.context.lambda().get_event_source_mapping().uuid(id);
        match call.send().await {
            Ok(found) => Ok(Some(Mapping::of(configuration(found)))),
            Err(error) if error::aws::is_not_found(&error) => Ok(None),
            Err(error) => Err(error::aws::failed(
                "could not read the event source mapping",
                error,
            )),
        }
    }

    /// Retries a call while its error is temporary.
    async fn retried<T, E, Sending>(
        &self,
        send: impl FnMut() -> Sending,
    ) -> Result<T, SdkError<E, HttpResponse>>
    where
        E: ProvideErrorMetadata,
        Sending: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let started = Instant::now();
        let until = |error: &SdkError<E, HttpResponse>| Some(started + retry_limit(error));
        let tell = |error: &SdkError<E, HttpResponse>, _: Duration| {
            (self.events)(Event::Retrying(error::aws::reason(error)))
        };
        backoff::retry(RETRYING, send, until, tell).await
    }

    fn tell(&self, event: Event) -> Result<()> {
        if (self.events)(event) {
            return Ok(());
        }
        Err(Error::new(ground::exit::Exit::Interrupted, "stopped")
            .hint("run the same command again to continue"))
    }
}

/// How long an error is retried: for a mapping that another client is changing, and for a role with new permissions.
/// Source: "Errors" of CreateEventSourceMapping and UpdateEventSourceMapping, Lambda API reference.
fn retry_limit<E: ProvideErrorMetadata>(failure: &SdkError<E, HttpResponse>) -> Duration {
    match error::aws::class(failure) {
        Class::Conflict | Class::Throttle => SETTLES_WITHIN,
        class if class.is_outage() => OUTAGE,
        _ if is_about_the_role(failure) => ROLE_LAG,
        _ => Duration::ZERO,
    }
}

/// Lambda checks what a role permits, and has one code for all parameters. Only the message tells.
fn is_about_the_role<E: ProvideErrorMetadata>(failure: &SdkError<E, HttpResponse>) -> bool {
    let message = failure.message().unwrap_or_default().to_ascii_lowercase();
    failure.code() == Some("InvalidParameterValueException")
        && ["role", "permission", "not authorized", "ensure the"]
            .iter()
            .any(|word| message.contains(word))
}

fn refused<E>(function: &str, error: SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let message = error.message().unwrap_or_default();
    let role = is_about_the_role(&error);
    // CreateEventSourceMapping uses either code.
    let missing = error::aws::is_not_found(&error)
        || message.starts_with("Function does not exist")
        || message.starts_with("Stream not found");
    let failed = error::aws::failed(format!("could not attach {function}"), error);
    match () {
        () if missing => failed.hint("`streamctl deploy HANDLER` creates the function, `streamctl list` shows the streams"),
        () if role => failed.hint(
            "the function's role needs kinesis:GetRecords, GetShardIterator, DescribeStream, DescribeStreamSummary, \
             ListShards on the stream, ListStreams on *, and permission to write to the on-failure destination",
        ),
        () => failed,
    }
}

/// Whether the endpoint does not support tags for mappings.
fn is_unsupported<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    matches!(
        error.code(),
        None | Some(
            "ResourceNotFoundException"
                | "InvalidParameterValueException"
                | "UnknownOperationException"
                | "NotImplemented"
                | "ValidationException"
        )
    ) && error.as_service_error().is_some()
}

fn response_types(settings: &Settings) -> Option<Vec<FunctionResponseType>> {
    settings.partial_failures.map(|on| match on {
        true => vec![FunctionResponseType::ReportBatchItemFailures],
        false => Vec::new(),
    })
}

fn destination(arn: &str) -> DestinationConfig {
    let on_failure = match arn {
        "" => OnFailure::builder().build(),
        arn => OnFailure::builder().destination(arn).build(),
    };
    DestinationConfig::builder().on_failure(on_failure).build()
}

fn criteria(patterns: &[String]) -> FilterCriteria {
    let filters = patterns
        .iter()
        .map(|pattern| Filter::builder().pattern(pattern).build());
    FilterCriteria::builder()
        .set_filters(Some(filters.collect()))
        .build()
}

/// A value that does not fit becomes an invalid one. [`Settings::check`] has run before.
fn narrow(value: Option<i64>) -> Option<i32> {
    value.and_then(|value| i32::try_from(value).ok())
}

/// GetEventSourceMapping returns the same fields as a list entry, in its own type.
fn configuration(
    found: aws_sdk_lambda::operation::get_event_source_mapping::GetEventSourceMappingOutput,
) -> aws_sdk_lambda::types::EventSourceMappingConfiguration {
    aws_sdk_lambda::types::EventSourceMappingConfiguration::builder()
        .set_uuid(found.uuid)
        .set_starting_position(found.starting_position)
        .set_starting_position_timestamp(found.starting_position_timestamp)
        .set_batch_size(found.batch_size)
        .set_maximum_batching_window_in_seconds(found.maximum_batching_window_in_seconds)
        .set_parallelization_factor(found.parallelization_factor)
        .set_event_source_arn(found.event_source_arn)
        .set_filter_criteria(found.filter_criteria)
        .set_function_arn(found.function_arn)
        .set_last_processing_result(found.last_processing_result)
        .set_last_modified(found.last_modified)
        .set_state(found.state)
        .set_state_transition_reason(found.state_transition_reason)
        .set_destination_config(found.destination_config)
        .set_maximum_record_age_in_seconds(found.maximum_record_age_in_seconds)
        .set_bisect_batch_on_function_error(found.bisect_batch_on_function_error)
        .set_maximum_retry_attempts(found.maximum_retry_attempts)
        .set_tumbling_window_in_seconds(found.tumbling_window_in_seconds)
        .set_function_response_types(found.function_response_types)
        .set_event_source_mapping_arn(found.event_source_mapping_arn)
        .build()
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::error::ErrorMetadata;

    use super::*;

    #[test]
    fn only_what_passes_is_tried_again() {
        let limit = |code: &str, message: &str| {
            let meta = ErrorMetadata::builder().code(code).message(message).build();
            let status = StatusCode::try_from(400).unwrap();
            retry_limit(&SdkError::service_error(
                meta,
                HttpResponse::new(status, SdkBody::empty()),
            ))
        };
        let role = "Cannot access stream arn:aws:kinesis:us-east-1:1:stream/a. Please ensure the role can perform \
                    the GetRecords, GetShardIterator, DescribeStream, ListShards, and ListStreams Actions";
        assert_eq!(limit("InvalidParameterValueException", role), ROLE_LAG);
        let assume = "The role defined for the function cannot be assumed by Lambda.";
        assert_eq!(limit("InvalidParameterValueException", assume), ROLE_LAG);
        let other = "Batch size must be at most 10000";
        assert_eq!(limit("InvalidParameterValueException", other), Duration::ZERO);
        assert_eq!(limit("ResourceInUseException", ""), SETTLES_WITHIN);
        assert_eq!(limit("ServiceException", ""), OUTAGE);
        assert_eq!(limit("ResourceNotFoundException", role), Duration::ZERO);
    }
}
