//! A REST API that puts records into a stream without a function, from a manifest of the user: set up, called, changed,
//! destroyed.

use serde_json::{Value, json};

use crate::contents::until;
use crate::support::{Cloud, block_on};
use crate::web::{Answer, exchange};

const MANIFEST: &str = r##"
name = "carts"
description = "Carts, without a function"
instance = "main"

[[resources]]
kind = "stream"
id = "stream"
[resources.properties]
name = "carts"
shards = 1

[[resources]]
kind = "role"
id = "role"
[resources.properties]
name = "carts-api"
service = "apigateway.amazonaws.com"
statements = [{ sid = "Put", actions = ["kinesis:PutRecord"], resources = ["${stream.arn}"] }]

[[resources]]
kind = "rest_api"
id = "api"
[resources.properties]
name = "carts"
role = "${role.arn}"
stage = "prod"
cors = { allow_origins = ["*"], allow_methods = ["POST", "OPTIONS"], allow_headers = ["content-type"], max_age_seconds = 86400 }

[[resources.properties.routes]]
route = "POST /submit"
stream = "${stream.name}"
newline = true
record = """{"user_id":$input.json('$.user_id'),"timestamp":$context.requestTimeEpoch,"source":"api-gateway"#if("$!input.path('$.note')" != ""),"note":$input.json('$.note')#end}"""

[outputs]
url = "${api.url}"
id = "${api.id}"
"##;

const JSON: &str = "Content-Type: application/json\r\nOrigin: https://shop.example\r\n";

fn set_up(cloud: &Cloud) -> String {
    cloud.file("carts.toml", MANIFEST);
    cloud.ok(["setup", "-f", "carts.toml"]);
    let outputs = cloud.json(["outputs", "-f", "carts.toml"]);
    outputs["url"].as_str().unwrap().to_owned()
}

fn submit(url: &str, body: &str) -> Answer {
    exchange("POST", &format!("{url}/submit"), JSON, body.as_bytes())
}

