//! The control plane, and requests to APIs with functions that this module plays.

mod rest;
mod serving;

use std::sync::Mutex;
use std::time::Duration;

use http::StatusCode;
use http_body_util::BodyExt;
use serde_json::json;

use super::*;
use crate::actions::{Call, NotAssumed};
use crate::clock::ManualClock;
use crate::invoke::{Access, Invocation, InvokeResult};
use crate::metrics::NoMetrics;
use crate::web::{Address, Kind, Web, WebRequest};
use bytes::Bytes;

const FUNCTION: &str = "arn:aws:lambda:us-east-1:000000000000:function:f";

/// Answers as the name of the function says, and keeps the sources of the calls.
#[derive(Default)]
struct Functions(Mutex<Vec<String>>);

impl Invoke for Functions {
    fn invoke<'a>(&'a self, arn: &'a str, payload: Bytes) -> BoxFuture<'a, Invocation> {
        async move {
            let result = match arn.rsplit(':').next().unwrap() {
                "f" => InvokeResult::Returned(payload),
                "fails" => InvokeResult::FunctionError {
                    kind: "Unhandled",
                    payload: Bytes::from_static(b"{}"),
                },
                "busy" => InvokeResult::Throttled,
                "large" => InvokeResult::Refused {
                    code: "RequestTooLargeException".to_owned(),
                    message: String::new(),
                },
                "slow" => {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                    InvokeResult::Returned(Bytes::from_static(b"1"))
                }
                "invalid" => InvokeResult::Returned(Bytes::from_static(b"{\"statusCode\":1}")),
                _ => InvokeResult::Refused {
                    code: "ResourceNotFoundException".to_owned(),
                    message: String::new(),
                },
            };
            Invocation {
                request_id: String::new(),
                executed_version: None,
                result,
            }
        }
        .boxed()
    }

    fn exists(&self, _: &str) -> bool {
        true
    }

    fn timeout_seconds(&self, _: &str) -> Option<u32> {
        Some(3)
    }

    fn permits(&self, arn: &str, access: &Access<'_>) -> bool {
        let source = access.source_arn.unwrap_or_default();
        self.0.lock().unwrap().push(source.to_owned());
        !arn.ends_with(":forbidden")
    }
}

/// Keeps the events: log group, log stream and text.
#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl LogSink for Log {
    fn append<'a>(
        &'a self,
        _: &'a Caller,
        group: &'a str,
        stream: &'a str,
        events: Vec<(i64, String)>,
    ) -> BoxFuture<'a, ()> {
        let lines = events
            .into_iter()
            .map(|(_, text)| format!("{group} {stream} {text}"));
        self.0.lock().unwrap().extend(lines);
        async {}.boxed()
    }
}

/// Answers as the name of the role says, and keeps the calls.
#[derive(Default)]
struct Kinesis(Mutex<Vec<Call>>);

impl Actions for Kinesis {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Response<Body>, NotAssumed>> {
        let role = call.role.rsplit('/').next().unwrap().to_owned();
        self.0.lock().unwrap().push(call);
        async move {
            let (status, body) = match role.as_str() {
                "stranger" => return Err(NotAssumed),
                "slow" => {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                    (200, json!({}))
                }
                "throttled" => {
                    let code = "ProvisionedThroughputExceededException";
                    (
                        400,
                        json!({"__type": code, "message": "Rate exceeded for shard shardId-000000000000"}),
                    )
                }
                "broken" => (500, json!({"__type": "InternalFailure"})),
                "odd" => (302, json!({})),
                _ => (
                    200,
                    json!({"ShardId": "shardId-000000000000", "SequenceNumber": "495903"}),
                ),
            };
            Ok(crate::answer::answer(
                status,
                "application/x-amz-json-1.1",
                crate::answer::whole(body.to_string()),
            ))
        }
        .boxed()
    }
}

