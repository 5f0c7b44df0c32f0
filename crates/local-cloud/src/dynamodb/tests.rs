//! DynamoDB through the SDK.

mod requests;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
    PointInTimeRecoverySpecification, Projection, ProjectionType, Put, PutRequest, ReturnValue,
    ReturnValuesOnConditionCheckFailure, ScalarAttributeType, SseSpecification, TableStatus, Tag,
    TimeToLiveSpecification, TransactWriteItem, WriteRequest,
};
use std::collections::HashMap;

use crate::test_support::{ok, refused};
use crate::tests::Running;

type Item = HashMap<String, AttributeValue>;

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn n(text: &str) -> AttributeValue {
    AttributeValue::N(text.to_owned())
}

fn item(fields: &[(&str, AttributeValue)]) -> Item {
    fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}

fn key(name: &str, kind: KeyType) -> KeySchemaElement {
    KeySchemaElement::builder()
        .attribute_name(name)
        .key_type(kind)
        .build()
        .unwrap()
}

fn definition(name: &str, kind: ScalarAttributeType) -> AttributeDefinition {
    AttributeDefinition::builder()
        .attribute_name(name)
        .attribute_type(kind)
        .build()
        .unwrap()
}

/// `readings`: key `sensor`, sort key `at` (a number), index `by-kind` on `kind` and `at`.
async fn readings(running: &Running) -> Client {
    let client = Client::new(&running.sdk);
    let index = GlobalSecondaryIndex::builder()
        .index_name("by-kind")
        .key_schema(key("kind", KeyType::Hash))
        .key_schema(key("at", KeyType::Range))
        .projection(Projection::builder().projection_type(ProjectionType::All).build())
        .build()
        .unwrap();
    ok!(client
        .create_table()
        .table_name("readings")
        .attribute_definitions(definition("sensor", ScalarAttributeType::S))
        .attribute_definitions(definition("at", ScalarAttributeType::N))
        .attribute_definitions(definition("kind", ScalarAttributeType::S))
        .key_schema(key("sensor", KeyType::Hash))
        .key_schema(key("at", KeyType::Range))
        .global_secondary_indexes(index)
        .billing_mode(BillingMode::PayPerRequest)
        .sse_specification(SseSpecification::builder().enabled(true).build())
        .tags(Tag::builder().key("Project").value("shop").build().unwrap()));
    client
}

async fn put(client: &Client, fields: &[(&str, AttributeValue)]) {
    ok!(client
        .put_item()
        .table_name("readings")
        .set_item(Some(item(fields))));
}

fn ats(items: &[Item]) -> Vec<&str> {
    items
        .iter()
        .map(|item| item["at"].as_n().unwrap().as_str())
        .collect()
}

#[tokio::test]
async fn a_table_lives_its_life() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let client = readings(&running).await;
    let described = ok!(client.describe_table().table_name("readings")).table.unwrap();
    assert_eq!(described.table_status(), Some(&TableStatus::Active));
    assert_eq!(
        described.table_arn(),
        Some("arn:aws:dynamodb:eu-west-1:000000000000:table/readings")
    );
    assert_eq!(
        described.global_secondary_indexes()[0].index_name(),
        Some("by-kind")
    );
    let encryption = described.sse_description().unwrap();
    assert!(
        encryption.kms_master_key_arn().unwrap().contains(":key/"),
        "{encryption:?}"
    );

    let again = refused!(
        client
            .create_table()
            .table_name("readings")
            .attribute_definitions(definition("id", ScalarAttributeType::S))
            .key_schema(key("id", KeyType::Hash))
            .billing_mode(BillingMode::PayPerRequest)
    );
    assert_eq!(again.code(), Some("ResourceInUseException"));

    let ttl = TimeToLiveSpecification::builder()
        .enabled(true)
        .attribute_name("ttl")
        .build()
        .unwrap();
    ok!(client
        .update_time_to_live()
        .table_name("readings")
        .time_to_live_specification(ttl));
    let ttl = ok!(client.describe_time_to_live().table_name("readings"));
    assert_eq!(
        ttl.time_to_live_description().unwrap().attribute_name(),
        Some("ttl")
    );
    let recovery = PointInTimeRecoverySpecification::builder()
        .point_in_time_recovery_enabled(true)
        .build()
        .unwrap();
    ok!(client
        .update_continuous_backups()
        .table_name("readings")
        .point_in_time_recovery_specification(recovery));
    let backups = ok!(client.describe_continuous_backups().table_name("readings"));
    let backups = format!("{backups:?}");
    assert!(
        backups.contains("point_in_time_recovery_status: Some(Enabled)"),
        "{backups}"
    );

    let arn = described.table_arn().unwrap();
    let tags = ok!(client.list_tags_of_resource().resource_arn(arn));
    assert_eq!(tags.tags().len(), 1);

    ok!(client
        .update_table()
        .table_name("readings")
        .deletion_protection_enabled(true));
    let refused = refused!(client.delete_table().table_name("readings"));
    assert_eq!(refused.code(), Some("ValidationException"));
    ok!(client
        .update_table()
        .table_name("readings")
        .deletion_protection_enabled(false));
    ok!(client.delete_table().table_name("readings"));
    let gone = refused!(client.describe_table().table_name("readings"));
    assert_eq!(gone.code(), Some("ResourceNotFoundException"));
}

