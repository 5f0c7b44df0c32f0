use std::collections::BTreeSet;
use std::io::Read;

use flate2::read::GzDecoder;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::aggregate::{UserRecord, join};
use crate::testing::{self, ARRIVAL_MS, At, Memory};

fn processor(memory: &Memory) -> RealtimeProcessor<&Memory, &Memory, At> {
    let settings = Settings::from_environment(&Environment::of(&[("READINGS", "noise, value")])).unwrap();
    RealtimeProcessor::new(memory, memory, At(ARRIVAL_MS + 1000), settings)
}

async fn run(memory: &Memory, records: &[Value]) -> Vec<String> {
    testing::run(&processor(memory), &testing::event(records)).await
}

fn unpacked(object: &store::Object) -> String {
    let mut text = String::new();
    GzDecoder::new(&object.body[..])
        .read_to_string(&mut text)
        .unwrap();
    text
}

/// Everything archived, each record once.
fn archived(memory: &Memory) -> BTreeSet<String> {
    memory
        .objects
        .borrow()
        .values()
        .flat_map(|object| unpacked(object).lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// The aggregates without what depends on how the records were split into batches.
fn aggregates(memory: &Memory) -> Value {
    let mut items = memory.items_json();
    for item in items.as_array_mut().unwrap() {
        let item = item.as_object_mut().unwrap();
        item.remove("revision");
        item.remove("counted");
    }
    items
}

mod deliveries;

#[tokio::test(start_paused = true)]
async fn the_documented_sample_has_metrics() {
    let memory = Memory::default();
    let sample = r#"{"sensorId":"s-1","temperature":21.7,"humidity":40,"timestamp":"2026-01-31T09:05:00Z"}"#;
    let next = r#"{"sensorId":"s-1","temperature":22.0,"humidity":41,"timestamp":"2026-01-31T09:05:01Z"}"#;
    assert!(
        run(
            &memory,
            &[testing::record(1, "s-1", sample), testing::record(2, "s-1", next)]
        )
        .await
        .is_empty()
    );
    insta::assert_snapshot!(serde_json::to_string_pretty(&memory.items_json()).unwrap(), @r#"
    [
      {
        "counted": {
          "M": {
            "shardId-000000000000": {
              "B": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAIAAAAA"
            }
          }
        },
        "humidity_average": {
          "N": "40.5"
        },
        "humidity_count": {
          "N": "2"
        },
        "humidity_max": {
          "N": "41"
        },
        "humidity_min": {
          "N": "40"
        },
        "humidity_total": {
          "N": "81"
        },
        "last_updated": {
          "S": "2026-01-31T09:05:01.250Z"
        },
        "partition_key": {
          "S": "s-1"
        },
        "record_count": {
          "N": "2"
        },
        "revision": {
          "N": "1"
        },
        "temperature_average": {
          "N": "21.85"
        },
        "temperature_count": {
          "N": "2"
        },
        "temperature_max": {
          "N": "22"
        },
        "temperature_min": {
          "N": "21.7"
        },
        "temperature_total": {
          "N": "43.7"
        },
        "timestamp": {
          "S": "2026-01-31T09:05:00Z"
        },
        "ttl": {
          "N": "1772442301"
        }
      }
    ]
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_value_has_the_documented_names() {
    let memory = Memory::default();
    let records: Vec<_> = (1..)
        .zip(["20", "21.5", "20.75"])
        .map(|(sequence, value)| testing::record(sequence, "s", format!(r#"{{"value":{value},"noise":-1}}"#)))
        .collect();
    assert!(run(&memory, &records).await.is_empty());
    let items = memory.items_json();
    let number = |name: &str| items[0][name]["N"].as_str().unwrap().to_owned();
    assert_eq!(
        [
            "count",
            "total_value",
            "average_value",
            "min_value",
            "max_value",
            "noise_total"
        ]
        .map(number),
        ["3", "62.25", "20.75", "20", "21.5", "-3"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_one_object_an_hour() {
    let memory = Memory::default();
    let records = [
        testing::record(1, "s", "{\n  \"value\": 1.50\n}"),
        testing::record(2, "s\n", "{}"),
        testing::record_at(3, "s", "{}", ARRIVAL_MS + 3_600_000),
    ];
    assert!(run(&memory, &records).await.is_empty());
    let objects = memory.objects.borrow();
    let keys: Vec<_> = objects.keys().cloned().collect();
    insta::assert_snapshot!(keys.join("\n"), @r#"
    raw/2026/01/31/09/1-2-94b15881f615.ndjson.gz
    raw/2026/01/31/10/3-3-98d571241c5f.ndjson.gz
    "#);
    insta::assert_snapshot!(unpacked(&objects[&keys[0]]), @r#"
    {"timestamp":"2026-01-31T09:05:00.250Z","partition_key":"s","data":{   "value": 1.50 },"processed_at":"2026-01-31T09:05:01.250Z","record_id":"shardId-000000000000:1"}
    {"timestamp":"2026-01-31T09:05:00.250Z","partition_key":"s\n","data":{},"processed_at":"2026-01-31T09:05:01.250Z","record_id":"shardId-000000000000:2"}
    "#);
}

#[tokio::test(start_paused = true)]
async fn bad_records_change_no_number() {
    let memory = Memory::default();
    let records = [
        testing::record(1, "s", "not JSON"),
        testing::record(2, "s", "[1]"),
        testing::record(3, "s", r#"{"value":1e999}"#),
        testing::record(4, "s", r#"{"value":"abc","temperature":1}"#),
        testing::record(5, "s", r#"{"value":null}"#),
        testing::record(6, "s", r#"{"humidity":true}"#),
        testing::record(7, "s", r#"{"value":""}"#),
        testing::record(8, "s", r#"{"value":{"n":1}}"#),
        testing::record(9, "s", r#"{"name":"abc"}"#),
    ];
    let lines = testing::Lines::shared();
    let failed = testing::run_logged(&processor(&memory), &testing::event(&records), lines.clone()).await;
    assert_eq!(failed, ["1", "2", "3", "4", "5", "6", "7", "8"]);
    assert!(memory.items.borrow().is_empty());
    assert_eq!(archived(&memory).len(), 1);
    let lines = lines.json();
    let errors: Vec<_> = lines.iter().filter_map(|line| line["error"].as_str()).collect();
    insta::assert_snapshot!(errors.join("\n"), @r"
    the data is not JSON: expected ident at line 1 column 2
    the data is JSON but not an object
    the field value is beyond the range of numbers
    the field value is not a number
    the field value is not a number
    the field humidity is not a number
    the field value is not a number
    the field value is not a number
    ");
    let metrics = lines.iter().find(|line| line.get("_aws").is_some()).unwrap();
    assert_eq!(metrics["RejectedRecords"], 8.0);
}

#[tokio::test(start_paused = true)]
async fn numbers_in_text_are_readings() {
    let memory = Memory::default();
    let records = [
        testing::record(1, "s", r#"{"value":"25.5"}"#),
        testing::record(2, "s", r#"{"value":" -1e1 "}"#),
    ];
    assert!(run(&memory, &records).await.is_empty());
    let items = memory.items_json();
    assert_eq!(items[0]["total_value"]["N"], "15.5");
    assert_eq!(items[0]["count"]["N"], "2");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_archived_is_not_counted() {
    let memory = Memory::default();
    let records = [testing::record(1, "s", r#"{"value":1}"#)];
    memory.fail(CallErrorKind::Refused);
    assert_eq!(run(&memory, &records).await, ["1"]);
    assert!(memory.items.borrow().is_empty());
    assert!(run(&memory, &records).await.is_empty());
    assert_eq!(memory.items_json()[0]["count"]["N"], "1");
}

#[tokio::test(start_paused = true)]
async fn a_total_that_cannot_be_exact_fails_and_changes_nothing() {
    let memory = Memory::default();
    let records = [
        testing::record(1, "s", r#"{"value":1e30}"#),
        testing::record(2, "s", r#"{"value":1e-30}"#),
    ];
    assert_eq!(run(&memory, &records).await, ["1", "2"]);
    assert!(memory.items.borrow().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_is_overtaken_reads_again() {
    let memory = Memory::default();
    memory.overtaken.set(3);
    assert!(
        run(&memory, &[testing::record(1, "s", r#"{"value":1}"#)])
            .await
            .is_empty()
    );
    assert_eq!(memory.items_json()[0]["count"]["N"], "1");
}

#[tokio::test(start_paused = true)]
async fn aggregates_with_different_outer_keys_may_come_in_any_order() {
    let memory = Memory::default();
    let inner = || {
        [UserRecord {
            partition_key: "s".to_owned(),
            data: br#"{"value":1}"#.to_vec(),
        }]
    };
    for (sequence, outer) in [(2, "b"), (1, "a"), (2, "b"), (1, "a")] {
        assert!(
            run(&memory, &[testing::record(sequence, outer, join(&inner()))])
                .await
                .is_empty()
        );
    }
    assert_eq!(memory.items_json()[0]["count"]["N"], "2");
}

#[tokio::test(start_paused = true)]
async fn an_aggregate_of_another_writer_is_carried_on() {
    let memory = Memory::default();
    assert!(
        run(&memory, &[testing::record(1, "s", r#"{"value":1}"#)])
            .await
            .is_empty()
    );
    for item in memory.items.borrow_mut().values_mut() {
        item.remove("counted");
        item.insert("note".to_owned(), crate::attribute::text("kept"));
    }
    assert!(
        run(&memory, &[testing::record(2, "s", r#"{"value":2}"#)])
            .await
            .is_empty()
    );
    let items = memory.items_json();
    assert_eq!(items[0]["count"]["N"], "2");
    assert_eq!(items[0]["note"]["S"], "kept");
}

#[tokio::test(start_paused = true)]
async fn a_record_twice_in_one_event_counts_once() {
    let memory = Memory::default();
    let record = |sequence| testing::record(sequence, "s", r#"{"value":1}"#);
    assert!(
        run(&memory, &[record(1), record(1), record(2), record(2)])
            .await
            .is_empty()
    );
    assert_eq!(memory.items_json()[0]["count"]["N"], "2");
}

/// One record: several user records in an aggregate, or a plain one.
fn record(sequence: u64, (key, values, seconds): &(usize, Vec<i32>, i64)) -> Value {
    let data = |value: &i32| {
        format!(
            r#"{{"value":{}.{},"temperature":{value}}}"#,
            value / 7,
            value.abs() % 10
        )
    };
    let key = format!("s-{key}");
    let arrival = ARRIVAL_MS + seconds * 1000;
    match &values[..] {
        [value] => testing::record_at(sequence, &key, data(value), arrival),
        _ => {
            let user = |(place, value): (usize, &i32)| UserRecord {
                partition_key: format!("s-{}", place % 2),
                data: data(value).into_bytes(),
            };
            let users: Vec<_> = values.iter().enumerate().map(user).collect();
            testing::record_at(sequence, &key, join(&users), arrival)
        }
    }
}

/// Delivers each batch until nothing of it fails, as Lambda does: from the lowest failure on.
fn deliver_until_done(memory: &Memory, batches: &[Vec<Value>]) {
    for batch in batches {
        let mut left = batch.clone();
        while let Some(first) =
            testing::run_batches(&processor(memory), std::slice::from_ref(&left))[0].first()
        {
            let place = left
                .iter()
                .position(|record| record["kinesis"]["sequenceNumber"] == **first);
            left.drain(..place.unwrap());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_the_delivery_each_record_counts_once(
        records in proptest::collection::vec((0..3_usize, proptest::collection::vec(-500..500_i32, 1..4), 0..3_i64), 1..20),
        cuts in proptest::collection::vec(any::<bool>(), 20),
        again in proptest::collection::vec(0..20_usize, 0..5),
        errors in 0..4_usize,
        overtaken in 0..3_usize,
        shuffled in any::<bool>(),
    ) {
        let records: Vec<_> = (1..).zip(&records).map(|(sequence, parts)| record(sequence, parts)).collect();
        let once = Memory::default();
        testing::run_batches(&processor(&once), std::slice::from_ref(&records));

        let mut batches = testing::split(&records, &cuts);
        if shuffled {
            batches.iter_mut().for_each(|batch| batch.reverse());
        }
        let often = Memory::default();
        (0..errors).for_each(|place| often.fail([CallErrorKind::Refused, CallErrorKind::Transient][place % 2]));
        often.overtaken.set(overtaken);
        deliver_until_done(&often, &batches);
        let repeated: Vec<_> = again.iter().filter_map(|place| batches.get(*place).cloned()).collect();
        deliver_until_done(&often, &repeated);
        prop_assert_eq!(aggregates(&often), aggregates(&once));
        prop_assert_eq!(archived(&often), archived(&once));
    }

    #[test]
    fn rubbish_never_panics(data in proptest::collection::vec(any::<u8>(), 0..60), value in r"-?[0-9]{1,3}(\.[0-9]{1,50})?(e-?[0-9]{1,9})?") {
        let memory = Memory::default();
        let text = json!({"x": 1}).to_string().replace("\"x\":1", &format!("\"value\":{value}"));
        let records = vec![testing::record_at(1, "", data, i64::MAX), testing::record(2, "k", text)];
        testing::run_batches(&processor(&memory), &[records]);
    }
}
