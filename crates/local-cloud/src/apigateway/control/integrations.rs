//! Integrations.

use super::apis::required;
use super::{Answer, Call, check_count, created, no_content, ok};
use crate::apigateway::error::Error;
use crate::apigateway::input::{self, IntegrationInput};
use crate::apigateway::model::{Integration, MAX_TIMEOUT_MS};
use crate::apigateway::store::new_id;

/// Source: "Quotas for configuring and running an HTTP API", API Gateway developer guide.
const MAX_INTEGRATIONS: usize = 300;

impl Call<'_> {
    pub(super) fn create_integration(&self) -> Answer {
        let input: IntegrationInput = input::read(self.body)?;
        required(input.integration_type.as_deref(), "integrationType")?;
        let mut integration = Integration {
            uri: String::new(),
            // The default of the API; consoles and tools ask for 2.0.
            format_1: true,
            timeout_ms: MAX_TIMEOUT_MS,
            description: None,
        };
        input.apply(&mut integration)?;
        required(input.integration_uri.as_deref(), "integrationUri")?;
        created(self.change(|api| {
            let all = &mut api.paths.integrations;
            check_count(all.len(), MAX_INTEGRATIONS, "integrations")?;
            let id = new_id(7);
            let shown = integration.describe(&id);
            all.insert(id, integration);
            Ok(shown)
        })?)
    }

    pub(super) fn get_integration(&self) -> Answer {
        let api = self.api()?;
        let id = &self.route.id;
        let integration = api.paths.integrations.get(id).ok_or_else(|| none(id))?;
        ok(integration.describe(id))
    }

    pub(super) fn get_integrations(&self) -> Answer {
        let api = self.api()?;
        let all = api.paths.integrations.iter();
        self.page(all.map(|(id, integration)| (id.clone(), integration.describe(id))))
    }

    pub(super) fn update_integration(&self) -> Answer {
        let input: IntegrationInput = input::read(self.body)?;
        let id = &self.route.id;
        ok(self.change(|api| {
            let integration = api.paths.integrations.get_mut(id).ok_or_else(|| none(id))?;
            input.apply(integration)?;
            Ok(integration.describe(id))
        })?)
    }

    pub(super) fn delete_integration(&self) -> Answer {
        let id = &self.route.id;
        self.change(|api| {
            let mut routes = api.paths.routes.values();
            if let Some(route) = routes.find(|route| route.integration.as_ref() == Some(id)) {
                return Err(Error::conflict(format!(
                    "Cannot delete Integration '{id}' due to the conflict: it is the target of the route {}",
                    route.key
                )));
            }
            api.paths.integrations.remove(id).ok_or_else(|| none(id))
        })?;
        no_content()
    }
}

fn none(id: &str) -> Error {
    Error::not_found("Integration", id)
}
