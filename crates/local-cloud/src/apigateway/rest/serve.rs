//! Answers requests to REST APIs.
//!
//! Source: "Invoke REST APIs in API Gateway" and "Integrations for REST APIs", API Gateway developer guide.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Response;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::RestApis;
use super::check;
use super::mapping::{NotMapped, Variables};
use super::model::{Integration, IntegrationResponse, RestApi, Stage};
use super::respond::{Failed, body_member, set_header};
use super::select::{self, RequestTemplate, Selected};
use crate::actions::{Call, NotAssumed};
use crate::answer::{answer, whole};
use crate::clock::utc;
use crate::json;
use crate::metrics::Sample;
use crate::query::percent_decode;
use crate::service::header;
use crate::types::Body;
use crate::web::WebRequest;
use crate::web::address::{self, Kind};
use crate::web::event::SOURCE_IP;

/// What an integration answered.
struct Answered {
    status: u16,
    headers: http::HeaderMap,
    body: Bytes,
}

impl RestApis {
    /// The API that a request is for.
    pub fn of(&self, request: &WebRequest) -> Option<Arc<RestApi>> {
        let address = &request.address;
        self.store.get(&address.id).filter(|api| {
            let region = address.region.as_deref();
            !api.disabled && region.is_none_or(|region| region == api.region)
        })
    }

    /// Answers a request to an API.
    pub async fn respond(&self, api: &RestApi, request: &WebRequest, request_id: &str) -> Response<Body> {
        let begun = Instant::now();
        let path = request.address.path.strip_prefix('/').unwrap_or_default();
        let (first, below) = match path.find('/') {
            Some(at) => path.split_at(at),
            None => (path, "/"),
        };
        let name = percent_decode(first);
        let served = api.stages.get(&name).and_then(|stage| {
            let deployment = api.deployments.get(&stage.deployment)?;
            Some((stage, &deployment.paths))
        });
        let Some((stage, paths)) = served else {
            return Failed::forbidden().respond(None, &Variables::default()).await;
        };
        let exchange = Exchange {
            apis: self,
            request,
            request_id,
            api,
            stage_name: &name,
            stage,
            now_ms: self.clock.now_ms(),
        };
        let selected = select::method(paths, request.parts.method.as_str(), below);
        let variables = exchange.variables(selected.as_ref());
        let (result, integration_time) = exchange.run(selected, &variables).await;
        let response = match result {
            Ok(response) => response,
            Err(failed) => failed.respond(Some(paths), &variables).await,
        };
        self.measure(
            api,
            &name,
            response.status().as_u16(),
            begun.elapsed(),
            integration_time,
        );
        response
    }

    /// Source: "Amazon API Gateway dimensions and metrics", API Gateway developer guide.
    fn measure(
        &self,
        api: &RestApi,
        stage: &str,
        status: u16,
        latency: Duration,
        integration: Option<Duration>,
    ) {
        let caller = api.caller();
        let record = |name: &str, unit: &str, value: f64| {
            for dimensions in [
                &[("ApiName", api.name.as_str())][..],
                &[("ApiName", api.name.as_str()), ("Stage", stage)],
            ] {
                let sample = Sample::of(value);
                self.metrics
                    .record(&caller, "AWS/ApiGateway", name, dimensions, unit, sample);
            }
        };
        let of = |is_so: bool| if is_so { 1.0 } else { 0.0 };
        record("Count", "Count", 1.0);
        record("4XXError", "Count", of((400..500).contains(&status)));
        record("5XXError", "Count", of(status >= 500));
        record("Latency", "Milliseconds", latency.as_secs_f64() * 1000.0);
        if let Some(time) = integration {
            record("IntegrationLatency", "Milliseconds", time.as_secs_f64() * 1000.0);
        }
    }
}

/// A request to a stage.
struct Exchange<'a> {
    apis: &'a RestApis,
    request: &'a WebRequest,
    request_id: &'a str,
    api: &'a RestApi,
    stage_name: &'a str,
    stage: &'a Stage,
    now_ms: i64,
}

