//! What a failed AWS call means: the only classification of errors, for every call of every service.
//!
//! Knows error codes, messages and the shapes of SDK errors. Knows neither features nor how long anybody waits.

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::retry::ErrorKind;

use super::is_web_page;
use crate::error::{find_cause, machine};

/// What the failure of a call means for another try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Too many requests. A later one, at a lower rate, can succeed.
    Throttle,
    /// The service failed, or the connection broke after it was made. A later request can succeed.
    Transient,
    /// No connection could be made. A later one can succeed, unless the endpoint is wrong.
    Unreachable,
    /// Another change of the resource is under way, or it is in use.
    Conflict,
    /// A quota of the account or the resource is used up. It is not free again soon.
    Quota,
    /// There is no such resource.
    NotFound,
    /// The caller's credentials are missing, invalid or expired.
    Credentials,
    /// The caller may not do this.
    Denied,
    /// The request is refused for another reason. The same one would be refused again.
    Refused,
}

impl Class {
    /// Whether service or network failed, and not the request.
    pub fn is_outage(self) -> bool {
        matches!(self, Self::Transient | Self::Unreachable)
    }

    /// Whether the service refuses the caller and not the request.
    pub fn is_about_the_caller(self) -> bool {
        matches!(self, Self::Credentials | Self::Denied)
    }
}

/// What `failure` means.
pub fn class<E>(failure: &SdkError<E, HttpResponse>) -> Class
where
    E: ProvideErrorMetadata,
{
    match failure {
        SdkError::ServiceError(service) => {
            let (error, status) = (service.err(), service.raw().status().as_u16());
            match error.code() {
                None => by_status(status),
                Some(code) => class_of(code, error.message().unwrap_or_default()).unwrap_or(match status {
                    // An unknown code says more than 404 does: it may be about the operation.
                    400..=407 | 409..=428 => Class::Refused,
                    status => by_status(status),
                }),
            }
        }
        // Another request is answered by the same web server. A failure of its own may pass.
        SdkError::ResponseError(response)
            if is_web_page(response.raw()) && response.raw().status().as_u16() < 500 =>
        {
            Class::Refused
        }
        // The answer did not come in time, or its end is missing.
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => Class::Transient,
        SdkError::DispatchFailure(failure) => {
            failure.as_connector_error().map_or(Class::Refused, by_connector)
        }
        _ => Class::Refused,
    }
}

/// `failure` in a few words, for progress: the service's error code where there is one.
pub fn reason<E: ProvideErrorMetadata>(failure: &SdkError<E, HttpResponse>) -> String {
    if let Some(code) = failure.as_service_error().and_then(ProvideErrorMetadata::code) {
        return code.to_owned();
    }
    let words = match (failure, class(failure)) {
        (SdkError::TimeoutError(_), _) => "no answer in time",
        (_, Class::Unreachable) => "the endpoint cannot be reached",
        (SdkError::DispatchFailure(_), _) => "the connection broke",
        _ => "the answer could not be read",
    };
    words.to_owned()
}

/// Whether `failure` means that there is no such resource.
pub fn is_not_found<E: ProvideErrorMetadata>(failure: &SdkError<E, HttpResponse>) -> bool {
    class(failure) == Class::NotFound
}

/// What an error code of a service means; `None` for a code that is not known.
pub fn class_of(code: &str, message: &str) -> Option<Class> {
    // Query protocols prefix some codes, such as `AWS.SimpleQueueService.NonExistentQueue` and `KMS.ThrottlingException`.
    let code = code.rsplit('.').next().unwrap_or(code);
    if code == "LimitExceededException" {
        return Some(limit(message));
    }
    // Lambda uses one code for two things: "Function already exist" stays true, "in progress" does not.
    if code == "ResourceConflictException" && message.to_ascii_lowercase().contains("already exist") {
        return Some(Class::Refused);
    }
    // An internal failure, and another try fails as well.
    if machine::lasts(message) {
        return Some(Class::Refused);
    }
    CODES
        .iter()
        .find(|(_, codes)| codes.contains(&code))
        .map(|(class, _)| *class)
}

/// Services use LimitExceededException for a rate, for changes at the same time, and for quotas. Only the message tells.
/// Source: "Errors" of CreateStream, UpdateShardCount, StartStreamEncryption and DescribeLimits, Kinesis API reference;
/// of CreateTable, DynamoDB API reference; of CreateLogGroup, CloudWatch Logs API reference.
fn limit(message: &str) -> Class {
    let message = message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&[
        "rate exceeded",
        "rate limit",
        "per second",
        "too many requests",
        "throttl",
    ]) {
        return Class::Throttle;
    }
    // Such as "10 times within a rolling 24 hour period".
    if says(&["24 hour", "24-hour", "24h", "times", "per day"]) {
        return Class::Quota;
    }
    // Kinesis creates five streams at a time, DynamoDB changes a number of tables at a time.
    if says(&["creating", "concurrent", "simultaneous"]) {
        return Class::Conflict;
    }
    match says(&["limit", "quota", "maximum", "exceed", "too many", "more than"]) {
        true => Class::Quota,
        // The SDK takes the code alone for a throttle.
        false => Class::Throttle,
    }
}

