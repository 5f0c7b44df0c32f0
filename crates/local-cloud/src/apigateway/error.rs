//! Errors of the control plane.

use http::Response;
use http::header::HeaderValue;
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

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequestException", message)
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(409, "ConflictException", message)
    }

    /// `noun` is `API`, `Route` and so on.
    pub fn not_found(noun: &str, id: &str) -> Self {
        Self::new(
            404,
            "NotFoundException",
            format!("Invalid {noun} identifier specified {id}"),
        )
    }

    /// Like `not_found`, for what has no id.
    pub fn missing(message: impl Into<String>) -> Self {
        Self::new(404, "NotFoundException", message)
    }

    /// What AWS offers and the local cloud does not.
    pub fn not_offered(what: impl std::fmt::Display) -> Self {
        Self::bad_request(format!("The local cloud does not offer {what}."))
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(500, "InternalServerErrorException", message)
    }

    pub fn respond(&self) -> Response<Body> {
        let body = json!({"message": self.message}).to_string();
        let mut response = answer(self.status, "application/json", whole(body));
        identify(&mut response, &request_id());
        response
            .headers_mut()
            .insert("x-amzn-errortype", HeaderValue::from_static(self.code));
        response
    }
}
