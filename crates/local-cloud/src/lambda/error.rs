//! Errors as Lambda answers them: the code in a header; message and type in the body.

use http::Response;
use http::header::HeaderValue;
use serde_json::{Map, Value};

use crate::Body;
use crate::answer::{answer, identify, request_id, whole};

/// Result of an operation.
pub(super) type Result<T> = std::result::Result<T, ApiError>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    pub status: u16,
    pub code: &'static str,
    pub message: String,
    /// `Reason` of a TooManyRequestsException.
    pub reason: Option<&'static str>,
}

impl ApiError {
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            reason: None,
        }
    }

    /// A value that the API's model allows but Lambda does not.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidParameterValueException", message)
    }

    /// A value that violates the API's model. `field` is named as in the model, with a lower-case first letter.
    pub fn constraint(value: impl std::fmt::Display, field: &str, constraint: &str) -> Self {
        Self::new(
            400,
            "ValidationException",
            format!(
                "1 validation error detected: Value '{value}' at '{field}' failed to satisfy constraint: \
                 {constraint}"
            ),
        )
    }

    /// A required value is missing.
    pub fn missing(field: &str) -> Self {
        Self::new(
            400,
            "ValidationException",
            format!(
                "1 validation error detected: Value null at '{field}' failed to satisfy constraint: Member must not \
                 be null"
            ),
        )
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(404, "ResourceNotFoundException", message)
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(409, "ResourceConflictException", message)
    }

    /// The revision id does not match.
    pub fn precondition() -> Self {
        Self::new(
            412,
            "PreconditionFailedException",
            "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to \
             retrieve the latest Revision Id",
        )
    }

    /// An internal error.
    pub fn service(message: impl Into<String>) -> Self {
        Self::new(500, "ServiceException", message)
    }

    pub fn serialization(message: impl Into<String>) -> Self {
        Self::new(400, "SerializationException", message)
    }

    pub fn throttled(reason: &'static str) -> Self {
        Self {
            reason: Some(reason),
            ..Self::new(429, "TooManyRequestsException", "Rate Exceeded.")
        }
    }

    pub fn answer(&self) -> Response<Body> {
        let mut body = Map::new();
        if let Some(reason) = self.reason {
            body.insert("Reason".to_owned(), reason.into());
        }
        let side = if self.status < 500 { "User" } else { "Service" };
        body.insert("Type".to_owned(), side.into());
        // The model spells the member with a capital for these errors.
        let message = match self.code {
            "ResourceNotFoundException" | "ServiceException" => "Message",
            _ => "message",
        };
        body.insert(message.to_owned(), self.message.as_str().into());
        let bytes = Value::Object(body).to_string();
        let mut response = answer(self.status, "application/json", whole(bytes));
        identify(&mut response, &request_id());
        let headers = response.headers_mut();
        headers.insert("x-amzn-errortype", HeaderValue::from_static(self.code));
        if self.reason.is_some() {
            headers.insert("retry-after", HeaderValue::from_static("0"));
        }
        response
    }
}
