//! Failures as Kinesis answers them: a code, a message, a status.

use std::fmt;
use std::io;

/// The result of every operation of the engine.
pub type Result<T> = std::result::Result<T, ApiError>;

/// The error codes of the Kinesis Data Streams API, named as on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// `DryRun` was set, and the request would have succeeded.
    DryRunOperationException,
    /// The shard iterator is older than five minutes.
    ExpiredIteratorException,
    /// The pagination token is older than five minutes.
    ExpiredNextTokenException,
    /// The engine failed.
    InternalFailureException,
    /// A parameter is out of its range or does not fit the others.
    InvalidArgumentException,
    /// The KMS key is disabled.
    KMSDisabledException,
    /// The KMS key is in a state that does not allow its use.
    KMSInvalidStateException,
    /// There is no such KMS key.
    KMSNotFoundException,
    /// A quota is used up, or control-plane calls come too fast.
    LimitExceededException,
    /// A shard's throughput is used up.
    ProvisionedThroughputExceededException,
    /// The stream or consumer is not in a state that allows this.
    ResourceInUseException,
    /// There is no such stream, shard, consumer or policy.
    ResourceNotFoundException,
    /// The body could not be read as the operation's input.
    SerializationException,
    /// There is no such operation.
    UnknownOperationException,
    /// The input breaks a constraint of the model.
    ValidationException,
}

impl Code {
    /// The name on the wire.
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

    /// The HTTP status: 500 for the engine's own failures, else 400 as every JSON 1.1 service of AWS answers.
    pub const fn status(self) -> u16 {
        match self {
            Self::InternalFailureException => 500,
            _ => 400,
        }
    }
}

/// One failed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// What went wrong, for programs.
    pub code: Code,
    /// What went wrong, for people; worded as AWS words it.
    pub message: String,
}

impl ApiError {
    /// An error with AWS's `code` and `message`.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// `InvalidArgumentException`.
    pub fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgumentException, message)
    }

    /// `ValidationException`.
    pub fn validation(message: impl Into<String>) -> Self {
        Self::new(Code::ValidationException, message)
    }

    /// `LimitExceededException`.
    pub fn limit_exceeded(message: impl Into<String>) -> Self {
        Self::new(Code::LimitExceededException, message)
    }

    /// `ResourceInUseException`.
    pub fn in_use(message: impl Into<String>) -> Self {
        Self::new(Code::ResourceInUseException, message)
    }

    /// `ResourceNotFoundException`.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Code::ResourceNotFoundException, message)
    }

    /// There is no stream `name` in `account`.
    pub fn no_stream(name: &str, account: &str) -> Self {
        Self::not_found(format!("Stream {name} under account {account} not found."))
    }

    /// `shard` is not a shard of the stream, where an operation changes shards.
    pub fn could_not_find_shard(shard: &str, stream: &str, account: &str) -> Self {
        Self::not_found(format!(
            "Could not find shard {shard} in stream {stream} under account {account}."
        ))
    }

    /// `shard` is not a shard of the stream, where an operation reads shards.
    pub fn shard_does_not_exist(shard: &str, stream: &str, account: &str) -> Self {
        Self::not_found(format!(
            "Shard {shard} in stream {stream} under account {account} does not exist"
        ))
    }

    /// The engine could not reach its files; `what` says which step failed.
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
