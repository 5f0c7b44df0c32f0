//! Random damage to the files of the whole cloud: each service serves what was acknowledged or reports its damage, and the
//! others are not affected.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;

use futures_util::FutureExt;
use http_body_util::BodyExt;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cloud::Cloud;
use crate::service::Request;
use crate::test_support::{all_files, copy_all, damage_file, fault_rounds};
use crate::types::Caller;
use daemon::Options;
use daemon::secret::Secret;

const ROLE: &str = "arn:aws:iam::000000000000:role/scorer";
const STREAM: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/orders";
const FUNCTIONS: &str = "/2015-03-31/functions";
const MAPPINGS: &str = "/2015-03-31/event-source-mappings";

fn open(dir: &Path) -> Cloud {
    let options = Options {
        status_delay: std::time::Duration::ZERO,
        ..Options::default()
    };
    Cloud::open(dir, options, "http://127.0.0.1:1", &Secret::for_tests()).unwrap()
}

/// As the process does it: its tasks run meanwhile.
async fn close(cloud: Cloud) {
    tokio::task::spawn_blocking(move || cloud.shutdown())
        .await
        .unwrap();
}

/// Sends a request. Returns the body of a success, or the one of an error.
async fn send(cloud: &Cloud, service: &str, request: http::Request<String>) -> Result<String, String> {
    let (is_success, _, body) = exchange(cloud, service, request).await;
    if is_success { Ok(body) } else { Err(body) }
}

/// Sends a request. Returns whether it succeeded, the headers of the response, and its body.
async fn exchange(
    cloud: &Cloud,
    service: &str,
    request: http::Request<String>,
) -> (bool, http::HeaderMap, String) {
    let (parts, body) = request.into_parts();
    let entry = cloud.services.signed(service).unwrap();
    let caller = Caller {
        account: "000000000000".to_owned(),
        region: "us-east-1".to_owned(),
    };
    let request = Request {
        caller,
        parts,
        body: body.into(),
    };
    let response = Arc::clone(&entry.service).call(request).await;
    let is_success = response.status().is_success();
    let headers = response.headers().clone();
    match response.into_body().collect().await {
        Ok(body) => {
            let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
            (is_success, headers, body)
        }
        // A streamed body breaks off.
        Err(error) => (false, headers, error.to_string()),
    }
}

async fn rpc(cloud: &Cloud, service: &str, target: &str, input: Value) -> Result<String, String> {
    let request = http::Request::post("/")
        .header("x-amz-target", target)
        .header("content-type", "application/x-amz-json-1.1")
        .body(input.to_string());
    send(cloud, service, request.unwrap()).await
}

async fn form(cloud: &Cloud, service: &str, form: &str) -> Result<String, String> {
    let request = http::Request::post("/")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form.to_owned());
    send(cloud, service, request.unwrap()).await
}

async fn rest(cloud: &Cloud, method: &str, path: &str, body: Value) -> Result<String, String> {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let request = http::Request::builder().method(method).uri(path).body(body);
    send(cloud, "lambda", request.unwrap()).await
}

async fn s3(cloud: &Cloud, method: &str, path: &str, body: &str) -> (bool, http::HeaderMap, String) {
    let request = http::Request::builder().method(method).uri(path);
    exchange(cloud, "s3", request.body(body.to_owned()).unwrap()).await
}

/// Bytes of the first part of an upload, the fewest that S3 takes.
const PART: usize = 5 << 20;

/// `length` bytes of numbered lines.
fn lines(length: usize) -> String {
    let mut text: String = (0..=length / 8).map(|line| format!("{line:07}\n")).collect();
    text.truncate(length);
    text
}

