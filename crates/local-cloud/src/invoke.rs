//! How the services of the local cloud run a Lambda function. The executor implements it; event source mappings and
//! other services call it.

use bytes::Bytes;
use futures_util::future::BoxFuture;

/// A synchronous invocation that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// The invocation's request id, a UUID.
    pub request_id: String,
    /// The version that ran, such as `$LATEST` or `7`; `None` if none was found.
    pub executed_version: Option<String>,
    pub result: InvokeResult,
}

/// Result of an invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvokeResult {
    /// The function returned this payload.
    Returned(Bytes),
    /// The function threw, crashed, timed out or did not start.
    /// Source: `FunctionError`, Invoke, Lambda API reference.
    FunctionError {
        /// `Unhandled`, or `Handled` where the function itself reported the error.
        kind: &'static str,
        /// The error object, `{"errorMessage":…,"errorType":…}`.
        payload: Bytes,
    },
    /// Did not run: the concurrency limit is reached. The caller may retry.
    Throttled,
    /// Did not run: the function is unknown or not Active, or the payload is too large.
    Refused {
        /// AWS's error code, such as `ResourceNotFoundException`.
        code: String,
        message: String,
    },
}

/// Runs functions.
pub trait Invoke: Send + Sync + 'static {
    /// Runs the function `arn` (unqualified or qualified) on `payload` and waits until it returns or times out.
    fn invoke<'a>(&'a self, arn: &'a str, payload: Bytes) -> BoxFuture<'a, Invocation>;

    /// Whether the function `arn` exists.
    fn exists(&self, arn: &str) -> bool;

    /// The function's timeout in seconds. `None` if it does not exist.
    fn timeout_seconds(&self, arn: &str) -> Option<u32>;

    /// Whether the execution role of the function `arn` allows the IAM action `action` on `resource`.
    fn may(&self, _arn: &str, _action: &str, _resource: &str) -> bool {
        true
    }

    /// The ARN of the function's execution role, which events name as `invokeIdentityArn`.
    fn role(&self, _arn: &str) -> Option<String> {
        None
    }
}
