//! What `undeploy`, `deploy` and `attach` say before they change anything, and where `--adopt` is.

use crate::functions::compiled;
use crate::provision::run;
use crate::support::{Cloud, Machine};

/// A cloud with the function `scorer`, which reads `orders`.
fn attached() -> Cloud {
    let cloud = Cloud::start();
    cloud.stream("orders", 1);
    let bootstrap = compiled::executable().to_str().unwrap();
    cloud.ok(["deploy", "scorer", "--bootstrap", bootstrap, "--stream", "orders"]);
    cloud.ok(["attach", "scorer", "--stream", "orders"]);
    cloud
}

#[test]
fn undeploy_names_the_mapping_that_goes_with_the_function() {
    let cloud = attached();
    let planned = cloud.json(["undeploy", "scorer", "--dry-run"]);
    let mapping = planned["resources"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["kind"] == "event_source_mapping")
        .unwrap_or_else(|| panic!("{planned}"));
    assert_eq!(mapping["name"], "scorer ← orders");
    assert_eq!(mapping["action"], "delete");
    assert_eq!(cloud.json(["mappings"]).as_array().unwrap().len(), 1);

    let said = cloud.fails(2, ["undeploy", "scorer"]);
    let listed = "To be deleted:\n  event source mapping scorer ← orders\n  function scorer\n";
    assert!(said.contains(listed), "{said}");
    cloud.ok(["undeploy", "scorer", "--yes"]);
    assert_eq!(cloud.json(["mappings"]).as_array().unwrap().len(), 0);
}

#[test]
fn undeploy_of_a_bundled_handler_names_its_mapping_once() {
    let cloud = Cloud::start();
    cloud.ok(["attach", "retail-event-processor"]);
    let planned = cloud.json(["undeploy", "retail-event-processor", "--dry-run"]);
    let mappings = planned["resources"].as_array().unwrap().iter();
    let mappings = mappings.filter(|one| one["kind"] == "event_source_mapping");
    assert_eq!(mappings.count(), 1, "{planned}");
}

#[test]
fn a_stream_that_is_not_there_is_told_before_anything_is_made() {
    let cloud = Cloud::start();
    let bootstrap = compiled::executable().to_str().unwrap();
    let deployed = run(
        &cloud,
        ["deploy", "scorer", "--bootstrap", bootstrap, "--stream", "nosuch"],
    );
    assert_eq!(deployed.code, 0);
    let warning = "warning: there is no stream nosuch; the function can read it once it exists";
    assert!(deployed.stderr.contains(warning), "{}", deployed.stderr);

    let before = cloud.json(["policy", "--function", "scorer"]);
    let said = cloud.fails(1, ["attach", "scorer", "--stream", "nosuch"]);
    assert!(said.contains("error: there is no stream nosuch\n"), "{said}");
    assert_eq!(cloud.json(["policy", "--function", "scorer"]), before);
}

#[test]
fn a_destination_that_is_not_there_is_refused_before_anything_is_made() {
    let cloud = Cloud::start();
    cloud.stream("orders", 1);
    let bootstrap = compiled::executable().to_str().unwrap();
    cloud.ok(["deploy", "scorer", "--bootstrap", bootstrap]);
    let before = cloud.json(["policy", "--function", "scorer"]);
    for (destination, named) in [
        ("queue:nosuch", "queue nosuch"),
        ("topic:nosuch", "topic nosuch"),
        ("bucket:nosuch", "bucket nosuch"),
        ("arn:aws:sqs:us-east-1:000000000000:nosuch", "queue nosuch"),
    ] {
        let attach = [
            "attach",
            "scorer",
            "--stream",
            "orders",
            "--on-failure",
            destination,
        ];
        let said = cloud.fails(1, attach);
        let expected = format!("error: there is no {named} in us-east-1\n");
        assert!(said.contains(&expected), "{destination}: {said}");
        assert!(
            said.contains("  cause: records that fail would be lost\n"),
            "{said}"
        );
    }
    assert_eq!(cloud.json(["policy", "--function", "scorer"]), before);
    assert_eq!(cloud.json(["mappings"]).as_array().unwrap().len(), 0);
}

#[test]
fn adopt_is_a_flag_of_the_commands_that_take_over_or_delete() {
    let machine = Machine::new();
    for line in ["setup", "plan", "destroy", "deploy", "undeploy", "attach"] {
        let help = machine.ok([line, "--help"]);
        assert!(help.contains("--adopt"), "{line}");
        let takes_over = help.contains("Take over existing resources");
        assert_eq!(takes_over, !matches!(line, "destroy" | "undeploy"), "{line}");
    }
    for line in ["verify", "outputs", "detach", "policy"] {
        assert!(!machine.ok([line, "--help"]).contains("--adopt"), "{line}");
    }
}
