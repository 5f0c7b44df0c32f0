//! Calls of an action of a service in the name of a role, for the integrations of REST APIs.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Response;

use crate::types::{Body, Caller};

/// A call of an action of Kinesis.
#[derive(Debug)]
pub(crate) struct Call {
    /// Account and region.
    pub caller: Caller,
    /// The ARN of the role.
    pub role: String,
    /// Such as `PutRecord`.
    pub action: &'static str,
    pub content_type: String,
    pub body: Bytes,
}

/// API Gateway cannot assume the role: it does not exist, or does not trust API Gateway.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotAssumed;

pub(crate) trait Actions: Send + Sync + 'static {
    /// Calls an action. Errors of the service, and a policy that does not allow the action, are responses too.
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Response<Body>, NotAssumed>>;
}
