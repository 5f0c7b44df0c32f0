use std::cell::{Cell, RefCell};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::runtime::Function;
use crate::testing::{ARRIVAL_MS, At, Lines, invocation};

mod recommendations;

/// A stream in memory. `errors` are returned by the next calls.
#[derive(Default)]
struct Shard {
    records: RefCell<Vec<(String, String)>>,
    errors: RefCell<Vec<CallErrorKind>>,
    calls: Cell<usize>,
}

impl Stream for &Shard {
    async fn put(&self, partition_key: &str, data: &[u8]) -> Result<Receipt, CallError> {
        self.calls.set(self.calls.get() + 1);
        if let Some(kind) = self.errors.borrow_mut().pop() {
            return Err(CallError::new(kind, format!("{kind:?}")));
        }
        let data = std::str::from_utf8(data).unwrap().to_owned();
        self.records.borrow_mut().push((partition_key.to_owned(), data));
        Ok(Receipt {
            sequence_number: self.records.borrow().len().to_string(),
            shard_id: "shardId-000000000000".to_owned(),
        })
    }
}

/// Recommends nothing, ever.
struct Silent;

impl Recommend for Silent {
    async fn recommend(
        &self,
        _user_id: &str,
        _cart: &[String],
        _deadline: Instant,
    ) -> Result<Vec<Recommendation>, String> {
        panic!("nobody asked");
    }
}

fn event(method: &str, path: &str, body: &str) -> Vec<u8> {
    let event = json!({
        "version": "2.0", "rawPath": path, "requestContext": {"stage": "$default", "http": {"method": method}},
        "body": body, "isBase64Encoded": false,
    });
    event.to_string().into_bytes()
}

async fn call<R: Recommend>(
    shard: &Shard,
    recommender: Option<R>,
    method: &str,
    path: &str,
    body: &str,
) -> Answer {
    let api = Served(CartApi::new(shard, recommender, At(ARRIVAL_MS)));
    let answer = api
        .answer(&event(method, path, body), &invocation(Lines::shared()))
        .await;
    answer.unwrap()
}

async fn submit(shard: &Shard, body: &str) -> Answer {
    call::<Silent>(shard, None, "POST", "/submit", body).await
}

const SUBMISSION: &str = r#"{"user_id":7,"product_ids":["P1"],"event":"add_to_cart","timestamp":"2026-01-31T09:04:59Z","source":"web-app"}"#;

#[tokio::test]
async fn routes_and_statuses() {
    for (method, path, body, status, sent) in [
        ("POST", "/submit", SUBMISSION, 200, 1),
        ("POST", "/submit/", SUBMISSION, 200, 1),
        ("OPTIONS", "/submit", "", 200, 0),
        ("GET", "/submit", "", 405, 0),
        ("PUT", "/submit", SUBMISSION, 405, 0),
        ("DELETE", "/submit", "", 405, 0),
        ("HEAD", "/submit", "", 405, 0),
        ("POST", "/", SUBMISSION, 404, 0),
        ("POST", "/submit/7", SUBMISSION, 404, 0),
        ("GET", "/nowhere", "", 404, 0),
        ("POST", "/submit", "", 400, 0),
        ("POST", "/submit", "{\"user_id\":7", 400, 0),
    ] {
        let shard = Shard::default();
        let answer = call::<Silent>(&shard, None, method, path, body).await;
        assert_eq!(answer.status, status, "{method} {path} {body}");
        assert_eq!(shard.calls.get(), sent, "{method} {path} {body}");
        assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("*"));
        assert_eq!(
            answer.header("Access-Control-Allow-Methods"),
            Some("POST, OPTIONS")
        );
        if status >= 400 {
            let body: Value = serde_json::from_str(&answer.body).unwrap();
            assert!(body["message"].is_string(), "{body}");
        }
    }
}

#[tokio::test]
async fn a_submission_is_one_line_with_the_time_of_the_server() {
    let shard = Shard::default();
    let answer = submit(&shard, SUBMISSION).await;
    insta::assert_snapshot!(answer.body, @r#"{"message":"Data sent to Kinesis successfully","record_id":"1","shard_id":"shardId-000000000000"}"#);
    let records = shard.records.take();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].0, "7");
    insta::assert_snapshot!(records[0].1, @r#"{"user_id":7,"product_ids":["P1"],"event":"add_to_cart","client_timestamp":"2026-01-31T09:04:59Z","client_source":"web-app","timestamp":"2026-01-31T09:05:00.250Z","source":"api-gateway"}"#);
}

#[tokio::test]
async fn values_are_kept_and_cleaned() {
    let shard = Shard::default();
    let body = r#"{"user_id":" 007 ","product_ids":[" P1 ","", 12, "P 2"],"price":29.990,"note":"a\nb","price":1.50,
        "client_source":"forged","source":null,"nested":{"x":[1e3]}}"#;
    assert_eq!(submit(&shard, body).await.status, 200);
    insta::assert_snapshot!(shard.records.borrow()[0].1, @r#"{"user_id":7,"product_ids":["P1","12","P 2"],"note":"a\nb","price":1.50,"client_source":null,"nested":{"x":[1e3]},"timestamp":"2026-01-31T09:05:00.250Z","source":"api-gateway"}"#);
}

