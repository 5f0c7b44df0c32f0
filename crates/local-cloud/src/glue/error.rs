//! Errors of the API. Source: "Errors" of each operation, AWS Glue Web API reference.

use crate::json_api;

pub(super) type Error = json_api::Error<Codes>;
pub(super) type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Codes;

impl json_api::Codes for Codes {
    const NAME: &'static str = "Glue";
    const INTERNAL: &'static str = "InternalServiceException";
    const INVALID: &'static str = "InvalidInputException";
    const CONSTRAINT: &'static str = "ValidationException";
}

impl Error {
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
}
