use std::sync::{Arc, Mutex};

use serde_json::{Map, Value, json};

use super::super::test_support::{Endpoint, changes, context, location, refusal, spec, there, with_step};
use super::*;
use crate::pipeline::resource::{Observed, Resource};
use crate::pipeline::tags::Owner;

const FUNCTION: &str = "arn:aws:lambda:us-east-1:000000000000:function:cart";
const DECLARED: &str = r#"
name = "cart"
function = "arn:aws:lambda:us-east-1:000000000000:function:cart"
routes = ["POST /submit", "GET /items/{id}"]
cors = { allow_origins = ["*"], allow_methods = ["POST"] }
rate_limit = 100.0
burst_limit = 50
"#;

/// An API Gateway with at most one API of ours, `own`, and one of another pipeline with the same name; and a function.
#[derive(Default)]
struct Gateway {
    api: Option<Value>,
    items: Map<String, Value>,
    statements: Vec<Value>,
    next: usize,
}

impl Gateway {
    fn list(&self, kind: &str) -> Vec<Value> {
        let all = self
            .items
            .iter()
            .filter(|(path, _)| path.starts_with(&format!("{kind}/")));
        all.map(|(_, item)| item.clone()).collect()
    }

    fn answer(&mut self, method: &str, path: &str, input: Value) -> (u16, String) {
        let missing = || {
            (
                404,
                r#"{"message":"Invalid identifier","code":"NotFoundException"}"#.to_owned(),
            )
        };
        let found = |item: Option<&Value>| item.map_or_else(missing, |item| (200, item.to_string()));
        let path = path.split('?').next().unwrap();
        if path.starts_with("/2015-03-31/") {
            return self.policy(method, path, &input);
        }
        let rest = path.strip_prefix("/v2/apis").unwrap();
        let parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
        match (method, parts.as_slice()) {
            ("GET", []) => {
                let other = json!({"apiId": "other", "name": "cart", "protocolType": "HTTP",
                    "tags": {"ManagedBy": "streamctl", "streamctl:pipeline": "demo/two"}});
                let items: Vec<&Value> = std::iter::once(&other).chain(&self.api).collect();
                (200, json!({"items": items}).to_string())
            }
            ("POST", []) => {
                let mut api = input;
                api["apiId"] = json!("own");
                api["apiEndpoint"] = json!("https://own.execute-api.us-east-1.amazonaws.com");
                self.api = Some(api);
                found(self.api.as_ref())
            }
            (_, ["other", ..]) => missing(),
            ("PATCH", [_]) => {
                let api = self.api.as_mut().unwrap();
                for (name, value) in input.as_object().unwrap() {
                    api[name] = value.clone();
                }
                found(self.api.as_ref())
            }
            ("DELETE", [_]) => {
                self.api = None;
                (204, String::new())
            }
            ("GET", [_, kind]) => (200, json!({"items": self.list(kind)}).to_string()),
            ("POST", [_, kind]) => {
                self.next += 1;
                let id = match *kind {
                    "stages" => "%24default".to_owned(),
                    _ => format!("i{}", self.next),
                };
                let mut item = input;
                item[format!("{}Id", kind.trim_end_matches('s'))] = json!(id);
                self.items.insert(format!("{kind}/{id}"), item.clone());
                (201, item.to_string())
            }
            (_, [_, kind, id]) => {
                let key = format!("{kind}/{id}");
                if method == "DELETE" {
                    self.items.remove(&key);
                    return (204, String::new());
                }
                if let Some(item) = self.items.get_mut(&key) {
                    for (name, value) in input.as_object().into_iter().flatten() {
                        item[name] = value.clone();
                    }
                }
                found(self.items.get(&key))
            }
            other => panic!("{other:?}"),
        }
    }

