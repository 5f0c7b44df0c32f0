//! The HTTP response that a function returns.
//!
//! Source: "Lambda function response for format 1.0" and "2.0", API Gateway developer guide; "Response payload format",
//! Lambda developer guide.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use http::{Response, StatusCode};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::answer::{answer, whole};
use crate::types::Body;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Only a response with a status code is valid.
    One,
    /// Any other JSON value is the body of a response with the status 200.
    Two,
}

/// The function returned no valid response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Invalid;

/// Headers that the server sets.
const OWN: [&str; 8] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-authenticate",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Whether only the server sets a header. `name` is in lower case.
pub(crate) fn is_own(name: &str) -> bool {
    OWN.contains(&name)
}

#[derive(Deserialize)]
struct Probe<'a> {
    #[serde(rename = "statusCode", borrow, default)]
    status: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    status_code: Scalar,
    headers: Option<BTreeMap<String, Option<Scalar>>>,
    multi_value_headers: Option<BTreeMap<String, Vec<Scalar>>>,
    cookies: Option<Vec<String>>,
    body: Option<String>,
    is_base64_encoded: Option<bool>,
}

/// Functions write numbers and booleans where texts are meant.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Whole(i64),
    Number(f64),
    Boolean(bool),
}

impl Scalar {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Whole(number) => number.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Boolean(boolean) => boolean.to_string(),
        }
    }
}

/// The response that the `payload` of a function describes.
///
/// # Errors
/// When it describes none.
pub(crate) fn of_payload(payload: &Bytes, format: Format) -> Result<Response<Body>, Invalid> {
    // A list would be read as the members in their order.
    let is_object = payload.trim_ascii_start().starts_with(b"{");
    let probe = serde_json::from_slice::<Probe<'_>>(payload);
    let has_status = probe.is_ok_and(|probe| probe.status.is_some_and(|status| status.get() != "null"));
    let is_described = is_object && has_status;
    if is_described {
        let described: Described = serde_json::from_slice(payload).map_err(|_| Invalid)?;
        return described.response(format);
    }
    if format == Format::One || serde_json::from_slice::<IgnoredAny>(payload).is_err() {
        return Err(Invalid);
    }
    Ok(answer(200, "application/json", whole(payload.clone())))
}

impl Described {
    fn response(self, format: Format) -> Result<Response<Body>, Invalid> {
        let status: Option<u16> = self.status_code.into_text().parse().ok();
        let status = status.filter(|status| (200..=599).contains(status));
        let status = status.and_then(|status| StatusCode::from_u16(status).ok());
        let body = self.body.unwrap_or_default();
        let body = match self.is_base64_encoded {
            Some(true) => decode(&body)?,
            _ => body.into_bytes(),
        };
        let mut response = Response::new(whole(body));
        *response.status_mut() = status.ok_or(Invalid)?;
        let headers = response.headers_mut();
        for (name, value) in self.headers.into_iter().flatten() {
            if let Some(value) = value {
                put(headers, &name, value.into_text(), false)?;
            }
        }
        match format {
            Format::One => {
                for (name, values) in self.multi_value_headers.into_iter().flatten() {
                    headers.remove(&name);
                    for value in values {
                        put(headers, &name, value.into_text(), true)?;
                    }
                }
            }
            Format::Two => {
                for cookie in self.cookies.into_iter().flatten() {
                    put(headers, SET_COOKIE.as_str(), cookie, true)?;
                }
            }
        }
        if !headers.contains_key(CONTENT_TYPE) {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Ok(response)
    }
}

fn put(headers: &mut HeaderMap, name: &str, value: String, append: bool) -> Result<(), Invalid> {
    let name = HeaderName::try_from(name).map_err(|_| Invalid)?;
    let value = HeaderValue::try_from(value).map_err(|_| Invalid)?;
    if is_own(name.as_str()) {
        return Ok(());
    }
    if append {
        headers.append(name, value);
    } else {
        headers.insert(name, value);
    }
    Ok(())
}

/// Base64 as runtimes write it, with or without padding.
fn decode(text: &str) -> Result<Vec<u8>, Invalid> {
    let text = text.trim_end_matches('=').as_bytes();
    base64_simd::STANDARD_NO_PAD
        .decode_to_vec(text)
        .map_err(|_| Invalid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::whole_body;

    /// Status, headers and body.
    fn shown(payload: &str, format: Format) -> Option<String> {
        let response = of_payload(&Bytes::copy_from_slice(payload.as_bytes()), format).ok()?;
        let mut text = response.status().as_u16().to_string();
        for (name, value) in response.headers() {
            text.push_str(&format!(" {name}={}", value.to_str().unwrap()));
        }
        Some(format!(
            "{text} {}",
            String::from_utf8_lossy(&whole_body(response))
        ))
    }

    #[test]
    fn responses_of_format_2() {
        for (payload, expected) in [
            (r#""Hello""#, r#"200 content-type=application/json "Hello""#),
            (
                r#"{"message":"a"}"#,
                r#"200 content-type=application/json {"message":"a"}"#,
            ),
            ("null", "200 content-type=application/json null"),
            ("[201]", "200 content-type=application/json [201]"),
            (
                r#"{"statusCode":null}"#,
                r#"200 content-type=application/json {"statusCode":null}"#,
            ),
            (r#"{"statusCode":201}"#, "201 content-type=application/json "),
            (
                r#"{"statusCode":"404","body":"x"}"#,
                "404 content-type=application/json x",
            ),
            (
                r#"{"statusCode":200,"headers":{"Content-Type":"text/html","X-N":5,"Connection":"close"},"body":"<p>"}"#,
                "200 content-type=text/html x-n=5 <p>",
            ),
            (
                r#"{"statusCode":200,"cookies":["a=1; Path=/","b=2"],"multiValueHeaders":{"x":["1"]}}"#,
                "200 set-cookie=a=1; Path=/ set-cookie=b=2 content-type=application/json ",
            ),
            (
                r#"{"statusCode":200,"body":"aGk","isBase64Encoded":true,"headers":null}"#,
                "200 content-type=application/json hi",
            ),
        ] {
            assert_eq!(
                shown(payload, Format::Two).as_deref(),
                Some(expected),
                "{payload}"
            );
        }
    }

    #[test]
    fn responses_of_format_1() {
        let payload =
            r#"{"statusCode":200,"headers":{"x":"0"},"multiValueHeaders":{"x":["1","2"]},"cookies":["a"]}"#;
        assert_eq!(
            shown(payload, Format::One).as_deref(),
            Some("200 x=1 x=2 content-type=application/json ")
        );
        for payload in [r#""Hello""#, r#"{"message":"a"}"#, "null"] {
            assert_eq!(shown(payload, Format::One), None, "{payload}");
        }
    }

    #[test]
    fn invalid_responses() {
        for payload in [
            "",
            "not JSON",
            r#"{"statusCode":"ok"}"#,
            r#"{"statusCode":99}"#,
            r#"{"statusCode":1000}"#,
            r#"{"statusCode":200,"body":{"a":1}}"#,
            r#"{"statusCode":200,"headers":{"a b":"c"}}"#,
            r#"{"statusCode":200,"headers":{"a":"b\r\nc: d"}}"#,
            r#"{"statusCode":200,"headers":[]}"#,
            r#"{"statusCode":200,"body":"*","isBase64Encoded":true}"#,
        ] {
            assert_eq!(shown(payload, Format::Two), None, "{payload}");
        }
    }
}
