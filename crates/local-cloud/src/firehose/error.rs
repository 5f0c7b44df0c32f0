//! Errors of the API. Source: "Amazon Data Firehose API reference", errors of each operation and "Common Errors".

use http::Response;
use serde_json::json;

use crate::answer::{answer, identify, request_id, whole};
use crate::types::Body;

pub(super) type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Error {
    pub status: u16,
    pub code: &'static str,
    pub message: String,
}

impl Error {
    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidArgumentException", message)
    }

    /// What AWS offers and the local cloud does not.
    pub fn not_offered(what: impl std::fmt::Display) -> Self {
        Self::invalid(format!("The local cloud does not offer {what}."))
    }

    /// A value that breaks a constraint of the model. `value` is what the message shows of it.
    pub fn constraint(value: &str, member: &str, constraint: &str) -> Self {
        let message = format!(
            "1 validation error detected: Value {value} at '{member}' failed to satisfy constraint: Member must {constraint}"
        );
        Self::new(400, "ValidationException", message)
    }

    /// A required member that is missing.
    pub fn missing(member: &str) -> Self {
        Self::constraint("null", member, "not be null")
    }

    pub fn serialization(message: impl Into<String>) -> Self {
        Self::new(400, "SerializationException", message)
    }

    pub fn unknown_operation(operation: &str) -> Self {
        Self::new(
            400,
            "UnknownOperationException",
            format!("The local cloud does not offer the operation {operation} of Firehose."),
        )
    }

    pub fn not_found(name: &str, account: &str) -> Self {
        Self::new(
            400,
            "ResourceNotFoundException",
            format!("Firehose {name} under account {account} not found."),
        )
    }

    pub fn in_use(message: impl Into<String>) -> Self {
        Self::new(400, "ResourceInUseException", message)
    }

    pub fn limit(message: impl Into<String>) -> Self {
        Self::new(400, "LimitExceededException", message)
    }

    pub fn concurrent(message: impl Into<String>) -> Self {
        Self::new(400, "ConcurrentModificationException", message)
    }

    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(503, "ServiceUnavailableException", message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(500, "InternalFailure", message)
    }

    pub fn respond(&self) -> Response<Body> {
        let body = json!({"__type": self.code, "message": self.message}).to_string();
        let mut response = answer(self.status, "application/x-amz-json-1.1", whole(body));
        identify(&mut response, &request_id());
        response
    }
}
