//! Stages.

use super::apis::required;
use super::{Answer, Call, check_count, created, no_content, ok};
use crate::apigateway::error::{Error, Result};
use crate::apigateway::input::{self, StageInput};
use crate::apigateway::model::{Api, DEFAULT, Stage};

/// Source: "Quotas for configuring and running an HTTP API", API Gateway developer guide.
const MAX_STAGES: usize = 10;

impl Call<'_> {
    pub(super) fn create_stage(&self) -> Answer {
        let input: StageInput = input::read(self.body)?;
        let name = required(input.stage_name.as_deref(), "stageName")?;
        check_name(name)?;
        let tags = input.tags.clone().unwrap_or_default();
        input::check_tags(&tags)?;
        let now = self.now();
        let mut stage = Stage {
            created_ms: now,
            updated_ms: now,
            tags,
            ..Stage::default()
        };
        input.apply(&mut stage)?;
        created(self.change(|api| {
            check_count(api.stages.len(), MAX_STAGES, "stages")?;
            if api.stages.contains_key(name) {
                return Err(Error::conflict("Stage already exists"));
            }
            stage.deployment = deployment(api, &input)?;
            let shown = stage.describe(name);
            api.stages.insert(name.to_owned(), stage);
            Ok(shown)
        })?)
    }

    pub(super) fn get_stage(&self) -> Answer {
        let api = self.api()?;
        let name = &self.route.id;
        let stage = api.stages.get(name).ok_or_else(|| none(name))?;
        ok(stage.describe(name))
    }

    pub(super) fn get_stages(&self) -> Answer {
        let api = self.api()?;
        let stages = api.stages.iter();
        self.page(stages.map(|(name, stage)| (name.clone(), stage.describe(name))))
    }

    pub(super) fn update_stage(&self) -> Answer {
        let input: StageInput = input::read(self.body)?;
        let (name, now) = (&self.route.id, self.now());
        ok(self.change(|api| {
            let deployment = deployment(api, &input)?;
            let stage = api.stages.get_mut(name).ok_or_else(|| none(name))?;
            input.apply(stage)?;
            if deployment.is_some() {
                stage.deployment = deployment;
            }
            stage.updated_ms = now;
            Ok(stage.describe(name))
        })?)
    }

    pub(super) fn delete_stage(&self) -> Answer {
        let name = &self.route.id;
        self.change(|api| api.stages.remove(name).ok_or_else(|| none(name)))?;
        no_content()
    }
}

/// The deployment that a request names.
fn deployment(api: &Api, input: &StageInput) -> Result<Option<String>> {
    match &input.deployment_id {
        Some(id) if !api.deployments.contains_key(id) => Err(Error::bad_request(format!(
            "Invalid deployment identifier specified {id}"
        ))),
        id => Ok(id.clone()),
    }
}

fn check_name(name: &str) -> Result<()> {
    let is_name = (1..=128).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if is_name || name == DEFAULT {
        return Ok(());
    }
    Err(Error::bad_request(format!(
        "Invalid stage name {name}: it has up to 128 letters, digits and the characters - and _, or is $default"
    )))
}

fn none(name: &str) -> Error {
    Error::not_found("Stage", name)
}
