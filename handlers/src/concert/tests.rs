use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::store::CallErrorKind;
use crate::testing::{self, Memory};

fn enveloped(id: &str, data_type: &str, payload: &Value) -> String {
    json!({
        "record_id": id,
        "source": "api",
        "data_type": data_type,
        "ingestion_timestamp": "2026-01-31T09:05:00Z",
        "payload": payload,
    })
    .to_string()
}

async fn run(memory: &Memory, records: &[Value]) -> Vec<String> {
    testing::run(&ConcertProcessor::new(memory), &testing::event(records)).await
}

/// The normalised records that are stored, each once.
fn processed_lines(memory: &Memory) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for (key, object) in memory.objects.borrow().iter() {
        if key.starts_with("processed/") {
            let batch: Vec<Value> = serde_json::from_slice(&object.body).unwrap();
            lines.extend(batch.iter().map(Value::to_string));
        }
    }
    lines
}

fn raw_keys(memory: &Memory) -> BTreeSet<String> {
    memory
        .objects
        .borrow()
        .keys()
        .filter(|key| key.starts_with("raw/"))
        .cloned()
        .collect()
}

async fn normalised(data_type: &str, payload: Value) -> String {
    let memory = Memory::default();
    assert!(
        run(
            &memory,
            &[testing::record(1, "k", enveloped("r-1", data_type, &payload))]
        )
        .await
        .is_empty()
    );
    let lines = processed_lines(&memory);
    let mut value: Value = serde_json::from_str(lines.first().unwrap()).unwrap();
    for name in ["record_id", "source", "data_type", "ingestion_timestamp"] {
        value.as_object_mut().unwrap().remove(name);
    }
    value.to_string()
}

