//! Each operation in each protocol, and the AWS SDK with a local server.

use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::*;
use crate::clock::ManualClock;

mod alarms;
mod composite;
mod math;
mod mutes;
mod read;
mod sdk;

/// 2026-11-21T09:00:00Z.
const NOON: i64 = 1_795_251_600_000;
const TARGET: &str = "GraniteServiceVersion20100801";

struct Cloud {
    watch: Arc<CloudWatch>,
    clock: Arc<ManualClock>,
    _dir: tempfile::TempDir,
}

fn caller() -> Caller {
    Caller {
        account: crate::types::ACCOUNT.into(),
        region: "us-east-1".into(),
    }
}

fn cloud() -> Cloud {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(NOON));
    let watch = CloudWatch::open(dir.path(), clock.clone()).unwrap();
    Cloud {
        watch,
        clock,
        _dir: dir,
    }
}

impl Cloud {
    fn send(&self, request: http::request::Builder, body: Vec<u8>) -> Option<(http::response::Parts, Bytes)> {
        let (parts, body) = request.body(Bytes::from(body)).unwrap().into_parts();
        let response = self.watch.handle(&caller(), &parts, &body)?;
        let (parts, body) = response.into_parts();
        let body = futures_util::FutureExt::now_or_never(body.collect())
            .unwrap()
            .unwrap()
            .to_bytes();
        Some((parts, body))
    }

    fn json(&self, operation: &str, input: &Value) -> Result<Value, (String, String)> {
        let request = http::Request::post("/").header("x-amz-target", format!("{TARGET}.{operation}"));
        let (parts, body) = self.send(request, input.to_string().into_bytes()).unwrap();
        result(&parts, serde_json::from_slice(&body).unwrap())
    }

    fn cbor(&self, operation: &str, input: &Value) -> Result<Value, (String, String)> {
        let mut body = Vec::new();
        ciborium::into_writer(input, &mut body).unwrap();
        let request = http::Request::post(format!("/service/{TARGET}/operation/{operation}"))
            .header("smithy-protocol", "rpc-v2-cbor");
        let (parts, body) = self.send(request, body).unwrap();
        assert_eq!(parts.headers["smithy-protocol"], "rpc-v2-cbor");
        let tree: ciborium::Value = ciborium::from_reader(&body[..]).unwrap();
        result(&parts, untagged(tree))
    }

