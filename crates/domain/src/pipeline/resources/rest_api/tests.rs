use std::sync::{Arc, Mutex};

use serde_json::{Map, json};

use super::super::test_support::{Endpoint, changes, context, location, refusal, spec, there, with_step};
use super::*;
use crate::pipeline::resource::{Observed, Resource};
use crate::pipeline::tags::Owner;

const DECLARED: &str = r#"
name = "cart"
role = "arn:aws:iam::000000000000:role/cart-api"
stage = "prod"
routes = [{ route = "POST /shop/submit", stream = "carts", newline = true }]
cors = { allow_origins = ["*"], allow_methods = ["POST", "OPTIONS"] }
burst_limit = 50
"#;

/// An API Gateway with at most one API of ours, `own`, and one of another pipeline with the same name.
#[derive(Default)]
struct Gateway {
    api: Option<Value>,
    resources: BTreeMap<String, Value>,
    responses: BTreeMap<String, Value>,
    deployments: BTreeMap<String, Value>,
    stage: Option<Value>,
    next: usize,
    /// Calls that are refused before they succeed, as too many.
    throttled: usize,
}

type Reply = (u16, String);

fn missing() -> Reply {
    (
        404,
        r#"{"message":"Invalid identifier","code":"NotFoundException"}"#.to_owned(),
    )
}

fn found(item: Option<&Value>) -> Reply {
    item.map_or_else(missing, |item| (200, item.to_string()))
}

impl Gateway {
    fn id(&mut self, prefix: &str) -> String {
        self.next += 1;
        format!("{prefix}{}", self.next)
    }

