use std::io;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::ErrorMetadata;

use super::super::failed;
use super::*;
use crate::exit::Exit;

type Failure = SdkError<ErrorMetadata, HttpResponse>;
/// Status, code and class.
type Codes = &'static [(u16, &'static str, Class)];

fn answer(status: u16) -> HttpResponse {
    HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::empty())
}

fn service(status: u16, code: &str, message: &str) -> Failure {
    let meta = ErrorMetadata::builder().code(code).message(message).build();
    SdkError::service_error(meta, answer(status))
}

/// A failure whose cause has other causes, as hyper's have.
#[derive(Debug)]
struct Wrapped(&'static str, io::Error);

impl std::fmt::Display for Wrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Wrapped {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.1)
    }
}

fn io_error(words: &'static str, kind: io::ErrorKind) -> Wrapped {
    Wrapped(words, io::Error::from(kind))
}

fn dispatch(error: ConnectorError) -> Failure {
    SdkError::dispatch_failure(error)
}

/// Every shape of an SDK error, but for what a service answers.
#[test]
fn shapes_of_sdk_errors() {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, UnexpectedEof};
    let other = |words: &'static str, kind| dispatch(ConnectorError::other(words.into(), kind));
    let table: Vec<(&str, Failure, Class, Exit)> = vec![
        (
            "the port is closed",
            dispatch(ConnectorError::io(
                io_error("tcp connect error", ConnectionRefused).into(),
            )),
            Class::Unreachable,
            Exit::Unreachable,
        ),
        (
            "the name is unknown",
            dispatch(ConnectorError::io(
                io_error("dns error", io::ErrorKind::Other).into(),
            )),
            Class::Unreachable,
            Exit::Unreachable,
        ),
        (
            "no connection in time",
            dispatch(ConnectorError::timeout(
                "HTTP connect timeout occurred after 5s".into(),
            )),
            Class::Unreachable,
            Exit::Unreachable,
        ),
        (
            "the connection is reset",
            dispatch(ConnectorError::io(
                io_error("connection error", ConnectionReset).into(),
            )),
            Class::Transient,
            Exit::Unreachable,
        ),
        (
            "the connection ends early",
            dispatch(ConnectorError::io(
                io_error("connection error", UnexpectedEof).into(),
            )),
            Class::Transient,
            Exit::Unreachable,
        ),
        (
            "no answer in time",
            dispatch(ConnectorError::timeout(
                "HTTP read timeout occurred after 30s".into(),
            )),
            Class::Transient,
            Exit::Unreachable,
        ),
        (
            "the connection closes before the answer",
            other(
                "connection closed before message completed",
                Some(ErrorKind::TransientError),
            ),
            Class::Transient,
            Exit::Unreachable,
        ),
        (
            "the SDK takes it for a failure of the server",
            other("no", Some(ErrorKind::ServerError)),
            Class::Transient,
            Exit::Unreachable,
        ),
        (
            "the SDK takes it for a throttle",
            other("no", Some(ErrorKind::ThrottlingError)),
            Class::Throttle,
            Exit::Failed,
        ),
        (
            "not HTTP",
            other("invalid HTTP version parsed", None),
            Class::Refused,
            Exit::Unreachable,
        ),
        (
            "an impossible request",
            dispatch(ConnectorError::user("invalid URI".into())),
            Class::Refused,
            Exit::Unreachable,
        ),
        (
            "no credentials",
            dispatch(ConnectorError::other(
                CredentialsError::not_loaded("none").into(),
                None,
            )),
            Class::Credentials,
            Exit::Unreachable,
        ),
        (
            "the whole operation takes too long",
            SdkError::timeout_error("operation timeout"),
            Class::Transient,
            Exit::Unreachable,
        ),
        (
            "the answer cannot be read",
            SdkError::response_error("expected value at line 1", answer(200)),
            Class::Transient,
            Exit::Failed,
        ),
        (
            "a member is missing",
            SdkError::construction_failure("streamName was missing"),
            Class::Refused,
            Exit::Failed,
        ),
    ];
    for (name, failure, expected, exit) in table {
        assert_eq!(class(&failure), expected, "{name}");
        let error = failed("could not do it", failure);
        assert_eq!((error.class(), error.exit()), (Some(expected), exit), "{name}");
    }
}

