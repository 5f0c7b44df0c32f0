use serde_json::json;

use super::*;
use crate::store::CallErrorKind;
use crate::testing::{Lines as LogLines, invocation, item_json};
use std::cell::RefCell;
use std::collections::BTreeMap;

const ORDERS: &str = r#"{"order_id":1,"user_id":7,"order_number":1,"days_since_prior":null,"products":[{"product_id":"tea","reordered":0}]}
{"order_id":2,"user_id":7,"order_number":2,"days_since_prior":7,"products":[{"product_id":"tea","reordered":1},{"product_id":"milk","reordered":0}]}

{"order_id":3,"user_id":8,"order_number":1,"days_since_prior":null,"products":[{"product_id":"milk","reordered":0}]}"#;

const NAMES: &str = r#"{"product_id":"tea","product_name":"Green tea","department":"beverages","aisle":"tea"}
{"product_id":"cake","product_name":"Cake"}
"#;

/// Files that arrive in parts of this size, and a table.
struct World {
    files: BTreeMap<&'static str, Vec<u8>>,
    part: usize,
    items: RefCell<BTreeMap<String, Item>>,
    refusing: bool,
}

impl World {
    fn new(orders: &[u8], part: usize) -> Self {
        let files = BTreeMap::from([
            ("orders/1.ndjson", orders.to_vec()),
            ("products.ndjson", NAMES.into()),
        ]);
        Self {
            files,
            part,
            items: RefCell::default(),
            refusing: false,
        }
    }

    async fn run(&self, key: &str) -> Result<Vec<Counts>, Diagnostic> {
        let function = CartFeatures::new(self, "data", self, Some("products.ndjson"));
        let payload = json!({"Records": [{"s3": {"bucket": {"name": "data"}, "object": {"key": key}}}]});
        let invocation = invocation(LogLines::shared());
        function.answer(payload.to_string().as_bytes(), &invocation).await
    }
}

struct Reader(Vec<Bytes>);

impl PartReader for Reader {
    async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        Ok(self.0.pop())
    }
}

impl Parts for &World {
    type Reader = Reader;

    async fn open(&self, key: &str) -> Result<Option<Reader>, CallError> {
        let parts = |file: &Vec<u8>| file.chunks(self.part).rev().map(Bytes::copy_from_slice).collect();
        Ok(self.files.get(key).map(|file| Reader(parts(file))))
    }
}

impl Objects for &World {
    async fn read(&self, key: &str, _max: usize) -> Result<Option<Bytes>, CallError> {
        Ok(self.files.get(key).map(|file| Bytes::copy_from_slice(file)))
    }
}

impl Table for &World {
    async fn put_items(&self, items: Vec<Item>) -> Result<Vec<Item>, CallError> {
        if self.refusing {
            return Err(CallError::new(CallErrorKind::Refused, "AccessDeniedException"));
        }
        for item in items {
            let id = item["id"].as_s().unwrap().clone();
            self.items.borrow_mut().insert(id, item);
        }
        Ok(Vec::new())
    }
}

#[tokio::test]
async fn a_file_of_orders_becomes_items() {
    let mut states = Vec::new();
    for part in [3, 100_000] {
        let world = World::new(ORDERS.as_bytes(), part);
        let counts = world.run("orders/1.ndjson").await.unwrap();
        assert_eq!(
            counts,
            [Counts {
                orders: 3,
                users: 2,
                products: 2
            }]
        );
        world.run("orders/1.ndjson").await.unwrap();
        let items: Vec<String> = world
            .items
            .borrow()
            .values()
            .map(|item| item_json(item).to_string())
            .collect();
        states.push(items.join("\n"));
    }
    assert_eq!(states[0], states[1]);
    insta::assert_snapshot!(states[0], @r#"
    {"id":{"S":"product#milk"},"prod_first_orders":{"N":"2"},"prod_orders":{"N":"2"},"prod_reorders":{"N":"0"},"prod_second_orders":{"N":"0"}}
    {"aisle":{"S":"tea"},"department":{"S":"beverages"},"id":{"S":"product#tea"},"prod_first_orders":{"N":"1"},"prod_orders":{"N":"2"},"prod_reorders":{"N":"1"},"prod_second_orders":{"N":"1"},"product_name":{"S":"Green tea"}}
    {"id":{"S":"user#7"},"products":{"L":[{"S":"tea"},{"S":"milk"}]},"user_distinct_products":{"N":"2"},"user_mean_days_since_prior":{"N":"3.5"},"user_orders":{"N":"2"},"user_periods":{"N":"7"},"user_products":{"N":"3"},"user_reorder_ratio":{"N":"0.5"}}
    {"id":{"S":"user#8"},"products":{"L":[{"S":"milk"}]},"user_distinct_products":{"N":"1"},"user_mean_days_since_prior":{"N":"0"},"user_orders":{"N":"1"},"user_periods":{"N":"0"},"user_products":{"N":"1"}}
    "#);
}

#[tokio::test]
async fn many_users_are_written_as_they_come() {
    let orders: Vec<String> = (1..=1000)
        .map(|user| {
            format!(
                r#"{{"user_id":{user},"order_number":1,"products":[{{"product_id":{},"reordered":0}}]}}"#,
                user % 300
            )
        })
        .collect();
    let world = World::new(orders.join("\n").as_bytes(), 1000);
    let counts = world.run("orders/1.ndjson").await.unwrap();
    assert_eq!((counts[0].users, counts[0].products), (1000, 300));
    assert_eq!(world.items.borrow().len(), 1300);
}

#[tokio::test]
async fn a_file_that_cannot_be_used_fails_with_the_line() {
    let cut = &ORDERS.as_bytes()[..ORDERS.len() - 30];
    let world = World::new(cut, 50);
    let error = world.run("orders/1.ndjson").await.unwrap_err();
    assert!(
        error.error_message.starts_with("line 4: it is not an order"),
        "{error:?}"
    );
    let error = world.run("orders/2.ndjson").await.unwrap_err();
    assert_eq!(error.error_message, "there is no file orders/2.ndjson");
    let mut refusing = World::new(ORDERS.as_bytes(), 50);
    refusing.refusing = true;
    let error = refusing.run("orders/1.ndjson").await.unwrap_err();
    assert_eq!(
        error.error_message,
        "could not write the features: AccessDeniedException"
    );
}
