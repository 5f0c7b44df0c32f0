use std::collections::{BTreeMap, HashSet};

use insta::assert_snapshot;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::record::PartitionKey;

const PIPELINES: [Pipeline; 5] = [
    Pipeline::Retail,
    Pipeline::Realtime,
    Pipeline::Concert,
    Pipeline::Prices,
    Pipeline::Cart,
];

/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600_000;

fn settings(seed: u64, count: u64) -> Settings {
    Settings {
        seed,
        start_ms: START,
        rate: 10.0,
        count: Some(count),
        key: None,
    }
}

fn records(mut generator: Generator) -> Vec<Record> {
    let mut records = Vec::new();
    while let Some(record) = generator.read().unwrap() {
        records.push(record);
    }
    records
}

fn events(pipeline: Pipeline, seed: u64, count: u64) -> Vec<(Value, PartitionKey)> {
    records(Generator::of_pipeline(pipeline, settings(seed, count)))
        .into_iter()
        .map(|record| {
            (
                serde_json::from_slice(&record.data).unwrap(),
                record.partition_key,
            )
        })
        .collect()
}

#[test]
fn a_seed_makes_the_same_events() {
    for pipeline in PIPELINES {
        let once = events(pipeline, 7, 300);
        assert_eq!(once, events(pipeline, 7, 300), "{pipeline:?}");
        assert_ne!(once, events(pipeline, 8, 300), "{pipeline:?}");
        // Fewer are the beginning of more.
        assert_eq!(once[..100], events(pipeline, 7, 100), "{pipeline:?}");
    }
}

#[test]
fn the_first_events_of_each_pipeline() {
    let mut text = String::new();
    for pipeline in PIPELINES {
        for record in records(Generator::of_pipeline(pipeline, settings(1, 4))) {
            text.push_str(&format!(
                "{} {}\n",
                record.partition_key,
                String::from_utf8_lossy(&record.data)
            ));
        }
    }
    assert_snapshot!("first-events", text);
}

#[test]
fn retail_events_have_their_weights_and_sessions() {
    let events = events(Pipeline::Retail, 1, 20_000);
    let mut types: BTreeMap<&str, u32> = BTreeMap::new();
    let mut sessions: BTreeMap<&str, HashSet<&str>> = BTreeMap::new();
    let mut users = HashSet::new();
    for (event, key) in &events {
        *types.entry(event["eventType"].as_str().unwrap()).or_default() += 1;
        assert_eq!(event["userId"].as_str(), Some(key.as_str()));
        users.insert(key);
        sessions
            .entry(event["sessionId"].as_str().unwrap())
            .or_default()
            .insert(key);
        assert_eq!(
            event["eventType"] == "purchase",
            event["price"].is_number(),
            "{event}"
        );
    }
    let share = |name| f64::from(types[name]) / 20_000.0;
    for (name, expected) in [
        ("view", 0.6),
        ("add_to_cart", 0.2),
        ("purchase", 0.1),
        ("wishlist", 0.05),
    ] {
        assert!((share(name) - expected).abs() < 0.02, "{name}: {}", share(name));
    }
    assert!(
        sessions.values().all(|users| users.len() == 1),
        "a session has one user"
    );
    assert!(sessions.len() > 1_000 && users.len() >= 20);
}

#[test]
fn events_of_a_burst_are_close_to_each_other() {
    let events = events(Pipeline::Retail, 1, 20_000);
    let times: Vec<i64> = events
        .iter()
        .map(|(event, _)| event["timestamp"].as_i64().unwrap())
        .collect();
    assert_eq!(times[0], START);
    assert!(times.is_sorted());
    let spans: Vec<i64> = times
        .windows(51)
        .step_by(50)
        .map(|window| window[50] - window[0])
        .collect();
    let (shortest, longest) = (spans.iter().min().unwrap(), spans.iter().max().unwrap());
    assert!(*shortest < 1_500, "50 events in a burst: {shortest} ms");
    assert!(*longest > 4_000, "50 events outside of one: {longest} ms");
}

