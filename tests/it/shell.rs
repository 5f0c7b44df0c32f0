//! What helps in a shell: completion, manual pages, aliases.

use crate::support::{Cloud, Machine};

/// What bash is offered for the last of `words`.
fn offered(machine: &Machine, words: &[&str]) -> Vec<String> {
    let output = machine
        .streamctl(["--"])
        .args(words)
        .env("STREAMCTL_COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string())
        .env("_CLAP_COMPLETE_COMP_TYPE", "9")
        .env("_CLAP_COMPLETE_SPACE", "true")
        .env("_CLAP_IFS", "\n")
        .output()
        .unwrap();
    assert!(output.status.success());
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn the_shell_completes_commands_options_and_names() {
    let machine = Machine::new();
    assert_eq!(offered(&machine, &["streamctl", "resh"]), ["reshard"]);
    assert_eq!(
        offered(&machine, &["streamctl", "put", "--partition-key-f"]),
        ["--partition-key-field"]
    );
    assert_eq!(
        offered(&machine, &["streamctl", "setup", "re"]),
        ["realtime", "retail"]
    );
    assert_eq!(
        offered(&machine, &["streamctl", "deploy", "retail"]),
        ["retail-event-processor"]
    );
    assert_eq!(
        offered(&machine, &["streamctl", "put", "--format", "ar"]),
        ["array"]
    );
    assert_eq!(offered(&machine, &["streamctl", "nothing", "here"]), [""; 0]);
}

#[test]
fn the_shell_completes_names_of_the_target() {
    let cloud = Cloud::start();
    cloud.stream("orders", 2);
    cloud.stream("orders-eu", 1);
    cloud.stream("clicks", 1);
    cloud.ok(["consumer", "register", "orders", "analytics"]);
    assert_eq!(
        offered(&cloud, &["streamctl", "describe", "ord"]),
        ["orders", "orders-eu"]
    );
    assert_eq!(
        offered(&cloud, &["streamctl", "put", "--stream", "cl"]),
        ["clicks"]
    );
    assert_eq!(
        offered(
            &cloud,
            &[
                "streamctl",
                "tail",
                "arn:aws:kinesis:us-east-1:000000000000:stream/cl"
            ]
        ),
        ["arn:aws:kinesis:us-east-1:000000000000:stream/clicks"]
    );
    let shards = ["shardId-000000000000", "shardId-000000000001"];
    assert_eq!(
        offered(&cloud, &["streamctl", "tail", "orders", "--shard", ""]),
        shards
    );
    assert_eq!(
        offered(
            &cloud,
            &["streamctl", "reshard", "--stream", "orders", "--split", "s"]
        ),
        shards
    );
    assert_eq!(
        offered(&cloud, &["streamctl", "consumer", "describe", "orders", "a"]),
        ["analytics"]
    );
    cloud.ok(["setup", "stream", "--stream", "orders-de"]);
    let pipelines = ["stream"];
    for words in [
        &["streamctl", "destroy", "s"][..],
        &["streamctl", "verify", "s"],
        &["streamctl", "outputs", "s"],
        &["streamctl", "doctor", "--pipeline", ""],
    ] {
        assert_eq!(offered(&cloud, words), pipelines, "{words:?}");
    }
    assert_eq!(offered(&cloud, &["streamctl", "destroy", "re"]), [""; 0]);
    // A template can be set up whatever the target has.
    assert_eq!(
        offered(&cloud, &["streamctl", "setup", "re"]),
        ["realtime", "retail"]
    );
    // The words that were typed choose the region, and an endpoint that does not answer offers nothing.
    let elsewhere = ["streamctl", "--region", "eu-west-1", "describe", "ord"];
    assert_eq!(offered(&cloud, &elsewhere), [""; 0]);
    let nowhere = [
        "streamctl",
        "--endpoint-url",
        "http://127.0.0.1:1",
        "describe",
        "ord",
    ];
    assert_eq!(offered(&cloud, &nowhere), [""; 0]);
    assert!(
        offered(&cloud, &["streamctl", "invoke", "retail"]).contains(&"retail-event-processor".to_owned())
    );
}

#[test]
fn completion_does_not_start_the_local_cloud() {
    let machine = Machine::new();
    assert_eq!(offered(&machine, &["streamctl", "describe", "ord"]), [""; 0]);
    assert_eq!(machine.json(["local", "status"])["running"], false);
}

#[test]
fn each_shell_has_a_script() {
    let machine = Machine::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = machine.ok(["completions", shell]);
        assert!(script.contains("STREAMCTL_COMPLETE"), "{shell}: {script}");
    }
    machine.fails(2, ["completions", "sh"]);
}

#[test]
fn each_command_has_a_manual_page() {
    let machine = Machine::new();
    machine.ok(["man", "pages"]);
    let page = |name: &str| std::fs::read_to_string(machine.path().join("pages").join(name)).unwrap();
    assert!(page("streamctl.1").contains(".TH"));
    assert!(page("streamctl-put.1").contains("in\\-flight"));
    assert!(page("streamctl-tag-add.1").contains("KEY=VALUE"));
    machine.file("file", "");
    let error = machine.fails(1, ["man", "file"]);
    assert!(error.contains("could not write file"), "{error}");
}

#[test]
fn the_names_that_people_type_work() {
    let cloud = Cloud::start();
    cloud.stream("orders", 1);
    assert_eq!(cloud.json(["ls"]), cloud.json(["list"]));
    assert_eq!(cloud.json(["desc", "orders"]), cloud.json(["describe", "orders"]));
    cloud.ok(["rm", "orders", "--yes"]);
    assert_eq!(cloud.json(["ls"]), serde_json::json!([]));
}

/// A row of a table is one line in a pipe, however long it is.
#[test]
fn tables_in_a_pipe_have_one_line_for_each_row() {
    let cloud = Cloud::start();
    let name = "orders-".repeat(18);
    cloud.stream(&name, 1);
    let piped = cloud.streamctl(["list"]).env_remove("COLUMNS").output().unwrap();
    let text = String::from_utf8(piped.stdout).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.lines().nth(1).unwrap().starts_with(&name), "{text}");
    // A name is not broken, other words are.
    let narrow = cloud.streamctl(["init"]).env("COLUMNS", "60").output().unwrap();
    let text = String::from_utf8(narrow.stdout).unwrap();
    assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
}
