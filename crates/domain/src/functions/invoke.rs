//! One invocation of a deployed function.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_lambda::config::retry::RetryConfig;
use aws_sdk_lambda::config::timeout::TimeoutConfig;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{InvocationType, LogType};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use bytes::Bytes;

use super::answer::FunctionError;
use super::event::{MAX_ASYNC_PAYLOAD, MAX_PAYLOAD};
use crate::context::Context;
use ground::error::{self, Error, Result};

/// The longest timeout of a function, 15 minutes, and some time for the call. Source: "Lambda quotas", Lambda developer
/// guide.
const CALL_TIMEOUT: Duration = Duration::from_secs(15 * 60 + 5);

/// Parameters of an invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Name or ARN, optionally with a version or alias.
    pub function: String,
    /// The event, as JSON.
    pub payload: Bytes,
    /// Whether to queue the event and not to wait for the function.
    pub asynchronous: bool,
    /// Whether to return the last 4 KiB of the log.
    pub log: bool,
}

/// Result of an invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoked {
    /// HTTP status: 200, or 202 for a queued event.
    pub status: i32,
    /// The function's response or its error object; empty for a queued event.
    pub payload: Bytes,
    /// The end of the log.
    pub log: Option<String>,
    /// The version that ran.
    pub version: Option<String>,
    /// The function's error, if it failed.
    pub error: Option<FunctionError>,
}

/// Invokes a function once. The call is not retried, since the function may have run before the response was lost.
///
/// # Errors
/// Exit 2 for a payload that is too large, else when Lambda refuses the call. The function's own error is in [`Invoked`].
pub async fn invoke(context: &Context, request: &Request) -> Result<Invoked> {
    let limit = if request.asynchronous {
        MAX_ASYNC_PAYLOAD
    } else {
        MAX_PAYLOAD
    };
    if request.payload.len() > limit {
        return Err(Error::usage(format!(
            "the payload has {} bytes, and {limit} are allowed",
            request.payload.len()
        ))
        .hint("give fewer records"));
    }
    let override_timeouts = aws_sdk_lambda::config::Builder::new()
        .retry_config(RetryConfig::disabled())
        .timeout_config(
            TimeoutConfig::builder()
                .operation_attempt_timeout(context.time_limit(CALL_TIMEOUT))
                .operation_timeout(context.time_limit(CALL_TIMEOUT))
                .build(),
        );
    let call = context
        .lambda()
        .invoke()
        .function_name(&request.function)
        .payload(Blob::new(request.payload.to_vec()))
        .invocation_type(match request.asynchronous {
            true => InvocationType::Event,
            false => InvocationType::RequestResponse,
        });
    let call = match request.log && !request.asynchronous {
        true => call.log_type(LogType::Tail),
        false => call,
    };
    let answer = call
        .customize()
        .config_override(override_timeouts)
        .send()
        .await
        .map_err(|error| refused(&request.function, error))?;
    let payload = Bytes::from(answer.payload.map(Blob::into_inner).unwrap_or_default());
    Ok(Invoked {
        status: answer.status_code,
        log: answer.log_result.map(|log| decoded(&log)),
        version: answer.executed_version,
        error: answer.function_error.map(|_| FunctionError::parse(&payload)),
        payload,
    })
}

fn refused<E>(
    function: &str,
    error: aws_smithy_runtime_api::client::result::SdkError<
        E,
        aws_smithy_runtime_api::client::orchestrator::HttpResponse,
    >,
) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let missing = error::aws::is_not_found(&error);
    let failed = error::aws::failed(format!("could not invoke {function}"), error);
    match missing {
        true => failed
            .hint("`streamctl handlers` shows what can be deployed, `streamctl deploy HANDLER` deploys it"),
        false => failed,
    }
}

fn decoded(base64: &str) -> String {
    let bytes = base64_simd::STANDARD.decode_to_vec(base64.as_bytes());
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}

/// The settings of a deployed function that running its code here needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deployed {
    pub arn: String,
    pub name: String,
    /// Lambda's setting `Handler`.
    pub handler: String,
    /// In MiB.
    pub memory_mb: u32,
    pub timeout_seconds: u32,
    pub environment: BTreeMap<String, String>,
    /// ARN.
    pub role: String,
    pub log_group: String,
}

/// The deployed function `function`; `None` if it does not exist.
///
/// # Errors
/// When the call fails.
pub async fn deployed(context: &Context, function: &str) -> Result<Option<Deployed>> {
    let call = context
        .lambda()
        .get_function_configuration()
        .function_name(function);
    let found = match call.send().await {
        Ok(found) => found,
        Err(error) if error::aws::is_not_found(&error) => return Ok(None),
        Err(error) => {
            return Err(error::aws::failed(
                format!("could not read the function {function}"),
                error,
            ));
        }
    };
    let name = found
        .function_name
        .unwrap_or_else(|| super::mapping::function_name(function).to_owned());
    let positive = |number: Option<i32>, default: u32| {
        number
            .and_then(|number| u32::try_from(number).ok())
            .unwrap_or(default)
    };
    Ok(Some(Deployed {
        arn: found.function_arn.unwrap_or_default(),
        handler: found.handler.unwrap_or_default(),
        memory_mb: positive(found.memory_size, 128),
        timeout_seconds: positive(found.timeout, 3),
        environment: found
            .environment
            .and_then(|environment| environment.variables)
            .unwrap_or_default()
            .into_iter()
            .collect(),
        role: found.role.unwrap_or_default(),
        log_group: found
            .logging_config
            .and_then(|logging| logging.log_group)
            .unwrap_or_else(|| format!("/aws/lambda/{name}")),
        name,
    }))
}