/// Error codes by what they mean.
/// Sources: "Common errors" and the errors of each operation in the API references of Kinesis, Lambda, DynamoDB, IAM, STS,
/// S3, SQS, SNS, KMS, CloudFront, Glue, CloudWatch and CloudWatch Logs; the codes that the SDK retries (`aws_runtime::retries::classifiers`).
const CODES: &[(Class, &[&str])] = &[
    (
        Class::Throttle,
        &[
            "BandwidthLimitExceeded",
            "EC2ThrottledException",
            "KMSThrottling",
            "KMSThrottlingException",
            "KmsThrottled",
            "PriorRequestNotComplete",
            "ProvisionedThroughputExceededException",
            "RequestLimitExceeded",
            "RequestThrottled",
            "RequestThrottledException",
            "SlowDown",
            "Throttled",
            "ThrottledException",
            "Throttling",
            "ThrottlingException",
            "TooManyRequestsException",
        ],
    ),
    (
        Class::Transient,
        &[
            "InternalError",
            "InternalErrorException",
            "InternalFailure",
            "InternalFailureException",
            "InternalServerError",
            "InternalServerException",
            "InternalServiceError",
            "InternalServiceException",
            "InternalServiceFault",
            "OperationTimeoutException",
            "RequestTimeout",
            "RequestTimeoutException",
            "ServiceException",
            "ServiceFailure",
            "ServiceUnavailable",
            "ServiceUnavailableException",
        ],
    ),
    (
        Class::Conflict,
        &[
            "ConcurrentAccess",
            "ConcurrentAccessException",
            "ConcurrentModification",
            "ConcurrentModificationException",
            "ConditionalRequestConflict",
            "ConflictException",
            "ContinuousBackupsUnavailableException",
            "DistributionNotDisabled",
            "EntityTemporarilyUnmodifiable",
            "OperationAborted",
            "OperationAbortedException",
            "OriginAccessControlInUse",
            "PurgeQueueInProgress",
            "QueueDeletedRecently",
            "ReplicatedWriteConflictException",
            "ResourceConflictException",
            "ResourceInUse",
            "ResourceInUseException",
            "ResourceNotReadyException",
            "StaleTag",
            "StaleTagException",
            "TableInUseException",
            "TransactionConflictException",
            "TransactionInProgressException",
        ],
    ),
    (
        Class::Quota,
        &[
            "CodeStorageExceededException",
            "ENILimitReachedException",
            "FilterPolicyLimitExceeded",
            "FilterPolicyLimitExceededException",
            "LimitExceeded",
            "LimitExceededFault",
            "OverLimit",
            "ResourceNumberLimitExceededException",
            "ServiceQuotaExceededException",
            "SubnetIPAddressLimitReachedException",
            "SubscriptionLimitExceeded",
            "SubscriptionLimitExceededException",
            "TableLimitExceededException",
            "TagLimitExceeded",
            "TagLimitExceededException",
            "TooManyBuckets",
            "TooManyDistributions",
            "TooManyInvalidationsInProgress",
            "TooManyOriginAccessControls",
            "TooManyTagsException",
            "TopicLimitExceeded",
            "TopicLimitExceededException",
        ],
    ),
    (
        Class::NotFound,
        &[
            "DashboardNotFoundError",
            "EntityNotFoundException",
            "NoSuchBucket",
            "NoSuchDistribution",
            "NoSuchEntity",
            "NoSuchEntityException",
            "NoSuchKey",
            "NoSuchOriginAccessControl",
            "NoSuchResource",
            "NoSuchUpload",
            "NoSuchVersion",
            "NonExistentQueue",
            "NotFound",
            "NotFoundException",
            "QueueDoesNotExist",
            "ResourceNotFound",
            "ResourceNotFoundException",
            "TableNotFoundException",
        ],
    ),
    (
        Class::Credentials,
        &[
            "AuthFailure",
            "ExpiredToken",
            "ExpiredTokenException",
            "IncompleteSignature",
            "InvalidAccessKeyId",
            "InvalidClientTokenId",
            "InvalidSignatureException",
            "InvalidToken",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
            "OptInRequired",
            "RequestExpired",
            "RequestInTheFuture",
            "RequestTimeTooSkewed",
            "SignatureDoesNotMatch",
            "TokenRefreshRequired",
            "UnrecognizedClientException",
        ],
    ),
    (
        Class::Denied,
        &[
            "AccessDenied",
            "AccessDeniedException",
            "AllAccessDisabled",
            "AuthorizationError",
            "AuthorizationErrorException",
            "UnauthorizedOperation",
        ],
    ),
];

/// For an answer without a code, as every answer to HEAD.
fn by_status(status: u16) -> Class {
    match status {
        401 => Class::Credentials,
        403 => Class::Denied,
        404 => Class::NotFound,
        408 => Class::Transient,
        409 => Class::Conflict,
        429 => Class::Throttle,
        // Not implemented, and a version of HTTP that is not supported: the same request fails again.
        501 | 505 => Class::Refused,
        500.. => Class::Transient,
        _ => Class::Refused,
    }
}

fn by_connector(error: &ConnectorError) -> Class {
    // Credentials that cannot be loaded fail to dispatch as well.
    if find_cause::<CredentialsError>(error).is_some() {
        return Class::Credentials;
    }
    let passes = error.is_io()
        || error.is_timeout()
        || matches!(
            error.as_other(),
            Some(ErrorKind::TransientError | ErrorKind::ServerError)
        );
    match (passes, error.as_other()) {
        (true, _) if never_connected(error) => Class::Unreachable,
        (true, _) => Class::Transient,
        (false, Some(ErrorKind::ThrottlingError)) => Class::Throttle,
        (false, _) => Class::Refused,
    }
}

/// Whether the connection could not be made. The SDK knows, and does not say: hyper's own words tell.
/// Source: `hyper_util::client::legacy::connect::http`; `aws_smithy_http_client`, "HTTP connect timeout occurred".
fn never_connected(error: &ConnectorError) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        let words = [
            "dns error",
            "tcp connect error",
            "tcp open error",
            "connect timeout",
        ];
        if words
            .iter()
            .any(|words| text.to_ascii_lowercase().contains(words))
        {
            return true;
        }
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && io.kind() == std::io::ErrorKind::ConnectionRefused
        {
            return true;
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests;
