//! Least privilege of `products-api` and `image-processor`: without one action of its policy, a request or an image fails.

use std::collections::BTreeSet;

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::LastUpdateStatus;
use serde_json::{Value, json};

use super::{JPEG, PAGE, PICTURE, Shop};
use crate::running::until;
use crate::support::{Cloud, block_on};
use crate::web::exchange;

/// The role of a function, whose policy a test changes.
pub struct Role<'a> {
    cloud: &'a Cloud,
    function: &'static str,
    name: String,
    policy: String,
    document: Value,
}

impl<'a> Role<'a> {
    /// Of the function `function`.
    pub fn of(cloud: &'a Cloud, function: &'static str) -> Self {
        let printed = cloud.json(["policy", "--function", function]);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            cloud,
            function,
            name: text(&printed["role"]),
            policy: text(&printed["policies"][0]["name"]),
            document: printed["policies"][0]["document"].clone(),
        }
    }

    /// The role `name`, which is of no function, with its one policy.
    pub fn named(cloud: &'a Cloud, name: &str) -> Self {
        let iam = crate::provision::iam(cloud);
        let listed = block_on(iam.list_role_policies().role_name(name).send()).unwrap();
        let policy = listed.policy_names()[0].clone();
        let call = iam.get_role_policy().role_name(name).policy_name(&policy);
        let document = block_on(call.send()).unwrap().policy_document;
        let document = percent_encoding::percent_decode_str(&document)
            .decode_utf8()
            .unwrap();
        Self {
            cloud,
            function: "",
            name: name.to_owned(),
            policy,
            document: serde_json::from_str(&document).unwrap(),
        }
    }

    /// The actions that the policy allows.
    pub fn actions(&self) -> BTreeSet<String> {
        let statements = self.document["Statement"].as_array().unwrap().iter();
        let actions = statements.flat_map(|statement| statement["Action"].as_array().unwrap());
        actions
            .map(|action| action.as_str().unwrap().to_owned())
            .collect()
    }

    /// Replaces the policy with one without the actions `removed`.
    pub fn allow_all_but<'r>(&self, removed: impl IntoIterator<Item = &'r str>) {
        let removed: Vec<&str> = removed.into_iter().collect();
        let mut document = self.document.clone();
        let statements = document["Statement"].as_array_mut().unwrap();
        for statement in statements.iter_mut() {
            let actions = statement["Action"].as_array_mut().unwrap();
            actions.retain(|action| !removed.contains(&action.as_str().unwrap()));
        }
        statements.retain(|statement| !statement["Action"].as_array().unwrap().is_empty());
        let put = crate::provision::iam(self.cloud).put_role_policy();
        let put = put.role_name(&self.name).policy_name(&self.policy);
        block_on(put.policy_document(document.to_string()).send()).unwrap();
    }

    /// Invokes the function. Returns whether it failed.
    pub fn fails(&self, event: &Value) -> bool {
        let call = self.cloud.lambda().invoke().function_name(self.function);
        let answer = block_on(call.payload(Blob::new(event.to_string())).send()).unwrap();
        answer.function_error.is_some()
    }

    /// The number of invocations in the log.
    fn logged(&self) -> usize {
        let logs = aws_sdk_cloudwatchlogs::Client::new(&self.cloud.sdk());
        let group = format!("/aws/lambda/{}", self.function);
        let call = logs.filter_log_events().log_group_name(group);
        block_on(call.filter_pattern("START").send())
            .unwrap()
            .events()
            .len()
    }

    /// Changes the configuration, so that the next invocation uses a new instance.
    pub fn renew(&self, description: &str) {
        let change = self.cloud.lambda().update_function_configuration();
        let change = change.function_name(self.function).description(description);
        block_on(change.send()).unwrap();
        until("the update", || {
            let call = self.cloud.lambda().get_function_configuration();
            let found = block_on(call.function_name(self.function).send()).unwrap();
            (found.last_update_status == Some(LastUpdateStatus::Successful)).then_some(())
        });
    }

    /// Without an action on logs, the invocation of a new instance leaves no line.
    pub fn logs_nothing_without(&self, action: &str) {
        self.renew(action);
        let logged = self.logged();
        self.allow_all_but(Some(action));
        self.fails(&json!({}));
        self.allow_all_but(None);
        self.fails(&json!({}));
        until(action, || (self.logged() > logged).then_some(()));
        assert_eq!(self.logged(), logged + 1, "{action}");
    }
}

pub const LOGS: [&str; 2] = ["logs:CreateLogStream", "logs:PutLogEvents"];

/// The names of the actions in `own` and of those on logs.
pub fn all<'a>(own: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    own.into_iter().chain(LOGS).map(str::to_owned).collect()
}

#[test]
fn products_api_needs_each_action_of_its_policy() {
    let shop = Shop::new();
    let id = shop.create(r#"{"name":"Tea","category":"drinks","price":1}"#);
    shop.illustrate(&id);
    let role = Role::of(&shop.cloud, "products-api");
    let (upload, download) = (shop.upload_url(&id, ""), shop.download_url(&id, "?size=small"));
    let one = format!("/products/{id}");
    let call = |method: &str, path: &str, body: &str| shop.call(method, path, body).status;
    let jpeg = format!("{PAGE}{JPEG}");
    // Each request with its status without the action, and with it. The last one deletes the product.
    type Request<'a> = &'a dyn Fn() -> u16;
    let checks: [(&str, Request<'_>, u16, u16); 8] = [
        ("dynamodb:Scan", &|| call("GET", "/products", ""), 500, 200),
        (
            "dynamodb:Query",
            &|| call("GET", "/products?category=drinks", ""),
            500,
            200,
        ),
        ("dynamodb:GetItem", &|| call("GET", &one, ""), 500, 200),
        (
            "dynamodb:PutItem",
            &|| call("POST", "/products", r#"{"name":"Pot"}"#),
            500,
            201,
        ),
        (
            "dynamodb:UpdateItem",
            &|| call("PUT", &one, r#"{"price":2}"#),
            500,
            200,
        ),
        (
            "s3:PutObject",
            &|| exchange("PUT", &upload, &jpeg, PICTURE).status,
            403,
            200,
        ),
        (
            "s3:GetObject",
            &|| exchange("GET", &download, PAGE, b"").status,
            403,
            200,
        ),
        ("dynamodb:DeleteItem", &|| call("DELETE", &one, ""), 500, 200),
    ];
    assert_eq!(role.actions(), all(checks.map(|(action, ..)| action)));
    for (action, request, denied, allowed) in checks {
        role.allow_all_but(Some(action));
        assert_eq!(request(), denied, "without {action}");
        role.allow_all_but(None);
        assert_eq!(request(), allowed, "with {action}");
    }
    for action in LOGS {
        role.logs_nothing_without(action);
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
    let actions = [
        "dynamodb:GetItem",
        "dynamodb:UpdateItem",
        "s3:GetObject",
        "s3:PutObject",
    ];
    assert_eq!(role.actions(), all(actions));
    for action in actions {
        role.allow_all_but(Some(action));
        assert!(role.fails(&event), "without {action}");
        role.allow_all_but(None);
        assert!(!role.fails(&event), "with {action}");
    }
    for action in LOGS {
        role.logs_nothing_without(action);
    }
}
