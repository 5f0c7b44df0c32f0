//! The template `prices` as a web client sees it: the products API, and the sizes of uploaded images.

mod images;
mod page;
pub mod privileges;
mod verify;

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use serde_json::{Value, json};

use crate::running::until;
use crate::support::{Cloud, block_on};
use crate::web::{Answer, exchange};

/// A request of a page of another origin.
pub const PAGE: &str = "Origin: https://shop.example\r\nSec-Fetch-Site: cross-site\r\n";
/// The header that an upload needs.
const JPEG: &str = "Content-Type: image/jpeg\r\n";
const PICTURE: &[u8] = include_bytes!("../../handlers/src/images/samples/rgb.jpg");

struct Shop {
    cloud: Cloud,
    api: String,
    bucket: String,
}

impl Shop {
    fn new() -> Self {
        let cloud = Cloud::start();
        // The tests send more requests than a shop has visitors.
        cloud.ok([
            "setup",
            "prices",
            "--param",
            "api_rate_limit=10000",
            "--param",
            "api_burst_limit=5000",
        ]);
        Self::on(cloud)
    }

    /// The one that is set up on `cloud`.
    fn on(cloud: Cloud) -> Self {
        let outputs = cloud.json(["outputs", "prices"]);
        let output = |name: &str| outputs[name].as_str().unwrap().to_owned();
        Self {
            api: output("api_url"),
            bucket: output("bucket_name"),
            cloud,
        }
    }

    /// A request of a page. Every answer allows the page to read it.
    fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        let url = format!("{}{path}", self.api);
        let answer = exchange(method, &url, PAGE, body.as_bytes());
        for (name, value) in [
            ("Access-Control-Allow-Origin", "*"),
            ("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE, OPTIONS"),
            ("Access-Control-Allow-Headers", "Content-Type, Authorization"),
        ] {
            assert_eq!(answer.header(name), [value], "{method} {path}: {}", answer.head);
        }
        answer
    }

    fn get(&self, path: &str) -> Value {
        let answer = self.call("GET", path, "");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// The ids of the products in a list.
    fn ids(&self, path: &str) -> BTreeSet<String> {
        let list = self.get(path);
        let ids = list
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["id"].as_str().unwrap());
        let set: BTreeSet<String> = ids.map(str::to_owned).collect();
        assert_eq!(set.len(), list.as_array().unwrap().len(), "each one once");
        set
    }

    fn create(&self, product: &str) -> String {
        let answer = self.call("POST", "/products", product);
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// A URL of an image, for one request.
    fn upload_url(&self, product: &str, query: &str) -> String {
        let path = format!("/products/{product}/images{query}");
        let answer = self.call("POST", &path, "");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer = answer.json();
        assert_eq!(answer["expires_in"], 3600);
        answer["url"].as_str().unwrap().to_owned()
    }

    fn download_url(&self, product: &str, query: &str) -> String {
        let answer = self.get(&format!("/products/{product}/images{query}"));
        assert_eq!(answer["expires_in"], 3600);
        answer["download_url"].as_str().unwrap().to_owned()
    }

    fn upload(&self, product: &str, kind: &str, image: &[u8]) -> Answer {
        let headers = format!("{PAGE}{JPEG}");
        let url = self.upload_url(product, &format!("?type={kind}"));
        exchange("PUT", &url, &headers, image)
    }

    /// Uploads a picture and waits until its sizes are recorded.
    fn illustrate(&self, product: &str) {
        let uploaded = self.upload(product, "main", PICTURE);
        assert_eq!(uploaded.status, 200, "{}", uploaded.text());
        self.sizes_appear(product, "main");
    }

    fn sizes_appear(&self, product: &str, kind: &str) {
        until("the sizes of the image", || {
            let product = self.get(&format!("/products/{product}"));
            (product["images"][kind] == json!(["small", "medium", "large"])).then_some(())
        });
    }
}