/// What the SDK retries is never taken for a refusal: the SDK's own lists and status codes.
/// Source: `aws_runtime::retries::classifiers`, `aws_smithy_runtime::client::retries::classifiers`.
#[test]
fn what_the_sdk_retries_may_pass() {
    let codes = [
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestThrottledException",
        "TooManyRequestsException",
        "ProvisionedThroughputExceededException",
        "TransactionInProgressException",
        "RequestLimitExceeded",
        "BandwidthLimitExceeded",
        "LimitExceededException",
        "RequestThrottled",
        "SlowDown",
        "PriorRequestNotComplete",
        "EC2ThrottledException",
        "RequestTimeout",
        "RequestTimeoutException",
    ];
    let passes = |class| matches!(class, Class::Throttle | Class::Transient | Class::Conflict);
    for code in codes {
        assert!(passes(class(&service(400, code, ""))), "{code}");
    }
    for status in [500, 502, 503, 504] {
        assert_eq!(
            class(&service(status, "SomethingNew", "")),
            Class::Transient,
            "{status}"
        );
    }
}

/// Errors of each service that streamctl uses, with the status that the service answers with.
#[test]
fn codes_of_services() {
    use Class::{Conflict, Credentials, Denied, NotFound, Quota, Refused, Throttle, Transient};
    let table: &[(&str, Codes)] = &[
        (
            "kinesis",
            &[
                (400, "ProvisionedThroughputExceededException", Throttle),
                (400, "KMSThrottlingException", Throttle),
                (400, "ResourceInUseException", Conflict),
                (400, "ResourceNotFoundException", NotFound),
                (400, "AccessDeniedException", Denied),
                (400, "InvalidArgumentException", Refused),
                (400, "ValidationException", Refused),
                (400, "KMSDisabledException", Refused),
                (400, "KMSAccessDeniedException", Refused),
                (500, "InternalFailureException", Transient),
                (400, "ExpiredIteratorException", Refused),
            ],
        ),
        (
            "lambda",
            &[
                (429, "TooManyRequestsException", Throttle),
                (502, "EC2ThrottledException", Throttle),
                (500, "ServiceException", Transient),
                (409, "ResourceConflictException", Conflict),
                (400, "ResourceInUseException", Conflict),
                (502, "ResourceNotReadyException", Conflict),
                (400, "CodeStorageExceededException", Quota),
                (404, "ResourceNotFoundException", NotFound),
                (403, "AccessDeniedException", Denied),
                (400, "InvalidParameterValueException", Refused),
            ],
        ),
        (
            "dynamodb",
            &[
                (400, "ThrottlingException", Throttle),
                (400, "RequestLimitExceeded", Throttle),
                (500, "InternalServerError", Transient),
                (400, "ResourceInUseException", Conflict),
                (400, "TransactionConflictException", Conflict),
                (400, "ConditionalCheckFailedException", Refused),
                (400, "TableNotFoundException", NotFound),
                (400, "UnrecognizedClientException", Credentials),
            ],
        ),
        (
            "iam",
            &[
                (400, "Throttling", Throttle),
                (500, "ServiceFailure", Transient),
                (409, "ConcurrentModification", Conflict),
                (409, "EntityTemporarilyUnmodifiable", Conflict),
                (409, "LimitExceeded", Quota),
                (404, "NoSuchEntity", NotFound),
                (403, "AccessDenied", Denied),
                (403, "InvalidClientTokenId", Credentials),
                (400, "MalformedPolicyDocument", Refused),
            ],
        ),
        (
            "cloudfront",
            &[
                (400, "Throttling", Throttle),
                (409, "DistributionNotDisabled", Conflict),
                (409, "OriginAccessControlInUse", Conflict),
                (400, "TooManyDistributions", Quota),
                (404, "NoSuchDistribution", NotFound),
                (404, "NoSuchOriginAccessControl", NotFound),
                (404, "NoSuchResource", NotFound),
                (404, "NoSuchCachePolicy", Refused),
                (412, "PreconditionFailed", Refused),
                (403, "AccessDenied", Denied),
            ],
        ),
        (
            "s3",
            &[
                (503, "SlowDown", Throttle),
                (500, "InternalError", Transient),
                (400, "RequestTimeout", Transient),
                (503, "ServiceUnavailable", Transient),
                (409, "OperationAborted", Conflict),
                (400, "TooManyBuckets", Quota),
                (404, "NoSuchBucket", NotFound),
                (404, "NoSuchKey", NotFound),
                (403, "AccessDenied", Denied),
                (403, "RequestTimeTooSkewed", Credentials),
                (403, "SignatureDoesNotMatch", Credentials),
                (400, "ExpiredToken", Credentials),
                (501, "NotImplemented", Refused),
            ],
        ),
        (
            "sqs",
            &[
                (403, "RequestThrottled", Throttle),
                (400, "KMS.ThrottlingException", Throttle),
                (400, "AWS.SimpleQueueService.QueueDeletedRecently", Conflict),
                (400, "AWS.SimpleQueueService.NonExistentQueue", NotFound),
                (400, "QueueDoesNotExist", NotFound),
                (403, "OverLimit", Quota),
                (400, "InvalidParameterValue", Refused),
            ],
        ),
        (
            "sns",
            &[
                (429, "Throttled", Throttle),
                (500, "InternalError", Transient),
                (400, "ConcurrentAccess", Conflict),
                (403, "TopicLimitExceeded", Quota),
                (404, "NotFound", NotFound),
                (403, "AuthorizationError", Denied),
                (400, "InvalidParameter", Refused),
            ],
        ),
        (
            "logs and cloudwatch",
            &[
                (400, "ThrottlingException", Throttle),
                (500, "ServiceUnavailableException", Transient),
                (500, "InternalServiceFault", Transient),
                (400, "OperationAbortedException", Conflict),
                (400, "LimitExceeded", Quota),
                (404, "DashboardNotFoundError", NotFound),
                (400, "ResourceAlreadyExistsException", Refused),
            ],
        ),
    ];
    for (name, codes) in table {
        for (status, code, expected) in *codes {
            assert_eq!(class(&service(*status, code, "")), *expected, "{name}: {code}");
        }
    }
}

