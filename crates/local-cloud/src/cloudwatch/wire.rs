//! CloudWatch's three protocols: smithy RPC v2 CBOR, AWS JSON 1.0 and AWS query.
//!
//! A request of any of them becomes a tree of JSON values, an answer is a tree of [`Out`]; operations know no protocol.
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

use super::fault::Fault;
use crate::Body;
use crate::answer::{answer, identify, request_id, whole};
use crate::query::pairs;

/// The service's name in paths and targets.
const SERVICE: &str = "GraniteServiceVersion20100801";
/// API version of the query protocol.
const VERSION: &str = "2010-08-01";
/// Bound of a request after decompression: 1,000 metrics of 150 values fit.
const MAX_BODY: u64 = 16 * 1024 * 1024;

/// The protocol of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// `POST /service/GraniteServiceVersion20100801/operation/Name`, CBOR: the AWS SDK for Rust.
    Cbor,
    /// `X-Amz-Target: GraniteServiceVersion20100801.Name`, JSON: boto3 and the AWS CLI.
    Json,
    /// `Action=Name&...`, answered in XML: older SDKs.
    Query,
}

macro_rules! operations {
    ($($name:ident),+ $(,)?) => {
        /// The operations answered here.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Operation {
            $($name),+
        }

        impl Operation {
            fn named(name: &str) -> Option<Self> {
                match name {
                    $(stringify!($name) => Some(Self::$name),)+
                    _ => None,
                }
            }

            fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name)),+
                }
            }
        }
    };
}

operations! {
    PutMetricData,
    ListMetrics,
    GetMetricStatistics,
    GetMetricData,
    PutMetricAlarm,
    DescribeAlarms,
    DescribeAlarmsForMetric,
    DescribeAlarmHistory,
    DeleteAlarms,
    SetAlarmState,
    EnableAlarmActions,
    DisableAlarmActions,
    PutDashboard,
    GetDashboard,
    ListDashboards,
    DeleteDashboards,
    TagResource,
    UntagResource,
    ListTagsForResource,
}

/// A value of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Out {
    Text(String),
    Number(f64),
    Whole(i64),
    Flag(bool),
    /// Milliseconds since the epoch.
    Time(i64),
    List(Vec<Out>),
    Struct(Vec<(&'static str, Out)>),
    /// Keys that are data.
    Map(Vec<(String, Out)>),
}

/// What a request turns out to be.
pub(super) struct Request {
    pub(super) protocol: Protocol,
    pub(super) operation: Operation,
    pub(super) input: Result<Map<String, Value>, Fault>,
}

/// Reads a request; `None` where it is for another operation or service.
pub(super) fn read(parts: &Parts, body: &Bytes) -> Option<Request> {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(rest) = parts.uri.path().strip_prefix("/service/") {
        let name = rest.strip_prefix(SERVICE)?.strip_prefix("/operation/")?;
        let operation = Operation::named(name)?;
        let input = plain(parts, body).and_then(|body| cbor::read(&body));
        return Some(Request {
            protocol: Protocol::Cbor,
            operation,
            input,
        });
    }
    if let Some(target) = header("x-amz-target") {
        let operation = Operation::named(target.strip_prefix(SERVICE)?.strip_prefix('.')?)?;
        let input = plain(parts, body).and_then(|body| json::read(&body));
        return Some(Request {
            protocol: Protocol::Json,
            operation,
            input,
        });
    }
    let form = header(CONTENT_TYPE.as_str())
        .is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"));
    // The signature names the service: no other service's form is looked into.
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
    let operation = Operation::named(value("Action")?)?;
    let input = crate::query::read(fields).map_err(|malformed| Fault::malformed(malformed.0));
    Some(Request {
        protocol: Protocol::Query,
        operation,
        input,
    })
}

/// The body, decompressed where the client compressed it (SDKs do so above 10 KiB).
fn plain(parts: &Parts, body: &Bytes) -> Result<Bytes, Fault> {
    let encoding = parts
        .headers
        .get(CONTENT_ENCODING)
        .map_or(&b""[..], HeaderValue::as_bytes);
    match encoding {
        // `aws-chunked` of unsigned uploads is not used by this service.
        b"" | b"identity" => Ok(body.clone()),
        b"gzip" => {
            let mut text = Vec::new();
            flate2::read::MultiGzDecoder::new(&body[..])
                .take(MAX_BODY + 1)
                .read_to_end(&mut text)
                .map_err(|_| Fault::malformed("The request body is not valid gzip data."))?;
            if text.len() as u64 > MAX_BODY {
                return Err(Fault::too_large());
            }
            Ok(text.into())
        }
        _ => Err(Fault::malformed(
            "The Content-Encoding of the request is not supported.",
        )),
    }
}

/// The HTTP answer to a request.
pub(super) fn write(
    protocol: Protocol,
    operation: Operation,
    outcome: Result<Option<Out>, Fault>,
) -> Response<Body> {
    let request_id = request_id();
    let (status, content_type, body) = match (&outcome, protocol) {
        (Ok(out), Protocol::Cbor) => (200, "application/cbor", cbor::write(out.as_ref())),
        (Ok(out), Protocol::Json) => (200, "application/x-amz-json-1.0", json::write(out.as_ref())),
        (Ok(out), Protocol::Query) => (
            200,
            "text/xml",
            query::write(operation.name(), out.as_ref(), &request_id),
        ),
        (Err(fault), Protocol::Cbor) => (
            fault.status(),
            "application/cbor",
            cbor::write(Some(&fault.out())),
        ),
        (Err(fault), Protocol::Json) => (
            fault.status(),
            "application/x-amz-json-1.0",
            json::write(Some(&fault.out())),
        ),
        (Err(fault), Protocol::Query) => (fault.status(), "text/xml", query::write_fault(fault, &request_id)),
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
    if let (Err(fault), true) = (&outcome, protocol != Protocol::Query) {
        headers.insert(
            HeaderName::from_static("x-amzn-query-error"),
            HeaderValue::from_static(fault.query_error()),
        );
    }
    response
}
