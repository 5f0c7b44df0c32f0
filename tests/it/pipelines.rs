//! The bundled pipelines with their bundled functions: setup, sample events, verify and destroy.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};

use crate::contents::{Item, plain, put, sample_events, until};
use crate::provision::run;
use crate::support::{Cloud, block_on};

#[test]
fn retail_scores_and_stores_every_event() {
    let cloud = Cloud::start();
    let made = set_up(&cloud, "retail");
    let (stream, table) = (output(&made, "stream_name"), output(&made, "table_name"));
    let events = put_samples(&cloud, "retail", &stream, Some("userId"));

    let items = cloud.items_once_there(&table, events.len());
    assert_eq!(items.len(), events.len(), "each event is stored once");
    for event in &events {
        let text = |name: &str| event[name].as_str().unwrap();
        let (score, verb, engagement) = judged(text("eventType"));
        let same = |item: &&Item| {
            plain(item, "userId") == text("userId")
                && plain(item, "eventTimestamp").split('.').next()
                    == Some(event["timestamp"].to_string().as_str())
                && plain(item, "sessionId") == text("sessionId")
                && plain(item, "eventType") == text("eventType")
                && plain(item, "productId") == text("productId")
        };
        let item = items.iter().find(same).unwrap_or_else(|| panic!("{event}"));
        assert_eq!(plain(item, "eventScore"), score.to_string());
        assert_eq!(plain(item, "engagementLevel"), engagement);
        let insight = format!("User {} {verb} product {}", text("userId"), text("productId"));
        assert_eq!(plain(item, "insight"), insight);
        if let Some(price) = event.get("price") {
            let original = item["originalEvent"].as_m().unwrap();
            let stored: f64 = original["price"].as_n().unwrap().parse().unwrap();
            assert_eq!(Some(stored), price.as_f64(), "numbers keep their value");
        }
    }

    verified(&cloud, "retail");
    assert_eq!(cloud.items(&table).len(), events.len(), "verify cleans up");
    destroyed(&cloud, "retail");
}

