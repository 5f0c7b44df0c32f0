use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::store::CallErrorKind;
use crate::testing::{self, Memory, product};

fn shop(products: &[&str]) -> Memory {
    let memory = Memory::default();
    memory
        .items
        .borrow_mut()
        .extend(products.iter().map(|id| product(id)));
    memory
}

fn price(sequence: u64, id: &str, price: Value) -> Value {
    testing::record(
        sequence,
        id,
        json!({"product_id": id, "price": price}).to_string(),
    )
}

async fn run(memory: &Memory, records: &[Value]) -> Vec<String> {
    testing::run(&PriceUpdater::new(memory, 0), &testing::event(records)).await
}

#[tokio::test]
async fn a_price_is_set_and_the_rest_of_the_product_kept() {
    let memory = shop(&["p-1"]);
    let data = r#"{"product_id":"p-1","price":29.99}"#;
    assert_eq!(
        run(&memory, &[testing::record(7, "p-1", data)]).await,
        Vec::<String>::new()
    );
    insta::assert_snapshot!(memory.items_json(), @r#"[{"id":{"S":"p-1"},"name":{"S":"Lamp"},"price":{"N":"29.99"},"price_sequence":{"S":"0000000000000000000000000000000000000000000000000000000000000007/000000"}}]"#);
}

#[tokio::test]
async fn prices_are_numbers_or_numeric_strings_from_nought_up() {
    let cases = [
        ("29.90", Some("29.9")),
        ("\" 12.5 \"", Some("12.5")),
        ("1e2", Some("100")),
        ("0", Some("0")),
        ("-0.01", None),
        ("\"cheap\"", None),
        ("null", None),
        ("true", None),
        ("1e200", None),
    ];
    for (text, expected) in cases {
        let memory = shop(&["p"]);
        let data = format!(r#"{{"product_id":"p","price":{text}}}"#);
        let failed = run(&memory, &[testing::record(1, "p", data)]).await;
        let stored = memory.items.borrow()["p"]
            .get("price")
            .map(|price| price.as_n().unwrap().clone());
        assert_eq!(stored.as_deref(), expected, "{text}");
        assert_eq!(failed.is_empty(), expected.is_some(), "{text}");
    }
}

#[tokio::test]
async fn an_unknown_product_is_a_failure_and_not_created() {
    let memory = shop(&["p-1"]);
    let failed = run(
        &memory,
        &[
            price(1, "ghost", json!(1)),
            price(2, "p-1", json!(2)),
            price(3, "ghost", json!(3)),
        ],
    )
    .await;
    assert_eq!(failed, ["1", "3"]);
    assert_eq!(memory.items.borrow().len(), 1);
    assert!(memory.items.borrow()["p-1"].contains_key("price"));
}

#[tokio::test]
async fn of_several_prices_in_a_batch_only_the_newest_is_written() {
    let memory = shop(&["p"]);
    let records: Vec<_> = (1..=9)
        .map(|sequence| price(sequence, "p", json!(sequence)))
        .collect();
    assert!(run(&memory, &records).await.is_empty());
    assert_eq!(memory.calls.get(), 1);
    assert_eq!(memory.items.borrow()["p"]["price"].as_n().unwrap(), "9");
}

#[tokio::test]
async fn an_older_price_never_replaces_a_newer_one() {
    let memory = shop(&["p"]);
    assert!(run(&memory, &[price(10, "p", json!(10))]).await.is_empty());
    // Were the numbers compared as text, 9 would be the greater.
    assert!(run(&memory, &[price(9, "p", json!(9))]).await.is_empty());
    assert_eq!(memory.items.borrow()["p"]["price"].as_n().unwrap(), "10");
}

#[tokio::test]
async fn a_fault_fails_just_the_records_of_its_product() {
    let memory = shop(&["p", "q"]);
    memory.fail(CallErrorKind::Refused);
    let failed = run(&memory, &[price(1, "p", json!(1)), price(2, "q", json!(2))]).await;
    assert_eq!(failed.len(), 1);
}

#[tokio::test]
async fn what_this_instance_wrote_is_not_written_again_if_so_configured() {
    let memory = shop(&["p", "q"]);
    let updater = PriceUpdater::new(&memory, 1);
    for (sequence, id, calls) in [(1, "p", 1), (2, "p", 1), (3, "q", 2), (4, "p", 3)] {
        let payload = testing::event(&[price(sequence, id, json!(5))]);
        assert!(testing::run(&updater, &payload).await.is_empty());
        assert_eq!(memory.calls.get(), calls, "{sequence}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_the_delivery_the_last_price_stays(
        prices in proptest::collection::vec((0..3_usize, 0..100_u32), 1..20),
        cuts in proptest::collection::vec(any::<bool>(), 20),
        again in proptest::collection::vec(0..20_usize, 0..5),
        backwards in any::<bool>(),
    ) {
        let names = ["p-0", "p-1", "p-2"];
        let records: Vec<_> = (1..).zip(&prices).map(|(sequence, (id, value))| price(sequence, names[*id], json!(value))).collect();
        let once = shop(&names);
        testing::run_batches(&PriceUpdater::new(&once, 0), std::slice::from_ref(&records));

        let mut batches = testing::split(&records, &cuts);
        let repeated: Vec<_> = again.iter().filter_map(|place| batches.get(*place).cloned()).collect();
        batches.extend(repeated);
        if backwards {
            batches.reverse();
            batches.iter_mut().for_each(|batch| batch.reverse());
        }
        let often = shop(&names);
        let failed = testing::run_batches(&PriceUpdater::new(&often, 0), &batches);
        prop_assert!(failed.iter().all(Vec::is_empty));
        prop_assert_eq!(often.items_json(), once.items_json());
    }
}
