//! The interceptor of every client.

use std::sync::Arc;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeSerializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
    FinalizerInterceptorContextMut, FinalizerInterceptorContextRef,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, Metadata};
use aws_smithy_runtime_api::client::retries::RequestAttempts;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use tokio::time::Instant;
use tracing::Level;

use super::{Call, Calls, body, failure};
use crate::context::endpoints::Endpoints;

/// Watches the calls of a client.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    calls: Calls,
    endpoints: Arc<Endpoints>,
}

/// A call that runs. It ends when the call ends or is dropped.
#[derive(Debug)]
pub(crate) struct Tracked {
    id: u64,
    calls: Calls,
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.calls.end(self.id);
    }
}

impl Tracked {
    /// The request is on its way to `endpoint`.
    pub(crate) fn sent(&self, endpoint: &str) {
        self.calls.update(self.id, |call| {
            call.endpoint = Some(endpoint.to_owned());
            call.sent = Some(Instant::now());
        });
    }
}

impl Storable for Tracked {
    type Storer = StoreReplace<Self>;
}

impl Watch {
    pub(in crate::context) fn new(calls: Calls, endpoints: Arc<Endpoints>) -> Self {
        Self { calls, endpoints }
    }

    /// A call without interceptors.
    pub(crate) fn begin(&self, service: &str, operation: &str) -> Tracked {
        let id = self.calls.begin(service, operation);
        let calls = self.calls.clone();
        Tracked { id, calls }
    }

    fn call(&self, config: &ConfigBag) -> Option<Call> {
        self.calls.get(config.load::<Tracked>()?.id)
    }

    fn update(&self, config: &ConfigBag, change: impl FnOnce(&mut Call)) {
        if let Some(tracked) = config.load::<Tracked>() {
            self.calls.update(tracked.id, change);
        }
    }
}

impl Intercept for Watch {
    fn name(&self) -> &'static str {
        "Watch"
    }

    fn read_before_serialization(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // The first hook that knows the operation.
        let (service, operation) = match config.load::<Metadata>() {
            Some(metadata) => (metadata.service(), metadata.name()),
            None => ("AWS", "call"),
        };
        let id = self.calls.begin(service, operation);
        let calls = self.calls.clone();
        config.interceptor_state().store_put(Tracked { id, calls });
        Ok(())
    }

    fn read_before_attempt(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let attempt = config.load::<RequestAttempts>().map_or(1, |made| made.attempts());
        self.update(config, |call| {
            call.attempt = attempt;
            call.sent = None;
        });
        Ok(())
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request();
        let endpoint = origin(request.uri());
        self.update(config, |call| {
            call.endpoint = endpoint;
            call.sent = Some(Instant::now());
        });
        if tracing::enabled!(Level::TRACE)
            && let Some(call) = self.call(config)
        {
            let Call {
                service, operation, ..
            } = &call;
            tracing::trace!(
                "{service} {operation} request: {}",
                body::shown(request.body().bytes())
            );
        }
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        let failed = context.output_or_error().is_some_and(|outcome| outcome.is_err());
        let code = response.filter(|_| failed).and_then(failure::code);
        let reason = failed.then(|| match (&code, response) {
            (Some(code), _) => code.clone(),
            (None, Some(response)) => format!("HTTP {}", response.status().as_u16()),
            (None, None) => failure::reason(context.output_or_error()),
        });
        if tracing::enabled!(Level::DEBUG)
            && let Some(call) = self.call(config)
        {
            log(&call, reason.as_deref(), response);
        }
        self.update(config, |call| {
            call.retried_for = reason;
            call.last_code = code.or(call.last_code.take());
        });
        Ok(())
    }

    fn modify_before_completion(
        &self,
        context: &mut FinalizerInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(call) = self.call(config) {
            let named_by = self.endpoints.named_by(&call.service);
            failure::locate(context.inner_mut(), &call, named_by);
        }
        Ok(())
    }

    fn read_after_execution(
        &self,
        _: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(tracked) = config.load::<Tracked>() {
            self.calls.end(tracked.id);
        }
        Ok(())
    }
}

/// Logs an attempt: service, operation, result, time, number, request id. The answer itself is logged at the next level.
fn log(call: &Call, reason: Option<&str>, response: Option<&HttpResponse>) {
    let Call {
        service,
        operation,
        attempt,
        ..
    } = call;
    let took = call.sent.unwrap_or(call.started).elapsed().as_millis();
    let id = response.and_then(request_id).unwrap_or("none");
    let result = reason.unwrap_or("done");
    tracing::debug!("{service} {operation}: {result}, {took} ms, attempt {attempt}, request id {id}");
    if let Some(response) = response {
        let status = response.status().as_u16();
        tracing::trace!(
            "{service} {operation} response: HTTP {status}, {}",
            body::shown(response.body().bytes())
        );
    }
}

fn request_id(response: &HttpResponse) -> Option<&str> {
    ["x-amzn-requestid", "x-amzn-request-id", "x-amz-request-id"]
        .iter()
        .find_map(|name| response.headers().get(name))
}

/// Scheme, host and port of a URL.
fn origin(url: &str) -> Option<String> {
    let url: http::Uri = url.parse().ok()?;
    Some(format!("{}://{}", url.scheme_str()?, url.authority()?))
}