/// Objects of all kinds: small ones, a large one, one of several files, versions. Returns paths and data.
async fn make_objects(cloud: &Cloud) -> Vec<(String, String)> {
    let put = async |path: &str, body: &str| {
        let (is_success, headers, answer) = s3(cloud, "PUT", path, body).await;
        assert!(is_success, "{path}: {answer}");
        headers
    };
    let header = |headers: &http::HeaderMap, name: &str| headers[name].to_str().unwrap().to_owned();
    let mut made = Vec::new();
    put("/plain", "").await;
    for at in 0..5 {
        made.push((format!("/plain/small-{at}"), lines(100 + at)));
    }
    made.push(("/plain/large".to_owned(), lines(700_000)));
    for (path, data) in &made {
        put(path, data).await;
    }
    let (_, _, begun) = s3(cloud, "POST", "/plain/parts?uploads", "").await;
    let upload = begun.split("<UploadId>").nth(1).unwrap();
    let upload = upload.split('<').next().unwrap();
    let data = lines(PART + 1000);
    let mut parts = String::new();
    for (number, data) in [(1, &data[..PART]), (2, &data[PART..])] {
        let path = format!("/plain/parts?partNumber={number}&uploadId={upload}");
        let etag = header(&put(&path, data).await, "etag");
        parts.push_str(&format!(
            "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
        ));
    }
    let parts = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
    let path = format!("/plain/parts?uploadId={upload}");
    let (is_success, _, answer) = s3(cloud, "POST", &path, &parts).await;
    assert!(is_success, "{answer}");
    made.push(("/plain/parts".to_owned(), data));
    put("/archive", "").await;
    let enabled = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    put("/archive?versioning", enabled).await;
    for length in [50, 3000] {
        let data = lines(length);
        let version = header(&put("/archive/report", &data).await, "x-amz-version-id");
        made.push((format!("/archive/report?versionId={version}"), data));
    }
    made
}

/// Whether every object is served as it was put, as a whole and in part.
async fn look_at_objects(cloud: &Cloud, made: &[(String, String)]) -> bool {
    let mut all = true;
    for (path, data) in made {
        let (is_success, _, body) = s3(cloud, "GET", path, "").await;
        all &= is_success && body == *data;
        let middle = data.len() / 2;
        let range = format!("bytes={middle}-{}", middle + 19);
        let request = http::Request::get(path).header("range", range);
        let (is_success, _, body) = exchange(cloud, "s3", request.body(String::new()).unwrap()).await;
        all &= is_success && body == data[middle..middle + 20];
    }
    let (is_success, _, list) = s3(cloud, "GET", "/plain?list-type=2", "").await;
    all && is_success && list.contains("<KeyCount>7</KeyCount>")
}

/// What was acknowledged by each service.
struct Made {
    /// Paths and data.
    objects: Vec<(String, String)>,
    queue: String,
    key: String,
    topic: String,
    mapping: String,
    api: String,
    /// The id of an origin access control.
    access: String,
    rest_api: String,
}

