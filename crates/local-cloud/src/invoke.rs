//! The interface by which services invoke Lambda functions.

use bytes::Bytes;
use futures_util::future::BoxFuture;

/// How a synchronous invocation came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// The invocation's request id, a UUID.
    pub request_id: String,
    /// What came back.
    pub outcome: Outcome,
}

/// What came back of an invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The function returned this.
    Returned(Bytes),
    /// The function threw, crashed, timed out or did not start.
    /// Source: `FunctionError`, Invoke, Lambda API reference.
    FunctionError {
        /// `Unhandled`, or `Handled` where the function itself reported the error.
        kind: &'static str,
        /// The error object, `{"errorMessage":…,"errorType":…}`.
        payload: Bytes,
    },
    /// No instance was free within the concurrency limits. Did not run; try again later.
    Throttled,
    /// Could not run at all: unknown function, payload too large, not Active.
    Refused {
        /// AWS's error code, such as `ResourceNotFoundException`.
        code: String,
        message: String,
    },
}

/// Runs functions.
pub trait Invoke: Send + Sync + 'static {
    /// Runs the function `arn` (unqualified or qualified) on `payload` and waits for it to end, also by its timeout.
    fn invoke<'a>(&'a self, arn: &'a str, payload: Bytes) -> BoxFuture<'a, Invocation>;

    /// Whether there is a function `arn`.
    fn exists(&self, arn: &str) -> bool;

    /// The function's timeout in seconds, if there is such a function.
    fn timeout_seconds(&self, arn: &str) -> Option<u32>;

    /// Whether the role of the function `arn` allows it the IAM action `action` on `resource`.
    fn may(&self, _arn: &str, _action: &str, _resource: &str) -> bool {
        true
    }

    /// The ARN of the function's execution role, which events name as `invokeIdentityArn`.
    fn role(&self, _arn: &str) -> Option<String> {
        None
    }
}
