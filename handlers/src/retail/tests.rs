use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::aggregate::{UserRecord, join};
use crate::testing::{self, ARRIVAL_MS, At, Lines, Memory};

fn processor(memory: &Memory) -> RetailProcessor<&Memory, &Memory, At> {
    let settings = Settings {
        environment: "dev".to_owned(),
        function: "retail-event-processor-dev".to_owned(),
        ttl_days: 30,
    };
    RetailProcessor::new(memory, memory, At(ARRIVAL_MS + 40), settings)
}

async fn run(memory: &Memory, records: &[Value]) -> Vec<String> {
    testing::run(&processor(memory), &testing::event(records)).await
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap()
}

const PURCHASE: &str = r#"{"userId":"u-1","eventType":"purchase","productId":"P0001","sessionId":"s-1","timestamp":1769850299000,"price":29.99,"items":[1,{"sku":null}]}"#;

#[tokio::test]
async fn an_event_becomes_an_item() {
    let memory = Memory::default();
    assert!(
        run(&memory, &[testing::record(1, "u-1", PURCHASE)])
            .await
            .is_empty()
    );
    insta::assert_snapshot!(pretty(&memory.items_json()), @r#"
    [
      {
        "engagementLevel": {
          "S": "high"
        },
        "eventScore": {
          "N": "10"
        },
        "eventTimestamp": {
          "N": "1769850299000.21494638565912903834"
        },
        "eventType": {
          "S": "purchase"
        },
        "insight": {
          "S": "User u-1 purchased product P0001"
        },
        "originalEvent": {
          "M": {
            "eventType": {
              "S": "purchase"
            },
            "items": {
              "L": [
                {
                  "N": "1"
                },
                {
                  "M": {
                    "sku": {
                      "NULL": true
                    }
                  }
                }
              ]
            },
            "price": {
              "N": "29.99"
            },
            "productId": {
              "S": "P0001"
            },
            "sessionId": {
              "S": "s-1"
            },
            "timestamp": {
              "N": "1769850299000"
            },
            "userId": {
              "S": "u-1"
            }
          }
        },
        "processedAt": {
          "N": "1769850300290"
        },
        "processingLatency": {
          "N": "40"
        },
        "productId": {
          "S": "P0001"
        },
        "recordId": {
          "S": "shardId-000000000000:1"
        },
        "sessionId": {
          "S": "s-1"
        },
        "ttl": {
          "N": "1772442300"
        },
        "userId": {
          "S": "u-1"
        }
      }
    ]
    "#);
}

#[tokio::test]
async fn what_is_left_out_has_defaults() {
    let memory = Memory::default();
    assert!(
        run(
            &memory,
            &[testing::record(
                1,
                "u-1",
                r#"{"userId":"u-1","eventType":"dance"}"#
            )]
        )
        .await
        .is_empty()
    );
    let items = memory.items_json();
    let item = &items[0];
    assert_eq!(item["productId"]["S"], "unknown");
    assert_eq!(item["eventScore"]["N"], "1");
    assert_eq!(item["insight"]["S"], "User u-1 interacted with product unknown");
    assert!(
        item["eventTimestamp"]["N"]
            .as_str()
            .unwrap()
            .starts_with("1769850300250.")
    );
}

#[test]
fn scores_verbs_and_engagement() {
    let of = |event_type| (score(event_type), verb(event_type), engagement(score(event_type)));
    assert_eq!(of("view"), (1, "viewed", "low"));
    assert_eq!(of("add_to_cart"), (5, "added to cart", "medium"));
    assert_eq!(of("purchase"), (10, "purchased", "high"));
    assert_eq!(of("wishlist"), (3, "added to wishlist", "low"));
    assert_eq!(of("share"), (2, "shared", "low"));
    assert_eq!(of("review"), (8, "reviewed", "high"));
}

#[tokio::test]
async fn bad_events_go_to_the_queue_and_block_nothing() {
    let memory = Memory::default();
    let bad = [
        ("not JSON", "JSON_DECODE_ERROR"),
        ("[1]", "JSON_DECODE_ERROR"),
        (r#"{"eventType":"view"}"#, "MISSING_FIELD"),
        (r#"{"userId":"u"}"#, "MISSING_FIELD"),
        (r#"{"userId":7,"eventType":"view"}"#, "INVALID_FIELD"),
        (r#"{"userId":"","eventType":"view"}"#, "INVALID_FIELD"),
        (
            r#"{"userId":"u","eventType":"view","timestamp":"soon"}"#,
            "INVALID_FIELD",
        ),
        (
            r#"{"userId":"u","eventType":"view","timestamp":1.5}"#,
            "INVALID_FIELD",
        ),
        (
            r#"{"userId":"u","eventType":"view","timestamp":1769850299000000}"#,
            "INVALID_FIELD",
        ),
        (
            r#"{"userId":"u","eventType":"view","price":1e300}"#,
            "INVALID_FIELD",
        ),
        (r#"{"userId":"refused","eventType":"view"}"#, "PROCESSING_ERROR"),
    ];
    let mut records: Vec<_> = (1..)
        .zip(&bad)
        .map(|(sequence, (data, _))| testing::record(sequence, "k", data))
        .collect();
    records.push(testing::record(99, "u-1", PURCHASE));
    let lines = Lines::shared();
    let failed = testing::run_logged(&processor(&memory), &testing::event(&records), lines.clone()).await;
    assert_eq!(failed, Vec::<String>::new());
    assert_eq!(memory.items.borrow().len(), 1);
    let messages: Vec<Value> = memory
        .messages
        .borrow()
        .iter()
        .map(|body| serde_json::from_str(body).unwrap())
        .collect();
    let types: Vec<_> = messages
        .iter()
        .map(|message| message["errorType"].as_str().unwrap())
        .collect();
    assert_eq!(types, bad.map(|(_, error_type)| error_type));
    insta::assert_snapshot!(pretty(&messages[2]), @r#"
    {
      "approximateArrivalTimestamp": "2026-01-31T09:05:00.250Z",
      "data": "eyJldmVudFR5cGUiOiJ2aWV3In0=",
      "dataBytes": 20,
      "error": "the field userId is missing",
      "errorType": "MISSING_FIELD",
      "failedAt": "2026-01-31T09:05:00.290Z",
      "functionName": "retail-event-processor-dev",
      "partitionKey": "k",
      "recordId": "shardId-000000000000:3",
      "requestId": "request-1",
      "sequenceNumber": "3",
      "shardId": "shardId-000000000000",
      "streamArn": "arn:aws:kinesis:us-east-1:123456789012:stream/events"
    }
    "#);

    let metrics = lines
        .json()
        .into_iter()
        .find(|line| line.get("_aws").is_some())
        .unwrap();
    assert_eq!(metrics["Environment"], "dev");
    assert_eq!(metrics["ProcessedEvents"], 1.0);
    assert_eq!(metrics["FailedEvents"], 11.0);
    let done = lines.json().pop().unwrap();
    assert_eq!(
        (&done["processed"], &done["failed"], &done["total"]),
        (&json!(1), &json!(11), &json!(12))
    );
}

#[tokio::test]
async fn a_large_bad_event_is_pointed_to() {
    let memory = Memory::default();
    let large = "x".repeat(1 << 20);
    let failed = run(
        &memory,
        &[
            testing::record(5, "schlüssel", &large),
            testing::record(6, "k", "x".repeat(150_000)),
        ],
    )
    .await;
    assert!(failed.is_empty());
    let messages = memory.messages.borrow();
    assert!(messages[0].is_ascii());
    let message: Value = serde_json::from_str(&messages[0]).unwrap();
    assert_eq!(message.get("data"), None);
    assert_eq!(message["shardId"], "shardId-000000000000");
    assert_eq!(message["sequenceNumber"], "5");
    assert_eq!(message["partitionKey"], "schlüssel");
    assert_eq!(message["dataBytes"], 1 << 20);
    let message: Value = serde_json::from_str(&messages[1]).unwrap();
    assert_eq!(message["data"].as_str().unwrap().len(), 200_000);
}

#[tokio::test]
async fn what_the_queue_does_not_take_fails() {
    let memory = Memory::default();
    memory.fail(CallErrorKind::Refused);
    assert_eq!(run(&memory, &[testing::record(1, "k", "bad")]).await, ["1"]);
}

#[tokio::test]
async fn what_the_table_does_not_take_for_now_fails() {
    let memory = Memory::default();
    memory.fail(CallErrorKind::Refused);
    let records = [testing::record(1, "k", PURCHASE), testing::record(2, "k", "bad")];
    assert_eq!(run(&memory, &records).await, ["1"]);
    assert_eq!(memory.messages.borrow().len(), 1);
}

#[tokio::test]
async fn a_bad_event_within_an_aggregate_is_queued_alone() {
    let memory = Memory::default();
    let users = [PURCHASE, "bad", PURCHASE].map(|data| UserRecord {
        partition_key: "u-1".to_owned(),
        data: data.as_bytes().to_vec(),
    });
    assert!(
        run(&memory, &[testing::record(1, "outer", join(&users))])
            .await
            .is_empty()
    );
    assert_eq!(memory.items.borrow().len(), 2);
    let message: Value = serde_json::from_str(&memory.messages.borrow()[0]).unwrap();
    assert_eq!(message["subSequenceNumber"], 1);
    assert_eq!(message["data"], "YmFk");
    assert_eq!(message["partitionKey"], "u-1");
}

#[test]
fn the_fraction_follows_from_the_id() {
    assert_eq!(
        fraction("shardId-000000000000:1"),
        fraction("shardId-000000000000:1")
    );
    assert_ne!(
        fraction("shardId-000000000000:1"),
        fraction("shardId-000000000000:2")
    );
    let fraction = fraction("shardId-000000000000:1");
    assert!(
        fraction.starts_with('.') && fraction.len() <= 21 && !fraction.ends_with('0'),
        "{fraction}"
    );
}

fn message_ids(memory: &Memory) -> BTreeSet<String> {
    let id = |body: &String| serde_json::from_str::<Value>(body).unwrap()["recordId"].to_string();
    memory.messages.borrow().iter().map(id).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_the_delivery_each_event_is_there_once(
        events in proptest::collection::vec((0..3_usize, 0..3_u32), 1..60),
        cuts in proptest::collection::vec(any::<bool>(), 60),
        again in proptest::collection::vec(0..60_usize, 0..5),
        unprocessed in 0..5_usize,
        backwards in any::<bool>(),
    ) {
        let data = |user: usize, ms: u32| match ms {
            2 => "bad".to_owned(),
            _ => json!({"userId": format!("u-{user}"), "eventType": "view", "timestamp": ms}).to_string(),
        };
        let records: Vec<_> = (1..).zip(&events).map(|(sequence, (user, ms))| testing::record(sequence, "k", data(*user, *ms))).collect();
        let once = Memory::default();
        testing::run_batches(&processor(&once), std::slice::from_ref(&records));
        let bad = events.iter().filter(|(_, ms)| *ms == 2).count();
        prop_assert_eq!(once.items.borrow().len(), events.len() - bad);

        let mut batches = testing::split(&records, &cuts);
        let repeated: Vec<_> = again.iter().filter_map(|place| batches.get(*place).cloned()).collect();
        batches.extend(repeated);
        if backwards {
            batches.reverse();
            batches.iter_mut().for_each(|batch| {
                batch.reverse();
                batch.extend(batch.clone());
            });
        }
        let often = Memory::default();
        often.unprocessed.set((unprocessed, 7));
        let failed = testing::run_batches(&processor(&often), &batches);
        prop_assert!(failed.iter().all(Vec::is_empty));
        prop_assert_eq!(often.items_json(), once.items_json());
        prop_assert_eq!(message_ids(&often), message_ids(&once));
    }

    #[test]
    fn rubbish_never_panics(data in proptest::collection::vec(any::<u8>(), 0..100), fields in r#"[\[\]{}":,0-9eE.a-z-]{0,40}"#) {
        let memory = Memory::default();
        let text = format!(r#"{{"userId":"u","eventType":"view",{fields}}}"#);
        let records = [testing::record(1, "k", data), testing::record(2, "k", text)];
        let failed = testing::run_batches(&processor(&memory), &[records.to_vec()]);
        prop_assert!(failed[0].is_empty());
        prop_assert_eq!(memory.items.borrow().len() + memory.messages.borrow().len(), 2);
    }
}
