//! Gateway responses: what the API answers to errors of its own.

use serde_json::{Value, json};

use super::{Answer, Call, accepted, created, ok, read};
use crate::apigateway::error::Error;
use crate::apigateway::rest::check::RESPONSE_TYPES;
use crate::apigateway::rest::model::{GatewayResponse, RestApi};
use crate::apigateway::rest::{check, patch, respond};

impl Call<'_> {
    pub(super) fn put_gateway_response(&self) -> Answer {
        created(self.change(|api| self.set_gateway_response(api, self.body))?)
    }

    fn set_gateway_response(
        &self,
        api: &mut RestApi,
        body: &[u8],
    ) -> crate::apigateway::error::Result<Value> {
        let mut response: GatewayResponse = read(body)?;
        response.response_type.clone_from(&self.route.id);
        response.default_response = false;
        check::gateway_response(&response)?;
        let shown = json!(response);
        let all = &mut api.paths.gateway_responses;
        all.insert(self.route.id.clone(), response);
        Ok(shown)
    }

    pub(super) fn get_gateway_response(&self) -> Answer {
        let api = self.api()?;
        ok(json!(self.gateway_response(&api)?))
    }

    /// What is set, or else the default.
    fn gateway_response(&self, api: &RestApi) -> crate::apigateway::error::Result<GatewayResponse> {
        let kind = &self.route.id;
        if !RESPONSE_TYPES.iter().any(|(name, _)| name == kind) {
            return Err(Error::bad_request(format!(
                "Invalid response type specified: {kind}"
            )));
        }
        let set = api.paths.gateway_responses.get(kind).cloned();
        Ok(set.unwrap_or_else(|| respond::default(kind)))
    }

    pub(super) fn get_gateway_responses(&self) -> Answer {
        let api = self.api()?;
        let all = RESPONSE_TYPES.iter().map(|(name, _)| {
            let set = api.paths.gateway_responses.get(*name).cloned();
            let response = set.unwrap_or_else(|| respond::default(name));
            ((*name).to_owned(), json!(response))
        });
        self.page(all)
    }

    pub(super) fn update_gateway_response(&self) -> Answer {
        let patches = patch::read(self.body)?;
        ok(self.change(|api| {
            let mut document = json!(self.gateway_response(api)?);
            for patch in &patches {
                let names = ["statusCode", "responseParameters", "responseTemplates"];
                patch.apply(&mut document, &names)?;
            }
            self.set_gateway_response(api, document.to_string().as_bytes())
        })?)
    }

    pub(super) fn delete_gateway_response(&self) -> Answer {
        self.change(|api| {
            let removed = api.paths.gateway_responses.remove(&self.route.id);
            removed.ok_or_else(|| Error::missing("Gateway response type not defined on api"))
        })?;
        accepted()
    }
}
