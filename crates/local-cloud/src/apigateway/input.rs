//! The parameters of operations, and their valid values.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::{Error, Result};
use super::model::{Integration, Limits, MAX_TIMEOUT_MS, Stage, function_of};
use crate::types::Tags;
use crate::web::cors::Cors;

const METHODS: [&str; 8] = ["*", "GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS"];
/// Tags of a resource. Source: "Tagging your API Gateway resources", API Gateway developer guide.
const MAX_TAGS: usize = 50;
/// Items of a list, and characters of a text.
const MAX_LIST: usize = 100;
const MAX_TEXT: usize = 1024;
/// Source: "Quotas for configuring and running an HTTP API", API Gateway developer guide.
const MAX_VARIABLES: usize = 100;
const MAX_RATE: f64 = 1_000_000.0;

/// Parses a request body. An empty body is an empty object.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body)
        .map_err(|error| Error::bad_request(format!("The request could not be read: {error}.")))
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ApiInput {
    pub name: Option<String>,
    pub protocol_type: Option<String>,
    pub description: Option<String>,
    pub version: Option<String>,
    pub cors_configuration: Option<CorsInput>,
    pub disable_execute_api_endpoint: Option<bool>,
    pub tags: Option<Tags>,
    /// The ARN of a function: creates a route, an integration and a stage.
    pub target: Option<String>,
    pub route_key: Option<String>,
    pub credentials_arn: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct CorsInput {
    allow_credentials: Option<bool>,
    allow_headers: Option<Vec<String>>,
    allow_methods: Option<Vec<String>>,
    allow_origins: Option<Vec<String>>,
    expose_headers: Option<Vec<String>>,
    max_age: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct RouteInput {
    pub route_key: Option<String>,
    pub target: Option<String>,
    pub operation_name: Option<String>,
    pub authorization_type: Option<String>,
    pub api_key_required: Option<bool>,
    pub request_parameters: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct IntegrationInput {
    pub integration_type: Option<String>,
    pub integration_subtype: Option<String>,
    pub integration_uri: Option<String>,
    pub payload_format_version: Option<String>,
    pub timeout_in_millis: Option<i64>,
    pub description: Option<String>,
    pub connection_type: Option<String>,
    pub credentials_arn: Option<String>,
    pub request_parameters: Option<Value>,
    pub response_parameters: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct StageInput {
    pub stage_name: Option<String>,
    pub auto_deploy: Option<bool>,
    pub deployment_id: Option<String>,
    pub description: Option<String>,
    pub stage_variables: Option<BTreeMap<String, String>>,
    pub default_route_settings: Option<Limits>,
    pub route_settings: Option<BTreeMap<String, Limits>>,
    pub access_log_settings: Option<AccessLog>,
    pub client_certificate_id: Option<String>,
    pub tags: Option<Tags>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct AccessLog {
    destination_arn: Option<String>,
    format: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct DeploymentInput {
    pub description: Option<String>,
    pub stage_name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct TagsInput {
    pub tags: Tags,
}

pub(super) fn check_text(name: &str, text: &str) -> Result<()> {
    if text.chars().count() > MAX_TEXT {
        return Err(Error::bad_request(format!(
            "{name} must have at most {MAX_TEXT} characters"
        )));
    }
    Ok(())
}

pub(super) fn check_tags(tags: &Tags) -> Result<()> {
    let is_sound = |(key, value): (&String, &String)| {
        (1..=128).contains(&key.chars().count())
            && value.chars().count() <= 256
            && !key.to_ascii_lowercase().starts_with("aws:")
    };
    if tags.len() > MAX_TAGS || !tags.iter().all(is_sound) {
        return Err(Error::bad_request(format!(
            "Invalid tags: a resource has at most {MAX_TAGS} tags, with keys of 1 to 128 characters that do not begin with \
             aws:, and values of up to 256 characters"
        )));
    }
    Ok(())
}

impl CorsInput {
    /// `None` for an empty structure.
    pub fn read(&self) -> Result<Option<Cors>> {
        let list = |given: &Option<Vec<String>>, name: &str| {
            let list = given.clone().unwrap_or_default();
            let is_sound = |text: &String| (1..=MAX_TEXT).contains(&text.len()) && text.is_ascii();
            if list.len() > MAX_LIST || !list.iter().all(is_sound) {
                return Err(Error::bad_request(format!("Invalid CORS configuration: {name}")));
            }
            Ok(list)
        };
        let cors = Cors {
            allow_credentials: self.allow_credentials,
            allow_headers: list(&self.allow_headers, "allowHeaders")?,
            allow_methods: list(&self.allow_methods, "allowMethods")?,
            allow_origins: list(&self.allow_origins, "allowOrigins")?,
            expose_headers: list(&self.expose_headers, "exposeHeaders")?,
            max_age: self.max_age,
        };
        let unknown = |method: &&String| !METHODS.contains(&method.as_str());
        if let Some(method) = cors.allow_methods.iter().find(unknown) {
            return Err(Error::bad_request(format!(
                "Invalid method in allowMethods: {method}"
            )));
        }
        if cors
            .max_age
            .is_some_and(|seconds| !(-1..=86_400).contains(&seconds))
        {
            return Err(Error::bad_request("maxAge must be between -1 and 86400 seconds"));
        }
        let is_any = cors.allow_origins.iter().any(|origin| origin == "*");
        if cors.allow_credentials == Some(true) && is_any {
            return Err(Error::bad_request(
                "allowCredentials is not supported with * in allowOrigins",
            ));
        }
        Ok(Some(cors).filter(|cors| *cors != Cors::default()))
    }
}

impl RouteInput {
    pub fn check(&self) -> Result<()> {
        match self.authorization_type.as_deref() {
            None | Some("NONE") => {}
            Some(other) => return Err(Error::not_offered(format_args!("the authorization type {other}"))),
        }
        if self.api_key_required == Some(true) {
            return Err(Error::bad_request("API keys are not supported for HTTP APIs"));
        }
        if self.request_parameters.as_ref().is_some_and(|all| !all.is_null()) {
            return Err(Error::bad_request(
                "Request parameters of routes are not supported for HTTP APIs",
            ));
        }
        Ok(())
    }

    /// The id of the integration in `target`.
    pub fn integration(&self) -> Result<Option<&str>> {
        let Some(target) = self.target.as_deref() else {
            return Ok(None);
        };
        match target.strip_prefix("integrations/") {
            Some(id) => Ok(Some(id)),
            None => Err(Error::bad_request(format!(
                "Invalid target {target}: it must be integrations/ID"
            ))),
        }
    }
}

impl IntegrationInput {
    /// Applies what is given.
    pub fn apply(&self, integration: &mut Integration) -> Result<()> {
        self.refuse_unsupported()?;
        if let Some(uri) = &self.integration_uri {
            if function_of(uri).is_none() || uri.len() > MAX_TEXT {
                return Err(Error::bad_request(format!(
                    "Invalid integration URI {uri}: it must be the ARN of a Lambda function"
                )));
            }
            integration.uri.clone_from(uri);
        }
        match self.payload_format_version.as_deref() {
            None => {}
            Some("1.0") => integration.format_1 = true,
            Some("2.0") => integration.format_1 = false,
            Some(other) => {
                return Err(Error::bad_request(format!(
                    "Invalid payload format version {other}: it must be 1.0 or 2.0"
                )));
            }
        }
        if let Some(ms) = self.timeout_in_millis {
            integration.timeout_ms = u32::try_from(ms)
                .ok()
                .filter(|ms| (50..=MAX_TIMEOUT_MS).contains(ms))
                .ok_or_else(|| {
                    Error::bad_request(format!(
                        "Timeout should be between 50 ms and {MAX_TIMEOUT_MS} ms, and is {ms}"
                    ))
                })?;
        }
        if let Some(description) = &self.description {
            check_text("description", description)?;
            integration.description = Some(description.clone());
        }
        Ok(())
    }

    fn refuse_unsupported(&self) -> Result<()> {
        match self.integration_type.as_deref() {
            None | Some("AWS_PROXY") => {}
            Some(other) => {
                return Err(Error::not_offered(format_args!(
                    "integrations of the type {other}, only AWS_PROXY to a Lambda function"
                )));
            }
        }
        if let Some(subtype) = &self.integration_subtype {
            return Err(Error::not_offered(format_args!(
                "the integration subtype {subtype}, only Lambda functions"
            )));
        }
        if self.connection_type.as_deref() == Some("VPC_LINK") {
            return Err(Error::not_offered("VPC links"));
        }
        let is_given = |value: &Option<Value>| {
            value
                .as_ref()
                .is_some_and(|value| value.as_object().is_none_or(|all| !all.is_empty()))
        };
        if is_given(&self.request_parameters) || is_given(&self.response_parameters) {
            return Err(Error::not_offered("parameter mapping"));
        }
        if self.credentials_arn.is_some() {
            return Err(Error::not_offered(
                "credentials of integrations: the resource policy of the function decides",
            ));
        }
        Ok(())
    }
}

impl StageInput {
    /// Applies what is given, except the name.
    pub fn apply(&self, stage: &mut Stage) -> Result<()> {
        if self.client_certificate_id.is_some() {
            return Err(Error::not_offered("client certificates"));
        }
        if let Some(auto_deploy) = self.auto_deploy {
            stage.auto_deploy = auto_deploy;
        }
        if let Some(description) = &self.description {
            check_text("description", description)?;
            stage.description = Some(description.clone());
        }
        if let Some(variables) = &self.stage_variables {
            if variables.len() > MAX_VARIABLES
                || variables
                    .iter()
                    .any(|(key, value)| key.len() > 64 || value.len() > 512)
            {
                return Err(Error::bad_request(format!(
                    "Invalid stage variables: a stage has at most {MAX_VARIABLES}, with names of up to 64 and values of up \
                     to 512 characters"
                )));
            }
            stage.variables.clone_from(variables);
        }
        if let Some(limits) = &self.default_route_settings {
            stage.default_limits = checked(limits)?;
        }
        if let Some(routes) = &self.route_settings {
            stage.route_limits = routes
                .iter()
                .map(|(key, limits)| Ok((key.clone(), checked(limits)?)))
                .collect::<Result<_>>()?;
        }
        if let Some(log) = &self.access_log_settings {
            stage.access_log = log.read()?;
        }
        Ok(())
    }
}

fn checked(limits: &Limits) -> Result<Limits> {
    let is_rate = |rate: f64| (0.0..=MAX_RATE).contains(&rate);
    if limits.throttling_rate_limit.is_some_and(|rate| !is_rate(rate)) {
        return Err(Error::bad_request(format!(
            "throttlingRateLimit must be between 0 and {MAX_RATE}"
        )));
    }
    Ok(limits.clone())
}

impl AccessLog {
    /// `None` for an empty structure.
    fn read(&self) -> Result<Option<(String, String)>> {
        match (&self.destination_arn, &self.format) {
            (None, None) => Ok(None),
            (Some(arn), Some(format)) => {
                check_text("destinationArn", arn)?;
                if format.len() > 3 * MAX_TEXT {
                    return Err(Error::bad_request("The format of access logs is too long"));
                }
                Ok(Some((arn.clone(), format.clone())))
            }
            _ => Err(Error::bad_request(
                "Access logs need both destinationArn and format",
            )),
        }
    }
}
