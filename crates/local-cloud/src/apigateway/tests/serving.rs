//! Requests to APIs.

use super::*;

#[tokio::test]
async fn stages_serve_what_is_deployed_to_them() {
    let world = World::new();
    let id = world.api("f", &["GET /{proxy+}"]).await;
    let api = format!("/v2/apis/{id}");
    world
        .made(&format!("{api}/stages"), json!({"stageName": "dev"}))
        .await;
    assert_eq!(world.get(&id, "/dev/a").await, (404, message("Not Found")));
    let deployment = json!({"stageName": "dev"});
    world.made(&format!("{api}/deployments"), deployment).await;
    let (_, event) = world.get(&id, "/dev/a/b").await;
    assert_eq!(event["requestContext"]["stage"], "dev");
    assert_eq!(event["rawPath"], "/dev/a/b");
    assert_eq!(event["pathParameters"], json!({"proxy": "a/b"}));
    let (_, event) = world.get(&id, "/other/a").await;
    assert_eq!(event["requestContext"]["stage"], "$default");
    // A deployment is a copy; automatic deployment is none.
    let (_, routes) = world.ask("GET", &format!("{api}/routes"), Value::Null).await;
    let route = routes["items"][0]["routeId"].as_str().unwrap();
    world
        .ask("DELETE", &format!("{api}/routes/{route}"), Value::Null)
        .await;
    assert_eq!(world.get(&id, "/dev/a").await.0, 200);
    assert_eq!(world.get(&id, "/other/a").await.0, 404);
    let (_, deployments) = world.ask("GET", &format!("{api}/deployments"), Value::Null).await;
    let deployment = deployments["items"][0]["deploymentId"].as_str().unwrap();
    let path = format!("{api}/deployments/{deployment}");
    assert_eq!(
        world.ask("DELETE", &path, Value::Null).await.0,
        400,
        "a stage serves it"
    );
}

#[tokio::test(start_paused = true)]
async fn statuses_and_messages() {
    let world = World::new();
    for (function, status, text) in [
        ("fails", 500, "Internal Server Error"),
        ("invalid", 500, "Internal Server Error"),
        ("missing", 500, "Internal Server Error"),
        ("forbidden", 500, "Internal Server Error"),
        ("busy", 503, "Service Unavailable"),
        ("slow", 503, "Service Unavailable"),
        ("large", 413, "Request Entity Too Large"),
    ] {
        let id = world.api(function, &["GET /"]).await;
        assert_eq!(world.get(&id, "/").await, (status, message(text)), "{function}");
    }
    let id = world.api("f", &["GET /pets/{id}"]).await;
    for (path, status, text) in [
        ("/pets", 404, "Not Found"),
        ("/", 404, "Not Found"),
        ("/dev/pets/1", 404, "Not Found"),
    ] {
        assert_eq!(world.get(&id, path).await, (status, message(text)), "{path}");
    }
    assert_eq!(world.get("none", "/pets/1").await, (404, message("Not Found")));
    let post = http::Request::post("/pets/1").body(Ok(Bytes::new())).unwrap();
    assert_eq!(world.send(&id, post).await.0, 404);
    let large = http::Request::get("/pets/1").body(Err(413)).unwrap();
    let (status, _, value) = world.send(&id, large).await;
    assert_eq!(
        (status.as_u16(), value),
        (413, message("Request Entity Too Large"))
    );
    assert_eq!(world.get(&id, "/pets/1").await.0, 200);
    let sources = world.functions.0.lock().unwrap().clone();
    let source = format!("arn:aws:execute-api:us-east-1:000000000000:{id}/$default/GET/pets/{{id}}");
    assert_eq!(sources.last(), Some(&source));
    let disable = json!({"disableExecuteApiEndpoint": true});
    world.ask("PATCH", &format!("/v2/apis/{id}"), disable).await;
    assert_eq!(world.get(&id, "/pets/1").await.0, 404);
}

#[tokio::test]
async fn throttles_by_the_clock() {
    let world = World::new();
    let id = world.api("f", &["$default"]).await;
    let limits = json!({"defaultRouteSettings": {"throttlingBurstLimit": 2, "throttlingRateLimit": 1}});
    world
        .ask("PATCH", &format!("/v2/apis/{id}/stages/$default"), limits)
        .await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(world.get(&id, "/").await.0);
    }
    assert_eq!(statuses, [200, 200, 429]);
    assert_eq!(world.get(&id, "/").await.1, message("Too Many Requests"));
    world.clock.advance(1000);
    assert_eq!(world.get(&id, "/").await.0, 200);
}

