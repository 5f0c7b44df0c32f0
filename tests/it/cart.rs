//! The template `cart` as its page and its operator see it: the API, what is in the bucket, and recommendations.

mod delivery;
mod privileges;
mod recommendations;
mod verify;

use serde_json::{Value, json};

use crate::contents::until;
use crate::products::PAGE;
use crate::support::Cloud;
use crate::web::{Answer, exchange};

const STREAM: &str = "api-kinesis-stream";

/// For [`until`].
fn or(is: bool, otherwise: &str) -> Result<(), String> {
    is.then_some(()).ok_or_else(|| otherwise.to_owned())
}

/// A cart that is set up.
struct Cart {
    cloud: Cloud,
    api: String,
    bucket: String,
}

impl Cart {
    fn new(parameters: &[&str]) -> Self {
        let cloud = Cloud::start();
        // The tests send more requests than a shop has visitors.
        let wide = ["api_rate_limit=10000", "api_burst_limit=5000"];
        let mut setup = cloud.streamctl(["setup", "cart"]);
        for parameter in wide.iter().chain(parameters) {
            setup.args(["--param", parameter]);
        }
        setup.assert().success();
        Self::on(cloud)
    }

    /// The one that is set up on `cloud`.
    fn on(cloud: Cloud) -> Self {
        let outputs = cloud.json(["outputs", "cart"]);
        let output = |name: &str| outputs[name].as_str().unwrap().to_owned();
        assert_eq!(output("submit_url"), format!("{}/submit", output("api_url")));
        Self {
            api: output("api_url"),
            bucket: output("bucket_name"),
            cloud,
        }
    }

    /// A request of a page. Every answer allows the page to read it.
    fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        let answer = exchange(method, &format!("{}{path}", self.api), PAGE, body.as_bytes());
        for (name, value) in [
            ("Access-Control-Allow-Origin", "*"),
            ("Access-Control-Allow-Methods", "POST, OPTIONS"),
            ("Access-Control-Allow-Headers", "Content-Type, Authorization"),
        ] {
            assert_eq!(answer.header(name), [value], "{method} {path}: {}", answer.head);
        }
        answer
    }

    /// Submits what is accepted.
    fn submit(&self, body: &Value) -> Value {
        let answer = self.call("POST", "/submit", &body.to_string());
        assert_eq!(answer.status, 200, "{body}: {}", answer.text());
        answer.json()
    }

    /// The lines of all objects that Firehose wrote.
    fn lines(&self) -> Vec<String> {
        let objects = self.cloud.objects(&self.bucket);
        let events = objects.into_iter().filter(|(key, _)| key.starts_with("20"));
        let texts = events.map(|(_, bytes)| String::from_utf8(bytes).unwrap());
        texts
            .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }

    /// Lets the buffer's time pass, and waits until `count` lines are in the bucket.
    fn collected(&self, count: usize) -> Vec<String> {
        self.cloud.ok(["local", "clock", "--advance", "61s"]);
        until("the events in the bucket", || match self.lines() {
            lines if lines.len() >= count => Ok(lines),
            lines => Err(lines.len().to_string()),
        })
    }
}

