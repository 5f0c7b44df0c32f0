//! Routes.

use super::apis::required;
use super::{Answer, Call, check_count, created, no_content, ok};
use crate::apigateway::error::{Error, Result};
use crate::apigateway::input::{self, RouteInput};
use crate::apigateway::model::{Api, ApiRoute};
use crate::apigateway::select;
use crate::apigateway::store::new_id;

/// Source: "Quotas for configuring and running an HTTP API", API Gateway developer guide.
const MAX_ROUTES: usize = 300;

impl Call<'_> {
    pub(super) fn create_route(&self) -> Answer {
        let input: RouteInput = input::read(self.body)?;
        input.check()?;
        let key = required(input.route_key.as_deref(), "routeKey")?;
        check_key(key)?;
        let integration = input.integration()?;
        created(self.change(|api| {
            check_count(api.paths.routes.len(), MAX_ROUTES, "routes")?;
            check_free(api, key, None)?;
            check_integration(api, integration)?;
            let route = ApiRoute {
                key: key.to_owned(),
                integration: integration.map(str::to_owned),
                operation_name: input.operation_name.clone(),
            };
            let id = new_id(7);
            let shown = route.describe(&id);
            api.paths.routes.insert(id, route);
            Ok(shown)
        })?)
    }

    pub(super) fn get_route(&self) -> Answer {
        let api = self.api()?;
        let id = &self.route.id;
        let route = api.paths.routes.get(id).ok_or_else(|| none(id))?;
        ok(route.describe(id))
    }

    pub(super) fn get_routes(&self) -> Answer {
        let api = self.api()?;
        let routes = api.paths.routes.iter();
        self.page(routes.map(|(id, route)| (id.clone(), route.describe(id))))
    }

    pub(super) fn update_route(&self) -> Answer {
        let input: RouteInput = input::read(self.body)?;
        input.check()?;
        let integration = input.integration()?;
        let id = &self.route.id;
        ok(self.change(|api| {
            if let Some(key) = &input.route_key {
                check_key(key)?;
                check_free(api, key, Some(id))?;
            }
            check_integration(api, integration)?;
            let route = api.paths.routes.get_mut(id).ok_or_else(|| none(id))?;
            if let Some(key) = &input.route_key {
                route.key.clone_from(key);
            }
            if let Some(integration) = integration {
                route.integration = Some(integration.to_owned());
            }
            if input.operation_name.is_some() {
                route.operation_name.clone_from(&input.operation_name);
            }
            Ok(route.describe(id))
        })?)
    }

    pub(super) fn delete_route(&self) -> Answer {
        let id = &self.route.id;
        self.change(|api| api.paths.routes.remove(id).ok_or_else(|| none(id)))?;
        no_content()
    }
}

fn check_key(key: &str) -> Result<()> {
    select::check_key(key)
        .map_err(|why| Error::bad_request(format!("The provided route key {key} is not valid: {why}")))
}

/// Refuses a second route with one key.
fn check_free(api: &Api, key: &str, of: Option<&String>) -> Result<()> {
    let mut routes = api.paths.routes.iter();
    if routes.any(|(id, route)| route.key == key && Some(id) != of) {
        return Err(Error::conflict(format!(
            "Route with key {key} already exists for this API"
        )));
    }
    Ok(())
}

fn check_integration(api: &Api, integration: Option<&str>) -> Result<()> {
    match integration {
        Some(id) if !api.paths.integrations.contains_key(id) => Err(Error::bad_request(format!(
            "Invalid integration identifier specified {id}"
        ))),
        _ => Ok(()),
    }
}

fn none(id: &str) -> Error {
    Error::not_found("Route", id)
}
