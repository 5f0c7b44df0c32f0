//! Errors of the API. Source: "Errors" of each operation, Amazon Athena API reference.

use http::Response;
use serde_json::json;

use super::respond;
use crate::json::Unread;
use crate::types::Body;

pub(super) type Result<T, E = Error> = std::result::Result<T, E>;

const INTERNAL: &str = "InternalServerException";
const INVALID: &str = "InvalidRequestException";
const NOT_FOUND: &str = "ResourceNotFoundException";

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
        Self::new(INVALID, message)
    }

    /// What AWS offers and the local cloud does not.
    pub fn not_offered(what: &str) -> Self {
        Self::invalid(format!("The local cloud does not offer {what}."))
    }

    pub fn runs_no_queries() -> Self {
        Self::invalid(
            "The local cloud runs no queries. Run this one in Athena on AWS, or read the objects of the bucket with an engine \
             on your machine, such as DuckDB.",
        )
    }

    /// A value that breaks a constraint of the model. `value` is what the message shows of it.
    pub fn constraint(value: &str, member: &str, constraint: &str) -> Self {
        Self::invalid(format!(
            "1 validation error detected: Value {value} at '{member}' failed to satisfy constraint: Member must {constraint}"
        ))
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
            format!(
                "The local cloud does not offer the operation {operation} of Athena. It runs no queries."
            ),
        )
    }

    /// As AWS words it.
    pub fn no_group() -> Self {
        Self::invalid("WorkGroup is not found.")
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(NOT_FOUND, message)
    }

    fn status(&self) -> u16 {
        if self.code == INTERNAL { 500 } else { 400 }
    }

    pub fn respond(&self) -> Response<Body> {
        let mut document = json!({"__type": self.code, "Message": self.message});
        if self.code == INVALID {
            document["AthenaErrorCode"] = json!("INVALID_INPUT");
        }
        respond(self.status(), &document)
    }
}
