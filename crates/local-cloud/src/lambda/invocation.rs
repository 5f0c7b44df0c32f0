//! The Invoke operation.
//! Source: Invoke, Lambda API reference.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::header::{HeaderName, HeaderValue};
use http::request::Parts;
use serde::de::IgnoredAny;

use super::Lambda;
use super::error::{ApiError, Result};
use super::executor::{Call, Run};
use super::name::{FunctionName, LATEST};
use super::route::Route;
use crate::answer::{answer, identify, request_id, whole};
use crate::invoke::InvokeResult;
use crate::{Body, Caller};

/// Maximum payload of a synchronous invocation. Source: "Lambda quotas", Lambda developer guide: 6 MB.
pub(super) const MAX_SYNCHRONOUS: usize = 6 * 1024 * 1024;
/// Maximum payload of an asynchronous invocation: 1 MB.
pub(super) const MAX_ASYNCHRONOUS: usize = 1024 * 1024;
/// Maximum bytes of a client context in base64.
const MAX_CONTEXT: usize = 3583;

impl Lambda {
    /// A call of the function `name`, if it can be invoked now.
    pub(super) fn call(
        &self,
        name: &FunctionName,
        request_id: &str,
        payload: Bytes,
        limit: usize,
    ) -> Result<Call> {
        let function = self.registry.find(name)?;
        let version = function
            .version(name.qualifier.as_deref())
            .ok_or_else(|| ApiError::not_found(format!("Function not found: {}", name.qualified_arn())))?;
        if version.is_pending(self.clock.now_ms()) {
            return Err(ApiError::conflict(
                "The operation cannot be performed at this time. The function is currently in the following state: \
                 Pending",
            ));
        }
        if payload.len() > limit {
            return Err(ApiError::new(
                413,
                "RequestTooLargeException",
                format!("Request must be smaller than {limit} bytes for the InvokeFunction operation"),
            ));
        }
        Ok(Call {
            caller: name.caller.clone(),
            name: name.name.clone(),
            function_arn: name.arn(),
            invoked_arn: name.qualified_arn(),
            version: Arc::new(version.clone()),
            reserved: function.reserved,
            request_id: request_id.to_owned(),
            payload: if payload.is_empty() {
                Bytes::from_static(b"{}")
            } else {
                payload
            },
            client_context: None,
            tail: false,
        })
    }

    pub(super) async fn answer_invoke(
        &self,
        caller: &Caller,
        name: &str,
        route: &Route,
        parts: &Parts,
        body: Bytes,
    ) -> Response<Body> {
        let id = request_id();
        let mut response = match self.invoke_as_asked(caller, name, route, parts, body, &id).await {
            Ok(response) => response,
            Err(error) => error.answer(),
        };
        identify(&mut response, &id);
        response
    }

    async fn invoke_as_asked(
        &self,
        caller: &Caller,
        name: &str,
        route: &Route,
        parts: &Parts,
        body: Bytes,
        id: &str,
    ) -> Result<Response<Body>> {
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let name = FunctionName::read(caller, name, route.parameter("Qualifier"))?;
        match header("x-amz-invocation-type").unwrap_or("RequestResponse") {
            "RequestResponse" => {
                let mut call = self.call(&name, id, body, MAX_SYNCHRONOUS)?;
                check_json(&call.payload)?;
                call.tail = match header("x-amz-log-type").unwrap_or("None") {
                    "None" => false,
                    "Tail" => true,
                    other => {
                        return Err(ApiError::constraint(
                            other,
                            "logType",
                            "Member must satisfy enum value set: [None, Tail]",
                        ));
                    }
                };
                call.client_context = header("x-amz-client-context").map(client_context).transpose()?;
                let version = call.version.version.clone();
                answer_run(self.executor.run(call).await, &version)
            }
            "Event" => {
                let call = self.call(&name, id, body, MAX_ASYNCHRONOUS)?;
                check_json(&call.payload)?;
                self.enqueue(&name, call)?;
                Ok(answer(202, "application/json", whole(Bytes::new())))
            }
            "DryRun" => {
                self.call(&name, id, body, MAX_SYNCHRONOUS)?;
                Ok(answer(204, "application/json", whole(Bytes::new())))
            }
            other => Err(ApiError::constraint(
                other,
                "invocationType",
                "Member must satisfy enum value set: [Event, RequestResponse, DryRun]",
            )),
        }
    }

    pub(super) fn answer_invoke_async(&self, caller: &Caller, name: &str, body: Bytes) -> Response<Body> {
        let id = request_id();
        let queued = FunctionName::read(caller, name, None).and_then(|name| {
            let call = self.call(&name, &id, body, MAX_ASYNCHRONOUS)?;
            check_json(&call.payload)?;
            self.enqueue(&name, call)
        });
        let mut response = match queued {
            Ok(()) => answer(202, "application/json", whole(r#"{"Status":202}"#)),
            Err(error) => error.answer(),
        };
        identify(&mut response, &id);
        response
    }
}

fn answer_run(run: Run, version: &str) -> Result<Response<Body>> {
    let (payload, error) = match run.outcome {
        InvokeResult::Returned(payload) => (payload, None),
        InvokeResult::FunctionError { kind, payload } => (payload, Some(kind)),
        InvokeResult::Throttled => {
            return Err(ApiError::throttled(
                run.throttle.unwrap_or("ConcurrentInvocationLimitExceeded"),
            ));
        }
        InvokeResult::Refused { message, .. } => return Err(ApiError::service(message)),
    };
    let mut response = answer(200, "application/json", whole(payload));
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            response
                .headers_mut()
                .insert(HeaderName::from_static(name), value);
        }
    };
    set(
        "x-amz-executed-version",
        if version.is_empty() { LATEST } else { version },
    );
    if let Some(kind) = error {
        set("x-amz-function-error", kind);
    }
    if let Some(tail) = run.tail {
        set("x-amz-log-result", &base64_simd::STANDARD.encode_to_string(tail));
    }
    Ok(response)
}

fn check_json(payload: &[u8]) -> Result<()> {
    serde_json::from_slice::<IgnoredAny>(payload)
        .map(drop)
        .map_err(|error| {
            ApiError::new(
                400,
                "InvalidRequestContentException",
                format!("Could not parse request body into json: {error}"),
            )
        })
}

/// Decodes a client context.
fn client_context(text: &str) -> Result<String> {
    let decoded = (text.len() <= MAX_CONTEXT)
        .then(|| base64_simd::STANDARD.decode_to_vec(text).ok())
        .flatten()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .filter(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
    decoded.ok_or_else(|| {
        ApiError::new(
            400,
            "InvalidRequestContentException",
            format!(
                "Client context must be a valid Base64-encoded JSON object of up to {MAX_CONTEXT} bytes."
            ),
        )
    })
}
