//! Hostile requests to every service, in every format: no panic, and no allocation out of proportion.
//!
//! `STREAMCTL_FUZZ_CASES=10000000 cargo test --release -p streamctl-local-cloud --test hostile` is the long form. It
//! reports the largest allocation. Each [`ROUND`] of requests has a cloud of its own: what the requests create makes
//! lists longer, and would make each request slower than the one before.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on has failed, and says how far it came"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use local_cloud::bench::Door;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;

/// No request may take more.
const MAX_ALLOCATED: usize = 256 << 20;
const CASES: u32 = 2_000;
/// Requests to one cloud.
const ROUND: u32 = 100_000;
const DATE: &str = "20260101";

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// Counts the bytes that are allocated.
struct Counting;

// SAFETY: each method passes its arguments on to the system's allocator, under the same contract, and returns what that
// returns. The counters are atomic and allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        add(size);
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn add(bytes: usize) {
    let now = ALLOCATED.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(now, Ordering::Relaxed);
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Where a request goes.
#[derive(Debug, Clone)]
struct Route {
    service: &'static str,
    method: &'static str,
    path: &'static str,
    target: String,
    content_type: &'static str,
}

fn route() -> impl Strategy<Value = Route> {
    let of = |service, method, path, target: &str, content_type| Route {
        service,
        method,
        path,
        target: target.to_owned(),
        content_type,
    };
    let json = |service, prefix: &'static str, operations: &'static [&'static str]| {
        (
            select(operations),
            select(vec!["application/x-amz-json-1.1", "application/x-amz-cbor-1.1"]),
        )
            .prop_map(move |(operation, content_type)| {
                of(
                    service,
                    "POST",
                    "/",
                    &format!("{prefix}.{operation}"),
                    content_type,
                )
            })
    };
    let form = |service| Just(of(service, "POST", "/", "", "application/x-www-form-urlencoded"));
    prop_oneof![
        json("kinesis", "Kinesis_20131202", KINESIS),
        json("firehose", "Firehose_20150804", FIREHOSE),
        json("glue", "AWSGlue", GLUE),
        json("athena", "AmazonAthena", ATHENA),
        json("dynamodb", "DynamoDB_20120810", DYNAMODB),
        json("sqs", "AmazonSQS", SQS),
        json("logs", "Logs_20140328", LOGS),
        json("kms", "TrentService", &["Encrypt", "CreateKey", "ListKeys"]),
        json("monitoring", "GraniteServiceVersion20100801", CLOUDWATCH),
        json("tagging", "ResourceGroupsTaggingAPI_20170126", &["GetResources"]),
        form("iam"),
        form("sns"),
        form("sqs"),
        form("sts"),
        form("monitoring"),
        select(S3).prop_map(move |(method, path)| of("s3", method, path, "", "application/xml")),
        select(LAMBDA).prop_map(move |(method, path)| of("lambda", method, path, "", "application/json")),
        select(API_GATEWAY).prop_map(move |(method, path)| of(
            "apigateway",
            method,
            path,
            "",
            "application/json"
        )),
        select(CLOUDFRONT).prop_map(move |(method, path)| of(
            "cloudfront",
            method,
            path,
            "",
            "application/xml"
        )),
    ]
}

const KINESIS: &[&str] = &[
    "PutRecords",
    "PutRecord",
    "GetRecords",
    "ListShards",
    "CreateStream",
];
const FIREHOSE: &[&str] = &[
    "CreateDeliveryStream",
    "PutRecord",
    "PutRecordBatch",
    "TagDeliveryStream",
    "UpdateDestination",
];
const GLUE: &[&str] = &[
    "CreateDatabase",
    "CreateTable",
    "UpdateTable",
    "GetTables",
    "BatchDeleteTable",
    "TagResource",
];
const ATHENA: &[&str] = &[
    "CreateWorkGroup",
    "UpdateWorkGroup",
    "ListWorkGroups",
    "CreateNamedQuery",
    "BatchGetNamedQuery",
    "TagResource",
];
const DYNAMODB: &[&str] = &[
    "PutItem",
    "Query",
    "UpdateItem",
    "BatchWriteItem",
    "TransactWriteItems",
];
const SQS: &[&str] = &[
    "SendMessageBatch",
    "ReceiveMessage",
    "CreateQueue",
    "SetQueueAttributes",
];
const LOGS: &[&str] = &[
    "FilterLogEvents",
    "PutLogEvents",
    "CreateLogGroup",
    "DescribeLogGroups",
];
const CLOUDWATCH: &[&str] = &[
    "GetMetricData",
    "PutMetricData",
    "PutMetricAlarm",
    "PutCompositeAlarm",
    "PutAlarmMuteRule",
    "PutDashboard",
    "ListMetrics",
];
const S3: &[(&str, &str)] = &[
    ("POST", "/b?delete"),
    ("PUT", "/b"),
    ("PUT", "/b?tagging"),
    ("PUT", "/b?lifecycle"),
    ("PUT", "/b/k?tagging"),
    ("POST", "/b/k?uploadId=x"),
    ("GET", "/b?list-type=2&prefix=%zz"),
];
const LAMBDA: &[(&str, &str)] = &[
    ("POST", "/2015-03-31/functions"),
    ("POST", "/2015-03-31/event-source-mappings/"),
    ("PUT", "/2015-03-31/functions/f/configuration"),
    ("POST", "/2021-10-31/functions/f/url"),
    ("POST", "/_lambda-url/abcdefgh/%00/..?a=%zz&a"),
];
const API_GATEWAY: &[(&str, &str)] = &[
    ("POST", "/v2/apis"),
    ("PATCH", "/v2/apis/a"),
    ("POST", "/v2/apis/a/routes"),
    ("POST", "/v2/apis/a/integrations"),
    ("POST", "/v2/apis/a/stages"),
    ("POST", "/v2/tags/arn:aws:apigateway:us-east-1::%2Fapis%2Fa"),
    ("POST", "/restapis"),
    ("POST", "/restapis/a/resources/b"),
    ("PUT", "/restapis/a/resources/b/methods/POST/integration"),
    ("PATCH", "/restapis/a/stages/prod"),
    ("PUT", "/restapis/a/gatewayresponses/DEFAULT_4XX"),
    ("PUT", "/tags/arn:aws:apigateway:us-east-1::%2Frestapis%2Fa"),
    ("POST", "/_execute-api/abcdefgh/%00/..//?a=%zz&a"),
];
const CLOUDFRONT: &[(&str, &str)] = &[
    ("POST", "/2020-05-31/distribution"),
    ("POST", "/2020-05-31/distribution?WithTags"),
    ("PUT", "/2020-05-31/distribution/E/config"),
    ("POST", "/2020-05-31/distribution/E/invalidation"),
    ("POST", "/2020-05-31/origin-access-control"),
    (
        "POST",
        "/2020-05-31/tagging?Operation=Tag&Resource=arn:aws:cloudfront::000000000000:distribution%2FE",
    ),
    ("GET", "/2020-05-31/distribution?MaxItems=-1&Marker=%00"),
    ("GET", "/_cloudfront/abcdefgh/%00/..//?a=%zz&a"),
];
const WORDS: &[&str] = &[
    "StreamName",
    "Records",
    "Data",
    "PartitionKey",
    "TableName",
    "Item",
    "Key",
    "ExpressionAttributeValues",
    "KeyConditionExpression",
    "UpdateExpression",
    "M",
    "L",
    "S",
    "QueueUrl",
    "Entries",
    "Attributes",
    "logGroupName",
    "filterPattern",
    "MetricDataQueries",
    "Expression",
    "AlarmRule",
    "DashboardBody",
    "FilterCriteria",
    "DatabaseInput",
    "TableInput",
    "StorageDescriptor",
    "Columns",
    "Parameters",
    "Configuration",
    "WorkGroup",
    "Filters",
    "Pattern",
    "AuthType",
    "Cors",
    "name",
    "protocolType",
    "corsConfiguration",
    "routeKey",
    "target",
    "Action",
    "Tags",
    "member",
    "entry",
    "key",
    "value",
    "Object",
    "a",
];

fn word() -> impl Strategy<Value = &'static str> {
    select(WORDS)
}

