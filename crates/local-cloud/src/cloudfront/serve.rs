//! Answers requests to distributions.
//!
//! Source: "How CloudFront processes requests and responses", "Generate custom error responses" and "Specify a default root
//! object", CloudFront developer guide.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{HeaderMap, HeaderName, HeaderValue, LOCATION, VIA};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;

use super::CloudFront;
use super::bucket_policy::BucketPolicy;
use super::model::{Distribution, Origin};
use super::policies;
use super::read::bucket_of;
use crate::answer::{answer, blocking, request_id, whole};
use crate::metrics::Sample;
use crate::query::Xml;
use crate::types::{Body, Caller};
use crate::web::{Web, WebRequest};

/// Headers of the viewer that reach the bucket.
const FORWARDED: [&str; 5] = [
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-unmodified-since",
    "range",
];
/// Those that the policy CORS-S3Origin adds.
const FORWARDED_FOR_CORS: [&str; 3] = [
    "origin",
    "access-control-request-headers",
    "access-control-request-method",
];

impl Web for CloudFront {
    fn serve(self: Arc<Self>, request: WebRequest) -> BoxFuture<'static, Response<Body>> {
        Box::pin(
            async move { blocking(move || self.answer(&request), |message| refused(503, message)).await },
        )
    }
}

impl CloudFront {
    /// Blocks.
    fn answer(&self, request: &WebRequest) -> Response<Body> {
        let id = request_id();
        let mut response = match self.found(request) {
            Ok(distribution) => {
                let mut response = self.respond(&distribution, request);
                if let Some(policy) = &distribution.config.behavior.response_headers_policy {
                    policies::apply(policy, &request.parts.headers, response.headers_mut());
                }
                self.measure(&distribution, response.status());
                response
            }
            Err((status, why)) => refused(status, &why),
        };
        let is_error = response.status().as_u16() >= 400;
        let headers = response.headers_mut();
        let cache = match is_error {
            true => "Error from cloudfront",
            false => "Miss from cloudfront",
        };
        headers.insert("x-cache", HeaderValue::from_static(cache));
        headers.insert(VIA, HeaderValue::from_static("1.1 localhost (CloudFront)"));
        if let Ok(id) = HeaderValue::try_from(id) {
            headers.insert("x-amz-cf-id", id);
        }
        response
    }

    /// The distribution that a request is for, or the status of the error and why.
    fn found(&self, request: &WebRequest) -> Result<Arc<Distribution>, (u16, String)> {
        let address = &request.address;
        let found = self.store.distributions.get(&address.id.to_ascii_uppercase());
        let found = found.map_err(|error| (503, error.message))?;
        let found = found.filter(|distribution| distribution.config.enabled);
        found.ok_or_else(|| (403, "There is no enabled distribution with this id.".to_owned()))
    }

    fn respond(&self, distribution: &Distribution, request: &WebRequest) -> Response<Body> {
        let config = &distribution.config;
        let method = &request.parts.method;
        if !config
            .behavior
            .methods
            .iter()
            .any(|allowed| allowed == method.as_str())
        {
            return refused(
                403,
                "This distribution is not configured to allow the HTTP request method that was used for this request.",
            );
        }
        match &request.body {
            Ok(body) if body.is_empty() => {}
            Ok(_) => return refused(403, "A GET or HEAD request has no body."),
            Err(status) => return refused(*status, "The body of the request could not be read."),
        }
        let mut origins = config.origins.iter();
        let Some(origin) = origins.find(|origin| origin.id == config.behavior.target) else {
            return refused(502, "The distribution has no such origin.");
        };
        let (address, full) = (&request.address, request.parts.uri.path());
        // Links of a page are relative to its directory, which is the distribution.
        if address.in_path() && address.path == "/" && !full.ends_with('/') {
            return redirect(&format!("{full}/"));
        }
        let path = match address.path.as_str() {
            "/" => format!("/{}", config.default_root_object),
            path => path.to_owned(),
        };
        let fetch = Fetch {
            cloudfront: self,
            distribution,
            origin,
        };
        let headers = fetch.forwarded(&request.parts.headers);
        let response = fetch.get(method, &path, headers);
        fetch.with_error_page(method, response)
    }

    /// Source: "View CloudFront and edge function metrics", CloudFront developer guide.
    fn measure(&self, distribution: &Distribution, status: StatusCode) {
        let caller = Caller {
            account: distribution.account.clone(),
            region: "us-east-1".to_owned(),
        };
        let dimensions = [("DistributionId", distribution.id.as_str()), ("Region", "Global")];
        let percent = |is_so: bool| if is_so { 100.0 } else { 0.0 };
        for (name, unit, value) in [
            ("Requests", "None", 1.0),
            ("4xxErrorRate", "Percent", percent(status.is_client_error())),
            ("5xxErrorRate", "Percent", percent(status.is_server_error())),
            (
                "TotalErrorRate",
                "Percent",
                percent(status.is_client_error() || status.is_server_error()),
            ),
        ] {
            let sample = Sample::of(value);
            self.metrics
                .record(&caller, "AWS/CloudFront", name, &dimensions, unit, sample);
        }
    }
}

