//! Stages.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Answer, Call, accepted, created, ok, read};
use crate::apigateway::control::check_count;
use crate::apigateway::error::{Error, Result};
use crate::apigateway::input::{check_tags, check_text};
use crate::apigateway::model::Limits;
use crate::apigateway::rest::model::{RestApi, Stage};
use crate::apigateway::rest::patch::{self, Patch};
use crate::types::Tags;

/// Source: "Quotas for configuring and running a REST API", API Gateway developer guide.
const MAX_STAGES: usize = 10;
const MAX_VARIABLES: usize = 100;
const MAX_RATE: f64 = 1_000_000.0;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Input {
    stage_name: String,
    deployment_id: String,
    description: Option<String>,
    variables: BTreeMap<String, String>,
    tags: Tags,
    tracing_enabled: Option<bool>,
    cache_cluster_enabled: Option<bool>,
}

impl Call<'_> {
    pub(super) fn create_stage(&self) -> Answer {
        let input: Input = read(self.body)?;
        check_flags(input.tracing_enabled, input.cache_cluster_enabled)?;
        check_variables(&input.variables)?;
        check_tags(&input.tags)?;
        check_text("description", input.description.as_deref().unwrap_or_default())?;
        let (name, now) = (input.stage_name, self.now());
        created(self.change(|api| {
            if api.stages.contains_key(&name) {
                return Err(Error::conflict("Stage already exists"));
            }
            check_new(api, &name)?;
            check_deployment(api, &input.deployment_id)?;
            let stage = Stage {
                deployment: input.deployment_id,
                description: input.description,
                variables: input.variables,
                limits: BTreeMap::new(),
                created_ms: now,
                updated_ms: now,
                tags: input.tags,
            };
            let shown = stage.describe(&name);
            api.stages.insert(name, stage);
            Ok(shown)
        })?)
    }

    pub(super) fn get_stage(&self) -> Answer {
        let api = self.api()?;
        let name = &self.route.id;
        let stage = api.stages.get(name).ok_or_else(|| none(name))?;
        ok(stage.describe(name))
    }

    /// All stages, in one page.
    pub(super) fn get_stages(&self) -> Answer {
        let api = self.api()?;
        let wanted = self.route.parameter("deploymentId");
        let is_wanted = |stage: &Stage| wanted.is_none_or(|id| stage.deployment == id);
        let stages = api.stages.iter().filter(|(_, stage)| is_wanted(stage));
        let stages: Vec<_> = stages.map(|(name, stage)| stage.describe(name)).collect();
        ok(serde_json::json!({"item": stages}))
    }

    pub(super) fn update_stage(&self) -> Answer {
        let patches = patch::read(self.body)?;
        let (name, now) = (&self.route.id, self.now());
        ok(self.change(|api| {
            let mut stage = api.stages.get(name).ok_or_else(|| none(name))?.clone();
            for patch in &patches {
                apply(api, &mut stage, patch)?;
            }
            check_variables(&stage.variables)?;
            stage.updated_ms = now;
            let shown = stage.describe(name);
            api.stages.insert(name.clone(), stage);
            Ok(shown)
        })?)
    }

    pub(super) fn delete_stage(&self) -> Answer {
        let name = &self.route.id;
        self.change(|api| api.stages.remove(name).ok_or_else(|| none(name)))?;
        accepted()
    }
}

/// Source: "Update stage", patch operations, API reference.
fn apply(api: &RestApi, stage: &mut Stage, patch: &Patch) -> Result<()> {
    let value = patch.value()?;
    let parts = patch.parts();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match (parts.as_slice(), value) {
        (["deploymentId"], Some(id)) => {
            check_deployment(api, id)?;
            id.clone_into(&mut stage.deployment);
        }
        (["description"], text) => {
            check_text("description", text.unwrap_or_default())?;
            stage.description = text.map(str::to_owned);
        }
        (["variables", name], Some(text)) => {
            stage.variables.insert((*name).to_owned(), text.to_owned());
        }
        (["variables", name], None) => {
            stage.variables.remove(*name);
        }
        ([path, method, "throttling", limit @ ("rateLimit" | "burstLimit")], Some(text)) => {
            let key = format!("{}/{method}", path.trim_start_matches('/'));
            let limits = stage.limits.entry(key).or_default();
            set_limit(limits, limit, text).ok_or_else(|| patch.invalid())?;
        }
        ([path, method], None) => {
            stage
                .limits
                .remove(&format!("{}/{method}", path.trim_start_matches('/')));
        }
        _ => return Err(patch.invalid()),
    }
    Ok(())
}

/// -1 is no limit of its own.
fn set_limit(limits: &mut Limits, name: &str, text: &str) -> Option<()> {
    if name == "burstLimit" {
        let burst: i64 = text.parse().ok()?;
        limits.throttling_burst_limit = u32::try_from(burst).ok();
    } else {
        let rate: f64 = text.parse().ok().filter(|rate: &f64| *rate <= MAX_RATE)?;
        limits.throttling_rate_limit = Some(rate).filter(|rate| *rate >= 0.0);
    }
    Some(())
}

pub(super) fn check_flags(tracing: Option<bool>, cache: Option<bool>) -> Result<()> {
    match (tracing, cache) {
        (Some(true), _) => Err(Error::not_offered("X-Ray tracing of stages")),
        (_, Some(true)) => Err(Error::not_offered("caches of REST APIs")),
        _ => Ok(()),
    }
}

pub(super) fn check_new(api: &RestApi, name: &str) -> Result<()> {
    check_count(api.stages.len(), MAX_STAGES, "stages")?;
    let is_sound = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (1..=128).contains(&name.len()) && name.bytes().all(is_sound) {
        return Ok(());
    }
    Err(Error::bad_request("Stage name only allows a-zA-Z0-9_-"))
}

pub(super) fn check_variables(variables: &BTreeMap<String, String>) -> Result<()> {
    let is_name = |name: &str| {
        (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let is_value = |value: &str| {
        value.len() <= 512
            && value
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._~:/?#&=,".contains(&b))
    };
    let is_sound = variables
        .iter()
        .all(|(name, value)| is_name(name) && is_value(value));
    if variables.len() <= MAX_VARIABLES && is_sound {
        return Ok(());
    }
    Err(Error::bad_request(
        "Stage variables: names have letters, digits and _, and values match [A-Za-z0-9-._~:/?#&=,]+",
    ))
}

fn check_deployment(api: &RestApi, id: &str) -> Result<()> {
    if api.deployments.contains_key(id) {
        return Ok(());
    }
    Err(Error::bad_request("Deployment id does not exist"))
}

fn none(name: &str) -> Error {
    Error::not_found("Stage", name)
}
