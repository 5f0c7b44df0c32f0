//! `-o` has the same meaning for every command, and `help` answers without settings.

use crate::support::{Cloud, Machine};

/// Documents of other formats are JSON, and YAML with `-o yaml`.
#[test]
fn policies_follow_the_output_format() {
    let cloud = Cloud::start();
    cloud.ok(["create", "orders"]);
    for words in [
        ["policy", "orders", "--for", "producer"].as_slice(),
        &["plan", "--iam"],
    ] {
        let with = |format: &str| {
            let output = cloud.streamctl(words).args(["-o", format]).output().unwrap();
            assert!(output.status.success(), "{words:?} {output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        assert!(with("yaml").starts_with("Version: "), "{words:?}");
        let json = with("json");
        assert!(json.starts_with("{\n  \"Version\": "), "{words:?}");
        assert_eq!(with("table"), json);
    }
    assert_eq!(cloud.json(["policy", "show", "orders"]), serde_json::Value::Null);
}

#[test]
fn help_has_commands_and_topics() {
    let machine = Machine::new();
    // A broken file of settings does not keep the help from anybody.
    machine.file("streamctl.toml", "no toml");
    for topic in ["exit-codes", "environment", "output", "targets"] {
        let text = machine.ok(["help", topic]);
        assert!(text.contains("Examples:\n  "), "{text}");
    }
    assert_eq!(machine.ok(["help", "put"]), machine.ok(["put", "--help"]));
    assert_eq!(
        machine.ok(["help", "tag", "add"]),
        machine.ok(["tag", "add", "--help"])
    );
    assert_eq!(machine.ok(["help"]), machine.ok(["--help"]));
    let wrong = machine.fails(2, ["help", "setpu"]);
    assert!(wrong.contains("did you mean setup?"), "{wrong}");
}