/// Reads from the bucket of an origin.
struct Fetch<'a> {
    cloudfront: &'a CloudFront,
    distribution: &'a Distribution,
    origin: &'a Origin,
}

impl Fetch<'_> {
    fn forwarded(&self, headers: &HeaderMap) -> HeaderMap {
        let policy = self.distribution.config.behavior.origin_request_policy.as_deref();
        let cors = FORWARDED_FOR_CORS
            .iter()
            .filter(|_| policy == Some(policies::CORS_S3_ORIGIN));
        let mut forwarded = HeaderMap::new();
        for name in FORWARDED.iter().chain(cors) {
            if let Some(value) = headers.get(*name) {
                forwarded.insert(HeaderName::from_static(name), value.clone());
            }
        }
        forwarded
    }

    /// The response of the bucket to a request for `path`, which begins with a slash and is percent-encoded. The query of the
    /// viewer does not reach the bucket.
    fn get(&self, method: &Method, path: &str, headers: HeaderMap) -> Response<Body> {
        let Some((bucket, region)) = bucket_of(&self.origin.domain_name) else {
            return refused(502, "The origin is no bucket.");
        };
        let Distribution {
            account, partition, ..
        } = self.distribution;
        let policy = self.cloudfront.buckets.policy(account, bucket);
        let policy = policy.and_then(|policy| BucketPolicy::read(&policy, &self.distribution.arn(), account));
        let allows = |action: &str, resource: &str| {
            let arn = format!("arn:{partition}:s3:::{resource}");
            policy.as_ref().is_some_and(|policy| policy.allows(action, &arn))
        };
        let path = format!("{}{path}", self.origin.path);
        let key = path.strip_prefix('/').unwrap_or(&path);
        let key = percent_decode_str(key).decode_utf8_lossy();
        let may_list = allows("s3:ListBucket", bucket);
        let is_allowed = match key.as_ref() {
            "" => may_list,
            key => allows("s3:GetObject", &format!("{bucket}/{key}")),
        };
        if !is_allowed {
            return access_denied(method);
        }
        let Some(parts) = parts(method, &format!("/{bucket}{path}"), headers) else {
            return refused(400, "The path of the request is not valid.");
        };
        let caller = Caller {
            account: account.clone(),
            region: region.unwrap_or("us-east-1").to_owned(),
        };
        let mut response = self.cloudfront.buckets.answer(caller, parts);
        // Only who may list a bucket learns that an object does not exist. Source: GetObject, S3 API reference.
        if response.status() == StatusCode::NOT_FOUND && !may_list {
            return access_denied(method);
        }
        for name in ["x-amz-id-2", "x-amz-request-id"] {
            response.headers_mut().remove(name);
        }
        response
    }

    /// The page that the distribution has for the status of `response`, or else `response`.
    fn with_error_page(&self, method: &Method, response: Response<Body>) -> Response<Body> {
        let status = response.status().as_u16();
        let mut errors = self.distribution.config.errors.iter();
        let page = errors
            .find(|error| error.code == status)
            .and_then(|error| error.page.as_ref());
        let Some((path, code)) = page else {
            return response;
        };
        let mut page = self.get(method, path, HeaderMap::new());
        if page.status() != StatusCode::OK {
            return response;
        }
        *page.status_mut() = StatusCode::from_u16(*code).unwrap_or(StatusCode::OK);
        page
    }
}

/// A request with path-style address. A path with a query would name another operation of S3.
fn parts(method: &Method, path: &str, headers: HeaderMap) -> Option<Parts> {
    if path.contains(['?', '#']) {
        return None;
    }
    let request = Request::builder().method(method.clone()).uri(path).body(());
    let (mut parts, ()) = request.ok()?.into_parts();
    parts.headers = headers;
    Some(parts)
}

/// The error of S3, which CloudFront passes on.
fn access_denied(method: &Method) -> Response<Body> {
    let mut xml = Xml::default();
    xml.element("Error", |xml| {
        xml.leaf("Code", "AccessDenied");
        xml.leaf("Message", "Access Denied");
    });
    let body = match *method == Method::HEAD {
        true => Bytes::new(),
        false => xml.into_bytes().into(),
    };
    answer(403, "application/xml", whole(body))
}

/// An error of CloudFront itself.
fn refused(status: u16, why: &str) -> Response<Body> {
    let why = ground::xml::escape(why);
    let page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>ERROR: The request could not be satisfied\
         </title></head><body><h1>{status} ERROR</h1><h2>The request could not be satisfied.</h2><p>{why}</p></body></html>\n"
    );
    answer(status, "text/html", whole(page))
}

fn redirect(path: &str) -> Response<Body> {
    let mut response = answer(301, "text/html", whole(Bytes::new()));
    if let Ok(path) = HeaderValue::try_from(path) {
        response.headers_mut().insert(LOCATION, path);
    }
    response
}
