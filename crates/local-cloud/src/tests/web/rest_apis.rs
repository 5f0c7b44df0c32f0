//! REST APIs that put records into a stream, over HTTP.

use super::*;

const ROLE: &str = "arn:aws:iam::000000000000:role/cart-api";

impl Running {
    /// A call to the control plane that has to succeed.
    async fn rest(&self, method: &str, path: &str, input: Value) -> Value {
        let seen = self.api_gateway(method, path, input).await;
        assert!(
            seen.status < 300,
            "{method} {path}: {} {}",
            seen.status,
            seen.body
        );
        serde_json::from_str(&seen.body).unwrap_or_default()
    }

    /// An API with `POST /submit` that puts the body into the stream `carts`, with the request id as partition key. Returns its
    /// id.
    async fn submit_api(&self) -> String {
        let api = self.rest("POST", "/restapis", json!({"name": "cart"})).await;
        let id = api["id"].as_str().unwrap().to_owned();
        let root = api["rootResourceId"].as_str().unwrap();
        let path = format!("/restapis/{id}/resources");
        let resource = self
            .rest("POST", &format!("{path}/{root}"), json!({"pathPart": "submit"}))
            .await;
        let method = format!("{path}/{}/methods/POST", resource["id"].as_str().unwrap());
        self.rest("PUT", &method, json!({"authorizationType": "NONE"}))
            .await;
        let template = "#set($record = \"$input.json('$')\n\")\n{\"StreamName\": \"carts\", \"PartitionKey\": \
            \"$context.requestId\", \"Data\": \"$util.base64Encode($record)\"}";
        let integration = json!({
            "type": "AWS", "httpMethod": "POST", "credentials": ROLE,
            "uri": "arn:aws:apigateway:eu-west-1:kinesis:action/PutRecord",
            "requestTemplates": {"application/json": template},
            "requestParameters": {"integration.request.header.Content-Type": "'application/x-amz-json-1.1'"},
        });
        for status in ["200", "400"] {
            self.rest("PUT", &format!("{method}/responses/{status}"), json!({}))
                .await;
        }
        self.rest("PUT", &format!("{method}/integration"), integration)
            .await;
        for (status, pattern) in [("200", ""), ("400", "4\\d{2}")] {
            let response = json!({"selectionPattern": pattern});
            self.rest(
                "PUT",
                &format!("{method}/integration/responses/{status}"),
                response,
            )
            .await;
        }
        let deployment = json!({"stageName": "prod"});
        self.rest("POST", &format!("/restapis/{id}/deployments"), deployment)
            .await;
        id
    }

    async fn role(&self, service: &str) {
        let trust = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"},
        ]});
        let iam = self.iam();
        let _ = iam.delete_role().role_name("cart-api").send().await;
        ok!(iam
            .create_role()
            .role_name("cart-api")
            .assume_role_policy_document(trust.to_string()));
    }
}

#[tokio::test]
async fn a_submission_becomes_a_record() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let id = running.submit_api().await;
    let path = format!("/_execute-api/{id}/prod/submit");
    let body = b"{\"user_id\": 123456789012345678901}";
    let submit = || Sent::post(path.clone(), body).with("Content-Type: application/json\r\n");
    let failed = "{\"message\":\"Internal server error\"}";
    // There is no role, and then one that only Lambda may assume.
    for service in ["", "lambda.amazonaws.com"] {
        if !service.is_empty() {
            running.role(service).await;
        }
        let seen = running.send(submit()).await;
        assert_eq!((seen.status, seen.body.as_str()), (500, failed), "{service}");
    }
    running.role("apigateway.amazonaws.com").await;
    // The role may do nothing.
    let seen = running.send(submit()).await;
    assert_eq!(
        (seen.status, &seen.json()["__type"]),
        (400, &json!("AccessDeniedException"))
    );
    let message = "User: arn:aws:sts::000000000000:assumed-role/cart-api/BackplaneAssumeRoleSession is not authorized to \
        perform: kinesis:PutRecord on resource: arn:aws:kinesis:eu-west-1:000000000000:stream/carts";
    assert!(seen.body.contains(message), "{}", seen.body);
    let policy = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "kinesis:PutRecord", "Resource": "arn:aws:kinesis:eu-west-1:000000000000:stream/carts",
    }]});
    ok!(running
        .iam()
        .put_role_policy()
        .role_name("cart-api")
        .policy_name("put")
        .policy_document(policy.to_string()));
    // There is no stream.
    let seen = running.send(submit()).await;
    assert_eq!(
        (seen.status, &seen.json()["__type"]),
        (400, &json!("ResourceNotFoundException"))
    );
    let kinesis = aws_sdk_kinesis::Client::new(&running.sdk);
    ok!(kinesis.create_stream().stream_name("carts").shard_count(1));
    let seen = loop {
        let seen = running.send(submit()).await;
        if seen.status == 200 {
            break seen;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    };
    assert_eq!(seen.json()["ShardId"], "shardId-000000000000");
    let iterator = ok!(kinesis
        .get_shard_iterator()
        .stream_name("carts")
        .shard_id("shardId-000000000000")
        .shard_iterator_type(aws_sdk_kinesis::types::ShardIteratorType::TrimHorizon))
    .shard_iterator
    .unwrap();
    let records = ok!(kinesis.get_records().shard_iterator(iterator)).records;
    assert_eq!(records.len(), 1, "what failed has put nothing");
    assert_eq!(
        records[0].data().as_ref(),
        b"{\"user_id\":123456789012345678901}\n"
    );
    assert_eq!(records[0].partition_key(), Some(seen.header("x-amzn-requestid")));
    // The form with a host of its own, and what is no route.
    let host = format!("{id}.execute-api.eu-west-1.localhost");
    let json = "Content-Type: application/json\r\n";
    let seen = running
        .send_to(&host, Sent::post("/prod/submit", b"{}").with(json))
        .await;
    assert_eq!(seen.status, 200, "{}", seen.body);
    for (path, message) in [
        ("/prod/other", "Missing Authentication Token"),
        ("/submit", "Forbidden"),
    ] {
        let seen = running.send_to(&host, Sent::post(path, b"{}").with(json)).await;
        assert_eq!(
            (seen.status, seen.body),
            (403, format!("{{\"message\":\"{message}\"}}")),
            "{path}"
        );
    }
    let bad = running.send(Sent::post(path, b"{").with(json)).await;
    assert_eq!(bad.status, 400, "{}", bad.body);
}
