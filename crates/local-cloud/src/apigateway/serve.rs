//! Answers requests to APIs.
//!
//! Source: "Working with HTTP APIs", API Gateway developer guide.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Response;
use http::header::{HeaderName, HeaderValue};
use http_body::Body as _;
use serde_json::json;

use super::ApiGateway;
use super::access_log::{self, Answered};
use super::model::{Api, Integration, Paths, Stage};
use super::select::{self, Selected};
use crate::answer::{answer, identify, request_id, whole};
use crate::invoke::{Access, AccessPrincipal, InvokeResult};
use crate::metrics::Sample;
use crate::types::{Body, partition};
use crate::web::address::{self, Kind};
use crate::web::cors;
use crate::web::event::Incoming;
use crate::web::reply::{self, Format, Invalid};
use crate::web::{Web, WebRequest};

/// An error that the API answers, not the function.
struct Failed(u16, &'static str);

const NOT_FOUND: Failed = Failed(404, "Not Found");
const INTERNAL: Failed = Failed(500, "Internal Server Error");
/// The function is throttled, or has not answered in time.
const UNAVAILABLE: Failed = Failed(503, "Service Unavailable");
const THROTTLED: Failed = Failed(429, "Too Many Requests");

impl Failed {
    /// The error for a body that the front door could not read.
    fn unreadable(status: u16) -> Self {
        match status {
            413 => Self(413, "Request Entity Too Large"),
            408 => Self(408, "Request Timeout"),
            503 => UNAVAILABLE,
            status => Self(status, "Bad Request"),
        }
    }

    fn respond(self) -> Response<Body> {
        let Self(status, message) = self;
        answer(
            status,
            "application/json",
            whole(json!({"message": message}).to_string()),
        )
    }
}

impl Web for ApiGateway {
    fn serve(self: Arc<Self>, request: WebRequest) -> BoxFuture<'static, Response<Body>> {
        Box::pin(async move {
            let id = request_id();
            if let Some(api) = self.rest.of(&request) {
                let mut response = self.rest.respond(&api, &request, &id).await;
                identify(&mut response, &id);
                return response;
            }
            let mut response = self.respond(&request, &id).await;
            identify(&mut response, &id);
            // HTTP APIs name it so.
            if let Ok(id) = HeaderValue::from_str(&id) {
                response
                    .headers_mut()
                    .insert(HeaderName::from_static("apigw-requestid"), id);
            }
            response
        })
    }
}

impl ApiGateway {
    async fn respond(&self, request: &WebRequest, request_id: &str) -> Response<Body> {
        let address = &request.address;
        let api = self.store.get(&address.id).filter(|api| {
            let region = address.region.as_deref();
            !api.disabled && region.is_none_or(|region| region == api.region)
        });
        let Some(api) = api else {
            return NOT_FOUND.respond();
        };
        let Some((name, stage, path)) = select::stage(&api, &address.path) else {
            return NOT_FOUND.respond();
        };
        if let Some(cors) = api.cors.as_ref().filter(|_| cors::is_preflight(&request.parts)) {
            return cors.preflight(204, &request.parts.headers);
        }
        let begun = std::time::Instant::now();
        let exchange = Exchange {
            gateway: self,
            request,
            request_id,
            api: &api,
            stage_name: name,
            stage,
            path,
        };
        let (result, integration_time) = exchange.run().await;
        let error = result.as_ref().err().map(|Failed(_, message)| *message);
        let mut response = result.unwrap_or_else(Failed::respond);
        if let Some(cors) = &api.cors {
            cors.apply(&request.parts.headers, response.headers_mut());
        }
        self.measure(
            &api,
            name,
            response.status().as_u16(),
            begun.elapsed(),
            integration_time,
        );
        exchange.log(&response, error, begun.elapsed(), integration_time);
        response
    }

    /// Source: "Working with metrics for HTTP APIs", API Gateway developer guide.
    fn measure(&self, api: &Api, stage: &str, status: u16, latency: Duration, integration: Option<Duration>) {
        let caller = api.caller();
        let record = |name: &str, unit: &str, value: f64| {
            for dimensions in [
                &[("ApiId", api.id.as_str())][..],
                &[("ApiId", api.id.as_str()), ("Stage", stage)],
            ] {
                let sample = Sample::of(value);
                self.metrics
                    .record(&caller, "AWS/ApiGateway", name, dimensions, unit, sample);
            }
        };
        let of = |is_so: bool| if is_so { 1.0 } else { 0.0 };
        record("Count", "Count", 1.0);
        record("4xx", "Count", of((400..500).contains(&status)));
        record("5xx", "Count", of(status >= 500));
        record("Latency", "Milliseconds", latency.as_secs_f64() * 1000.0);
        if let Some(time) = integration {
            record("IntegrationLatency", "Milliseconds", time.as_secs_f64() * 1000.0);
        }
    }
}

/// A request to a stage.
struct Exchange<'a> {
    gateway: &'a ApiGateway,
    request: &'a WebRequest,
    request_id: &'a str,
    api: &'a Api,
    stage_name: &'a str,
    stage: &'a Stage,
    /// Below the stage.
    path: &'a str,
}

