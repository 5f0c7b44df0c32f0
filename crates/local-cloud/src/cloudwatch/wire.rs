//! CloudWatch's three protocols: smithy RPC v2 CBOR, AWS JSON 1.0 and AWS query.
//!
//! A request in any protocol becomes a tree of JSON values, and an answer is a tree of [`Out`]. Operations know no
//! protocol.
//! Source: the service model ("protocols": smithy-rpc-v2-cbor, json, query; awsQueryCompatible).

mod cbor;
mod json;
mod query;

use std::io::Read;

use bytes::Bytes;
use http::Response;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue};
use http::request::Parts;
use serde_json::{Map, Value};

use super::error::ApiError;
pub(super) use super::out::Out;
use crate::Body;
use crate::answer::{answer, identify, request_id, whole};
use crate::operation::operations;
use crate::query::pairs;

/// Service name in paths and targets.
const SERVICE: &str = "GraniteServiceVersion20100801";
/// API version of the query protocol.
const VERSION: &str = "2010-08-01";
/// Maximum size of a request after decompression: 1,000 metrics with 150 values fit.
const MAX_BODY: u64 = 4 * 1024 * 1024;

/// Protocol of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// `POST /service/GraniteServiceVersion20100801/operation/Name`, CBOR. Used by the AWS SDK for Rust.
    Cbor,
    /// `X-Amz-Target: GraniteServiceVersion20100801.Name`, JSON. Used by boto3 and the AWS CLI.
    Json,
    /// `Action=Name&...`, answered in XML. Used by older SDKs.
    Query,
}

operations! {
    /// The operations answered here.
    pub(super) enum Operation {
        PutMetricData,
        ListMetrics,
        GetMetricStatistics,
        GetMetricData,
        PutMetricAlarm,
        PutCompositeAlarm,
        DescribeAlarms,
        DescribeAlarmsForMetric,
        DescribeAlarmHistory,
        DeleteAlarms,
        SetAlarmState,
        EnableAlarmActions,
        DisableAlarmActions,
        PutAlarmMuteRule,
        GetAlarmMuteRule,
        ListAlarmMuteRules,
        DeleteAlarmMuteRule,
        PutDashboard,
        GetDashboard,
        ListDashboards,
        DeleteDashboards,
        TagResource,
        UntagResource,
        ListTagsForResource,
    }
}

/// A parsed request.
pub(super) struct Request {
    pub(super) protocol: Protocol,
    pub(super) operation: Operation,
    pub(super) input: Result<Map<String, Value>, ApiError>,
}

/// Parses a request. `None` if it is for another operation or service.
pub(super) fn read(parts: &Parts, body: &Bytes) -> Option<Request> {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(rest) = parts.uri.path().strip_prefix("/service/") {
        let name = rest.strip_prefix(SERVICE)?.strip_prefix("/operation/")?;
        let operation = Operation::parse(name)?;
        let input = plain(parts, body).and_then(|body| cbor::read(&body));
        return Some(Request {
            protocol: Protocol::Cbor,
            operation,
            input,
        });
    }
    if let Some(target) = header("x-amz-target") {
        let operation = Operation::parse(target.strip_prefix(SERVICE)?.strip_prefix('.')?)?;
        let input = plain(parts, body).and_then(|body| json::read(&body));
        return Some(Request {
            protocol: Protocol::Json,
            operation,
            input,
        });
    }
    let form = header(CONTENT_TYPE.as_str())
        .is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"));
    // The signature names the service. Do not parse the form of other services.
    let signed_for_other = header("authorization")
        .and_then(|value| value.split("Credential=").nth(1)?.split('/').nth(3))
        .is_some_and(|service| service != "monitoring");
    if signed_for_other || !(form || parts.uri.query().is_some_and(|query| query.contains("Action="))) {
        return None;
    }
    let text = match if form {
        plain(parts, body)
    } else {
        Ok(Bytes::new())
    } {
        Ok(text) => text,
        Err(_) => return None,
    };
    let in_address = parts.uri.query().unwrap_or_default().as_bytes();
    let fields: Vec<(String, String)> = pairs(in_address).chain(pairs(&text)).collect();
    let value = |name: &str| {
        let mut named = fields.iter().filter(|(key, _)| key == name);
        named.next_back().map(|(_, value)| value.as_str())
    };
    if value("Version").is_some_and(|version| version != VERSION) {
        return None;
    }
    let operation = Operation::parse(value("Action")?)?;
    let input = crate::query::read(fields).map_err(|malformed| ApiError::malformed(malformed.0));
    Some(Request {
        protocol: Protocol::Query,
        operation,
        input,
    })
}

