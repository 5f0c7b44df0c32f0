//! Deployments: copies of routes and integrations that stages serve.

use super::{Answer, Call, check_count, created, no_content, ok};
use crate::apigateway::error::Error;
use crate::apigateway::input::{self, DeploymentInput};
use crate::apigateway::model::Deployment;
use crate::apigateway::store::new_id;

/// Each is a copy of all routes.
const MAX_DEPLOYMENTS: usize = 100;

impl Call<'_> {
    pub(super) fn create_deployment(&self) -> Answer {
        let input: DeploymentInput = input::read(self.body)?;
        let now = self.now();
        created(self.change(|api| {
            check_count(api.deployments.len(), MAX_DEPLOYMENTS, "deployments")?;
            if api.paths.routes.is_empty() {
                return Err(Error::bad_request(
                    "At least one route is required before deploying the API.",
                ));
            }
            let id = new_id(6);
            if let Some(name) = &input.stage_name {
                let stage = api.stages.get_mut(name);
                let stage = stage.ok_or_else(|| Error::not_found("Stage", name))?;
                if stage.auto_deploy {
                    return Err(Error::bad_request(
                        "Deployment ID cannot be set on a stage when auto deploy is enabled",
                    ));
                }
                stage.deployment = Some(id.clone());
                stage.updated_ms = now;
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
        let input: DeploymentInput = input::read(self.body)?;
        let id = &self.route.id;
        ok(self.change(|api| {
            let deployment = api.deployments.get_mut(id).ok_or_else(|| none(id))?;
            if input.description.is_some() {
                deployment.description = input.description;
            }
            Ok(deployment.describe(id))
        })?)
    }

    pub(super) fn delete_deployment(&self) -> Answer {
        let id = &self.route.id;
        self.change(|api| {
            let mut stages = api.stages.iter();
            if let Some((name, _)) = stages.find(|(_, stage)| stage.deployment.as_ref() == Some(id)) {
                return Err(Error::bad_request(format!(
                    "Active stages pointing to this deployment must be moved or deleted: {name}"
                )));
            }
            api.deployments.remove(id).ok_or_else(|| none(id))
        })?;
        no_content()
    }
}

fn none(id: &str) -> Error {
    Error::not_found("Deployment", id)
}