#[test]
fn invalid_retail_events_go_to_the_dead_letter_queue() {
    let cloud = Cloud::start();
    let made = set_up(&cloud, "retail");
    let (stream, table) = (output(&made, "stream_name"), output(&made, "table_name"));
    let bad = [
        ("not JSON at all", "JSON_DECODE_ERROR"),
        (r#"{"eventType":"view"}"#, "MISSING_FIELD"),
        (r#"{"userId":7,"eventType":"view"}"#, "INVALID_FIELD"),
    ];
    let good = r#"{"userId":"u1","eventType":"purchase","productId":"P1"}"#;
    put(&cloud, &stream, bad.map(|(data, _)| ("k", data)));
    put(&cloud, &stream, [("k", good)]);

    let item = cloud.items_once_there(&table, 1).remove(0);
    assert_eq!(plain(&item, "eventScore"), "10", "bad events hold nothing up");
    let listed = until("three messages", || {
        let listed = cloud.json(["dlq", "list", "retail"]);
        match listed.as_array().unwrap().len() {
            3 => Ok(listed),
            _ => Err(listed.to_string()),
        }
    });
    assert_eq!(listed[0]["stream"], stream.as_str());
    assert_eq!(listed[0]["records"], 1);
    assert_eq!(listed[0]["holds_data"], true);

    // Unchanged events fail again after a replay.
    let replayed = cloud.json(["dlq", "replay", "retail"]);
    assert_eq!(replayed.as_array().unwrap().len(), 3);
    let queue = output(&made, "queue_url");
    let messages = cloud.messages(&queue, 3);
    assert_eq!(messages.len(), 3);
    for (data, error_type) in bad {
        let encoded = base64_simd::STANDARD.encode_to_string(data);
        let found = messages
            .iter()
            .find(|message| message["data"] == encoded.as_str());
        let message = found.unwrap_or_else(|| panic!("{data} is not in {messages:?}"));
        assert_eq!(message["errorType"], error_type);
        assert_eq!(message["partitionKey"], "k");
        assert_eq!(message["functionName"], output(&made, "function_name").as_str());
        assert_eq!(message["streamArn"], output(&made, "stream_arn").as_str());
        assert_eq!(message["shardId"], "shardId-000000000000");
        assert_eq!(message["dataBytes"], data.len());
        for name in [
            "error",
            "recordId",
            "sequenceNumber",
            "requestId",
            "failedAt",
            "approximateArrivalTimestamp",
        ] {
            assert!(
                message[name].as_str().is_some_and(|text| !text.is_empty()),
                "{name}: {message}"
            );
        }
    }
    assert_eq!(cloud.items(&table).len(), 1);
}

#[test]
fn a_replay_counts_each_reading_once() {
    let cloud = Cloud::start();
    let made = set_up(&cloud, "realtime");
    let (stream, table) = (output(&made, "stream_name"), output(&made, "table_name"));
    let bucket = output(&made, "bucket_name");
    block_on(cloud.s3().delete_bucket().bucket(&bucket).send()).unwrap();
    // Numbers in text are readings too.
    put(
        &cloud,
        &stream,
        [("s", r#"{"value":20}"#), ("s", r#"{"value":"21.5"}"#)],
    );
    until("two records given up", || {
        let listed = cloud.json(["dlq", "list", "realtime"]);
        let records = listed.as_array().unwrap().iter();
        match records.map(|one| one["records"].as_u64().unwrap()).sum::<u64>() {
            2 => Ok(()),
            _ => Err(listed.to_string()),
        }
    });
    assert_eq!(
        cloud.items(&table).len(),
        0,
        "what is not archived is not counted"
    );

    let failed = run(&cloud, ["dlq", "replay", "realtime", "-o", "text"]);
    assert_eq!(failed.code, 1, "{}", failed.stderr);
    assert!(
        failed.stdout.contains("reported records as failed"),
        "{}",
        failed.stdout
    );
    assert_eq!(cloud.items(&table).len(), 0);
    cloud.ok(["setup", "realtime"]);
    for keeps in [true, true, false] {
        match keeps {
            true => cloud.ok(["dlq", "replay", "realtime", "--keep"]),
            false => cloud.ok(["dlq", "replay", "realtime"]),
        };
        let items = cloud.items(&table);
        let sum = |name: &str| {
            let numbers = items.iter().map(|item| plain(item, name).parse::<f64>().unwrap());
            numbers.sum::<f64>()
        };
        assert_eq!((sum("count"), sum("total_value")), (2.0, 41.5));
        assert_eq!(archived(&cloud, &bucket).len(), 2);
    }
    assert_eq!(cloud.json(["dlq", "list", "realtime"]), json!([]));
}

#[test]
fn realtime_archives_and_aggregates_every_reading() {
    let cloud = Cloud::start();
    let made = set_up(&cloud, "realtime");
    let (stream, table) = (output(&made, "stream_name"), output(&made, "table_name"));
    let bucket = output(&made, "bucket_name");
    let events = put_samples(&cloud, "realtime", &stream, Some("sensorId"));
    // These events do not change the aggregates.
    put(
        &cloud,
        &stream,
        [("sensor-08", "[1]"), ("sensor-08", "{\"temperature\":")],
    );

    let mut wanted = BTreeMap::<(String, &str), Vec<f64>>::new();
    for event in &events {
        let sensor = event["sensorId"].as_str().unwrap();
        for field in ["temperature", "humidity", "value"] {
            if let Some(reading) = event.get(field) {
                let readings = wanted.entry((sensor.to_owned(), field)).or_default();
                readings.push(reading.as_f64().unwrap());
            }
        }
    }
    let sum = |items: &[Item], sensor: &str, name: &str| {
        let of_sensor = items.iter().filter(|item| plain(item, "partition_key") == sensor);
        of_sensor
            .map(|item| plain(item, name).parse::<f64>().unwrap())
            .sum::<f64>()
    };
    let items = until("all readings in the table", || {
        let items = cloud.items(&table);
        let counted = items
            .iter()
            .map(|item| plain(item, "record_count").parse::<usize>().unwrap());
        match counted.sum::<usize>() {
            found if found >= events.len() => Ok(items),
            found => Err(format!("{found}")),
        }
    });
    for ((sensor, field), readings) in &wanted {
        let names = match *field {
            "value" => ["count".to_owned(), "total_value".to_owned()],
            field => [format!("{field}_count"), format!("{field}_total")],
        };
        assert_eq!(
            sum(&items, sensor, &names[0]),
            readings.len() as f64,
            "{sensor} {field}"
        );
        let total: f64 = readings.iter().sum();
        assert!(
            (sum(&items, sensor, &names[1]) - total).abs() < 1e-6,
            "{sensor} {field}"
        );
    }

    let archived = until("all readings in the bucket", || {
        let lines = archived(&cloud, &bucket);
        match lines.len() {
            found if found >= events.len() => Ok(lines),
            found => Err(format!("{found}")),
        }
    });
    // A batch that is bisected after a failure is archived again in other objects. The id identifies a record.
    for event in &events {
        let mut same = archived.values().filter(|line| line["data"] == *event);
        let line = same.next().unwrap_or_else(|| panic!("{event} is archived"));
        assert_eq!(line["partition_key"], event["sensorId"]);
    }
    assert_eq!(archived.len(), events.len());

    // Invalid readings are discarded and sent to the dead-letter queue.
    let given_up = until("two bad records given up", || {
        let listed = cloud.json(["dlq", "list", "realtime"]);
        let records = listed
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["records"].as_u64().unwrap());
        match records.sum::<u64>() {
            2 => Ok(listed),
            _ => Err(listed.to_string()),
        }
    });
    assert_eq!(given_up[0]["stream"], stream.as_str());
    verified(&cloud, "realtime");
    destroyed(&cloud, "realtime");
}

/// The lines of the archive, by record id.
fn archived(cloud: &Cloud, bucket: &str) -> BTreeMap<String, Value> {
    let mut lines = BTreeMap::new();
    for (key, body) in cloud.objects(bucket) {
        assert!(key.starts_with("raw/") && key.ends_with(".ndjson.gz"), "{key}");
        let mut text = String::new();
        flate2::read::GzDecoder::new(body.as_slice())
            .read_to_string(&mut text)
            .unwrap();
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            lines.insert(line["record_id"].as_str().unwrap().to_owned(), line);
        }
    }
    lines
}

#[test]
fn prices_changes_existing_products_and_discards_others() {
    let cloud = Cloud::start();
    let made = set_up(&cloud, "prices");
    let (stream, table) = (output(&made, "stream_name"), output(&made, "table_name"));
    let (_, events) = sample_events("prices");
    let mut last = BTreeMap::new();
    for event in &events {
        let price = event["price"]
            .as_str()
            .map_or_else(|| event["price"].to_string(), str::to_owned);
        last.insert(event["product_id"].as_str().unwrap().to_owned(), price);
    }
    block_on(async {
        let client = cloud.dynamodb();
        for id in last.keys() {
            let text = |text: &str| AttributeValue::S(text.to_owned());
            let product = client.put_item().table_name(&table).item("id", text(id));
            let product = product.item("name", text("Tea")).item("category", text("drinks"));
            product
                .item("price", AttributeValue::N("1".to_owned()))
                .send()
                .await
                .unwrap();
        }
    });
    put_samples(&cloud, "prices", &stream, Some("product_id"));
    put(
        &cloud,
        &stream,
        [
            ("P9999", r#"{"product_id":"P9999","price":5}"#),
            ("last", r#"{"product_id":"P0001","price":"0.10"}"#),
        ],
    );
    last.insert("P0001".to_owned(), "0.10".to_owned());

    let items = until("the last prices", || {
        let items = cloud.items(&table);
        let is_last = |item: &Item| {
            let wanted = &last[&plain(item, "id")];
            plain(item, "price") == wanted.trim_end_matches('0').trim_end_matches('.')
        };
        match items.iter().all(is_last) {
            true => Ok(items),
            false => Err(format!("{items:?}")),
        }
    });
    for item in &items {
        assert_eq!(
            (plain(item, "name").as_str(), plain(item, "category").as_str()),
            ("Tea", "drinks")
        );
    }
    assert_eq!(items.len(), last.len(), "no product is made up");

    let message = cloud.messages(&output(&made, "queue_url"), 1).remove(0);
    let batch = &message["KinesisBatchInfo"];
    assert_eq!(batch["batchSize"], 1, "only the bad one is given up: {message}");
    assert_eq!(batch["streamArn"], output(&made, "stream_arn").as_str());
    assert_eq!(batch["startSequenceNumber"], batch["endSequenceNumber"]);
    verified(&cloud, "prices");
    destroyed(&cloud, "prices");
}

#[test]
fn concert_normalises_and_stores_api_data() {
    let cloud = Cloud::start();
    let made = cloud.json([
        "setup",
        "concert",
        "--param",
        "batching_window=0",
        "--param",
        "data_processor=true",
    ]);
    assert_results(&made, "created");
    let (stream, bucket) = (output(&made, "stream_name"), output(&made, "bucket_name"));
    let events = put_samples(&cloud, "concert", &stream, None);

    let (raw, processed) = until("all data in the bucket", || {
        let mut raw = BTreeMap::new();
        let mut processed = BTreeMap::<String, (String, Value)>::new();
        for (key, body) in cloud.objects(&bucket) {
            let parts: Vec<&str> = key.split('/').collect();
            let body: Value = serde_json::from_slice(&body).unwrap();
            match parts[0] {
                "raw" => {
                    raw.insert(
                        parts[5].trim_end_matches(".json").to_owned(),
                        (parts[1].to_owned(), body),
                    );
                }
                "processed" => {
                    for one in body.as_array().unwrap() {
                        let id = one["record_id"].as_str().unwrap().to_owned();
                        processed.insert(id, (parts[1].to_owned(), one.clone()));
                    }
                }
                other => panic!("{other} in {key}"),
            }
        }
        match (raw.len(), processed.len()) {
            (r, p) if r >= events.len() && p >= events.len() => Ok((raw, processed)),
            found => Err(format!("{found:?}")),
        }
    });
    assert_eq!((raw.len(), processed.len()), (events.len(), events.len()));
    for event in &events {
        let id = event["record_id"].as_str().unwrap();
        let folder = match event["data_type"].as_str().unwrap() {
            "events" => "concerts",
            other => other,
        };
        assert_eq!(raw[id], (folder.to_owned(), event.clone()));
        assert_eq!(processed[id].0, folder);
    }
    let one = |id: &str| &processed[id].1;
    assert_eq!(one("concert-0013")["name"], "Kulturbahnhof");
    assert_eq!(
        one("concert-0013")["location"],
        json!({"city": "Kassel", "country": "DE"})
    );
    assert_eq!(one("concert-0013")["capacity"], 640);
    assert_eq!(one("concert-0014")["capacity"], Value::Null);
    assert_eq!(one("concert-0015")["genres"], json!(["pop"]));
    assert_eq!(one("concert-0015")["popularity"], 0);
    assert_eq!(one("concert-0016")["popularity"], 48);
    assert_eq!(one("concert-0017")["concert_id"], "c-306");
    assert_eq!(one("concert-0017")["status"], "scheduled");
    assert_eq!(one("concert-0018")["status"], "cancelled");
    assert_eq!(one("concert-0020")["quantity"], 1);

    // The second function only logs.
    logged(&cloud);
    let checked = run(&cloud, ["verify", "concert", "--param", "data_processor=true"]);
    assert_eq!(checked.code, 0, "{}{}", checked.stdout, checked.stderr);
    let gone = cloud.json(["destroy", "concert", "--param", "data_processor=true", "--yes"]);
    assert_results(&gone, "deleted");
    assert_eq!(cloud.everything(), Vec::<String>::new());
}

#[test]
fn deploy_and_attach_create_the_data_path_without_alarms() {
    let cloud = Cloud::start();
    let deployed = cloud.json(["deploy", "retail-processor"]);
    assert_results(&deployed, "created");
    let kinds = |report: &Value| -> BTreeSet<String> {
        let resources = report["resources"].as_array().unwrap().iter();
        resources
            .map(|one| one["kind"].as_str().unwrap().to_owned())
            .collect()
    };
    let expected = ["function", "log_group", "queue", "role", "stream", "table"];
    assert_eq!(kinds(&deployed), expected.map(str::to_owned).into());
    let attached = cloud.json(["attach", "retail-processor", "--window", "0s"]);
    assert_eq!(
        attached["resources"].as_array().unwrap().last().unwrap()["result"],
        "created"
    );

    let (stream, table) = ("retail-events-stream-dev", "retail-events-data-dev");
    let events = put_samples(&cloud, "retail", stream, Some("userId"));
    let items = cloud.items_once_there(table, events.len());
    assert_eq!(items.len(), events.len());
    let log = cloud.ok([
        "logs",
        "retail-processor",
        "--filter",
        "\"REPORT RequestId\"",
        "-o",
        "text",
    ]);
    assert!(log.contains("REPORT RequestId"), "{log}");

    // undeploy deletes the function's resources and keeps the data.
    let undeployed = cloud.json(["undeploy", "retail-processor", "--yes"]);
    let expected = ["event_source_mapping", "function", "log_group", "role"];
    assert_eq!(kinds(&undeployed), expected.map(str::to_owned).into());
    assert_results(&undeployed, "deleted");
    assert_results(&cloud.json(["undeploy", "retail-processor", "--yes"]), "absent");
    let left: Vec<String> = cloud
        .everything()
        .iter()
        .map(|one| one.split(' ').next().unwrap().to_owned())
        .collect();
    assert_eq!(left, ["stream", "table", "queue"]);
    assert_eq!(cloud.items(table).len(), events.len());

    // destroy deletes the rest.
    cloud.ok(["destroy", "retail", "--yes"]);
    assert_eq!(cloud.everything(), Vec::<String>::new());
}

#[test]
fn an_optional_function_is_deployed_by_its_name() {
    let cloud = Cloud::start();
    let deployed = cloud.json(["deploy", "concert-data"]);
    assert_results(&deployed, "created");
    assert!(
        cloud
            .everything()
            .contains(&"function concert-data-processor".to_owned())
    );
    cloud.ok(["attach", "concert-data", "--window", "0s"]);
    let mappings = cloud.json(["mappings", "concert-data"]);
    assert_eq!(mappings[0]["function"], "concert-data-processor");
    put_samples(&cloud, "concert", "concert-data-stream", None);
    logged(&cloud);
    assert_eq!(
        cloud.json(["policy", "--function", "concert-data"])["deployed"],
        true
    );
    cloud.ok(["undeploy", "concert-data", "--yes"]);
    assert_eq!(cloud.json(["mappings"]), json!([]));
}

/// Waits until concert-data-processor has logged its lines.
fn logged(cloud: &Cloud) {
    let line = "Processing artists: Vega Trio";
    until("the minimal consumer's lines", || {
        let filter = format!("\"{line}\"");
        let log = cloud.ok(["logs", "concert-data", "--filter", &filter, "-o", "text"]);
        match log.contains(line) {
            true => Ok(()),
            false => Err(log),
        }
    });
}

/// Sets up a pipeline twice. The second setup changes nothing.
fn set_up(cloud: &Cloud, template: &str) -> Value {
    let made = cloud.json(["setup", template, "--param", "batching_window=0"]);
    assert_results(&made, "created");
    let again = cloud.json(["setup", template, "--param", "batching_window=0"]);
    assert_results(&again, "unchanged");
    assert_eq!(again["outputs"], made["outputs"]);
    made
}

/// Puts the sample events of a template.
fn put_samples(cloud: &Cloud, template: &str, stream: &str, key: Option<&str>) -> Vec<Value> {
    let (path, events) = sample_events(template);
    let mut command = cloud.streamctl(["put", "--stream", stream, "--file"]);
    command.arg(path);
    if let Some(key) = key {
        command.args(["--partition-key-field", key]);
    }
    command.assert().success();
    events
}

fn verified(cloud: &Cloud, template: &str) {
    let checked = run(cloud, ["verify", template, "-o", "json"]);
    assert_eq!(checked.code, 0, "{}{}", checked.stdout, checked.stderr);
    let report: Value = serde_json::from_str(&checked.stdout).unwrap();
    assert_ne!(report["state"], "fault");
}

/// Destroys a pipeline twice. Nothing is left after the first time.
fn destroyed(cloud: &Cloud, template: &str) {
    let report = cloud.json(["destroy", template, "--yes"]);
    for one in report["resources"].as_array().unwrap() {
        // Resources that a parameter left out never existed.
        assert!(one["result"] == "deleted" || one["result"] == "absent", "{one}");
    }
    assert_eq!(cloud.everything(), Vec::<String>::new());
    assert_results(&cloud.json(["destroy", template, "--yes"]), "absent");
}

/// Asserts the result of every resource in a report.
fn assert_results(report: &Value, result: &str) {
    for one in report["resources"].as_array().unwrap() {
        assert_eq!(one["result"], result, "{one}");
    }
}

fn output(report: &Value, name: &str) -> String {
    report["outputs"][name]
        .as_str()
        .unwrap_or_else(|| panic!("{name} in {report}"))
        .to_owned()
}

/// The score, verb and engagement of an event type.
fn judged(event_type: &str) -> (u32, &'static str, &'static str) {
    match event_type {
        "view" => (1, "viewed", "low"),
        "add_to_cart" => (5, "added to cart", "medium"),
        "purchase" => (10, "purchased", "high"),
        "wishlist" => (3, "added to wishlist", "low"),
        "share" => (2, "shared", "low"),
        "review" => (8, "reviewed", "high"),
        other => panic!("{other}"),
    }
}
