//! CORS of function URLs and HTTP APIs: what they answer to preflight requests, and the headers that they add to responses.
//!
//! Source: "Configuring CORS for HTTP APIs", API Gateway developer guide; "Cross-origin resource sharing (CORS)", Lambda
//! developer guide.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY,
};
use http::request::Parts;
use http::{Method, Response};
use serde::{Deserialize, Serialize};

use crate::answer::whole;
use crate::types::Body;

/// A configuration. Empty lists are absent ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Cors {
    pub allow_credentials: Option<bool>,
    pub allow_headers: Vec<String>,
    pub allow_methods: Vec<String>,
    pub allow_origins: Vec<String>,
    pub expose_headers: Vec<String>,
    /// Seconds.
    pub max_age: Option<i64>,
}

/// Whether a browser asks which request it may send.
pub(crate) fn is_preflight(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS
        && parts.headers.contains_key(ORIGIN)
        && parts.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

impl Cors {
    /// The answer to a preflight request. It has no CORS header if the origin is not allowed.
    pub fn preflight(&self, status: u16, request: &HeaderMap) -> Response<Body> {
        let mut response = Response::new(whole(""));
        *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
        let headers = response.headers_mut();
        if self.allow(request, headers) {
            set(
                headers,
                ACCESS_CONTROL_ALLOW_METHODS,
                &self.allow_methods.join(","),
            );
            set(
                headers,
                ACCESS_CONTROL_ALLOW_HEADERS,
                &self.allow_headers.join(","),
            );
            let seconds = self.max_age.map(|seconds| seconds.to_string());
            set(headers, ACCESS_CONTROL_MAX_AGE, &seconds.unwrap_or_default());
        }
        response
    }

    /// Adds the headers to the response to a request. Those of the function do not count.
    pub fn apply(&self, request: &HeaderMap, response: &mut HeaderMap) {
        for name in [
            ACCESS_CONTROL_ALLOW_CREDENTIALS,
            ACCESS_CONTROL_ALLOW_HEADERS,
            ACCESS_CONTROL_ALLOW_METHODS,
            ACCESS_CONTROL_ALLOW_ORIGIN,
            ACCESS_CONTROL_EXPOSE_HEADERS,
            ACCESS_CONTROL_MAX_AGE,
        ] {
            response.remove(name);
        }
        if self.allow(request, response) {
            set(
                response,
                ACCESS_CONTROL_EXPOSE_HEADERS,
                &self.expose_headers.join(","),
            );
        }
    }

    /// Allows the origin of a request, if the configuration does.
    fn allow(&self, request: &HeaderMap, response: &mut HeaderMap) -> bool {
        let Some(origin) = request.get(ORIGIN) else {
            return false;
        };
        let Ok(text) = origin.to_str() else { return false };
        if !self.allow_origins.iter().any(|pattern| covers(pattern, text)) {
            return false;
        }
        let is_any = self.allow_origins.iter().any(|pattern| pattern == "*");
        let has_credentials = self.allow_credentials == Some(true);
        if is_any && !has_credentials {
            response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        } else {
            response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            response.append(VARY, HeaderValue::from_static("Origin"));
        }
        if has_credentials {
            response.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        true
    }
}

/// Whether an entry of `AllowOrigins` includes an origin: `*`, a scheme with `*`, or the origin itself.
fn covers(pattern: &str, origin: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => origin
            .get(..start.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(start)),
        None => pattern.eq_ignore_ascii_case(origin),
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if value.is_empty() {
        return;
    }
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    fn shown(headers: &HeaderMap) -> Vec<String> {
        let mut all: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        all.sort();
        all
    }

    fn cors(origins: &[&str], credentials: bool) -> Cors {
        let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
        Cors {
            allow_credentials: credentials.then_some(true),
            allow_headers: texts(&["Content-Type", "Authorization"]),
            allow_methods: texts(&["GET", "POST"]),
            allow_origins: texts(origins),
            expose_headers: texts(&["X-Page"]),
            max_age: Some(86_400),
        }
    }

    #[test]
    fn origins() {
        for (allowed, origin, expected) in [
            (&["*"][..], "https://a.example", Some("*")),
            (
                &["https://a.example"],
                "https://a.example",
                Some("https://a.example"),
            ),
            (
                &["https://A.example"],
                "https://a.example",
                Some("https://a.example"),
            ),
            (&["https://*"], "https://b.example", Some("https://b.example")),
            (&["https://*"], "http://b.example", None),
            (&["https://a.example"], "https://a.example.evil", None),
            (&["https://a.example"], "null", None),
            (&["https://*"], "é", None),
            (&[], "https://a.example", None),
        ] {
            let mut response = HeaderMap::new();
            cors(allowed, false).apply(&headers(&[("origin", origin)]), &mut response);
            let got = response
                .get(ACCESS_CONTROL_ALLOW_ORIGIN)
                .map(|value| value.to_str().unwrap());
            assert_eq!(got, expected, "{allowed:?} {origin}");
        }
    }

    #[test]
    fn a_preflight_is_answered_by_the_configuration() {
        let request = headers(&[
            ("origin", "https://a.example"),
            ("access-control-request-method", "POST"),
        ]);
        let response = cors(&["*"], false).preflight(204, &request);
        assert_eq!(response.status(), 204);
        assert_eq!(
            shown(response.headers()),
            [
                "access-control-allow-headers: Content-Type,Authorization",
                "access-control-allow-methods: GET,POST",
                "access-control-allow-origin: *",
                "access-control-max-age: 86400",
            ]
        );
        let other = cors(&["https://b.example"], false).preflight(204, &request);
        assert!(other.headers().is_empty(), "{other:?}");
    }

    #[test]
    fn the_headers_of_the_function_are_replaced() {
        let mut response = headers(&[
            ("access-control-allow-origin", "https://evil.example"),
            ("x-page", "2"),
        ]);
        let request = headers(&[("origin", "https://a.example")]);
        cors(&["*"], true).apply(&request, &mut response);
        assert_eq!(
            shown(&response),
            [
                "access-control-allow-credentials: true",
                "access-control-allow-origin: https://a.example",
                "access-control-expose-headers: X-Page",
                "vary: Origin",
                "x-page: 2",
            ]
        );
        let mut response = headers(&[("access-control-allow-origin", "*")]);
        cors(&["*"], true).apply(&HeaderMap::new(), &mut response);
        assert!(response.is_empty());
    }
}
