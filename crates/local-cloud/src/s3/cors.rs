//! CORS: preflight requests of browsers, and the headers of responses to pages.
//!
//! Source: "Using cross-origin resource sharing (CORS)" and "How does Amazon S3 evaluate the CORS configuration on a
//! bucket?", S3 user guide.

use http::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue,
    ORIGIN, VARY,
};

use super::S3;
use super::bucket;
use super::call::Reply;
use super::error::{Error, Result};
use super::settings::{self, Setting};
use super::xml::Node;
use crate::types::{Body, Caller};

/// Source: the response to a request of a browser, "Testing CORS", S3 user guide.
const VARIES: &str = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method";

/// A request of a page.
struct Asked<'a> {
    origin: &'a str,
    method: &'a str,
    /// Names of the headers that the page wants to send, in lower case.
    headers: Vec<String>,
}

/// The headers that allow a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Allowed(Vec<(HeaderName, String)>);

impl Allowed {
    pub fn apply(&self, response: &mut Response<Body>) {
        for (name, value) in &self.0 {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers_mut().insert(name, value);
            }
        }
    }
}

/// What the first matching rule allows.
fn allowed(configuration: &Node, asked: &Asked<'_>) -> Option<Allowed> {
    configuration.all("CORSRule").find_map(|rule| {
        let origin = rule
            .all("AllowedOrigin")
            .find(|origin| covers(&origin.text, asked.origin))?;
        rule.all("AllowedMethod")
            .find(|method| method.text == asked.method)?;
        let is_allowed = |header: &String| {
            let mut patterns = rule.all("AllowedHeader");
            patterns.any(|pattern| covers(&pattern.text.to_ascii_lowercase(), header))
        };
        if !asked.headers.iter().all(is_allowed) {
            return None;
        }
        let list = |name: &str, separator: &str| {
            let texts: Vec<&str> = rule.all(name).map(|node| node.text.as_str()).collect();
            texts.join(separator)
        };
        let is_any = origin.text == "*";
        let origin = if is_any { "*" } else { asked.origin };
        let mut headers = vec![
            (ACCESS_CONTROL_ALLOW_ORIGIN, origin.to_owned()),
            (ACCESS_CONTROL_ALLOW_METHODS, list("AllowedMethod", ", ")),
            (ACCESS_CONTROL_ALLOW_HEADERS, asked.headers.join(", ")),
            (ACCESS_CONTROL_EXPOSE_HEADERS, list("ExposeHeader", ", ")),
            (
                ACCESS_CONTROL_MAX_AGE,
                rule.text_of("MaxAgeSeconds").unwrap_or_default().to_owned(),
            ),
            (VARY, VARIES.to_owned()),
        ];
        if !is_any {
            headers.push((ACCESS_CONTROL_ALLOW_CREDENTIALS, "true".to_owned()));
        }
        headers.retain(|(_, value)| !value.is_empty());
        Some(Allowed(headers))
    })
}

/// Whether a pattern with at most one `*` matches.
fn covers(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        Some((start, end)) => {
            text.len() >= start.len() + end.len() && text.starts_with(start) && text.ends_with(end)
        }
        None => pattern == text,
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

impl S3 {
    /// The CORS configuration of a bucket; `None` if it has none, or does not exist.
    fn cors_of(&self, caller: &Caller, name: &str) -> Result<Option<Node>> {
        let found = self
            .database()?
            .read(|db| bucket::find(db, &caller.account, name))?;
        Ok(found.and_then(|bucket| settings::get(&bucket, Setting::Cors)))
    }

    /// The headers for the response to the request of a page. `None` if no rule allows it, or no page has sent it.
    pub(super) fn allowed(
        &self,
        caller: &Caller,
        bucket: &str,
        method: &str,
        headers: &HeaderMap,
    ) -> Option<Allowed> {
        let asked = Asked {
            origin: text(headers, ORIGIN)?,
            method,
            headers: Vec::new(),
        };
        let configuration = self.cors_of(caller, bucket).ok().flatten()?;
        allowed(&configuration, &asked)
    }

    /// Answers the question of a browser whether a page may send a request.
    pub(super) fn preflight(
        &self,
        caller: &Caller,
        bucket: &str,
        headers: &HeaderMap,
    ) -> Result<(Reply, Allowed)> {
        let bad = |message: &str| Error::new(400, "BadRequest", message);
        let origin = text(headers, ORIGIN)
            .ok_or_else(|| bad("Insufficient information. Origin request header needed."))?;
        let method = text(headers, ACCESS_CONTROL_REQUEST_METHOD)
            .ok_or_else(|| bad("Invalid Access-Control-Request-Method: null"))?;
        let wanted = text(headers, ACCESS_CONTROL_REQUEST_HEADERS).unwrap_or_default();
        let wanted = wanted.split(',').map(|name| name.trim().to_ascii_lowercase());
        let asked = Asked {
            origin,
            method,
            headers: wanted.filter(|name| !name.is_empty()).collect(),
        };
        let forbidden = |message: &str| Error::new(403, "AccessForbidden", message).with("Method", method);
        let configuration = self
            .cors_of(caller, bucket)?
            .ok_or_else(|| forbidden("CORSResponse: CORS is not enabled for this bucket."))?;
        let allowed = allowed(&configuration, &asked).ok_or_else(|| {
            forbidden(
                "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request \
                 method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the \
                 resource's CORS spec.",
            )
        })?;
        Ok((Reply::empty(200), allowed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIGURATION: &str = "<CORSConfiguration>\
        <CORSRule><AllowedOrigin>https://*.shop.example</AllowedOrigin><AllowedOrigin>http://localhost:3000</AllowedOrigin>\
        <AllowedMethod>PUT</AllowedMethod><AllowedMethod>GET</AllowedMethod><AllowedHeader>content-*</AllowedHeader>\
        <AllowedHeader>X-Amz-Date</AllowedHeader><ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>60</MaxAgeSeconds></CORSRule>\
        <CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule></CORSConfiguration>";

    /// The value of Access-Control-Allow-Origin.
    fn origin(origin: &str, method: &str, headers: &[&str]) -> Option<String> {
        let configuration = crate::s3::xml::parse(CONFIGURATION.as_bytes(), "CORSConfiguration").unwrap();
        let asked = Asked {
            origin,
            method,
            headers: headers.iter().map(|name| (*name).to_owned()).collect(),
        };
        let Allowed(headers) = allowed(&configuration, &asked)?;
        let found = headers
            .into_iter()
            .find(|(name, _)| *name == ACCESS_CONTROL_ALLOW_ORIGIN);
        found.map(|(_, value)| value)
    }

    #[test]
    fn the_first_matching_rule_counts() {
        let shop = "https://a.shop.example";
        for (from, method, headers, expected) in [
            (shop, "PUT", &["content-type", "x-amz-date"][..], Some(shop)),
            (shop, "GET", &[], Some(shop)),
            ("http://localhost:3000", "PUT", &[], Some("http://localhost:3000")),
            ("https://b.example", "GET", &[], Some("*")),
            ("https://b.example", "PUT", &[], None),
            ("https://b.example", "GET", &["x-other"], None),
            (shop, "PUT", &["x-other"], None),
            (shop, "DELETE", &[], None),
            ("https://shop.example", "PUT", &[], None),
            ("https://a.shop.example.evil", "PUT", &[], None),
            ("null", "PUT", &[], None),
        ] {
            assert_eq!(
                origin(from, method, headers).as_deref(),
                expected,
                "{from} {method} {headers:?}"
            );
        }
        assert!(!covers("ab*ba", "aba"), "the star does not overlap");
    }
}
