//! `verify prices` tries the API and an image, and leaves nothing.

use serde_json::Value;

use super::Shop;
use crate::provision::run;
use crate::running::{Running, until};
use crate::support::{Cloud, block_on};

/// The check `name` of the event, and its state.
fn check(report: &Value, name: &str) -> (String, String) {
    let resources = report["resources"].as_array().unwrap();
    let event = resources.iter().find(|one| one["kind"] == "event").unwrap();
    let mut checks = event["checks"].as_array().unwrap().iter();
    let found = checks.find(|one| one["check"] == name);
    let found = found.unwrap_or_else(|| panic!("{name} in {event}"));
    let text = |key: &str| found[key].as_str().unwrap().to_owned();
    (text("state"), text("detail"))
}

fn nothing_is_left(shop: &Shop) {
    assert_eq!(shop.cloud.items("products"), Vec::new());
    let versions = shop.cloud.s3().list_object_versions().bucket(&shop.bucket);
    let found = block_on(versions.send()).unwrap();
    assert_eq!((found.versions().len(), found.delete_markers().len()), (0, 0));
}

/// A shop whose `verify` waits `seconds`.
fn patient(seconds: u32) -> Shop {
    let cloud = Cloud::start();
    cloud.ok(["init", "prices", "--to", "shop.toml"]);
    let path = cloud.path().join("shop.toml");
    let manifest = std::fs::read_to_string(&path).unwrap();
    assert!(manifest.contains("timeout_seconds = 90"));
    let manifest = manifest.replace("timeout_seconds = 90", &format!("timeout_seconds = {seconds}"));
    std::fs::write(path, manifest).unwrap();
    cloud.ok(["setup", "-f", "shop.toml"]);
    Shop::on(cloud)
}

/// Lets the function of the images run not at all, or again: uploaded images get no sizes meanwhile.
fn let_images_be_processed(shop: &Shop, runs: bool) {
    let (lambda, name) = (shop.cloud.lambda(), "image-processor");
    if runs {
        let call = lambda.delete_function_concurrency().function_name(name);
        block_on(call.send()).unwrap();
    } else {
        let call = lambda.put_function_concurrency().function_name(name);
        block_on(call.reserved_concurrent_executions(0).send()).unwrap();
    }
}

#[test]
fn the_api_and_an_image_are_tried_and_cleaned_up() {
    let cloud = Cloud::start();
    cloud.ok(["setup", "prices"]);
    let shop = Shop::on(cloud);
    let report = shop.cloud.json(["verify", "prices"]);
    assert_ne!(report["state"], "fault", "{report}");
    let (state, detail) = check(&report, "products API");
    assert_eq!(state, "good", "{detail}");
    assert!(detail.starts_with("5 requests answered"), "{detail}");
    let (state, detail) = check(&report, "image sizes");
    assert_eq!(state, "good", "{detail}");
    assert!(detail.starts_with("10 requests answered"), "{detail}");
    nothing_is_left(&shop);
    shop.cloud.ok(["verify", "prices", "--no-put"]);
}

#[test]
fn an_image_without_sizes_is_a_fault_after_the_deadline() {
    let shop = patient(2);
    let_images_be_processed(&shop, false);
    let verified = run(&shop.cloud, ["verify", "-f", "shop.toml", "-o", "json"]);
    assert_eq!(verified.code, 5, "{}{}", verified.stdout, verified.stderr);
    let report: Value = serde_json::from_str(&verified.stdout).unwrap();
    let (state, detail) = check(&report, "image sizes");
    assert_eq!(state, "fault");
    assert!(detail.contains("expected {\"images\":"), "{detail}");
    assert!(detail.contains("6 more were not sent"), "{detail}");
    assert_eq!(check(&report, "products API").0, "good");
    nothing_is_left(&shop);
    let_images_be_processed(&shop, true);
    shop.cloud.ok(["verify", "-f", "shop.toml"]);
    nothing_is_left(&shop);
}

#[test]
fn an_api_that_may_not_invoke_its_function_is_a_fault() {
    let shop = patient(2);
    let lambda = shop.cloud.lambda();
    let policy = block_on(lambda.get_policy().function_name("products-api").send()).unwrap();
    let policy: Value = serde_json::from_str(policy.policy().unwrap()).unwrap();
    let sid = policy["Statement"][0]["Sid"].as_str().unwrap();
    let call = lambda
        .remove_permission()
        .function_name("products-api")
        .statement_id(sid);
    block_on(call.send()).unwrap();
    let verified = run(&shop.cloud, ["verify", "-f", "shop.toml", "-o", "json"]);
    assert_eq!(verified.code, 5, "{}{}", verified.stdout, verified.stderr);
    let report: Value = serde_json::from_str(&verified.stdout).unwrap();
    let (state, detail) = check(&report, "products API");
    assert_eq!(state, "fault");
    assert!(
        detail.contains("answered 500") && detail.contains("expected 200"),
        "{detail}"
    );
    nothing_is_left(&shop);
}

#[test]
fn ctrl_c_deletes_what_the_event_left() {
    let shop = patient(60);
    let_images_be_processed(&shop, false);
    let verify = Running::start(&shop.cloud, ["verify", "-f", "shop.toml"]);
    until("the uploaded image", || {
        (!shop.cloud.objects(&shop.bucket).is_empty()).then_some(())
    });
    assert_ne!(shop.cloud.items("products"), Vec::new());
    verify.signal("INT");
    let ended = verify.end();
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    let said = "stopped before the event was followed";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
    nothing_is_left(&shop);
}
