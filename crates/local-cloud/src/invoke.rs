//! How the services of the local cloud run a Lambda function. The executor implements it; event source mappings and
//! other services call it.

use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::deliver::Undelivered;

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

/// A use of a function that its resource policy must allow.
#[derive(Debug, Clone, Copy)]
pub struct Access<'a> {
    /// `lambda:InvokeFunction` or `lambda:InvokeFunctionUrl`.
    pub action: &'static str,
    pub principal: AccessPrincipal<'a>,
    /// `aws:SourceArn`.
    pub source_arn: Option<&'a str>,
    /// `aws:SourceAccount`.
    pub source_account: Option<&'a str>,
    /// `lambda:FunctionUrlAuthType`, for a call of a function URL.
    pub url_auth_type: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessPrincipal<'a> {
    /// Without credentials.
    Anyone,
    /// A service, such as `apigateway.amazonaws.com`.
    Service(&'a str),
    /// A user or role, by ARN.
    Identity(&'a str),
}

/// Runs functions.
pub trait Invoke: Send + Sync + 'static {
    /// Runs the function `arn` (unqualified or qualified) on `payload` and waits until it returns or times out.
    fn invoke<'a>(&'a self, arn: &'a str, payload: Bytes) -> BoxFuture<'a, Invocation>;

    /// Stores an event for the function `arn`, which then runs on it in the background, with the retries and
    /// destinations of an asynchronous invocation.
    ///
    /// # Errors
    /// When the function cannot take the event.
    fn invoke_async(&self, arn: &str, _event: Bytes) -> Result<(), Undelivered> {
        Err(Undelivered {
            code: "ServiceException".to_owned(),
            message: format!("{arn} does not run events in the background"),
        })
    }

    /// Whether the function `arn` exists.
    fn exists(&self, arn: &str) -> bool;

    /// The function's timeout in seconds. `None` if it does not exist.
    fn timeout_seconds(&self, arn: &str) -> Option<u32>;

    /// Whether the execution role of the function `arn` allows the IAM action `action` on `resource`.
    fn may(&self, _arn: &str, _action: &str, _resource: &str) -> bool {
        true
    }

    /// Whether the resource policy of the function `arn` allows `access`.
    fn permits(&self, _arn: &str, _access: &Access<'_>) -> bool {
        true
    }

    /// The ARN of the function's execution role, which events name as `invokeIdentityArn`.
    fn role(&self, _arn: &str) -> Option<String> {
        None
    }
}

/// The functions, for services that are opened before Lambda.
#[derive(Clone, Default)]
pub(crate) struct Functions(Arc<OnceLock<Weak<dyn Invoke>>>);

impl Functions {
    /// Connects the functions, once.
    pub fn connect(&self, functions: &Arc<dyn Invoke>) {
        let _ = self.0.set(Arc::downgrade(functions));
    }

    /// `None` before Lambda is open and after it has closed.
    pub fn get(&self) -> Option<Arc<dyn Invoke>> {
        self.0.get()?.upgrade()
    }
}
