//! Function URLs.

use aws_sdk_lambda::types::{Cors, FunctionUrlAuthType};

use super::*;

/// Creates a URL of a function that everyone may call. Returns its path form, without a slash at its end.
async fn public_url(running: &Running, function: &str, cors: Option<Cors>) -> String {
    let url = url(running, function, FunctionUrlAuthType::None, cors).await;
    allow_everyone(running, function).await;
    url
}

async fn url(running: &Running, function: &str, auth: FunctionUrlAuthType, cors: Option<Cors>) -> String {
    let made = ok!(running
        .lambda()
        .create_function_url_config()
        .function_name(function)
        .auth_type(auth)
        .set_cors(cors));
    // The fixture does not know its port before it opens the cloud.
    let path = made.function_url.strip_prefix("http://127.0.0.1:1").unwrap();
    path.trim_end_matches('/').to_owned()
}

async fn allow_everyone(running: &Running, function: &str) {
    let lambda = running.lambda();
    ok!(lambda
        .add_permission()
        .function_name(function)
        .statement_id("url")
        .action("lambda:InvokeFunctionUrl")
        .principal("*")
        .function_url_auth_type(FunctionUrlAuthType::None));
    ok!(lambda
        .add_permission()
        .function_name(function)
        .statement_id("invoke")
        .action("lambda:InvokeFunction")
        .principal("*")
        .invoked_via_function_url(true));
}

#[tokio::test]
async fn the_configuration_lives_its_life() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let arn = running.function("api", "").await;
    let lambda = running.lambda();
    let missing = refused!(lambda.get_function_url_config().function_name("api"));
    assert_eq!(missing.code(), Some("ResourceNotFoundException"));
    let cors = Cors::builder()
        .allow_origins("*")
        .allow_methods("GET")
        .max_age(60)
        .build();
    let create = || lambda.create_function_url_config().function_name("api");
    let made = ok!(create().auth_type(FunctionUrlAuthType::None).cors(cors.clone()));
    assert_eq!(made.function_arn, arn);
    assert_eq!(made.cors, Some(cors.clone()));
    let again = refused!(create().auth_type(FunctionUrlAuthType::None));
    assert_eq!(again.code(), Some("ResourceConflictException"));
    let got = ok!(lambda.get_function_url_config().function_name("api"));
    assert_eq!(
        (got.function_url, got.cors),
        (made.function_url.clone(), Some(cors))
    );

    let updated = ok!(lambda
        .update_function_url_config()
        .function_name("api")
        .auth_type(FunctionUrlAuthType::AwsIam)
        .cors(Cors::builder().build()));
    assert_eq!(
        (updated.auth_type, updated.cors),
        (FunctionUrlAuthType::AwsIam, None)
    );
    ok!(lambda.publish_version().function_name("api"));
    ok!(lambda
        .create_alias()
        .function_name("api")
        .name("live")
        .function_version("1"));
    let of_alias = ok!(create().qualifier("live").auth_type(FunctionUrlAuthType::None));
    assert_eq!(of_alias.function_arn, format!("{arn}:live"));
    let of_version = refused!(create().qualifier("1").auth_type(FunctionUrlAuthType::None));
    assert_eq!(of_version.code(), Some("ValidationException"));
    let listed = ok!(lambda.list_function_url_configs().function_name("api"));
    let urls: Vec<String> = listed
        .function_url_configs
        .into_iter()
        .map(|config| config.function_url)
        .collect();
    assert_eq!(urls, [made.function_url, of_alias.function_url]);
    drop(running);

    let running = Running::on(dir.path()).await;
    let lambda = running.lambda();
    ok!(lambda.delete_function_url_config().function_name("api"));
    let listed = ok!(lambda.list_function_url_configs().function_name("api"));
    assert_eq!(listed.function_url_configs.len(), 1, "it survives a restart");
    ok!(lambda.delete_alias().function_name("api").name("live"));
    let listed = ok!(lambda.list_function_url_configs().function_name("api"));
    assert!(listed.function_url_configs.is_empty(), "it goes with its alias");
}

