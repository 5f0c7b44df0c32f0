//! The control plane of REST APIs. One change is made at a time. It is saved before it is answered.

mod apis;
mod deployments;
mod gateway_responses;
mod integrations;
mod methods;
mod resources;
mod stages;
mod tags;

use std::sync::Arc;

use http::Response;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::RestApis;
use super::model::{Method, Resource, RestApi};
use super::operation::{Operation, Route};
use crate::answer::{answer as respond, identify, request_id, whole};
use crate::apigateway::error::{Error, Result};
use crate::service::Request;
use crate::types::{Body, Caller};
pub(super) use tags::{change_tags, tagged};

/// Items of a page. Source: GetRestApis, API reference.
const PAGE: usize = 25;
const MAX_PAGE: usize = 500;

/// Status and body. No body for 202 and 204.
type Answer = Result<(u16, Option<Value>)>;

fn ok(value: Value) -> Answer {
    Ok((200, Some(value)))
}

fn created(value: Value) -> Answer {
    Ok((201, Some(value)))
}

fn accepted() -> Answer {
    Ok((202, None))
}

fn no_content() -> Answer {
    Ok((204, None))
}

/// Parses a request body. Members that the local cloud does not offer are refused.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    let body = if body.is_empty() { b"{}" } else { body };
    // A list would be read as the members in their order.
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(Error::bad_request("The request could not be read: it is a list."));
    }
    serde_json::from_slice(body).map_err(|error| {
        let text = error.to_string();
        let unknown = text.strip_prefix("unknown field `");
        match unknown.and_then(|rest| rest.split_once('`')) {
            Some((name, _)) => Error::not_offered(format_args!("the member {name} of this request")),
            None => Error::bad_request(format!("The request could not be read: {text}.")),
        }
    })
}

/// A request to the control plane.
struct Call<'a> {
    apis: &'a RestApis,
    caller: &'a Caller,
    route: &'a Route,
    body: &'a [u8],
}

/// Answers a request. Blocks.
pub(super) fn answer(apis: &RestApis, request: &Request) -> Response<Body> {
    let Some(route) = Route::of(&request.parts) else {
        let (method, path) = (&request.parts.method, request.parts.uri.path());
        return Error::not_offered(format_args!("{method} {path} of API Gateway")).respond();
    };
    let call = Call {
        apis,
        caller: &request.caller,
        route: &route,
        body: &request.body,
    };
    match call.run() {
        Ok((status, value)) => {
            let bytes = value.map(|value| value.to_string()).unwrap_or_default();
            let mut response = respond(status, "application/json", whole(bytes));
            identify(&mut response, &request_id());
            response
        }
        Err(error) => error.respond(),
    }
}

impl Call<'_> {
    fn run(&self) -> Answer {
        use Operation as O;
        match self.route.operation {
            O::CreateRestApi => self.create_api(),
            O::GetRestApi => self.get_api(),
            O::GetRestApis => self.get_apis(),
            O::UpdateRestApi => self.update_api(),
            O::DeleteRestApi => self.delete_api(),
            O::CreateResource => self.create_resource(),
            O::GetResource => self.get_resource(),
            O::GetResources => self.get_resources(),
            O::UpdateResource => self.update_resource(),
            O::DeleteResource => self.delete_resource(),
            O::PutMethod => self.put_method(),
            O::GetMethod => self.get_method(),
            O::UpdateMethod => self.update_method(),
            O::DeleteMethod => self.delete_method(),
            O::PutMethodResponse => self.put_method_response(),
            O::GetMethodResponse => self.get_method_response(),
            O::UpdateMethodResponse => self.update_method_response(),
            O::DeleteMethodResponse => self.delete_method_response(),
            O::PutIntegration => self.put_integration(),
            O::GetIntegration => self.get_integration(),
            O::UpdateIntegration => self.update_integration(),
            O::DeleteIntegration => self.delete_integration(),
            O::PutIntegrationResponse => self.put_integration_response(),
            O::GetIntegrationResponse => self.get_integration_response(),
            O::UpdateIntegrationResponse => self.update_integration_response(),
            O::DeleteIntegrationResponse => self.delete_integration_response(),
            O::PutGatewayResponse => self.put_gateway_response(),
            O::GetGatewayResponse => self.get_gateway_response(),
            O::GetGatewayResponses => self.get_gateway_responses(),
            O::UpdateGatewayResponse => self.update_gateway_response(),
            O::DeleteGatewayResponse => self.delete_gateway_response(),
            O::CreateDeployment => self.create_deployment(),
            O::GetDeployment => self.get_deployment(),
            O::GetDeployments => self.get_deployments(),
            O::UpdateDeployment => self.update_deployment(),
            O::DeleteDeployment => self.delete_deployment(),
            O::CreateStage => self.create_stage(),
            O::GetStage => self.get_stage(),
            O::GetStages => self.get_stages(),
            O::UpdateStage => self.update_stage(),
            O::DeleteStage => self.delete_stage(),
            O::GetTags => self.get_tags(),
            O::TagResource => self.tag_resource(),
            O::UntagResource => self.untag_resource(),
        }
    }

    fn now(&self) -> i64 {
        self.apis.clock.now_ms()
    }

    /// The API that the request names.
    fn api(&self) -> Result<Arc<RestApi>> {
        self.apis.store.find(self.caller, &self.route.api)
    }

    /// Changes the API that the request names, and describes the result.
    fn change<T>(&self, work: impl FnOnce(&mut RestApi) -> Result<T>) -> Result<T> {
        let change = self.apis.store.change();
        let mut api = (*self.api()?).clone();
        let result = work(&mut api)?;
        change.put(api)?;
        Ok(result)
    }

    /// The resource that the request names.
    fn resource<'a>(&self, api: &'a RestApi) -> Result<&'a Resource> {
        let found = api.paths.resources.get(&self.route.id);
        found.ok_or_else(|| Error::not_found("Resource", &self.route.id))
    }

    /// The method that the request names.
    fn method<'a>(&self, api: &'a RestApi) -> Result<&'a Method> {
        let found = self.resource(api)?.methods.get(&self.route.method);
        found.ok_or_else(|| Error::not_found("Method", &self.route.method))
    }

    fn method_mut<'a>(&self, api: &'a mut RestApi) -> Result<&'a mut Method> {
        let resource = api.paths.resources.get_mut(&self.route.id);
        let resource = resource.ok_or_else(|| Error::not_found("Resource", &self.route.id))?;
        let found = resource.methods.get_mut(&self.route.method);
        found.ok_or_else(|| Error::not_found("Method", &self.route.method))
    }

    /// A page of `items`, which are described by key.
    fn page(&self, items: impl Iterator<Item = (String, Value)>) -> Answer {
        let size = match self.route.parameter("limit") {
            None => PAGE,
            Some(text) => text
                .parse::<usize>()
                .ok()
                .filter(|size| (1..=MAX_PAGE).contains(size))
                .ok_or_else(|| Error::bad_request(format!("limit must be a number from 1 to {MAX_PAGE}")))?,
        };
        let after = self
            .route
            .parameter("position")
            .filter(|position| !position.is_empty());
        let mut rest = items.filter(|(key, _)| after.is_none_or(|after| key.as_str() > after));
        let page: Vec<(String, Value)> = rest.by_ref().take(size).collect();
        let last = page.last().map(|(key, _)| key.clone());
        let position = last.filter(|_| rest.next().is_some());
        let items: Vec<Value> = page.into_iter().map(|(_, value)| value).collect();
        let mut value = json!({"item": items});
        if let Some(position) = position {
            value["position"] = json!(position);
        }
        ok(value)
    }
}
