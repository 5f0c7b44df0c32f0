//! The contract of a service of the local cloud.
//!
//! To add a service:
//! 1. Write a module with a type that implements [`Service`]. Declare its operations with
//!    [`operations!`](crate::operation::operations) and match them without a `_` arm.
//! 2. Open it in [`crate::cloud`], and add one line to the table there, an [`Entry`](crate::services::Entry). Add the
//!    display name to `daemon::SERVICES`: a test checks that the two agree.
//!
//! The front door, the checks of policies, housekeeping, shutdown and resource group tags then include it.

mod permission;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Response;
use http::request::Parts;
use serde_json::Value;

use crate::types::{Body, Caller, Tags};
use daemon::protocol::Damage;
pub(crate) use permission::{Permission, arn, arn_of, operation};

/// A signed request, after the front door has read its body.
pub(crate) struct Request {
    pub caller: Caller,
    pub parts: Parts,
    pub body: Bytes,
}

impl Request {
    /// A header; empty where it is missing or no text.
    pub fn header(&self, name: &str) -> &str {
        header(&self.parts, name)
    }

    /// Service and operation, see [`target`].
    pub fn target(&self) -> Option<(&str, &str)> {
        target(&self.parts)
    }
}

/// A header; empty where it is missing or no text.
pub(crate) fn header<'a>(parts: &'a Parts, name: &str) -> &'a str {
    parts
        .headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// Service and operation of the header `X-Amz-Target` or of a Smithy RPC path. Requests in the query protocol and to
/// REST services have neither.
/// Source: "Smithy RPC v2 CBOR protocol" and "AWS JSON 1.0 protocol", Smithy documentation.
pub(crate) fn target(parts: &Parts) -> Option<(&str, &str)> {
    header(parts, "x-amz-target").split_once('.').or_else(|| {
        parts
            .uri
            .path()
            .strip_prefix("/service/")?
            .split_once("/operation/")
    })
}

/// What the bodies of a service's requests are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Parameters, in JSON, CBOR or a form, as the content type tells.
    Rpc,
    /// Content of any type, or parameters in JSON.
    RestJson,
    /// Content of any type, or parameters in XML. Errors have no envelope, as in S3.
    RestXml,
    /// Parameters in XML. Errors have an envelope.
    RestXmlEnvelope,
}

/// Makes the change of [`Service::change_tags`] in `tags`.
pub(crate) fn apply_tag_change(tags: &mut Tags, operation: &str, input: &Value) {
    if operation == "UntagResource" {
        let keys = input["TagKeys"].as_array().into_iter().flatten();
        for key in keys.filter_map(Value::as_str) {
            tags.remove(key);
        }
        return;
    }
    let given = input["Tags"].as_object().into_iter().flatten();
    let given = given.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
    tags.extend(given);
}

/// A service of the local cloud. See the [module](self) for what else a new service needs: nothing but an entry in the
/// table.
pub(crate) trait Service: Send + Sync + 'static {
    /// Answers a request. Errors are answers too. Work that takes long must not block the thread.
    fn call(self: Arc<Self>, request: Request) -> BoxFuture<'static, Response<Body>>;

    /// The permissions that a request needs. None where the request cannot be read: the call then refuses it.
    /// Source: "Actions, resources, and condition keys for AWS services", Service Authorization Reference.
    fn permissions(&self, request: &Request) -> Vec<Permission>;

    /// HTTP status and error code of a request that a policy does not allow.
    fn access_denied(&self) -> (u16, &'static str) {
        (400, "AccessDeniedException")
    }

    fn protocol(&self) -> Protocol {
        Protocol::Rpc
    }

    /// The largest request body, in bytes.
    fn max_body(&self) -> usize {
        64 << 20
    }

    /// The largest response to a request, in bytes, if it is large. Memory is free for it before the call.
    fn max_response(&self, _request: &Request) -> usize {
        0
    }

    /// Whether a request may take minutes. Its body does not count towards the memory bound meanwhile.
    fn takes_minutes(&self, _request: &Request) -> bool {
        false
    }

    /// Whether a request without signature is for this service. Source: "AWS Security Token Service API reference".
    fn accepts_unsigned(&self, _body: &Bytes) -> bool {
        false
    }

    /// Whether web pages may send requests that are signed, and preflight requests, which are not.
    fn serves_pages(&self) -> bool {
        false
    }

    /// The tagged resources of `caller`, by ARN.
    fn tagged(&self, _caller: &Caller) -> BTreeMap<String, Tags> {
        BTreeMap::new()
    }

    /// Changes the tags of a resource: the operation TagResource or UntagResource of resource group tags. Errors are an
    /// error code and a message.
    fn change_tags(
        self: Arc<Self>,
        _caller: Caller,
        _operation: &'static str,
        _input: Value,
    ) -> BoxFuture<'static, Result<(), (String, String)>> {
        let message = "The local cloud changes these tags by the service's own operations only.";
        async { Err(("InvalidParameterException".to_owned(), message.to_owned())) }.boxed()
    }

    /// Opens the files of an earlier process that are otherwise opened on first use, so that damage is known. Blocks.
    fn open(&self) {}

    /// Its files that are damaged or missing. Called for each health check: it must not read files.
    fn damage(&self) -> Vec<Damage> {
        Vec::new()
    }

    /// Housekeeping, about once a minute: saves, deletes what has expired, records metrics. Blocks.
    fn tick(&self) {}

    /// Ends responses that would go on for minutes: the front door is closing.
    fn end_streams(&self) {}

    /// Saves everything. Blocks; no call follows.
    fn shutdown(&self) {}
}