#[tokio::test]
async fn bad_settings_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    running.function("api", "").await;
    let lambda = running.lambda();
    let create = || lambda.create_function_url_config().function_name("api");
    let none = FunctionUrlAuthType::None;
    for cors in [
        Cors::builder().allow_methods("OPTIONS").build(),
        Cors::builder().max_age(86_401).build(),
        Cors::builder().allow_origins("a".repeat(254)).build(),
    ] {
        let refused = refused!(create().auth_type(none.clone()).cors(cors.clone()));
        assert_eq!(refused.code(), Some("ValidationException"), "{cors:?}");
    }
    let refused = refused!(create().auth_type("BASIC".into()));
    assert_eq!(refused.code(), Some("ValidationException"));
    let refused = refused!(
        create()
            .auth_type(none)
            .invoke_mode(aws_sdk_lambda::types::InvokeMode::ResponseStream)
    );
    assert_eq!(refused.code(), Some("InvalidParameterValueException"));
}

#[tokio::test]
async fn a_request_becomes_an_event_by_host_and_by_path() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    running.function("echo", "").await;
    let path = public_url(&running, "echo", None).await;
    let id = path.rsplit('/').next().unwrap();
    let headers = "Content-Type: application/json\r\nCookie: a=1\r\nOrigin: https://page.example\r\n";
    let by_path = Sent::post(format!("{path}/orders/1?q=%20&q=2"), b"{\"n\":1.10}").with(headers);
    let event = running.send(by_path).await.json();
    assert_eq!(event["rawPath"], "/orders/1");
    assert_eq!(event["rawQueryString"], "q=%20&q=2");
    assert_eq!(event["queryStringParameters"], json!({"q": " ,2"}));
    assert_eq!(event["cookies"], json!(["a=1"]));
    assert_eq!(event["body"], "{\"n\":1.10}");
    assert_eq!(event["requestContext"]["accountId"], "anonymous");
    assert_eq!(event["requestContext"]["apiId"], id);
    assert_eq!(event["requestContext"].get("authorizer"), None);

    let host = format!("{id}.lambda-url.eu-west-1.localhost:1");
    let by_host = running.send_to(&host, Sent::get("/orders/1")).await.json();
    assert_eq!(by_host["rawPath"], "/orders/1");
    assert_eq!(
        by_host["requestContext"]["domainName"],
        host.trim_end_matches(":1")
    );
    assert_eq!(by_host.get("body"), None);
    let elsewhere = format!("{id}.lambda-url.us-east-1.localhost");
    let seen = running.send_to(&elsewhere, Sent::get("/")).await;
    assert_eq!((seen.status, seen.body.as_str()), (404, r#"{"Message":null}"#));
}

#[tokio::test]
async fn responses_and_errors() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let whole = r#"return {"statusCode":201,"headers":{"X-A":"b"},"cookies":["c=1","d=2"],"body":"aGk=","isBase64Encoded":true}"#;
    for (name, script, status, body) in [
        ("whole", whole, 201, "hi"),
        ("value", r#"return {"a":1}"#, 200, r#"{"a":1}"#),
        ("fails", "throw Error bad", 502, "Internal Server Error"),
        (
            "invalid",
            r#"return {"statusCode":"x"}"#,
            502,
            "Internal Server Error",
        ),
        ("crashes", "exit 1", 502, "Internal Server Error"),
    ] {
        running.function(name, script).await;
        let path = public_url(&running, name, None).await;
        let seen = running.send(Sent::get(path.clone())).await;
        assert_eq!((seen.status, seen.body.as_str()), (status, body), "{name}");
        if name == "whole" {
            assert_eq!(seen.header("x-a"), "b");
            assert_eq!(seen.header("set-cookie"), "c=1 | d=2");
            let large = vec![b'x'; 7 << 20];
            for bytes in [&large[..], &vec![b'x'; 11 << 20]] {
                let seen = running.send(Sent::post(path.clone(), bytes)).await;
                assert_eq!(seen.status, 413);
                assert!(seen.json()["Message"].is_string(), "{}", seen.body);
            }
        }
    }
    let lambda = running.lambda();
    ok!(lambda
        .put_function_concurrency()
        .function_name("value")
        .reserved_concurrent_executions(0));
    let listed = ok!(lambda.list_function_url_configs().function_name("value"));
    let url = &listed.function_url_configs[0].function_url;
    let path = url.strip_prefix("http://127.0.0.1:1").unwrap();
    let seen = running.send(Sent::get(path)).await;
    assert_eq!(
        (seen.status, seen.body.as_str()),
        (429, r#"{"Message":"Rate Exceeded."}"#)
    );
}

#[tokio::test]
async fn the_resource_policy_decides() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    running.function("api", "return 1").await;
    let path = url(&running, "api", FunctionUrlAuthType::None, None).await;
    let status = async |running: &Running| running.send(Sent::get(path.clone())).await.status;
    let seen = running.send(Sent::get(path.clone())).await;
    assert_eq!(seen.status, 403);
    assert_eq!(seen.header("x-amzn-errortype"), "AccessDeniedException");
    assert!(seen.json()["Message"].as_str().unwrap().starts_with("Forbidden"));
    allow_everyone(&running, "api").await;
    assert_eq!(status(&running).await, 200);
    let lambda = running.lambda();
    ok!(lambda
        .remove_permission()
        .function_name("api")
        .statement_id("invoke"));
    assert_eq!(status(&running).await, 403, "both actions are needed");
}

#[tokio::test]
async fn a_signed_url_needs_a_signature_and_permissions() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let arn = running.function("api", "").await;
    let path = url(&running, "api", FunctionUrlAuthType::AwsIam, None).await;
    allow_everyone(&running, "api").await;
    assert_eq!(running.send(Sent::get(path.clone())).await.status, 403);
    let signed = |key: &str| {
        format!("Authorization: AWS4-HMAC-SHA256 Credential={key}/20260101/eu-west-1/lambda/aws4_request\r\n")
    };
    let by_root = signed("local");
    let event = running.send(Sent::get(path.clone()).with(&by_root)).await.json();
    let identity = &event["requestContext"]["authorizer"]["iam"];
    assert_eq!(identity["accessKey"], "local");
    assert_eq!(identity["userArn"], "arn:aws:iam::000000000000:root");

    let iam = running.iam();
    ok!(iam.create_user().user_name("eve"));
    let key = ok!(iam.create_access_key().user_name("eve")).access_key.unwrap();
    let by_eve = signed(&key.access_key_id);
    assert_eq!(
        running.send(Sent::get(path.clone()).with(&by_eve)).await.status,
        403
    );
    let policy = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": ["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"], "Resource": arn,
    }]});
    ok!(iam
        .put_user_policy()
        .user_name("eve")
        .policy_name("call")
        .policy_document(policy.to_string()));
    assert_eq!(
        running.send(Sent::get(path.clone()).with(&by_eve)).await.status,
        200
    );
    // A page that the user has open cannot sign.
    let by_page = format!("{by_root}Origin: https://page.example\r\n");
    assert_eq!(running.send(Sent::get(path).with(&by_page)).await.status, 403);
}

