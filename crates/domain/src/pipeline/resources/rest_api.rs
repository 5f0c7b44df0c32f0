//! `rest_api`: a REST API of API Gateway whose methods put records into Kinesis streams, without a function, with CORS,
//! throttles and one stage. Names of APIs are not unique: ours is the one with our tags.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::common::{self, is_known};
use super::kind::{Existing, Kind, Managed, TagMap};
use super::web_cors::Cors;
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::resource::{Change, Check, CheckState, Outputs, UNKNOWN};
use ground::error::Result;

mod calls;
mod shape;

const METHODS: [&str; 6] = ["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"];
/// Milliseconds. Source: "Quotas for configuring and running a REST API", API Gateway developer guide.
const TIMEOUT_MS: u32 = 29_000;
/// Characters of a name and of a mapping template. Source: as for `TIMEOUT_MS`.
const LONGEST_NAME: usize = 1024;
const LONGEST_TEMPLATE: usize = 300 * 1024;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Declared {
    name: String,
    description: Option<String>,
    /// The ARN of the role that puts the records.
    role: String,
    stage: String,
    routes: Vec<Route>,
    /// For one origin, since a method has one value for each header.
    cors: Option<Cors>,
    timeout_ms: Option<u32>,
    /// Requests at once, and a second, before others get the status 429.
    burst_limit: Option<u32>,
    rate_limit: Option<f64>,
}

