//! Errors of the API. Source: "Errors" of each operation, AWS Glue Web API reference.

use http::Response;
use serde_json::json;

use super::respond;
use crate::json::Unread;
use crate::types::Body;

pub(super) type Result<T, E = Error> = std::result::Result<T, E>;

const INTERNAL: &str = "InternalServiceException";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Error {
    pub code: &'static str,
    pub message: String,
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        Self::internal(error.to_string())
    }
}

impl From<Unread> for Error {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Unknown(member) => Self::not_offered(&format!("the member {member}")),
            Unread::Malformed(text) => Self::serialization(text),
        }
    }
}

impl Error {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(INTERNAL, message)
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new("InvalidInputException", message)
    }

    /// What AWS offers and the local cloud does not.
    pub fn not_offered(what: &str) -> Self {
        Self::invalid(format!("The local cloud does not offer {what}."))
    }

    /// A value that breaks a constraint of the model. `value` is what the message shows of it.
    pub fn constraint(value: &str, member: &str, constraint: &str) -> Self {
        let message = format!(
            "1 validation error detected: Value {value} at '{member}' failed to satisfy constraint: Member must {constraint}"
        );
        Self::new("ValidationException", message)
    }

    /// A required member that is missing.
    pub fn missing(member: &str) -> Self {
        Self::constraint("null", member, "not be null")
    }

    pub fn serialization(message: impl Into<String>) -> Self {
        Self::new("SerializationException", message)
    }

    pub fn unknown_operation(operation: &str) -> Self {
        Self::new(
            "UnknownOperationException",
            format!("The local cloud does not offer the operation {operation} of Glue."),
        )
    }

    pub fn not_found(noun: &str, name: &str) -> Self {
        Self::new("EntityNotFoundException", format!("{noun} {name} not found."))
    }

    pub fn exists(noun: &str) -> Self {
        Self::new("AlreadyExistsException", format!("{noun} already exists."))
    }

    pub fn too_many(noun: &str) -> Self {
        Self::new(
            "ResourceNumberLimitExceededException",
            format!("The number of {noun} exceeds its quota."),
        )
    }

    pub fn concurrent(message: impl Into<String>) -> Self {
        Self::new("ConcurrentModificationException", message)
    }

    fn status(&self) -> u16 {
        if self.code == INTERNAL { 500 } else { 400 }
    }

    pub fn respond(&self) -> Response<Body> {
        respond(
            self.status(),
            &json!({"__type": self.code, "Message": self.message}),
        )
    }
}