#[test]
fn every_route_has_its_statuses() {
    let cart = Cart::new(&["recommendations=false"]);
    let sent = "Data sent to Kinesis successfully";
    let long = format!(r#"{{"user_id":7,"note":"{}"}}"#, "x".repeat(1 << 20));
    let table: &[(&str, &str, &str, u16, &str)] = &[
        ("OPTIONS", "/submit", "", 200, ""),
        ("OPTIONS", "/elsewhere", "", 200, ""),
        ("OPTIONS", "/", "", 200, ""),
        ("POST", "/submit", r#"{"user_id":7}"#, 200, sent),
        (
            "POST",
            "/submit",
            r#"{"user_id":"7","product_ids":["1"," 2 ",""]}"#,
            200,
            sent,
        ),
        (
            "POST",
            "/submit",
            r#"{"user_id":7,"event":"add_to_cart"}"#,
            200,
            sent,
        ),
        (
            "POST",
            "/submit",
            r#"{"user_id":7,"event":"remove_from_cart"}"#,
            200,
            sent,
        ),
        (
            "POST",
            "/submit",
            r#"{"user_id":7,"event":"update_cart"}"#,
            200,
            sent,
        ),
        (
            "POST",
            "/submit",
            r#"{"user_id":7,"event":"checkout"}"#,
            200,
            sent,
        ),
        ("POST", "/submit", "", 400, "not valid JSON"),
        ("POST", "/submit", "{", 400, "not valid JSON"),
        ("POST", "/submit", "user_id=7", 400, "not valid JSON"),
        ("POST", "/submit", "[1]", 400, "not a JSON object"),
        ("POST", "/submit", "{}", 400, "user_id is missing"),
        ("POST", "/submit", r#"{"user_id":"x"}"#, 400, "user_id"),
        ("POST", "/submit", r#"{"user_id":-1}"#, 400, "user_id"),
        ("POST", "/submit", r#"{"user_id":7,"event":"buy"}"#, 400, "event"),
        (
            "POST",
            "/submit",
            r#"{"user_id":7,"product_ids":"1"}"#,
            400,
            "product_ids",
        ),
        (
            "POST",
            "/submit",
            r#"{"user_id":7,"product_ids":["a;b"]}"#,
            400,
            "product_ids",
        ),
        ("POST", "/submit", &long, 413, "1 MiB"),
        ("GET", "/submit", "", 405, "Method Not Allowed"),
        ("PUT", "/submit", "{}", 405, "Method Not Allowed"),
        ("PATCH", "/submit", "{}", 405, "Method Not Allowed"),
        ("DELETE", "/submit", "", 405, "Method Not Allowed"),
        ("POST", "/", r#"{"user_id":7}"#, 404, "Not Found"),
        ("POST", "/submit/more", r#"{"user_id":7}"#, 404, "Not Found"),
        ("GET", "/elsewhere", "", 404, "Not Found"),
    ];
    for (method, path, body, status, contains) in table {
        let answer = cart.call(method, path, body);
        let text = answer.text();
        let shown: String = body.chars().take(80).collect();
        assert_eq!(answer.status, *status, "{method} {path} {shown}: {text}");
        assert!(text.contains(contains), "{method} {path} {shown}: {text}");
        match (*method, *status) {
            ("OPTIONS", _) => {
                assert_eq!(text, "", "{path}");
                assert_eq!(answer.header("Access-Control-Max-Age"), ["86400"]);
            }
            (_, 400..) => {
                assert!(answer.json()["message"].is_string(), "{method} {path}: {text}");
                assert_eq!(answer.header("Allow").len(), usize::from(*status == 405));
            }
            _ => {
                let members = answer.json();
                assert_eq!(members["shard_id"], "shardId-000000000000");
                assert!(members["record_id"].is_string());
                assert_eq!(members.get("recommendations"), None, "they are off");
            }
        }
    }
    let accepted = table.iter().filter(|row| row.0 == "POST" && row.3 == 200).count();
    assert_eq!(
        cart.cloud.records(STREAM).len(),
        accepted,
        "nothing else was sent"
    );
}

#[test]
fn a_submission_is_one_line_of_its_user() {
    let cart = Cart::new(&["recommendations=false"]);
    let submitted = json!({
        "user_id": "0042", "product_ids": ["12", " 34 "], "event": "add_to_cart",
        "timestamp": "2020-01-01T00:00:00Z", "source": "web-app", "note": "two\nlines",
    });
    cart.submit(&submitted);
    let [(key, data)] = &cart.cloud.records(STREAM)[..] else {
        panic!("one record");
    };
    assert_eq!(key, "42");
    let text = std::str::from_utf8(data).unwrap();
    let line = text.strip_suffix('\n').unwrap();
    assert!(!line.contains('\n'), "{text}");
    let record: Value = serde_json::from_str(line).unwrap();
    assert_eq!(record["product_ids"], json!(["12", "34"]));
    assert_eq!(record["source"], "api-gateway");
    assert_eq!(record["client_source"], "web-app");
    assert_eq!(record["client_timestamp"], "2020-01-01T00:00:00Z");
    assert_ne!(record["timestamp"], record["client_timestamp"]);
    assert_eq!(record["note"], "two\nlines");
    // The bucket has the same line, and no other.
    assert_eq!(cart.collected(1), [line]);
    let objects = cart.cloud.objects(&cart.bucket);
    let [(key, bytes)] = &objects.into_iter().collect::<Vec<_>>()[..] else {
        panic!("one object");
    };
    assert_eq!(bytes, data);
    let parts: Vec<&str> = key.split('/').collect();
    assert!(
        parts.len() == 5 && parts[4].starts_with("api-firehose-stream-1-20"),
        "{key}"
    );
}

#[test]
fn setup_is_whole_and_destroy_leaves_nothing() {
    let cloud = Cloud::start();
    let plan = cloud.ok(["plan", "cart"]);
    assert!(plan.contains("open to everyone"), "{plan}");
    cloud.ok(["setup", "cart"]);
    cloud.ok(["plan", "cart", "--check"]);
    let again = cloud.json(["setup", "cart"]);
    let mut resources = again["resources"].as_array().unwrap().iter();
    assert!(resources.all(|one| one["result"] == "unchanged"), "{again}");
    let cart = Cart::on(cloud);
    // The page knows its API.
    let page = cart.cloud.ok(["open", "cart", "--print"]);
    assert_eq!(page.trim_end(), cart.cloud.json(["outputs", "cart"])["page_url"]);
    let files = cart.cloud.objects("cart-pages-000000000000-us-east-1");
    let config: Value = serde_json::from_slice(&files["config.json"]).unwrap();
    assert_eq!(config, json!({"api_url": cart.api}));
    assert!(files.contains_key("index.html") && files.contains_key("cart.js"));
    cart.submit(&json!({"user_id": 7}));
    cart.collected(1);
    cart.cloud.ok(["destroy", "cart", "--yes"]);
    assert_eq!(cart.cloud.everything(), Vec::<String>::new());
    let gone = exchange("POST", &format!("{}/submit", cart.api), "", b"{}");
    assert_eq!(gone.status, 404);
}

#[test]
fn recommendations_can_be_left_out() {
    let cloud = Cloud::start();
    let made = cloud.json(["setup", "cart", "--param", "recommendations=false"]);
    assert_eq!(made["outputs"].get("table_name"), None, "{made}");
    let everything = cloud.everything();
    assert!(
        everything.iter().all(|one| !one.contains("cart-features")),
        "{everything:?}"
    );
    let refused = cloud.fails(2, ["sample", "load", "cart", "--param", "recommendations=false"]);
    assert!(
        refused.contains("has no sample data with these parameters"),
        "{refused}"
    );
    cloud.ok(["destroy", "cart", "--yes"]);
    assert_eq!(cloud.everything(), Vec::<String>::new());
}

#[test]
fn the_page_can_be_left_out() {
    let cloud = Cloud::start();
    let made = cloud.json(["setup", "cart", "--param", "page=false"]);
    assert_eq!(made["outputs"].get("page_url"), None, "{made}");
    let everything = cloud.everything();
    assert!(
        everything.iter().all(|one| !one.contains("cart-pages")),
        "{everything:?}"
    );
    cloud.ok(["destroy", "cart", "--yes"]);
    assert_eq!(cloud.everything(), Vec::<String>::new());
}

#[test]
fn the_two_functions_are_deployed_by_their_names() {
    let cloud = Cloud::start();
    for name in ["cart-api", "cart-features"] {
        cloud.ok(["deploy", name]);
        let policy = cloud.json(["policy", "--function", name]);
        assert_eq!(policy["deployed"], true, "{policy}");
        cloud.ok(["undeploy", name, "--yes"]);
    }
    cloud.ok(["destroy", "cart", "--yes"]);
    assert_eq!(cloud.everything(), Vec::<String>::new());
}
