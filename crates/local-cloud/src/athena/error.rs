//! Errors of the API. Source: "Errors" of each operation, Amazon Athena API reference.

use serde_json::{Value, json};

use crate::json_api;

pub(super) type Error = json_api::Error<Codes>;
pub(super) type Result<T, E = Error> = std::result::Result<T, E>;

const INVALID: &str = "InvalidRequestException";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Codes;

impl json_api::Codes for Codes {
    const NAME: &'static str = "Athena";
    const INTERNAL: &'static str = "InternalServerException";
    const INVALID: &'static str = INVALID;
    const CONSTRAINT: &'static str = INVALID;

    fn document(code: &str, message: &str) -> Value {
        let mut document = json!({"__type": code, "Message": message});
        if code == INVALID {
            document["AthenaErrorCode"] = json!("INVALID_INPUT");
        }
        document
    }
}

impl Error {
    pub fn runs_no_queries() -> Self {
        Self::invalid(
            "The local cloud runs no queries. Run this one in Athena on AWS, or read the objects of the bucket with an engine \
             on your machine, such as DuckDB.",
        )
    }

    pub fn no_operation(operation: &str) -> Self {
        let error = Self::unknown_operation(operation);
        Self::new(error.code, format!("{} It runs no queries.", error.message))
    }

    /// As AWS words it.
    pub fn no_group() -> Self {
        Self::invalid("WorkGroup is not found.")
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new("ResourceNotFoundException", message)
    }
}
