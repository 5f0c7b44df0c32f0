//! `streamctl demo`, the first command in the README.

use serde_json::json;

use crate::support::{Cloud, Machine};

/// Directories of demos in the home.
fn demo_homes(machine: &Machine) -> usize {
    let entries = std::fs::read_dir(machine.path().join("streamctl-home")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("demo")).count()
}

#[test]
fn the_demo_is_one_document() {
    let machine = Machine::new();
    let demo = machine.json(["demo"]);
    let commands = demo["steps"].as_array().unwrap().iter();
    let commands: Vec<&str> = commands
        .map(|step| step["command"][0].as_str().unwrap())
        .collect();
    assert_eq!(commands, ["setup", "put", "tail", "metrics", "destroy"]);
    assert_eq!(demo["steps"][2]["output"].as_array().unwrap().len(), 8, "{demo}");
    assert_eq!(demo["cost"]["region"], "us-east-1");
    let text = machine.ok(["demo", "-o", "yaml"]);
    assert!(text.starts_with("steps:\n"), "{text}");
}

/// A demo that was killed leaves its home; the next one deletes it.
#[test]
fn a_demo_deletes_what_a_killed_one_left() {
    let machine = Machine::new();
    // No process has the highest number.
    let left = machine.path().join("streamctl-home/demo-4194304");
    std::fs::create_dir_all(&left).unwrap();
    std::fs::write(left.join("events.json"), "[]").unwrap();
    machine.ok(["demo"]);
    assert_eq!(demo_homes(&machine), 0);
}

#[test]
fn the_demo_runs_and_leaves_nothing() {
    let machine = Machine::new();
    for _ in 0..2 {
        let output = machine
            .streamctl(["demo"])
            .assert()
            .success()
            .get_output()
            .clone();
        let said = String::from_utf8(output.stderr).unwrap();
        for command in ["setup", "put", "tail", "metrics", "destroy"] {
            assert!(said.contains(&format!("$ streamctl {command} ")), "{said}");
        }
        assert!(said.contains("Done in"), "{said}");
        let data = String::from_utf8(output.stdout).unwrap();
        let total = |name: &str| {
            data.lines()
                .find(|line| line.starts_with(name))
                .unwrap_or_default()
                .to_owned()
        };
        // 100 sample events and the test record of setup. The second run gives the same.
        assert!(total("records in").contains(" 101 "), "{data}");
        assert!(total("total").contains("us-east-1"), "{data}");
        assert_eq!(machine.json(["local", "status"])["running"], false);
        assert_eq!(demo_homes(&machine), 0);
    }
}

#[test]
fn the_demo_does_not_touch_the_users_local_cloud() {
    let cloud = Cloud::start();
    cloud.ok(["setup", "--stream", "streamctl-demo", "--shard-count", "3"]);
    cloud.ok(["demo"]);
    assert_eq!(
        cloud.json(["describe", "--stream", "streamctl-demo"])["open_shards"],
        3
    );
}

#[test]
fn the_demo_never_uses_aws() {
    let machine = Machine::new();
    // Configured for AWS, at an endpoint where nothing listens.
    machine
        .streamctl(["demo", "--quiet"])
        .env_remove("STREAMCTL_TARGET")
        .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        .env("AWS_USE_FIPS_ENDPOINT", "true")
        .env("AWS_USE_DUALSTACK_ENDPOINT", "true")
        .assert()
        .success();
}

#[test]
fn resources_kept_by_the_demo_can_be_destroyed_later() {
    let machine = Machine::new();
    machine.ok(["demo", "--keep"]);
    assert_eq!(machine.json(["list"])[0]["name"], "streamctl-demo");
    machine.ok(["destroy", "--stream", "streamctl-demo", "--yes"]);
    assert_eq!(machine.json(["list"]), json!([]));
    machine.ok(["local", "stop"]);
}
