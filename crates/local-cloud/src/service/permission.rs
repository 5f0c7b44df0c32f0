//! The permissions that requests need: what all services share.

use serde_json::Value;

use super::Request;
use crate::query;
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

/// Operation and parameters of a request in JSON, CBOR or the query protocol. Parameters that cannot be read are `Null`: the
/// operation still needs its permission.
pub(crate) fn operation(request: &Request) -> Option<(String, Value)> {
    if let Some((_, operation)) = request.target() {
        let input = match request.header("content-type").contains("cbor") {
            true => cbor_texts(&request.body),
            false => serde_json::from_slice(&request.body).unwrap_or(Value::Null),
        };
        return Some((operation.to_owned(), input));
    }
    let input = Value::from_iter(query::pairs(&request.body));
    let operation = input["Action"].as_str()?.to_owned();
    Some((operation, input))
}

/// The parameters that are texts, such as names and ARNs.
fn cbor_texts(body: &[u8]) -> Value {
    let Ok(ciborium::Value::Map(entries)) = ciborium::from_reader(body) else {
        return Value::Null;
    };
    entries
        .into_iter()
        .filter_map(|(key, value)| Some((key.into_text().ok()?, Value::from(value.into_text().ok()?))))
        .collect::<serde_json::Map<_, _>>()
        .into()
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
