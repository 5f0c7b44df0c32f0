//! Dynamic partitioning: partition keys, objects, and what fails.

use std::collections::BTreeSet;

use super::transforming::{FUNCTION, data_of};
use super::*;

pub(super) fn processor(kind: &str, parameters: &[(&str, &str)]) -> Value {
    let parameters = parameters.iter();
    let parameters: Vec<Value> = parameters
        .map(|(name, value)| json!({"ParameterName": name, "ParameterValue": value}))
        .collect();
    json!({"Type": kind, "Parameters": parameters})
}

pub(super) fn extraction(query: &str) -> Value {
    processor(
        "MetadataExtraction",
        &[
            ("MetadataExtractionQuery", query),
            ("JsonParsingEngine", "JQ-1.6"),
        ],
    )
}

/// A destination with dynamic partitioning that buffers 64 MiB or 60 seconds.
pub(super) fn partitioned(prefix: &str, processors: &[Value]) -> Value {
    json!({
        "RoleARN": ROLE,
        "BucketARN": "arn:aws:s3:::lake",
        "Prefix": prefix,
        "ErrorOutputPrefix": "errors/!{firehose:error-output-type}/",
        "BufferingHints": {"SizeInMBs": 64, "IntervalInSeconds": 60},
        "DynamicPartitioningConfiguration": {"Enabled": true},
        "ProcessingConfiguration": {"Enabled": true, "Processors": processors},
    })
}

/// By the key `user` of a record, with a line feed after each.
pub(super) fn by_user() -> Value {
    let newline = processor("AppendDelimiterToRecord", &[("Delimiter", "\\n")]);
    partitioned(
        "user=!{partitionKeyFromQuery:user}/",
        &[extraction("{user: .user}"), newline],
    )
}

impl Fire {
    /// The contents of objects by the part of their keys before the name of the stream.
    pub(super) fn by_prefix(&self) -> Vec<(String, String)> {
        let objects = self.objects().into_iter();
        objects
            .map(|(key, body)| {
                let prefix = key.split("carts-").next().unwrap().to_owned();
                (prefix, String::from_utf8(body).unwrap())
            })
            .collect()
    }

    /// Lines about failed records below a prefix: the data, the error code and the message.
    fn failures(&self, kind: &str) -> Vec<(String, String, String)> {
        let prefix = format!("errors/{kind}/");
        let objects = self.by_prefix().into_iter().filter(|(found, _)| *found == prefix);
        let lines: Vec<Value> = objects
            .flat_map(|(_, body)| {
                body.lines()
                    .map(|line| serde_json::from_str(line).unwrap())
                    .collect::<Vec<_>>()
            })
            .collect();
        let shown = lines.iter().map(|line| {
            assert_eq!(line["attemptsMade"], 1);
            assert!(line["arrivalTimestamp"].is_number() && line["attemptEndingTimestamp"].is_number());
            (
                data_of(&json!({"data": line["rawData"]})),
                line["errorCode"].as_str().unwrap().to_owned(),
                line["errorMessage"].as_str().unwrap().to_owned(),
            )
        });
        shown.collect()
    }
}

#[test]
fn records_go_to_the_objects_of_their_partitions() {
    let fire = Fire::new();
    fire.world.stream("orders", 2);
    let mut destination = partitioned(
        "region=!{partitionKeyFromQuery:region}/year=!{partitionKeyFromQuery:year}/!{timestamp:HH}/",
        &[extraction(
            "{region: .address.region, year: .at|strftime(\"%Y\")}",
        )],
    );
    destination["CompressionFormat"] = json!("UNCOMPRESSED");
    fire.reading("carts", destination);
    for (region, at) in [
        ("eu", 1_565_382_027),
        ("us", 1_565_382_027),
        ("eu", 1_765_382_027),
        ("eu", 1_565_382_028),
    ] {
        let record = json!({"address": {"region": region}, "at": at});
        fire.world.put("orders", region, &record.to_string());
        fire.world.clock.advance(1_500);
        fire.deliver();
    }
    assert_eq!(fire.objects(), []);
    assert_eq!(fire.metric("PartitionCount"), Some(3.0));
    assert_eq!(fire.metric("ActivePartitionsLimit"), Some(500.0));
    assert_eq!(fire.metric("PartitionCountExceeded"), Some(0.0));
    assert!(fire.metric("JQProcessing.Duration").is_some());
    assert_eq!(fire.metric("DataReadFromKinesisStream.Records"), Some(1.0));
    fire.pass(70_000);
    let shown: Vec<(String, usize)> = fire
        .by_prefix()
        .into_iter()
        .map(|(prefix, body)| (prefix, body.matches("address").count()))
        .collect();
    assert_eq!(
        shown,
        [
            ("region=eu/year=2019/00/".to_owned(), 2),
            ("region=us/year=2019/00/".to_owned(), 1),
            ("region=eu/year=2025/00/".to_owned(), 1),
        ]
    );
    assert_eq!(fire.metric("DeliveryToS3.ObjectCount"), Some(1.0));
    assert!(fire.metric("PerPartitionThroughput").is_some());
    // Nothing of them is left.
    let hose = &fire.service.store.every()[0];
    let left = std::fs::read_dir(hose.files.partition(0).parent().unwrap()).unwrap();
    assert_eq!(left.count(), 0);
}