    fn query(&self, form: &str) -> (u16, String) {
        let request = http::Request::post("/")
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8");
        let (parts, body) = self.send(request, form.as_bytes().to_vec()).unwrap();
        (parts.status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
    }

    fn put(&self, data: Value) -> Result<Value, (String, String)> {
        self.json("PutMetricData", &json!({"Namespace": "App", "MetricData": data}))
    }

    fn requests(&self, minute: i64, value: f64) {
        let at = NOON / 1000 + minute * 60;
        let datum = json!([{"MetricName": "Requests", "Timestamp": at, "Value": value, "Unit": "Count"}]);
        self.put(datum).unwrap();
    }

    fn data(&self, queries: Value, minutes: i64) -> Result<Value, (String, String)> {
        self.json(
            "GetMetricData",
            &over_minutes(json!({"MetricDataQueries": queries}), minutes),
        )
    }
}

fn result(parts: &http::response::Parts, body: Value) -> Result<Value, (String, String)> {
    if parts.status.is_success() {
        return Ok(body);
    }
    let code = parts.headers["x-amzn-query-error"].to_str().unwrap().to_owned();
    Err((code, body["message"].as_str().unwrap().to_owned()))
}

fn untagged(tree: ciborium::Value) -> Value {
    match tree {
        ciborium::Value::Tag(1, inner) => json!({ "time": untagged(*inner) }),
        ciborium::Value::Array(items) => items.into_iter().map(untagged).collect(),
        ciborium::Value::Map(fields) => fields
            .into_iter()
            .map(|(k, v)| (k.into_text().unwrap(), untagged(v)))
            .collect(),
        other => other.deserialized().unwrap(),
    }
}

/// `input` with a time range of `minutes` from noon.
fn over_minutes(mut input: Value, minutes: i64) -> Value {
    input["StartTime"] = json!(NOON / 1000);
    input["EndTime"] = json!(NOON / 1000 + minutes * 60);
    input
}

fn query(id: &str, name: &str, period: i64, stat: &str) -> Value {
    let metric = json!({"Namespace": "App", "MetricName": name});
    json!({"Id": id, "MetricStat": {"Metric": metric, "Period": period, "Stat": stat}})
}

#[test]
fn the_three_protocols_have_the_same_results() {
    let cloud = cloud();
    let datum = json!([{"MetricName": "Requests", "Value": 2.0, "Unit": "Count",
        "Dimensions": [{"Name": "Path", "Value": "/a"}]}]);
    cloud.put(datum.clone()).unwrap();
    cloud
        .cbor("PutMetricData", &json!({"Namespace": "App", "MetricData": datum}))
        .unwrap();
    let (status, _) = cloud.query(
        "Action=PutMetricData&Version=2010-08-01&Namespace=App&MetricData.member.1.MetricName=Requests\
         &MetricData.member.1.Value=5&MetricData.member.1.Unit=Count&MetricData.member.1.Timestamp=2026-11-21T09%3A00%3A30Z\
         &MetricData.member.1.Dimensions.member.1.Name=Path&MetricData.member.1.Dimensions.member.1.Value=%2Fa",
    );
    assert_eq!(status, 200);

    let ask = over_minutes(
        json!({"Namespace": "App", "MetricName": "Requests", "Period": 60, "Statistics": ["Sum", "Average", "SampleCount"],
            "Dimensions": [{"Name": "Path", "Value": "/a"}]}),
        1,
    );
    let expected = json!({"Label": "Requests", "Datapoints": [
        {"Timestamp": NOON / 1000, "Sum": 9.0, "Average": 3.0, "SampleCount": 3.0, "Unit": "Count"}]});
    assert_eq!(cloud.json("GetMetricStatistics", &ask).unwrap(), expected);
    let mut in_cbor = expected;
    in_cbor["Datapoints"][0]["Timestamp"] = json!({"time": NOON as f64 / 1000.0});
    assert_eq!(cloud.cbor("GetMetricStatistics", &ask).unwrap(), in_cbor);
    let (_, xml) = cloud.query(
        "Action=GetMetricStatistics&Version=2010-08-01&Namespace=App&MetricName=Requests&Period=60\
         &StartTime=2026-11-21T09:00:00Z&EndTime=2026-11-21T09:01:00Z&Statistics.member.1=Sum\
         &Dimensions.member.1.Name=Path&Dimensions.member.1.Value=/a",
    );
    let xml = xml.split("<ResponseMetadata>").next().unwrap();
    insta::assert_snapshot!(xml, @r#"<GetMetricStatisticsResponse xmlns="http://monitoring.amazonaws.com/doc/2010-08-01/"><GetMetricStatisticsResult><Label>Requests</Label><Datapoints><member><Timestamp>2026-11-21T09:00:00Z</Timestamp><Sum>9</Sum><Unit>Count</Unit></member></Datapoints></GetMetricStatisticsResult>"#);
}

#[test]
fn errors_have_the_codes_of_each_protocol() {
    let cloud = cloud();
    let input = json!({"MetricData": []});
    let missing = (
        "MissingParameter;Sender".to_owned(),
        "The parameter Namespace is required.".to_owned(),
    );
    assert_eq!(cloud.json("PutMetricData", &input), Err(missing.clone()));
    assert_eq!(cloud.cbor("PutMetricData", &input), Err(missing));
    let (status, xml) = cloud.query("Action=PutMetricData&Version=2010-08-01");
    assert_eq!(status, 400);
    assert!(xml.contains("<Code>MissingParameter</Code>"), "{xml}");
}

#[test]
fn other_operations_and_services_are_not_handled() {
    let cloud = cloud();
    let ask = |request: http::request::Builder, body: &str| cloud.send(request, body.into()).is_none();
    let post = || http::Request::post("/");
    assert!(ask(
        post().header("x-amz-target", format!("{TARGET}.PutMetricStream")),
        "{}"
    ));
    assert!(ask(
        post().header("x-amz-target", "Kinesis_20131202.ListStreams"),
        "{}"
    ));
    assert!(ask(
        http::Request::post(format!("/service/{TARGET}/operation/PutInsightRule")),
        ""
    ));
    let form = || post().header("content-type", "application/x-www-form-urlencoded");
    assert!(ask(form(), "Action=PutInsightRule&Version=2010-08-01"));
    assert!(ask(form(), "Action=ListMetrics&Version=2011-06-15"));
    let signed = "AWS4-HMAC-SHA256 Credential=local/20261121/us-east-1/sts/aws4_request, SignedHeaders=host";
    assert!(ask(form().header("authorization", signed), "Action=ListMetrics"));
    assert!(ask(post(), "hello"));
}

#[test]
fn compressed_bodies_are_decompressed() {
    use std::io::Write;
    let cloud = cloud();
    let input = json!({"Namespace": "App", "MetricData": [{"MetricName": "A", "Value": 1}]});
    let gzip = |text: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    let request = || {
        let target = format!("{TARGET}.PutMetricData");
        http::Request::post("/")
            .header("x-amz-target", target)
            .header("content-encoding", "gzip")
    };
    let status = |body| cloud.send(request(), body).unwrap().0.status.as_u16();
    assert_eq!(status(gzip(input.to_string().as_bytes())), 200);
    assert_eq!(status(b"not gzip".to_vec()), 400);
    assert_eq!(status(gzip(&vec![b' '; 17 << 20])), 413);
}

#[test]
fn put_rejects_invalid_input_as_aws_does() {
    let cloud = cloud();
    let refused = |datum: Value| cloud.put(json!([datum])).unwrap_err();
    let says = |datum: Value, code: &str, text: &str| {
        let (found, message) = refused(datum.clone());
        assert!(
            found.starts_with(code) && message.contains(text),
            "{datum}: {found} {message}"
        );
    };
    let value = "InvalidParameterValue";
    says(
        json!({"MetricName": "A", "Value": "NaN"}),
        value,
        "MetricData.member.1.Value",
    );
    says(
        json!({"MetricName": "A", "Value": 1e300}),
        value,
        "MetricData.member.1.Value",
    );
    says(json!({"MetricName": "", "Value": 1}), value, "must not be empty");
    says(
        json!({"MetricName": "x".repeat(256), "Value": 1}),
        value,
        "shorter than 256",
    );
    says(json!({"MetricName": "a\u{1f}b", "Value": 1}), value, "MetricName");
    says(
        json!({"MetricName": "A", "Value": 1, "Unit": "Apples"}),
        value,
        "in the set",
    );
    says(
        json!({"MetricName": "A"}),
        "MissingParameter",
        "MetricData.member.1.Value",
    );
    says(
        json!({"Value": 1}),
        "MissingParameter",
        "MetricData.member.1.MetricName",
    );
    let day = 24 * 3600;
    says(
        json!({"MetricName": "A", "Value": 1, "Timestamp": NOON / 1000 - 15 * day}),
        value,
        "past two weeks",
    );
    says(
        json!({"MetricName": "A", "Value": 1, "Timestamp": NOON / 1000 + 3 * 3600}),
        value,
        "two hours",
    );
    says(
        json!({"MetricName": "A", "Values": [1, 2], "Counts": [1]}),
        "InvalidParameterCombination",
        "same size",
    );
    says(
        json!({"MetricName": "A", "Values": [1], "Value": 1}),
        "InvalidParameterCombination",
        "mutually exclusive",
    );
    says(
        json!({"MetricName": "A", "Values": vec![1; 151]}),
        value,
        "greater than 150",
    );
    let dimensions: Vec<_> = (0..31)
        .map(|i| json!({"Name": format!("n{i}"), "Value": "v"}))
        .collect();
    says(
        json!({"MetricName": "A", "Value": 1, "Dimensions": dimensions}),
        value,
        "greater than 30",
    );
    let set = json!({"SampleCount": 1, "Sum": 1, "Minimum": 2, "Maximum": 1});
    says(
        json!({"MetricName": "A", "StatisticValues": set}),
        "InvalidParameterCombination",
        "Minimum",
    );
    let many: Vec<_> = (0..1001)
        .map(|_| json!({"MetricName": "A", "Value": 1}))
        .collect();
    assert!(
        cloud
            .put(json!(many))
            .unwrap_err()
            .1
            .contains("greater than 1000")
    );
    let reserved = json!({"Namespace": "AWS/Kinesis", "MetricData": [{"MetricName": "A", "Value": 1}]});
    assert!(
        cloud
            .cbor("PutMetricData", &reserved)
            .unwrap_err()
            .1
            .contains("AWS/Kinesis")
    );
    // One invalid datum rejects the whole request.
    cloud
        .put(json!([{"MetricName": "Good", "Value": 1}, {"MetricName": "Bad"}]))
        .unwrap_err();
    assert_eq!(
        cloud.json("ListMetrics", &json!({})).unwrap(),
        json!({"Metrics": []})
    );
}

#[test]
fn metrics_of_services_are_visible_immediately_in_their_region_only() {
    let cloud = cloud();
    let dimensions = [("StreamName", "orders")];
    for count in [3.0, 5.0] {
        cloud.watch.record(
            &caller(),
            "AWS/Kinesis",
            "IncomingRecords",
            &dimensions,
            "Count",
            Sample::of(count),
        );
    }
    let ask = over_minutes(
        json!({"Namespace": "AWS/Kinesis", "MetricName": "IncomingRecords", "Period": 60, "Statistics": ["Sum"],
            "Dimensions": [{"Name": "StreamName", "Value": "orders"}]}),
        1,
    );
    let found = cloud.json("GetMetricStatistics", &ask).unwrap();
    assert_eq!(found["Datapoints"][0]["Sum"], 8.0);
    let elsewhere = Caller {
        region: "eu-west-1".into(),
        ..caller()
    };
    assert_eq!(cloud.watch.store().list(&elsewhere, None).count(), 0);
}

#[test]
fn metrics_survive_a_restart_and_a_damaged_file() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(NOON));
    let latency = |watch: &CloudWatch| {
        let store = watch.store();
        let metric = store.find(&caller(), "AWS/Kinesis", "Latency", &[]).cloned();
        metric.map(|metric| metric.units["Milliseconds"].clone())
    };
    let watch = CloudWatch::open(dir.path(), clock.clone()).unwrap();
    for value in [0.1, 7.25] {
        watch.record(
            &caller(),
            "AWS/Kinesis",
            "Latency",
            &[],
            "Milliseconds",
            Sample::of(value),
        );
    }
    watch.tick();
    clock.advance(60_000);
    watch.record(
        &caller(),
        "AWS/Kinesis",
        "Latency",
        &[],
        "Milliseconds",
        Sample::of(1.0),
    );
    watch.shutdown();
    let before = latency(&watch).unwrap();
    assert_eq!(before.len(), 2);
    drop(watch);

