//! Recommendations: made of sample orders, and never a reason for a submission to fail.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Cart, STREAM};
use crate::contents::until;
use crate::support::{Cloud, block_on};

const TABLE: &str = "cart-features";

/// Loads that many orders. Returns what is printed.
fn load(cart: &Cart, orders: &str) -> Vec<Value> {
    let loaded = cart.cloud.json(["sample", "load", "cart", "--orders", orders]);
    loaded.as_array().unwrap().clone()
}

/// The products that are recommended, as soon as there are any: the first submission loads the model.
fn recommended(cart: &Cart, submission: &Value) -> Vec<Value> {
    until("recommendations", || {
        let answer = cart.submit(submission);
        let listed = answer["recommendations"].as_array().cloned();
        listed.ok_or_else(|| answer.to_string())
    })
}

fn ids(recommendations: &[Value]) -> BTreeSet<&str> {
    recommendations
        .iter()
        .map(|one| one["product_id"].as_str().unwrap())
        .collect()
}

#[test]
fn the_ten_likeliest_products_are_recommended() {
    let cart = Cart::new(&[]);
    let loaded = load(&cart, "2k");
    let of = |key: &str, value: &str| loaded.iter().find(|one| one[key] == value).unwrap();
    for key in ["model.json", "scaler.json"] {
        assert_eq!(of("key", key)["items"], 1, "{loaded:?}");
    }
    assert_eq!(of("key", "products.ndjson")["items"], 1000);
    assert_eq!(loaded[3]["items"], 2000, "{loaded:?}");
    let items = cart.cloud.items(TABLE).len();
    assert_eq!(of("table", TABLE)["items"], items);
    let first = recommended(&cart, &json!({"user_id": 1}));
    assert_eq!((first.len(), ids(&first).len()), (10, 10), "{first:?}");
    let probabilities: Vec<f64> = first
        .iter()
        .map(|one| one["probability"].as_f64().unwrap())
        .collect();
    assert!(probabilities.is_sorted_by(|a, b| a >= b), "{probabilities:?}");
    assert!(
        probabilities.iter().all(|one| (0.0..=1.0).contains(one)),
        "{probabilities:?}"
    );
    assert!(
        probabilities[0] > probabilities[9],
        "they differ: {probabilities:?}"
    );
    for one in &first {
        for name in ["product_name", "department", "aisle"] {
            assert!(one[name].is_string(), "{one}");
        }
    }
    // What is in the cart is not recommended.
    let best = first[0]["product_id"].as_str().unwrap();
    let others = recommended(&cart, &json!({"user_id": 1, "product_ids": [best]}));
    assert!(!ids(&others).contains(best), "{others:?}");
    assert_eq!(
        recommended(&cart, &json!({"user_id": 999_999_999})),
        Vec::<Value>::new()
    );
    // A second run replaces the orders.
    let again = load(&cart, "1000");
    assert_ne!(again[3]["key"], loaded[3]["key"]);
    let objects = cart.cloud.objects(&cart.bucket);
    let orders: Vec<&String> = objects.keys().filter(|key| key.starts_with("orders/")).collect();
    assert_eq!(orders, [again[3]["key"].as_str().unwrap()]);
    cart.cloud.ok(["destroy", "cart", "--yes"]);
    assert_eq!(cart.cloud.everything(), Vec::<String>::new());
}

#[test]
fn a_number_of_orders_is_checked_before_the_first_call() {
    let cloud = Cloud::start();
    for (count, says) in [
        ("0", "whole number above 0"),
        ("-5", "whole number above 0"),
        ("1.5", "whole number above 0"),
        ("many", "whole number above 0"),
        ("11m", "at most 10,000,000"),
    ] {
        let refused = cloud.fails(2, ["sample", "load", "cart", &format!("--orders={count}")]);
        assert!(refused.contains(says), "{count}: {refused}");
    }
    let refused = cloud.fails(2, ["sample", "load", "prices", "--orders", "5"]);
    assert!(refused.contains("has no orders"), "{refused}");
    let refused = cloud.fails(1, ["sample", "load", "cart"]);
    assert!(refused.contains("is not set up"), "{refused}");
}

/// Neither of these faults fails a submission: all are in the stream, and the log says what is missing.
#[test]
fn a_submission_does_not_need_recommendations() {
    let cart = Cart::new(&[]);
    let logged = |text: &str| {
        until(text, || {
            let log = cart.cloud.ok(["logs", "cart-api", "-o", "text"]);
            log.contains(text).then_some(()).ok_or(log)
        });
    };
    let submit = || {
        let answer = cart.submit(&json!({"user_id": 1}));
        assert_eq!(answer.get("recommendations"), None, "{answer}");
    };
    // No model.
    submit();
    logged("no recommendations");
    logged("scaler.json");
    // A budget that is over before the model is loaded.
    load(&cart, "500");
    cart.cloud
        .ok(["setup", "cart", "--param", "recommendation_budget_ms=1"]);
    submit();
    logged("there were none within 1 ms");
    // No table.
    cart.cloud
        .ok(["setup", "cart", "--param", "recommendation_budget_ms=300"]);
    let call = cart.cloud.dynamodb().delete_table().table_name(TABLE);
    block_on(call.send()).unwrap();
    submit();
    logged("could not read the table of features");
    // An endpoint of SageMaker that does not exist.
    cart.cloud
        .ok(["setup", "cart", "--param", "sagemaker_endpoint=scores"]);
    load(&cart, "500");
    submit();
    assert_eq!(cart.cloud.records(STREAM).len(), 4);
}