#[test]
fn limits_are_told_apart_by_their_messages() {
    for (message, expected) in [
        (
            "Rate exceeded for stream orders under account 123456789012.",
            Class::Throttle,
        ),
        ("", Class::Throttle),
        (
            "This request would exceed the shard limit for the account 123456789012 in us-east-1. Current shard count \
             for the account: 500. Limit: 500. Number of additional shards that would have resulted from this request: 1.",
            Class::Quota,
        ),
        (
            "UpdateShardCount cannot be called more than 10 times in a rolling 24 hour period for stream orders",
            Class::Quota,
        ),
        ("Only 5 streams can be concurrently CREATING", Class::Conflict),
        (
            "Subscriber limit exceeded: Only 50 tables can be created, updated, or deleted simultaneously",
            Class::Conflict,
        ),
        ("Resource limit exceeded.", Class::Quota),
    ] {
        assert_eq!(
            class_of("LimitExceededException", message),
            Some(expected),
            "{message}"
        );
    }
    let lambda = |message| class_of("ResourceConflictException", message);
    assert_eq!(lambda("Function already exist: orders"), Some(Class::Refused));
    assert_eq!(
        lambda("An update is in progress for resource"),
        Some(Class::Conflict)
    );
}

#[test]
fn an_answer_without_a_code_is_told_by_its_status() {
    for (status, expected) in [
        (400, Class::Refused),
        (401, Class::Credentials),
        (403, Class::Denied),
        (404, Class::NotFound),
        (408, Class::Transient),
        (409, Class::Conflict),
        (429, Class::Throttle),
        (500, Class::Transient),
        (501, Class::Refused),
        (503, Class::Transient),
    ] {
        let nothing = SdkError::service_error(ErrorMetadata::builder().build(), answer(status));
        assert_eq!(class(&nothing), expected, "{status}");
    }
    // 404 is also the status of an operation that an endpoint does not know.
    assert_eq!(
        class(&service(404, "UnknownOperationException", "")),
        Class::Refused
    );
}

#[test]
fn no_code_has_two_meanings() {
    let mut all: Vec<&str> = CODES
        .iter()
        .flat_map(|(_, codes)| codes.iter().copied())
        .collect();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
}