/// Depths and counts: mostly small, some large enough to exhaust a stack or a memory.
fn amount() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 0_usize..20, 2 => 100_usize..2_000, 1 => 20_000_usize..100_000]
}

fn nested() -> impl Strategy<Value = Vec<u8>> {
    let shapes: Vec<(&[u8], &[u8])> = vec![
        (b"[", b"]"),
        (b"{\"a\":", b"}"),
        (b"{\"M\":{\"a\":", b"}}"),
        (b"{\"L\":[", b"]}"),
        (b"<a>", b"</a>"),
        (b"<a b=\"</a>\">", b"</a>"),
        (b"\x81", b""),
        (b"\xa1\x61a", b""),
        (b"\xc1", b""),
        (b"\x9f", b"\xff"),
        (b"\xbf\x61a", b"\xff"),
        (b"(", b")"),
        (b"a.", b""),
        (b"a.member.1.", b""),
    ];
    (select(shapes), amount(), amount())
        .prop_map(|((open, close), depth, closed)| [open.repeat(depth), close.repeat(closed)].concat())
}

/// What claims to be longer than it is.
fn claims() -> impl Strategy<Value = Vec<u8>> {
    (
        select(vec![0x5b_u8, 0x7b, 0x9b, 0xbb, 0x5a, 0x9a]),
        any::<u64>(),
        prop::collection::vec(any::<u8>(), 0..40),
    )
        .prop_map(|(head, length, rest)| {
            [&[0xa1, 0x61, b'a', head], &length.to_be_bytes()[..], &rest].concat()
        })
}