#[tokio::test]
async fn cors_of_the_api() {
    let world = World::new();
    let id = world.api("fails", &["POST /submit"]).await;
    let cors = json!({"corsConfiguration": {
        "allowOrigins": ["https://page.example"], "allowMethods": ["POST", "OPTIONS"], "allowHeaders": ["content-type"],
        "maxAge": 86_400,
    }});
    let preflight = || {
        http::Request::options("/submit")
            .header("origin", "https://page.example")
            .header("access-control-request-method", "POST")
            .body(Ok(Bytes::new()))
            .unwrap()
    };
    let (status, headers, _) = world.send(&id, preflight()).await;
    assert_eq!(
        status, 404,
        "without a configuration it is a request like any other"
    );
    assert!(!headers.contains_key("access-control-allow-origin"));
    world.ask("PATCH", &format!("/v2/apis/{id}"), cors).await;
    let (status, headers, _) = world.send(&id, preflight()).await;
    assert_eq!(status, 204);
    assert_eq!(headers["access-control-allow-origin"], "https://page.example");
    assert_eq!(headers["access-control-allow-methods"], "POST,OPTIONS");
    assert_eq!(headers["access-control-max-age"], "86400");
    for (path, status) in [("/submit", 500), ("/none", 404)] {
        let request = http::Request::post(path)
            .header("origin", "https://page.example")
            .body(Ok(Bytes::new()))
            .unwrap();
        let (got, headers, _) = world.send(&id, request).await;
        assert_eq!(got.as_u16(), status);
        assert_eq!(
            headers["access-control-allow-origin"], "https://page.example",
            "{path}"
        );
    }
}

#[tokio::test]
async fn an_api_for_a_function_is_made_at_once() {
    let world = World::new();
    let input = json!({"name": "quick", "protocolType": "HTTP", "target": FUNCTION, "routeKey": "GET /a"});
    let id = world.made("/v2/apis", input).await["apiId"]
        .as_str()
        .unwrap()
        .to_owned();
    let (status, event) = world.get(&id, "/a").await;
    assert_eq!((status, &event["routeKey"]), (200, &json!("GET /a")));
    assert_eq!(world.get(&id, "/b").await.0, 404);
}

#[tokio::test]
async fn requests_are_in_the_access_log() {
    let world = World::new();
    let id = world.api("f", &["GET /pets/{id}"]).await;
    let format = r#"{"m":"$context.httpMethod","k":"$context.routeKey","s":$context.status,"e":"$context.error.message","i":"$context.integrationStatus","a":"$context.identity.userAgent","p":"$context.path","t":"$context.requestTime","n":"$context.none.","x":"$contextual"}"#;
    let log = json!({"accessLogSettings": {
        "destinationArn": "arn:aws:logs:us-east-1:000000000000:log-group:/apis/pets:*",
        "format": format,
    }});
    let stage = format!("/v2/apis/{id}/stages/$default");
    assert_eq!(world.ask("PATCH", &stage, log).await.0, 200);
    let ask = http::Request::get("/pets/1").header("user-agent", "a\",\"s\":\"9");
    world.send(&id, ask.body(Ok(Bytes::new())).unwrap()).await;
    assert_eq!(world.get(&id, "/cats").await.0, 404);
    tokio::task::yield_now().await;
    let lines = world.logs.0.lock().unwrap().clone();
    let start = format!("/apis/pets {id}/$default ");
    let time = "01/Jan/2026:00:00:00 +0000";
    assert_eq!(
        lines,
        [
            format!(
                r#"{start}{{"m":"GET","k":"GET /pets/{{id}}","s":200,"e":"-","i":"200","a":"a\",\"s\":\"9","p":"/pets/1","t":"{time}","n":"-.","x":"$contextual"}}"#
            ),
            format!(
                r#"{start}{{"m":"GET","k":"-","s":404,"e":"Not Found","i":"-","a":"-","p":"/cats","t":"{time}","n":"-.","x":"$contextual"}}"#
            ),
        ]
    );
}
