use std::sync::Arc;

use serde_json::json;

use super::super::DynamoDb;
use super::*;
use crate::clock::ManualClock;
use crate::service::Service;
use crate::test_support::Metrics;

#[test]
fn units_latency_and_errors_by_table_and_operation() {
    let dir = tempfile::tempdir().unwrap();
    let metrics = Arc::new(Metrics::default());
    let clock = Arc::new(ManualClock::new(1_000_000));
    let dynamodb = DynamoDb::new(
        dir.path(),
        clock,
        Arc::clone(&metrics) as _,
        Box::new(|_, _| None),
    );
    let caller = Caller::default();
    let call = |operation: &str, input: Value| dynamodb.run(&caller, operation, input.to_string().as_bytes());
    let table = json!({
        "TableName": "events",
        "AttributeDefinitions": [
            {"AttributeName": "id", "AttributeType": "S"}, {"AttributeName": "kind", "AttributeType": "S"},
        ],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "ProvisionedThroughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 6},
        "GlobalSecondaryIndexes": [{
            "IndexName": "by-kind", "KeySchema": [{"AttributeName": "kind", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
            "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 2},
        }],
    });
    call("CreateTable", table).unwrap();
    let text = "x".repeat(2500);
    let item = |id: &str| json!({"id": {"S": id}, "kind": {"S": "k"}, "text": {"S": text}});
    call("PutItem", json!({"TableName": "events", "Item": item("a")})).unwrap();
    let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/events";
    call(
        "BatchWriteItem",
        json!({"RequestItems": {arn: [{"PutRequest": {"Item": item("b")}}]}}),
    )
    .unwrap();
    let action = json!({"Put": {"TableName": "events", "Item": item("c")}});
    call("TransactWriteItems", json!({"TransactItems": [action]})).unwrap();
    call(
        "GetItem",
        json!({"TableName": "events", "Key": {"id": {"S": "a"}}}),
    )
    .unwrap();
    let query = json!({
        "TableName": "events", "IndexName": "by-kind", "KeyConditionExpression": "kind = :k",
        "ExpressionAttributeValues": {":k": {"S": "k"}},
    });
    call("Query", query).unwrap();
    let guarded = json!({"TableName": "events", "Item": item("a"), "Expected": {"id": {"Exists": false}}});
    call("PutItem", guarded).unwrap_err();
    call("PutItem", json!({"TableName": "none", "Item": item("a")})).unwrap_err();
    dynamodb.tick();

    let kept = std::mem::take(&mut *metrics.0.lock().unwrap());
    let lines: Vec<String> = kept
        .iter()
        .map(|metric| {
            assert_eq!(metric.namespace, NAMESPACE);
            let value = match metric.name.as_str() {
                "SuccessfulRequestLatency" => "some".to_owned(),
                _ => metric.sample.sum.to_string(),
            };
            format!("{} [{}] {value} {}", metric.name, metric.dimensions, metric.unit)
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    ConsumedWriteCapacityUnits [TableName=events] 3 Count
    SuccessfulRequestLatency [TableName=events,Operation=PutItem] some Milliseconds
    ConsumedWriteCapacityUnits [TableName=events] 3 Count
    SuccessfulRequestLatency [TableName=events,Operation=BatchWriteItem] some Milliseconds
    ConsumedWriteCapacityUnits [TableName=events] 6 Count
    SuccessfulRequestLatency [TableName=events,Operation=TransactWriteItems] some Milliseconds
    ConsumedReadCapacityUnits [TableName=events] 0.5 Count
    SuccessfulRequestLatency [TableName=events,Operation=GetItem] some Milliseconds
    ConsumedReadCapacityUnits [TableName=events,GlobalSecondaryIndexName=by-kind] 1 Count
    SuccessfulRequestLatency [TableName=events,Operation=Query] some Milliseconds
    ReturnedItemCount [TableName=events,Operation=Query] 3 Count
    ConditionalCheckFailedRequests [TableName=events] 1 Count
    UserErrors [] 1 Count
    ProvisionedReadCapacityUnits [TableName=events] 5 Count
    ProvisionedWriteCapacityUnits [TableName=events] 6 Count
    ProvisionedReadCapacityUnits [TableName=events,GlobalSecondaryIndexName=by-kind] 1 Count
    ProvisionedWriteCapacityUnits [TableName=events,GlobalSecondaryIndexName=by-kind] 2 Count
    ");
}
