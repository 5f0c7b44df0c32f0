//! Errors of S3.
//!
//! Source: "Error responses", S3 API reference.

use crate::query::Xml;

pub(super) type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Error {
    pub status: u16,
    pub code: &'static str,
    pub message: String,
    /// Elements after the message, such as `Key`.
    pub details: Vec<(&'static str, String)>,
    pub headers: Vec<(&'static str, String)>,
}

impl Error {
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            details: Vec::new(),
            headers: Vec::new(),
        }
    }

    pub fn with(mut self, element: &'static str, value: impl Into<String>) -> Self {
        self.details.push((element, value.into()));
        self
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn argument(name: &str, value: &str, message: impl Into<String>) -> Self {
        Self::new(400, "InvalidArgument", message)
            .with("ArgumentName", name)
            .with("ArgumentValue", value)
    }

    pub fn request(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidRequest", message)
    }

    pub fn malformed_xml() -> Self {
        Self::new(
            400,
            "MalformedXML",
            "The XML you provided was not well-formed or did not validate against our published schema",
        )
    }

    pub fn no_bucket(name: &str) -> Self {
        Self::new(404, "NoSuchBucket", "The specified bucket does not exist").with("BucketName", name)
    }

    pub fn no_key(key: &str) -> Self {
        Self::new(404, "NoSuchKey", "The specified key does not exist.").with("Key", key)
    }

    pub fn no_version(key: &str, version: &str) -> Self {
        Self::new(404, "NoSuchVersion", "The specified version does not exist.")
            .with("Key", key)
            .with("VersionId", version)
    }

    pub fn no_upload(id: &str) -> Self {
        Self::new(
            404,
            "NoSuchUpload",
            "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or \
             completed.",
        )
        .with("UploadId", id)
    }

    pub fn precondition(condition: &str) -> Self {
        Self::new(
            412,
            "PreconditionFailed",
            "At least one of the pre-conditions you specified did not hold",
        )
        .with("Condition", condition)
    }

    pub fn access_denied(message: &str) -> Self {
        Self::new(403, "AccessDenied", message)
    }

    /// For what AWS offers and the local cloud does not.
    pub fn not_offered(what: impl std::fmt::Display) -> Self {
        Self::new(
            501,
            "NotImplemented",
            format!("The local cloud does not offer {what} of S3."),
        )
    }

    fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "S3 failed to process a request");
        Self::new(
            500,
            "InternalError",
            format!("We encountered an internal error. Please try again. ({cause})"),
        )
    }

    /// The body of the response.
    pub fn to_xml(&self, resource: &str, request_id: &str, host_id: &str) -> Vec<u8> {
        let mut xml = Xml::default();
        xml.element("Error", |xml| {
            xml.leaf("Code", self.code);
            xml.leaf("Message", &self.message);
            for (name, value) in &self.details {
                xml.leaf(name, value);
            }
            xml.leaf("Resource", resource);
            xml.leaf("RequestId", request_id);
            xml.leaf("HostId", host_id);
        });
        xml.into_bytes()
    }
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        Self::internal(error)
    }
}
