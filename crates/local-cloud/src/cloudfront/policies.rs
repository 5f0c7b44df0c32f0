//! The policies that CloudFront manages, as far as the local cloud has them. Nothing is cached here: cache policies are known
//! by their id only.
//!
//! Source: "Use managed cache policies", "Use managed origin request policies" and "Use managed response headers policies",
//! CloudFront developer guide.

use http::header::{HeaderMap, HeaderName, HeaderValue, ORIGIN};

use super::error::{Error, Result};

/// CachingOptimized, CachingDisabled, CachingOptimizedForUncompressedObjects, UseOriginCacheControlHeaders.
const CACHE: [&str; 4] = [
    "658327ea-f89d-4fab-a63d-7e88639e58f6",
    "4135ea2d-6df8-44a3-9df3-4b5a84be39ad",
    "b2884449-e4de-46a7-ac36-70bc7f1ddd6d",
    "83da9c7e-98b4-4e11-a168-04f0df8e2c65",
];
/// CORS-S3Origin.
pub(super) const CORS_S3_ORIGIN: &str = "88a5eaf4-2fd4-4709-b370-b4c650ea3fcf";
const SIMPLE_CORS: &str = "60669652-455b-4ae9-85a4-c4c02393f86c";
const SECURITY_HEADERS: &str = "67f7725c-6f97-4210-82d7-5512b31e9d03";
const CORS_AND_SECURITY_HEADERS: &str = "e61eb60c-9c35-4d20-a928-2b84e02af89c";

/// Name, value, and whether it replaces the header of the origin.
const SECURITY: [(&str, &str, bool); 5] = [
    ("referrer-policy", "strict-origin-when-cross-origin", false),
    ("strict-transport-security", "max-age=31536000", false),
    ("x-content-type-options", "nosniff", true),
    ("x-frame-options", "SAMEORIGIN", false),
    ("x-xss-protection", "1; mode=block", false),
];

pub(super) fn cache(id: &str) -> Result<&str> {
    match CACHE.contains(&id) {
        true => Ok(id),
        false => Err(missing(
            "NoSuchCachePolicy",
            "cache policies other than CachingOptimized, CachingDisabled, CachingOptimizedForUncompressedObjects and \
             UseOriginCacheControlHeaders",
        )),
    }
}

pub(super) fn origin_request(id: &str) -> Result<String> {
    match id {
        CORS_S3_ORIGIN => Ok(id.to_owned()),
        _ => Err(missing(
            "NoSuchOriginRequestPolicy",
            "origin request policies other than CORS-S3Origin",
        )),
    }
}

pub(super) fn response_headers(id: &str) -> Result<String> {
    match id {
        SIMPLE_CORS | SECURITY_HEADERS | CORS_AND_SECURITY_HEADERS => Ok(id.to_owned()),
        _ => Err(missing(
            "NoSuchResponseHeadersPolicy",
            "response headers policies other than SecurityHeadersPolicy, SimpleCORS and CORS-and-SecurityHeadersPolicy",
        )),
    }
}

fn missing(code: &'static str, what: &str) -> Error {
    Error::new(404, code, format!("The local cloud does not offer {what}."))
}

/// Adds the headers of a response headers policy.
pub(super) fn apply(policy: &str, request: &HeaderMap, response: &mut HeaderMap) {
    let mut set = |name: &'static str, value: &'static str, replaces: bool| {
        let name = HeaderName::from_static(name);
        if replaces || !response.contains_key(&name) {
            response.insert(name, HeaderValue::from_static(value));
        }
    };
    if [SECURITY_HEADERS, CORS_AND_SECURITY_HEADERS].contains(&policy) {
        for (name, value, replaces) in SECURITY {
            set(name, value, replaces);
        }
    }
    if [SIMPLE_CORS, CORS_AND_SECURITY_HEADERS].contains(&policy) && request.contains_key(ORIGIN) {
        set("access-control-allow-origin", "*", false);
    }
}
