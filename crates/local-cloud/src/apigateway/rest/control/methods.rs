//! Methods, and their responses.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::{Answer, Call, created, no_content, ok, read};
use crate::apigateway::error::{Error, Result};
use crate::apigateway::rest::model::{Method, MethodResponse};
use crate::apigateway::rest::{check, patch};

const METHODS: [&str; 8] = ["ANY", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Input {
    authorization_type: Option<String>,
    api_key_required: bool,
    operation_name: Option<String>,
    request_parameters: BTreeMap<String, bool>,
    request_models: BTreeMap<String, String>,
}

impl Input {
    fn checked(self) -> Result<Self> {
        match self.authorization_type.as_deref() {
            Some("NONE") => {}
            None => return Err(Error::bad_request("Authorization type is required")),
            Some(other) => return Err(Error::not_offered(format_args!("the authorization type {other}"))),
        }
        if self.api_key_required {
            return Err(Error::not_offered("API keys"));
        }
        check::request_parameters(&self.request_parameters)?;
        check::models(&self.request_models)?;
        Ok(self)
    }
}

impl Call<'_> {
    pub(super) fn put_method(&self) -> Answer {
        let name = &self.route.method;
        if !METHODS.contains(&name.as_str()) {
            return Err(Error::bad_request(format!(
                "Invalid HTTP method specified: {name}"
            )));
        }
        let input = read::<Input>(self.body)?.checked()?;
        created(self.change(|api| {
            self.resource(api)?;
            let resource = api.paths.resources.entry(self.route.id.clone()).or_default();
            if resource.methods.contains_key(name) {
                return Err(Error::conflict("Method already exists for this resource"));
            }
            let method = Method {
                http_method: name.clone(),
                authorization_type: "NONE".to_owned(),
                api_key_required: false,
                operation_name: input.operation_name,
                request_parameters: input.request_parameters,
                request_models: input.request_models,
                method_responses: BTreeMap::new(),
                method_integration: None,
            };
            let shown = method.describe();
            resource.methods.insert(name.clone(), method);
            Ok(shown)
        })?)
    }

    pub(super) fn get_method(&self) -> Answer {
        let api = self.api()?;
        ok(self.method(&api)?.describe())
    }

    pub(super) fn update_method(&self) -> Answer {
        let patches = patch::read(self.body)?;
        ok(self.change(|api| {
            let method = self.method_mut(api)?;
            let mut document = json!({
                "authorizationType": method.authorization_type,
                "apiKeyRequired": method.api_key_required,
                "operationName": method.operation_name,
                "requestParameters": method.request_parameters,
                "requestModels": method.request_models,
            });
            let names: Vec<String> = document
                .as_object()
                .map(|all| all.keys().cloned().collect())
                .unwrap_or_default();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            for patch in &patches {
                patch.apply(&mut document, &names)?;
            }
            let input = read::<Input>(document.to_string().as_bytes())?.checked()?;
            method.operation_name = input.operation_name;
            method.request_parameters = input.request_parameters;
            method.request_models = input.request_models;
            Ok(method.describe())
        })?)
    }

    pub(super) fn delete_method(&self) -> Answer {
        let name = &self.route.method;
        self.change(|api| {
            self.method(api)?;
            let resource = api.paths.resources.get_mut(&self.route.id);
            Ok(resource.and_then(|resource| resource.methods.remove(name)))
        })?;
        no_content()
    }

    pub(super) fn put_method_response(&self) -> Answer {
        let response = self.method_response_of(self.body)?;
        created(self.change(|api| {
            let responses = &mut self.method_mut(api)?.method_responses;
            if responses.contains_key(&self.route.status) {
                return Err(Error::conflict("Response already exists for this resource"));
            }
            responses.insert(self.route.status.clone(), response.clone());
            Ok(json!(response))
        })?)
    }

    fn method_response_of(&self, body: &[u8]) -> Result<MethodResponse> {
        let mut response: MethodResponse = read(body)?;
        response.status_code.clone_from(&self.route.status);
        check::status(&response.status_code)?;
        check::response_parameters(&response.response_parameters)?;
        check::models(&response.response_models)?;
        Ok(response)
    }

    pub(super) fn get_method_response(&self) -> Answer {
        let api = self.api()?;
        let found = self.method(&api)?.method_responses.get(&self.route.status);
        ok(json!(found.ok_or_else(|| self.no_response())?))
    }

    pub(super) fn update_method_response(&self) -> Answer {
        let patches = patch::read(self.body)?;
        ok(self.change(|api| {
            let responses = &mut self.method_mut(api)?.method_responses;
            let there = responses
                .get(&self.route.status)
                .ok_or_else(|| self.no_response())?;
            let mut document = json!(there);
            for patch in &patches {
                patch.apply(&mut document, &["responseParameters", "responseModels"])?;
            }
            let response = self.method_response_of(document.to_string().as_bytes())?;
            responses.insert(self.route.status.clone(), response.clone());
            Ok(json!(response))
        })?)
    }

    pub(super) fn delete_method_response(&self) -> Answer {
        self.change(|api| {
            let removed = self.method_mut(api)?.method_responses.remove(&self.route.status);
            removed.ok_or_else(|| self.no_response())
        })?;
        no_content()
    }

    pub(super) fn no_response(&self) -> Error {
        Error::not_found("Response status code", &self.route.status)
    }
}
