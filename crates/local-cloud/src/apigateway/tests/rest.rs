//! REST APIs.

mod refused;

use super::*;

/// What one can see of a response.
type Answered = (u16, http::HeaderMap, Value);

const ROLE: &str = "arn:aws:iam::000000000000:role";
const URI: &str = "arn:aws:apigateway:us-east-1:kinesis:action/PutRecord";

impl World {
    /// A request that has to succeed.
    async fn put(&self, path: &str, body: Value) -> Value {
        let (status, value) = self.ask("PUT", path, body).await;
        assert_eq!(status, 201, "{path}: {value}");
        value
    }

    /// An API with `POST /submit` that calls PutRecord in this role, and `OPTIONS /submit`. It is deployed to `prod`. Returns
    /// its id and the path of the resource.
    async fn rest_api(&self, role: &str) -> (String, String) {
        let api = self.made("/restapis", json!({"name": "cart"})).await;
        let (id, root) = (text(&api, "id"), text(&api, "rootResourceId"));
        let path = format!("/restapis/{id}/resources/{root}");
        let resource = text(&self.made(&path, json!({"pathPart": "submit"})).await, "id");
        let path = format!("/restapis/{id}/resources/{resource}");
        let method = format!("{path}/methods/POST");
        self.put(&method, json!({"authorizationType": "NONE"})).await;
        for status in ["200", "400", "500"] {
            let parameters =
                json!({"responseParameters": {"method.response.header.Access-Control-Allow-Origin": false}});
            self.put(&format!("{method}/responses/{status}"), parameters)
                .await;
        }
        self.put(&format!("{method}/integration"), integration(role))
            .await;
        for (status, pattern, template) in [
            ("200", "", r#"{"id": $input.json('$.SequenceNumber')}"#),
            ("400", "4\\d{2}", r#"{"message": $input.json('$.message')}"#),
            ("500", "5\\d{2}", r#"{"message": "failed"}"#),
        ] {
            let response = json!({
                "selectionPattern": pattern,
                "responseTemplates": {"application/json": template},
                "responseParameters": {"method.response.header.Access-Control-Allow-Origin": "'*'"},
            });
            self.put(&format!("{method}/integration/responses/{status}"), response)
                .await;
        }
        self.options(&path).await;
        let deployment = json!({"stageName": "prod"});
        self.made(&format!("/restapis/{id}/deployments"), deployment)
            .await;
        (id, path)
    }

    async fn options(&self, resource: &str) {
        let method = format!("{resource}/methods/OPTIONS");
        self.put(&method, json!({"authorizationType": "NONE"})).await;
        let name = "method.response.header.Access-Control-Allow-Methods";
        let parameters = json!({"responseParameters": {name: false}});
        self.put(&format!("{method}/responses/204"), parameters).await;
        let mock = json!({"type": "MOCK", "requestTemplates": {"application/json": "{\"statusCode\": 204}"}});
        self.put(&format!("{method}/integration"), mock).await;
        let response = json!({"responseParameters": {name: "'POST,OPTIONS'"}});
        self.put(&format!("{method}/integration/responses/204"), response)
            .await;
    }

    async fn post(&self, id: &str, path: &str, content_type: &str, body: &'static str) -> Answered {
        let request = http::Request::post(path)
            .header("content-type", content_type)
            .body(Ok(Bytes::from_static(body.as_bytes())))
            .unwrap();
        let (status, headers, value) = self.send(id, request).await;
        (status.as_u16(), headers, value)
    }

    async fn submit(&self, id: &str, body: &'static str) -> Answered {
        self.post(id, "/prod/submit", "application/json", body).await
    }
}

fn text(value: &Value, name: &str) -> String {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("{value}"))
        .to_owned()
}

fn integration(role: &str) -> Value {
    let template = "{\"StreamName\": \"$stageVariables.stream\", \"PartitionKey\": \"$context.requestId\", \
        \"Data\": \"$util.base64Encode($input.json('$.user_id'))\", \"q\": \"$input.params('q')\"}";
    json!({
        "type": "AWS", "httpMethod": "POST", "uri": URI, "credentials": format!("{ROLE}/{role}"),
        "requestTemplates": {"application/json": template},
        "requestParameters": {"integration.request.header.Content-Type": "'application/x-amz-json-1.1'"},
        "passthroughBehavior": "NEVER",
    })
}

#[tokio::test]
async fn a_request_becomes_a_call_of_kinesis() {
    let world = World::new();
    let (id, _) = world.rest_api("writer").await;
    let variables =
        json!({"patchOperations": [{"op": "replace", "path": "/variables/stream", "value": "carts"}]});
    let (status, stage) = world
        .ask("PATCH", &format!("/restapis/{id}/stages/prod"), variables)
        .await;
    assert_eq!((status, &stage["variables"]["stream"]), (200, &json!("carts")));
    let body = r#"{"user_id": 123456789012345678901234567890}"#;
    let (status, headers, value) = world
        .post(
            &id,
            "/prod/submit?q=a%20b",
            "application/json; charset=utf-8",
            body,
        )
        .await;
    assert_eq!((status, value), (200, json!({"id": "495903"})));
    assert_eq!(headers["access-control-allow-origin"], "*");
    assert_eq!(headers["content-type"], "application/json");
    let calls = world.actions.0.lock().unwrap();
    let call = calls.last().unwrap();
    assert_eq!(
        (call.action, call.content_type.as_str()),
        ("PutRecord", "application/x-amz-json-1.1")
    );
    assert_eq!(call.role, format!("{ROLE}/writer"));
    let sent: Value = serde_json::from_slice(&call.body).unwrap();
    assert_eq!(
        (&sent["StreamName"], &sent["q"]),
        (&json!("carts"), &json!("a b"))
    );
    assert_eq!(
        sent["PartitionKey"],
        headers["x-amzn-requestid"].to_str().unwrap()
    );
    let data = base64_simd::STANDARD.decode_to_vec(text(&sent, "Data")).unwrap();
    assert_eq!(data, b"123456789012345678901234567890", "every digit");
}

#[tokio::test(start_paused = true)]
async fn errors_of_kinesis_are_errors_of_the_api() {
    let world = World::new();
    for (role, status, value) in [
        (
            "throttled",
            400,
            json!({"message": "Rate exceeded for shard shardId-000000000000"}),
        ),
        ("broken", 500, json!({"message": "failed"})),
        // The default response.
        ("odd", 200, json!({"id": ""})),
        ("stranger", 500, message("Internal server error")),
        ("slow", 504, message("Endpoint request timed out")),
    ] {
        let (id, _) = world.rest_api(role).await;
        let (got, _, body) = world.submit(&id, r#"{"user_id": 1}"#).await;
        assert_eq!((got, body), (status, value), "{role}");
    }
}

/// Source: "Gateway response types for API Gateway", API Gateway developer guide.
#[tokio::test]
async fn errors_of_the_api_itself() {
    let world = World::new();
    let (id, resource) = world.rest_api("writer").await;
    let unknown = "Missing Authentication Token";
    for (path, content_type, body, status, kind, text) in [
        (
            "/prod/none",
            "application/json",
            "{}",
            403,
            "MissingAuthenticationTokenException",
            unknown,
        ),
        (
            "/prod",
            "application/json",
            "{}",
            403,
            "MissingAuthenticationTokenException",
            unknown,
        ),
        (
            "/prod/submit/",
            "application/json",
            "{}",
            403,
            "MissingAuthenticationTokenException",
            unknown,
        ),
        (
            "/test/submit",
            "application/json",
            "{}",
            403,
            "ForbiddenException",
            "Forbidden",
        ),
        (
            "/",
            "application/json",
            "{}",
            403,
            "ForbiddenException",
            "Forbidden",
        ),
        (
            "/prod/submit",
            "text/plain",
            "{}",
            415,
            "BadRequestException",
            "Unsupported Media Type",
        ),
        (
            "/prod/submit",
            "application/json",
            "{",
            400,
            "BadRequestException",
            "Could not parse request body into json: unexpected end",
        ),
    ] {
        let (got, headers, value) = world.post(&id, path, content_type, body).await;
        assert_eq!(
            (got, value),
            (status, message(text)),
            "{path} {content_type} {body}"
        );
        assert_eq!(headers["x-amzn-errortype"], kind);
        assert!(headers.contains_key("x-amzn-requestid"));
    }
    let large = http::Request::post("/prod/submit").body(Err(413)).unwrap();
    let (status, _, value) = world.send(&id, large).await;
    assert_eq!((status.as_u16(), value), (413, message("Request Too Long")));
    // Gateway responses count from the next deployment on.
    let cors = json!({"responseParameters": {"gatewayresponse.header.Access-Control-Allow-Origin": "'*'"}});
    world
        .put(&format!("/restapis/{id}/gatewayresponses/DEFAULT_4XX"), cors)
        .await;
    let own = json!({"statusCode": "404", "responseTemplates": {"application/json": "{\"m\": \"$context.error.responseType\"}"}});
    world
        .put(
            &format!("/restapis/{id}/gatewayresponses/MISSING_AUTHENTICATION_TOKEN"),
            own,
        )
        .await;
    let (_, headers, _) = world.submit(&id, "{").await;
    assert!(!headers.contains_key("access-control-allow-origin"));
    world
        .made(
            &format!("/restapis/{id}/deployments"),
            json!({"stageName": "prod"}),
        )
        .await;
    let (status, headers, _) = world.submit(&id, "{").await;
    assert_eq!(
        (status, &headers["access-control-allow-origin"]),
        (400, &"*".parse().unwrap())
    );
    let (status, _, value) = world.post(&id, "/prod/none", "", "").await;
    assert_eq!(
        (status, value),
        (404, json!({"m": "MISSING_AUTHENTICATION_TOKEN"}))
    );
    assert_eq!(world.ask("DELETE", &resource, Value::Null).await.0, 202);
    assert_eq!(
        world.submit(&id, r#"{"user_id": 1}"#).await.0,
        200,
        "a deployment is a copy"
    );
}

#[tokio::test]
async fn a_mock_answers_preflights() {
    let world = World::new();
    let (id, _) = world.rest_api("writer").await;
    let request = http::Request::options("/prod/submit")
        .body(Ok(Bytes::new()))
        .unwrap();
    let (status, headers, _) = world.send(&id, request).await;
    assert_eq!(status, 204);
    assert_eq!(headers["access-control-allow-methods"], "POST,OPTIONS");
    assert!(world.actions.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn throttles_of_stages_and_methods() {
    let world = World::new();
    let (id, _) = world.rest_api("writer").await;
    let limits = json!({"patchOperations": [
        {"op": "replace", "path": "/*/*/throttling/rateLimit", "value": "1"},
        {"op": "replace", "path": "/*/*/throttling/burstLimit", "value": "2"},
    ]});
    let (_, stage) = world
        .ask("PATCH", &format!("/restapis/{id}/stages/prod"), limits)
        .await;
    assert_eq!(stage["methodSettings"]["*/*"]["throttlingBurstLimit"], 2);
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(world.submit(&id, r#"{"user_id": 1}"#).await.0);
    }
    assert_eq!(statuses, [200, 200, 429]);
    assert_eq!(world.submit(&id, "{}").await.2, message("Too Many Requests"));
    world.clock.advance(1000);
    assert_eq!(world.submit(&id, r#"{"user_id": 1}"#).await.0, 200);
    let own = json!({"patchOperations": [
        {"op": "replace", "path": "/~1submit/POST/throttling/burstLimit", "value": "1"},
        {"op": "replace", "path": "/~1submit/POST/throttling/rateLimit", "value": "0.5"},
    ]});
    let (status, stage) = world
        .ask("PATCH", &format!("/restapis/{id}/stages/prod"), own)
        .await;
    assert_eq!(status, 200);
    assert_eq!(stage["methodSettings"]["submit/POST"]["throttlingRateLimit"], 0.5);
    assert_eq!(world.submit(&id, r#"{"user_id": 1}"#).await.0, 200);
    assert_eq!(world.submit(&id, r#"{"user_id": 1}"#).await.0, 429);
}

#[tokio::test]
async fn patches_and_descriptions() {
    let world = World::new();
    let (id, resource) = world.rest_api("writer").await;
    let api = format!("/restapis/{id}");
    let patch = |path: &str, value: &str| json!({"patchOperations": [{"op": "replace", "path": path, "value": value}]});
    let (status, value) = world.ask("PATCH", &api, patch("/name", "shop")).await;
    assert_eq!((status, &value["name"]), (200, &json!("shop")));
    let integration = format!("{resource}/methods/POST/integration");
    let template = patch("/requestTemplates/application~1json", "{\"StreamName\": \"b\"}");
    let (status, value) = world.ask("PATCH", &integration, template).await;
    assert_eq!(
        (status, &value["requestTemplates"]["application/json"]),
        (200, &json!("{\"StreamName\": \"b\"}"))
    );
    assert_eq!(
        value["integrationResponses"]["400"]["selectionPattern"], "4\\d{2}",
        "{value}"
    );
    let (status, value) = world
        .ask("PATCH", &integration, patch("/timeoutInMillis", "50"))
        .await;
    assert_eq!((status, &value["timeoutInMillis"]), (200, &json!(50)));
    let (_, value) = world
        .ask("GET", &format!("{api}/resources?embed=methods"), Value::Null)
        .await;
    let items = value["item"].as_array().unwrap();
    let submit = items.iter().find(|item| item["path"] == "/submit").unwrap();
    assert_eq!(submit["resourceMethods"]["POST"]["methodIntegration"]["uri"], URI);
    let (_, page) = world
        .ask("GET", &format!("{api}/resources?limit=1"), Value::Null)
        .await;
    let position = text(&page, "position");
    let (_, rest) = world
        .ask(
            "GET",
            &format!("{api}/resources?position={position}"),
            Value::Null,
        )
        .await;
    assert_eq!(
        (
            page["item"].as_array().unwrap().len(),
            rest["item"].as_array().unwrap().len()
        ),
        (1, 1)
    );
    let arn = format!("arn%3Aaws%3Aapigateway%3Aus-east-1%3A%3A%2Frestapis%2F{id}");
    assert_eq!(
        world
            .ask("PUT", &format!("/tags/{arn}"), json!({"tags": {"a": "b"}}))
            .await
            .0,
        204
    );
    let (_, value) = world.ask("GET", &format!("/tags/{arn}"), Value::Null).await;
    assert_eq!(value["tags"], json!({"a": "b"}));
    let (_, value) = world
        .ask("GET", &format!("{api}/gatewayresponses/THROTTLED"), Value::Null)
        .await;
    assert_eq!(
        (&value["statusCode"], &value["defaultResponse"]),
        (&json!("429"), &json!(true))
    );
    // All of it is there after a restart, and gone after the deletion.
    let world = World::on(world.dir);
    assert_eq!(world.ask("GET", &api, Value::Null).await.1["name"], "shop");
    assert_eq!(world.ask("DELETE", &api, Value::Null).await.0, 202);
    assert_eq!(world.ask("GET", &api, Value::Null).await.0, 404);
}
