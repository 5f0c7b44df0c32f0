//! Integrations, and their responses.

use serde_json::{Value, json};

use super::{Answer, Call, created, no_content, ok, read};
use crate::apigateway::error::{Error, Result};
use crate::apigateway::rest::model::{Integration, IntegrationResponse, Method, RestApi};
use crate::apigateway::rest::{check, patch};

/// Members that may be changed one by one.
const CHANGEABLE: [&str; 6] = [
    "uri",
    "credentials",
    "requestParameters",
    "requestTemplates",
    "passthroughBehavior",
    "timeoutInMillis",
];

impl Call<'_> {
    /// Replaces an integration that is there, and its responses.
    pub(super) fn put_integration(&self) -> Answer {
        let mut integration: Integration = self.read_integration(self.body)?;
        if !integration.integration_responses.is_empty() {
            return Err(Error::not_offered(
                "the member integrationResponses of this request",
            ));
        }
        created(self.change(|api| {
            check::integration(&mut integration, self.method(api)?, &self.caller.region)?;
            self.set_integration(api, integration)
        })?)
    }

    /// `connectionType` is accepted if it is what there is.
    fn read_integration(&self, body: &[u8]) -> Result<Integration> {
        let mut document: Value = read(body)?;
        if let Some(connection) = document
            .as_object_mut()
            .and_then(|all| all.remove("connectionType"))
            && connection != "INTERNET"
        {
            return Err(Error::not_offered(format_args!(
                "the connection type {connection}"
            )));
        }
        read(document.to_string().as_bytes())
    }

    fn set_integration(&self, api: &mut RestApi, mut integration: Integration) -> Result<Value> {
        integration.cache_namespace.clear();
        let method = self.method_mut(api)?;
        let integration = method.method_integration.insert(integration);
        Ok(json!(integration))
    }

    pub(super) fn get_integration(&self) -> Answer {
        let api = self.api()?;
        ok(json!(integration_of(self.method(&api)?)?))
    }

    pub(super) fn update_integration(&self) -> Answer {
        let patches = patch::read(self.body)?;
        ok(self.change(|api| {
            let method = self.method(api)?;
            let mut document = json!(integration_of(method)?);
            for patch in &patches {
                patch.apply(&mut document, &CHANGEABLE)?;
            }
            let mut integration = self.read_integration(document.to_string().as_bytes())?;
            check::integration(&mut integration, method, &self.caller.region)?;
            self.set_integration(api, integration)
        })?)
    }

    pub(super) fn delete_integration(&self) -> Answer {
        self.change(|api| {
            integration_of(self.method(api)?)?;
            self.method_mut(api)?.method_integration = None;
            Ok(())
        })?;
        no_content()
    }

    /// Replaces a response that is there.
    pub(super) fn put_integration_response(&self) -> Answer {
        created(self.change(|api| self.set_response(api, self.body))?)
    }

    fn set_response(&self, api: &mut RestApi, body: &[u8]) -> Result<Value> {
        let mut response: IntegrationResponse = read(body)?;
        response.status_code.clone_from(&self.route.status);
        // The default response has none.
        response.selection_pattern = response.selection_pattern.filter(|pattern| !pattern.is_empty());
        let method = self.method_mut(api)?;
        integration_of(method)?;
        check::integration_response(&response, method)?;
        if let Some(integration) = &mut method.method_integration {
            let responses = &mut integration.integration_responses;
            responses.insert(self.route.status.clone(), response.clone());
        }
        Ok(json!(response))
    }

    pub(super) fn get_integration_response(&self) -> Answer {
        let api = self.api()?;
        let integration = integration_of(self.method(&api)?)?;
        let found = integration.integration_responses.get(&self.route.status);
        ok(json!(found.ok_or_else(|| self.no_response())?))
    }

    pub(super) fn update_integration_response(&self) -> Answer {
        let patches = patch::read(self.body)?;
        ok(self.change(|api| {
            let integration = integration_of(self.method(api)?)?;
            let there = integration.integration_responses.get(&self.route.status);
            let mut document = json!(there.ok_or_else(|| self.no_response())?);
            for patch in &patches {
                let names = ["selectionPattern", "responseParameters", "responseTemplates"];
                patch.apply(&mut document, &names)?;
            }
            self.set_response(api, document.to_string().as_bytes())
        })?)
    }

    pub(super) fn delete_integration_response(&self) -> Answer {
        self.change(|api| {
            let integration = self.method_mut(api)?.method_integration.as_mut();
            let integration = integration.ok_or_else(no_integration)?;
            let removed = integration.integration_responses.remove(&self.route.status);
            removed.ok_or_else(|| self.no_response())
        })?;
        no_content()
    }
}

fn integration_of(method: &Method) -> Result<&Integration> {
    method.method_integration.as_ref().ok_or_else(no_integration)
}

/// Source: what AWS answers.
fn no_integration() -> Error {
    Error::missing("No integration defined for method")
}
