//! Asks STS who the caller is, and recognises endpoints that have no STS.

use std::time::Duration;

use aws_sdk_sts::config::Builder;
use aws_sdk_sts::config::retry::RetryConfig;
use aws_sdk_sts::config::timeout::TimeoutConfig;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::get_caller_identity::GetCallerIdentityError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use ground::error::aws::{self, Class, is_web_page};

type Failure = SdkError<GetCallerIdentityError, HttpResponse>;

/// Codes with which STS itself refuses a caller. Those of other services end in `Exception`, and an emulator without STS
/// answers an unknown action. Source: "Common errors", STS API reference.
const REFUSALS: &[&str] = &[
    "AccessDenied",
    "ExpiredToken",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "MissingAuthenticationToken",
    "OptInRequired",
    "RequestExpired",
    "SignatureDoesNotMatch",
];

/// Whose credentials are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub account: String,
    /// A user, a session of a role (`…:assumed-role/ROLE/SESSION`) or the root user (`…:root`). Empty if it is not known.
    pub arn: String,
}

/// The caller of the credentials, within `limit`, which is short: commands that only handle records work without it.
///
/// # Errors
/// That of the call. An answer without an account counts as one that could not be read.
pub(super) async fn ask(sts: &aws_sdk_sts::Client, limit: Duration) -> Result<Caller, Failure> {
    let limits = TimeoutConfig::builder()
        .connect_timeout(limit.min(Duration::from_secs(3)))
        .operation_timeout(limit)
        .build();
    let config = Builder::new()
        .retry_config(RetryConfig::standard().with_max_attempts(2))
        .timeout_config(limits);
    let identity = sts.get_caller_identity().customize().config_override(config);
    let identity = identity.send().await?;
    let account = identity.account.filter(|account| !account.is_empty());
    let account = account.ok_or_else(|| SdkError::construction_failure("the answer names no account"))?;
    Ok(Caller {
        account,
        arn: identity.arn.unwrap_or_default(),
    })
}

/// Whether the call failed because there is no STS, and not because the credentials are wrong. `endpoint` is that of STS.
pub(super) fn is_absent(failure: &Failure, endpoint: Option<&str>) -> bool {
    match failure {
        SdkError::ServiceError(refused) if endpoint.is_some() => {
            let code = refused.err().code();
            let status = refused.raw().status().as_u16();
            // A server error says nothing about what the endpoint serves, unless it says that it does not.
            let is_known = code.is_some_and(|code| REFUSALS.contains(&code));
            let is_throttled = aws::class(failure) == Class::Throttle;
            !is_known && !is_throttled && (status < 500 || status == 501)
        }
        // A success with a web page is not even an endpoint of AWS, and the caller is told so. A refusal with one is that of
        // an emulator without STS.
        SdkError::ResponseError(response) if is_web_page(response.raw()) => {
            endpoint.is_some() && !response.raw().status().is_success()
        }
        SdkError::ResponseError(_) | SdkError::ConstructionFailure(_) => endpoint.is_some(),
        // AWS's own STS may be out of reach where Kinesis is not, as in a subnet with an endpoint of Kinesis alone.
        SdkError::DispatchFailure(failure) => endpoint.is_none() && (failure.is_io() || failure.is_timeout()),
        SdkError::TimeoutError(_) => endpoint.is_none(),
        _ => false,
    }
}