struct World {
    logs: Arc<Log>,
    gateway: Arc<ApiGateway>,
    functions: Arc<Functions>,
    actions: Arc<Kinesis>,
    clock: Arc<ManualClock>,
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self::on(tempfile::tempdir().unwrap())
    }

    fn on(dir: tempfile::TempDir) -> Self {
        let functions = Arc::new(Functions::default());
        let actions = Arc::new(Kinesis::default());
        let logs = Arc::new(Log::default());
        let clock = Arc::new(ManualClock::new(1_767_225_600_000));
        let gateway = ApiGateway::open(
            dir.path(),
            "http://127.0.0.1:4566",
            Arc::clone(&clock) as Arc<dyn Clock>,
            Arc::new(NoMetrics),
            Arc::clone(&functions) as Arc<dyn Invoke>,
            Arc::clone(&actions) as Arc<dyn Actions>,
            Arc::clone(&logs) as Arc<dyn LogSink>,
        );
        Self {
            logs,
            gateway: Arc::new(gateway.unwrap()),
            functions,
            actions,
            clock,
            dir,
        }
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let (status, _, value) = self.ask_as(&Caller::default(), method, path, body).await;
        (status, value)
    }

    async fn ask_as(&self, caller: &Caller, method: &str, path: &str, body: Value) -> (u16, String, Value) {
        let request = http::Request::builder().method(method).uri(path);
        let request = Request {
            caller: caller.clone(),
            parts: request.body(()).unwrap().into_parts().0,
            body: if body.is_null() {
                Bytes::new()
            } else {
                body.to_string().into()
            },
        };
        let response = Arc::clone(&self.gateway).call(request).await;
        let kind = response.headers().get("x-amzn-errortype");
        let kind = kind.map_or("", |kind| kind.to_str().unwrap()).to_owned();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        (status, kind, value)
    }

    async fn made(&self, path: &str, body: Value) -> Value {
        let (status, value) = self.ask("POST", path, body).await;
        assert_eq!(status, 201, "{path}: {value}");
        value
    }

    /// An API for the function of this name, with routes of these keys and the stage `$default`. Returns its id.
    async fn api(&self, function: &str, keys: &[&str]) -> String {
        let api = self
            .made("/v2/apis", json!({"name": "shop", "protocolType": "HTTP"}))
            .await;
        let id = api["apiId"].as_str().unwrap().to_owned();
        let uri = format!("{}:{function}", FUNCTION.rsplit_once(':').unwrap().0);
        let integration = json!({
            "integrationType": "AWS_PROXY", "integrationUri": uri, "payloadFormatVersion": "2.0", "timeoutInMillis": 1000,
        });
        let made = self
            .made(&format!("/v2/apis/{id}/integrations"), integration)
            .await;
        let target = format!("integrations/{}", made["integrationId"].as_str().unwrap());
        for key in keys {
            let route = json!({"routeKey": key, "target": target});
            self.made(&format!("/v2/apis/{id}/routes"), route).await;
        }
        let stage = json!({"stageName": "$default", "autoDeploy": true});
        self.made(&format!("/v2/apis/{id}/stages"), stage).await;
        id
    }

    async fn send(
        &self,
        id: &str,
        request: http::Request<Result<Bytes, u16>>,
    ) -> (StatusCode, http::HeaderMap, Value) {
        let (parts, body) = request.into_parts();
        let address = Address {
            kind: Kind::HttpApi,
            id: id.to_owned(),
            region: None,
            path: parts.uri.path().to_owned(),
        };
        let request = WebRequest {
            address,
            parts,
            body,
            signer: None,
        };
        let response = Web::serve(Arc::clone(&self.gateway), request).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        (parts.status, parts.headers, value)
    }

    /// Status and message.
    async fn get(&self, id: &str, path: &str) -> (u16, Value) {
        let request = http::Request::get(path).body(Ok(Bytes::new())).unwrap();
        let (status, _, value) = self.send(id, request).await;
        (status.as_u16(), value)
    }
}

