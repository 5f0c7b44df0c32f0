//! Errors of the control plane.
//!
//! Source: the errors of each operation in the CloudFront API reference, and their statuses in the SDK's model.

use http::Response;

use crate::answer::{answer, identify, request_id, whole};
use crate::query;
use crate::types::Body;

pub(super) const NAMESPACE: &str = "http://cloudfront.amazonaws.com/doc/2020-05-31/";

pub(super) type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Error {
    pub status: u16,
    pub code: &'static str,
    pub message: String,
}

impl Error {
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    pub fn argument(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidArgument", message)
    }

    pub fn malformed() -> Self {
        Self::new(400, "MalformedXML", "The XML document is malformed.")
    }

    /// What AWS offers and the local cloud does not.
    pub fn not_offered(what: impl std::fmt::Display) -> Self {
        Self::argument(format!("The local cloud does not offer {what} of CloudFront."))
    }

    pub fn no_distribution() -> Self {
        Self::new(
            404,
            "NoSuchDistribution",
            "The specified distribution does not exist.",
        )
    }

    pub fn no_access_control() -> Self {
        Self::new(
            404,
            "NoSuchOriginAccessControl",
            "The specified origin access control does not exist.",
        )
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(500, "InternalError", message)
    }

    pub fn respond(&self) -> Response<Body> {
        let id = request_id();
        let document = query::error(NAMESPACE, self.status, self.code, &self.message, &id);
        let mut response = answer(self.status, "text/xml", whole(document));
        identify(&mut response, &id);
        response
    }
}
