//! The control plane. One change is made at a time. It is saved before it is answered.

mod apis;
mod deployments;
mod integrations;
mod routes;
mod stages;
mod tags;

use std::sync::Arc;

use http::Response;
use serde_json::{Value, json};

use super::ApiGateway;
use super::error::{Error, Result};
use super::model::Api;
use super::operation::{Operation, Route};
use crate::answer::{answer as respond, identify, request_id, whole};
use crate::service::Request;
use crate::types::{Body, Caller};
pub(super) use tags::{apply as apply_tags, change_tags, tagged};

/// The largest page. Source: GetApis, API Gateway Version 2 API reference, and what AWS answers beyond it.
const PAGE: usize = 500;

/// Status and body. No body for 204.
type Answer = Result<(u16, Option<Value>)>;

fn ok(value: Value) -> Answer {
    Ok((200, Some(value)))
}

fn created(value: Value) -> Answer {
    Ok((201, Some(value)))
}

fn no_content() -> Answer {
    Ok((204, None))
}

/// A request to the control plane.
struct Call<'a> {
    gateway: &'a ApiGateway,
    caller: &'a Caller,
    route: &'a Route,
    body: &'a [u8],
}

/// Answers a request. Blocks.
pub(super) fn answer(gateway: &ApiGateway, request: &Request) -> Response<Body> {
    let Some(route) = Route::of(&request.parts) else {
        let (method, path) = (&request.parts.method, request.parts.uri.path());
        return Error::not_offered(format_args!("{method} {path} of API Gateway")).respond();
    };
    let call = Call {
        gateway,
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
            O::CreateApi => self.create_api(),
            O::GetApi => self.get_api(),
            O::GetApis => self.get_apis(),
            O::UpdateApi => self.update_api(),
            O::DeleteApi => self.delete_api(),
            O::DeleteCorsConfiguration => self.delete_cors(),
            O::CreateRoute => self.create_route(),
            O::GetRoute => self.get_route(),
            O::GetRoutes => self.get_routes(),
            O::UpdateRoute => self.update_route(),
            O::DeleteRoute => self.delete_route(),
            O::CreateIntegration => self.create_integration(),
            O::GetIntegration => self.get_integration(),
            O::GetIntegrations => self.get_integrations(),
            O::UpdateIntegration => self.update_integration(),
            O::DeleteIntegration => self.delete_integration(),
            O::CreateStage => self.create_stage(),
            O::GetStage => self.get_stage(),
            O::GetStages => self.get_stages(),
            O::UpdateStage => self.update_stage(),
            O::DeleteStage => self.delete_stage(),
            O::CreateDeployment => self.create_deployment(),
            O::GetDeployment => self.get_deployment(),
            O::GetDeployments => self.get_deployments(),
            O::UpdateDeployment => self.update_deployment(),
            O::DeleteDeployment => self.delete_deployment(),
            O::GetTags => self.get_tags(),
            O::TagResource => self.tag_resource(),
            O::UntagResource => self.untag_resource(),
        }
    }

    fn now(&self) -> i64 {
        self.gateway.clock.now_ms()
    }

    /// The API that the request names.
    fn api(&self) -> Result<Arc<Api>> {
        self.gateway.store.find(self.caller, &self.route.api)
    }

    /// Changes the API that the request names, and describes the result.
    fn change<T>(&self, work: impl FnOnce(&mut Api) -> Result<T>) -> Result<T> {
        let change = self.gateway.store.change();
        let mut api = (*self.api()?).clone();
        let result = work(&mut api)?;
        change.put(api)?;
        Ok(result)
    }

    /// A page of `items`, which are described by key.
    fn page(&self, items: impl Iterator<Item = (String, Value)>) -> Answer {
        let size = match self.route.parameter("maxResults") {
            None => PAGE,
            Some(text) => text
                .parse::<usize>()
                .ok()
                .filter(|size| *size > 0)
                .map(|size| size.min(PAGE))
                .ok_or_else(|| Error::bad_request("maxResults must be a positive number"))?,
        };
        let after = match self
            .route
            .parameter("nextToken")
            .filter(|token| !token.is_empty())
        {
            None => None,
            Some(token) => Some(
                base64_simd::URL_SAFE_NO_PAD
                    .decode_to_vec(token)
                    .ok()
                    .and_then(|bytes| String::from_utf8(bytes).ok())
                    .ok_or_else(|| Error::bad_request("Invalid nextToken"))?,
            ),
        };
        let mut rest = items.filter(|(key, _)| after.as_ref().is_none_or(|after| key > after));
        let page: Vec<(String, Value)> = rest.by_ref().take(size).collect();
        let last = page.last().map(|(key, _)| key.clone());
        let token = last.filter(|_| rest.next().is_some());
        let items: Vec<Value> = page.into_iter().map(|(_, value)| value).collect();
        let mut value = json!({"items": items});
        if let Some(key) = token {
            value["nextToken"] = json!(base64_simd::URL_SAFE_NO_PAD.encode_to_string(key));
        }
        ok(value)
    }
}

/// Refuses one item more than a quota.
pub(super) fn check_count(count: usize, most: usize, what: &str) -> Result<()> {
    if count < most {
        return Ok(());
    }
    Err(Error::bad_request(format!(
        "Maximum number of {what} exceeded: {most}"
    )))
}
