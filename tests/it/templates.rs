//! `init`, edited templates and the user's own manifests.

use insta::assert_snapshot;
use predicates::prelude::*;

use crate::provision::{redacted, run, transcript};
use crate::support::{Cloud, Machine};

/// A stream whose parameter is not named like the flag and has no `setting`.
pub const OWN: &str = r#"
name = "own"
description = "One stream"
instance = "${name}"
[parameters.name]
type = "string"
description = "Name of the stream"
default = "own-stream"
[[resources]]
kind = "stream"
id = "stream"
[resources.properties]
name = "${name}"
[outputs]
stream_name = "${stream.name}"
"#;

#[test]
fn a_written_template_sets_up_the_same_pipeline() {
    let cloud = Cloud::start();
    let written = cloud.ok(["init", "stream"]);
    assert_eq!(written, "stream/pipeline.toml\nstream/events.json\n");
    let plan = |args: &[&str]| {
        cloud
            .streamctl(args)
            .assert()
            .success()
            .get_output()
            .stdout
            .clone()
    };
    assert_eq!(
        plan(&["plan", "-f", "stream/pipeline.toml", "-o", "json"]),
        plan(&["plan", "-o", "json"])
    );
    // It is the same pipeline, so setup finds its resources.
    cloud.ok(["setup"]);
    assert_eq!(
        run(&cloud, ["plan", "--check", "--file", "stream/pipeline.toml"]).code,
        0
    );
    cloud.ok(["verify", "-f", "stream/pipeline.toml"]);
    assert_eq!(
        cloud.json(["outputs", "-f", "stream/pipeline.toml"]),
        cloud.json(["outputs"])
    );
    cloud.ok(["destroy", "-f", "stream/pipeline.toml", "--yes"]);
}

#[test]
fn init_overwrites_only_with_force() {
    let machine = Machine::new();
    machine.ok(["init", "stream", "--to", "shop.toml"]);
    std::fs::write(machine.path().join("shop.toml"), "mine").unwrap();
    let refusal = machine.fails(2, ["init", "stream", "--to", "shop.toml"]);
    assert_snapshot!(refusal, @r#"
    error: shop.toml, events.json exists already
    hint: nothing was written; choose another path with --to, or overwrite with --force
    "#);
    let mine = std::fs::read_to_string(machine.path().join("shop.toml")).unwrap();
    assert_eq!(mine, "mine");
    machine.ok(["init", "stream", "--to", "shop.toml", "--force"]);
    assert!(
        std::fs::read_to_string(machine.path().join("shop.toml"))
            .unwrap()
            .len()
            > 100
    );
    machine.ok(["init", "stream", "--to", "deep/er"]);
    assert!(machine.path().join("deep/er/pipeline.toml").exists());
    assert_snapshot!(machine.fails(2, ["init", "retial"]), @r#"
    error: there is no template "retial"
    hint: did you mean retail? use stream, cart, cart-direct, concert, function, prices, realtime, retail, or the path of a manifest file; `streamctl init` describes each
    "#);
}

#[test]
fn templates_are_listed() {
    let machine = Machine::new();
    assert_snapshot!(machine.ok(["init"]), @r#"
    TEMPLATE     WHAT IT MAKES
    stream       A stream with encryption, monitoring, tags and an access policy
    cart         Cart events from an API to a bucket, and recommendations
    cart-direct  Cart events from an API to a bucket, without a function
    concert      A stream, and a function that stores concert data in a bucket
    function     One Lambda function of your own, with its role and its logs
    prices       A stream of prices, a products table, an HTTP API, images, a page
    realtime     A stream of readings, archived in a bucket, summed up in a table
    retail       A stream of customer events, scored in a table; alarms, dashboard
    "#);
    let listed = machine.json(["init"]);
    let names: Vec<&str> = listed
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one["name"].as_str())
        .collect();
    // The help of setup lists each template.
    let help = machine.ok(["setup", "--help"]);
    assert!(
        names.iter().all(|name| help.contains(&format!("\n  {name} "))),
        "{help}"
    );
}

#[test]
fn an_own_manifest_works_from_any_directory() {
    let cloud = Cloud::start();
    std::fs::create_dir(cloud.path().join("mine")).unwrap();
    cloud.file("mine/pipeline.toml", OWN);
    redacted(|| {
        assert_snapshot!(
            "own_setup",
            transcript(&cloud, ["setup", "-f", "mine/pipeline.toml"])
        )
    });
    // Without `setting`, the environment does not change the name of the stream.
    cloud
        .streamctl(["plan", "--check", "-f", "mine/pipeline.toml"])
        .env("AWS_KINESIS_STREAM_NAME", "another")
        .env("AWS_KINESIS_SHARD_COUNT", "9")
        .env("APP_ENVIRONMENT", "production")
        .assert()
        .success();
    cloud
        .streamctl(["setup", "-f", "mine/pipeline.toml", "--stream", "x"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains(
            "--stream: template own has no parameter stream",
        ));
    cloud
        .streamctl(["setup", "-f", "mine/pipeline.toml", "--no-encryption"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains(
            "--no-encryption: template own has no parameter encryption",
        ));
    // With `setting`, the flag and the environment apply.
    cloud.file(
        "mine/pipeline.toml",
        OWN.replace("default = \"own-stream\"", "setting = \"stream\""),
    );
    let named = cloud
        .streamctl([
            "plan",
            "-f",
            "mine/pipeline.toml",
            "--stream",
            "by-flag",
            "-o",
            "json",
        ])
        .assert()
        .success();
    named.stdout(predicate::str::contains("own/by-flag"));
    cloud.file("mine/pipeline.toml", OWN);
    cloud.ok(["destroy", "-f", "mine/pipeline.toml", "--yes"]);
}

#[test]
fn a_template_and_a_file_exclude_each_other() {
    let machine = Machine::new();
    machine.fails(2, ["setup", "stream", "-f", "x.toml"]);
    let refusal = machine.fails(2, ["setup", "-f", "x.toml"]);
    assert!(refusal.contains("could not read template x.toml"), "{refusal}");
}
