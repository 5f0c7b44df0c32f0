//! Errors of the API. Source: "Amazon Data Firehose API reference", errors of each operation and "Common Errors".

use serde_json::{Value, json};

use crate::json_api;

pub(super) type Error = json_api::Error<Codes>;
pub(super) type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Codes;

impl json_api::Codes for Codes {
    const NAME: &'static str = "Firehose";
    const INTERNAL: &'static str = "InternalFailure";
    const INVALID: &'static str = "InvalidArgumentException";
    const CONSTRAINT: &'static str = "ValidationException";

    fn document(code: &str, message: &str) -> Value {
        json!({"__type": code, "message": message})
    }
}

impl Error {
    pub fn not_found(name: &str, account: &str) -> Self {
        Self::new(
            "ResourceNotFoundException",
            format!("Firehose {name} under account {account} not found."),
        )
    }

    pub fn in_use(message: impl Into<String>) -> Self {
        Self::new("ResourceInUseException", message)
    }

    pub fn limit(message: impl Into<String>) -> Self {
        Self::new("LimitExceededException", message)
    }

    pub fn concurrent(message: impl Into<String>) -> Self {
        Self::new("ConcurrentModificationException", message)
    }

    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::with_status(503, "ServiceUnavailableException", message)
    }
}