    fn answer(&mut self, method: &str, path: &str, input: Value) -> Reply {
        if self.throttled > 0 {
            self.throttled -= 1;
            return (
                429,
                r#"{"message":"Too Many Requests","code":"TooManyRequestsException"}"#.to_owned(),
            );
        }
        let path = path.split('?').next().unwrap().replace("%2F", "/");
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).skip(1).collect();
        match (method, parts.as_slice()) {
            ("GET", []) => {
                let other = json!({"id": "other", "name": "cart",
                    "tags": {"ManagedBy": "streamctl", "streamctl:pipeline": "demo/two"}});
                let items: Vec<&Value> = std::iter::once(&other).chain(&self.api).collect();
                (200, json!({"item": items}).to_string())
            }
            ("POST", []) => {
                let mut api = input;
                api["id"] = json!("own");
                self.api = Some(api);
                self.resources
                    .insert("root".to_owned(), json!({"id": "root", "path": "/"}));
                found(self.api.as_ref())
            }
            (_, ["other", ..]) => missing(),
            ("DELETE", ["own"]) => {
                *self = Self::default();
                (202, String::new())
            }
            ("PATCH", ["own"]) => {
                let api = self.api.as_mut().unwrap();
                api["description"] = input["patchOperations"][0]["value"].clone();
                found(self.api.as_ref())
            }
            (_, ["own", "resources", rest @ ..]) => self.resource(method, rest, input),
            (_, ["own", "gatewayresponses", rest @ ..]) => self.response(method, rest, input),
            (_, ["own", "deployments", rest @ ..]) => self.deployment(method, rest, input),
            ("GET", ["own", "stages", "prod"]) => found(self.stage.as_ref()),
            ("PATCH", ["own", "stages", "prod"]) => {
                let stage = self.stage.as_mut().unwrap();
                for (name, patch) in ["throttlingBurstLimit", "throttlingRateLimit"]
                    .iter()
                    .zip(input["patchOperations"].as_array().unwrap())
                {
                    let value: f64 = patch["value"].as_str().unwrap().parse().unwrap();
                    if value >= 0.0 {
                        let value = if name.contains("Burst") {
                            json!(value as u64)
                        } else {
                            json!(value)
                        };
                        stage["methodSettings"]["*/*"][*name] = value;
                    }
                }
                found(self.stage.as_ref())
            }
            other => panic!("{other:?}"),
        }
    }

    fn resource(&mut self, method: &str, rest: &[&str], input: Value) -> Reply {
        let list = |resources: &BTreeMap<String, Value>| {
            (
                200,
                json!({"item": resources.values().collect::<Vec<_>>()}).to_string(),
            )
        };
        let [id, rest @ ..] = rest else {
            return list(&self.resources);
        };
        if rest.is_empty() {
            let parent = self.resources[*id]["path"]
                .as_str()
                .unwrap()
                .trim_end_matches('/')
                .to_owned();
            let id = self.id("r");
            let part = input["pathPart"].as_str().unwrap();
            let made = json!({"id": id, "path": format!("{parent}/{part}")});
            self.resources.insert(id, made.clone());
            return (201, made.to_string());
        }
        let name = rest[1];
        let methods = &mut self.resources.get_mut(*id).unwrap()["resourceMethods"];
        match (method, &rest[2..]) {
            ("DELETE", []) => {
                methods.as_object_mut().unwrap().remove(name);
                return (204, String::new());
            }
            ("PUT", []) => methods[name] = input.clone(),
            // The order of members is not that of the request.
            ("PUT", ["responses", status]) => {
                methods[name]["methodResponses"][*status] = reversed(&input, ("statusCode", json!(status)));
            }
            ("PUT", ["integration"]) => {
                methods[name]["methodIntegration"] = reversed(&input, ("cacheNamespace", json!("r")));
            }
            ("PUT", ["integration", "responses", status]) => {
                methods[name]["methodIntegration"]["integrationResponses"][*status] =
                    reversed(&input, ("statusCode", json!(status)));
            }
            other => panic!("{other:?}"),
        }
        (201, input.to_string())
    }

    fn response(&mut self, method: &str, rest: &[&str], input: Value) -> Reply {
        let Some(kind) = rest.first() else {
            let default = json!({"responseType": "THROTTLED", "defaultResponse": true, "statusCode": "429"});
            let all: Vec<&Value> = self.responses.values().chain([&default]).collect();
            return (200, json!({"item": all}).to_string());
        };
        if method == "DELETE" {
            self.responses.remove(*kind);
            return (202, String::new());
        }
        let mut response = reversed(&input, ("responseType", json!(kind)));
        response["defaultResponse"] = json!(false);
        response["responseTemplates"] =
            json!({"application/json": "{\"message\":$context.error.messageString}"});
        self.responses.insert((*kind).to_owned(), response);
        (201, input.to_string())
    }

    fn deployment(&mut self, method: &str, rest: &[&str], input: Value) -> Reply {
        match (method, rest) {
            ("GET", []) => {
                let all: Vec<&Value> = self.deployments.values().collect();
                (200, json!({"item": all}).to_string())
            }
            ("POST", []) => {
                let id = self.id("d");
                let made = json!({"id": id, "description": input["description"]});
                self.deployments.insert(id.clone(), made.clone());
                self.stage.get_or_insert_with(|| json!({"methodSettings": {}}))["deploymentId"] = json!(id);
                (201, made.to_string())
            }
            ("GET", [id]) => found(self.deployments.get(*id)),
            (_, [id]) => {
                self.deployments.remove(*id);
                (202, String::new())
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The members in the other order, and one more.
fn reversed(value: &Value, more: (&str, Value)) -> Value {
    let members = value.as_object().unwrap().iter().rev();
    let members = members.map(|(name, value)| (name.clone(), value.clone()));
    let more = std::iter::once((more.0.to_owned(), more.1));
    Value::Object(more.chain(members).collect::<Map<_, _>>())
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

async fn create(api: &Api<'_>) {
    with_step(async |step| Kind::create(api, step).await)
        .await
        .0
        .unwrap();
}

#[tokio::test]
async fn it_is_created_once_beside_one_of_the_same_name() {
    let (endpoint, gateway) = endpoint().await;
    let spec = spec("rest_api", DECLARED, &[]);
    let api = Api::new(&endpoint.context, location(), spec.clone()).unwrap();
    create(&api).await;
    let observed = Resource::observe(&api).await.unwrap();
    assert_eq!(observed.owner(&spec.identity), Some(Owner::Us));
    assert_eq!(changes(&api, &observed), "");
    let outputs = Resource::outputs(&api, &observed);
    let url = &outputs["url"];
    assert!(
        url.starts_with("http://own.execute-api.localhost:") && url.ends_with("/prod"),
        "{url}"
    );
    assert_eq!(outputs["arn"], "arn:aws:apigateway:us-east-1::/restapis/own");
    let checks = Resource::verify(&api, &observed, false).await;
    assert_eq!(
        (checks[0].state, checks[0].detail.as_str()),
        (CheckState::Good, "1 route")
    );
    {
        let state = gateway.lock().unwrap();
        assert_eq!(state.deployments.len(), 1);
        let submit = state
            .resources
            .values()
            .find(|one| one["path"] == "/shop/submit")
            .unwrap();
        let integration = &submit["resourceMethods"]["POST"]["methodIntegration"];
        assert_eq!(
            integration["uri"],
            "arn:aws:apigateway:us-east-1:kinesis:action/PutRecord"
        );
        insta::assert_snapshot!(integration["requestTemplates"]["application/json"].as_str().unwrap(), @r#"
        #set($record = "$input.body
        ")
        #set($key = "$context.requestId")
        {"StreamName": "carts", "PartitionKey": "$key", "Data": "$util.base64Encode($record)"}
        "#);
        assert!(submit["resourceMethods"]["OPTIONS"].is_object());
    }
    with_step(async |step| Resource::delete(&api, &observed, step).await)
        .await
        .0
        .unwrap();
    assert!(gateway.lock().unwrap().api.is_none());
}

#[tokio::test]
async fn one_of_another_pipeline_is_not_ours() {
    let (endpoint, _gateway) = endpoint().await;
    // That API is deleted while it is looked at.
    let api = Api::new(&endpoint.context, location(), spec("rest_api", DECLARED, &[])).unwrap();
    assert_eq!(Resource::observe(&api).await.unwrap(), Observed::Absent);
}

#[tokio::test]
async fn each_difference_is_changed_and_deployed_once() {
    let (endpoint, gateway) = endpoint().await;
    let api = Api::new(&endpoint.context, location(), spec("rest_api", DECLARED, &[])).unwrap();
    create(&api).await;
    let changed = r#"
        name = "cart"
        description = "Carts"
        role = "arn:aws:iam::000000000000:role/cart-api"
        stage = "prod"
        routes = [
            { route = "POST /shop/submit", stream = "others" },
            { route = "PUT /", stream = "carts", partition_key = "$input.path('$.user')", record = '{"user": "$input.path("$.user")"}' },
        ]
        burst_limit = 50
        rate_limit = 10.0
    "#;
    let api = Api::new(&endpoint.context, location(), spec("rest_api", changed, &[])).unwrap();
    let observed = Resource::observe(&api).await.unwrap();
    insta::assert_snapshot!(changes(&api, &observed), @r"
    description: none → Carts
    OPTIONS /shop/submit: CORS → none
    POST /shop/submit: PutRecord to carts → PutRecord to others
    PUT /: none → PutRecord to carts
    DEFAULT_4XX: headers of CORS → none
    DEFAULT_5XX: headers of CORS → none
    deployment: of other methods → of these methods
    throttles: burst 50 → burst 50, rate 10
    ");
    gateway.lock().unwrap().throttled = 1;
    for change in api.diff(&observed, &Default::default()).unwrap() {
        with_step(async |step| api.apply(&change, &observed, step).await)
            .await
            .0
            .unwrap();
    }
    let observed = Resource::observe(&api).await.unwrap();
    assert_eq!(changes(&api, &observed), "");
    let state = gateway.lock().unwrap();
    assert_eq!(state.deployments.len(), 1, "the deployment before is removed");
    assert!(state.responses.is_empty());
    let template =
        &state.resources["root"]["resourceMethods"]["PUT"]["methodIntegration"]["requestTemplates"];
    assert!(
        template["application/json"]
            .as_str()
            .unwrap()
            .contains(r#"#set($record = "{""user"": ""$input"#),
        "{template}"
    );
}

#[tokio::test]
async fn what_others_change_is_changed_back() {
    let (endpoint, gateway) = endpoint().await;
    let api = Api::new(&endpoint.context, location(), spec("rest_api", DECLARED, &[])).unwrap();
    create(&api).await;
    let path = |state: &Gateway| {
        let mut resources = state.resources.iter();
        resources
            .find(|(_, one)| one["path"] == "/shop/submit")
            .unwrap()
            .0
            .clone()
    };
    {
        let mut state = gateway.lock().unwrap();
        let id = path(&state);
        let method = &mut state.resources.get_mut(&id).unwrap()["resourceMethods"]["POST"];
        method["methodIntegration"]["timeoutInMillis"] = json!(50);
    }
    let observed = Resource::observe(&api).await.unwrap();
    insta::assert_snapshot!(changes(&api, &observed), @r"
    POST /shop/submit: another PutRecord to carts → PutRecord to carts
    deployment: of other methods → of these methods
    ");
    let checks = Resource::verify(&api, &observed, false).await;
    assert_eq!(
        (checks[0].state, checks[0].detail.as_str()),
        (CheckState::Fault, "its methods are not as declared")
    );
    for change in api.diff(&observed, &Default::default()).unwrap() {
        with_step(async |step| api.apply(&change, &observed, step).await)
            .await
            .0
            .unwrap();
    }
    let observed = Resource::observe(&api).await.unwrap();
    assert_eq!(changes(&api, &observed), "");
}

#[tokio::test]
async fn an_api_without_a_stage_is_a_fault() {
    let context = context().await;
    let api = Api::new(&context, location(), spec("rest_api", DECLARED, &[])).unwrap();
    let facts = Facts {
        id: "a".to_owned(),
        methods: api.methods(),
        gateway_responses: api.gateway_responses(),
        ..Facts::default()
    };
    let checks = Resource::verify(&api, &there(&facts, &[]), false).await;
    assert_eq!(
        (checks[0].state, checks[0].detail.as_str()),
        (CheckState::Fault, "it has no stage")
    );
}

#[tokio::test]
async fn bad_properties_are_refused() {
    let context = context().await;
    let made = |more: &str| {
        let declared = format!("name = \"a\"\nrole = \"arn\"\nstage = \"prod\"\n{more}");
        Api::new(&context, location(), spec("rest_api", &declared, &[])).map(drop)
    };
    let route = |route: &str| format!("routes = [{{ route = \"{route}\", stream = \"s\" }}]");
    let good = route("POST /a/{b}/{c+}");
    let refusals = [
        "routes = []".to_owned(),
        route("submit"),
        route("OPTIONS /a"),
        route("POST a"),
        route("POST /a b"),
        route("POST //a"),
        route("POST /{a+}/b"),
        "routes = [{ route = \"POST /\", stream = \"s\" }, { route = \"POST /\", stream = \"s\" }]"
            .to_owned(),
        format!("{good}\ntimeout_ms = 30000"),
        format!("{good}\nrate_limit = -1.0"),
        format!("{good}\ncors = {{ allow_origins = [\"https://a.example\", \"https://b.example\"] }}"),
        format!("{good}\ncors = {{ allow_origins = [\"*\"], allow_credentials = true }}"),
    ]
    .map(|more| refusal(made(&more)))
    .join("\n");
    insta::assert_snapshot!(refusals, @r#"
    line 1: resource it: a REST API needs at least one route
    line 1: resource it: "submit" is not a route: give a method and a path, such as "POST /submit"
    line 1: resource it: "OPTIONS /a" is not a route: its method is DELETE, GET, HEAD, PATCH, POST or PUT
    line 1: resource it: "POST a" is not a route: its path begins with a slash
    line 1: resource it: "POST /a b" is not a route: a part of its path has letters, digits and the characters . _ - :, or is a variable in braces
    line 1: resource it: "POST //a" is not a route: a part of its path has letters, digits and the characters . _ - :, or is a variable in braces
    line 1: resource it: "POST /{a+}/b" is not a route: a greedy variable is its last part
    line 1: resource it: the route "POST /" is declared twice
    line 1: resource it: timeout_ms must be from 50 to 29000, not 30000
    line 1: resource it: rate_limit is a number of requests per second
    line 1: resource it: CORS of a REST API needs one origin in allow_origins, which may be "*"
    line 1: resource it: allow_credentials needs allow_origins without "*"
    "#);
    assert!(made(&good).is_ok());
}
