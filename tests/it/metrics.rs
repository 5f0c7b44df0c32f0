//! `streamctl metrics`: exact figures for the records that the test has put and read.

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{MetricsName, PutRecordsRequestEntry};
use insta::assert_snapshot;
use serde_json::Value;

use crate::contents::{put as put_records, sample_events, until};
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
        (r"(under )?[\d.]+ %", "SHARE"),
        (
            r"SHARE of the write limit \((records|bytes)\)",
            "SHARE of the write limit",
        ),
        (r"iterator age up to \d\S*( m?s)?", "iterator age up to TIME"),
        // Whether the bars have room depends on how long the age is.
        (r"AGE  EVERY \d+m", "AGE"),
        (r"(?m)^(shardId-\d+  .*  )\d\S*( m?s)?(  BARS)?$", "${1}TIME"),
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
    let used = found["utilisation"].as_array().unwrap();
    let used = used.iter().find(|used| used["limit"] == "records_in").unwrap();
    assert_eq!(used["limit_value"], 1_000.0);
    assert!(used["percent"].as_f64().unwrap() > 0.0, "{used}");
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

/// A peak is that of the busiest period, as a rate of a second.
#[test]
fn peaks_agree_with_what_was_put() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    put(&cloud);
    let found = cloud.json(["metrics", "--since", "1h", "--period", "1m"]);
    assert_eq!(found["period_seconds"], 60);
    for (name, sum) in [("IncomingRecords", 100.0), ("IncomingBytes", 1200.0)] {
        let metrics = found["metrics"].as_array().unwrap();
        let metric = metrics.iter().find(|metric| metric["name"] == name).unwrap();
        let points = metric["datapoints"].as_array().unwrap().iter();
        let values: Vec<f64> = points.map(|point| point["value"].as_f64().unwrap()).collect();
        assert_eq!(values.iter().sum::<f64>(), sum, "{name}");
        let most = values.iter().copied().fold(0.0, f64::max);
        let usages = found["utilisation"].as_array().unwrap();
        let usage = usages.iter().find(|usage| usage["metric"] == name).unwrap();
        assert_eq!(usage["per_second"], true, "{name}");
        let peak = usage["peak"].as_f64().unwrap() * 60.0;
        assert!((peak - most).abs() < 1e-6, "{name}: {peak} and {most}");
    }
}