/// A method that puts a record for each request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Route {
    /// Such as `POST /submit`.
    route: String,
    /// The name of the stream.
    stream: String,
    /// A mapping template of the partition key.
    partition_key: Option<String>,
    /// A mapping template of the record; the body as it is by default.
    record: Option<String>,
    /// Whether a line feed ends the record.
    #[serde(default)]
    newline: bool,
    /// A mapping template of the answer to an accepted request.
    response: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Facts {
    id: String,
    /// Without the stage.
    endpoint: String,
    description: Option<String>,
    /// The id of each path.
    resources: BTreeMap<String, String>,
    /// By route, such as `POST /submit`: what counts of it.
    methods: BTreeMap<String, Value>,
    /// Gateway responses that are set, by type: what counts of them.
    gateway_responses: BTreeMap<String, Value>,
    stage: Option<Stage>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Stage {
    deployment: String,
    /// The description of the deployment, which names what was deployed.
    deployed: String,
    burst_limit: Option<u32>,
    rate_limit: Option<f64>,
}

impl Stage {
    fn words(&self) -> String {
        let limit = |name: &str, value: Option<String>| value.map(|value| format!("{name} {value}"));
        let words = [
            limit("burst", self.burst_limit.map(|limit| limit.to_string())),
            limit("rate", self.rate_limit.map(|limit| limit.to_string())),
        ];
        let words: Vec<String> = words.into_iter().flatten().collect();
        match words.is_empty() {
            true => "none".to_owned(),
            false => words.join(", "),
        }
    }
}

type Api<'a> = Managed<'a, Declared>;

impl Api<'_> {
    fn timeout_ms(&self) -> u32 {
        self.declared.timeout_ms.unwrap_or(TIMEOUT_MS)
    }

    fn arn_of_api(&self, id: &str) -> String {
        let (partition, region) = (&self.location.partition, &self.location.region);
        format!("arn:{partition}:apigateway:{region}::/restapis/{id}")
    }

    /// Whether all that methods refer to exists.
    fn is_whole(&self) -> bool {
        let streams = self.declared.routes.iter().map(|route| route.stream.as_str());
        streams.chain([self.declared.role.as_str()]).all(is_known)
    }

    /// Differences of the methods and the gateway responses. The field is the route, or the type of the response.
    fn method_changes(&self, facts: &Facts) -> Vec<Change> {
        let mut changes = Vec::new();
        let pairs = [
            (self.methods(), &facts.methods),
            (self.gateway_responses(), &facts.gateway_responses),
        ];
        for (wanted, there) in &pairs {
            let names: BTreeSet<&String> = wanted.keys().chain(there.keys()).collect();
            for name in names {
                match (there.get(name), wanted.get(name)) {
                    (Some(there), Some(wanted)) if there == wanted => {}
                    (None, Some(wanted)) => {
                        changes.push(Change::update(name.as_str(), "none", shape::words(wanted)));
                    }
                    (Some(there), None) => {
                        changes.push(Change::update(name.as_str(), shape::words(there), "none"))
                    }
                    (Some(there), Some(wanted)) => {
                        let (from, to) = (shape::words(there), shape::words(wanted));
                        let from = if from == to {
                            format!("another {from}")
                        } else {
                            from
                        };
                        changes.push(Change::update(name.as_str(), from, to));
                    }
                    (None, None) => {}
                }
            }
        }
        changes
    }

    /// Limits that are not declared stay as they are in `there`.
    fn limits(&self, there: Option<&Stage>) -> Stage {
        let declared = &self.declared;
        Stage {
            burst_limit: declared.burst_limit.or(there.and_then(|there| there.burst_limit)),
            rate_limit: declared.rate_limit.or(there.and_then(|there| there.rate_limit)),
            ..there.cloned().unwrap_or_default()
        }
    }

    fn check_routes(&self) -> Result<()> {
        let declared = &self.declared;
        if declared.routes.is_empty() {
            return Err(self.bad_property("a REST API needs at least one route"));
        }
        let mut names = BTreeSet::new();
        for route in &declared.routes {
            if let Some(problem) = route_problem(&route.route) {
                return Err(self.bad_property(&format!("{:?} is not a route: {problem}", route.route)));
            }
            if !names.insert(&route.route) {
                return Err(self.bad_property(&format!("the route {:?} is declared twice", route.route)));
            }
            let templates = [&route.partition_key, &route.record, &route.response];
            let longest = templates.into_iter().flatten().map(String::len).max();
            if longest.is_some_and(|length| length > LONGEST_TEMPLATE) {
                let problem = format!(
                    "a template of {:?} has more than {LONGEST_TEMPLATE} bytes",
                    route.route
                );
                return Err(self.bad_property(&problem));
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Kind for Api<'_> {
    const NOUN: &'static str = "REST API";
    type Facts = Facts;

    /// Source: CreateRestApi and CreateStage, API Gateway API reference.
    fn check(&mut self) -> Result<()> {
        let declared = &self.declared;
        if !(1..=LONGEST_NAME).contains(&declared.name.chars().count()) {
            return Err(self.bad_property("the name of a REST API has 1 to 1024 characters"));
        }
        common::check_name("stage", &declared.stage, (1, 128), "_-")?;
        self.check_routes()?;
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
        let Some(cors) = &declared.cors else {
            return Ok(());
        };
        if let Some(problem) = cors.problem() {
            return Err(self.bad_property(&problem));
        }
        match cors.allow_origins.as_slice() {
            [origin] if !origin.contains('\'') => Ok(()),
            _ => {
                Err(self
                    .bad_property("CORS of a REST API needs one origin in allow_origins, which may be \"*\""))
            }
        }
    }

    fn name(&self) -> String {
        self.declared.name.clone()
    }

    /// Methods have no authorizer.
    fn summary(&self) -> String {
        let routes: Vec<&str> = self
            .declared
            .routes
            .iter()
            .map(|route| route.route.as_str())
            .collect();
        format!("{}; open to everyone", routes.join(", "))
    }

    async fn observe(&self) -> Result<Option<(TagMap, Facts)>> {
        self.observe_api().await
    }

    fn changes(&self, existing: &Existing<'_, Facts>) -> Result<Vec<Change>> {
        let (declared, facts) = (&self.declared, &existing.facts);
        let mut changes = Vec::new();
        if let Some(text) = declared
            .description
            .as_ref()
            .filter(|_| self.enforced("description", existing))
            && facts.description.as_ref() != Some(text)
        {
            let there = facts.description.as_deref().unwrap_or("none");
            changes.push(Change::update("description", there, text));
        }
        if self.is_whole() {
            let of_methods = self.method_changes(facts);
            let deployed = facts.stage.as_ref().map(|stage| stage.deployed.as_str());
            if !of_methods.is_empty() || deployed != Some(self.version().as_str()) {
                changes.extend(of_methods);
                let there = deployed.map_or("none", |_| "of other methods");
                changes.push(Change::update("deployment", there, "of these methods"));
            }
        }
        let wanted = self.limits(facts.stage.as_ref());
        let there = facts.stage.clone().unwrap_or_default();
        if (wanted.burst_limit, wanted.rate_limit) != (there.burst_limit, there.rate_limit) {
            changes.push(Change::update("throttles", there.words(), wanted.words()));
        }
        Ok(changes)
    }

    async fn create(&self, step: &Step<'_>) -> Result<()> {
        self.create_api(step).await
    }

    async fn update(&self, field: &str, existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        step.doing(format!("setting {field}"));
        let facts = &existing.facts;
        match field {
            "description" => self.set_description(&facts.id).await,
            "deployment" => self.deploy(&facts.id, step).await,
            "throttles" => self.set_limits(&facts.id).await,
            field if field.contains(' ') => self.set_method(&facts.id, field).await,
            field if field.starts_with("DEFAULT_") => self.set_gateway_response(&facts.id, field).await,
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
        self.delete_api(&existing.facts.id).await
    }

    async fn verify(&self, existing: &Existing<'_, Facts>, _probe: bool) -> Vec<Check> {
        let facts = &existing.facts;
        let mut problems = Vec::new();
        if !self.method_changes(facts).is_empty() {
            problems.push("its methods are not as declared");
        }
        match &facts.stage {
            None => problems.push("it has no stage"),
            Some(stage) if stage.deployed != self.version() => {
                problems.push("its stage does not serve the declared methods");
            }
            Some(_) => {}
        }
        let (state, words) = match problems.as_slice() {
            [] if self.declared.routes.len() == 1 => (CheckState::Good, "1 route".to_owned()),
            [] => (CheckState::Good, format!("{} routes", self.declared.routes.len())),
            problems => (CheckState::Fault, problems.join("; ")),
        };
        vec![Check::new(state, "described", words)]
    }

    fn outputs(&self, facts: Option<Facts>) -> Outputs {
        let mut outputs = common::outputs([("name", self.name())]);
        if let Some(facts) = facts {
            outputs.extend(common::outputs([
                ("arn", self.arn_of_api(&facts.id)),
                ("url", format!("{}/{}", facts.endpoint, self.declared.stage)),
                ("id", facts.id),
            ]));
        }
        outputs
    }

    /// Source: "Actions, resources, and condition keys for Amazon API Gateway Management", service authorization reference.
    /// An API has its id once it exists.
    fn iam(&self) -> Vec<Statement> {
        let (partition, region) = (&self.location.partition, &self.location.region);
        let prefix = format!("arn:{partition}:apigateway:{region}::");
        let role = match self.declared.role.as_str() {
            UNKNOWN => "*",
            arn => arn,
        };
        vec![
            Statement::new(
                &[
                    "apigateway:DELETE",
                    "apigateway:GET",
                    "apigateway:PATCH",
                    "apigateway:POST",
                    "apigateway:PUT",
                ],
                ["/restapis", "/restapis/*", "/tags/*"].map(|path| format!("{prefix}{path}")),
            ),
            Statement::new(&["iam:PassRole"], [role.to_owned()]).only_if(
                "StringEquals",
                "iam:PassedToService",
                "apigateway.amazonaws.com",
            ),
        ]
    }
}

/// Why a route cannot be one. `OPTIONS` is what CORS makes.
fn route_problem(key: &str) -> Option<&'static str> {
    let Some((method, path)) = key.split_once(' ') else {
        return Some("give a method and a path, such as \"POST /submit\"");
    };
    if !METHODS.contains(&method) {
        return Some("its method is DELETE, GET, HEAD, PATCH, POST or PUT");
    }
    let Some(path) = path.strip_prefix('/') else {
        return Some("its path begins with a slash");
    };
    let is_sound = |part: &str| {
        let name = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        let name = name.map_or(part, |name| name.strip_suffix('+').unwrap_or(name));
        !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-:".contains(&b))
    };
    if !path.is_empty() && !path.split('/').all(is_sound) {
        return Some(
            "a part of its path has letters, digits and the characters . _ - :, or is a variable in braces",
        );
    }
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    if parts.iter().any(|part| part.ends_with("+}")) {
        return Some("a greedy variable is its last part");
    }
    None
}

#[cfg(test)]
mod tests;
