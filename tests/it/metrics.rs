//! `streamctl metrics`: exact figures for the records that the test has put and read.

use aws_sdk_kinesis::types::MetricsName;
use insta::assert_snapshot;
use serde_json::Value;

use crate::support::{Cloud, block_on, is_active};

const STREAM: &str = "concert-data-stream";

/// Puts 100 records, each with 10 bytes of data and a partition key of 2 bytes.
fn put(cloud: &Cloud) {
    let lines: String = (0..100)
        .map(|n| format!("{{\"n\":{n:04}}}\n").replace(":0", ":1"))
        .collect();
    cloud.file("in.ndjson", &lines);
    cloud.ok(["put", "--file", "in.ndjson", "--partition-key", "kk"]);
}

fn total(document: &Value, name: &str) -> Value {
    let metrics = document["metrics"].as_array().unwrap();
    let metric = metrics
        .iter()
        .find(|metric| metric["name"] == name && metric["shard_id"].is_null());
    metric.unwrap()["total"].clone()
}

/// Removes what differs from run to run: times, rates (a run may span two minutes) and column widths.
fn filters() -> Vec<(&'static str, &'static str)> {
    vec![
        (
            r"\d{4}-\d\d-\d\d \d\d:\d\d to (\d{4}-\d\d-\d\d )?\d\d:\d\d UTC",
            "FROM to UNTIL UTC",
        ),
        (r" {2,}", "  "),
        (r"[\d.]+ m?s avg  [\d.]+ m?s", "TIME avg  TIME"),
        (r"\d\S* (m?s|min|h)\b.* max", "TIME max"),
        (r"[\d.]+( B| KiB)?/s", "RATE"),
        ("  [▁▂▃▄▅▆▇█ ]*[▁▂▃▄▅▆▇█]", "  BARS"),
    ]
}

/// Sets up a stream of two shards with shard-level metrics.
fn monitored(cloud: &Cloud) {
    cloud.stream(STREAM, 2);
    block_on(async {
        let client = cloud.kinesis();
        let enable = client.enable_enhanced_monitoring().stream_name(STREAM);
        enable.shard_level_metrics(MetricsName::All).send().await.unwrap();
        while !is_active(&client, STREAM).await {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    });
}

#[test]
fn sums_are_exact_immediately_after_a_put() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    put(&cloud);
    for args in [
        ["metrics", "--since", "1h", "--period", "1m"],
        ["metrics", "--since", "10m", "--period", "5m"],
        ["metrics", "--since", "1d", "--period", "1h"],
        ["metrics", "--since", "15d", "--period", "1d"],
    ] {
        let found = cloud.json(args);
        assert_eq!(total(&found, "IncomingRecords"), 100.0, "{args:?}");
        assert_eq!(total(&found, "IncomingBytes"), 1200.0, "{args:?}");
        assert_eq!(total(&found, "PutRecords.SuccessfulRecords"), 100.0);
        assert_eq!(total(&found, "PutRecords.FailedRecords"), 0.0);
        assert_eq!(
            total(&found, "GetRecords.Records"),
            Value::Null,
            "nothing was read"
        );
    }
    cloud.ok(["tail", "--from", "trim", "--no-follow"]);
    put(&cloud);
    let found = cloud.json(["metrics"]);
    assert_eq!(total(&found, "IncomingRecords"), 200.0);
    assert_eq!(total(&found, "GetRecords.Records"), 100.0);
    assert_eq!(found["stream"], STREAM);
    assert_eq!(found["region"], "us-east-1");
    assert_eq!(found["period_seconds"], 60);
    assert_eq!(found["utilisation"]["open_shards"], 1);
    // The text format: time, name, value.
    let text = cloud.ok(["metrics", "-o", "text"]);
    let sum: f64 = text
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>())
        .filter(|fields| fields[1] == "IncomingRecords")
        .map(|fields| fields[2].parse::<f64>().unwrap())
        .sum();
    assert!((sum - 200.0).abs() < f64::EPSILON, "{text}");
    assert!(!text.contains("\n\n") && text.ends_with('\n'), "{text:?}");
}

#[test]
fn the_table_fits_80_columns() {
    let cloud = Cloud::start();
    monitored(&cloud);
    put(&cloud);
    cloud.ok(["tail", "--from", "trim", "--no-follow"]);
    for (name, args) in [
        ("metrics", vec!["metrics"]),
        (
            "metrics-shards",
            vec!["metrics", "--shard-level", "--since", "15m"],
        ),
    ] {
        let output = cloud
            .streamctl(args)
            .env("COLUMNS", "80")
            .env("LANG", "en_GB.UTF-8")
            .assert();
        let shown = String::from_utf8(output.success().get_output().stdout.clone()).unwrap();
        for line in shown.lines() {
            assert!(line.chars().count() <= 80, "{line}");
            assert_eq!(line, line.trim_end());
        }
        // A run that spans two minutes has two bars.
        insta::with_settings!({filters => filters()}, { assert_snapshot!(name, shown); });
    }
}

#[test]
fn shard_level_metrics() {
    let cloud = Cloud::start();
    monitored(&cloud);
    let lines: String = (0..100).map(|n| format!("{n}\n")).collect();
    cloud.file("in.ndjson", lines);
    let put = cloud.json(["put", "--file", "in.ndjson"]);
    let found = cloud.json(["metrics", "--shard-level"]);
    for shard in put["shards"].as_array().unwrap() {
        let metrics = found["metrics"].as_array().unwrap();
        let records = metrics
            .iter()
            .find(|m| m["name"] == "IncomingRecords" && m["shard_id"] == shard["shard_id"])
            .unwrap();
        assert_eq!(
            records["total"].as_f64(),
            shard["records"].as_f64(),
            "{records} {shard}"
        );
    }
}

#[test]
fn streams_without_metrics_or_shard_level_monitoring() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    let output = cloud.streamctl(["metrics"]).assert().success();
    assert_eq!(output.get_output().stdout, b"");
    insta::with_settings!({filters => filters()}, {
        assert_snapshot!("metrics-none", String::from_utf8_lossy(&output.get_output().stderr));
    });
    let empty = cloud.json(["metrics"]);
    assert_eq!(total(&empty, "IncomingRecords"), Value::Null);
    assert_eq!(cloud.ok(["metrics", "-o", "text"]), "");
    put(&cloud);
    let output = cloud.streamctl(["metrics", "--shard-level"]).assert().success();
    assert_snapshot!(
        "metrics-no-shards",
        String::from_utf8_lossy(&output.get_output().stderr)
    );
    assert_snapshot!(
        "metrics-absent",
        cloud.fails(1, ["metrics", "--stream", "absent"])
    );
    assert_snapshot!(
        "metrics-bad-period",
        cloud.fails(2, ["metrics", "--period", "7s"])
    );
    assert_snapshot!(
        "metrics-bad-since",
        cloud.fails(2, ["metrics", "--since", "yesterday"])
    );
    assert_snapshot!("metrics-long", cloud.fails(2, ["metrics", "--since", "500d"]));
}
