use super::*;

fn parts(uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = http::Request::builder()
        .method("POST")
        .uri(uri)
        .header("host", "127.0.0.1:4566");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn incoming<'a>(parts: &'a Parts, body: &'a [u8]) -> Incoming<'a> {
    Incoming {
        parts,
        body,
        path: "/pets/a%20b",
        request_id: "id",
        now_ms: 1_583_348_638_390,
        account: "000000000000",
        id: "abc1",
        domain: "abc1.execute-api.us-east-1.localhost".to_owned(),
        stage: "$default",
        route_key: "POST /pets/{name}",
        path_parameters: BTreeMap::from([("name".to_owned(), "a b".to_owned())]),
        stage_variables: BTreeMap::new(),
        authorizer: None,
    }
}

#[test]
fn format_2() {
    let parts = parts(
        "/pets/a%20b?a=1&a=2%2C3&b=&c=%20x+y",
        &[
            ("content-type", "application/json; charset=utf-8"),
            ("cookie", "a=1; b=2"),
            ("cookie", "c=3"),
            ("x-many", "1"),
            ("x-many", "2"),
            ("user-agent", "curl"),
        ],
    );
    assert_eq!(
        incoming(&parts, b"{\"a\":1}").format_2(),
        json!({
            "version": "2.0",
            "routeKey": "POST /pets/{name}",
            "rawPath": "/pets/a%20b",
            "rawQueryString": "a=1&a=2%2C3&b=&c=%20x+y",
            "cookies": ["a=1", "b=2", "c=3"],
            "headers": {
                "content-type": "application/json; charset=utf-8",
                "host": "127.0.0.1:4566",
                "user-agent": "curl",
                "x-forwarded-for": "127.0.0.1",
                "x-forwarded-port": "4566",
                "x-forwarded-proto": "http",
                "x-many": "1,2",
            },
            "queryStringParameters": {"a": "1,2,3", "b": "", "c": " x y"},
            "requestContext": {
                "accountId": "000000000000",
                "apiId": "abc1",
                "domainName": "abc1.execute-api.us-east-1.localhost",
                "domainPrefix": "abc1",
                "http": {
                    "method": "POST",
                    "path": "/pets/a%20b",
                    "protocol": "HTTP/1.1",
                    "sourceIp": "127.0.0.1",
                    "userAgent": "curl",
                },
                "requestId": "id",
                "routeKey": "POST /pets/{name}",
                "stage": "$default",
                "time": "04/Mar/2020:19:03:58 +0000",
                "timeEpoch": 1_583_348_638_390_i64,
            },
            "pathParameters": {"name": "a b"},
            "body": "{\"a\":1}",
            "isBase64Encoded": false,
        })
    );
}

#[test]
fn absent_members_are_absent_in_format_2() {
    let parts = parts("/", &[]);
    let mut incoming = incoming(&parts, b"");
    incoming.path_parameters.clear();
    let event = incoming.format_2();
    let names: Vec<&str> = event.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "version",
            "routeKey",
            "rawPath",
            "rawQueryString",
            "headers",
            "requestContext",
            "isBase64Encoded"
        ]
    );
}

#[test]
fn format_1() {
    let parts = parts("/?a=1&a=2", &[("x-many", "1"), ("x-many", "2")]);
    let event = incoming(&parts, b"").format_1();
    assert_eq!(event["version"], "1.0");
    assert_eq!(event["resource"], "/pets/{name}");
    assert_eq!(event["path"], "/pets/a b");
    assert_eq!(event["headers"]["Host"], "127.0.0.1:4566");
    assert_eq!(event["headers"]["x-many"], "2");
    assert_eq!(event["multiValueHeaders"]["x-many"], json!(["1", "2"]));
    assert_eq!(event["queryStringParameters"], json!({"a": "2"}));
    assert_eq!(event["multiValueQueryStringParameters"], json!({"a": ["1", "2"]}));
    assert_eq!(event["pathParameters"], json!({"name": "a b"}));
    assert_eq!(event["stageVariables"], Value::Null);
    assert_eq!(event["body"], Value::Null);
    assert_eq!(event["isBase64Encoded"], false);
    assert_eq!(event["requestContext"]["resourcePath"], "/pets/{name}");
    assert_eq!(event["requestContext"]["identity"]["sourceIp"], "127.0.0.1");
}

#[test]
fn bodies_are_text_only_for_types_of_text() {
    for (headers, body, expected) in [
        (
            &[("content-type", "text/plain")][..],
            &b"a"[..],
            (json!("a"), false),
        ),
        (
            &[("content-type", "TEXT/HTML; charset=utf-8")],
            b"a",
            (json!("a"), false),
        ),
        (
            &[("content-type", "application/json")],
            b"{}",
            (json!("{}"), false),
        ),
        (
            &[("content-type", "application/xml")],
            b"<a/>",
            (json!("<a/>"), false),
        ),
        (
            &[("content-type", "application/javascript")],
            b"a",
            (json!("a"), false),
        ),
        (
            &[("content-type", "application/x-www-form-urlencoded")],
            b"a=b",
            (json!("YT1i"), true),
        ),
        (
            &[("content-type", "application/octet-stream")],
            b"a",
            (json!("YQ=="), true),
        ),
        (
            &[("content-type", "application/vnd.api+json")],
            b"{}",
            (json!("e30="), true),
        ),
        (&[], b"a", (json!("YQ=="), true)),
        // Not UTF-8, or compressed.
        (&[("content-type", "text/plain")], b"\xff", (json!("/w=="), true)),
        (
            &[("content-type", "application/json"), ("content-encoding", "gzip")],
            b"{}",
            (json!("e30="), true),
        ),
        (&[("content-type", "text/plain")], b"", (Value::Null, false)),
    ] {
        let parts = parts("/", headers);
        let incoming = incoming(&parts, body);
        for event in [incoming.format_2(), incoming.format_1()] {
            let got = (event["body"].clone(), event["isBase64Encoded"] == true);
            assert_eq!(got, expected, "{headers:?} {body:?}");
        }
    }
}