fn message(text: &str) -> Value {
    json!({"message": text})
}

#[tokio::test]
async fn apis_live_their_life() {
    let world = World::new();
    let cors = json!({"allowOrigins": ["*"], "allowMethods": ["GET"], "maxAge": 60});
    let input = json!({
        "name": "shop", "protocolType": "HTTP", "description": "d", "corsConfiguration": cors, "tags": {"a": "b"},
    });
    let made = world.made("/v2/apis", input).await;
    let id = made["apiId"].as_str().unwrap();
    assert_eq!(
        made["apiEndpoint"],
        format!("http://127.0.0.1:4566/_execute-api/{id}")
    );
    assert_eq!(made["createdDate"], "2026-01-01T00:00:00Z");
    assert_eq!(made["corsConfiguration"], cors);
    let path = format!("/v2/apis/{id}");
    assert_eq!(world.ask("GET", &path, Value::Null).await, (200, made.clone()));
    let (_, listed) = world.ask("GET", "/v2/apis", Value::Null).await;
    assert_eq!(listed, json!({"items": [made]}));
    let elsewhere = Caller {
        region: "eu-west-1".to_owned(),
        ..Caller::default()
    };
    let (status, kind, error) = world.ask_as(&elsewhere, "GET", &path, Value::Null).await;
    assert_eq!((status, kind.as_str()), (404, "NotFoundException"));
    assert_eq!(
        error,
        message(&format!("Invalid API identifier specified 000000000000:{id}"))
    );
    let (_, updated) = world
        .ask("PATCH", &path, json!({"name": "new", "version": "2"}))
        .await;
    assert_eq!(
        (&updated["name"], &updated["version"]),
        (&json!("new"), &json!("2"))
    );
    assert_eq!(updated["description"], "d");
    assert_eq!(
        world.ask("DELETE", &format!("{path}/cors"), Value::Null).await.0,
        204
    );
    let world = World::on(world.dir);
    let (_, kept) = world.ask("GET", &path, Value::Null).await;
    assert_eq!(kept["name"], "new", "it survives a restart");
    assert_eq!(kept.get("corsConfiguration"), None);
    assert_eq!(world.ask("DELETE", &path, Value::Null).await.0, 204);
    assert_eq!(world.ask("DELETE", &path, Value::Null).await.0, 404);
}