#[tokio::test]
async fn what_is_not_valid_is_refused_and_nothing_sent() {
    let shard = Shard::default();
    let many = format!("{{\"user_id\":1,\"product_ids\":{}}}", json!(vec!["P1"; 1001]));
    let long = format!("{{\"user_id\":{}}}", "1".repeat(39));
    let deep = format!("{{\"user_id\":1,\"x\":{}{}}}", "[".repeat(200), "]".repeat(200));
    let mut messages = Vec::new();
    for body in [
        "[]",
        "null",
        "{}",
        r#"{"user_id":null}"#,
        r#"{"user_id":"abc"}"#,
        r#"{"user_id":""}"#,
        r#"{"user_id":-1}"#,
        r#"{"user_id":1.5}"#,
        r#"{"user_id":true}"#,
        r#"{"user_id":1,"product_ids":"P1,P2"}"#,
        r#"{"user_id":1,"product_ids":[null]}"#,
        r#"{"user_id":1,"product_ids":["<b>"]}"#,
        r#"{"user_id":1,"event":"buy"}"#,
        r#"{"user_id":1,"event":5}"#,
        &many,
        &long,
        &deep,
    ] {
        let answer = submit(&shard, body).await;
        assert_eq!(answer.status, 400, "{body}");
        messages.push(answer.body);
    }
    let large = format!("{{\"user_id\":1,\"note\":{:?}}}", "x".repeat(1 << 20));
    let answer = submit(&shard, &large).await;
    assert_eq!(answer.status, 413);
    messages.push(answer.body);
    assert_eq!(shard.calls.get(), 0);
    insta::assert_snapshot!(messages.join("\n"), @r#"
    {"message":"The body is not a JSON object"}
    {"message":"The body is not a JSON object"}
    {"message":"The field user_id is missing"}
    {"message":"The field user_id is missing"}
    {"message":"The field user_id is not a whole number"}
    {"message":"The field user_id is not a whole number"}
    {"message":"The field user_id is not a whole number"}
    {"message":"The field user_id is not a whole number"}
    {"message":"The field user_id is not a whole number"}
    {"message":"The field product_ids is not a list"}
    {"message":"The field product_ids holds a value that is not a string"}
    {"message":"The field product_ids holds a value with characters other than letters, digits and spaces"}
    {"message":"The field event is not one of add_to_cart, remove_from_cart, update_cart, checkout"}
    {"message":"The field event is not one of add_to_cart, remove_from_cart, update_cart, checkout"}
    {"message":"The field product_ids has more than 1000 products"}
    {"message":"The field user_id has more than 38 digits"}
    {"message":"The body is not valid JSON: nested more than 127 deep"}
    {"message":"The submission is larger than 1 MiB"}
    "#);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_kinesis_is_an_error_of_the_api() {
    for (kind, status) in [(CallErrorKind::Refused, 500), (CallErrorKind::Rejected, 500)] {
        let shard = Shard::default();
        shard.errors.borrow_mut().push(kind);
        let answer = submit(&shard, SUBMISSION).await;
        assert_eq!(answer.status, status, "{kind:?}");
        assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("*"));
        assert!(!answer.body.contains("successfully"));
        assert!(shard.records.borrow().is_empty());
    }
    let shard = Shard::default();
    shard.errors.borrow_mut().push(CallErrorKind::Transient);
    assert_eq!(submit(&shard, SUBMISSION).await.status, 200, "it is tried again");
    assert_eq!(shard.calls.get(), 2);

    let began = Instant::now();
    shard.errors.borrow_mut().extend([CallErrorKind::Transient; 1000]);
    let answer = submit(&shard, SUBMISSION).await;
    assert_eq!((answer.status, answer.header("Retry-After")), (503, Some("1")));
    assert!(began.elapsed() <= PUT_BUDGET);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn an_accepted_body_is_one_line_of_json(body in prop_oneof![
        any::<String>(),
        r#"\{"user_id":"?[0-9]{1,3}"?(,"(event|source|timestamp|x|product_ids)":("[a\\n]{0,3}"|1|null|\["P1",2\])){0,4}\}"#,
    ]) {
        if let Ok(submission) = Submission::parse(body.as_bytes(), ARRIVAL_MS) {
            let line = submission.record.strip_suffix('\n').unwrap();
            prop_assert!(!line.contains('\n'));
            let record: Value = serde_json::from_str(line).unwrap();
            prop_assert_eq!(record["user_id"].to_string(), submission.user_id);
            prop_assert_eq!(&record["source"], "api-gateway");
            prop_assert_eq!(record["product_ids"].as_array().unwrap().len(), submission.product_ids.len());
        }
    }
}