    let watch = CloudWatch::open(dir.path(), clock.clone()).unwrap();
    assert_eq!(latency(&watch), Some(before));
    #[cfg(unix)]
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o077, 0);
    }

    let file = std::fs::read_dir(dir.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    std::fs::write(&file, b"damaged").unwrap();
    let watch = CloudWatch::open(dir.path(), clock).unwrap();
    assert_eq!(latency(&watch), None);
    assert!(file.with_extension("unreadable").exists());
}

#[tokio::test]
async fn what_is_not_offered_is_named() {
    let watch = cloud().watch;
    let mut refusals = Vec::new();
    for operation in [
        "PutMetricStream",
        "GetMetricWidgetImage",
        "PutAnomalyDetector",
        "Sing",
    ] {
        let request = |builder: http::request::Builder, body: String| {
            let (parts, body) = builder.body(Bytes::from(body)).unwrap().into_parts();
            let caller = caller();
            Arc::clone(&watch).call(Request { caller, parts, body })
        };
        let target = format!("{TARGET}.{operation}");
        let in_json = request(
            http::Request::post("/").header("x-amz-target", target),
            "{}".to_owned(),
        );
        let form = "application/x-www-form-urlencoded";
        let in_query = request(
            http::Request::post("/").header("content-type", form),
            format!("Action={operation}&Version=2010-08-01"),
        );
        let text =
            |response: Response<Body>| String::from_utf8(crate::test_support::whole_body(response).to_vec());
        let in_json: Value = serde_json::from_str(&text(in_json.await).unwrap()).unwrap();
        let message = in_json["message"].as_str().unwrap().to_owned();
        assert!(text(in_query.await).unwrap().contains(operation), "{operation}");
        refusals.push(message);
    }
    insta::assert_snapshot!(refusals.join("\n"), @r"
    The local cloud does not offer CloudWatch's PutMetricStream: it has no metric streams.
    The local cloud does not offer CloudWatch's GetMetricWidgetImage: it has no images of metrics, whose values GetMetricData returns.
    The local cloud does not offer CloudWatch's PutAnomalyDetector: it has no anomaly detection.
    The local cloud does not offer CloudWatch's operation Sing.
    ");
}
