//! The stored state of a REST API, and how operations describe it.
//!
//! Methods, integrations and responses are stored as the API writes them. Source: the data types of the Amazon API Gateway
//! API reference (version 1).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::super::model::Limits;
use crate::types::{Caller, Tags, partition};
use crate::web::address::{self, Kind};

/// Milliseconds. Source: "Quotas for configuring and running a REST API", API Gateway developer guide.
pub(super) const MAX_TIMEOUT_MS: u32 = 29_000;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in super::super) struct RestApi {
    pub id: String,
    pub account: String,
    pub region: String,
    pub name: String,
    pub description: Option<String>,
    pub version: Option<String>,
    /// EDGE or REGIONAL.
    pub endpoint: String,
    /// Whether requests are refused.
    pub disabled: bool,
    pub created_ms: i64,
    pub tags: Tags,
    pub(super) paths: Paths,
    pub(super) deployments: BTreeMap<String, Deployment>,
    /// By name.
    pub(super) stages: BTreeMap<String, Stage>,
}

/// What a deployment takes a copy of.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Paths {
    /// By id.
    pub resources: BTreeMap<String, Resource>,
    /// By type, such as `DEFAULT_4XX`.
    pub gateway_responses: BTreeMap<String, GatewayResponse>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Resource {
    /// `None` for the root.
    pub parent: Option<String>,
    /// Empty for the root.
    pub part: String,
    /// From the root, such as `/pets/{id}`.
    pub path: String,
    /// By HTTP method, or ANY.
    pub methods: BTreeMap<String, Method>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Method {
    pub http_method: String,
    pub authorization_type: String,
    pub api_key_required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation_name: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub request_parameters: BTreeMap<String, bool>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub request_models: BTreeMap<String, String>,
    /// By status.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub method_responses: BTreeMap<String, MethodResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method_integration: Option<Integration>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct MethodResponse {
    pub status_code: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub response_parameters: BTreeMap<String, bool>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub response_models: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct Integration {
    /// AWS or MOCK.
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub request_parameters: BTreeMap<String, String>,
    /// By content type.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub request_templates: BTreeMap<String, String>,
    pub passthrough_behavior: String,
    pub timeout_in_millis: u32,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cache_namespace: String,
    pub cache_key_parameters: Vec<String>,
    /// By status.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub integration_responses: BTreeMap<String, IntegrationResponse>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct IntegrationResponse {
    pub status_code: String,
    /// A regular expression on the status of the integration; none in the default response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selection_pattern: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub response_parameters: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub response_templates: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct GatewayResponse {
    pub response_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_code: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub response_parameters: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub response_templates: BTreeMap<String, String>,
    pub default_response: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Deployment {
    pub description: Option<String>,
    pub created_ms: i64,
    pub paths: Paths,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Stage {
    pub deployment: String,
    pub description: Option<String>,
    pub variables: BTreeMap<String, String>,
    /// By `*/*`, or a path without its first slash and a method, such as `submit/POST`.
    pub limits: BTreeMap<String, Limits>,
    pub created_ms: i64,
    pub updated_ms: i64,
    pub tags: Tags,
}

impl Method {
    pub fn describe(&self) -> Value {
        json!(self)
    }
}

impl Resource {
    /// `all` describes the methods too. Source: GetResource, API reference: `embed=methods`.
    pub fn describe(&self, id: &str, all: bool) -> Value {
        let mut value = json!({"id": id, "path": self.path});
        if let Some(parent) = &self.parent {
            value["parentId"] = json!(parent);
            value["pathPart"] = json!(self.part);
        }
        if !self.methods.is_empty() {
            let described = |method: &Method| if all { method.describe() } else { json!({}) };
            let methods = self.methods.iter();
            let methods = methods.map(|(name, method)| (name.clone(), described(method)));
            value["resourceMethods"] = methods.collect::<Map<_, _>>().into();
        }
        value
    }
}

impl Deployment {
    pub fn describe(&self, id: &str) -> Value {
        let mut value = json!({"id": id, "createdDate": self.created_ms / 1000});
        optional(&mut value, "description", &self.description);
        value
    }
}

impl Stage {
    pub fn describe(&self, name: &str) -> Value {
        let settings = self.limits.iter().map(|(key, limits)| {
            let mut value = json!({
                "cacheDataEncrypted": false,
                "cacheTtlInSeconds": 300,
                "cachingEnabled": false,
                "dataTraceEnabled": false,
                "metricsEnabled": limits.detailed_metrics_enabled.unwrap_or(false),
                "requireAuthorizationForCacheControl": true,
                "unauthorizedCacheControlHeaderStrategy": "SUCCEED_WITH_RESPONSE_HEADER",
            });
            optional(&mut value, "throttlingBurstLimit", &limits.throttling_burst_limit);
            optional(&mut value, "throttlingRateLimit", &limits.throttling_rate_limit);
            (key.clone(), value)
        });
        let mut value = json!({
            "cacheClusterEnabled": false,
            "cacheClusterStatus": "NOT_AVAILABLE",
            "createdDate": self.created_ms / 1000,
            "deploymentId": self.deployment,
            "lastUpdatedDate": self.updated_ms / 1000,
            "methodSettings": settings.collect::<Map<_, _>>(),
            "stageName": name,
            "tags": self.tags,
            "tracingEnabled": false,
        });
        optional(&mut value, "description", &self.description);
        if !self.variables.is_empty() {
            value["variables"] = json!(self.variables);
        }
        value
    }
}

impl RestApi {
    pub fn caller(&self) -> Caller {
        Caller {
            account: self.account.clone(),
            region: self.region.clone(),
        }
    }

    pub fn arn(&self) -> String {
        let region = &self.region;
        format!(
            "arn:{}:apigateway:{region}::/restapis/{}",
            partition(region),
            self.id
        )
    }

    fn root(&self) -> &str {
        let mut resources = self.paths.resources.iter();
        let root = resources.find(|(_, resource)| resource.parent.is_none());
        root.map_or("", |(id, _)| id)
    }

    /// `apiEndpoint` is not a member on AWS: it says where the local cloud serves the API, as that of HTTP APIs does.
    pub fn describe(&self, origin: &str) -> Value {
        let mut value = json!({
            "apiEndpoint": address::url(origin, Kind::HttpApi, &self.id),
            "apiKeySource": "HEADER",
            "createdDate": self.created_ms / 1000,
            "disableExecuteApiEndpoint": self.disabled,
            "endpointConfiguration": {"types": [self.endpoint], "ipAddressType": "ipv4"},
            "id": self.id,
            "name": self.name,
            "rootResourceId": self.root(),
            "tags": self.tags,
        });
        optional(&mut value, "description", &self.description);
        optional(&mut value, "version", &self.version);
        value
    }
}

impl super::super::store::Stored for RestApi {
    fn id(&self) -> &str {
        &self.id
    }

    fn is_of(&self, caller: &Caller) -> bool {
        self.account == caller.account && self.region == caller.region
    }
}

fn optional(value: &mut Value, name: &str, member: &Option<impl Serialize>) {
    if let Some(member) = member {
        value[name] = json!(member);
    }
}
