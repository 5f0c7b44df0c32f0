//! Requests and answers of HTTP APIs, REST APIs and function URLs, in the payload formats 1.0 and 2.0.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>. An answer with
//! `statusCode`, `headers`, `body` and `isBase64Encoded` is valid in both formats.
//!
//! Each answer carries the CORS headers, errors too: a page cannot read the status of an answer without them.

use std::collections::HashMap;
use std::future::Future;

use percent_encoding::percent_decode_str;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use crate::json::write_text;
use crate::log::Level;
use crate::runtime::{Diagnostic, Function, Invocation};

/// How long a browser may keep the answer to a preflight request, in seconds.
const PREFLIGHT_SECONDS: &str = "86400";

/// A request, whatever the payload format.
#[derive(Debug, Default)]
pub struct Request {
    /// In upper case.
    pub method: String,
    /// The segments of the path, without the stage, percent-decoded.
    pub path: Vec<String>,
    /// The parameters of the query string. Of a repeated one, what the format keeps.
    pub query: HashMap<String, String>,
    pub body: Vec<u8>,
}

/// The members of an event that a handler needs. Those of format 1.0 and 2.0 have different names.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    version: Option<String>,
    raw_path: Option<String>,
    path: Option<String>,
    http_method: Option<String>,
    #[serde(default)]
    request_context: Context,
    query_string_parameters: Option<HashMap<String, Option<String>>>,
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

#[derive(Default, Deserialize)]
struct Context {
    stage: Option<String>,
    http: Option<Http>,
}

#[derive(Deserialize)]
struct Http {
    method: String,
}

impl Request {
    /// # Errors
    /// The payload is not an event of an HTTP API.
    pub fn parse(payload: &[u8]) -> Result<Self, Diagnostic> {
        let invalid = |reason: String| Diagnostic {
            error_type: "InvalidEvent".to_owned(),
            error_message: format!("the payload is not a request of an HTTP API or a function URL: {reason}"),
        };
        let event: Event = serde_json::from_slice(payload).map_err(|error| invalid(error.to_string()))?;
        let method = event.request_context.http.map(|http| http.method);
        let method = method
            .or(event.http_method)
            .ok_or_else(|| invalid("it names no method".to_owned()))?;
        let path = event
            .raw_path
            .or(event.path)
            .ok_or_else(|| invalid("it names no path".to_owned()))?;
        // Paths of an HTTP API begin with the name of its stage. Those of a REST API, whose events name no version, do not.
        let stage = event.request_context.stage.filter(|_| event.version.is_some());
        let path = without_stage(&path, stage.as_deref());
        let segments = path.split('/').filter(|segment| !segment.is_empty());
        let body = event.body.unwrap_or_default();
        let body = if event.is_base64_encoded {
            base64_simd::STANDARD
                .decode_to_vec(body)
                .map_err(|error| invalid(format!("its body: {error}")))?
        } else {
            body.into_bytes()
        };
        let query = event.query_string_parameters.unwrap_or_default();
        Ok(Self {
            method: method.to_ascii_uppercase(),
            path: segments.map(decoded).collect(),
            query: query
                .into_iter()
                .map(|(name, value)| (name, value.unwrap_or_default()))
                .collect(),
            body,
        })
    }

    /// The segments, to match a route.
    pub fn segments(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    /// The parameter `name` of the query string, unless it is empty.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

fn without_stage<'a>(path: &'a str, stage: Option<&str>) -> &'a str {
    let rest = stage
        .filter(|stage| *stage != "$default")
        .and_then(|stage| path.strip_prefix('/')?.strip_prefix(stage));
    rest.filter(|rest| rest.is_empty() || rest.starts_with('/'))
        .unwrap_or(path)
}

fn decoded(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

/// The answer to a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    /// JSON, or nothing.
    pub body: String,
}

impl Answer {
    /// `body` is JSON.
    pub fn json(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type", "application/json".to_owned())],
            body: body.into(),
        }
    }

    /// `{"message": …}`.
    pub fn message(status: u16, message: &str) -> Self {
        let mut body = String::from("{\"message\":");
        write_text(message, &mut body);
        body.push('}');
        Self::json(status, body)
    }

    pub fn not_found() -> Self {
        Self::message(404, "Not Found")
    }

    /// The path exists, and takes only `allowed`, such as `GET, POST`.
    pub fn not_allowed(allowed: &str) -> Self {
        let mut answer = Self::message(405, "Method Not Allowed");
        answer.headers.push(("Allow", allowed.to_owned()));
        answer
    }

    fn with_cors(mut self, methods: &'static str) -> Self {
        self.headers.extend([
            ("Access-Control-Allow-Origin", "*".to_owned()),
            ("Access-Control-Allow-Methods", methods.to_owned()),
            (
                "Access-Control-Allow-Headers",
                "Content-Type, Authorization".to_owned(),
            ),
        ]);
        self
    }

    #[cfg(test)]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| *header == name);
        found.map(|(_, value)| value.as_str())
    }
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let headers: HashMap<&str, &str> = self
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("statusCode", &self.status)?;
        map.serialize_entry("headers", &headers)?;
        map.serialize_entry("body", &self.body)?;
        map.serialize_entry("isBase64Encoded", &false)?;
        map.end()
    }
}

/// An API: what it answers to each request but the preflights.
pub trait Api {
    /// The methods that a page may use, such as `GET, POST, OPTIONS`.
    const METHODS: &'static str;

    fn respond(&self, request: &Request, invocation: &Invocation) -> impl Future<Output = Answer>;
}

/// The function that serves an API.
pub struct Served<A>(pub A);

impl<A: Api> Function for Served<A> {
    type Answer = Answer;

    async fn answer(&self, payload: &[u8], invocation: &Invocation) -> Result<Answer, Diagnostic> {
        let request = Request::parse(payload)?;
        if request.method == "OPTIONS" {
            // For every path: a page whose preflight fails never sees the answer to its request.
            let mut answer = Answer {
                status: 200,
                headers: Vec::new(),
                body: String::new(),
            };
            answer
                .headers
                .push(("Access-Control-Max-Age", PREFLIGHT_SECONDS.to_owned()));
            return Ok(answer.with_cors(A::METHODS));
        }
        let answer = self.0.respond(&request, invocation).await;
        let level = match answer.status {
            500.. => Level::Error,
            400.. => Level::Warn,
            _ => Level::Info,
        };
        invocation.log.write(level, "request answered", || {
            serde_json::json!({
                "method": request.method,
                "path": format!("/{}", request.path.join("/")),
                "status": answer.status,
            })
        });
        Ok(answer.with_cors(A::METHODS))
    }
}

#[cfg(test)]
mod tests;
