//! What the front door itself says no to, in the protocol of the request.

use http::header::{CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};

use crate::Body;
use crate::answer::{answer, identify, request_id, whole};
use crate::query::{self, Xml};

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// Whether it is S3's, whatever the body of the request was.
    is_s3: bool,
}

/// How an error is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Json,
    /// `application/x-amz-cbor-1.1`
    AmzCbor,
    /// Smithy RPC v2 CBOR
    RpcCbor,
    /// XML
    Query,
    /// XML without an envelope
    S3,
}

impl Dialect {
    fn of(parts: &Parts) -> Self {
        let header = |name: &str| {
            parts
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        let content_type = header(CONTENT_TYPE.as_str());
        if header("smithy-protocol") == "rpc-v2-cbor" {
            Self::RpcCbor
        } else if content_type.contains("cbor") {
            Self::AmzCbor
        } else if content_type.contains("x-www-form-urlencoded") {
            Self::Query
        } else {
            Self::Json
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/x-amz-json-1.1",
            Self::AmzCbor => "application/x-amz-cbor-1.1",
            Self::RpcCbor => "application/cbor",
            Self::Query => "text/xml",
            Self::S3 => "application/xml",
        }
    }
}

impl Refusal {
    /// `status` must be an HTTP error status; any other becomes 500.
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::from_u16(status)
                .ok()
                .filter(|status| status.is_client_error() || status.is_server_error())
                .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            code,
            message: message.into(),
            is_s3: false,
        }
    }

    /// What the policies of the caller do not allow, as `service` says it.
    pub fn denied(service: &str, message: String) -> Self {
        let (status, code) = match service {
            "s3" | "sqs" | "lambda" | "iam" | "sts" | "monitoring" => (403, "AccessDeniedException"),
            "sns" => (403, "AuthorizationError"),
            _ => (400, "AccessDeniedException"),
        };
        Self {
            is_s3: service == "s3",
            ..Self::new(status, code, message)
        }
    }

    /// The answer to the request with the head `parts`.
    pub fn answer(&self, parts: &Parts) -> Response<Body> {
        let dialect = if self.is_s3 {
            Dialect::S3
        } else {
            Dialect::of(parts)
        };
        let id = request_id();
        let body = match dialect {
            Dialect::Query | Dialect::S3 => self.xml(&id),
            Dialect::Json => serde_json::json!({"__type": self.code, "message": self.message})
                .to_string()
                .into_bytes(),
            Dialect::AmzCbor | Dialect::RpcCbor => self.cbor(),
        };
        let mut response = answer(self.status.as_u16(), dialect.content_type(), whole(body));
        identify(&mut response, &id);
        if !matches!(dialect, Dialect::Query | Dialect::S3) {
            response
                .headers_mut()
                .insert("x-amzn-errortype", HeaderValue::from_static(self.code));
        }
        if dialect == Dialect::RpcCbor {
            response
                .headers_mut()
                .insert("smithy-protocol", HeaderValue::from_static("rpc-v2-cbor"));
        }
        response
    }

    fn cbor(&self) -> Vec<u8> {
        let fields =
            std::collections::BTreeMap::from([("__type", self.code), ("message", self.message.as_str())]);
        let mut bytes = Vec::new();
        // Writing a map of strings into memory does not fail; an empty body would still carry the status.
        let _ = ciborium::into_writer(&fields, &mut bytes);
        bytes
    }

    fn xml(&self, id: &str) -> Vec<u8> {
        // The query services name their errors without the suffix that the JSON services use.
        let code = self.code.strip_suffix("Exception").unwrap_or(self.code);
        if !self.is_s3 {
            return query::error("", self.status.as_u16(), code, &self.message, id);
        }
        let mut xml = Xml::default();
        xml.element("Error", |xml| {
            xml.leaf("Code", code);
            xml.leaf("Message", &self.message);
            xml.leaf("RequestId", id);
        });
        xml.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_is_escaped() {
        let refusal = Refusal::new(403, "MissingAuthenticationTokenException", "<a & b>");
        let xml = String::from_utf8(refusal.xml("id")).unwrap();
        assert!(xml.contains("<Code>MissingAuthenticationToken</Code>"), "{xml}");
        assert!(xml.contains("&lt;a &amp; b&gt;"), "{xml}");
    }
}
