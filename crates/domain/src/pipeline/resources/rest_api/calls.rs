//! The calls that observe, create and change a REST API.

use std::collections::BTreeMap;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::kind::TagMap;
use super::{Api, Facts, Stage, shape};
use crate::pipeline::event::Step;
use crate::pipeline::tags::{self, Owner};
use ground::backoff::{self, Backoff, Patience};
use ground::error::Result;

/// Pages of a listing that are read at most: an account has up to 600 APIs.
const MAX_PAGES: usize = 100;
/// How long a throttled call is made again: an account may delete one API in 30 seconds, and deploy one in 5.
/// Source: "Quotas for creating, deploying and managing an API", API Gateway developer guide.
const PATIENCE: Patience = Patience::of_any_call(Duration::from_secs(90));
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(10));

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn text(value: &Value, name: &str) -> Option<String> {
    value[name].as_str().map(str::to_owned)
}

impl Api<'_> {
    async fn call(
        &self,
        method: &'static str,
        path: &str,
        input: Option<&Value>,
        action: &str,
    ) -> Result<Value> {
        let started = Instant::now();
        let send = || {
            self.context
                .call_api_gateway(method, path, input, self.failure(action))
        };
        let until = |error: &ground::error::Error| PATIENCE.until(error.class()?, started);
        backoff::retry(BACKOFF, send, until, |_, _| true).await
    }

    /// Deletes what may be gone already.
    async fn remove(&self, path: &str, action: &str) -> Result<()> {
        match self.call("DELETE", path, None, action).await {
            Err(error) if error.is_not_found() => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// All items of a listing. `path` may have a query.
    async fn list(&self, path: &str, action: &str) -> Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut position = String::new();
        let sign = if path.contains('?') { '&' } else { '?' };
        for _ in 0..MAX_PAGES {
            let page = format!("{path}{sign}limit=500{position}");
            let mut answer = self.call("GET", &page, None, action).await?;
            if let Value::Array(more) = answer["item"].take() {
                items.extend(more);
            }
            match answer["position"].as_str() {
                Some(next) if !next.is_empty() => position = format!("&position={}", encoded(next)),
                _ => break,
            }
        }
        Ok(items)
    }

    /// The API with our name: ours, or else another's.
    async fn find(&self) -> Result<Option<Value>> {
        let all = self.list("/restapis", "find").await?;
        let mut named: Vec<Value> = all
            .into_iter()
            .filter(|api| api["name"] == *self.declared.name)
            .collect();
        let ours = named
            .iter()
            .position(|api| tags::owner(&tags_of(api), &self.spec.identity) == Owner::Us);
        Ok(match (ours, named.is_empty()) {
            (Some(at), _) => Some(named.swap_remove(at)),
            (None, false) => Some(named.swap_remove(0)),
            (None, true) => None,
        })
    }

    /// Tags and facts; `None` where there is no such API.
    pub(super) async fn observe_api(&self) -> Result<Option<(TagMap, Facts)>> {
        let Some(api) = self.find().await? else {
            return Ok(None);
        };
        let id = text(&api, "id").unwrap_or_default();
        let looked = tokio::try_join!(self.resources(&id), self.responses(&id), self.stage_of(&id));
        let (resources, gateway_responses, stage) = match looked {
            Ok(looked) => looked,
            // Deleted between these calls.
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let facts = Facts {
            // The local cloud says where its APIs are.
            endpoint: text(&api, "apiEndpoint").unwrap_or_else(|| self.context.api_endpoint(&id)),
            description: text(&api, "description"),
            methods: methods_of(&resources),
            resources: ids_of(&resources),
            gateway_responses,
            stage,
            id,
        };
        Ok(Some((tags_of(&api), facts)))
    }

    async fn resources(&self, id: &str) -> Result<Vec<Value>> {
        let path = format!("/restapis/{}/resources?embed=methods", encoded(id));
        self.list(&path, "read the methods of").await
    }

    /// Gateway responses that are set.
    async fn responses(&self, id: &str) -> Result<BTreeMap<String, Value>> {
        let path = format!("/restapis/{}/gatewayresponses", encoded(id));
        let all = self.list(&path, "read the gateway responses of").await?;
        let set = all.iter().filter(|one| one["defaultResponse"] != true);
        let set = set.filter_map(|one| Some((text(one, "responseType")?, shape::counted_gateway(one))));
        Ok(set.collect())
    }

    async fn stage_of(&self, id: &str) -> Result<Option<Stage>> {
        let path = format!("/restapis/{}", encoded(id));
        let stage = encoded(&self.declared.stage);
        let action = "read the stage of";
        let stage = match self
            .call("GET", &format!("{path}/stages/{stage}"), None, action)
            .await
        {
            Ok(stage) => stage,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let deployment = text(&stage, "deploymentId").unwrap_or_default();
        let path = format!("{path}/deployments/{}", encoded(&deployment));
        let deployed = match self.call("GET", &path, None, "read the deployment of").await {
            Ok(deployment) => text(&deployment, "description").unwrap_or_default(),
            Err(error) if error.is_not_found() => String::new(),
            Err(error) => return Err(error),
        };
        let limits = &stage["methodSettings"]["*/*"];
        let burst = limits["throttlingBurstLimit"].as_u64();
        Ok(Some(Stage {
            deployment,
            deployed,
            burst_limit: burst.and_then(|limit| u32::try_from(limit).ok()),
            rate_limit: limits["throttlingRateLimit"].as_f64(),
        }))
    }

    pub(super) async fn create_api(&self, step: &Step<'_>) -> Result<()> {
        step.doing("creating");
        let mut input = json!({
            "name": self.declared.name,
            "endpointConfiguration": {"types": ["REGIONAL"]},
            "tags": self.spec.tags.all(),
        });
        if let Some(description) = &self.declared.description {
            input["description"] = json!(description);
        }
        let made = self.call("POST", "/restapis", Some(&input), "create").await?;
        step.touched();
        let id = text(&made, "id").unwrap_or_default();
        for route in self.methods().keys() {
            step.go_on()?;
            self.set_method(&id, route).await?;
        }
        for kind in self.gateway_responses().keys() {
            self.set_gateway_response(&id, kind).await?;
        }
        self.deploy(&id, step).await?;
        let limits = self.limits(None);
        match (limits.burst_limit, limits.rate_limit) {
            (None, None) => Ok(()),
            _ => self.set_limits(&id).await,
        }
    }

    pub(super) async fn set_description(&self, id: &str) -> Result<()> {
        let input = patches(&[(
            "/description",
            self.declared.description.clone().unwrap_or_default(),
        )]);
        let path = format!("/restapis/{}", encoded(id));
        self.call("PATCH", &path, Some(&input), "change").await.map(drop)
    }

    /// Makes a method as declared, or removes it. A method that is there is made anew: stages serve their deployment.
    pub(super) async fn set_method(&self, id: &str, route: &str) -> Result<()> {
        let (method, path) = route.split_once(' ').unwrap_or((route, "/"));
        let resources = self.resources(id).await?;
        let wanted = self.methods().remove(route);
        let ids = ids_of(&resources);
        let resource = match (ids.get(path), &wanted) {
            (Some(resource), _) => resource.clone(),
            (None, None) => return Ok(()),
            (None, Some(_)) => self.make_resource(id, path, ids).await?,
        };
        let path = format!(
            "/restapis/{}/resources/{}/methods/{method}",
            encoded(id),
            encoded(&resource)
        );
        if methods_of(&resources).contains_key(route) {
            self.remove(&path, "remove a method of").await?;
        }
        match wanted {
            Some(wanted) => self.make_method(&path, &wanted).await,
            None => Ok(()),
        }
    }

    /// Makes the parts of a path that are missing. Returns the id of the last one.
    async fn make_resource(&self, id: &str, path: &str, mut ids: BTreeMap<String, String>) -> Result<String> {
        let mut parent = ids.remove("/").unwrap_or_default();
        let mut below = String::new();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            below = format!("{below}/{part}");
            if let Some(there) = ids.remove(&below) {
                parent = there;
                continue;
            }
            let path = format!("/restapis/{}/resources/{}", encoded(id), encoded(&parent));
            let input = json!({"pathPart": part});
            let made = self.call("POST", &path, Some(&input), "make a path of").await?;
            parent = text(&made, "id").unwrap_or_default();
        }
        Ok(parent)
    }

    async fn put(&self, path: &str, input: &Value) -> Result<()> {
        self.call("PUT", path, Some(input), "make a method of")
            .await
            .map(drop)
    }

    async fn make_method(&self, path: &str, wanted: &Value) -> Result<()> {
        self.put(path, &json!({"authorizationType": "NONE"})).await?;
        for (status, response) in wanted["declared"].as_object().into_iter().flatten() {
            self.put(&format!("{path}/responses/{status}"), response).await?;
        }
        self.put(&format!("{path}/integration"), &wanted["integration"])
            .await?;
        for (status, response) in wanted["responses"].as_object().into_iter().flatten() {
            self.put(&format!("{path}/integration/responses/{status}"), response)
                .await?;
        }
        Ok(())
    }

    pub(super) async fn set_gateway_response(&self, id: &str, kind: &str) -> Result<()> {
        let path = format!("/restapis/{}/gatewayresponses/{}", encoded(id), kind);
        let action = "set the gateway responses of";
        match self.gateway_responses().get(kind) {
            Some(wanted) => self.call("PUT", &path, Some(wanted), action).await.map(drop),
            None => self.remove(&path, action).await,
        }
    }

    /// Makes the stage serve the methods as they are, and removes our deployments before.
    pub(super) async fn deploy(&self, id: &str, step: &Step<'_>) -> Result<()> {
        step.go_on()?;
        let path = format!("/restapis/{}/deployments", encoded(id));
        let before = self.list(&path, "read the deployments of").await?;
        let input = json!({"stageName": self.declared.stage, "description": self.version()});
        self.call("POST", &path, Some(&input), "deploy").await?;
        let ours = |one: &&Value| text(one, "description").is_some_and(|text| text.starts_with("streamctl "));
        for old in before.iter().filter(ours).filter_map(|one| text(one, "id")) {
            let removed = self
                .remove(&format!("{path}/{}", encoded(&old)), "remove a deployment of")
                .await;
            // Another stage may serve it.
            if let Err(error) = removed {
                tracing::debug!(%error, "a deployment stays");
            }
        }
        Ok(())
    }

    pub(super) async fn set_limits(&self, id: &str) -> Result<()> {
        let there = self.stage_of(id).await?;
        let limits = self.limits(there.as_ref());
        let number = |value: Option<String>| value.unwrap_or_else(|| "-1".to_owned());
        let input = patches(&[
            (
                "/*/*/throttling/burstLimit",
                number(limits.burst_limit.map(|limit| limit.to_string())),
            ),
            (
                "/*/*/throttling/rateLimit",
                number(limits.rate_limit.map(|limit| limit.to_string())),
            ),
        ]);
        let path = format!(
            "/restapis/{}/stages/{}",
            encoded(id),
            encoded(&self.declared.stage)
        );
        self.call("PATCH", &path, Some(&input), "set the throttles of")
            .await
            .map(drop)
    }

    pub(super) async fn delete_api(&self, id: &str) -> Result<()> {
        self.remove(&format!("/restapis/{}", encoded(id)), "delete").await
    }

    pub(super) async fn put_tags(&self, arn: &str, tags: &TagMap) -> Result<()> {
        let path = format!("/tags/{}", encoded(arn));
        let input = json!({"tags": tags});
        self.call("PUT", &path, Some(&input), "tag").await.map(drop)
    }

    pub(super) async fn remove_tags(&self, arn: &str, keys: &[String]) -> Result<()> {
        let keys: Vec<String> = keys
            .iter()
            .map(|key| format!("tagKeys={}", encoded(key)))
            .collect();
        let path = format!("/tags/{}?{}", encoded(arn), keys.join("&"));
        self.call("DELETE", &path, None, "untag").await.map(drop)
    }
}

fn patches(values: &[(&str, String)]) -> Value {
    let patches = values.iter();
    let patches = patches.map(|(path, value)| json!({"op": "replace", "path": path, "value": value}));
    json!({"patchOperations": patches.collect::<Vec<_>>()})
}

/// Ids by path.
fn ids_of(resources: &[Value]) -> BTreeMap<String, String> {
    let all = resources.iter();
    all.filter_map(|one| Some((text(one, "path")?, text(one, "id")?)))
        .collect()
}

/// What counts of all methods, by route.
fn methods_of(resources: &[Value]) -> BTreeMap<String, Value> {
    let mut methods = BTreeMap::new();
    for resource in resources {
        let path = text(resource, "path").unwrap_or_default();
        for (name, method) in resource["resourceMethods"].as_object().into_iter().flatten() {
            methods.insert(format!("{name} {path}"), shape::counted(method));
        }
    }
    methods
}

/// The tags in a description.
fn tags_of(api: &Value) -> TagMap {
    let tags = api["tags"].as_object().into_iter().flatten();
    tags.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}