#[test]
fn each_partition_has_a_buffer_of_its_own() {
    let fire = Fire::new();
    fire.direct("carts", by_user());
    let record = |user: &str, padding: usize| json!({"user": user, "x": "x".repeat(padding)}).to_string();
    fire.put("carts", &record("slow", 1));
    for _ in 0..68 {
        fire.put("carts", &record("fast", 1_000_000));
    }
    fire.pass(5_000);
    // 64 MiB are reached with the 68th.
    let objects = fire.objects();
    assert_eq!(objects.len(), 1);
    assert!(objects[0].0.starts_with("user=fast/carts-1-2026-01-01-00-00-00-"));
    assert!(
        (64 * MIB..66 * MIB).contains(&objects[0].1.len()),
        "{}",
        objects[0].1.len()
    );
    fire.put("carts", &record("fast", 2));
    fire.pass(55_000);
    assert_eq!(fire.objects().len(), 2, "the slow one is 60 seconds old");
    fire.pass(10_000);
    let prefixes: Vec<String> = fire.by_prefix().into_iter().map(|(prefix, _)| prefix).collect();
    assert_eq!(prefixes, ["user=fast/", "user=slow/", "user=fast/"]);
    let log = fire.service.store.every()[0].log.as_ref().unwrap().store.bytes();
    assert!(log < 3 * MIB as u64, "{log}");
}

#[test]
fn records_without_keys_go_below_the_prefix_of_errors() {
    let fire = Fire::new();
    fire.direct("carts", by_user());
    for record in [
        "{\"user\":\"a\"}",
        "no json",
        "{}",
        "{\"user\":\"\"}",
        "{\"user\":null}",
        "[1]",
        "{\"user\":7}",
        "",
    ] {
        fire.put("carts", record);
    }
    let long = json!({"user": "x".repeat(600)}).to_string();
    fire.put("carts", &long);
    fire.pass(70_000);
    let code = "DynamicPartitioning.MetadataExtractionFailed";
    let null = "partitionKeys values must not be null or empty";
    let not_json = "Non JSON record provided";
    let expected = [
        ("no json", not_json),
        ("{}", null),
        ("{\"user\":\"\"}", null),
        ("{\"user\":null}", null),
        ("[1]", "Cannot index array with \"user\""),
        ("", not_json),
        (&long, "Length of evaluated prefix cannot be greater than 512"),
    ];
    let expected: Vec<(String, String, String)> = expected
        .iter()
        .map(|(data, message)| ((*data).to_owned(), code.to_owned(), (*message).to_owned()))
        .collect();
    assert_eq!(fire.failures("metadata-extraction-failed"), expected);
    let delivered: Vec<(String, String)> = fire
        .by_prefix()
        .into_iter()
        .filter(|(prefix, _)| prefix.starts_with("user="))
        .collect();
    assert_eq!(
        delivered,
        [
            ("user=a/".to_owned(), "{\"user\":\"a\"}\n".to_owned()),
            ("user=7/".to_owned(), "{\"user\":7}\n".to_owned()),
        ]
    );
}

#[test]
fn the_partition_after_the_500th_is_an_error() {
    let fire = Fire::new();
    fire.direct("carts", by_user());
    for user in 0..500 {
        fire.put("carts", &json!({"user": user}).to_string());
    }
    fire.pass(5_000);
    assert_eq!(fire.metric("PartitionCount"), Some(500.0));
    fire.put("carts", "{\"user\":500}");
    fire.put("carts", "{\"user\":7}");
    let fire = fire.restarted();
    fire.pass(5_000);
    assert_eq!(fire.metric("PartitionCountExceeded"), Some(1.0));
    fire.pass(70_000);
    assert_eq!(
        fire.failures("activePartitionExceeded"),
        [(
            "{\"user\":500}".to_owned(),
            "DynamicPartitioning.ActivePartitionsLimitExceeded".to_owned(),
            "The number of active partitions has exceeded the configured limit".to_owned()
        )]
    );
    let objects = fire.by_prefix();
    assert_eq!(objects.len(), 501);
    let seven = objects.iter().find(|(prefix, _)| prefix == "user=7/").unwrap();
    assert_eq!(seven.1, "{\"user\":7}\n{\"user\":7}\n");
    // Delivered partitions are not active.
    fire.put("carts", "{\"user\":501}");
    fire.pass(70_000);
    assert_eq!(fire.by_prefix().last().unwrap().0, "user=501/");
}

