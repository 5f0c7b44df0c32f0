//! Bad input: one clear error, the documented exit code, and no partial change.

use insta::assert_snapshot;

use crate::support::{Cloud, Machine};

/// Puts a file with this content, which must be refused, and checks that nothing was stored. Returns the error.
fn refused(cloud: &Cloud, name: &str, content: impl AsRef<[u8]>) -> String {
    cloud.file(name, content);
    let said = cloud.fails(2, ["put", "--file", name]);
    let tail = cloud.ok(["tail", "--from", "trim", "--no-follow", "-o", "text"]);
    assert_eq!(tail.lines().count(), 1, "only the test record of setup: {tail}");
    // The first line has the target, account and region.
    said.lines()
        .filter(|line| !line.starts_with("Target: "))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn invalid_files_are_refused() {
    let cloud = Cloud::start();
    cloud.ok(["setup"]);
    assert_snapshot!(refused(&cloud, "empty.json", ""));
    assert_snapshot!(refused(
        &cloud,
        "broken.ndjson",
        "{\"a\":1}\n{\"a\":2}\n{\"a\":\n{\"a\":4}\n"
    ));
    assert_snapshot!(refused(&cloud, "broken.json", "[\n{\"a\":1},\n{\"a\":2},,\n]\n"));
    assert_snapshot!(refused(&cloud, "binary.json", [0u8, 159, 146, 150, 0, 1, 2]));
    assert_snapshot!(refused(
        &cloud,
        "long.ndjson",
        format!("{{\"a\":1}}\n\"{}\"\n", "x".repeat(1_048_577))
    ));
    let key = "k".repeat(257);
    let shape = format!(r#"{{"Records":[{{"Data":"eA==","PartitionKey":"{key}"}}]}}"#);
    assert_snapshot!(refused(&cloud, "key.json", shape));
}

#[test]
fn missing_files() {
    let cloud = Cloud::start();
    cloud.ok(["setup"]);
    let said = |name: &str| {
        let said = cloud.fails(2, ["put", "--file", name]);
        said.lines()
            .filter(|line| !line.starts_with("Target: "))
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_snapshot!(said("absent.json"));
    std::fs::create_dir(cloud.path().join("folder")).unwrap();
    assert_snapshot!(said("folder"));
}

#[test]
fn flags_and_names_are_refused_before_any_call() {
    let machine = Machine::new();
    assert_snapshot!(machine.fails(2, ["setup", "--shardcount", "1"]));
    assert_snapshot!(machine.fails(2, ["setup", "--stream", "bad name!"]));
    assert_snapshot!(machine.fails(2, ["setup", "--shard-count", "0"]));
    assert_snapshot!(machine.fails(2, ["setup", "--retention", "1h"]));
    assert_snapshot!(machine.fails(2, ["setup", "--tag", "novalue"]));
    assert_snapshot!(machine.fails(2, ["tail", "--from", "yesterdayish"]));
    // No local cloud was started.
    assert!(!machine.path().join("streamctl-home").exists());
}

#[test]
fn an_invalid_env_file_or_configuration_is_an_error() {
    let machine = Machine::new();
    machine.file("streamctl.toml", "shard_count = \"many\"\n");
    assert_snapshot!(machine.fails(2, ["list"]));
    std::fs::remove_file(machine.path().join("streamctl.toml")).unwrap();
    machine.file(".env", "A=1\nAWS_REGION='open\n");
    assert_snapshot!(machine.fails(2, ["list"]));
}

/// Lines of other programs do not matter.
#[test]
fn a_line_of_another_program_in_the_env_file_is_a_warning() {
    let machine = Machine::new();
    machine.file(".env", "FOO=bar baz\nFOO=it's\nthis is no assignment\nB='open\n");
    let output = machine
        .streamctl(["config", "show"])
        .assert()
        .success()
        .get_output()
        .clone();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_snapshot!(said);
}
