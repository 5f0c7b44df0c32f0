//! Error responses of Lambda's API.

use http::Response;
use http::header::{HeaderName, HeaderValue};
use serde_json::json;

use crate::Body;
use crate::answer::{answer, whole};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    status: u16,
    code: &'static str,
    message: String,
}

impl ApiError {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidParameterValueException", message)
    }

    /// A member breaks a constraint of the API's model.
    pub(super) fn constraint(member: &str, value: impl std::fmt::Display, constraint: &str) -> Self {
        let text = format!(
            "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {constraint}"
        );
        Self::new(400, "ValidationException", text)
    }

    pub(super) fn content(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidRequestContentException", message)
    }

    pub(super) fn missing() -> Self {
        Self::new(
            404,
            "ResourceNotFoundException",
            "The resource you requested does not exist.",
        )
    }

    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(409, "ResourceConflictException", message)
    }

    pub(super) fn in_use() -> Self {
        Self::new(
            400,
            "ResourceInUseException",
            "Cannot update the event source mapping because it is in use.",
        )
    }

    pub(super) fn method() -> Self {
        Self::new(
            405,
            "MethodNotAllowedException",
            "The method is not allowed on this path.",
        )
    }

    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self::new(500, "ServiceException", message)
    }

    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    pub(super) fn respond(&self) -> Response<Body> {
        let kind = if self.status >= 500 { "Service" } else { "User" };
        // Lambda's model spells the member differently for different errors.
        let field = match self.code {
            "ResourceNotFoundException" | "ResourceInUseException" | "ServiceException" => "Message",
            _ => "message",
        };
        let body = json!({"Type": kind, field: self.message}).to_string();
        let mut response = answer(self.status, "application/json", whole(body));
        let name = HeaderName::from_static("x-amzn-errortype");
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(self.code));
        response
    }
}