#[test]
fn records_are_taken_out_of_records() {
    let fire = Fire::new();
    let newline = processor("AppendDelimiterToRecord", &[("Delimiter", "\\n")]);
    let json_records = processor("RecordDeAggregation", &[("SubRecordType", "JSON")]);
    let prefix = "!{partitionKeyFromQuery:user}/";
    fire.direct(
        "carts",
        partitioned(prefix, &[json_records, extraction("{user}"), newline.clone()]),
    );
    fire.put("carts", "{\"user\":1}{\"user\":2}\n{\"user\":1,\"n\":2}");
    fire.put("carts", "{\"user\":1} text");
    fire.pass(70_000);
    assert_eq!(
        fire.by_prefix(),
        [
            ("1/".to_owned(), "{\"user\":1}\n{\"user\":1,\"n\":2}\n".to_owned()),
            ("2/".to_owned(), "{\"user\":2}\n".to_owned()),
            fire.by_prefix()[2].clone(),
        ]
    );
    assert_eq!(fire.failures("metadata-extraction-failed").len(), 1);

    let fire = Fire::new();
    let delimited = processor(
        "RecordDeAggregation",
        &[("SubRecordType", "DELIMITED"), ("Delimiter", "IyMjIw==")],
    );
    fire.direct(
        "carts",
        partitioned(prefix, &[delimited, extraction("{user: .u}"), newline]),
    );
    fire.put("carts", "{\"u\":1}####{\"u\":2}####{\"u\":1}");
    fire.pass(70_000);
    assert_eq!(
        fire.by_prefix(),
        [
            ("1/".to_owned(), "{\"u\":1}\n{\"u\":1}\n".to_owned()),
            ("2/".to_owned(), "{\"u\":2}\n".to_owned()),
        ]
    );
}

/// The function sees each record that was taken out of another, and its answer has the keys and the data.
#[test]
fn a_function_gives_partition_keys() {
    let fire = Fire::new();
    fire.world.stream("orders", 1);
    let processors = [
        processor("RecordDeAggregation", &[("SubRecordType", "JSON")]),
        processor(
            "Lambda",
            &[
                ("LambdaArn", FUNCTION),
                ("BufferSizeInMBs", "1"),
                ("BufferIntervalInSeconds", "10"),
            ],
        ),
        extraction("{kind: .kind}"),
    ];
    let prefix = "!{partitionKeyFromLambda:team}/!{partitionKeyFromQuery:kind}/";
    fire.reading("carts", partitioned(prefix, &processors));
    fire.scripted(|event| {
        let records = event["records"].as_array().unwrap().iter();
        let records: Vec<Value> = records
            .map(|record| {
                let user: Value = serde_json::from_str(&data_of(record)).unwrap();
                let data = json!({"kind": "k", "user": user["user"]}).to_string();
                let mut answer = json!({
                    "recordId": record["recordId"],
                    "result": if user["user"] == 4 { "ProcessingFailed" } else { "Ok" },
                    "data": base64_simd::STANDARD.encode_to_string(data),
                });
                if user["user"] != 3 {
                    answer["metadata"] = json!({"partitionKeys": {"team": if user["user"] == 1 { "a" } else { "b" }, "other": 1}});
                }
                answer
            })
            .collect();
        InvokeResult::Returned(json!({ "records": records }).to_string().into())
    });
    fire.world
        .put("orders", "k", "{\"user\":1}{\"user\":2}{\"user\":3}");
    fire.world.put("orders", "k", "{\"user\":4}{\"user\":1}");
    fire.pass_in_runtime(90_000);
    let events = fire.function.events.lock().unwrap().clone();
    assert_eq!(events.len(), 1);
    let records = events[0]["records"].as_array().unwrap();
    let ids: BTreeSet<&str> = records
        .iter()
        .map(|record| record["recordId"].as_str().unwrap())
        .collect();
    assert_eq!((records.len(), ids.len()), (5, 5));
    assert_eq!(records[1]["kinesisRecordMetadata"]["subsequenceNumber"], 1);
    let objects = fire.by_prefix();
    let delivered: Vec<&(String, String)> = objects
        .iter()
        .filter(|(key, _)| !key.starts_with("errors"))
        .collect();
    assert_eq!(delivered[0].0, "a/k/");
    assert_eq!(delivered[0].1.matches("\"user\":1").count(), 2);
    assert_eq!((delivered.len(), delivered[1].0.as_str()), (2, "b/k/"));
    let failed = fire.failures("metadata-extraction-failed");
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].2, "partitionKeys values must not be null or empty");
    let objects = objects
        .iter()
        .filter(|(key, _)| key == "errors/processing-failed/");
    assert_eq!(objects.count(), 1);
}

