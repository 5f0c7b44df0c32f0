//! Failure handling: the batches, their order and number, and the messages to the destination.

use serde_json::{Value, json};

use super::world::{Call, Reply, World, queue, success};
use crate::test_support::Delivered;

const REPORTS: &str = "ReportBatchItemFailures";

fn fail_poison(call: &Call) -> Reply {
    if call.data().contains(&"bad") {
        Reply::Throw
    } else {
        success()
    }
}

/// First and last record of each discarded batch, by the order of the puts.
fn ranges(messages: &[Delivered], numbers: &[String]) -> Vec<(usize, usize)> {
    let index_of = |number: &Value| {
        numbers
            .iter()
            .position(|n| n == number.as_str().unwrap())
            .unwrap()
    };
    let batch = |message: &Value| {
        let info = &message["KinesisBatchInfo"];
        (
            index_of(&info["startSequenceNumber"]),
            index_of(&info["endSequenceNumber"]),
        )
    };
    messages.iter().map(|(_, message, _)| batch(message)).collect()
}

async fn put(world: &World, all: &[&str]) -> Vec<String> {
    world.update(json!({"Enabled": false})).await;
    world.sleep(20).await;
    let numbers = all.iter().map(|data| world.put("k", data)).collect();
    world.update(json!({"Enabled": true})).await;
    numbers
}

#[tokio::test(start_paused = true)]
async fn a_failed_batch_is_retried_until_the_maximum_attempts() {
    let world = World::new(
        json!({"MaximumRetryAttempts": 2, "DestinationConfig": queue()}),
        fail_poison,
    )
    .await;
    let numbers = put(&world, &["a", "bad", "c"]).await;
    let messages = world.messages(1).await;
    assert_eq!(world.texts(), ["a bad c", "a bad c", "a bad c"]);
    let times = world.times();
    assert_eq!([times[1] - times[0], times[2] - times[1]], [100, 200]);
    assert_eq!(ranges(&messages, &numbers), [(0, 2)]);
    world.put("k", "d");
    assert_eq!(world.calls(4).await[3].text(), "d");
    assert_eq!(world.get().await["LastProcessingResult"], "OK");
}

