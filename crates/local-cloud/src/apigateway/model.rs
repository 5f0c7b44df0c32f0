//! The stored state of an API, and how operations describe it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::clock::utc;
use crate::types::{Caller, Tags, partition};
use crate::web::address::{self, Kind};
use crate::web::cors::Cors;
use crate::web::reply::Format;

/// The stage whose name is not part of the URL.
pub(super) const DEFAULT: &str = "$default";
/// Source: "Quotas for configuring and running an HTTP API", API Gateway developer guide.
pub(super) const MAX_TIMEOUT_MS: u32 = 30_000;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Api {
    pub id: String,
    pub account: String,
    pub region: String,
    pub name: String,
    pub description: Option<String>,
    pub version: Option<String>,
    pub cors: Option<Cors>,
    /// Whether requests are refused.
    pub disabled: bool,
    pub created_ms: i64,
    pub tags: Tags,
    pub paths: Paths,
    /// By name.
    pub stages: BTreeMap<String, Stage>,
    pub deployments: BTreeMap<String, Deployment>,
}

/// Routes and integrations by id: what a deployment takes a copy of.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Paths {
    pub routes: BTreeMap<String, ApiRoute>,
    pub integrations: BTreeMap<String, Integration>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ApiRoute {
    /// Such as `GET /pets/{id}`, or `$default`.
    pub key: String,
    /// The id of an integration.
    pub integration: Option<String>,
    pub operation_name: Option<String>,
}

/// A Lambda function behind routes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Integration {
    /// As given: the ARN of a function, or the URI of its invocations.
    pub uri: String,
    pub format_1: bool,
    pub timeout_ms: u32,
    pub description: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Stage {
    /// Whether the stage always has the current routes.
    pub auto_deploy: bool,
    pub deployment: Option<String>,
    pub description: Option<String>,
    pub variables: BTreeMap<String, String>,
    pub default_limits: Limits,
    /// By route key.
    pub route_limits: BTreeMap<String, Limits>,
    /// Destination and format.
    pub access_log: Option<(String, String)>,
    pub created_ms: i64,
    pub updated_ms: i64,
    pub tags: Tags,
}

/// Route settings. Requests are counted in whole ones.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Limits {
    pub throttling_burst_limit: Option<u32>,
    /// Requests per second.
    pub throttling_rate_limit: Option<f64>,
    pub detailed_metrics_enabled: Option<bool>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Deployment {
    pub description: Option<String>,
    pub created_ms: i64,
    pub paths: Paths,
}

impl Integration {
    /// The ARN of the function.
    pub fn function(&self) -> &str {
        function_of(&self.uri).unwrap_or(&self.uri)
    }

    pub fn format(&self) -> Format {
        if self.format_1 { Format::One } else { Format::Two }
    }

    pub fn describe(&self, id: &str) -> Value {
        let mut value = json!({
            "connectionType": "INTERNET",
            "integrationId": id,
            "integrationMethod": "POST",
            "integrationType": "AWS_PROXY",
            "integrationUri": self.uri,
            "payloadFormatVersion": if self.format_1 { "1.0" } else { "2.0" },
            "timeoutInMillis": self.timeout_ms,
        });
        optional(&mut value, "description", &self.description);
        value
    }
}

/// The ARN of the function in an integration URI, which may be that ARN.
pub(super) fn function_of(uri: &str) -> Option<&str> {
    let arn = match uri.split_once(":lambda:path/2015-03-31/functions/") {
        Some((_, rest)) => rest.strip_suffix("/invocations")?,
        None => uri,
    };
    let parts: Vec<&str> = arn.split(':').collect();
    let is_function =
        (7..=8).contains(&parts.len()) && parts[0] == "arn" && parts[2] == "lambda" && parts[5] == "function";
    is_function.then_some(arn)
}

impl ApiRoute {
    pub fn describe(&self, id: &str) -> Value {
        let mut value = json!({
            "apiKeyRequired": false,
            "authorizationType": "NONE",
            "routeId": id,
            "routeKey": self.key,
        });
        let target = self.integration.as_ref().map(|id| format!("integrations/{id}"));
        optional(&mut value, "target", &target);
        optional(&mut value, "operationName", &self.operation_name);
        value
    }
}

