//! `streamctl generate`: events that are printed or sent.

use serde_json::Value;

use crate::support::{Cloud, Machine};

#[test]
fn events_are_printed_the_same_for_a_seed() {
    let machine = Machine::new();
    for pipeline in ["retail", "realtime", "concert", "prices", "cart"] {
        let events = machine.ok(["generate", pipeline, "--seed", "7", "--count", "50"]);
        assert_eq!(
            events,
            machine.ok(["generate", pipeline, "--seed", "7", "-n", "50"]),
            "{pipeline}"
        );
        assert_eq!(events.lines().count(), 50);
        for line in events.lines() {
            serde_json::from_str::<Value>(line).unwrap();
        }
    }
    let template = r#"{"id": "{{uuid}}", "n": {{int 1 6}}}"#;
    let event = machine.ok(["generate", "--template", template, "-n", "1"]);
    let event: Value = serde_json::from_str(&event).unwrap();
    assert!((1..=6).contains(&event["n"].as_u64().unwrap()));
    machine.file("t.json", template);
    assert_eq!(
        machine.ok(["generate", "--template", "@t.json"]).lines().count(),
        100
    );
    let said = machine.fails(2, ["generate", "--template", "{{nothing}}"]);
    assert!(said.contains("is not a faker"), "{said}");
    machine.fails(2, ["generate"]);
    machine.fails(2, ["generate", "--template", "@missing.json"]);
    // No local cloud was started.
    assert!(!machine.path().join("streamctl-home").exists());
}

#[test]
fn events_are_sent_with_their_keys() {
    let cloud = Cloud::start();
    cloud.stream("carts", 2);
    cloud.stream("again", 2);
    let answer = cloud.json(["generate", "cart", "--seed", "1", "-n", "500", "--into", "carts"]);
    assert_eq!(answer["acknowledged"], 500);
    let mut sent = cloud.records("carts");
    for (key, data) in &sent {
        let event: Value = serde_json::from_slice(data).unwrap();
        assert_eq!(event["user_id"].to_string(), *key);
    }
    // What is printed with keys is what is sent.
    let entries = cloud.ok(["generate", "cart", "--seed", "1", "-n", "500", "-o", "json"]);
    cloud.file("entries.ndjson", entries);
    cloud.ok(["put", "again", "--file", "entries.ndjson"]);
    let mut again = cloud.records("again");
    sent.sort();
    again.sort();
    assert_eq!(sent, again);
    let said = cloud.fails(1, ["generate", "cart", "--into", "nowhere"]);
    assert!(said.contains("nowhere"), "{said}");
}