#[test]
fn the_table_fits_80_columns() {
    let cloud = Cloud::start();
    monitored(&cloud);
    put(&cloud);
    cloud.ok(["tail", "--from", "trim", "--no-follow"]);
    for (name, args) in [
        ("metrics", vec!["metrics"]),
        ("metrics-shards", vec!["metrics", "--per-shard", "--since", "15m"]),
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
    let found = cloud.json(["metrics", "--per-shard"]);
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
    let output = cloud.streamctl(["metrics", "--per-shard"]).assert().success();
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

/// The total of a metric of a shard.
fn of_shard(document: &Value, name: &str, shard: &str) -> f64 {
    let metrics = document["metrics"].as_array().unwrap();
    let found = metrics
        .iter()
        .find(|metric| metric["name"] == name && metric["shard_id"] == shard);
    found.unwrap()["total"].as_f64().unwrap_or(0.0)
}

#[test]
fn ten_thousand_records_with_throttled_ones_sum_up_exactly() {
    let cloud = Cloud::start_with(["--enforce-limits"]);
    monitored(&cloud);
    // "a" is in the lower shard, "b" in the upper one; the first has three times the records.
    let keys: Vec<&str> = (0..20)
        .map(|batch| if batch % 4 == 3 { "b" } else { "a" })
        .collect();
    let mut accepted = std::collections::BTreeMap::from([("a", 0u32), ("b", 0)]);
    let mut refused = accepted.clone();
    block_on(async {
        let client = cloud.kinesis();
        for key in &keys {
            let entry = |number: u32| {
                let data = format!("{number:08}");
                let entry = PutRecordsRequestEntry::builder().partition_key(*key);
                entry.data(Blob::new(data)).build().unwrap()
            };
            let sent = client.put_records().stream_name(STREAM);
            let answer = sent.set_records(Some((0..500).map(entry).collect())).send();
            for record in answer.await.unwrap().records() {
                let counts = match record.error_code() {
                    None => &mut accepted,
                    Some(code) => {
                        assert_eq!(code, "ProvisionedThroughputExceededException");
                        &mut refused
                    }
                };
                *counts.get_mut(key).unwrap() += 1;
            }
        }
    });
    let (put, throttled) = (accepted["a"] + accepted["b"], refused["a"] + refused["b"]);
    assert_eq!(put + throttled, 10_000);
    assert!(throttled > 0, "the pattern is over the limit of a shard");
    let found = cloud.json(["metrics", "--per-shard", "--since", "10m"]);
    for (name, expected) in [
        ("PutRecords.TotalRecords", 10_000),
        ("PutRecords.SuccessfulRecords", put),
        ("PutRecords.ThrottledRecords", throttled),
        ("PutRecords.FailedRecords", 0),
        ("IncomingRecords", put),
        // Eight bytes of data and one of the key.
        ("IncomingBytes", put * 9),
        ("WriteProvisionedThroughputExceeded", throttled),
    ] {
        assert_eq!(total(&found, name), f64::from(expected), "{name}");
    }
    for (key, shard) in [("a", "shardId-000000000000"), ("b", "shardId-000000000001")] {
        let exactly = |name: &str, expected: u32| {
            let found = of_shard(&found, name, shard);
            assert!(
                (found - f64::from(expected)).abs() < f64::EPSILON,
                "{name} {shard}: {found}"
            );
        };
        exactly("IncomingRecords", accepted[key]);
        exactly("IncomingBytes", accepted[key] * 9);
        exactly("WriteProvisionedThroughputExceeded", refused[key]);
    }
    let verdicts = found["verdicts"].as_array().unwrap();
    let throttles = verdicts
        .iter()
        .find(|verdict| verdict["text"].as_str().unwrap().contains("throttled in"))
        .unwrap();
    // More than one in a hundred.
    assert_eq!(throttles["severity"], "bad");
    let csv = cloud.ok(["metrics", "--since", "10m", "-o", "csv"]);
    let sum: f64 = csv
        .lines()
        .map(|line| line.split(',').collect::<Vec<_>>())
        .filter(|cells| cells[4] == "IncomingRecords")
        .map(|cells| cells[7].parse::<f64>().unwrap())
        .sum();
    assert!((sum - f64::from(put)).abs() < f64::EPSILON, "{csv}");
    assert_snapshot!("metrics-csv-elsewhere", cloud.fails(2, ["list", "-o", "csv"]));
}

#[test]
fn a_pipeline_shows_each_of_its_resources() {
    let cloud = Cloud::start();
    cloud.ok(["setup", "retail", "--param", "batching_window=0"]);
    let (_, events) = sample_events("retail");
    let uuid = block_on(async {
        let lambda = aws_sdk_lambda::Client::new(&cloud.sdk());
        let mapping = lambda.list_event_source_mappings().send().await.unwrap();
        let uuid = mapping.event_source_mappings()[0].uuid().unwrap().to_owned();
        let config = aws_sdk_lambda::types::EventSourceMappingMetricsConfig::builder()
            .metrics(aws_sdk_lambda::types::EventSourceMappingMetric::EventCount)
            .build();
        let update = lambda
            .update_event_source_mapping()
            .uuid(&uuid)
            .metrics_config(config);
        update.send().await.unwrap();
        loop {
            let now = lambda
                .get_event_source_mapping()
                .uuid(&uuid)
                .send()
                .await
                .unwrap();
            if now.state() == Some("Enabled") {
                return uuid;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
    let texts: Vec<String> = events.iter().map(ToString::to_string).collect();
    put_records(
        &cloud,
        "retail-events-stream-dev",
        texts.iter().map(|text| ("k", text.as_str())),
    );
    let count = f64::from(u32::try_from(events.len()).unwrap());
    let of = |found: &Value, resource: &str, name: &str| {
        let metrics = found["metrics"].as_array().unwrap();
        let metric = metrics
            .iter()
            .find(|metric| metric["resource"] == resource && metric["name"] == name);
        metric.unwrap_or_else(|| panic!("{resource} {name}"))["total"].clone()
    };
    let found = until("all events are counted", || {
        let found = cloud.json(["metrics", "--pipeline", "retail"]);
        match of(&found, "namespace", "ProcessedEvents") == count {
            true => Ok(found),
            false => Err(found.to_string()),
        }
    });
    assert_eq!(found["pipeline"], "retail/dev");
    assert_eq!(of(&found, "stream", "IncomingRecords"), count);
    assert_eq!(of(&found, "mapping", "PolledEventCount"), count);
    assert_eq!(of(&found, "mapping", "InvokedEventCount"), count);
    assert_eq!(
        of(&found, "mapping", "DroppedEventCount"),
        Value::Null,
        "missing, not zero"
    );
    assert!(of(&found, "function", "Invocations").as_f64().unwrap() >= 1.0);
    assert_eq!(of(&found, "function", "Errors"), 0.0);
    assert!(
        of(&found, "table", "ConsumedWriteCapacityUnits")
            .as_f64()
            .unwrap()
            > 0.0
    );
    let mapping = found["metrics"]
        .as_array()
        .unwrap()
        .iter()
        .find(|metric| metric["resource"] == "mapping")
        .unwrap();
    assert_eq!(mapping["resource_name"], uuid.as_str());
    let limits: Vec<&str> = found["utilisation"]
        .as_array()
        .unwrap()
        .iter()
        .map(|used| used["limit"].as_str().unwrap())
        .collect();
    for limit in ["records_in", "timeout", "concurrency"] {
        assert!(limits.contains(&limit), "{limits:?}");
    }
    let function = mapping["function_name"].as_str().unwrap();
    let found = cloud.json(["metrics", "--function", function]);
    assert_eq!(found["function"], function);
    assert_eq!(of(&found, "mapping", "PolledEventCount"), count);
    assert_snapshot!(
        "metrics-no-function",
        cloud.fails(1, ["metrics", "--function", "absent"])
    );
    let verified = cloud
        .streamctl(["verify", "retail", "--no-put"])
        .assert()
        .success();
    let notes = String::from_utf8_lossy(&verified.get_output().stderr).into_owned();
    assert!(notes.contains("Metrics of the last hour: "), "{notes}");
}

#[test]
fn charts_are_drawn_and_written() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    put(&cloud);
    let plot = cloud
        .streamctl(["metrics", "--plot"])
        .env("COLUMNS", "80")
        .env("LANG", "en_GB.UTF-8")
        .assert()
        .success();
    let text = String::from_utf8(plot.get_output().stdout.clone()).unwrap();
    assert!(
        text.contains("records/s: records in, peak ") && text.contains("└─"),
        "{text}"
    );
    // A pipe takes lines of any width, which a drawing must not fill.
    let piped = cloud.ok(["metrics", "--plot"]);
    for text in [text, piped] {
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
    cloud.ok(["metrics", "--svg", "m.svg", "--png", "m.png"]);
    let read = |name: &str| std::fs::read(cloud.path().join(name)).unwrap();
    assert!(read("m.svg").starts_with(b"<svg "));
    assert!(read("m.png").starts_with(b"\x89PNG\r\n"));
    assert!(
        cloud
            .fails(1, ["metrics", "--png", "absent/m.png"])
            .contains("could not write")
    );
    assert!(
        cloud
            .fails(2, ["metrics", "--plot", "-o", "json"])
            .contains("--plot")
    );
}

#[test]
fn watching_appends_each_complete_period_once() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    put(&cloud);
    let mut command = cloud.streamctl(["metrics", "--watch", "--every", "1s", "-o", "json"]);
    // Ends it; it would go on until Ctrl-C.
    command.timeout(std::time::Duration::from_secs(4));
    let output = command.output().unwrap();
    let lines: Vec<Value> = serde_json::Deserializer::from_slice(&output.stdout)
        .into_iter::<Value>()
        .collect::<Result<_, _>>()
        .unwrap();
    assert!(lines.len() >= 2, "{}", lines.len());
    assert!(lines.iter().all(|line| total(line, "IncomingRecords") == 100.0));
}