#[tokio::test]
async fn numbers_stay_as_they_were_and_sort_as_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let client = readings(&running).await;
    let times = [
        "-5",
        "0",
        "9",
        "10",
        "1700000000000.12345678901234567889",
        "1700000000000.1234567890123456789",
        "1700000000000.12345678901234567891",
    ];
    let digits = "12345678901234567890123456789012345678";
    for time in times.iter().rev() {
        let fields = [
            ("sensor", s("a")),
            ("at", n(time)),
            ("price", n("29.99")),
            ("exact", n(digits)),
        ];
        put(&client, &fields).await;
    }
    let query = || {
        client
            .query()
            .table_name("readings")
            .key_condition_expression("sensor = :s AND #at > :t")
            .expression_attribute_names("#at", "at")
            .expression_attribute_values(":s", s("a"))
    };
    let all = ok!(query().expression_attribute_values(":t", n("-100")));
    assert_eq!(ats(all.items()), times);
    assert_eq!(all.items()[0]["price"], n("29.99"));
    assert_eq!(all.items()[0]["exact"], n(digits));
    let late = ok!(query().expression_attribute_values(":t", n(times[4])));
    assert_eq!(ats(late.items()), times[5..]);

    // Page by page, backwards.
    let mut seen = Vec::new();
    let mut start = None;
    loop {
        let page = ok!(query()
            .expression_attribute_values(":t", n("-100"))
            .scan_index_forward(false)
            .limit(2)
            .set_exclusive_start_key(start));
        seen.extend(ats(page.items()).into_iter().map(str::to_owned));
        start = page.last_evaluated_key;
        if start.is_none() {
            break;
        }
    }
    seen.reverse();
    assert_eq!(seen, times);
}

#[tokio::test]
async fn conditions_guard_writes() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let client = readings(&running).await;
    let put_if_newer = |version: &str| {
        client
            .put_item()
            .table_name("readings")
            .set_item(Some(item(&[
                ("sensor", s("a")),
                ("at", n("1")),
                ("version", n(version)),
            ])))
            .condition_expression("attribute_not_exists(sensor) OR version < :v")
            .expression_attribute_values(":v", n(version))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
    };
    put_if_newer("1700000000000.12345678901234567890").await.unwrap();
    put_if_newer("1700000000000.12345678901234567891").await.unwrap();
    let refused = put_if_newer("1700000000000.12345678901234567891")
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Some("ConditionalCheckFailedException"));
    let refused = refused.into_service_error();
    let aws_sdk_dynamodb::operation::put_item::PutItemError::ConditionalCheckFailedException(failed) =
        refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!(
        failed.item().unwrap()["version"],
        n("1700000000000.12345678901234567891")
    );
    let reserved = refused!(
        client
            .update_item()
            .table_name("readings")
            .set_key(Some(item(&[("sensor", s("a")), ("at", n("1"))])))
            .update_expression("SET status = :x")
            .expression_attribute_values(":x", s("x"))
    );
    assert!(
        reserved.message().unwrap().contains("reserved keyword: status"),
        "{reserved:?}"
    );
}

#[tokio::test]
async fn updates_compute() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let client = readings(&running).await;
    let update = |expression: &str| {
        client
            .update_item()
            .table_name("readings")
            .set_key(Some(item(&[("sensor", s("a")), ("at", n("1"))])))
            .update_expression(expression)
            .return_values(ReturnValue::AllNew)
    };
    ok!(update(
        "SET amount = if_not_exists(amount, :zero) + :price, readers = :names ADD visits :one, tags :tags",
    )
    .expression_attribute_values(":zero", n("0"))
    .expression_attribute_values(":price", n("29.99"))
    .expression_attribute_values(":names", AttributeValue::L(vec![s("x")]))
    .expression_attribute_values(":one", n("1"))
    .expression_attribute_values(":tags", AttributeValue::Ss(vec!["a".into(), "b".into()])));
    let new = ok!(update(
        "SET amount = amount + :price, readers = list_append(readers, :names) ADD visits :one DELETE tags :tags",
    )
    .expression_attribute_values(":price", n("0.01"))
    .expression_attribute_values(":names", AttributeValue::L(vec![s("y")]))
    .expression_attribute_values(":one", n("1"))
    .expression_attribute_values(":tags", AttributeValue::Ss(vec!["a".into()])))
    .attributes
    .unwrap();
    assert_eq!(new["amount"], n("30"));
    assert_eq!(new["visits"], n("2"));
    assert_eq!(new["readers"], AttributeValue::L(vec![s("x"), s("y")]));
    assert_eq!(new["tags"], AttributeValue::Ss(vec!["b".into()]));
    let key_change = refused!(update("SET sensor = :s").expression_attribute_values(":s", s("b")));
    assert!(
        key_change.message().unwrap().contains("part of the key"),
        "{key_change:?}"
    );
}