#[tokio::test]
async fn pages_have_tokens() {
    let world = World::new();
    for n in 0..5 {
        world
            .made(
                "/v2/apis",
                json!({"name": format!("a{n}"), "protocolType": "HTTP"}),
            )
            .await;
    }
    let mut names = Vec::new();
    let mut token = String::new();
    loop {
        let path = format!("/v2/apis?maxResults=2&nextToken={token}");
        let (_, page) = world.ask("GET", &path, Value::Null).await;
        let items = page["items"].as_array().unwrap();
        names.extend(items.iter().map(|api| api["name"].as_str().unwrap().to_owned()));
        match page["nextToken"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    names.sort();
    assert_eq!(names, ["a0", "a1", "a2", "a3", "a4"]);
    for bad in ["maxResults=0", "maxResults=x", "nextToken=*"] {
        assert_eq!(
            world.ask("GET", &format!("/v2/apis?{bad}"), Value::Null).await.0,
            400,
            "{bad}"
        );
    }
}

#[tokio::test]
async fn routes_integrations_and_stages_live_their_life() {
    let world = World::new();
    let id = world.api("f", &["GET /pets"]).await;
    let api = format!("/v2/apis/{id}");
    let (_, routes) = world.ask("GET", &format!("{api}/routes"), Value::Null).await;
    let route = routes["items"][0].clone();
    let route_path = format!("{api}/routes/{}", route["routeId"].as_str().unwrap());
    assert_eq!(
        world.ask("GET", &route_path, Value::Null).await,
        (200, route.clone())
    );
    let again = json!({"routeKey": "GET /pets"});
    let (status, error) = world.ask("POST", &format!("{api}/routes"), again).await;
    assert_eq!(status, 409, "{error}");
    let (_, updated) = world
        .ask("PATCH", &route_path, json!({"routeKey": "GET /cats"}))
        .await;
    assert_eq!(updated["routeKey"], "GET /cats");
    assert_eq!(updated["target"], route["target"]);
    let integration = route["target"]
        .as_str()
        .unwrap()
        .strip_prefix("integrations/")
        .unwrap();
    let integration_path = format!("{api}/integrations/{integration}");
    assert_eq!(world.ask("DELETE", &integration_path, Value::Null).await.0, 409);
    let (_, updated) = world
        .ask("PATCH", &integration_path, json!({"payloadFormatVersion": "1.0"}))
        .await;
    assert_eq!(updated["payloadFormatVersion"], "1.0");
    assert_eq!(updated["timeoutInMillis"], 1000);
    assert_eq!(world.ask("DELETE", &route_path, Value::Null).await.0, 204);
    assert_eq!(world.ask("DELETE", &integration_path, Value::Null).await.0, 204);
    assert_eq!(world.ask("GET", &integration_path, Value::Null).await.0, 404);

    let stage_path = format!("{api}/stages/%24default");
    let limits = json!({"throttlingBurstLimit": 5, "throttlingRateLimit": 2.5});
    let change = json!({"stageVariables": {"a": "b"}, "defaultRouteSettings": limits});
    let (_, stage) = world.ask("PATCH", &stage_path, change).await;
    assert_eq!(stage["stageVariables"], json!({"a": "b"}));
    assert_eq!(
        stage["defaultRouteSettings"],
        json!({"detailedMetricsEnabled": false, "throttlingBurstLimit": 5, "throttlingRateLimit": 2.5})
    );
    assert_eq!(world.ask("DELETE", &stage_path, Value::Null).await.0, 204);
    assert_eq!(world.ask("GET", &stage_path, Value::Null).await.0, 404);
}

#[tokio::test]
async fn tags_of_apis_and_stages() {
    let world = World::new();
    let id = world.api("f", &[]).await;
    let arn = format!("arn:aws:apigateway:us-east-1::/apis/{id}");
    for arn in [arn.clone(), format!("{arn}/stages/$default")] {
        let path = format!("/v2/tags/{}", crate::query::percent_encode(&arn));
        assert_eq!(
            world
                .ask("POST", &path, json!({"tags": {"a": "1", "b": "2"}}))
                .await
                .0,
            201
        );
        let untag = format!("{path}?tagKeys=a&tagKeys=c");
        assert_eq!(world.ask("DELETE", &untag, Value::Null).await.0, 204);
        let (_, got) = world.ask("GET", &path, Value::Null).await;
        assert_eq!(got, json!({"tags": {"b": "2"}}));
        let all = world.gateway.tagged(&Caller::default());
        assert_eq!(all[&arn], Tags::from([("b".to_owned(), "2".to_owned())]));
    }
    let input = json!({"ResourceARN": arn, "TagKeys": ["b"]});
    let gateway = Arc::clone(&world.gateway);
    gateway
        .change_tags(Caller::default(), "UntagResource", input)
        .await
        .unwrap();
    assert_eq!(world.gateway.tagged(&Caller::default()).len(), 1);
    for bad in [
        "arn:aws:s3:::bucket",
        "x",
        "arn:aws:apigateway:us-east-1::/apis/none",
    ] {
        let path = format!("/v2/tags/{}", crate::query::percent_encode(bad));
        let (status, _) = world.ask("GET", &path, Value::Null).await;
        assert!([400, 404].contains(&status), "{bad}");
    }
}

#[tokio::test]
async fn bad_input_is_refused() {
    let world = World::new();
    let id = world.api("f", &[]).await;
    let api = format!("/v2/apis/{id}");
    let proxy = |more: Value| {
        let mut input = json!({"integrationType": "AWS_PROXY", "integrationUri": FUNCTION});
        for (name, value) in more.as_object().unwrap() {
            input[name] = value.clone();
        }
        input
    };
    for (path, input) in [
        ("/v2/apis".to_owned(), json!({"protocolType": "HTTP"})),
        ("/v2/apis".to_owned(), json!({"name": "", "protocolType": "HTTP"})),
        ("/v2/apis".to_owned(), json!({"name": "a"})),
        (
            "/v2/apis".to_owned(),
            json!({"name": "a", "protocolType": "WEBSOCKET"}),
        ),
        (
            "/v2/apis".to_owned(),
            json!({"name": "a", "protocolType": "HTTP", "tags": {"aws:a": "b"}}),
        ),
        (
            "/v2/apis".to_owned(),
            json!({"name": "a", "protocolType": "HTTP",
                "corsConfiguration": {"allowOrigins": ["*"], "allowCredentials": true}}),
        ),
        (
            "/v2/apis".to_owned(),
            json!({"name": "a", "protocolType": "HTTP", "corsConfiguration": {"allowMethods": ["FETCH"]}}),
        ),
        ("/v2/apis".to_owned(), json!([1])),
        (format!("{api}/routes"), json!({})),
        (format!("{api}/routes"), json!({"routeKey": "pets"})),
        (
            format!("{api}/routes"),
            json!({"routeKey": "GET /", "target": "integrations/none"}),
        ),
        (
            format!("{api}/routes"),
            json!({"routeKey": "GET /", "target": "none"}),
        ),
        (
            format!("{api}/routes"),
            json!({"routeKey": "GET /", "authorizationType": "JWT"}),
        ),
        (
            format!("{api}/integrations"),
            json!({"integrationType": "AWS_PROXY"}),
        ),
        (
            format!("{api}/integrations"),
            json!({"integrationType": "HTTP_PROXY"}),
        ),
        (
            format!("{api}/integrations"),
            proxy(json!({"integrationUri": "https://a.example"})),
        ),
        (
            format!("{api}/integrations"),
            proxy(json!({"payloadFormatVersion": "3.0"})),
        ),
        (
            format!("{api}/integrations"),
            proxy(json!({"timeoutInMillis": 30_001})),
        ),
        (
            format!("{api}/integrations"),
            proxy(json!({"timeoutInMillis": 49})),
        ),
        (
            format!("{api}/integrations"),
            proxy(json!({"requestParameters": {"a": "b"}})),
        ),
        (format!("{api}/stages"), json!({"stageName": "a b"})),
        (
            format!("{api}/stages"),
            json!({"stageName": "a", "deploymentId": "none"}),
        ),
        (
            format!("{api}/stages"),
            json!({"stageName": "a", "defaultRouteSettings": {"throttlingRateLimit": -1}}),
        ),
        (format!("{api}/deployments"), json!({})),
        (format!("{api}/models"), json!({})),
    ] {
        let (status, error) = world.ask("POST", &path, input.clone()).await;
        assert_eq!(status, 400, "{path} {input}: {error}");
        assert!(error["message"].is_string(), "{error}");
    }
}

#[tokio::test]
async fn a_damaged_file_affects_its_api_only() {
    let world = World::new();
    let (broken, sound) = (
        world.api("f", &["$default"]).await,
        world.api("f", &["$default"]).await,
    );
    for name in [format!("{broken}.json"), format!("{broken}.json.copy")] {
        std::fs::write(world.dir.path().join(name), "{").unwrap();
    }
    let world = World::on(world.dir);
    assert_eq!(world.gateway.damage().len(), 1);
    assert_eq!(world.get(&broken, "/").await.0, 404);
    let (status, error) = world.ask("GET", &format!("/v2/apis/{broken}"), Value::Null).await;
    assert_eq!(status, 500, "{error}");
    assert_eq!(world.get(&sound, "/").await.0, 200);
}