async fn make(cloud: &Cloud) -> Made {
    let table = json!({
        "TableName": "scores", "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    });
    rpc(cloud, "dynamodb", "DynamoDB_20120810.CreateTable", table)
        .await
        .unwrap();
    for at in 0..30 {
        let item = json!({"id": {"S": format!("item {at}")}, "text": {"S": "x".repeat(300)}});
        let input = json!({"TableName": "scores", "Item": item});
        rpc(cloud, "dynamodb", "DynamoDB_20120810.PutItem", input)
            .await
            .unwrap();
    }
    let text = |answer: String, pointer: &str| {
        let value: Value = serde_json::from_str(&answer).unwrap();
        value.pointer(pointer).unwrap().as_str().unwrap().to_owned()
    };
    let queue = rpc(
        cloud,
        "sqs",
        "AmazonSQS.CreateQueue",
        json!({"QueueName": "failed"}),
    )
    .await;
    let queue = text(queue.unwrap(), "/QueueUrl");
    for at in 0..5 {
        let input = json!({"QueueUrl": queue, "MessageBody": format!("message {at}")});
        rpc(cloud, "sqs", "AmazonSQS.SendMessage", input).await.unwrap();
    }
    let group = json!({"logGroupName": "/app"});
    rpc(cloud, "logs", "Logs_20140328.CreateLogGroup", group)
        .await
        .unwrap();
    let stream = json!({"logGroupName": "/app", "logStreamName": "one"});
    rpc(cloud, "logs", "Logs_20140328.CreateLogStream", stream)
        .await
        .unwrap();
    let services = ["lambda.amazonaws.com", "firehose.amazonaws.com"];
    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": services}, "Action": "sts:AssumeRole"},
    ]});
    let policy: String = form_urlencoded::byte_serialize(policy.to_string().as_bytes()).collect();
    let role =
        format!("Action=CreateRole&Version=2010-05-08&RoleName=scorer&AssumeRolePolicyDocument={policy}");
    form(cloud, "iam", &role).await.unwrap();
    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "kinesis:*", "Resource": "*"},
    ]});
    let policy: String = form_urlencoded::byte_serialize(policy.to_string().as_bytes()).collect();
    let allow = format!(
        "Action=PutRolePolicy&Version=2010-05-08&RoleName=scorer&PolicyName=p&PolicyDocument={policy}"
    );
    form(cloud, "iam", &allow).await.unwrap();
    let key = rpc(cloud, "kms", "TrentService.CreateKey", json!({})).await;
    let key = text(key.unwrap(), "/KeyMetadata/KeyId");
    let topic = form(cloud, "sns", "Action=CreateTopic&Version=2010-03-31&Name=alarms")
        .await
        .unwrap();
    let topic = topic.split("<TopicArn>").nth(1).unwrap();
    let topic = topic.split('<').next().unwrap().to_owned();
    let dashboard = "Action=PutDashboard&Version=2010-08-01&DashboardName=main&DashboardBody=%7B%22widgets%22%3A%5B%5D%7D";
    form(cloud, "monitoring", dashboard).await.unwrap();
    let mute = "Action=PutAlarmMuteRule&Version=2010-08-01&Name=night&Rule.Schedule.Duration=PT1H\
                &Rule.Schedule.Expression=at%282026-11-28T22%3A00%29";
    form(cloud, "monitoring", mute).await.unwrap();
    let orders = json!({"StreamName": "orders", "ShardCount": 1});
    rpc(cloud, "kinesis", "Kinesis_20131202.CreateStream", orders)
        .await
        .unwrap();
    let record = json!({"StreamName": "orders", "PartitionKey": "k", "Data": "aGVsbG8="});
    rpc(cloud, "kinesis", "Kinesis_20131202.PutRecord", record)
        .await
        .unwrap();
    let archived = json!({"StreamName": "archived", "StreamModeDetails": {"StreamMode": "ON_DEMAND"}});
    rpc(cloud, "kinesis", "Kinesis_20131202.CreateStream", archived)
        .await
        .unwrap();
    let channel = json!({
        "ChannelName": "archive", "ServiceExecutionRoleARN": ROLE,
        "StreamConfigurationList": [{
            "StreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/archived",
            "RecordConfiguration": {"RecordFormatType": "JSON"},
        }],
        "S3DestinationConfiguration": {"StorageConfiguration": {
            "BucketARN": "arn:aws:s3:::lake", "ExpectedBucketOwner": "000000000000", "CompressionType": "NONE",
        }},
    });
    rpc(cloud, "kinesis", "Kinesis_20131202.CreateChannel", channel)
        .await
        .unwrap();
    let carts = json!({
        "DeliveryStreamName": "carts",
        "ExtendedS3DestinationConfiguration": {"RoleARN": ROLE, "BucketARN": "arn:aws:s3:::lake"},
    });
    rpc(cloud, "firehose", "Firehose_20150804.CreateDeliveryStream", carts)
        .await
        .unwrap();
    for _ in 0..10 {
        let data = base64_simd::STANDARD.encode_to_string("x".repeat(300));
        let record = json!({"DeliveryStreamName": "carts", "Record": {"Data": data}});
        rpc(cloud, "firehose", "Firehose_20150804.PutRecord", record)
            .await
            .unwrap();
    }
    let database = json!({"DatabaseInput": {"Name": "shop"}});
    rpc(cloud, "glue", "AWSGlue.CreateDatabase", database)
        .await
        .unwrap();
    let table = json!({"DatabaseName": "shop", "TableInput": {"Name": "orders", "Description": "Orders of the shop"}});
    rpc(cloud, "glue", "AWSGlue.CreateTable", table).await.unwrap();
    let group = json!({"Name": "shop", "Description": "Queries of the shop"});
    rpc(cloud, "athena", "AmazonAthena.CreateWorkGroup", group)
        .await
        .unwrap();
    let function = json!({
        "FunctionName": "scorer", "Role": ROLE, "Runtime": "provided.al2023", "Handler": "bootstrap",
        "Code": {"ZipFile": base64_simd::STANDARD.encode_to_string(zip())},
    });
    rest(cloud, "POST", FUNCTIONS, function).await.unwrap();
    let mapping = json!({
        "EventSourceArn": STREAM, "FunctionName": "scorer", "StartingPosition": "TRIM_HORIZON", "Enabled": false,
    });
    let mapping = text(rest(cloud, "POST", MAPPINGS, mapping).await.unwrap(), "/UUID");
    let api = json!({"name": "shop", "protocolType": "HTTP", "description": "Orders of the shop"});
    let api = http::Request::post("/v2/apis").body(api.to_string()).unwrap();
    let api = text(send(cloud, "apigateway", api).await.unwrap(), "/apiId");
    let access = "<OriginAccessControlConfig><Name>shop</Name><SigningProtocol>sigv4</SigningProtocol>\
        <SigningBehavior>always</SigningBehavior><OriginAccessControlOriginType>s3</OriginAccessControlOriginType>\
        </OriginAccessControlConfig>";
    let access = http::Request::post("/2020-05-31/origin-access-control").body(access.to_owned());
    let access = send(cloud, "cloudfront", access.unwrap()).await.unwrap();
    let access = ground::xml::Node::read(access.as_bytes()).unwrap();
    let rest_api = json!({"name": "carts", "description": "Carts of the shop"});
    let rest_api = http::Request::post("/restapis")
        .body(rest_api.to_string())
        .unwrap();
    let rest_api = text(send(cloud, "apigateway", rest_api).await.unwrap(), "/id");
    Made {
        api,
        access: access.text_of("Id").unwrap().to_owned(),
        rest_api,
        objects: make_objects(cloud).await,
        queue,
        key,
        topic,
        mapping,
    }
}

