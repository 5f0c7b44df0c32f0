use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::attribute::{number, text};
use crate::runtime::Function;
use crate::testing::{Lines, invocation};

const NEW_ID: &str = "8c1a0c52-3f1c-4a5b-9d0e-000000000001";

/// A table of products, and a bucket that signs URLs.
#[derive(Default)]
struct Shop {
    items: RefCell<BTreeMap<String, Item>>,
    error: Cell<Option<CallErrorKind>>,
    calls: Cell<usize>,
}

impl Shop {
    fn with(ids: &[&str]) -> Self {
        let shop = Self::default();
        for (place, id) in ids.iter().enumerate() {
            let category = if place % 2 == 0 { "home" } else { "garden" };
            let item = Item::from([
                ("id".to_owned(), text(*id)),
                ("category".to_owned(), text(category)),
                ("price".to_owned(), number("29.99")),
                (product::PRICE_SEQUENCE.to_owned(), text("0007")),
            ]);
            shop.items.borrow_mut().insert((*id).to_owned(), item);
        }
        shop
    }

    fn call(&self) -> Result<(), CallError> {
        self.calls.set(self.calls.get() + 1);
        match self.error.get() {
            Some(kind) => Err(CallError::new(kind, format!("{kind:?}"))),
            None => Ok(()),
        }
    }
}

impl Catalogue for &Shop {
    /// One item a page.
    async fn page(
        &self,
        category: Option<&str>,
        after: Option<Item>,
    ) -> Result<(Vec<Item>, Option<Item>), CallError> {
        self.call()?;
        let after = after
            .map(|key| key["id"].as_s().unwrap().clone())
            .unwrap_or_default();
        let items = self.items.borrow();
        let next = items.iter().find(|(id, _)| **id > after);
        let Some((id, item)) = next else {
            return Ok((Vec::new(), None));
        };
        let key = Item::from([("id".to_owned(), text(id.clone()))]);
        let is_asked = category.is_none_or(|category| item.get("category") == Some(&text(category)));
        Ok((is_asked.then(|| item.clone()).into_iter().collect(), Some(key)))
    }

    async fn get(&self, id: &str) -> Result<Option<Item>, CallError> {
        self.call()?;
        Ok(self.items.borrow().get(id).cloned())
    }

    async fn insert(&self, item: Item) -> Result<(), CallError> {
        self.call()?;
        let id = item["id"].as_s().unwrap().clone();
        assert!(self.items.borrow_mut().insert(id, item).is_none());
        Ok(())
    }

    async fn change(&self, id: &str, set: Item, remove: Vec<String>) -> Result<Option<Item>, CallError> {
        self.call()?;
        let mut items = self.items.borrow_mut();
        let Some(item) = items.get_mut(id) else {
            return Ok(None);
        };
        item.extend(set);
        item.retain(|name, _| !remove.contains(name));
        Ok(Some(item.clone()))
    }

    async fn delete(&self, id: &str) -> Result<Option<Item>, CallError> {
        self.call()?;
        Ok(self.items.borrow_mut().remove(id))
    }
}

impl Presign for &Shop {
    fn upload(&self, key: &str, lifetime: Duration) -> Result<String, CallError> {
        Ok(format!("https://images/{key}?put={}", lifetime.as_secs()))
    }

    fn download(&self, key: &str, lifetime: Duration) -> Result<String, CallError> {
        Ok(format!("https://images/{key}?get={}", lifetime.as_secs()))
    }
}

async fn call(shop: &Shop, method: &str, target: &str, body: &str) -> Answer {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query: BTreeMap<&str, &str> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let event = json!({
        "version": "2.0", "rawPath": path, "queryStringParameters": query, "body": body, "isBase64Encoded": false,
        "requestContext": {"stage": "$default", "http": {"method": method}},
    });
    let api = Served(ProductsApi::new(shop, Some(shop), || NEW_ID.to_owned()));
    let invocation = invocation(Lines::shared());
    api.answer(event.to_string().as_bytes(), &invocation)
        .await
        .unwrap()
}

