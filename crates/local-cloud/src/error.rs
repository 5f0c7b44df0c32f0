//! Errors in the protocol of the request, for the front door and for services without errors of their own.

use http::header::{CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};

use crate::answer::{answer, identify, request_id, whole};
use crate::query::{self, Xml};
use crate::service::{Protocol, header};
use crate::types::Body;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// Instead of the format of the request.
    format: Option<ErrorFormat>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorFormat {
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

impl ErrorFormat {
    pub fn of(parts: &Parts) -> Self {
        let content_type = header(parts, CONTENT_TYPE.as_str());
        if header(parts, "smithy-protocol") == "rpc-v2-cbor" {
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

impl ApiError {
    /// `status` must be an HTTP error status; any other becomes 500.
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::from_u16(status)
                .ok()
                .filter(|status| status.is_client_error() || status.is_server_error())
                .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            code,
            message: message.into(),
            format: None,
        }
    }

    /// The same, as a service with this protocol writes errors.
    pub fn of(self, protocol: Protocol) -> Self {
        let format = match protocol {
            Protocol::Rpc => None,
            Protocol::RestJson => Some(ErrorFormat::Json),
            Protocol::RestXml => Some(ErrorFormat::S3),
            Protocol::RestXmlEnvelope => Some(ErrorFormat::Query),
        };
        Self { format, ..self }
    }

    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// The response. `format` is that of the request.
    pub fn respond(&self, format: ErrorFormat) -> Response<Body> {
        let format = self.format.unwrap_or(format);
        let id = request_id();
        let body = match format {
            ErrorFormat::Query => self.query_xml(&id),
            ErrorFormat::S3 => self.s3_xml(&id),
            ErrorFormat::Json => serde_json::json!({"__type": self.code, "message": self.message})
                .to_string()
                .into_bytes(),
            ErrorFormat::AmzCbor | ErrorFormat::RpcCbor => self.cbor(),
        };
        let mut response = answer(self.status.as_u16(), format.content_type(), whole(body));
        identify(&mut response, &id);
        if !matches!(format, ErrorFormat::Query | ErrorFormat::S3) {
            response
                .headers_mut()
                .insert("x-amzn-errortype", HeaderValue::from_static(self.code));
        }
        if format == ErrorFormat::RpcCbor {
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

    /// The query services name their errors without the suffix that the JSON services use.
    fn xml_code(&self) -> &'static str {
        self.code.strip_suffix("Exception").unwrap_or(self.code)
    }

    fn query_xml(&self, id: &str) -> Vec<u8> {
        query::error("", self.status.as_u16(), self.xml_code(), &self.message, id)
    }

    fn s3_xml(&self, id: &str) -> Vec<u8> {
        let mut xml = Xml::default();
        xml.element("Error", |xml| {
            xml.leaf("Code", self.xml_code());
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
        let error = ApiError::new(403, "MissingAuthenticationTokenException", "<a & b>");
        let xml = String::from_utf8(error.query_xml("id")).unwrap();
        assert!(xml.contains("<Code>MissingAuthenticationToken</Code>"), "{xml}");
        assert!(xml.contains("&lt;a &amp; b&gt;"), "{xml}");
    }
}