fn form() -> impl Strategy<Value = Vec<u8>> {
    let segment = prop_oneof![
        3 => word().prop_map(str::to_owned),
        2 => (0_u32..1200).prop_map(|n| n.to_string()),
        1 => Just("member".to_owned()),
        1 => any::<u64>().prop_map(|n| n.to_string()),
    ];
    let name = prop::collection::vec(segment, 1..8).prop_map(|segments| segments.join("."));
    (
        select(vec![
            "ListRoles",
            "Publish",
            "SendMessage",
            "PutMetricData",
            "CreateTopic",
            "TagPolicy",
        ]),
        prop::collection::vec((name, "[ -~]{0,12}"), 0..12),
        amount(),
    )
        .prop_map(|(action, parameters, times)| {
            let mut text = format!("Action={action}&Version=2010-05-08");
            for n in 0..times.min(4_000) {
                for (name, value) in &parameters {
                    text.push_str(&format!("&{n}{name}={value}"));
                }
            }
            text.into_bytes()
        })
}

fn json() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        any::<f64>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        "[ -~]{0,20}".prop_map(serde_json::Value::from),
        word().prop_map(serde_json::Value::from),
        Just(serde_json::Value::Null),
    ];
    let value = leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::vec((word(), inner), 0..5).prop_map(|fields| {
                let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
                serde_json::Value::Object(fields.collect())
            }),
        ]
    });
    prop::collection::vec((word(), value), 0..6).prop_map(|fields| {
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
        serde_json::Value::Object(fields.collect())
            .to_string()
            .into_bytes()
    })
}

/// Patterns and expressions, in the parameters that hold them.
fn pattern() -> impl Strategy<Value = Vec<u8>> {
    let part = select(vec![
        "(",
        ")",
        "{",
        "}",
        "[",
        "]",
        " && ",
        " || ",
        "$.a",
        "$.a[0]",
        " = 1",
        " IS NULL",
        " NOT EXISTS",
        "\"",
        "*",
        "?a",
        "-a",
        "%a%",
        "{\"data\":",
        "{\"numeric\":[\">\",1]}",
        "\"$or\":",
        ",",
        ":",
        "SUM(",
        "m1",
        "+",
        "a = :v",
        " AND ",
        "NOT ",
        "SET a = ",
        "attribute_exists(",
    ]);
    let text = prop::collection::vec((part, amount()), 0..12).prop_map(|parts| {
        let parts = parts
            .into_iter()
            .map(|(part, times)| part.repeat(times.min(20_000)));
        parts.collect::<String>()
    });
    text.prop_map(|text| {
        serde_json::json!({
            "logGroupName": "g", "filterPattern": text, "FilterCriteria": {"Filters": [{"Pattern": text}]},
            "FunctionName": "f", "EventSourceArn": "arn:aws:kinesis:us-east-1:000000000000:stream/a",
            "StartingPosition": "LATEST", "TableName": "tab", "KeyConditionExpression": text, "UpdateExpression": text,
            "Key": {"a": {"S": "1"}}, "StartTime": 0, "EndTime": 60,
            "MetricDataQueries": [{"Id": "e", "Expression": text}],
        })
        .to_string()
        .into_bytes()
    })
}