#[tokio::test]
async fn routes_and_statuses() {
    let product = r#"{"name":"Lamp","price":29.99,"category":"home"}"#;
    for (method, target, body, status, answered) in [
        ("GET", "/products", "", 200, "["),
        ("GET", "/products?category=home", "", 200, "["),
        ("GET", "/products?category=none", "", 200, "[]"),
        ("POST", "/products", product, 201, r#"{"id":"#),
        (
            "POST",
            "/products",
            r#"{"id":"x"}"#,
            400,
            r#"{"message":"Product id is not allowed"}"#,
        ),
        (
            "POST",
            "/products",
            r#"{"id":null}"#,
            400,
            r#"{"message":"Product id is not allowed"}"#,
        ),
        (
            "POST",
            "/products",
            "{",
            400,
            r#"{"message":"The body is not valid JSON"#,
        ),
        (
            "POST",
            "/products",
            "",
            400,
            r#"{"message":"The body is not valid JSON"#,
        ),
        (
            "POST",
            "/products",
            "[]",
            400,
            r#"{"message":"The body is not a JSON object"}"#,
        ),
        (
            "PUT",
            "/products",
            product,
            405,
            r#"{"message":"Method Not Allowed"}"#,
        ),
        (
            "DELETE",
            "/products",
            "",
            405,
            r#"{"message":"Method Not Allowed"}"#,
        ),
        ("GET", "/products/p-1", "", 200, r#"{"id":"p-1""#),
        (
            "GET",
            "/products/p-9",
            "",
            404,
            r#"{"message":"Product not found"}"#,
        ),
        ("PUT", "/products/p-1", r#"{"price":5}"#, 200, r#"{"id":"p-1""#),
        (
            "PUT",
            "/products/p-9",
            r#"{"price":5}"#,
            404,
            r#"{"message":"Product not found"}"#,
        ),
        (
            "PUT",
            "/products/p-9",
            "{}",
            404,
            r#"{"message":"Product not found"}"#,
        ),
        (
            "PUT",
            "/products/p-1",
            "{",
            400,
            r#"{"message":"The body is not valid JSON"#,
        ),
        ("DELETE", "/products/p-1", "", 200, r#"{"id":"p-1""#),
        (
            "DELETE",
            "/products/p-9",
            "",
            404,
            r#"{"message":"Product not found"}"#,
        ),
        (
            "POST",
            "/products/p-1",
            product,
            405,
            r#"{"message":"Method Not Allowed"}"#,
        ),
        (
            "POST",
            "/products/p-1/images",
            "",
            200,
            r#"{"url":"https://images/"#,
        ),
        (
            "POST",
            "/products/p-1/images?type=a%20b",
            "",
            400,
            r#"{"message":"The parameter type"#,
        ),
        (
            "POST",
            "/products/p-9/images",
            "",
            404,
            r#"{"message":"Product not found"}"#,
        ),
        ("GET", "/products/p-1/images", "", 200, r#"{"download_url":"#),
        (
            "GET",
            "/products/p-1/images?size=huge",
            "",
            400,
            r#"{"message":"The parameter size"#,
        ),
        (
            "GET",
            "/products/p-9/images",
            "",
            404,
            r#"{"message":"Product not found"}"#,
        ),
        (
            "PUT",
            "/products/p-1/images",
            "",
            405,
            r#"{"message":"Method Not Allowed"}"#,
        ),
        ("GET", "/", "", 404, r#"{"message":"Not Found"}"#),
        (
            "GET",
            "/products/p-1/prices",
            "",
            404,
            r#"{"message":"Not Found"}"#,
        ),
        ("OPTIONS", "/products", "", 200, ""),
        ("OPTIONS", "/products/p-1", "", 200, ""),
        ("OPTIONS", "/products/p-1/images", "", 200, ""),
    ] {
        let shop = Shop::with(&["p-1", "p-2", "p-3"]);
        let answer = call(&shop, method, target, body).await;
        assert_eq!(answer.status, status, "{method} {target}: {}", answer.body);
        assert!(
            answer.body.starts_with(answered),
            "{method} {target}: {}",
            answer.body
        );
        assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("*"));
        assert_eq!(
            answer.header("Access-Control-Allow-Methods"),
            Some("GET, POST, PUT, DELETE, OPTIONS")
        );
        let headers = "Content-Type, Authorization";
        assert_eq!(answer.header("Access-Control-Allow-Headers"), Some(headers));
        let max_age = (method == "OPTIONS").then_some("86400");
        assert_eq!(answer.header("Access-Control-Max-Age"), max_age);
        if method != "OPTIONS" {
            let _: Value = serde_json::from_str(&answer.body).unwrap();
        }
        if matches!(status, 400 | 405) && !target.contains("images") {
            assert_eq!(shop.calls.get(), 0, "{method} {target} changes nothing");
        }
    }
}

#[tokio::test]
async fn a_list_has_all_pages_and_exact_prices() {
    let shop = Shop::with(&["p-1", "p-2", "p-3"]);
    let list = call(&shop, "GET", "/products", "").await;
    insta::assert_snapshot!(list.body, @r#"[{"id":"p-1","category":"home","price":29.99},{"id":"p-2","category":"garden","price":29.99},{"id":"p-3","category":"home","price":29.99}]"#);
    let home = call(&shop, "GET", "/products?category=home", "").await;
    let home: Value = serde_json::from_str(&home.body).unwrap();
    let ids: Vec<&Value> = home
        .as_array()
        .unwrap()
        .iter()
        .map(|product| &product["id"])
        .collect();
    assert_eq!(ids, ["p-1", "p-3"]);
    assert_eq!(call(&Shop::default(), "GET", "/products", "").await.body, "[]");
}

#[tokio::test]
async fn a_list_that_is_larger_than_an_answer_is_refused() {
    let shop = Shop::with(&["p-1"]);
    let large = text("x".repeat(300_000));
    for place in 0..15 {
        let id = format!("q-{place}");
        let item = Item::from([
            ("id".to_owned(), text(id.clone())),
            ("text".to_owned(), large.clone()),
        ]);
        shop.items.borrow_mut().insert(id, item);
    }
    assert_eq!(call(&shop, "GET", "/products", "").await.status, 413);
    assert_eq!(
        call(&shop, "GET", "/products?category=home", "").await.status,
        200
    );
}

#[tokio::test]
async fn a_product_is_created_with_a_new_id_and_without_a_category_if_so() {
    let shop = Shop::default();
    let body = r#"{"name":"Lamp","price":"29.990","category":null,"tags":["a",1.50],"stock":{"n":2}}"#;
    let created = call(&shop, "POST", "/products", body).await;
    insta::assert_snapshot!(created.body, @r#"{"id":"8c1a0c52-3f1c-4a5b-9d0e-000000000001","name":"Lamp","price":29.99,"stock":{"n":2},"tags":["a",1.5]}"#);
    let read = call(&shop, "GET", &format!("/products/{NEW_ID}"), "").await;
    assert_eq!(read.body, created.body);
}

#[tokio::test]
async fn a_change_keeps_the_rest_and_what_others_set() {
    let shop = Shop::with(&["p-1"]);
    let body = r#"{"id":"p-1","price":5.10,"name":"Lamp","category":null,"images":{"main":[]},"price_sequence":"9999"}"#;
    let changed = call(&shop, "PUT", "/products/p-1", body).await;
    insta::assert_snapshot!(changed.body, @r#"{"id":"p-1","name":"Lamp","price":5.1}"#);
    assert_eq!(shop.items.borrow()["p-1"][product::PRICE_SEQUENCE], text("0007"));
    let other = call(&shop, "PUT", "/products/p-1", r#"{"id":"p-2"}"#).await;
    assert_eq!(other.status, 400);
}

#[tokio::test]
async fn bad_fields_are_refused_by_name() {
    let shop = Shop::with(&["p-1"]);
    let many: Value = (0..101).map(|place| (format!("f{place}"), json!(1))).collect();
    let mut reasons = Vec::new();
    for body in [
        r#"{"price":-1}"#,
        r#"{"price":"cheap"}"#,
        r#"{"price":true}"#,
        r#"{"price":1e400}"#,
        r#"{"category":""}"#,
        r#"{"category":5}"#,
        r#"{"price_sequence":"1"}"#,
        r#"{"images":{}}"#,
        r#"{"":1}"#,
        r#"{"size":1e999}"#,
        &many.to_string(),
    ] {
        let answer = call(&shop, "POST", "/products", body).await;
        assert_eq!(answer.status, 400, "{body}");
        reasons.push(answer.body);
    }
    assert_eq!(shop.calls.get(), 0);
    insta::assert_snapshot!(reasons.join("\n"), @r#"
    {"message":"The field price is below zero"}
    {"message":"The field price is not a number"}
    {"message":"The field price is not a number"}
    {"message":"The field price is beyond the range of numbers"}
    {"message":"The field category is empty or longer than 1024 bytes"}
    {"message":"The field category is not a string"}
    {"message":"The field price_sequence is set by the service"}
    {"message":"The field images is set by the service"}
    {"message":"A field has no name"}
    {"message":"The field size holds a number that is beyond the range of numbers"}
    {"message":"The product has more than 100 fields"}
    "#);
}

#[tokio::test]
async fn urls_of_images_last_an_hour() {
    let shop = Shop::with(&["p-1", "a.b"]);
    let url = async |method: &'static str, target: &'static str| call(&shop, method, target, "").await.body;
    let answers = [
        url("POST", "/products/p-1/images").await,
        url("POST", "/products/p-1/images?type=front").await,
        url("GET", "/products/p-1/images").await,
        url("GET", "/products/p-1/images?type=front&size=small").await,
        url("GET", "/products/a.b/images").await,
    ];
    insta::assert_snapshot!(answers.join("\n"), @r#"
    {"url":"https://images/incoming_product_images/p-1/main.jpg?put=3600","expires_in":3600}
    {"url":"https://images/incoming_product_images/p-1/front.jpg?put=3600","expires_in":3600}
    {"download_url":"https://images/product_images/p-1/main/large.jpg?get=3600","expires_in":3600}
    {"download_url":"https://images/product_images/p-1/front/small.jpg?get=3600","expires_in":3600}
    {"message":"A product whose id has characters other than letters, digits, hyphens and underscores has no images"}
    "#);
}

#[tokio::test]
async fn an_error_of_the_table_is_an_error_of_the_api() {
    for (kind, status) in [
        (CallErrorKind::Refused, 500),
        (CallErrorKind::Transient, 503),
        (CallErrorKind::Rejected, 400),
    ] {
        for (method, target, body) in [
            ("GET", "/products", ""),
            ("GET", "/products/p-1", ""),
            ("POST", "/products", "{}"),
            ("PUT", "/products/p-1", r#"{"price":1}"#),
            ("DELETE", "/products/p-1", ""),
            ("POST", "/products/p-1/images", ""),
        ] {
            let shop = Shop::with(&["p-1"]);
            shop.error.set(Some(kind));
            let answer = call(&shop, method, target, body).await;
            assert_eq!(answer.status, status, "{method} {target}");
            assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("*"));
            let body: Value = serde_json::from_str(&answer.body).unwrap();
            assert!(body["message"].is_string());
        }
    }
}