#[tokio::test(start_paused = true)]
async fn the_destination_receives_the_message_of_aws() {
    let world = World::new(
        json!({"MaximumRetryAttempts": 0, "DestinationConfig": queue()}),
        fail_poison,
    )
    .await;
    let numbers = put(&world, &["bad", "b"]).await;
    let (to, message, _) = world.messages(1).await.remove(0);
    assert_eq!(to, "arn:aws:sqs:us-east-1:000000000000:dead");
    let text = serde_json::to_string_pretty(&message).unwrap();
    let text = text
        .replace(&numbers[0], "<first>")
        .replace(&numbers[1], "<last>");
    insta::assert_snapshot!(text, @r#"
    {
      "requestContext": {
        "requestId": "8f507cfc-xmpl-4697-b07a-ac58fc914c95",
        "functionArn": "arn:aws:lambda:us-east-1:000000000000:function:work",
        "condition": "RetryAttemptsExhausted",
        "approximateInvokeCount": 1
      },
      "responseContext": {
        "statusCode": 200,
        "executedVersion": "7",
        "functionError": "Unhandled"
      },
      "version": "1.0",
      "timestamp": "2026-01-01T00:00:00.020Z",
      "KinesisBatchInfo": {
        "shardId": "shardId-000000000000",
        "startSequenceNumber": "<first>",
        "endSequenceNumber": "<last>",
        "approximateArrivalOfFirstRecord": "2026-01-01T00:00:00.020Z",
        "approximateArrivalOfLastRecord": "2026-01-01T00:00:00.020Z",
        "batchSize": 2,
        "streamArn": "arn:aws:kinesis:us-east-1:000000000000:stream/orders"
      }
    }
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_bucket_also_receives_the_event() {
    let bucket = json!({"OnFailure": {"Destination": "arn:aws:s3:::lost"}});
    let world = World::new(
        json!({"MaximumRetryAttempts": 0, "DestinationConfig": bucket}),
        fail_poison,
    )
    .await;
    put(&world, &["bad"]).await;
    let (to, message, _) = world.messages(1).await.remove(0);
    let (to, key) = to.split_once('/').unwrap();
    assert_eq!(to, "lost");
    let prefix = format!(
        "aws/lambda/{}/shardId-000000000000/2026/01/01/2026-01-01T00.00.00-",
        world.uuid
    );
    assert_eq!(key.strip_prefix(&prefix).map(str::len), Some(36), "{key}");
    let event: Value = serde_json::from_str(message["payload"].as_str().unwrap()).unwrap();
    assert_eq!(event, world.calls(1).await[0].event);
}

#[tokio::test(start_paused = true)]
async fn a_failing_destination_does_not_block_the_shard() {
    let world = World::new(
        json!({"MaximumRetryAttempts": 0, "DestinationConfig": queue()}),
        fail_poison,
    )
    .await;
    *world.inbox.refuses.lock().unwrap() = true;
    put(&world, &["bad"]).await;
    world.calls(1).await;
    world.put("k", "next");
    assert_eq!(world.calls(2).await[1].text(), "next");
    assert_eq!(*world.inbox.tries.lock().unwrap(), 3);
    assert_eq!(world.metric("DestinationDeliveryFailures").0, 1.0);
}

#[tokio::test(start_paused = true)]
async fn without_a_destination_a_batch_is_dropped() {
    let world = World::new(json!({"MaximumRetryAttempts": 0}), fail_poison).await;
    put(&world, &["bad"]).await;
    world.calls(1).await;
    assert_eq!(
        world.get().await["LastProcessingResult"],
        "PROBLEM: Function call failed"
    );
    world.put("k", "next");
    assert_eq!(world.calls(2).await[1].text(), "next");
}

#[tokio::test(start_paused = true)]
async fn bisection_isolates_the_failing_record_and_splitting_is_no_attempt() {
    let settings =
        json!({"MaximumRetryAttempts": 1, "BisectBatchOnFunctionError": true, "DestinationConfig": queue()});
    let world = World::new(settings, fail_poison).await;
    let numbers = put(&world, &["a", "b", "bad", "d", "e"]).await;
    let messages = world.messages(1).await;
    world
        .until("the rest", |world| {
            world.texts().last().is_some_and(|last| last == "d e")
        })
        .await;
    assert_eq!(
        world.texts(),
        ["a b bad d e", "a b", "bad d e", "bad", "bad", "d e"]
    );
    assert_eq!(ranges(&messages, &numbers), [(2, 2)]);
    assert_eq!(messages[0].1["requestContext"]["approximateInvokeCount"], 4);
}

#[tokio::test(start_paused = true)]
async fn a_partial_failure_is_retried_from_the_lowest_failed_record() {
    let settings =
        json!({"MaximumRetryAttempts": 1, "FunctionResponseTypes": [REPORTS], "DestinationConfig": queue()});
    let world = World::new(settings, |call: &Call| call.report(&["bad", "d"])).await;
    let numbers = put(&world, &["a", "bad", "c", "d"]).await;
    let messages = world.messages(1).await;
    assert_eq!(world.texts(), ["a bad c d", "bad c d"]);
    assert_eq!(ranges(&messages, &numbers), [(1, 3)]);
    assert_eq!(messages[0].1["responseContext"]["functionError"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn a_partial_failure_moves_the_checkpoint() {
    let settings = json!({"FunctionResponseTypes": [REPORTS]});
    let mut world = World::new(settings, |call: &Call| call.report(&["c"])).await;
    put(&world, &["a", "b", "c"]).await;
    world.calls(1).await;
    world.restart();
    world.script(|_| success());
    world.sleep(5_000).await;
    let texts = world.texts();
    assert!(
        texts.len() > 1 && texts[1..].iter().all(|text| text == "c"),
        "{texts:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn with_bisection_a_batch_is_split_at_the_reported_record() {
    let settings = json!({
        "MaximumRetryAttempts": 0, "FunctionResponseTypes": [REPORTS], "BisectBatchOnFunctionError": true,
        "DestinationConfig": queue(),
    });
    let world = World::new(settings, |call: &Call| call.report(&["bad"])).await;
    let numbers = put(&world, &["a", "bad", "c", "d"]).await;
    let messages = world.messages(1).await;
    world
        .until("the rest", |world| {
            world.texts().last().is_some_and(|last| last == "c d")
        })
        .await;
    assert_eq!(world.texts(), ["a bad c d", "bad c d", "bad", "c d"]);
    assert_eq!(ranges(&messages, &numbers), [(1, 1)]);
}

#[tokio::test(start_paused = true)]
async fn these_responses_are_complete_successes() {
    for body in [
        "",
        "null",
        "{}",
        "[]",
        "not json",
        r#"{"batchItemFailures":[]}"#,
        r#"{"batchItemFailures":null}"#,
        r#"{"statusCode":500}"#,
    ] {
        let world = World::new(json!({"FunctionResponseTypes": [REPORTS]}), |_| {
            Reply::Body(body.to_owned())
        })
        .await;
        put(&world, &["a", "b"]).await;
        assert_eq!(world.calls(1).await.len(), 1, "{body}");
        world.sleep(10_000).await;
        assert_eq!(world.texts(), ["a b"], "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn these_responses_fail_the_whole_batch() {
    for body in [
        r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#,
        r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#,
        r#"{"batchItemFailures":[{"itemIdentifier":"49590338271490256608559692538361571095921575989136588898"}]}"#,
        r#"{"batchItemFailures":[{"itemIdentifier":123}]}"#,
        r#"{"batchItemFailures":[{"sequenceNumber":"1"}]}"#,
    ] {
        let settings = json!({"MaximumRetryAttempts": 1, "FunctionResponseTypes": [REPORTS], "DestinationConfig": queue()});
        let world = World::new(settings, |_| Reply::Body(body.to_owned())).await;
        let numbers = put(&world, &["a", "b"]).await;
        let messages = world.messages(1).await;
        assert_eq!(world.texts(), ["a b", "a b"], "{body}");
        assert_eq!(ranges(&messages, &numbers), [(0, 1)], "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_is_ignored_unless_it_is_enabled() {
    let world = World::new(json!({}), |call: &Call| call.report(&["a"])).await;
    put(&world, &["a", "b"]).await;
    world.calls(1).await;
    world.sleep(10_000).await;
    assert_eq!(world.texts(), ["a b"]);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_a_failure() {
    let settings = json!({"MaximumRetryAttempts": 1, "DestinationConfig": queue()});
    let world = World::new(settings, |_| Reply::After(3_000, Box::new(Reply::Throw))).await;
    put(&world, &["a"]).await;
    let messages = world.messages(1).await;
    assert_eq!(world.texts(), ["a", "a"]);
    let times = world.times();
    assert_eq!(times[1] - times[0], 3_100);
    assert_eq!(messages[0].1["requestContext"]["approximateInvokeCount"], 2);
}

#[tokio::test(start_paused = true)]
async fn throttles_and_a_missing_function_are_not_attempts() {
    for reply in [Reply::Throttle, Reply::Gone] {
        let settings = json!({"MaximumRetryAttempts": 0, "DestinationConfig": queue()});
        let again = reply.clone();
        let world = World::new(settings, move |_| again.clone()).await;
        put(&world, &["a"]).await;
        world.calls(20).await;
        assert_eq!(
            world.get().await["LastProcessingResult"],
            "PROBLEM: Function call failed"
        );
        let times = world.times();
        assert_eq!(times[19] - times[18], 1_000, "at most a second between tries");
        world.script(|_| success());
        world.until("an end", |world| world.texts().len() > 20).await;
        world.sleep(5_000).await;
        assert_eq!(world.texts().len(), 21);
        assert!(world.inbox.messages.lock().unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn records_above_the_maximum_age_are_discarded_one_by_one() {
    let settings = json!({"MaximumRecordAgeInSeconds": 60, "DestinationConfig": queue()});
    let world = World::new(settings, |_| Reply::Throttle).await;
    let first = world.put("k", "a");
    world.sleep(30_000).await;
    let second = world.put("k", "b");
    let messages = world.messages(2).await;
    assert_eq!(ranges(&messages, &[first, second]), [(0, 0), (1, 1)]);
    assert_eq!(messages[0].1["requestContext"]["condition"], "RecordAgeExceeded");
    assert_eq!(messages[0].1["requestContext"]["approximateInvokeCount"], 1);
    assert_eq!(messages[0].1.get("responseContext"), None);
    assert!((90_000..105_000).contains(&world.now_ms()), "{}", world.now_ms());
}

#[tokio::test(start_paused = true)]
async fn a_backoff_ends_when_the_records_are_too_old() {
    let settings = json!({"MaximumRecordAgeInSeconds": 60, "DestinationConfig": queue()});
    let world = World::new(settings, fail_poison).await;
    let numbers = put(&world, &["bad", "too"]).await;
    world.sleep(900).await;
    let later = world.put("k", "bad");
    let messages = world.messages(2).await;
    let numbers = [&numbers[..], &[later]].concat();
    assert_eq!(ranges(&messages, &numbers), [(0, 1), (2, 2)]);
    let at = |message: &Value, pointer: &str| {
        let text = message.pointer(pointer).and_then(Value::as_str).unwrap();
        text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
    };
    for (_, message, _) in &messages {
        assert_eq!(message["requestContext"]["condition"], "RecordAgeExceeded");
        assert_eq!(message.get("responseContext"), None, "no response was the reason");
        let arrival = at(message, "/KinesisBatchInfo/approximateArrivalOfLastRecord");
        assert_eq!(at(message, "/timestamp") - arrival, 60_001);
    }
    assert!(
        world.times().iter().all(|time| *time <= 61_000),
        "{:?}",
        world.times()
    );
}

#[tokio::test(start_paused = true)]
async fn without_limits_a_batch_is_retried_until_its_records_expire() {
    let world = World::new(json!({"DestinationConfig": queue()}), fail_poison).await;
    put(&world, &["bad"]).await;
    let messages = world.messages(1).await;
    assert!(
        (86_400_000..86_500_000).contains(&world.now_ms()),
        "{}",
        world.now_ms()
    );
    assert!(world.texts().len() > 1_000);
    assert_eq!(messages[0].1["requestContext"]["condition"], "RecordAgeExceeded");
    world.put("k", "next");
    world
        .until("the next", |world| {
            world.texts().last().is_some_and(|text| text == "next")
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_lower_retry_limit_applies_to_the_batch_in_progress() {
    let world = World::new(json!({"DestinationConfig": queue()}), fail_poison).await;
    put(&world, &["bad"]).await;
    world.calls(5).await;
    world.update(json!({"MaximumRetryAttempts": 1})).await;
    world.messages(1).await;
    assert!(world.texts().len() < 8);
}