    fn policy(&mut self, method: &str, path: &str, input: &Value) -> (u16, String) {
        match method {
            "GET" if self.statements.is_empty() => {
                (404, r#"{"__type":"ResourceNotFoundException"}"#.to_owned())
            }
            "GET" => (
                200,
                json!({"Policy": json!({"Statement": self.statements}).to_string()}).to_string(),
            ),
            "POST" => {
                self.statements.push(json!({
                    "Sid": input["StatementId"], "Action": input["Action"], "Principal": {"Service": input["Principal"]},
                    "Condition": {"ArnLike": {"AWS:SourceArn": input["SourceArn"]}},
                }));
                (201, json!({"Statement": "{}"}).to_string())
            }
            _ => {
                let sid = path.rsplit('/').next().unwrap();
                self.statements.retain(|one| one["Sid"] != *sid);
                (204, String::new())
            }
        }
    }
}

async fn endpoint() -> (Endpoint, Arc<Mutex<Gateway>>) {
    let gateway: Arc<Mutex<Gateway>> = Arc::default();
    let state = Arc::clone(&gateway);
    let endpoint = Endpoint::start(move |call, body| {
        let (method, path) = call.split_once(' ').unwrap();
        let input = serde_json::from_str(body).unwrap_or_default();
        state.lock().unwrap().answer(method, path, input)
    })
    .await;
    (endpoint, gateway)
}

#[tokio::test]
async fn it_is_created_once_beside_one_of_the_same_name() {
    let (endpoint, gateway) = endpoint().await;
    let spec = spec("http_api", DECLARED, &[]);
    let api = Api::new(&endpoint.context, location(), spec.clone()).unwrap();
    with_step(async |step| Kind::create(&api, step).await)
        .await
        .0
        .unwrap();
    let observed = Resource::observe(&api).await.unwrap();
    assert_eq!(observed.owner(&spec.identity), Some(Owner::Us));
    assert_eq!(changes(&api, &observed), "");
    let outputs = Resource::outputs(&api, &observed);
    assert_eq!(outputs["url"], "https://own.execute-api.us-east-1.amazonaws.com");
    assert_eq!(outputs["arn"], "arn:aws:apigateway:us-east-1::/apis/own");
    let checks = Resource::verify(&api, &observed, false).await;
    assert_eq!(
        (checks[0].state, checks[0].detail.as_str()),
        (CheckState::Good, "2 routes")
    );
    assert_eq!(
        gateway.lock().unwrap().statements[0]["Condition"]["ArnLike"]["AWS:SourceArn"],
        "arn:aws:execute-api:us-east-1:000000000000:own/*"
    );
    with_step(async |step| Resource::delete(&api, &observed, step).await)
        .await
        .0
        .unwrap();
    let state = gateway.lock().unwrap();
    assert!(state.api.is_none() && state.statements.is_empty());
}

#[tokio::test]
async fn one_of_another_pipeline_is_not_ours() {
    let (endpoint, _gateway) = endpoint().await;
    // That API is deleted while it is looked at.
    let spec = spec("http_api", DECLARED, &[]);
    let api = Api::new(&endpoint.context, location(), spec).unwrap();
    assert_eq!(Resource::observe(&api).await.unwrap(), Observed::Absent);
}

#[tokio::test]
async fn each_difference_is_changed() {
    let (endpoint, gateway) = endpoint().await;
    let api = Api::new(&endpoint.context, location(), spec("http_api", DECLARED, &[])).unwrap();
    with_step(async |step| Kind::create(&api, step).await)
        .await
        .0
        .unwrap();
    let changed = r#"
        name = "cart"
        description = "Carts"
        function = "arn:aws:lambda:us-east-1:000000000000:function:other"
        routes = ["POST /submit", "$default"]
        cors = { allow_origins = ["https://shop.example"], allow_methods = ["POST"] }
        timeout_ms = 5000
        rate_limit = 10.0
        log_group = "/apis/cart"
    "#;
    let api = Api::new(&endpoint.context, location(), spec("http_api", changed, &[])).unwrap();
    let observed = Resource::observe(&api).await.unwrap();
    insta::assert_snapshot!(changes(&api, &observed), @r"
    description: none → Carts
    CORS: POST for * → POST for https://shop.example
    function: arn:aws:lambda:us-east-1:000000000000:function:cart → arn:aws:lambda:us-east-1:000000000000:function:other
    routes: GET /items/{id}, POST /submit → $default, POST /submit
    stage: automatic deployment, burst 50, rate 100 → automatic deployment, burst 50, rate 10, log /apis/cart
    ");
    for change in api.diff(&observed, &Default::default()).unwrap() {
        with_step(async |step| api.apply(&change, &observed, step).await)
            .await
            .0
            .unwrap();
    }
    let observed = Resource::observe(&api).await.unwrap();
    assert_eq!(changes(&api, &observed), "");
    let state = gateway.lock().unwrap();
    assert_eq!(state.list("integrations")[0]["timeoutInMillis"], 5000);
    assert_eq!(state.list("routes").len(), 2);
    let log = &state.list("stages")[0]["accessLogSettings"];
    assert_eq!(
        log["destinationArn"],
        "arn:aws:logs:us-east-1:000000000000:log-group:/apis/cart"
    );
    let line: serde_json::Value = serde_json::from_str(log["format"].as_str().unwrap()).unwrap();
    assert_eq!(line["status"], "$context.status");
}

#[tokio::test]
async fn a_stage_that_deploys_by_hand_is_a_fault() {
    let context = context().await;
    let api = Api::new(&context, location(), spec("http_api", DECLARED, &[])).unwrap();
    let facts = Facts {
        id: "a".to_owned(),
        integration: Some(Integration {
            id: "i".to_owned(),
            function: FUNCTION.to_owned(),
            timeout_ms: 30_000,
            format: "2.0".to_owned(),
        }),
        ..Facts::default()
    };
    let checks = Resource::verify(&api, &there(&facts, &[]), false).await;
    assert_eq!(checks[0].state, CheckState::Fault);
    insta::assert_snapshot!(checks[0].detail, @"its routes are not as declared; its stage $default does not deploy automatically; the function's policy does not let it invoke the function");
}

#[tokio::test]
async fn bad_properties_are_refused() {
    let context = context().await;
    let made = |more: &str| {
        let declared = format!("name = \"a\"\nfunction = \"arn\"\n{more}");
        Api::new(&context, location(), spec("http_api", &declared, &[])).map(drop)
    };
    let refusals = [
        "routes = []",
        "routes = [\"submit\"]",
        "routes = [\"FETCH /a\"]",
        "routes = [\"GET a\"]",
        "routes = [\"GET /{a+}/b\"]",
        "routes = [\"GET /a\", \"GET /a\"]",
        "routes = [\"$default\"]\ntimeout_ms = 40000",
        "routes = [\"$default\"]\nrate_limit = -1.0",
        "routes = [\"$default\"]\nlog_group = \"\"",
    ]
    .map(|more| refusal(made(more)))
    .join("\n");
    insta::assert_snapshot!(refusals, @r#"
    line 1: resource it: an HTTP API needs at least one route, such as "$default"
    line 1: resource it: "submit" is not a route: give a method and a path, such as "GET /products"
    line 1: resource it: "FETCH /a" is not a route: its method is ANY, DELETE, GET, HEAD, OPTIONS, PATCH, POST or PUT
    line 1: resource it: "GET a" is not a route: its path begins with a slash
    line 1: resource it: "GET /{a+}/b" is not a route: a greedy variable is its last part
    line 1: resource it: a route is declared twice
    line 1: resource it: timeout_ms must be from 50 to 30000, not 40000
    line 1: resource it: rate_limit is a number of requests per second
    line 1: resource it: log_group must be the name of a log group
    "#);
    assert!(made("routes = [\"ANY /{proxy+}\", \"$default\"]").is_ok());
}
