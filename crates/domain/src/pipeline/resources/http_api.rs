//! `http_api`: an HTTP API of API Gateway whose routes invoke one function, with CORS, throttles, and the stage `$default`,
//! which always has the current routes. Names of APIs are not unique: ours is the one with our tags.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::common::{self, is_known};
use super::function_permission::{self, Permission};
use super::kind::{Existing, Kind, Managed, TagMap};
use super::web_cors::Cors;
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::resource::{Change, Check, CheckState, Outputs, UNKNOWN};
use ground::error::Result;

mod calls;

/// The stage without a name in URLs.
const STAGE: &str = "$default";
const METHODS: [&str; 8] = ["ANY", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];
/// Milliseconds. Source: "Quotas for configuring and running an HTTP API", API Gateway developer guide.
const TIMEOUT_MS: u32 = 30_000;
/// A line of the access log.
/// Source: "Customize HTTP API access logs", API Gateway developer guide.
const LOG_FORMAT: &str = concat!(
    r#"{"requestId":"$context.requestId","time":"$context.requestTime","ip":"$context.identity.sourceIp","#,
    r#""method":"$context.httpMethod","path":"$context.path","route":"$context.routeKey","status":"$context.status","#,
    r#""length":"$context.responseLength","latency":"$context.responseLatency","error":"$context.error.message","#,
    r#""integrationStatus":"$context.integrationStatus","integrationError":"$context.integrationErrorMessage"}"#,
);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Declared {
    name: String,
    description: Option<String>,
    /// The ARN of the function that all routes invoke.
    function: String,
    /// Such as `GET /products/{id}`, or `$default`.
    routes: Vec<String>,
    cors: Option<Cors>,
    timeout_ms: Option<u32>,
    /// Requests at once, and a second, before others get the status 429.
    burst_limit: Option<u32>,
    rate_limit: Option<f64>,
    /// The log group that has a line for each request.
    log_group: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Facts {
    id: String,
    endpoint: String,
    description: Option<String>,
    cors: Cors,
    integration: Option<Integration>,
    /// Route key, route id, and the id of the integration.
    routes: BTreeMap<String, (String, String)>,
    /// `None` if there is no stage `$default`.
    stage: Option<Stage>,
    /// Whether the function's policy lets the API invoke it.
    permitted: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Integration {
    id: String,
    function: String,
    timeout_ms: u32,
    format: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Stage {
    auto_deploy: bool,
    burst_limit: Option<u32>,
    rate_limit: Option<f64>,
    access_log: Option<AccessLog>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct AccessLog {
    /// The ARN of the log group.
    destination: String,
    format: String,
}

impl AccessLog {
    /// The name of the log group, and whether the format is another than ours.
    fn words(&self) -> String {
        let name = self.destination.split(":log-group:").nth(1);
        let name = name.unwrap_or(&self.destination);
        match self.format == LOG_FORMAT {
            true => format!("log {name}"),
            false => format!("log {name} in another format"),
        }
    }
}

impl Stage {
    fn words(&self) -> String {
        let limit = |name: &str, value: Option<String>| value.map(|value| format!("{name} {value}"));
        let deploys = if self.auto_deploy {
            "automatic deployment"
        } else {
            "manual deployment"
        };
        let words = [
            Some(deploys.to_owned()),
            limit("burst", self.burst_limit.map(|limit| limit.to_string())),
            limit("rate", self.rate_limit.map(|limit| limit.to_string())),
            self.access_log.as_ref().map(AccessLog::words),
        ];
        words.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

type Api<'a> = Managed<'a, Declared>;

impl Api<'_> {
    fn timeout_ms(&self) -> u32 {
        self.declared.timeout_ms.unwrap_or(TIMEOUT_MS)
    }

    /// The stage as declared; limits that are not declared stay as they are in `there`.
    fn stage(&self, there: Option<&Stage>) -> Stage {
        Stage {
            auto_deploy: true,
            burst_limit: self
                .declared
                .burst_limit
                .or(there.and_then(|there| there.burst_limit)),
            rate_limit: self
                .declared
                .rate_limit
                .or(there.and_then(|there| there.rate_limit)),
            access_log: self
                .access_log()
                .or(there.and_then(|there| there.access_log.clone())),
        }
    }

    /// The access log as declared.
    fn access_log(&self) -> Option<AccessLog> {
        let group = self.declared.log_group.as_ref().filter(|group| is_known(group))?;
        Some(AccessLog {
            destination: self.arn_of("logs", &format!("log-group:{group}")),
            format: LOG_FORMAT.to_owned(),
        })
    }

    fn permission(&self, id: &str) -> Permission {
        Permission {
            sid: format!("StreamctlApi-{id}"),
            action: "InvokeFunction",
            principal: "apigateway.amazonaws.com",
            source_arn: Some(format!("{}/*", self.arn_of("execute-api", id))),
            source_account: None,
            of_url: false,
        }
    }

    fn arn_of_api(&self, id: &str) -> String {
        let (partition, region) = (&self.location.partition, &self.location.region);
        format!("arn:{partition}:apigateway:{region}::/apis/{id}")
    }

    fn route_changes(&self, facts: &Facts) -> Option<Change> {
        let wanted: BTreeSet<&str> = self.declared.routes.iter().map(String::as_str).collect();
        let there: BTreeSet<&str> = facts.routes.keys().map(String::as_str).collect();
        let integration = facts.integration.as_ref().map(|one| one.id.as_str());
        let elsewhere = facts
            .routes
            .values()
            .any(|(_, target)| Some(target.as_str()) != integration);
        if wanted == there && !elsewhere {
            return None;
        }
        let words = |keys: &BTreeSet<&str>| match keys.len() {
            0 => "none".to_owned(),
            _ => keys.iter().copied().collect::<Vec<_>>().join(", "),
        };
        let from = match wanted == there {
            true => "to another integration".to_owned(),
            false => words(&there),
        };
        Some(Change::update("routes", from, words(&wanted)))
    }

    fn function_change(&self, facts: &Facts) -> Option<Change> {
        let wanted = &self.declared.function;
        let Some(there) = &facts.integration else {
            return Some(Change::update("function", "none", wanted));
        };
        let timeout = self.declared.timeout_ms.is_some_and(|ms| ms != there.timeout_ms);
        if there.function != *wanted && common::is_known(wanted) || there.format != "2.0" {
            return Some(Change::update("function", &there.function, wanted));
        }
        timeout.then(|| {
            let ms = |ms: u32| format!("{ms} ms");
            Change::update("timeout", ms(there.timeout_ms), ms(self.timeout_ms()))
        })
    }
}

#[async_trait]
impl Kind for Api<'_> {
    const NOUN: &'static str = "HTTP API";
    type Facts = Facts;

    fn check(&mut self) -> Result<()> {
        let declared = &self.declared;
        // Source: CreateApi, API Gateway Version 2 API reference.
        if !(1..=128).contains(&declared.name.chars().count()) {
            return Err(self.bad_property("the name of an HTTP API has 1 to 128 characters"));
        }
        if declared.routes.is_empty() {
            return Err(self.bad_property("an HTTP API needs at least one route, such as \"$default\""));
        }
        for key in &declared.routes {
            if let Some(problem) = route_problem(key) {
                return Err(self.bad_property(&format!("{key:?} is not a route: {problem}")));
            }
        }
        let routes: BTreeSet<&String> = declared.routes.iter().collect();
        if routes.len() != declared.routes.len() {
            return Err(self.bad_property("a route is declared twice"));
        }
        let ms = self.timeout_ms();
        if !(50..=TIMEOUT_MS).contains(&ms) {
            return Err(self.bad_property(&format!("timeout_ms must be from 50 to {TIMEOUT_MS}, not {ms}")));
        }
        if declared
            .rate_limit
            .is_some_and(|rate| !(0.0..=1e6).contains(&rate))
        {
            return Err(self.bad_property("rate_limit is a number of requests per second"));
        }
        if declared.log_group.as_deref() == Some("") {
            return Err(self.bad_property("log_group must be the name of a log group"));
        }
        match declared.cors.as_ref().and_then(Cors::problem) {
            Some(problem) => Err(self.bad_property(&problem)),
            None => Ok(()),
        }
    }

    fn name(&self) -> String {
        self.declared.name.clone()
    }

    /// Routes have no authorizer.
    fn summary(&self) -> String {
        format!("{}; open to everyone", self.declared.routes.join(", "))
    }

    async fn observe(&self) -> Result<Option<(TagMap, Facts)>> {
        self.observe_api().await
    }

    fn changes(&self, existing: &Existing<'_, Facts>) -> Result<Vec<Change>> {
        let facts = &existing.facts;
        let declared = &self.declared;
        let enforced = |key: &str| self.enforced(key, existing);
        let mut changes = Vec::new();
        if let Some(text) = declared.description.as_ref().filter(|_| enforced("description"))
            && facts.description.as_ref() != Some(text)
        {
            let there = facts.description.as_deref().unwrap_or("none");
            changes.push(Change::update("description", there, text));
        }
        if let Some(cors) = declared.cors.as_ref().filter(|_| enforced("cors"))
            && !cors.same(&facts.cors)
        {
            changes.push(Change::update("CORS", facts.cors.words(), cors.words()));
        }
        changes.extend(self.function_change(facts));
        changes.extend(self.route_changes(facts));
        let wanted = self.stage(facts.stage.as_ref());
        if facts.stage.as_ref() != Some(&wanted) {
            let there = facts
                .stage
                .as_ref()
                .map_or_else(|| "none".to_owned(), Stage::words);
            changes.push(Change::update("stage", there, wanted.words()));
        }
        if !facts.permitted {
            changes.push(Change::update("permission", "none", "may invoke the function"));
        }
        Ok(changes)
    }

    async fn create(&self, step: &Step<'_>) -> Result<()> {
        self.create_api(step).await
    }

    async fn update(&self, field: &str, existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        step.doing(format!("setting {field}"));
        let id = &existing.facts.id;
        match field {
            "description" => {
                let input = json!({"description": self.declared.description});
                self.patch_api(id, &input).await
            }
            "CORS" => self.set_cors(id).await,
            "function" | "timeout" => self
                .set_integration(id, existing.facts.integration.as_ref())
                .await
                .map(drop),
            "routes" => self.set_routes(id, step).await,
            "stage" => self.set_stage(id, existing.facts.stage.as_ref()).await,
            "permission" => self.permit(id, step).await,
            other => Err(self.unknown_field(other)),
        }
    }

    fn tag_target(&self, facts: &Facts) -> String {
        self.arn_of_api(&facts.id)
    }

    async fn tag(&self, target: &str, tags: TagMap) -> Result<()> {
        self.put_tags(target, &tags).await
    }

    async fn untag(&self, target: &str, keys: Vec<String>) -> Result<()> {
        self.remove_tags(target, &keys).await
    }

    async fn delete(&self, existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        step.doing("deleting");
        let facts = &existing.facts;
        let function = facts.integration.as_ref().map(|one| one.function.as_str());
        let function = function.unwrap_or(&self.declared.function);
        if common::is_known(function) {
            let sid = self.permission(&facts.id).sid;
            function_permission::revoke(self.context, function, &sid).await?;
        }
        self.delete_api(&facts.id).await
    }

    async fn verify(&self, existing: &Existing<'_, Facts>, _probe: bool) -> Vec<Check> {
        let facts = &existing.facts;
        let mut problems = Vec::new();
        if facts.integration.is_none() || self.route_changes(facts).is_some() {
            problems.push("its routes are not as declared");
        }
        if !facts.stage.as_ref().is_some_and(|stage| stage.auto_deploy) {
            problems.push("its stage $default does not deploy automatically");
        }
        if !facts.permitted {
            problems.push("the function's policy does not let it invoke the function");
        }
        let (state, words) = match problems.as_slice() {
            [] if facts.routes.len() == 1 => (CheckState::Good, "1 route".to_owned()),
            [] => (CheckState::Good, format!("{} routes", facts.routes.len())),
            problems => (CheckState::Fault, problems.join("; ")),
        };
        vec![Check::new(state, "described", words)]
    }

    fn outputs(&self, facts: Option<Facts>) -> Outputs {
        let mut outputs = common::outputs([("name", self.name())]);
        if let Some(facts) = facts {
            outputs.extend(common::outputs([
                ("arn", self.arn_of_api(&facts.id)),
                ("id", facts.id),
                ("url", facts.endpoint),
            ]));
        }
        outputs
    }

    /// Source: "Actions, resources, and condition keys for Amazon API Gateway Management V2", service authorization
    /// reference. An API has its id once it exists.
    fn iam(&self) -> Vec<Statement> {
        let (partition, region) = (&self.location.partition, &self.location.region);
        let prefix = format!("arn:{partition}:apigateway:{region}::");
        let function = match self.declared.function.as_str() {
            UNKNOWN => "*",
            arn => arn,
        };
        let mut needs = vec![
            Statement::new(
                &[
                    "apigateway:DELETE",
                    "apigateway:GET",
                    "apigateway:PATCH",
                    "apigateway:POST",
                ],
                ["/apis", "/apis/*", "/tags/*"].map(|path| format!("{prefix}{path}")),
            ),
            function_permission::iam(function),
        ];
        // Source: "Configure logging for HTTP APIs in API Gateway", API Gateway developer guide.
        if self.declared.log_group.is_some() {
            let delivery = [
                "logs:CreateLogDelivery",
                "logs:DeleteLogDelivery",
                "logs:DescribeLogGroups",
                "logs:DescribeResourcePolicies",
                "logs:GetLogDelivery",
                "logs:ListLogDeliveries",
                "logs:PutResourcePolicy",
                "logs:UpdateLogDelivery",
            ];
            needs.push(Statement::new(&delivery, ["*".to_owned()]));
        }
        needs
    }
}

/// Why API Gateway would refuse a route key.
/// Source: "Create routes for HTTP APIs", API Gateway developer guide.
fn route_problem(key: &str) -> Option<&'static str> {
    if key == STAGE {
        return None;
    }
    let Some((method, path)) = key.split_once(' ') else {
        return Some("give a method and a path, such as \"GET /products\"");
    };
    if !METHODS.contains(&method) {
        return Some("its method is ANY, DELETE, GET, HEAD, OPTIONS, PATCH, POST or PUT");
    }
    if !path.starts_with('/') {
        return Some("its path begins with a slash");
    }
    let parts: Vec<&str> = path.split('/').collect();
    let greedy = |part: &&str| part.ends_with("+}");
    let last = parts.len().saturating_sub(1);
    if parts[..last].iter().any(greedy) {
        return Some("a greedy variable is its last part");
    }
    None
}

/// A text of a document, if it has one.
fn text(value: &Value, name: &str) -> Option<String> {
    value[name].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests;