#[test]
fn submissions_become_records_without_a_function() {
    let cloud = Cloud::start();
    let url = set_up(&cloud);
    cloud.ok(["plan", "--check", "-f", "carts.toml"]);
    cloud.ok(["verify", "-f", "carts.toml"]);
    let answer = submit(
        &url,
        r#"{"user_id": 123456789012345678901234567890, "note": "it's \"new\""}"#,
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("access-control-allow-origin"), ["*"]);
    let accepted = answer.json();
    assert_eq!(accepted["message"], "Data sent to Kinesis successfully");
    assert_eq!(accepted["shard_id"], "shardId-000000000000");
    // `verify` has put one of its own.
    let before = cloud.records("carts");
    let (key, data) = before.last().unwrap();
    assert_eq!([key.as_str()], *answer.header("x-amzn-requestid"));
    let text = std::str::from_utf8(data).unwrap();
    assert!(
        text.starts_with(r#"{"user_id":123456789012345678901234567890,"timestamp":"#),
        "{text}"
    );
    assert!(text.ends_with("}\n") && text.lines().count() == 1, "{text:?}");
    let record: Value = serde_json::from_str(text).unwrap();
    assert_eq!(
        (&record["source"], &record["note"]),
        (&json!("api-gateway"), &json!("it's \"new\""))
    );

    // What is not JSON, and what is no route, puts nothing; pages can read the answers.
    let bad = submit(&url, "{");
    let other = exchange("POST", &format!("{url}/other"), JSON, b"{}");
    let method = exchange("GET", &format!("{url}/submit"), JSON, b"");
    let text = exchange(
        "POST",
        &format!("{url}/submit"),
        "Content-Type: text/plain\r\n",
        b"{}",
    );
    for (answer, status) in [(bad, 400), (other, 403), (method, 403), (text, 415)] {
        assert_eq!(answer.status, status, "{}", answer.text());
        assert!(answer.json()["message"].is_string(), "{}", answer.text());
        assert_eq!(answer.header("access-control-allow-origin"), ["*"], "{status}");
    }
    assert_eq!(cloud.records("carts").len(), before.len());
    let preflight = exchange("OPTIONS", &format!("{url}/submit"), JSON, b"");
    assert_eq!(preflight.status, 200);
    assert_eq!(preflight.header("access-control-allow-methods"), ["POST,OPTIONS"]);
    assert_eq!(preflight.header("access-control-allow-headers"), ["content-type"]);
    assert_eq!(preflight.header("access-control-max-age"), ["86400"]);

    // A change is deployed, and a second run changes nothing.
    cloud.file("carts.toml", MANIFEST.replace("api-gateway\"", "rest-api\""));
    cloud.fails(5, ["plan", "--check", "-f", "carts.toml"]);
    cloud.ok(["setup", "-f", "carts.toml"]);
    cloud.ok(["plan", "--check", "-f", "carts.toml"]);
    assert_eq!(submit(&url, r#"{"user_id": 1}"#).status, 200);
    let (_, data) = cloud.records("carts").pop().unwrap();
    let record: Value = serde_json::from_slice(&data).unwrap();
    assert_eq!(record["source"], "rest-api");

    cloud.ok(["destroy", "-f", "carts.toml", "--yes"]);
    assert_eq!(submit(&url, "{}").status, 404);
}

#[test]
fn errors_of_kinesis_are_errors_of_the_api() {
    let cloud = Cloud::start_with(["--enforce-limits"]);
    let url = set_up(&cloud);
    // Two of these are more than a shard takes in a second.
    let large = format!(r#"{{"user_id": 1, "note": "{}"}}"#, "x".repeat(900_000));
    let answers = [submit(&url, &large), submit(&url, &large), submit(&url, &large)];
    let throttled = answers
        .iter()
        .find(|answer| answer.status != 200)
        .expect("a throttled request");
    assert_eq!(throttled.status, 503, "{}", throttled.text());
    assert_eq!(throttled.header("retry-after"), ["1"]);
    assert_eq!(throttled.header("access-control-allow-origin"), ["*"]);
    let accepted = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(
        cloud.records("carts").len(),
        accepted,
        "what is answered with an error is not there"
    );
    cloud.ok(["delete", "carts", "--yes"]);
    let gone = submit(&url, r#"{"user_id": 1}"#);
    assert_eq!(gone.status, 500, "{}", gone.text());
    assert_eq!(gone.json()["message"], "The record could not be sent to Kinesis");
}

#[test]
fn the_role_needs_its_action_and_the_trust_of_api_gateway() {
    let cloud = Cloud::start();
    let url = set_up(&cloud);
    let without = |part: &str, other: &str| {
        cloud.file("carts.toml", MANIFEST.replace(part, other));
        cloud.ok(["setup", "-f", "carts.toml"]);
        submit(&url, r#"{"user_id": 1}"#)
    };
    let denied = without("kinesis:PutRecord\"", "kinesis:PutRecords\"");
    assert_eq!(denied.status, 500, "{}", denied.text());
    let restored = without("", "");
    assert_eq!(restored.status, 200, "{}", restored.text());
    let distrusted = without("apigateway.amazonaws.com", "lambda.amazonaws.com");
    assert_eq!(distrusted.status, 500, "{}", distrusted.text());
    assert_eq!(cloud.records("carts").len(), 1);
}

#[test]
fn the_template_cart_direct_collects_events_in_its_bucket() {
    let cloud = Cloud::start();
    cloud.ok(["setup", "cart-direct"]);
    cloud.ok(["plan", "cart-direct", "--check"]);
    let outputs = cloud.json(["outputs", "cart-direct"]);
    let output = |name: &str| outputs[name].as_str().unwrap().to_owned();
    let url = output("api_url");
    let body = r#"{"user_id": 9007199254740993, "product_ids": ["12", "3 4"], "event": "add_to_cart", "timestamp": "then", "source": "web-app", "other": 1}"#;
    let answer = submit(&url, body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(submit(&url, r#"{"user_id": 7}"#).status, 200);
    assert_eq!(submit(&url, "nothing").status, 400);
    cloud.ok(["local", "clock", "--advance", "61s"]);
    let bucket = output("bucket_name");
    let objects = until("the object", || {
        let objects = contents(&cloud, &bucket);
        if objects.is_empty() {
            Err(String::new())
        } else {
            Ok(objects)
        }
    });
    let text = objects.concat();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    let start = r#"{"user_id":9007199254740993,"product_ids":["12","3 4"],"event":"add_to_cart","client_timestamp":"then","client_source":"web-app","timestamp":"#;
    assert!(
        lines[0].starts_with(start) && lines[0].ends_with(r#","source":"api-gateway"}"#),
        "{text}"
    );
    assert!(lines[1].starts_with(r#"{"user_id":7,"timestamp":"#), "{text}");
    // Without buffering, the event that `verify` submits is soon in the bucket.
    let at_once = ["--param", "buffer_seconds=0"];
    cloud.ok(["setup", "cart-direct", at_once[0], at_once[1]]);
    cloud.ok(["verify", "cart-direct", at_once[0], at_once[1]]);
    cloud.ok(["destroy", "cart-direct", "--yes"]);
    assert_eq!(cloud.everything(), Vec::<String>::new());
}

/// The objects of a bucket, by key.
fn contents(cloud: &Cloud, bucket: &str) -> Vec<String> {
    let config = aws_sdk_s3::config::Builder::from(&cloud.sdk()).force_path_style(true);
    let client = aws_sdk_s3::Client::from_conf(config.build());
    block_on(async {
        let listed = client.list_objects_v2().bucket(bucket).send().await.unwrap();
        let mut found = Vec::new();
        for object in listed.contents() {
            let got = client.get_object().bucket(bucket).key(object.key().unwrap());
            let body = got.send().await.unwrap().body.collect().await.unwrap().to_vec();
            found.push(String::from_utf8(body).unwrap());
        }
        found
    })
}