fn zip() -> Vec<u8> {
    use std::io::Write;
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().unix_permissions(0o755);
    writer.start_file("bootstrap", options).unwrap();
    writer.write_all(b"#!/bin/sh\n").unwrap();
    writer.finish().unwrap().into_inner()
}

/// For each service the part of its files' paths, and whether what was acknowledged is there.
async fn look(cloud: &Cloud, made: &Made) -> Vec<(&'static str, bool)> {
    let has = |answer: Result<String, String>, text: &str| answer.is_ok_and(|body| body.contains(text));
    let mut items = true;
    for at in 0..30 {
        let input = json!({"TableName": "scores", "Key": {"id": {"S": format!("item {at}")}}});
        let answer = rpc(cloud, "dynamodb", "DynamoDB_20120810.GetItem", input).await;
        items &= has(answer, &"x".repeat(300));
    }
    let input = json!({"QueueUrl": made.queue, "MaxNumberOfMessages": 10, "VisibilityTimeout": 0});
    let messages = rpc(cloud, "sqs", "AmazonSQS.ReceiveMessage", input).await;
    let messages = messages.is_ok_and(|body| (0..5).all(|at| body.contains(&format!("message {at}"))));
    let input = json!({"logGroupName": "/app"});
    let logs = rpc(cloud, "logs", "Logs_20140328.DescribeLogStreams", input).await;
    let role = form(cloud, "iam", "Action=GetRole&Version=2010-05-08&RoleName=scorer").await;
    let key = rpc(
        cloud,
        "kms",
        "TrentService.DescribeKey",
        json!({"KeyId": made.key}),
    )
    .await;
    let topics = form(cloud, "sns", "Action=ListTopics&Version=2010-03-31").await;
    let dashboard = form(
        cloud,
        "monitoring",
        "Action=GetDashboard&Version=2010-08-01&DashboardName=main",
    )
    .await;
    let mute = form(
        cloud,
        "monitoring",
        "Action=GetAlarmMuteRule&Version=2010-08-01&AlarmMuteRuleName=night",
    )
    .await;
    let function = rest(cloud, "GET", &format!("{FUNCTIONS}/scorer"), Value::Null).await;
    let mapping = rest(cloud, "GET", &format!("{MAPPINGS}/{}", made.mapping), Value::Null).await;
    let api = http::Request::get(format!("/v2/apis/{}", made.api)).body(String::new());
    let api = send(cloud, "apigateway", api.unwrap()).await;
    let access = format!("/2020-05-31/origin-access-control/{}", made.access);
    let access = http::Request::get(access).body(String::new());
    let access = send(cloud, "cloudfront", access.unwrap()).await;
    let rest_api = http::Request::get(format!("/restapis/{}", made.rest_api)).body(String::new());
    let rest_api = send(cloud, "apigateway", rest_api.unwrap()).await;
    let start = json!({
        "StreamName": "orders", "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON",
    });
    let iterator = rpc(cloud, "kinesis", "Kinesis_20131202.GetShardIterator", start).await;
    let iterator: Value = serde_json::from_str(&iterator.unwrap_or_default()).unwrap_or_default();
    let page = json!({"ShardIterator": iterator["ShardIterator"]});
    let records = rpc(cloud, "kinesis", "Kinesis_20131202.GetRecords", page).await;
    let channels = rpc(cloud, "kinesis", "Kinesis_20131202.ListChannels", json!({})).await;
    let carts = json!({"DeliveryStreamName": "carts"});
    let carts = rpc(
        cloud,
        "firehose",
        "Firehose_20150804.DescribeDeliveryStream",
        carts,
    )
    .await;
    let orders = json!({"DatabaseName": "shop", "Name": "orders"});
    let orders = rpc(cloud, "glue", "AWSGlue.GetTable", orders).await;
    let group = rpc(
        cloud,
        "athena",
        "AmazonAthena.GetWorkGroup",
        json!({"WorkGroup": "shop"}),
    )
    .await;
    vec![
        ("firehose/", has(carts, "ACTIVE")),
        ("glue.db", has(orders, "Orders of the shop")),
        ("athena.db", has(group, "Queries of the shop")),
        ("dynamodb.db", items),
        ("sqs.db", messages),
        ("logs.db", has(logs, "one")),
        ("iam.json", has(role, ROLE)),
        ("kms.json", has(key, &made.key)),
        ("sns.json", has(topics, &made.topic)),
        ("dashboards.json", has(dashboard, "widgets")),
        ("mutes.json", has(mute, "PT1H")),
        ("lambda/functions", has(function, "scorer")),
        ("mappings/", has(mapping, STREAM)),
        ("apigateway/", has(api, "Orders of the shop")),
        ("cloudfront/", has(access, "<Name>shop</Name>")),
        ("apigateway/rest", has(rest_api, "Carts of the shop")),
        ("kinesis/", has(records, "aGVsbG8=")),
        ("/s3", look_at_objects(cloud, &made.objects).await),
        ("kinesis/channels", has(channels, "archive")),
    ]
}

