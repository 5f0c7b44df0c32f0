//! The permissions that requests need: what all services share.

use serde_json::Value;

use super::Request;
use crate::types::{Caller, partition};

/// An IAM action on a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Permission {
    /// Service prefix and name, such as `kinesis:PutRecord`.
    pub action: String,
    /// An ARN, or `*`.
    pub resource: String,
}

impl Permission {
    pub fn new(prefix: &str, action: &str, resource: Option<String>) -> Self {
        Self {
            action: format!("{prefix}:{action}"),
            resource: resource.unwrap_or_else(|| "*".to_owned()),
        }
    }

    /// The permission for the operation of a request in JSON or in the query protocol; none where it cannot be read.
    /// `resource` gets the operation and the parameters, and returns the ARN of the resource.
    pub fn of_operation(
        prefix: &str,
        request: &Request,
        resource: impl FnOnce(&str, &Value) -> Option<String>,
    ) -> Vec<Self> {
        let Some((operation, input)) = operation(request) else {
            return Vec::new();
        };
        let resource = resource(&operation, &input);
        vec![Self::new(prefix, &operation, resource)]
    }
}

/// Operation and parameters of a request in JSON or in the query protocol.
pub(crate) fn operation(request: &Request) -> Option<(String, Value)> {
    if let Some((_, operation)) = request.header("x-amz-target").split_once('.') {
        let input = serde_json::from_slice(&request.body).ok()?;
        return Some((operation.to_owned(), input));
    }
    let input = form(&request.body);
    let operation = input["Action"].as_str()?.to_owned();
    Some((operation, input))
}

/// The ARN of a resource in the caller's account and region.
pub(crate) fn arn(caller: &Caller, service: &str, resource: &str) -> String {
    format!(
        "arn:{}:{service}:{}:{}:{resource}",
        partition(&caller.region),
        caller.region,
        caller.account
    )
}

/// The ARN of a resource given by name, or by ARN already. `prefix` stands before the name, such as `table/`.
pub(crate) fn arn_of(caller: &Caller, service: &str, prefix: &str, name: &str) -> String {
    if name.starts_with("arn:") {
        name.to_owned()
    } else {
        arn(caller, service, &format!("{prefix}{name}"))
    }
}

/// A form's fields.
fn form(body: &[u8]) -> Value {
    let text = String::from_utf8_lossy(body);
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (decode(name), Value::String(decode(&value.replace('+', " ")))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Resolves `%XX`; leaves what is malformed as it is.
pub(crate) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = text.get(at + 1..at + 3).filter(|_| byte == b'%');
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(escaped) => {
                out.push(escaped);
                at += 3;
            }
            None => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