impl Stage {
    pub fn describe(&self, name: &str) -> Value {
        let mut value = json!({
            "autoDeploy": self.auto_deploy,
            "createdDate": time(self.created_ms),
            "defaultRouteSettings": describe_limits(&self.default_limits),
            "lastUpdatedDate": time(self.updated_ms),
            "routeSettings": self
                .route_limits
                .iter()
                .map(|(key, limits)| (key.clone(), describe_limits(limits)))
                .collect::<Map<_, _>>(),
            "stageName": name,
            "stageVariables": self.variables,
            "tags": self.tags,
        });
        optional(&mut value, "deploymentId", &self.deployment);
        optional(&mut value, "description", &self.description);
        if let Some((destination, format)) = &self.access_log {
            value["accessLogSettings"] = json!({"destinationArn": destination, "format": format});
        }
        value
    }
}

fn describe_limits(limits: &Limits) -> Value {
    let mut value = json!({"detailedMetricsEnabled": limits.detailed_metrics_enabled.unwrap_or(false)});
    optional(&mut value, "throttlingBurstLimit", &limits.throttling_burst_limit);
    optional(&mut value, "throttlingRateLimit", &limits.throttling_rate_limit);
    value
}

impl Deployment {
    pub fn describe(&self, id: &str) -> Value {
        let mut value = json!({
            "autoDeployed": false,
            "createdDate": time(self.created_ms),
            "deploymentId": id,
            "deploymentStatus": "DEPLOYED",
        });
        optional(&mut value, "description", &self.description);
        value
    }
}

impl Api {
    pub fn caller(&self) -> Caller {
        Caller {
            account: self.account.clone(),
            region: self.region.clone(),
        }
    }

    pub fn arn(&self) -> String {
        let region = &self.region;
        format!("arn:{}:apigateway:{region}::/apis/{}", partition(region), self.id)
    }

    /// What a stage serves; `None` if nothing is deployed to it.
    pub fn deployed(&self, stage: &Stage) -> Option<&Paths> {
        if stage.auto_deploy {
            return Some(&self.paths);
        }
        let deployment = self.deployments.get(stage.deployment.as_ref()?)?;
        Some(&deployment.paths)
    }

    pub fn describe(&self, origin: &str) -> Value {
        let mut value = json!({
            "apiEndpoint": address::url(origin, Kind::HttpApi, &self.id),
            "apiId": self.id,
            "apiKeySelectionExpression": "$request.header.x-api-key",
            "createdDate": time(self.created_ms),
            "disableExecuteApiEndpoint": self.disabled,
            "ipAddressType": "ipv4",
            "name": self.name,
            "protocolType": "HTTP",
            "routeSelectionExpression": "$request.method $request.path",
            "tags": self.tags,
        });
        optional(&mut value, "description", &self.description);
        optional(&mut value, "version", &self.version);
        if let Some(cors) = &self.cors {
            value["corsConfiguration"] = describe_cors(cors);
        }
        value
    }
}

impl super::store::Stored for Api {
    fn id(&self) -> &str {
        &self.id
    }

    fn is_of(&self, caller: &Caller) -> bool {
        self.account == caller.account && self.region == caller.region
    }
}

fn describe_cors(cors: &Cors) -> Value {
    let mut value = json!({});
    optional(&mut value, "allowCredentials", &cors.allow_credentials);
    for (name, list) in [
        ("allowHeaders", &cors.allow_headers),
        ("allowMethods", &cors.allow_methods),
        ("allowOrigins", &cors.allow_origins),
        ("exposeHeaders", &cors.expose_headers),
    ] {
        if !list.is_empty() {
            value[name] = json!(list);
        }
    }
    optional(&mut value, "maxAge", &cors.max_age);
    value
}

fn optional(value: &mut Value, name: &str, member: &Option<impl Serialize>) {
    if let Some(member) = member {
        value[name] = json!(member);
    }
}

/// Source: `__timestampIso8601`, API Gateway Version 2 API reference.
fn time(ms: i64) -> String {
    utc(ms, "%Y-%m-%dT%H:%M:%SZ")
}

#[cfg(test)]
mod tests {
    use super::function_of;

    #[test]
    fn functions_in_uris() {
        let arn = "arn:aws:lambda:us-east-1:000000000000:function:f";
        let alias = format!("{arn}:live");
        let uri =
            format!("arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{alias}/invocations");
        for (uri, expected) in [
            (arn, Some(arn)),
            (alias.as_str(), Some(alias.as_str())),
            (uri.as_str(), Some(alias.as_str())),
            ("https://example.com", None),
            ("arn:aws:sqs:us-east-1:000000000000:q", None),
            (
                "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/f",
                None,
            ),
            ("", None),
        ] {
            assert_eq!(function_of(uri), expected, "{uri}");
        }
    }
}
