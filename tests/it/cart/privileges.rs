//! Least privilege: without one action of its policy, a function or the delivery to the bucket fails.

use std::collections::BTreeSet;

use serde_json::json;

use super::{Cart, STREAM, or};
use crate::contents::until;
use crate::products::privileges::{LOGS, Role, all};
use crate::support::block_on;

#[test]
fn cart_api_needs_each_action_of_its_policy() {
    let cart = Cart::new(&[]);
    cart.cloud.ok(["sample", "load", "cart", "--orders", "300"]);
    let role = Role::of(&cart.cloud, "cart-api");
    let recommending = ["dynamodb:BatchGetItem", "dynamodb:GetItem", "s3:GetObject"];
    assert_eq!(
        role.actions(),
        all(recommending.into_iter().chain(["kinesis:PutRecord"]))
    );
    let submission = json!({"user_id": 1}).to_string();
    let submit = || cart.call("POST", "/submit", &submission);
    let recommends = || submit().json().get("recommendations").is_some();
    for action in recommending {
        // The model, or that there is none, is remembered by an instance.
        role.allow_all_but([action]);
        role.renew(&format!("without {action}"));
        assert!(!recommends(), "without {action}");
        role.allow_all_but([]);
        role.renew(&format!("with {action}"));
        until("recommendations", || {
            recommends().then_some(()).ok_or(action.to_owned())
        });
    }
    let sent = cart.cloud.records(STREAM).len();
    role.allow_all_but(["kinesis:PutRecord"]);
    assert_eq!(submit().status, 500);
    role.allow_all_but([]);
    assert_eq!(submit().status, 200);
    assert_eq!(cart.cloud.records(STREAM).len(), sent + 1);
    for action in LOGS {
        role.logs_nothing_without(action);
    }
}

#[test]
fn cart_features_needs_each_action_of_its_policy() {
    let cart = Cart::new(&[]);
    cart.cloud.ok(["sample", "load", "cart", "--orders", "300"]);
    let objects = cart.cloud.objects(&cart.bucket);
    let key = objects.keys().find(|key| key.starts_with("orders/")).unwrap();
    let event = json!({"Records": [{"s3": {"bucket": {"name": cart.bucket}, "object": {"key": key}}}]});
    let role = Role::of(&cart.cloud, "cart-features");
    let actions = ["dynamodb:BatchWriteItem", "s3:GetObject"];
    assert_eq!(role.actions(), all(actions));
    for action in actions {
        role.allow_all_but([action]);
        assert!(role.fails(&event), "without {action}");
        role.allow_all_but([]);
        assert!(!role.fails(&event), "with {action}");
    }
    for action in LOGS {
        role.logs_nothing_without(action);
    }
}

/// Lines in the log of the delivery stream.
fn logged(cart: &Cart) -> usize {
    let logs = aws_sdk_cloudwatchlogs::Client::new(&cart.cloud.sdk());
    let call = logs
        .filter_log_events()
        .log_group_name("/aws/kinesisfirehose/api-firehose-stream");
    block_on(call.send()).unwrap().events().len()
}

/// Whether Firehose tried to write an object.
fn has_tried(cart: &Cart) -> bool {
    let cloudwatch = aws_sdk_cloudwatch::Client::new(&cart.cloud.sdk());
    let call = cloudwatch.list_metrics().namespace("AWS/Firehose");
    let listed = block_on(call.metric_name("DeliveryToS3.Success").send()).unwrap();
    !listed.metrics().is_empty()
}

#[test]
fn the_delivery_needs_each_action_of_its_policy() {
    // What Firehose asks for on AWS. The local cloud writes an object with one call and asks for its permission only.
    // Source: "Grant Firehose access to an Amazon S3 destination", Amazon Data Firehose developer guide.
    const OF_AWS: [&str; 5] = [
        "s3:AbortMultipartUpload",
        "s3:GetBucketLocation",
        "s3:GetObject",
        "s3:ListBucket",
        "s3:ListBucketMultipartUploads",
    ];
    let (write, log) = ("s3:PutObject", "logs:PutLogEvents");
    let reading = [
        "kinesis:DescribeStream",
        "kinesis:GetRecords",
        "kinesis:GetShardIterator",
        "kinesis:ListShards",
    ];
    let cart = Cart::new(&["recommendations=false"]);
    let role = Role::named(&cart.cloud, "api-firehose-stream-us-east-1");
    let named = reading.iter().chain([&write, &log]).chain(&OF_AWS);
    let named: BTreeSet<String> = named.map(|action| (*action).to_owned()).collect();
    assert_eq!(role.actions(), named);
    let mut submitted = 0;
    let mut submit = || {
        cart.submit(&json!({"user_id": 1}));
        submitted += 1;
        submitted
    };
    // First without two: the delivery fails, and no line says so.
    role.allow_all_but([write, log]);
    submit();
    cart.cloud.ok(["local", "clock", "--advance", "61s"]);
    until("a try", || or(has_tried(&cart), "none"));
    assert_eq!(logged(&cart), 0);
    for action in reading.iter().chain([&write]) {
        let (before, delivered) = (logged(&cart), cart.lines().len());
        role.allow_all_but([*action]);
        let all = submit();
        cart.cloud.ok(["local", "clock", "--advance", "2m"]);
        until("a line", || or(logged(&cart) > before, action));
        assert_eq!(cart.lines().len(), delivered, "without {action}");
        role.allow_all_but([]);
        cart.cloud.ok(["local", "clock", "--advance", "2m"]);
        let lines = until("the events", || match cart.lines() {
            lines if lines.len() >= all => Ok(lines),
            lines => Err(lines.len().to_string()),
        });
        assert_eq!(lines.len(), all, "with {action}");
    }
}