fn xml() -> impl Strategy<Value = Vec<u8>> {
    let part = select(vec![
        "<Delete>",
        "</Delete>",
        "<Object><Key>k</Key></Object>",
        "<Tagging><TagSet>",
        "<DistributionConfig><Origins><Quantity>1</Quantity><Items><Origin>",
        "<InvalidationBatch><Paths><Quantity>1</Quantity><Items><Path>/*</Path></Items></Paths>",
        "<!DOCTYPE a [<!ENTITY b \"&a;&a;\">]>",
        "&b;",
        "&#x10ffff;",
        "&#0;",
        "<![CDATA[",
        "]]>",
        "<!--",
        "-->",
        "<?xml version=\"1.0\"?>",
        "<a b='",
        "'>",
        "<a/>",
        "text",
        "<Part><PartNumber>1</PartNumber></Part>",
    ]);
    prop::collection::vec((part, amount()), 1..8).prop_map(|parts| {
        let parts = parts
            .into_iter()
            .map(|(part, times)| part.repeat(times.min(5_000)));
        ["<", &parts.collect::<String>()].concat().into_bytes()
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let whole = prop_oneof![
        2 => prop::collection::vec(any::<u8>(), 0..200),
        3 => nested(),
        1 => claims(),
        3 => form(),
        3 => json(),
        3 => pattern(),
        2 => xml(),
    ];
    // Some are cut, or have a part that is not right.
    let damage = (any::<prop::sample::Index>(), any::<u8>(), 0..4);
    (whole, damage).prop_map(|(mut body, (at, byte, kind))| {
        if !body.is_empty() {
            let at = at.index(body.len());
            match kind {
                0 => body.truncate(at),
                1 => body[at] = byte,
                _ => {}
            }
        }
        body
    })
}

fn request(route: &Route, body: Vec<u8>) -> Request<Full<Bytes>> {
    let service = route.service;
    let mut request = Request::builder()
        .method(route.method)
        .uri(route.path)
        .header("host", "127.0.0.1")
        .header("content-type", route.content_type)
        .header(
            "authorization",
            format!("AWS4-HMAC-SHA256 Credential=a/{DATE}/us-east-1/{service}/aws4_request, Signature=0"),
        );
    if !route.target.is_empty() {
        request = request.header("x-amz-target", &route.target);
    }
    request.body(Full::new(body.into())).unwrap()
}

async fn ask(door: &Door, route: &Route, body: Vec<u8>) -> (u16, Bytes) {
    let response = door.answer(request(route, body)).await;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, body)
}

/// A stream and a log group with an event, so that requests get past the check that there is one.
async fn prepare(door: &Door) {
    for (service, target, body) in [
        (
            "kinesis",
            "Kinesis_20131202.CreateStream",
            r#"{"StreamName":"a","ShardCount":1}"#,
        ),
        ("logs", "Logs_20140328.CreateLogGroup", r#"{"logGroupName":"g"}"#),
        (
            "logs",
            "Logs_20140328.CreateLogStream",
            r#"{"logGroupName":"g","logStreamName":"s"}"#,
        ),
        (
            "dynamodb",
            "DynamoDB_20120810.CreateTable",
            r#"{"TableName":"tab","BillingMode":"PAY_PER_REQUEST","KeySchema":[{"AttributeName":"a","KeyType":"HASH"}],
            "AttributeDefinitions":[{"AttributeName":"a","AttributeType":"S"}]}"#,
        ),
    ] {
        let route = Route {
            service,
            method: "POST",
            path: "/",
            target: target.to_owned(),
            content_type: "application/x-amz-json-1.1",
        };
        let (status, answer) = ask(door, &route, body.into()).await;
        assert_eq!(status, 200, "{answer:?}");
    }
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let event = serde_json::json!({
        "logGroupName": "g", "logStreamName": "s",
        "logEvents": [{"timestamp": u64::try_from(now.as_millis()).unwrap(), "message": "{\"a\":{\"a\":[1]}}"}],
    });
    let route = Route {
        service: "logs",
        method: "POST",
        path: "/",
        target: "Logs_20140328.PutLogEvents".to_owned(),
        content_type: "application/x-amz-json-1.1",
    };
    let (status, answer) = ask(door, &route, event.to_string().into_bytes()).await;
    assert_eq!(status, 200, "{answer:?}");
}

#[test]
fn hostile_requests_are_answered_within_bounds() {
    let cases = std::env::var("STREAMCTL_FUZZ_CASES").map_or(CASES, |cases| cases.parse().unwrap());
    let mut largest = 0;
    let mut done = 0;
    while done < cases {
        let round = ROUND.min(cases - done);
        largest = largest.max(ask_one_cloud(round));
        done += round;
        eprintln!("{done} requests; the largest took {largest} bytes");
    }
}

/// Sends `cases` requests to a new cloud; returns the most bytes that one of them took.
fn ask_one_cloud(cases: u32) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let door = Door::open(dir.path()).unwrap();
    runtime.block_on(prepare(&door));
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..ProptestConfig::default()
    };
    let largest = AtomicUsize::new(0);
    let result = TestRunner::new(config).run(&(route(), body()), |(route, body)| {
        let before = ALLOCATED.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        let length = body.len();
        let (status, answer) = runtime.block_on(ask(&door, &route, body));
        let taken = PEAK.load(Ordering::Relaxed).saturating_sub(before);
        largest.fetch_max(taken, Ordering::Relaxed);
        // A panic is answered so.
        prop_assert!(
            status != 500 || !answer.windows(23).any(|text| text == b"its log has the details"),
            "a panic"
        );
        prop_assert!(
            taken <= MAX_ALLOCATED,
            "{taken} bytes for a request of {length} bytes"
        );
        Ok(())
    });
    result.unwrap();
    largest.into_inner()
}