/// The name of the operation that a request asks for, for the message that it is not offered.
pub(super) fn operation_name(parts: &Parts, body: &Bytes) -> String {
    if let Some((_, operation)) = crate::service::target(parts) {
        return operation.to_owned();
    }
    let text = plain(parts, body).unwrap_or_default();
    let in_address = parts.uri.query().unwrap_or_default().as_bytes();
    let action = pairs(in_address)
        .chain(pairs(&text))
        .find(|(name, _)| name == "Action");
    action.map_or_else(|| "of this name".to_owned(), |(_, operation)| operation)
}

/// The body, decompressed if necessary. SDKs compress bodies above 10 KiB.
fn plain(parts: &Parts, body: &Bytes) -> Result<Bytes, ApiError> {
    let encoding = parts
        .headers
        .get(CONTENT_ENCODING)
        .map_or(&b""[..], HeaderValue::as_bytes);
    match encoding {
        // This service does not use `aws-chunked`.
        b"" | b"identity" => Ok(body.clone()),
        b"gzip" => {
            let mut text = Vec::new();
            flate2::read::MultiGzDecoder::new(&body[..])
                .take(MAX_BODY + 1)
                .read_to_end(&mut text)
                .map_err(|_| ApiError::malformed("The request body is not valid gzip data."))?;
            if text.len() as u64 > MAX_BODY {
                return Err(ApiError::too_large());
            }
            Ok(text.into())
        }
        _ => Err(ApiError::malformed(
            "The Content-Encoding of the request is not supported.",
        )),
    }
}

pub(super) fn write(
    protocol: Protocol,
    operation: Operation,
    result: Result<Option<Out>, ApiError>,
) -> Response<Body> {
    let request_id = request_id();
    let (status, content_type, body) = match (&result, protocol) {
        (Ok(out), Protocol::Cbor) => (200, "application/cbor", cbor::write(out.as_ref())),
        (Ok(out), Protocol::Json) => (200, "application/x-amz-json-1.0", json::write(out.as_ref())),
        (Ok(out), Protocol::Query) => (
            200,
            "text/xml",
            query::write(operation.as_str(), out.as_ref(), &request_id),
        ),
        (Err(error), Protocol::Cbor) => (
            error.status(),
            "application/cbor",
            cbor::write(Some(&error.out())),
        ),
        (Err(error), Protocol::Json) => (
            error.status(),
            "application/x-amz-json-1.0",
            json::write(Some(&error.out())),
        ),
        (Err(error), Protocol::Query) => (error.status(), "text/xml", query::write_error(error, &request_id)),
    };
    let mut response = answer(status, content_type, whole(body));
    identify(&mut response, &request_id);
    let headers = response.headers_mut();
    if protocol == Protocol::Cbor {
        headers.insert(
            HeaderName::from_static("smithy-protocol"),
            HeaderValue::from_static("rpc-v2-cbor"),
        );
    }
    if let (Err(error), true) = (&result, protocol != Protocol::Query) {
        headers.insert(
            HeaderName::from_static("x-amzn-query-error"),
            HeaderValue::from_static(error.query_error()),
        );
    }
    response
}
