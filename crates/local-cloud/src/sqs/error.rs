//! Error codes of SQS, in both of its protocols.

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub status: u16,
    /// The code of the JSON protocol.
    pub code: &'static str,
    pub message: String,
}

pub(crate) type Result<T, E = ApiError> = std::result::Result<T, E>;

impl ApiError {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: 400,
            code,
            message: message.into(),
        }
    }

    pub fn no_queue() -> Self {
        Self::new("QueueDoesNotExist", "The specified queue does not exist.")
    }

    pub fn parameter(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterValue", message)
    }

    pub fn missing(field: &str) -> Self {
        Self::new(
            "MissingParameter",
            format!("The request must contain the parameter {field}."),
        )
    }

    /// The code of the query protocol, which SDKs also show for the JSON protocol.
    /// Source: the `awsQueryError` traits of the service's model.
    pub fn query_code(&self) -> String {
        match self.code {
            "QueueDoesNotExist" => "AWS.SimpleQueueService.NonExistentQueue".to_owned(),
            "QueueNameExists" => "QueueAlreadyExists".to_owned(),
            "EmptyBatchRequest"
            | "TooManyEntriesInBatchRequest"
            | "BatchEntryIdsNotDistinct"
            | "InvalidBatchEntryId"
            | "BatchRequestTooLong"
            | "MessageNotInflight"
            | "PurgeQueueInProgress"
            | "UnsupportedOperation" => format!("AWS.SimpleQueueService.{}", self.code),
            code => code.to_owned(),
        }
    }

    /// The code of the JSON protocol with its namespace, where it has one.
    pub fn json_code(&self) -> String {
        match self.code {
            "InvalidParameterValue" | "MissingParameter" => {
                format!("com.amazon.coral.service#{}Exception", self.code)
            }
            "UnknownOperationException" | "InternalFailure" => {
                format!("com.amazon.coral.service#{}", self.code)
            }
            code => format!("com.amazonaws.sqs#{code}"),
        }
    }

    fn internal(message: impl std::fmt::Display) -> Self {
        Self {
            status: 500,
            ..Self::new("InternalFailure", message.to_string())
        }
    }
}

impl<E: std::error::Error> From<E> for ApiError {
    fn from(error: E) -> Self {
        Self::internal(error)
    }
}
