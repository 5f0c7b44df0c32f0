//! The calls that observe, create and change an HTTP API.

use std::collections::BTreeMap;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::super::function_permission;
use super::super::kind::TagMap;
use super::super::web_cors::Cors;
use super::{AccessLog, Api, Facts, Integration, STAGE, Stage, text};
use crate::pipeline::event::Step;
use crate::pipeline::resource::UNKNOWN;
use crate::pipeline::tags::{self, Owner};
use ground::error::Result;

/// Pages of a listing that are read at most: an account has up to 600 APIs.
const MAX_PAGES: usize = 100;

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// The function in the URI of an integration, which may be its ARN.
fn function_of(uri: &str) -> &str {
    let rest = uri
        .split_once(":lambda:path/2015-03-31/functions/")
        .map(|(_, rest)| rest);
    rest.and_then(|rest| rest.strip_suffix("/invocations"))
        .unwrap_or(uri)
}

fn number(value: &Value, name: &str) -> Option<u32> {
    value[name].as_u64().and_then(|number| u32::try_from(number).ok())
}

impl Api<'_> {
    async fn call(
        &self,
        method: &'static str,
        path: &str,
        input: Option<&Value>,
        action: &str,
    ) -> Result<Value> {
        let what = self.failure(action);
        self.context.call_api_gateway(method, path, input, what).await
    }

    /// All items of a listing.
    async fn list(&self, path: &str, action: &str) -> Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut token = String::new();
        for _ in 0..MAX_PAGES {
            let page = format!("{path}?maxResults=100{token}");
            let mut answer = self.call("GET", &page, None, action).await?;
            if let Value::Array(more) = answer["items"].take() {
                items.extend(more);
            }
            match answer["nextToken"].as_str() {
                Some(next) if !next.is_empty() => token = format!("&nextToken={}", encoded(next)),
                _ => break,
            }
        }
        Ok(items)
    }

    /// The API with our name: ours, or else another's.
    async fn find(&self) -> Result<Option<Value>> {
        let all = self.list("/v2/apis", "find").await?;
        let mut named: Vec<Value> = all
            .into_iter()
            .filter(|api| api["name"] == *self.declared.name && api["protocolType"] == "HTTP")
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
        let id = text(&api, "apiId").unwrap_or_default();
        let path = format!("/v2/apis/{}", encoded(&id));
        let looked = tokio::try_join!(self.integration(&path), self.routes(&path), self.stage_of(&path));
        let (integration, routes, stage) = match looked {
            Ok(looked) => looked,
            // Deleted between these calls.
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let policy = match integration.as_ref() {
            Some(one) => function_permission::policy(self.context, &one.function).await?,
            None => Value::Null,
        };
        let facts = Facts {
            permitted: self.permission(&id).is_in(&policy),
            endpoint: text(&api, "apiEndpoint").unwrap_or_default(),
            description: text(&api, "description"),
            cors: Cors::of_api(&api["corsConfiguration"]),
            id,
            integration,
            routes,
            stage,
        };
        Ok(Some((tags_of(&api), facts)))
    }

    /// The integration with our function, or else the first one.
    async fn integration(&self, path: &str) -> Result<Option<Integration>> {
        let all = self
            .list(&format!("{path}/integrations"), "read the integrations of")
            .await?;
        let read = |one: &Value| Integration {
            id: text(one, "integrationId").unwrap_or_default(),
            function: function_of(one["integrationUri"].as_str().unwrap_or_default()).to_owned(),
            timeout_ms: number(one, "timeoutInMillis").unwrap_or(super::TIMEOUT_MS),
            format: text(one, "payloadFormatVersion").unwrap_or_default(),
        };
        let mut all: Vec<Integration> = all.iter().map(read).collect();
        let ours = all.iter().position(|one| one.function == self.declared.function);
        Ok((!all.is_empty()).then(|| all.swap_remove(ours.unwrap_or(0))))
    }

    async fn routes(&self, path: &str) -> Result<BTreeMap<String, (String, String)>> {
        let all = self.list(&format!("{path}/routes"), "read the routes of").await?;
        let read = |one: &Value| {
            let target = one["target"].as_str().unwrap_or_default();
            let target = target
                .strip_prefix("integrations/")
                .unwrap_or_default()
                .to_owned();
            Some((text(one, "routeKey")?, (text(one, "routeId")?, target)))
        };
        Ok(all.iter().filter_map(read).collect())
    }

    async fn stage_of(&self, path: &str) -> Result<Option<Stage>> {
        let path = format!("{path}/stages/{}", encoded(STAGE));
        match self.call("GET", &path, None, "read the stage of").await {
            Ok(stage) => {
                let limits = &stage["defaultRouteSettings"];
                let log = &stage["accessLogSettings"];
                Ok(Some(Stage {
                    auto_deploy: stage["autoDeploy"] == true,
                    burst_limit: number(limits, "throttlingBurstLimit"),
                    rate_limit: limits["throttlingRateLimit"].as_f64(),
                    access_log: text(log, "destinationArn").map(|destination| AccessLog {
                        // Such as `…:log-group:NAME:*`, if someone gave it so.
                        destination: destination.trim_end_matches(":*").to_owned(),
                        format: text(log, "format").unwrap_or_default(),
                    }),
                }))
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn create_api(&self, step: &Step<'_>) -> Result<()> {
        step.doing("creating");
        let mut input = json!({
            "name": self.declared.name,
            "protocolType": "HTTP",
            "tags": self.spec.tags.all(),
        });
        if let Some(description) = &self.declared.description {
            input["description"] = json!(description);
        }
        if let Some(cors) = &self.declared.cors {
            input["corsConfiguration"] = cors.to_api();
        }
        let made = self.call("POST", "/v2/apis", Some(&input), "create").await?;
        step.touched();
        let id = text(&made, "apiId").unwrap_or_default();
        self.set_integration(&id, None).await?;
        self.set_routes(&id, step).await?;
        self.set_stage(&id, None).await?;
        self.permit(&id, step).await
    }

    pub(super) async fn patch_api(&self, id: &str, input: &Value) -> Result<()> {
        let path = format!("/v2/apis/{}", encoded(id));
        self.call("PATCH", &path, Some(input), "change").await.map(drop)
    }

    pub(super) async fn set_cors(&self, id: &str) -> Result<()> {
        let cors = self.declared.cors.as_ref().map(Cors::to_api).unwrap_or_default();
        if cors.as_object().is_none_or(serde_json::Map::is_empty) {
            let path = format!("/v2/apis/{}/cors", encoded(id));
            return self
                .call("DELETE", &path, None, "remove the CORS of")
                .await
                .map(drop);
        }
        self.patch_api(id, &json!({"corsConfiguration": cors})).await
    }

    /// Creates or changes the integration. Returns its id.
    pub(super) async fn set_integration(&self, id: &str, there: Option<&Integration>) -> Result<String> {
        let path = format!("/v2/apis/{}/integrations", encoded(id));
        let timeout = match there {
            Some(there) if self.declared.timeout_ms.is_none() => there.timeout_ms,
            _ => self.timeout_ms(),
        };
        let mut input = json!({
            "integrationUri": self.declared.function,
            "payloadFormatVersion": "2.0",
            "timeoutInMillis": timeout,
        });
        if let Some(there) = there {
            let path = format!("{path}/{}", encoded(&there.id));
            self.call("PATCH", &path, Some(&input), "change the integration of")
                .await?;
            return Ok(there.id.clone());
        }
        input["integrationType"] = json!("AWS_PROXY");
        let made = self
            .call("POST", &path, Some(&input), "make the integration of")
            .await?;
        Ok(text(&made, "integrationId").unwrap_or_default())
    }

    /// Makes the declared routes and removes the others.
    pub(super) async fn set_routes(&self, id: &str, step: &Step<'_>) -> Result<()> {
        let path = format!("/v2/apis/{}", encoded(id));
        let (integration, there) = tokio::try_join!(self.integration(&path), self.routes(&path))?;
        let target = integration.map(|one| format!("integrations/{}", one.id));
        let (path, wanted) = (format!("{path}/routes"), &self.declared.routes);
        for key in wanted {
            step.go_on()?;
            let input = json!({"routeKey": key, "target": target});
            match there.get(key) {
                None => {
                    self.call("POST", &path, Some(&input), "make a route of").await?;
                }
                Some((route, to)) if Some(format!("integrations/{to}")) != target => {
                    let path = format!("{path}/{}", encoded(route));
                    let input = json!({"target": target});
                    self.call("PATCH", &path, Some(&input), "change a route of")
                        .await?;
                }
                Some(_) => {}
            }
        }
        for (route, _) in there
            .iter()
            .filter(|(key, _)| !wanted.contains(key))
            .map(|(_, route)| route)
        {
            step.go_on()?;
            let path = format!("{path}/{}", encoded(route));
            self.call("DELETE", &path, None, "remove a route of").await?;
        }
        Ok(())
    }

    pub(super) async fn set_stage(&self, id: &str, there: Option<&Stage>) -> Result<()> {
        let wanted = self.stage(there);
        let mut limits = json!({});
        if let Some(burst) = wanted.burst_limit {
            limits["throttlingBurstLimit"] = json!(burst);
        }
        if let Some(rate) = wanted.rate_limit {
            limits["throttlingRateLimit"] = json!(rate);
        }
        let mut input = json!({"autoDeploy": true});
        if limits.as_object().is_some_and(|all| !all.is_empty()) {
            input["defaultRouteSettings"] = limits;
        }
        if let Some(log) = self.access_log() {
            input["accessLogSettings"] = json!({"destinationArn": log.destination, "format": log.format});
        }
        let path = format!("/v2/apis/{}/stages", encoded(id));
        match there {
            Some(_) => {
                let path = format!("{path}/{}", encoded(STAGE));
                self.call("PATCH", &path, Some(&input), "change the stage of")
                    .await?;
            }
            None => {
                input["stageName"] = json!(STAGE);
                self.call("POST", &path, Some(&input), "make the stage of")
                    .await?;
            }
        }
        Ok(())
    }

    /// Lets the API invoke the function.
    pub(super) async fn permit(&self, id: &str, step: &Step<'_>) -> Result<()> {
        let function = self.declared.function.as_str();
        if function == UNKNOWN {
            return Ok(());
        }
        function_permission::grant(self.context, function, &[self.permission(id)], step).await
    }

    pub(super) async fn delete_api(&self, id: &str) -> Result<()> {
        let path = format!("/v2/apis/{}", encoded(id));
        match self.call("DELETE", &path, None, "delete").await {
            Err(error) if error.is_not_found() => Ok(()),
            answer => answer.map(drop),
        }
    }

    pub(super) async fn put_tags(&self, arn: &str, tags: &TagMap) -> Result<()> {
        let path = format!("/v2/tags/{}", encoded(arn));
        self.call("POST", &path, Some(&json!({"tags": tags})), "tag")
            .await
            .map(drop)
    }

    pub(super) async fn remove_tags(&self, arn: &str, keys: &[String]) -> Result<()> {
        let keys: Vec<String> = keys
            .iter()
            .map(|key| format!("tagKeys={}", encoded(key)))
            .collect();
        let path = format!("/v2/tags/{}?{}", encoded(arn), keys.join("&"));
        self.call("DELETE", &path, None, "untag").await.map(drop)
    }
}

/// The tags in a description.
fn tags_of(api: &Value) -> TagMap {
    let tags = api["tags"].as_object().into_iter().flatten();
    tags.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}
