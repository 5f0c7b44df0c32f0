//! Errors as Kinesis answers them: code, message and HTTP status.

use std::fmt;
use std::io;

/// Result of an operation.
pub type Result<T> = std::result::Result<T, ApiError>;

/// Error codes of the Kinesis Data Streams API, named as on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::enum_variant_names, reason = "named as on the wire")]
pub enum Code {
    /// `DryRun` was set, and the request would have succeeded.
    DryRunOperationException,
    /// The shard iterator is older than five minutes.
    ExpiredIteratorException,
    /// The pagination token is older than five minutes.
    ExpiredNextTokenException,
    /// The engine failed.
    InternalFailureException,
    /// A parameter is out of range or contradicts another.
    InvalidArgumentException,
    /// The KMS key is disabled.
    KMSDisabledException,
    /// The KMS key is in a state that does not allow its use.
    KMSInvalidStateException,
    KMSNotFoundException,
    /// A quota is reached, or control-plane calls exceed their rate.
    LimitExceededException,
    /// A shard's throughput is exceeded.
    ProvisionedThroughputExceededException,
    /// The status of the stream or consumer does not allow the operation.
    ResourceInUseException,
    ResourceNotFoundException,
    /// The body is not a valid input of the operation.
    SerializationException,
    UnknownOperationException,
    /// The input breaks a constraint of the model.
    ValidationException,
}

impl Code {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DryRunOperationException => "DryRunOperationException",
            Self::ExpiredIteratorException => "ExpiredIteratorException",
            Self::ExpiredNextTokenException => "ExpiredNextTokenException",
            Self::InternalFailureException => "InternalFailureException",
            Self::InvalidArgumentException => "InvalidArgumentException",
            Self::KMSDisabledException => "KMSDisabledException",
            Self::KMSInvalidStateException => "KMSInvalidStateException",
            Self::KMSNotFoundException => "KMSNotFoundException",
            Self::LimitExceededException => "LimitExceededException",
            Self::ProvisionedThroughputExceededException => "ProvisionedThroughputExceededException",
            Self::ResourceInUseException => "ResourceInUseException",
            Self::ResourceNotFoundException => "ResourceNotFoundException",
            Self::SerializationException => "SerializationException",
            Self::UnknownOperationException => "UnknownOperationException",
            Self::ValidationException => "ValidationException",
        }
    }

    /// 500 for failures of the engine, otherwise 400 as in all JSON 1.1 services of AWS.
    pub const fn status(self) -> u16 {
        match self {
            Self::InternalFailureException => 500,
            _ => 400,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    pub code: Code,
    /// In AWS's wording.
    pub message: String,
}

impl ApiError {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    pub fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgumentException, message)
    }

    pub fn validation(message: impl Into<String>) -> Self {
        Self::new(Code::ValidationException, message)
    }

    pub fn limit_exceeded(message: impl Into<String>) -> Self {
        Self::new(Code::LimitExceededException, message)
    }

    pub fn in_use(message: impl Into<String>) -> Self {
        Self::new(Code::ResourceInUseException, message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Code::ResourceNotFoundException, message)
    }

    pub fn no_stream(name: &str, account: &str) -> Self {
        Self::not_found(format!("Stream {name} under account {account} not found."))
    }

    /// For operations that change shards.
    pub fn could_not_find_shard(shard: &str, stream: &str, account: &str) -> Self {
        Self::not_found(format!(
            "Could not find shard {shard} in stream {stream} under account {account}."
        ))
    }

    /// For operations that read shards.
    pub fn shard_does_not_exist(shard: &str, stream: &str, account: &str) -> Self {
        Self::not_found(format!(
            "Shard {shard} in stream {stream} under account {account} does not exist"
        ))
    }

    /// The engine could not access its files. `what` names the failed step.
    pub fn internal(what: &str, cause: &io::Error) -> Self {
        Self::new(
            Code::InternalFailureException,
            format!("Internal service failure: {what}: {cause}"),
        )
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for ApiError {}
