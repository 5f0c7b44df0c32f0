//! Least privilege of `products-api` and `image-processor`: without one action of its policy, a request or an image fails.

use aws_sdk_lambda::primitives::Blob;
use serde_json::{Value, json};

use super::{JPEG, PAGE, PICTURE, Shop};
use crate::support::{Cloud, block_on};
use crate::web::exchange;

/// The role of a function, whose policy a test changes.
struct Role {
    name: String,
    policy: String,
    document: Value,
}

impl Role {
    fn of(cloud: &Cloud, function: &str) -> Self {
        let printed = cloud.json(["policy", "--function", function]);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            name: text(&printed["role"]),
            policy: text(&printed["policies"][0]["name"]),
            document: printed["policies"][0]["document"].clone(),
        }
    }

    /// The actions on tables and buckets. Those on logs are the same for all functions.
    fn actions(&self) -> Vec<String> {
        let statements = self.document["Statement"].as_array().unwrap().iter();
        let lists = statements.map(|statement| match &statement["Action"] {
            Value::Array(actions) => actions.clone(),
            one => vec![one.clone()],
        });
        let all = lists.flatten().map(|action| action.as_str().unwrap().to_owned());
        let mut all: Vec<String> = all.filter(|action| !action.starts_with("logs:")).collect();
        all.sort();
        all
    }

    /// Replaces the policy with one that denies `denied` as well.
    fn deny(&self, cloud: &Cloud, denied: Option<&str>) {
        let mut document = self.document.clone();
        let deny = denied.map(|action| json!({"Effect": "Deny", "Action": action, "Resource": "*"}));
        document["Statement"].as_array_mut().unwrap().extend(deny);
        let iam = aws_sdk_iam::Client::new(&cloud.sdk());
        let put = iam
            .put_role_policy()
            .role_name(&self.name)
            .policy_name(&self.policy);
        block_on(put.policy_document(document.to_string()).send()).unwrap();
    }
}

#[test]
fn products_api_needs_each_action_of_its_policy() {
    let shop = Shop::new();
    let id = shop.create(r#"{"name":"Tea","category":"drinks","price":1}"#);
    shop.illustrate(&id);
    let role = Role::of(&shop.cloud, "products-api");
    let (upload, download) = (shop.upload_url(&id, ""), shop.download_url(&id, "?size=small"));
    let one = format!("/products/{id}");
    let api = |method: &'static str, path: &str, body: &'static str| {
        let (shop, path) = (&shop, path.to_owned());
        Box::new(move || shop.call(method, &path, body).status) as Box<dyn Fn() -> u16>
    };
    let jpeg = format!("{PAGE}{JPEG}");
    // The last one deletes the product.
    let checks: [(&str, Box<dyn Fn() -> u16>, u16, u16); 8] = [
        ("dynamodb:Scan", api("GET", "/products", ""), 500, 200),
        (
            "dynamodb:Query",
            api("GET", "/products?category=drinks", ""),
            500,
            200,
        ),
        ("dynamodb:GetItem", api("GET", &one, ""), 500, 200),
        (
            "dynamodb:PutItem",
            api("POST", "/products", r#"{"name":"Pot"}"#),
            500,
            201,
        ),
        (
            "dynamodb:UpdateItem",
            api("PUT", &one, r#"{"price":2}"#),
            500,
            200,
        ),
        (
            "s3:PutObject",
            Box::new(|| exchange("PUT", &upload, &jpeg, PICTURE).status),
            403,
            200,
        ),
        (
            "s3:GetObject",
            Box::new(|| exchange("GET", &download, PAGE, b"").status),
            403,
            200,
        ),
        ("dynamodb:DeleteItem", api("DELETE", &one, ""), 500, 200),
    ];
    let mut named: Vec<&str> = checks.iter().map(|(action, ..)| *action).collect();
    named.sort_unstable();
    assert_eq!(role.actions(), named);
    for (action, request, denied, allowed) in &checks {
        role.deny(&shop.cloud, Some(action));
        assert_eq!(request(), *denied, "without {action}");
        role.deny(&shop.cloud, None);
        assert_eq!(request(), *allowed, "with {action}");
    }
}

#[test]
fn image_processor_needs_each_action_of_its_policy() {
    let shop = Shop::new();
    let id = shop.create(r#"{"name":"Tea"}"#);
    shop.illustrate(&id);
    let role = Role::of(&shop.cloud, "image-processor");
    let key = format!("incoming_product_images/{id}/main.jpg");
    let event = json!({"Records": [{"s3": {"bucket": {"name": shop.bucket}, "object": {"key": key}}}]});
    let lambda = aws_sdk_lambda::Client::new(&shop.cloud.sdk());
    let fails = || {
        let call = lambda.invoke().function_name("image-processor");
        let answer = block_on(call.payload(Blob::new(event.to_string())).send()).unwrap();
        answer.function_error.is_some()
    };
    let actions = [
        "dynamodb:GetItem",
        "dynamodb:UpdateItem",
        "s3:GetObject",
        "s3:PutObject",
    ];
    assert_eq!(role.actions(), actions);
    for action in actions {
        role.deny(&shop.cloud, Some(action));
        assert!(fails(), "without {action}");
        role.deny(&shop.cloud, None);
        assert!(!fails(), "with {action}");
    }
}
