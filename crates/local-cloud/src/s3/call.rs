//! A request to S3 and its response.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use super::error::{Error, Result};
use super::payload::Payload;
use super::route::{Operation, Route};
use super::xml::{self, NAMESPACE, Node};
use crate::answer::whole;
use crate::query::{Xml, percent_encode};
use crate::types::{Body, Caller};

/// The most entries in a page of a listing.
pub(super) const MAX_ENTRIES: usize = 1000;

pub(super) struct Call {
    pub caller: Caller,
    pub operation: Operation,
    pub route: Route,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub now_ms: i64,
    pub request_id: String,
}

impl Call {
    pub fn bucket(&self) -> &str {
        &self.route.bucket
    }

    pub fn key(&self) -> &str {
        &self.route.key
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.route.parameter(name)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub fn payload(&self) -> Result<Payload> {
        Payload::read(&self.headers, &self.body)
    }

    /// The body as a document with this root element.
    ///
    /// # Errors
    /// MalformedXML; MissingRequestBodyError for an empty one.
    pub fn document(&self, root: &str) -> Result<Node> {
        let document = self.payload()?.document()?;
        if document.is_empty() {
            return Err(Error::new(
                400,
                "MissingRequestBodyError",
                "Request Body is empty",
            ));
        }
        xml::parse(&document, root)
    }

    /// The number of entries in a page, from the parameter `name`.
    ///
    /// # Errors
    /// If it is not a number from 0 to 2,147,483,647.
    pub fn page_size(&self, name: &'static str) -> Result<usize> {
        let Some(given) = self.parameter(name) else {
            return Ok(MAX_ENTRIES);
        };
        let size: i32 = given.parse().map_err(|_| {
            let message = format!("Provided {name} not an integer or within integer range");
            Error::argument(name, given, message)
        })?;
        usize::try_from(size)
            .map(|size| size.min(MAX_ENTRIES))
            .map_err(|_| {
                let message = format!("Argument {name} must be an integer between 0 and 2147483647");
                Error::argument(name, given, message)
            })
    }

    /// Whether names in a listing are percent-encoded.
    ///
    /// # Errors
    /// If the client asks for another encoding.
    pub fn names(&self) -> Result<Names> {
        match self.parameter("encoding-type") {
            None | Some("") => Ok(Names { encoded: false }),
            Some("url") => Ok(Names { encoded: true }),
            Some(other) => Err(Error::argument(
                "encoding-type",
                other,
                "Invalid Encoding Method specified in Request",
            )),
        }
    }
}

/// How a listing writes names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    pub encoded: bool,
}

impl Names {
    pub fn leaf(self, xml: &mut Xml, element: &str, name: &str) {
        if self.encoded {
            // AWS leaves slashes as they are.
            xml.leaf(element, &percent_encode(name).replace("%2F", "/"));
        } else {
            xml.leaf(element, name);
        }
    }

    pub fn announce(self, xml: &mut Xml) {
        if self.encoded {
            xml.leaf("EncodingType", "url");
        }
    }
}

/// The response to a request that succeeded.
pub(super) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Body,
}

impl Reply {
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: whole(Bytes::new()),
        }
    }

    /// A document with the root element `name`.
    pub fn xml(name: &str, content: impl FnOnce(&mut Xml)) -> Self {
        Self::document(&Xml::root(name, NAMESPACE, content))
    }

    /// A document that is written already.
    pub fn document(document: &[u8]) -> Self {
        let mut bytes = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_vec();
        bytes.extend_from_slice(document);
        Self::of(200, "application/xml", whole(bytes))
    }

    pub fn of(status: u16, content_type: &str, body: Body) -> Self {
        let mut reply = Self {
            status,
            headers: Vec::new(),
            body,
        };
        reply.set(CONTENT_TYPE.as_str(), content_type);
        reply
    }

    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.headers.retain(|(set, _)| set != name);
        self.headers.push((name.to_owned(), value.into()));
    }

    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.set(name, value);
        self
    }
}

/// The response to a request, whose path is `resource`.
pub(super) fn respond(
    result: Result<Reply>,
    request_id: &str,
    resource: &str,
    is_head: bool,
) -> Response<Body> {
    let host_id = base64_simd::STANDARD.encode_to_string(request_id);
    let reply = result.unwrap_or_else(|error| {
        let document = error.to_xml(resource, request_id, &host_id);
        // A response to HEAD, and one that says that nothing has changed, has no body.
        let mut reply = match is_head || error.status == 304 {
            true => Reply::empty(error.status),
            false => Reply {
                status: error.status,
                ..Reply::document(&document)
            },
        };
        for (name, value) in error.headers {
            reply.set(name, value);
        }
        reply
    });
    let mut response = Response::new(reply.body);
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    let own = [("x-amz-request-id", request_id), ("x-amz-id-2", &host_id)];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    for (name, value) in reply.headers.into_iter().chain(own) {
        // A value that a client could send can be sent back.
        if let (Ok(name), Ok(value)) = (
            HeaderName::try_from(name.as_str()),
            HeaderValue::from_bytes(value.as_bytes()),
        ) {
            headers.insert(name, value);
        }
    }
    response
}