#[tokio::test]
async fn pages_are_served_with_cors() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let html = r#"return {"statusCode":200,"headers":{"Content-Type":"text/html","Access-Control-Allow-Origin":"x"},"body":"<p>"}"#;
    running.function("page", html).await;
    let cors = Cors::builder()
        .allow_origins("https://page.example")
        .allow_methods("*")
        .allow_headers("content-type")
        .build();
    let path = public_url(&running, "page", Some(cors)).await;
    let asked = "Origin: https://page.example\r\nAccess-Control-Request-Method: POST\r\n";
    let preflight = running
        .send(Sent::get(path.clone()).by("OPTIONS").with(asked))
        .await;
    assert_eq!(
        (preflight.status, preflight.header("access-control-allow-methods")),
        (200, "*")
    );
    assert_eq!(
        preflight.header("access-control-allow-origin"),
        "https://page.example"
    );
    assert_eq!(preflight.body, "", "the function is not asked");
    let from = "Origin: https://page.example\r\nSec-Fetch-Site: cross-site\r\n";
    let seen = running.send(Sent::get(path.clone()).with(from)).await;
    assert_eq!(seen.header("access-control-allow-origin"), "https://page.example");
    assert!(seen.header("content-security-policy").starts_with("sandbox "));
    let large = vec![b'x'; 11 << 20];
    let refused = running.send(Sent::post(path.clone(), &large).with(from)).await;
    assert_eq!(refused.status, 413);
    assert_eq!(
        refused.header("access-control-allow-origin"),
        "https://page.example",
        "errors have the headers too"
    );
    let other = running
        .send(Sent::get(path.clone()).with("Origin: https://evil.example\r\n"))
        .await;
    assert_eq!(other.header("access-control-allow-origin"), "");
    let id = path.rsplit('/').next().unwrap();
    let host = format!("{id}.lambda-url.eu-west-1.localhost");
    let seen = running.send_to(&host, Sent::get("/")).await;
    assert_eq!(
        seen.header("content-security-policy"),
        "",
        "it has an origin of its own"
    );
}
