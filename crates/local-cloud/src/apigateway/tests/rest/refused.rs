//! What is refused.

use super::*;

#[tokio::test]
async fn invalid_input_and_what_is_not_offered_is_refused() {
    let world = World::new();
    let (id, resource) = world.rest_api("writer").await;
    let api = format!("/restapis/{id}");
    let method = format!("{resource}/methods/POST");
    let with = |name: &str, value: Value| {
        let mut integration = integration("writer");
        integration[name] = value;
        integration
    };
    let put = format!("{method}/integration");
    for (verb, path, body, status, part) in [
        ("POST", "/restapis".to_owned(), json!({}), 400, "name"),
        (
            "POST",
            "/restapis".to_owned(),
            json!({"name": "a", "policy": "{}"}),
            400,
            "the member policy",
        ),
        (
            "POST",
            "/restapis".to_owned(),
            json!({"name": "a", "endpointConfiguration": {"types": ["PRIVATE"]}}),
            400,
            "PRIVATE",
        ),
        (
            "GET",
            "/restapis/none".to_owned(),
            Value::Null,
            404,
            "Invalid API identifier",
        ),
        (
            "POST",
            resource.clone(),
            json!({"pathPart": "a b"}),
            400,
            "path part",
        ),
        (
            "PUT",
            method.clone(),
            json!({"authorizationType": "NONE"}),
            409,
            "already exists",
        ),
        (
            "PUT",
            format!("{resource}/methods/GET"),
            json!({"authorizationType": "AWS_IAM"}),
            400,
            "AWS_IAM",
        ),
        (
            "PUT",
            format!("{resource}/methods/GET"),
            json!({"authorizationType": "NONE", "requestValidatorId": "a"}),
            400,
            "requestValidatorId",
        ),
        (
            "PUT",
            format!("{resource}/methods/FETCH"),
            json!({"authorizationType": "NONE"}),
            400,
            "HTTP method",
        ),
        (
            "PUT",
            put.clone(),
            with("type", json!("AWS_PROXY")),
            400,
            "AWS_PROXY",
        ),
        (
            "PUT",
            put.clone(),
            with("type", json!("OTHER")),
            400,
            "Enumeration",
        ),
        (
            "PUT",
            put.clone(),
            with(
                "uri",
                json!("arn:aws:apigateway:us-east-1:kinesis:action/GetRecords"),
            ),
            400,
            "integration URI",
        ),
        (
            "PUT",
            put.clone(),
            with(
                "uri",
                json!("arn:aws:apigateway:eu-west-1:kinesis:action/PutRecord"),
            ),
            400,
            "another region",
        ),
        (
            "PUT",
            put.clone(),
            with("httpMethod", json!("GET")),
            400,
            "must be POST",
        ),
        (
            "PUT",
            put.clone(),
            with("credentials", Value::Null),
            400,
            "Role ARN",
        ),
        (
            "PUT",
            put.clone(),
            with("timeoutInMillis", json!(29_001)),
            400,
            "Timeout",
        ),
        (
            "PUT",
            put.clone(),
            with("passthroughBehavior", json!("SOMETIMES")),
            400,
            "passthrough",
        ),
        (
            "PUT",
            put.clone(),
            with("contentHandling", json!("CONVERT_TO_TEXT")),
            400,
            "contentHandling",
        ),
        (
            "PUT",
            put.clone(),
            with("requestTemplates", json!({"a/b": "x\n#if(1)"})),
            400,
            "a/b: line 2, column 1",
        ),
        (
            "PUT",
            put.clone(),
            with(
                "requestParameters",
                json!({"integration.request.header.X": "'a'"}),
            ),
            400,
            "header.X",
        ),
        (
            "PUT",
            put.clone(),
            with(
                "requestParameters",
                json!({"integration.request.header.Content-Type": "method.request.header.A"}),
            ),
            400,
            "header.A",
        ),
        (
            "PUT",
            format!("{put}/responses/418"),
            json!({}),
            400,
            "No method response",
        ),
        (
            "PUT",
            format!("{put}/responses/200"),
            json!({"selectionPattern": "("}),
            400,
            "selection pattern",
        ),
        (
            "PUT",
            format!("{put}/responses/200"),
            json!({"responseParameters": {"method.response.header.X": "'a'"}}),
            400,
            "header.X",
        ),
        (
            "PUT",
            format!("{method}/responses/abc"),
            json!({}),
            400,
            "status code",
        ),
        (
            "PUT",
            format!("{api}/gatewayresponses/OTHER"),
            json!({}),
            400,
            "response type",
        ),
        (
            "PUT",
            format!("{api}/gatewayresponses/THROTTLED"),
            json!({"responseParameters": {"gatewayresponse.header.A b": "'a'"}}),
            400,
            "A b",
        ),
        (
            "POST",
            format!("{api}/stages"),
            json!({"stageName": "prod", "deploymentId": "a"}),
            409,
            "already exists",
        ),
        (
            "POST",
            format!("{api}/stages"),
            json!({"stageName": "b", "deploymentId": "a"}),
            400,
            "Deployment id",
        ),
        (
            "POST",
            format!("{api}/stages"),
            json!({"stageName": "b", "canarySettings": {}}),
            400,
            "canarySettings",
        ),
        (
            "PATCH",
            format!("{api}/stages/prod"),
            json!({"patchOperations": [{"op": "replace", "path": "/accessLogSettings/format", "value": "a"}]}),
            400,
            "accessLogSettings",
        ),
        (
            "PATCH",
            put.clone(),
            json!({"patchOperations": [{"op": "copy", "path": "/uri", "value": "a"}]}),
            400,
            "copy of /uri",
        ),
        ("GET", format!("{api}/models"), Value::Null, 400, "does not offer"),
        (
            "POST",
            "/restapis".to_owned(),
            json!([]),
            400,
            "could not be read",
        ),
    ] {
        let (got, value) = world.ask(verb, &path, body.clone()).await;
        assert_eq!(got, status, "{verb} {path} {body}: {value}");
        assert!(
            text(&value, "message").contains(part),
            "{verb} {path} {body}: {value}"
        );
    }
    assert_eq!(
        world.submit(&id, r#"{"user_id": 1}"#).await.0,
        200,
        "nothing was changed"
    );
}
