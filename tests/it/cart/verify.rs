//! `verify cart` follows an event from the API to an object, and leaves nothing.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Cart, or};
use crate::contents::until;
use crate::running::Running;
use crate::support::{Cloud, block_on};

/// `verify`, with a clock that passes the time of the buffer until it ends.
fn verified(cart: &Cart, args: &[&str]) -> Value {
    let args: Vec<&str> = ["verify", "cart", "-o", "json"]
        .iter()
        .chain(args)
        .copied()
        .collect();
    let mut verify = cart.cloud.streamctl(args);
    let output = std::thread::scope(|scope| {
        let running = scope.spawn(|| verify.output().unwrap());
        until("the end of verify", || {
            cart.cloud.ok(["local", "clock", "--advance", "61s"]);
            // What arrives now is for the next object.
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(2) && !running.is_finished() {
                std::thread::sleep(Duration::from_millis(10));
            }
            or(running.is_finished(), "it runs")
        });
        running.join().unwrap()
    });
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_str(&text).unwrap()
}

/// The check `name` of the event: its state and what it says.
fn check(report: &Value, name: &str) -> (String, String) {
    let resources = report["resources"].as_array().unwrap();
    let event = resources.iter().find(|one| one["kind"] == "event").unwrap();
    let mut checks = event["checks"].as_array().unwrap().iter();
    let found = checks.find(|one| one["check"].as_str().unwrap().starts_with(name));
    let found = found.unwrap_or_else(|| panic!("{name} in {event}"));
    let text = |key: &str| found[key].as_str().unwrap().to_owned();
    (text("state"), text("detail"))
}

fn nothing_is_left(cart: &Cart) {
    let versions = cart
        .cloud
        .s3()
        .list_object_versions()
        .bucket(&cart.bucket)
        .prefix("20");
    let found = block_on(versions.send()).unwrap();
    assert_eq!((found.versions().len(), found.delete_markers().len()), (0, 0));
}

#[test]
fn an_event_goes_from_the_api_to_an_object() {
    let cloud = Cloud::start();
    cloud.ok(["setup", "cart"]);
    let cart = Cart::on(cloud);
    // Nothing is loaded: there are no recommendations yet, and that is no fault.
    let report = verified(&cart, &[]);
    let (state, detail) = check(&report, "cart API");
    assert_eq!(state, "good", "{detail}");
    assert!(detail.starts_with("3 requests answered"), "{detail}");
    let (state, detail) = check(&report, "bucket");
    assert_eq!(state, "good", "{detail}");
    assert!(detail.starts_with("object"), "{detail}");
    let (state, detail) = check(&report, "recommendations");
    assert_eq!(state, "caution", "{detail}");
    assert!(detail.contains("sample load cart"), "{detail}");
    assert_eq!(check(&report, "clean-up").0, "good");
    nothing_is_left(&cart);
    // With a model and features there are some.
    cart.cloud.ok(["sample", "load", "cart", "--orders", "500"]);
    // The function remembers for a minute that there was no model.
    cart.cloud.ok(["setup", "cart", "--param", "lambda_memory=257"]);
    let report = verified(&cart, &["--param", "lambda_memory=257"]);
    let (state, detail) = check(&report, "recommendations");
    assert_eq!(state, "good", "{detail}");
    nothing_is_left(&cart);
}

#[test]
fn an_api_that_does_not_answer_is_a_fault_at_once() {
    let cart = Cart::new(&["recommendations=false"]);
    let role = crate::products::privileges::Role::of(&cart.cloud, "cart-api");
    role.allow_all_but(["kinesis:PutRecord"]);
    let args = ["verify", "cart", "--param", "recommendations=false", "-o", "json"];
    let ended = Running::start(&cart.cloud, args).end();
    assert_eq!(ended.code, Some(5), "{}", ended.stderr);
    let report: Value = serde_json::from_str(&ended.lines.join("\n")).unwrap();
    let (state, detail) = check(&report, "cart API");
    assert_eq!(state, "fault");
    assert!(detail.contains("answered 500"), "{detail}");
    nothing_is_left(&cart);
}