#[test]
fn concerts_refer_only_to_what_was_told() {
    let mut known: HashSet<String> = HashSet::new();
    for (event, key) in events(Pipeline::Concert, 3, 2_000) {
        let payload = &event["payload"];
        let (own, others): (&str, &[&str]) = match event["data_type"].as_str().unwrap() {
            "artists" => ("artist_id", &[]),
            "venues" => ("venue_id", &[]),
            "concerts" => ("concert_id", &["artist_id", "venue_id"]),
            _ => ("sale_id", &["concert_id"]),
        };
        for other in others {
            assert!(known.contains(payload[other].as_str().unwrap()), "{event}");
        }
        assert!(known.insert(payload[own].as_str().unwrap().to_owned()), "{event}");
        assert!(!key.ends_with("unknown"));
    }
}

#[test]
fn keys_are_those_that_the_templates_make() {
    for (pipeline, field) in [
        (Pipeline::Retail, "userId"),
        (Pipeline::Realtime, "sensorId"),
        (Pipeline::Prices, "product_id"),
        (Pipeline::Cart, "user_id"),
    ] {
        let keyed = Settings {
            key: Some(KeyRule::field(field)),
            ..settings(5, 500)
        };
        let by_rule = records(Generator::of_pipeline(pipeline, keyed));
        assert_eq!(
            by_rule,
            records(Generator::of_pipeline(pipeline, settings(5, 500))),
            "{pipeline:?}"
        );
    }
}

#[test]
fn a_template_makes_events() {
    let text = r#"{"n":{{seq}},"id":"{{uuid}}","h":"{{hex 6}}","i":{{int -3 3}},"f":{{float 0 10 1}},"b":{{bool}},
        "p":"{{pick a "b" c}}","w":"{{weighted x 1 y 0}}","who":"{{name}} {{email}}","t":"{{now}}","ms":{{now_ms}},"s":{{now_s}},
        "where":"{{city}} {{country}} {{ip}}","text":"{{sentence}} {{word}} {{first_name}} {{last_name}}"}"#;
    let generator = |seed| Generator::of_template(text, settings(seed, 50)).unwrap();
    let made = records(generator(1));
    assert_eq!(made, records(generator(1)));
    for (index, record) in made.iter().enumerate() {
        assert!(record.has_random_key && record.partition_key.len() == 8);
        let event: Value = serde_json::from_slice(&record.data).unwrap();
        assert_eq!(event["n"], index + 1);
        assert!((-3..=3).contains(&event["i"].as_i64().unwrap()));
        assert_eq!(event["w"], "x");
        assert!(["a", "\"b\"", "c"].contains(&event["p"].as_str().unwrap()));
        assert_eq!(event["id"].as_str().unwrap().as_bytes()[14], b'4');
    }
    let refused = |text: &str| {
        let error = Generator::of_template(text, settings(1, 1)).unwrap_err();
        assert_eq!(error.exit(), ground::exit::Exit::Usage);
        error.to_string()
    };
    assert_snapshot!(refused("{{uuid}}"), @"the template does not produce JSON");
    assert_snapshot!(refused("{{nothing}}"), @"{{nothing}} is not a faker");
    assert_snapshot!(refused("{{int 2 1}}"), @"{{int 2 1}} is not a faker");
    assert_snapshot!(refused("{{weighted a 0}}"), @"{{weighted a 0}} is not a faker");
    assert_snapshot!(refused("{{seq"), @"the template has a `{{` without its `}}`");
}

#[test]
fn a_key_that_an_event_has_not_is_an_error() {
    let keyed = Settings {
        key: Some(KeyRule::field("x")),
        ..settings(1, 1)
    };
    let mut generator = Generator::of_template("{\"n\":1}", keyed).unwrap();
    assert!(generator.read().is_err());
}

proptest! {
    #[test]
    fn no_template_makes_the_generator_panic(text in r#"(\{\{|\}\}|int|float|pick|weighted|hex|seq| |-?[0-9]{1,20}|"|\{"a":|\}){0,12}"#) {
        if let Ok(mut generator) = Generator::of_template(&text, settings(1, 3)) {
            while let Ok(Some(record)) = generator.read() {
                prop_assert!(serde_json::from_slice::<Value>(&record.data).is_ok());
            }
        }
    }

    #[test]
    fn numbers_are_in_their_range(seed: u64, first: i64, last: i64, end in 1u64..1000) {
        let mut dice = Dice::new(seed);
        let (first, last) = (first.min(last), first.max(last));
        prop_assert!((first..=last).contains(&dice.between(first, last)));
        prop_assert!(dice.below(end) < end && dice.popular(end) < end);
        prop_assert!(dice.exponential(5.0) >= 0.0);
    }
}