impl Exchange<'_> {
    fn variables(&self, selected: Option<&Selected<'_>>) -> Variables {
        let none = Default::default();
        let path = selected.map_or(&none, |selected| &selected.variables);
        let parts = &self.request.parts;
        let mut variables = Variables::of(&parts.headers, &parts.uri, path, self.context(selected));
        let stage = self.stage.variables.iter();
        variables.stage = stage.map(|(name, value)| (name.clone(), value.clone())).collect();
        variables
    }

    /// `$context`. Source: "$context Variables for data models, authorizers, mapping templates, and CloudWatch access
    /// logging", API Gateway developer guide.
    fn context(&self, selected: Option<&Selected<'_>>) -> Value {
        let RestApi {
            id, account, region, ..
        } = self.api;
        let parts = &self.request.parts;
        let mut context = json!({
            "accountId": account,
            "apiId": id,
            "deploymentId": self.stage.deployment,
            "domainName": address::domain(Kind::HttpApi, id, region),
            "domainPrefix": id,
            "extendedRequestId": self.request_id,
            "httpMethod": parts.method.as_str(),
            "identity": {
                "sourceIp": SOURCE_IP,
                "userAgent": header(parts, USER_AGENT.as_str()),
            },
            "path": percent_decode(&self.request.address.path),
            "protocol": format!("{:?}", parts.version),
            "requestId": self.request_id,
            "requestTime": utc(self.now_ms, "%d/%b/%Y:%H:%M:%S +0000"),
            "requestTimeEpoch": self.now_ms,
            "stage": self.stage_name,
        });
        if let Some(selected) = selected {
            context["resourceId"] = json!(selected.id);
            context["resourcePath"] = json!(selected.resource.path);
        }
        context
    }

    /// The response, and how long the integration took.
    async fn run(
        &self,
        selected: Option<Selected<'_>>,
        variables: &Variables,
    ) -> (Result<Response<Body>, Failed>, Option<Duration>) {
        let prepared = self.prepare(selected.as_ref());
        let (integration, body) = match prepared {
            Ok(prepared) => prepared,
            Err(failed) => return (Err(failed), None),
        };
        let begun = Instant::now();
        let answered = match integration.kind.as_str() {
            "MOCK" => self.mock(integration, variables, body).await,
            _ => self.call(integration, variables, body).await,
        };
        let time = begun.elapsed();
        let result = match answered {
            Ok(answered) => self.map(integration, variables, answered).await,
            Err(failed) => Err(failed),
        };
        (result, Some(time))
    }

    /// The integration of the request, and its body.
    fn prepare<'s>(
        &'s self,
        selected: Option<&Selected<'s>>,
    ) -> Result<(&'s Integration, &'s Bytes), Failed> {
        let selected = selected.ok_or_else(Failed::no_method)?;
        let resource = selected.resource.path.trim_start_matches('/');
        let own = format!("{resource}/{}", selected.method.http_method);
        let limits = self
            .stage
            .limits
            .get_key_value(&own)
            .or_else(|| self.stage.limits.get_key_value("*/*"));
        if let Some((key, limits)) = limits {
            let throttles = &self.apis.throttles;
            if !throttles.take(&self.api.id, self.stage_name, key, limits, self.now_ms) {
                return Err(Failed::throttled());
            }
        }
        let body = self
            .request
            .body
            .as_ref()
            .map_err(|status| Failed::unreadable(*status))?;
        let integration = selected.method.method_integration.as_ref();
        Ok((integration.ok_or_else(Failed::configuration)?, body))
    }

    /// The body for the integration.
    async fn request_body(
        &self,
        integration: &Integration,
        variables: &Variables,
        body: &Bytes,
    ) -> Result<Bytes, Failed> {
        let content_type = header(&self.request.parts, CONTENT_TYPE.as_str());
        match select::request_template(integration, content_type) {
            RequestTemplate::Refused => Err(Failed::media_type()),
            RequestTemplate::PassThrough => Ok(body.clone()),
            RequestTemplate::Template(template) => {
                let rendered = variables
                    .render(template, body)
                    .await
                    .map_err(|why| self.not_mapped(why))?;
                if rendered.overrides_request {
                    let api = &self.api.id;
                    tracing::warn!(
                        api,
                        "a request template sets $context.requestOverride, which is not offered"
                    );
                    return Err(Failed::configuration());
                }
                Ok(rendered.text.into())
            }
        }
    }

    fn not_mapped(&self, why: NotMapped) -> Failed {
        match why {
            NotMapped::TooLarge => Failed::body(json::TooManyValues::MESSAGE),
            NotMapped::Failed(error) if error.kind == mapping_template::ErrorKind::Body => {
                Failed::body(&error.message)
            }
            NotMapped::Failed(error) => {
                tracing::warn!(api = self.api.id, %error, "a mapping template failed");
                Failed::configuration()
            }
        }
    }

    /// The status is in the rendered request.
    async fn mock(
        &self,
        integration: &Integration,
        variables: &Variables,
        body: &Bytes,
    ) -> Result<Answered, Failed> {
        let request = self.request_body(integration, variables, body).await?;
        let document: Value = serde_json::from_slice(&request).unwrap_or_default();
        let status = document["statusCode"]
            .as_u64()
            .and_then(|status| u16::try_from(status).ok());
        Ok(Answered {
            status: status.ok_or_else(Failed::configuration)?,
            headers: http::HeaderMap::new(),
            body: Bytes::new(),
        })
    }

    /// Calls the action of the integration as its role.
    async fn call(
        &self,
        integration: &Integration,
        variables: &Variables,
        body: &Bytes,
    ) -> Result<Answered, Failed> {
        let body = self.request_body(integration, variables, body).await?;
        let action = integration.uri.as_deref().and_then(check::action);
        let (_, action) = action.ok_or_else(Failed::configuration)?;
        let content_type = integration.request_parameters.values().next();
        let content_type = content_type.and_then(|source| variables.value(source));
        let call = Call {
            caller: self.api.caller(),
            role: integration.credentials.clone().unwrap_or_default(),
            action,
            content_type: content_type.unwrap_or_else(|| "application/json".to_owned()),
            body,
        };
        let time = Duration::from_millis(u64::from(integration.timeout_in_millis));
        let actions = Arc::clone(&self.apis.actions);
        // As on AWS, a call that takes too long for the API goes on.
        let calling = tokio::spawn(async move { actions.call(call).await });
        let answered = match tokio::time::timeout(time, calling).await {
            Err(_) => return Err(Failed::timeout()),
            Ok(Err(_)) => return Err(Failed::configuration()),
            Ok(Ok(Err(NotAssumed))) => {
                let role = integration.credentials.as_deref().unwrap_or_default();
                tracing::warn!(
                    api = self.api.id,
                    role,
                    "API Gateway cannot assume the role of an integration"
                );
                return Err(Failed::configuration());
            }
            Ok(Ok(Ok(response))) => response,
        };
        let (parts, body) = answered.into_parts();
        let body = body.collect().await.map_err(|_| Failed::configuration())?;
        Ok(Answered {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: body.to_bytes(),
        })
    }

    /// The response of the method.
    async fn map(
        &self,
        integration: &Integration,
        variables: &Variables,
        answered: Answered,
    ) -> Result<Response<Body>, Failed> {
        let Some(chosen) = select::response(integration, answered.status) else {
            let (api, status) = (&self.api.id, answered.status);
            tracing::warn!(
                api,
                status,
                "no integration response matches the status of the integration"
            );
            return Err(Failed::configuration());
        };
        let accept = header(&self.request.parts, ACCEPT.as_str());
        let mut status = chosen.status_code.parse().unwrap_or(500);
        let mut response = match select::response_template(&chosen.response_templates, accept) {
            None => answer(status, "application/json", whole(answered.body.clone())),
            Some((content_type, template)) => {
                let rendered = variables.render(template, &answered.body).await;
                let rendered = rendered.map_err(|why| match self.not_mapped(why) {
                    // The body is that of the integration, not of the client.
                    failed if failed.status < 500 => Failed::configuration(),
                    failed => failed,
                })?;
                status = rendered.status.unwrap_or(status);
                let mut response = answer(status, "application/json", whole(rendered.text));
                set_header(response.headers_mut(), CONTENT_TYPE.as_str(), content_type);
                for (name, value) in &rendered.headers {
                    set_header(response.headers_mut(), name, value);
                }
                response
            }
        };
        self.set_parameters(chosen, variables, &answered, &mut response);
        Ok(response)
    }

    fn set_parameters(
        &self,
        chosen: &IntegrationResponse,
        variables: &Variables,
        answered: &Answered,
        response: &mut Response<Body>,
    ) {
        for (target, source) in &chosen.response_parameters {
            let Some(name) = target.strip_prefix("method.response.header.") else {
                continue;
            };
            let value = if let Some(name) = source.strip_prefix("integration.response.header.") {
                let value = answered.headers.get(name).and_then(|value| value.to_str().ok());
                value.map(str::to_owned)
            } else if let Some(path) = source.strip_prefix("integration.response.body.") {
                body_member(&answered.body, path)
            } else {
                variables.value(source)
            };
            if let Some(value) = value {
                set_header(response.headers_mut(), name, &value);
            }
        }
    }
}