#[tokio::test]
async fn batches_transactions_and_indexes() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let client = readings(&running).await;
    let requests: Vec<WriteRequest> = (0..25)
        .map(|i| {
            let kind = if i % 2 == 0 { "even" } else { "odd" };
            let fields = item(&[
                ("sensor", s(&format!("s{}", i % 3))),
                ("at", n(&i.to_string())),
                ("kind", s(kind)),
            ]);
            let put = PutRequest::builder().set_item(Some(fields)).build().unwrap();
            WriteRequest::builder().put_request(put).build()
        })
        .collect();
    let written = ok!(client.batch_write_item().request_items("readings", requests));
    assert!(written.unprocessed_items().is_none_or(HashMap::is_empty));
    let scanned = ok!(client.scan().table_name("readings"));
    assert_eq!(scanned.count(), 25);
    let even = || {
        client
            .query()
            .table_name("readings")
            .index_name("by-kind")
            .key_condition_expression("kind = :k AND #at BETWEEN :low AND :high")
            .expression_attribute_names("#at", "at")
            .expression_attribute_values(":k", s("even"))
            .expression_attribute_values(":low", n("4"))
            .expression_attribute_values(":high", n("10"))
    };
    assert_eq!(ats(ok!(even()).items()), ["4", "6", "8", "10"]);
    let first = ok!(even().limit(2));
    let rest = ok!(even().set_exclusive_start_key(first.last_evaluated_key));
    assert_eq!(ats(rest.items()), ["8", "10"]);

    // An item that changes its index key moves.
    put(
        &client,
        &[("sensor", s("s1")), ("at", n("4")), ("kind", s("odd"))],
    )
    .await;
    assert_eq!(ats(ok!(even()).items()), ["6", "8", "10"]);

    let write = |at: &str, condition: Option<&str>| {
        let put = Put::builder()
            .table_name("readings")
            .set_item(Some(item(&[("sensor", s("t")), ("at", n(at))])))
            .set_condition_expression(condition.map(str::to_owned))
            .build()
            .unwrap();
        TransactWriteItem::builder().put(put).build()
    };
    let refused = refused!(
        client
            .transact_write_items()
            .transact_items(write("1", None))
            .transact_items(write("2", Some("attribute_exists(sensor)")))
    );
    assert_eq!(refused.code(), Some("TransactionCanceledException"));
    assert!(
        refused
            .message()
            .unwrap()
            .contains("[None, ConditionalCheckFailed]"),
        "{refused:?}"
    );
    let none = ok!(client
        .get_item()
        .table_name("readings")
        .set_key(Some(item(&[("sensor", s("t")), ("at", n("1"))]))));
    assert_eq!(none.item(), None, "all or nothing");
}

#[tokio::test]
async fn what_was_written_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let client = readings(&running).await;
    put(&client, &[("sensor", s("a")), ("at", n("1")), ("kind", s("k"))]).await;
    drop(running);
    let running = Running::on(dir.path()).await;
    let client = Client::new(&running.sdk);
    let found = ok!(client.scan().table_name("readings").index_name("by-kind"));
    assert_eq!(ats(found.items()), ["1"]);
    let tables = ok!(client.list_tables());
    assert_eq!(tables.table_names(), ["readings"]);
}

#[tokio::test]
async fn what_has_expired_goes() {
    use crate::clock::ManualClock;
    use crate::dynamodb::DynamoDb;
    use crate::service::Service;
    let dir = tempfile::tempdir().unwrap();
    let clock = std::sync::Arc::new(ManualClock::new(1_000_000));
    let metrics = std::sync::Arc::new(crate::metrics::NoMetrics);
    let dynamodb = DynamoDb::new(dir.path(), clock.clone(), metrics, Box::new(|_, _| None));
    let call = |operation: &str, input: serde_json::Value| {
        let caller = crate::Caller::default();
        let response = dynamodb.answer(&caller, operation, input.to_string().as_bytes());
        assert_eq!(response.status(), 200, "{operation}");
        let body =
            futures_util::FutureExt::now_or_never(http_body_util::BodyExt::collect(response.into_body()));
        serde_json::from_slice::<serde_json::Value>(&body.unwrap().unwrap().to_bytes()).unwrap()
    };
    use serde_json::json;
    call(
        "CreateTable",
        json!({"TableName": "table", "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}]}),
    );
    let expiry = json!({"Enabled": true, "AttributeName": "ttl"});
    call(
        "UpdateTimeToLive",
        json!({"TableName": "table", "TimeToLiveSpecification": expiry}),
    );
    for (id, ttl) in [("soon", "1100"), ("later", "9999")] {
        let item = json!({"id": {"S": id}, "ttl": {"N": ttl}});
        call("PutItem", json!({"TableName": "table", "Item": item}));
    }
    dynamodb.tick();
    assert_eq!(call("Scan", json!({"TableName": "table"}))["Count"], 2);
    clock.advance(200_000);
    dynamodb.tick();
    let left = call("Scan", json!({"TableName": "table"}));
    assert_eq!(
        left["Items"],
        json!([{"id": {"S": "later"}, "ttl": {"N": "9999"}}])
    );
}