/// A partition that cannot be written is tried again, stops no other, and goes below the prefix of errors in the end.
#[test]
fn a_partition_has_retries_of_its_own() {
    let fire = Fire::new();
    let mut destination = by_user();
    destination["DynamicPartitioningConfiguration"]["RetryOptions"] = json!({"DurationInSeconds": 600});
    fire.direct("carts", destination);
    *fire.world.objects.refuses_below.lock().unwrap() = Some("user=a/");
    fire.put("carts", "{\"user\":\"a\"}");
    fire.put("carts", "{\"user\":\"b\"}");
    fire.pass(65_000);
    assert_eq!(fire.by_prefix().len(), 1, "the other is delivered");
    fire.put("carts", "{\"user\":\"a\",\"n\":2}");
    let fire = fire.restarted();
    fire.pass(300_000);
    assert_eq!(
        fire.by_prefix().len(),
        1,
        "what follows in the same partition waits"
    );
    fire.pass(400_000);
    assert_eq!(
        fire.failures("dynamic-partitioning-failed"),
        [(
            "{\"user\":\"a\"}".to_owned(),
            "DynamicPartitioning.DeliveryFailed".to_owned(),
            "The records could not be delivered in the time of the retries".to_owned()
        )]
    );
    *fire.world.objects.refuses_below.lock().unwrap() = None;
    fire.pass(70_000);
    assert_eq!(
        fire.by_prefix().last().unwrap(),
        &("user=a/".to_owned(), "{\"user\":\"a\",\"n\":2}\n".to_owned())
    );
}

#[test]
fn an_object_whose_answer_is_lost_is_written_under_the_same_key() {
    let fire = Fire::new();
    fire.direct("carts", by_user());
    fire.put("carts", "{\"user\":1}");
    *fire.world.objects.loses_answers.lock().unwrap() = true;
    fire.pass(65_000);
    fire.put("carts", "{\"user\":1,\"n\":2}");
    let fire = fire.restarted();
    *fire.world.objects.loses_answers.lock().unwrap() = false;
    fire.pass(130_000);
    assert_eq!(fire.texts(), ["{\"user\":1}\n", "{\"user\":1,\"n\":2}\n"]);
}

#[test]
fn damaged_partitions_are_reported_and_the_others_are_delivered() {
    let fire = Fire::new();
    fire.direct("carts", by_user());
    for user in 0..3 {
        for n in 0..3 {
            fire.put("carts", &json!({"user": user, "n": n}).to_string());
        }
    }
    fire.pass(5_000);
    let files = |fire: &Fire, number: u64| fire.service.store.every()[0].files.partition(number);
    std::fs::remove_file(files(&fire, 0)).unwrap();
    let mut bytes = std::fs::read(files(&fire, 1)).unwrap();
    bytes[20] ^= 1;
    std::fs::write(files(&fire, 1), bytes).unwrap();
    let fire = fire.restarted();
    let damage = fire.service.store.damage();
    assert_eq!(damage.len(), 1, "{damage:?}");
    assert_eq!(damage[0].records, 3);
    fire.pass(70_000);
    let counts: Vec<(String, usize)> = fire
        .by_prefix()
        .into_iter()
        .map(|(prefix, body)| (prefix, body.lines().count()))
        .collect();
    assert_eq!(counts, [("user=1/".to_owned(), 2), ("user=2/".to_owned(), 3)]);
}

/// A query without end fails its records, one after another, and the other delivery streams go on.
#[test]
fn queries_without_end_fail_their_records() {
    let fire = Fire::new();
    let query = extraction("{user: ([range(1e15)] | length)}");
    fire.direct("carts", partitioned("!{partitionKeyFromQuery:user}/", &[query]));
    for _ in 0..5 {
        fire.put("carts", "{\"user\":1}");
    }
    fire.pass(70_000);
    let failed = fire.failures("metadata-extraction-failed");
    assert_eq!(failed.len(), 5);
    assert_eq!(failed[0].2, "the query needs too many steps");
}