async fn round(template: &Path, made: &Made, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let copy = TempDir::new().unwrap();
    copy_all(template, copy.path());
    // What is unpacked from the code of functions is unpacked again.
    let mut files = all_files(copy.path());
    files.retain(|path| !path.starts_with(copy.path().join("lambda/run")));
    let damaged = files.choose(&mut random).unwrap();
    damage_file(damaged, &mut random);
    let damaged = damaged.strip_prefix(copy.path()).unwrap();
    let damaged = format!("/{}", damaged.display());
    for start in 0..2 {
        let cloud = open(copy.path());
        let found = look(&cloud, made).await;
        let reports = cloud.services.damage();
        for (files, is_there) in found {
            let is_reported = reports.iter().any(|report| report.file.contains(files));
            assert!(is_there || is_reported, "{files}: {damaged}, start {start}");
            if !damaged.contains(files) {
                assert!(
                    is_there && !is_reported,
                    "{files} is not damaged: {damaged}, start {start}, {reports:?}"
                );
            }
        }
        close(cloud).await;
    }
}

#[tokio::test]
async fn each_service_serves_or_reports_and_the_others_run() {
    let dir = TempDir::new().unwrap();
    let cloud = open(dir.path());
    let made = make(&cloud).await;
    assert!(
        look(&cloud, &made).await.iter().all(|(_, is_there)| *is_there),
        "{:?}",
        look(&cloud, &made).await
    );
    close(cloud).await;
    for seed in 0..fault_rounds() {
        let done = AssertUnwindSafe(round(dir.path(), &made, seed))
            .catch_unwind()
            .await;
        assert!(done.is_ok(), "round {seed}");
    }
}