impl Exchange<'_> {
    /// The response, and how long the integration took.
    async fn run(&self) -> (Result<Response<Body>, Failed>, Option<Duration>) {
        let (integration, event) = match self.prepare() {
            Ok(prepared) => prepared,
            Err(failed) => return (Err(failed), None),
        };
        let begun = std::time::Instant::now();
        let result = self.invoke(integration, event).await;
        (result, Some(begun.elapsed()))
    }

    /// The integration of the request, and the event for it.
    fn prepare(&self) -> Result<(&Integration, Bytes), Failed> {
        let paths: &Paths = self.api.deployed(self.stage).ok_or(NOT_FOUND)?;
        let method = self.request.parts.method.as_str();
        let selected = select::route(&paths.routes, method, self.path).ok_or(NOT_FOUND)?;
        let now_ms = self.gateway.clock.now_ms();
        let throttles = &self.gateway.throttles;
        let key = &selected.route.key;
        if !throttles.admit(&self.api.id, self.stage_name, self.stage, key, now_ms) {
            return Err(THROTTLED);
        }
        let body = self.request.body.as_ref();
        let body = body.map_err(|status| Failed::unreadable(*status))?;
        let integration = selected.route.integration.as_ref();
        let integration = integration
            .and_then(|id| paths.integrations.get(id))
            .ok_or(INTERNAL)?;
        if !self.may_invoke(integration, key, method) {
            tracing::warn!(
                api = self.api.id,
                function = integration.function(),
                "the resource policy of the function does not allow the API to invoke it"
            );
            return Err(INTERNAL);
        }
        let event = self.event(integration, selected, body, now_ms);
        Ok((integration, event))
    }

    /// Writes the request to the access log of the stage, if it has one. Nobody waits for the log.
    fn log(
        &self,
        response: &Response<Body>,
        error: Option<&str>,
        latency: Duration,
        integration_latency: Option<Duration>,
    ) {
        let Some((destination, format)) = &self.stage.access_log else {
            return;
        };
        let Some(group) = access_log::group(destination) else {
            return;
        };
        let parts = &self.request.parts;
        let paths = self.api.deployed(self.stage);
        let route = paths.and_then(|paths| select::route(&paths.routes, parts.method.as_str(), self.path));
        let now_ms = self.gateway.clock.now_ms();
        let answered = Answered {
            api: self.api,
            stage: self.stage_name,
            route_key: route.as_ref().map(|selected| selected.route.key.as_str()),
            parts,
            path: &self.request.address.path,
            request_id: self.request_id,
            status: response.status().as_u16(),
            length: response.body().size_hint().exact().unwrap_or_default(),
            error,
            latency,
            integration_latency,
            now_ms,
        };
        let events = vec![(now_ms, answered.line(format))];
        let stream = format!("{}/{}", self.api.id, self.stage_name);
        let (logs, caller, group) = (
            Arc::clone(&self.gateway.logs),
            self.api.caller(),
            group.to_owned(),
        );
        tokio::spawn(async move { logs.append(&caller, &group, &stream, events).await });
    }

    /// Whether the resource policy of the function allows the API to invoke it.
    fn may_invoke(&self, integration: &Integration, key: &str, method: &str) -> bool {
        let Api {
            id, account, region, ..
        } = self.api;
        let partition = partition(region);
        let route = select::in_arn(key, method);
        let source = format!(
            "arn:{partition}:execute-api:{region}:{account}:{id}/{}/{route}",
            self.stage_name
        );
        let access = Access {
            action: "lambda:InvokeFunction",
            principal: AccessPrincipal::Service("apigateway.amazonaws.com"),
            source_arn: Some(&source),
            source_account: Some(account),
            url_auth_type: None,
        };
        self.gateway.functions.permits(integration.function(), &access)
    }

    fn event(&self, integration: &Integration, selected: Selected<'_>, body: &[u8], now_ms: i64) -> Bytes {
        let Api {
            id, account, region, ..
        } = self.api;
        let incoming = Incoming {
            parts: &self.request.parts,
            body,
            path: &self.request.address.path,
            request_id: self.request_id,
            now_ms,
            account,
            id,
            domain: address::domain(Kind::HttpApi, id, region),
            stage: self.stage_name,
            route_key: &selected.route.key,
            path_parameters: selected.variables,
            stage_variables: self.stage.variables.clone(),
            authorizer: None,
        };
        let event = match integration.format() {
            Format::One => incoming.format_1(),
            Format::Two => incoming.format_2(),
        };
        event.to_string().into()
    }

    async fn invoke(&self, integration: &Integration, event: Bytes) -> Result<Response<Body>, Failed> {
        let functions = Arc::clone(&self.gateway.functions);
        let function = integration.function().to_owned();
        // As on AWS, a function that takes too long for the API goes on.
        let invocation = tokio::spawn(async move { functions.invoke(&function, event).await });
        let time = Duration::from_millis(u64::from(integration.timeout_ms));
        let Ok(invoked) = tokio::time::timeout(time, invocation).await else {
            return Err(UNAVAILABLE);
        };
        match invoked.map_err(|_| INTERNAL)?.result {
            InvokeResult::Returned(payload) => {
                reply::of_payload(&payload, integration.format()).map_err(|Invalid| INTERNAL)
            }
            InvokeResult::FunctionError { .. } => Err(INTERNAL),
            InvokeResult::Throttled => Err(UNAVAILABLE),
            InvokeResult::Refused { code, .. } if code == "RequestTooLargeException" => {
                Err(Failed::unreadable(413))
            }
            InvokeResult::Refused { code, message } => {
                let function = integration.function();
                tracing::warn!(code, message, function, "an API cannot invoke its function");
                Err(INTERNAL)
            }
        }
    }
}