#[test]
fn every_route_has_its_statuses() {
    let shop = Shop::new();
    let id = &shop.create(r#"{"name":"Tea","category":"drinks","price":29.99}"#);
    let one = &format!("/products/{id}");
    let images = &format!("/products/{id}/images");
    let at = |query: &str| format!("{images}{query}");
    let missing = "Product not found";
    let table: &[(&str, &str, &str, u16, &str)] = &[
        ("OPTIONS", "/products", "", 200, ""),
        ("OPTIONS", one, "", 200, ""),
        ("OPTIONS", images, "", 200, ""),
        ("OPTIONS", "/elsewhere", "", 200, ""),
        ("GET", "/products", "", 200, "29.99"),
        ("GET", "/products?category=drinks", "", 200, id),
        ("GET", "/products?category=other", "", 200, "[]"),
        ("GET", "/products?category=", "", 200, id),
        ("PATCH", "/products", "", 405, "Method Not Allowed"),
        ("PUT", "/products", "{}", 405, "Method Not Allowed"),
        ("DELETE", "/products", "", 405, "Method Not Allowed"),
        ("POST", "/products", "not JSON", 400, "not valid JSON"),
        ("POST", "/products", "", 400, "not valid JSON"),
        ("POST", "/products", "[1]", 400, "not a JSON object"),
        (
            "POST",
            "/products",
            r#"{"id":"mine","name":"Tea"}"#,
            400,
            "Product id is not allowed",
        ),
        ("POST", "/products", r#"{"price":-1}"#, 400, "price"),
        ("POST", "/products", r#"{"category":7}"#, 400, "category"),
        (
            "POST",
            "/products",
            r#"{"images":{"main":["small"]}}"#,
            400,
            "images",
        ),
        ("GET", one, "", 200, "29.99"),
        ("GET", "/products/none", "", 404, missing),
        ("PUT", one, r#"{"price":0.1}"#, 200, "\"price\":0.1"),
        ("PUT", one, r#"{"price":"0.10"}"#, 200, "\"price\":0.1"),
        ("PUT", one, "{}", 200, "Tea"),
        ("PUT", one, "{", 400, "not valid JSON"),
        ("PUT", one, r#"{"id":"other"}"#, 400, "not that of the product"),
        ("PUT", "/products/none", r#"{"price":1}"#, 404, missing),
        ("POST", one, "{}", 405, "Method Not Allowed"),
        ("DELETE", "/products/none", "", 404, missing),
        ("POST", images, "", 200, "\"expires_in\":3600"),
        (
            "POST",
            &at("?type=back"),
            "",
            200,
            &format!("incoming_product_images/{id}/back.jpg"),
        ),
        ("POST", &at("?type=a/b"), "", 400, "type"),
        ("POST", "/products/none/images", "", 404, missing),
        (
            "GET",
            images,
            "",
            200,
            &format!("product_images/{id}/main/large.jpg"),
        ),
        (
            "GET",
            &at("?type=back&size=small"),
            "",
            200,
            &format!("product_images/{id}/back/small.jpg"),
        ),
        ("GET", &at("?size=huge"), "", 400, "small, medium, large"),
        ("GET", "/products/none/images", "", 404, missing),
        ("PUT", images, "{}", 405, "Method Not Allowed"),
        ("GET", "/", "", 404, "Not Found"),
        ("GET", "/elsewhere", "", 404, "Not Found"),
        ("GET", &at("/more"), "", 404, "Not Found"),
    ];
    for (method, path, body, status, contains) in table {
        let answer = shop.call(method, path, body);
        let text = answer.text();
        assert_eq!(answer.status, *status, "{method} {path} {body}: {text}");
        assert!(text.contains(contains), "{method} {path} {body}: {text}");
        match (*method, *status) {
            ("OPTIONS", _) => {
                assert_eq!(text, "", "{path}");
                assert_eq!(answer.header("Access-Control-Max-Age"), ["86400"]);
            }
            (_, 400..) => {
                let members = answer.json();
                assert!(members["message"].is_string(), "{method} {path}: {text}");
                assert_eq!(answer.header("Allow").len(), usize::from(*status == 405));
            }
            _ => assert_eq!(answer.header("Content-Type"), ["application/json"]),
        }
    }
    assert_eq!(shop.ids("/products"), [id.clone()].into(), "nothing was added");

    let deleted = shop.call("DELETE", one, "");
    assert_eq!(deleted.status, 200);
    assert_eq!(deleted.json()["name"], "Tea", "the deleted product is the answer");
    assert_eq!(shop.call("GET", one, "").status, 404);
    assert_eq!(shop.call("DELETE", one, "").status, 404);
    assert_eq!(shop.call("PUT", one, r#"{"price":1}"#).status, 404, "no ghost");
    assert_eq!(shop.get("/products"), json!([]));
}

/// A page of DynamoDB has 1 MB.
#[test]
fn a_list_has_all_pages() {
    let shop = Shop::new();
    let text = |text: String| AttributeValue::S(text);
    let item = |number: usize| {
        let mut item = HashMap::from([
            ("id".to_owned(), text(format!("p{number}"))),
            ("description".to_owned(), text("x".repeat(60_000))),
        ]);
        // A product without a category is in no index.
        if number.is_multiple_of(2) {
            item.insert("category".to_owned(), text("even".to_owned()));
        }
        item
    };
    let load = |numbers: std::ops::Range<usize>| {
        let writes = numbers.map(|number| {
            let put = PutRequest::builder()
                .set_item(Some(item(number)))
                .build()
                .unwrap();
            WriteRequest::builder().put_request(put).build()
        });
        let call = shop.cloud.dynamodb().batch_write_item();
        block_on(call.request_items("products", writes.collect()).send()).unwrap();
    };
    load(0..25);
    load(25..50);
    let all: BTreeSet<String> = (0..50).map(|number| format!("p{number}")).collect();
    assert_eq!(shop.ids("/products"), all);
    assert_eq!(shop.ids("/products?category=even").len(), 25);
    // An answer of a function has 6 MB at most.
    load(50..75);
    let answer = shop.call("GET", "/products", "");
    assert_eq!(answer.status, 413, "{}", answer.head);
    assert_eq!(shop.ids("/products?category=even").len(), 38);
}

#[test]
fn setup_makes_the_api_and_says_that_it_is_open() {
    let cloud = Cloud::start();
    let plan = cloud.ok(["plan", "prices"]);
    assert!(plan.contains("open to everyone"), "{plan}");
    cloud.ok(["setup", "prices"]);
    cloud.ok(["plan", "prices", "--check"]);
    let shop = Shop::on(cloud);
    assert_eq!(shop.get("/products"), json!([]));
    shop.cloud.ok(["sample", "load", "prices"]);
    let count = shop.ids("/products").len();
    assert!(count > 10, "{count} sample products");
    shop.cloud.ok(["destroy", "prices", "--yes"]);
    assert_eq!(shop.cloud.everything(), Vec::<String>::new());
    let gone = exchange("GET", &format!("{}/products", shop.api), "", b"");
    assert_eq!(gone.status, 404);
}

#[test]
fn the_api_can_be_left_out() {
    let cloud = Cloud::start();
    let made = cloud.json(["setup", "prices", "--param", "products_api=false"]);
    assert_eq!(made["outputs"].get("api_url"), None, "{made}");
    let everything = cloud.everything();
    for word in [
        "products-api",
        "image-processor",
        "product-images",
        "product-pages",
        "products-page",
    ] {
        assert!(everything.iter().all(|one| !one.contains(word)), "{everything:?}");
    }
    let verified = cloud.ok(["verify", "prices", "--param", "products_api=false"]);
    assert!(!verified.contains("products API"), "{verified}");
    cloud.ok(["destroy", "prices", "--yes"]);
    assert_eq!(cloud.everything(), Vec::<String>::new());
}

#[test]
fn the_two_functions_are_deployed_by_their_names() {
    let cloud = Cloud::start();
    for name in ["products-api", "image-processor"] {
        cloud.ok(["deploy", name]);
        let policy = cloud.json(["policy", "--function", name]);
        assert_eq!(policy["deployed"], true, "{policy}");
        cloud.ok(["undeploy", name, "--yes"]);
    }
    cloud.ok(["destroy", "prices", "--yes"]);
    assert_eq!(cloud.everything(), Vec::<String>::new());
}
