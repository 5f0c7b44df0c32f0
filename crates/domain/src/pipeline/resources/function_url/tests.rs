use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::super::test_support::{Endpoint, changes, context, location, refusal, spec, there, with_step};
use super::*;
use crate::pipeline::resource::{Observed, Resource};
use crate::pipeline::tags::Owner;

const DECLARED: &str = r#"
function = "arn:aws:lambda:us-east-1:000000000000:function:products"
cors = { allow_origins = ["*"], allow_methods = ["GET"], max_age_seconds = 60 }
"#;
const PATH: &str = "/2021-10-31/functions/products/url";

#[derive(Default)]
struct Lambda {
    url: Option<Value>,
    statements: Vec<Value>,
}

/// A Lambda with the function `products`, of `pipeline`.
async fn endpoint(pipeline: &'static str) -> (Endpoint, Arc<Mutex<Lambda>>) {
    let lambda: Arc<Mutex<Lambda>> = Arc::default();
    let state = Arc::clone(&lambda);
    let endpoint = Endpoint::start(move |call, body| {
        let mut state = state.lock().unwrap();
        let missing = (
            404,
            r#"{"Message":"none","__type":"ResourceNotFoundException"}"#.to_owned(),
        );
        let input: Value = serde_json::from_str(body).unwrap_or_default();
        let (method, path) = call.split_once(' ').unwrap();
        let answer = |state: &Lambda| match &state.url {
            Some(url) => (200, url.to_string()),
            None => missing.clone(),
        };
        match (method, path) {
            ("GET", PATH) => answer(&state),
            ("POST" | "PUT", PATH) => {
                let mut url = state.url.clone().unwrap_or_else(|| {
                    json!({"FunctionUrl": "https://id.lambda-url.us-east-1.on.aws/", "CreationTime": "t",
                        "LastModifiedTime": "t", "FunctionArn": "arn"})
                });
                for (name, value) in input.as_object().unwrap() {
                    url[name] = value.clone();
                }
                state.url = Some(url);
                answer(&state)
            }
            ("DELETE", PATH) => {
                state.url = None;
                (204, String::new())
            }
            ("GET", "/2015-03-31/functions/products/policy") => match state.statements.as_slice() {
                [] => missing,
                all => (
                    200,
                    json!({"Policy": json!({"Statement": all}).to_string()}).to_string(),
                ),
            },
            ("POST", "/2015-03-31/functions/products/policy") => {
                state.statements.push(json!({
                    "Sid": input["StatementId"], "Action": input["Action"], "Principal": input["Principal"],
                }));
                (201, json!({"Statement": "{}"}).to_string())
            }
            ("DELETE", path) if path.contains("/policy/") => {
                let sid = path.rsplit('/').next().unwrap();
                state.statements.retain(|one| one["Sid"] != *sid);
                (204, String::new())
            }
            ("GET", path) if path.contains("/tags/") => {
                let tags = json!({"ManagedBy": "streamctl", "streamctl:pipeline": pipeline});
                (200, json!({"Tags": tags}).to_string())
            }
            other => panic!("{other:?}"),
        }
    })
    .await;
    (endpoint, lambda)
}

#[tokio::test]
async fn it_is_created_once_and_deleted_with_its_permissions() {
    let (endpoint, lambda) = endpoint("demo/one").await;
    let url = Url::new(&endpoint.context, location(), spec("function_url", DECLARED, &[])).unwrap();
    assert_eq!(Resource::observe(&url).await.unwrap(), Observed::Absent);
    with_step(async |step| Kind::create(&url, step).await)
        .await
        .0
        .unwrap();
    let observed = Resource::observe(&url).await.unwrap();
    assert_eq!(changes(&url, &observed), "");
    assert_eq!(
        Resource::outputs(&url, &observed)["url"],
        "https://id.lambda-url.us-east-1.on.aws"
    );
    let checks = Resource::verify(&url, &observed, false).await;
    assert_eq!(
        (checks[0].state, checks[0].detail.as_str()),
        (CheckState::Good, "public")
    );
    let actions: Vec<Value> = lambda
        .lock()
        .unwrap()
        .statements
        .iter()
        .map(|one| one["Action"].clone())
        .collect();
    assert_eq!(actions, ["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"]);

    lambda.lock().unwrap().statements.pop();
    let observed = Resource::observe(&url).await.unwrap();
    assert_eq!(
        changes(&url, &observed),
        "permission: none → everyone may call it"
    );
    let checks = Resource::verify(&url, &observed, false).await;
    assert_eq!(checks[0].state, CheckState::Fault);
    with_step(async |step| Resource::delete(&url, &observed, step).await)
        .await
        .0
        .unwrap();
    let state = lambda.lock().unwrap();
    assert!(state.url.is_none() && state.statements.is_empty());
}

#[tokio::test]
async fn each_difference_is_changed() {
    let (endpoint, lambda) = endpoint("demo/one").await;
    let facts = Facts {
        url: "https://id".to_owned(),
        auth: Auth::Iam,
        cors: Cors::default(),
        public: false,
    };
    let observed = there(&facts, &[]);
    // What is not declared applies to a new URL only.
    let declared = format!("auth = \"none\"{DECLARED}");
    let url = Url::new(
        &endpoint.context,
        location(),
        spec("function_url", &declared, &[]),
    )
    .unwrap();
    insta::assert_snapshot!(changes(&url, &observed), @r"
    access: signed requests only → public
    CORS: none → GET for *
    ");
    let made = |field: &'static str| {
        let (url, observed) = (&url, &observed);
        async move {
            let change = Change::update(field, "", "");
            with_step(async |step| url.apply(&change, observed, step).await)
                .await
                .0
                .unwrap();
        }
    };
    made("access").await;
    made("CORS").await;
    let state = lambda.lock().unwrap();
    let there = state.url.as_ref().unwrap();
    assert_eq!(there["AuthType"], "NONE");
    assert_eq!(there["Cors"]["MaxAge"], 60);
    assert_eq!(state.statements.len(), 2);
}

#[tokio::test]
async fn the_url_of_another_pipelines_function_is_that_pipelines() {
    let (endpoint, lambda) = endpoint("demo/two").await;
    lambda.lock().unwrap().url = Some(json!({
        "FunctionUrl": "https://id/", "CreationTime": "t", "LastModifiedTime": "t", "FunctionArn": "arn", "AuthType": "NONE",
    }));
    let spec = spec("function_url", DECLARED, &[]);
    let url = Url::new(&endpoint.context, location(), spec.clone()).unwrap();
    let observed = Resource::observe(&url).await.unwrap();
    assert_eq!(
        observed.owner(&spec.identity),
        Some(Owner::Pipeline("demo/two".into()))
    );
}

#[tokio::test]
async fn bad_cors_is_refused() {
    let context = context().await;
    let made = |cors: &str| {
        let declared = format!("function = \"f\"\ncors = {{ {cors} }}");
        Url::new(&context, location(), spec("function_url", &declared, &[])).map(drop)
    };
    let refusals = [
        "allow_origins = [\"*\"], allow_credentials = true",
        "max_age_seconds = 100000",
    ]
    .map(|cors| refusal(made(cors)))
    .join("\n");
    insta::assert_snapshot!(refusals, @r#"
    line 1: resource it: allow_credentials needs allow_origins without "*"
    line 1: resource it: max_age_seconds must be from 0 to 86400, not 100000
    "#);
}