#[tokio::test]
async fn each_type_has_one_shape() {
    let artist = json!({"id": "a1", "name": " Muse ", "genre": "rock", "popularity": "85", "followers": 3});
    insta::assert_snapshot!(normalised("artists", artist).await, @r#"{"artist_id":"a1","followers":3,"genres":["rock"],"name":"Muse","popularity":85}"#);
    let artist = json!({"id": "a1", "popularity_score": "42.5"});
    insta::assert_snapshot!(normalised("artists", artist).await, @r#"{"artist_id":"a1","genres":[],"name":null,"popularity":42.5,"popularity_score":"42.5"}"#);
    let artist = json!({"artist_id": "a1", "genres": ["rock", "pop"], "popularity": "much"});
    insta::assert_snapshot!(normalised("artists", artist).await, @r#"{"artist_id":"a1","genres":["rock","pop"],"name":null,"popularity":0}"#);
    let venue =
        json!({"venue_id": "v1", "name": "Hall", "city": "Bern", "country": "CH", "capacity": "1200"});
    insta::assert_snapshot!(normalised("venues", venue).await, @r#"{"capacity":1200,"location":{"city":"Bern","country":"CH"},"name":"Hall","venue_id":"v1"}"#);
    let venue = json!({"venue_id": "v1", "name": "Hall", "location": {"city": "Bern"}, "country": "CH", "capacity": 12.5});
    insta::assert_snapshot!(normalised("venues", venue).await, @r#"{"capacity":null,"location":{"city":"Bern","country":"CH"},"name":"Hall","venue_id":"v1"}"#);
    insta::assert_snapshot!(normalised("events", json!({"event_id": "c1", "artist_id": "a1", "date": "2026-06-01"})).await, @r#"{"artist_id":"a1","concert_id":"c1","date":"2026-06-01","status":"scheduled"}"#);
    insta::assert_snapshot!(normalised("concerts", json!({"concert_id": "c1", "status": "cancelled"})).await, @r#"{"concert_id":"c1","status":"cancelled"}"#);
    insta::assert_snapshot!(normalised("ticket_sales", json!({"concert_id": "c1", "unit_price": "49.90", "fee_amount": null})).await, @r#"{"concert_id":"c1","fee_amount":0,"quantity":1,"sale_id":null,"total_price":0,"unit_price":49.9}"#);
}

#[tokio::test]
async fn raw_data_is_kept_as_it_came() {
    let memory = Memory::default();
    let data = enveloped("a/1", "artists", &json!({"name": "Muse"}))
        .replace("\"Muse\"", " \"Muse\", \"rating\": 4.50");
    let records = [
        testing::record(1, "k", &data),
        testing::record(2, "k", enveloped("v1", "venues", &json!({}))),
    ];
    assert!(run(&memory, &records).await.is_empty());
    let objects = memory.objects.borrow();
    insta::assert_snapshot!(objects.keys().cloned().collect::<Vec<_>>().join("\n"), @r#"
    processed/artists/2026/01/31/batch_1-1-107036e82afc.json
    processed/venues/2026/01/31/batch_2-2-1570609c9097.json
    raw/artists/2026/01/31/a_1-32a390517fcc.json
    raw/venues/2026/01/31/v1.json
    "#);
    let raw = objects
        .iter()
        .find(|(key, _)| key.starts_with("raw/artists/"))
        .unwrap()
        .1;
    assert_eq!(raw.body, data.as_bytes());
    let processed = objects
        .iter()
        .find(|(key, _)| key.starts_with("processed/artists/"))
        .unwrap()
        .1;
    assert!(String::from_utf8_lossy(&processed.body).contains("\"rating\":4.50"));
}

#[tokio::test]
async fn a_bad_envelope_is_a_failure() {
    let memory = Memory::default();
    let good = enveloped("r", "artists", &json!({}));
    let mut records = vec![testing::record(1, "k", &good)];
    let without = ["source", "data_type", "ingestion_timestamp", "payload"].map(|name| {
        let mut value: Value = serde_json::from_str(&good).unwrap();
        value.as_object_mut().unwrap().remove(name);
        value.to_string()
    });
    let wrong = [
        enveloped("r", "weather", &json!({})),
        enveloped("r", "artists", &json!([])),
        r#"{"test":true,"message":"hello"}"#.to_owned(),
        "{".to_owned(),
    ];
    records.extend(
        (2..)
            .zip(without.iter().chain(&wrong))
            .map(|(sequence, data)| testing::record(sequence, "k", data)),
    );
    let failed = run(&memory, &records).await;
    assert_eq!(failed, ["2", "3", "4", "5", "6", "7", "8", "9"]);
    assert_eq!(memory.objects.borrow().len(), 2);
}

#[tokio::test]
async fn what_the_bucket_does_not_take_fails() {
    let memory = Memory::default();
    memory.fail(CallErrorKind::Refused);
    let records = [1, 2].map(|sequence| {
        testing::record(
            sequence,
            "k",
            enveloped(&format!("r{sequence}"), "artists", &json!({})),
        )
    });
    assert_eq!(run(&memory, &records).await, ["1"]);
}

#[test]
fn ids_are_safe_in_keys() {
    assert_eq!(key_part("a-1_B.json"), "a-1_B.json");
    for id in ["../../etc", "a/b", "ä", "", &"x".repeat(500)] {
        let part = key_part(id);
        assert!(
            part.len() < 230 && !part.contains('/') && !part.starts_with('.'),
            "{part}"
        );
    }
    assert_ne!(key_part("a/b"), key_part("a:b"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_the_delivery_the_same_is_stored(
        records in proptest::collection::vec((0..4_usize, 0..2_u32), 1..15),
        cuts in proptest::collection::vec(any::<bool>(), 15),
        again in proptest::collection::vec(0..15_usize, 0..5),
    ) {
        let types = ["artists", "venues", "concerts", "ticket_sales"];
        let records: Vec<_> = (1..).zip(&records).map(|(sequence, (data_type, value))| {
            let data = enveloped(&format!("r{sequence}"), types[*data_type], &json!({"name": "n", "popularity": value}));
            testing::record(sequence, "k", data)
        }).collect();
        let once = Memory::default();
        testing::run_batches(&ConcertProcessor::new(&once), std::slice::from_ref(&records));

        let mut batches = testing::split(&records, &cuts);
        batches.retain(|batch| !batch.is_empty());
        let repeated: Vec<_> = again.iter().filter_map(|place| batches.get(*place).cloned()).collect();
        batches.extend(repeated);
        let often = Memory::default();
        let failed = testing::run_batches(&ConcertProcessor::new(&often), &batches);
        prop_assert!(failed.iter().all(Vec::is_empty));
        prop_assert_eq!(raw_keys(&often), raw_keys(&once));
        prop_assert_eq!(processed_lines(&often), processed_lines(&once));
    }

    #[test]
    fn rubbish_never_panics(payload in r#"[\[\]{}":,0-9eE.a-z-]{0,60}"#, id in ".{0,30}") {
        let memory = Memory::default();
        let data = format!(r#"{{"record_id":{},"source":"s","data_type":"venues","ingestion_timestamp":1,"payload":{{{payload}}}}}"#, json!(id));
        testing::run_batches(&ConcertProcessor::new(&memory), &[vec![testing::record(1, "k", data)]]);
    }
}
