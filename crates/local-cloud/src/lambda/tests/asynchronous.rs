//! Asynchronous invocations: retries and destinations.

use serde_json::{Value, json};

use super::world::World;

const QUEUE: &str = "arn:aws:sqs:us-east-1:000000000000:failed";
const TOPIC: &str = "arn:aws:sns:us-east-1:000000000000:done";

async fn event(world: &World, name: &str, payload: Value) {
    let path = format!("/2015-03-31/functions/{name}/invocations");
    let headers = [("x-amz-invocation-type", "Event")];
    let response = world.raw("POST", &path, &headers, payload.to_string()).await;
    assert_eq!((response.status().as_u16(), response.body().len()), (202, 0));
}

async fn configure(world: &World, name: &str, config: Value) {
    let path = format!("/2019-09-25/functions/{name}/event-invoke-config");
    let (status, kind, body) = world.ask("PUT", &path, config).await;
    assert_eq!(status, 200, "{kind} {body}");
}

fn destinations() -> Value {
    json!({"OnSuccess": {"Destination": TOPIC}, "OnFailure": {"Destination": QUEUE}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_event_is_tried_three_times_and_sent_to_the_destination() {
    let world = World::new();
    let more = json!({"DeadLetterConfig": {"TargetArn": "arn:aws:sqs:us-east-1:000000000000:dead"}});
    world.function("f", more).await;
    configure(&world, "f", json!({"DestinationConfig": destinations()})).await;
    event(&world, "f", json!({"do": "throw ApiError it broke"})).await;
    world
        .until("deliveries", |kept| {
            kept.inbox.messages.lock().unwrap().len() == 2
        })
        .await;
    assert!(world.kept.has_metric("AWS/Lambda/Errors[FunctionName=f]=1"));
    let delivered = world.kept.inbox.messages.lock().unwrap();
    let (target, record, _) = &delivered[0];
    assert_eq!(target, QUEUE);
    let mut record = record.clone();
    assert!(record["timestamp"].as_str().unwrap().ends_with('Z'));
    record["timestamp"] = json!("T");
    record["requestContext"]["requestId"] = json!("ID");
    assert_eq!(
        record,
        json!({
            "version": "1.0",
            "timestamp": "T",
            "requestContext": {
                "requestId": "ID",
                "functionArn": "arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST",
                "condition": "RetriesExhausted",
                "approximateInvokeCount": 3,
            },
            "requestPayload": {"do": "throw ApiError it broke"},
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
            "responsePayload": {"errorType": "ApiError", "errorMessage": "it broke"},
        })
    );
    let (target, body, attributes) = &delivered[1];
    assert!(target.ends_with(":dead"));
    assert_eq!(body, &json!({"do": "throw ApiError it broke"}));
    assert_eq!(attributes["ErrorMessage"], "it broke");
    assert_eq!(attributes["ErrorCode"], "200");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_services_invoke_in_the_background() {
    use crate::invoke::Invoke;
    let world = World::new();
    let arn = world.function("f", json!({})).await;
    configure(&world, "f", json!({"DestinationConfig": destinations()})).await;
    let event = json!({"Records": [{"EventSource": "aws:sns"}], "do": "return 5"});
    world.lambda.invoke_async(&arn, event.to_string().into()).unwrap();
    world
        .until("the destination", |kept| {
            kept.inbox.messages.lock().unwrap().len() == 1
        })
        .await;
    let (target, record, _) = world.kept.inbox.messages.lock().unwrap().remove(0);
    assert_eq!(target, TOPIC);
    assert_eq!(record["requestPayload"], event);
    let gone = world
        .lambda
        .invoke_async(&arn.replace(":function:f", ":function:gone"), "{}".into());
    assert_eq!(gone.unwrap_err().code, "ResourceNotFoundException");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_succeeds_is_a_success() {
    let world = World::new();
    let journal = world.dir.path().join("journal");
    let variables = json!({"SCRIPT": "first 2 throw ApiError m; return 5", "JOURNAL": journal});
    world
        .function("f", json!({"Environment": {"Variables": variables}}))
        .await;
    configure(&world, "f", json!({"DestinationConfig": destinations()})).await;
    event(&world, "f", json!({"n": 1})).await;
    world
        .until("a delivery", |kept| {
            !kept.inbox.messages.lock().unwrap().is_empty()
        })
        .await;
    let delivered = world.kept.inbox.messages.lock().unwrap();
    assert_eq!(delivered[0].0, TOPIC);
    assert_eq!(delivered[0].1["requestContext"]["condition"], "Success");
    assert_eq!(delivered[0].1["requestContext"]["approximateInvokeCount"], 3);
    assert_eq!(delivered[0].1["responsePayload"], 5);
    assert_eq!(std::fs::read_to_string(&journal).unwrap().lines().count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_can_be_disabled_and_destinations_can_be_buckets_or_functions() {
    let world = World::new();
    let journal = world.dir.path().join("journal");
    world.function("f", json!({})).await;
    let variables = json!({"JOURNAL": journal, "SCRIPT": "return 1"});
    let other = world
        .function("other", json!({"Environment": {"Variables": variables}}))
        .await;
    let config = json!({
        "MaximumRetryAttempts": 0,
        "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:s3:::bucket"}, "OnSuccess": {"Destination": other}},
    });
    configure(&world, "f", config).await;
    event(&world, "f", json!({"do": "throw ApiError m"})).await;
    world
        .until("the object", |kept| {
            !kept.inbox.messages.lock().unwrap().is_empty()
        })
        .await;
    {
        let delivered = world.kept.inbox.messages.lock().unwrap();
        assert!(
            delivered[0].0.starts_with("bucket/aws/lambda/async/f/"),
            "{}",
            delivered[0].0
        );
        assert_eq!(delivered[0].1["requestContext"]["approximateInvokeCount"], 1);
    }
    event(&world, "f", json!({"do": "return 7"})).await;
    world.until("the other function", |_| journal.exists()).await;
    let record: Value = serde_json::from_str(&std::fs::read_to_string(&journal).unwrap()).unwrap();
    assert_eq!(record["responsePayload"], 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn zero_reserved_concurrency_sends_events_to_the_destination() {
    let world = World::new();
    world.function("f", json!({})).await;
    configure(&world, "f", json!({"DestinationConfig": destinations()})).await;
    let put = json!({"ReservedConcurrentExecutions": 0});
    world.ask("PUT", "/2017-10-31/functions/f/concurrency", put).await;
    event(&world, "f", json!({})).await;
    world
        .until("a delivery", |kept| {
            !kept.inbox.messages.lock().unwrap().is_empty()
        })
        .await;
    let delivered = world.kept.inbox.messages.lock().unwrap();
    assert_eq!(
        delivered[0].1["requestContext"]["condition"],
        "ZeroReservedConcurrency"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn events_have_a_smaller_limit_and_must_be_json() {
    let world = World::new();
    world.function("f", json!({})).await;
    let path = "/2015-03-31/functions/f/invocations";
    let headers = [("x-amz-invocation-type", "Event")];
    let large = format!("\"{}\"", "p".repeat(1024 * 1024));
    let response = world.raw("POST", path, &headers, large).await;
    assert_eq!(response.status(), 413);
    assert_eq!(response.headers()["x-amzn-errortype"], "RequestTooLargeException");
    let response = world.raw("POST", path, &headers, "{").await;
    assert_eq!(
        response.headers()["x-amzn-errortype"],
        "InvalidRequestContentException"
    );
    let response = world
        .raw("POST", path, &[("x-amz-invocation-type", "DryRun")], "")
        .await;
    assert_eq!(response.status(), 204);
    let response = world
        .raw("POST", "/2014-11-13/functions/f/invoke-async", &[], "{}")
        .await;
    assert_eq!(
        (response.status().as_u16(), response.body().as_ref()),
        (202, &br#"{"Status":202}"#[..])
    );
}
