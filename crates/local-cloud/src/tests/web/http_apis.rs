//! HTTP APIs.

use super::*;

#[tokio::test]
async fn a_submission_reaches_its_function() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let arn = running.function("cart", "").await;
    let quick = json!({
        "name": "cart", "protocolType": "HTTP", "target": arn, "routeKey": "POST /submit",
        "corsConfiguration": {"allowOrigins": ["*"], "allowMethods": ["POST"], "allowHeaders": ["content-type"]},
    });
    let api = running.api_gateway("POST", "/v2/apis", quick).await.json();
    let id = api["apiId"].as_str().unwrap();
    let path = format!("/_execute-api/{id}/submit");
    let submit = || {
        Sent::post(path.clone(), b"{\"user_id\":1}")
            .with("Content-Type: application/json\r\nOrigin: https://page.example\r\n")
    };
    let refused = running.send(submit()).await;
    assert_eq!(
        (refused.status, refused.body.as_str()),
        (500, r#"{"message":"Internal Server Error"}"#),
        "the function has no permission for the API"
    );
    ok!(running
        .lambda()
        .add_permission()
        .function_name("cart")
        .statement_id("api")
        .action("lambda:InvokeFunction")
        .principal("apigateway.amazonaws.com")
        .source_arn(format!(
            "arn:aws:execute-api:eu-west-1:000000000000:{id}/*/*/submit"
        )));
    let seen = running.send(submit()).await;
    assert_eq!(seen.status, 200, "{}", seen.body);
    assert_eq!(seen.header("access-control-allow-origin"), "*");
    assert_eq!(seen.json()["body"], "{\"user_id\":1}");
    assert_eq!(seen.json()["requestContext"]["routeKey"], "POST /submit");
    let asked = "Origin: https://page.example\r\nAccess-Control-Request-Method: POST\r\n";
    let preflight = running
        .send(Sent::get(path.clone()).by("OPTIONS").with(asked))
        .await;
    assert_eq!(
        (preflight.status, preflight.header("access-control-allow-headers")),
        (204, "content-type")
    );
    let host = format!("{id}.execute-api.eu-west-1.localhost");
    let seen = running.send_to(&host, Sent::post("/submit", b"x")).await;
    assert_eq!(seen.json()["isBase64Encoded"], true);
    let other = running.send_to(&host, Sent::post("/other", b"")).await;
    assert_eq!(
        (other.status, other.body.as_str()),
        (404, r#"{"message":"Not Found"}"#)
    );
    // The control plane is no place for pages.
    let page = running
        .send(Sent::get("/v2/apis").with("Origin: https://page.example\r\n"))
        .await;
    assert_eq!(page.status, 403);
    let unsigned = running.send(Sent::get("/v2/apis")).await;
    assert_eq!(unsigned.status, 403);
}

#[tokio::test]
async fn the_control_plane_needs_permissions() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let iam = running.iam();
    ok!(iam.create_user().user_name("eve"));
    let key = ok!(iam.create_access_key().user_name("eve")).access_key.unwrap();
    let signed = format!(
        "Authorization: AWS4-HMAC-SHA256 Credential={}/20260101/eu-west-1/apigateway/aws4_request\r\n",
        key.access_key_id
    );
    let list = || running.send(Sent::get("/v2/apis").with(&signed));
    let denied = list().await;
    assert_eq!(denied.status, 403);
    assert!(
        denied
            .body
            .contains("apigateway:GET on resource: arn:aws:apigateway:eu-west-1::/apis"),
        "{}",
        denied.body
    );
    let policy = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "apigateway:GET", "Resource": "arn:aws:apigateway:eu-west-1::/apis",
    }]});
    ok!(iam
        .put_user_policy()
        .user_name("eve")
        .policy_name("read")
        .policy_document(policy.to_string()));
    assert_eq!(list().await.status, 200);
}
