use serde_json::{Value, json};

use super::*;
use crate::testing::{Lines, invocation};

fn parse(event: &Value) -> Request {
    Request::parse(event.to_string().as_bytes()).unwrap()
}

/// An event of a function URL or an HTTP API.
fn version_2(method: &str, path: &str, stage: &str) -> Value {
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "a=1&b=",
        "headers": {"content-type": "application/json"}, "queryStringParameters": {"a": "1", "b": ""},
        "requestContext": {"stage": stage, "http": {"method": method, "path": path, "protocol": "HTTP/1.1"}},
        "body": "{}", "isBase64Encoded": false,
    })
}

#[test]
fn both_formats_say_the_same() {
    let second = parse(&version_2("post", "/shop/products/a%20b/", "shop"));
    let http_api = json!({
        "version": "1.0", "httpMethod": "POST", "path": "/shop/products/a%20b", "queryStringParameters": {"a": "1", "b": null},
        "requestContext": {"stage": "shop"}, "body": "e30=", "isBase64Encoded": true,
    });
    let rest_api = json!({
        "httpMethod": "POST", "path": "/products/a%20b", "queryStringParameters": {"a": "1"},
        "requestContext": {"stage": "products"}, "body": "{}", "isBase64Encoded": false,
    });
    for request in [second, parse(&http_api), parse(&rest_api)] {
        assert_eq!(request.method, "POST");
        assert_eq!(request.segments(), ["products", "a b"]);
        assert_eq!(
            (request.parameter("a"), request.parameter("b")),
            (Some("1"), None)
        );
        assert_eq!(request.body, b"{}");
    }
}

#[test]
fn the_stage_is_cut_off_where_it_is_a_segment() {
    for (path, stage, segments) in [
        ("/prod", "prod", vec![]),
        ("/prod/submit", "prod", vec!["submit"]),
        ("/products", "prod", vec!["products"]),
        ("/submit", "$default", vec!["submit"]),
        ("/", "$default", vec![]),
    ] {
        let request = parse(&version_2("GET", path, stage));
        assert_eq!(request.segments(), segments, "{path} in {stage}");
    }
}

#[test]
fn absent_members_are_empty() {
    let request = parse(
        &json!({"version": "2.0", "rawPath": "/submit", "requestContext": {"http": {"method": "POST"}}}),
    );
    assert!(request.body.is_empty() && request.query.is_empty());
}

#[test]
fn another_event_is_an_error_with_a_type() {
    let mut no_base64 = version_2("POST", "/submit", "$default");
    no_base64["isBase64Encoded"] = true.into();
    for (event, reason) in [
        (json!({"Records": []}), "it names no method"),
        (json!({"httpMethod": "GET"}), "it names no path"),
        (json!([]), "missing field"),
        (no_base64, "its body"),
    ] {
        let error = Request::parse(event.to_string().as_bytes());
        let error = match error {
            Err(error) => error,
            Ok(request) => panic!("{request:?}"),
        };
        assert_eq!(error.error_type, "InvalidEvent");
        let start = "the payload is not a request of an HTTP API or a function URL: ";
        assert!(error.error_message.starts_with(start), "{}", error.error_message);
        if !event.is_array() {
            assert!(error.error_message.contains(reason), "{}", error.error_message);
        }
    }
}

struct Teapot;

impl Api for Teapot {
    const METHODS: &'static str = "GET, OPTIONS";

    async fn respond(&self, request: &Request, _invocation: &Invocation) -> Answer {
        match (request.segments().as_slice(), request.method.as_str()) {
            (["tea"], "GET") => Answer::message(418, "a \"teapot\""),
            (["tea"], _) => Answer::not_allowed("GET, OPTIONS"),
            _ => Answer::not_found(),
        }
    }
}

#[tokio::test]
async fn every_answer_has_the_headers_of_cors() {
    for (method, path, status) in [
        ("GET", "/tea", 418),
        ("PUT", "/tea", 405),
        ("GET", "/", 404),
        ("OPTIONS", "/tea", 200),
        ("OPTIONS", "/x", 200),
    ] {
        let event = version_2(method, path, "$default").to_string();
        let invocation = invocation(Lines::shared());
        let answer = Served(Teapot)
            .answer(event.as_bytes(), &invocation)
            .await
            .unwrap();
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("*"));
        assert_eq!(
            answer.header("Access-Control-Allow-Methods"),
            Some("GET, OPTIONS")
        );
        let headers = "Content-Type, Authorization";
        assert_eq!(answer.header("Access-Control-Allow-Headers"), Some(headers));
        let is_preflight = method == "OPTIONS";
        assert_eq!(
            answer.header("Access-Control-Max-Age"),
            is_preflight.then_some("86400")
        );
        assert_eq!(answer.body.is_empty(), is_preflight);
        assert_eq!(answer.header("Allow").is_some(), status == 405);
    }
}

#[test]
fn an_answer_is_valid_in_both_formats() {
    let answer = Answer::message(418, "a \"teapot\"");
    assert_eq!(
        serde_json::to_value(&answer).unwrap(),
        json!({
            "statusCode": 418, "headers": {"Content-Type": "application/json"},
            "body": r#"{"message":"a \"teapot\""}"#, "isBase64Encoded": false,
        })
    );
}
