//! Deployments: copies of all methods and gateway responses that stages serve.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Answer, Call, accepted, created, ok, read};
use crate::apigateway::control::check_count;
use crate::apigateway::error::{Error, Result};
use crate::apigateway::input::check_text;
use crate::apigateway::rest::model::{Deployment, RestApi, Stage};
use crate::apigateway::rest::{check, patch};
use crate::apigateway::store::new_id;

/// Each is a copy of all methods.
const MAX_DEPLOYMENTS: usize = 100;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Input {
    stage_name: Option<String>,
    stage_description: Option<String>,
    description: Option<String>,
    variables: Option<BTreeMap<String, String>>,
    tracing_enabled: Option<bool>,
    cache_cluster_enabled: Option<bool>,
}

impl Call<'_> {
    /// With the name of a stage, it is made, or gets the deployment.
    pub(super) fn create_deployment(&self) -> Answer {
        let input: Input = read(self.body)?;
        super::stages::check_flags(input.tracing_enabled, input.cache_cluster_enabled)?;
        check_text("description", input.description.as_deref().unwrap_or_default())?;
        let now = self.now();
        created(self.change(|api| {
            check_count(api.deployments.len(), MAX_DEPLOYMENTS, "deployments")?;
            check_whole(api)?;
            let id = new_id(6);
            if let Some(name) = input.stage_name.as_deref().filter(|name| !name.is_empty()) {
                let is_new = !api.stages.contains_key(name);
                if is_new {
                    super::stages::check_new(api, name)?;
                }
                let stage = api.stages.entry(name.to_owned()).or_insert_with(|| Stage {
                    created_ms: now,
                    ..Stage::default()
                });
                stage.deployment.clone_from(&id);
                stage.updated_ms = now;
                if input.stage_description.is_some() {
                    stage.description.clone_from(&input.stage_description);
                }
                if let Some(variables) = &input.variables {
                    super::stages::check_variables(variables)?;
                    stage.variables.clone_from(variables);
                }
            }
            let deployment = Deployment {
                description: input.description.clone(),
                created_ms: now,
                paths: api.paths.clone(),
            };
            let shown = deployment.describe(&id);
            api.deployments.insert(id, deployment);
            Ok(shown)
        })?)
    }

    pub(super) fn get_deployment(&self) -> Answer {
        let api = self.api()?;
        let id = &self.route.id;
        let deployment = api.deployments.get(id).ok_or_else(|| none(id))?;
        ok(deployment.describe(id))
    }

    pub(super) fn get_deployments(&self) -> Answer {
        let api = self.api()?;
        let all = api.deployments.iter();
        self.page(all.map(|(id, deployment)| (id.clone(), deployment.describe(id))))
    }

    pub(super) fn update_deployment(&self) -> Answer {
        let patches = patch::read(self.body)?;
        let id = &self.route.id;
        ok(self.change(|api| {
            let deployment = api.deployments.get_mut(id).ok_or_else(|| none(id))?;
            for patch in &patches {
                if patch.parts() != ["description"] {
                    return Err(patch.invalid());
                }
                let text = patch.value()?;
                check_text("description", text.unwrap_or_default())?;
                deployment.description = text.map(str::to_owned);
            }
            Ok(deployment.describe(id))
        })?)
    }

    pub(super) fn delete_deployment(&self) -> Answer {
        let id = &self.route.id;
        self.change(|api| {
            if api.stages.values().any(|stage| stage.deployment == *id) {
                return Err(Error::bad_request(
                    "Active stages pointing to this deployment must be moved or deleted",
                ));
            }
            api.deployments.remove(id).ok_or_else(|| none(id))
        })?;
        accepted()
    }
}

/// Only an API whose methods all have an integration can be deployed. Source: what AWS answers.
fn check_whole(api: &RestApi) -> Result<()> {
    let mut methods = api
        .paths
        .resources
        .values()
        .flat_map(|resource| resource.methods.values());
    if api
        .paths
        .resources
        .values()
        .all(|resource| resource.methods.is_empty())
    {
        return Err(Error::bad_request("The REST API doesn't contain any methods"));
    }
    if methods.any(|method| method.method_integration.is_none()) {
        return Err(Error::bad_request("No integration defined for method"));
    }
    let mut of_aws = api
        .paths
        .resources
        .values()
        .flat_map(|resource| resource.methods.values());
    let is_broken = |method: &crate::apigateway::rest::model::Method| {
        method
            .method_integration
            .clone()
            .is_some_and(|mut integration| check::integration(&mut integration, method, &api.region).is_err())
    };
    if of_aws.any(is_broken) {
        return Err(Error::bad_request("Invalid integration defined for method"));
    }
    Ok(())
}

fn none(id: &str) -> Error {
    Error::not_found("Deployment", id)
}
