//! The commands for functions: deploy, invoke, logs, attach, dlq, handlers and policy.

use std::path::PathBuf;

use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};

use crate::contents::{put, until};
use crate::provision::run;
use crate::running::Running;
use crate::schemas;
use crate::support::{Cloud, block_on};

#[path = "../bootstrap/compiled.rs"]
pub mod compiled;

#[test]
fn deploy_uploads_only_changed_code_and_updates_settings_in_place() {
    let cloud = Cloud::start();
    let bootstrap = compiled::executable().to_str().unwrap();
    let made = cloud.json(["deploy", "scorer", "--bootstrap", bootstrap, "--env", "ONE=1"]);
    assert_eq!(results(&made), ["created", "created", "created"]);
    let again = cloud.json(["deploy", "scorer", "--bootstrap", bootstrap]);
    assert_eq!(results(&again), ["unchanged", "unchanged", "unchanged"]);
    let first = configuration(&cloud, "scorer");

    let changed = cloud.json([
        "deploy",
        "scorer",
        "--memory",
        "512",
        "--env",
        "TWO=2",
        "--timeout",
        "30s",
    ]);
    assert_eq!(result_of(&changed, "function"), "updated");
    let second = configuration(&cloud, "scorer");
    assert_eq!(second.code_sha256, first.code_sha256);
    assert_eq!((second.memory_size, second.timeout), (Some(512), Some(30)));
    let variables = second.environment.unwrap().variables.unwrap();
    assert_eq!((variables["ONE"].as_str(), variables["TWO"].as_str()), ("1", "2"));

    cloud.file("two.zip", compiled::zip("two"));
    let replaced = cloud.json(["deploy", "scorer", "--zip", "two.zip"]);
    assert_eq!(result_of(&replaced, "function"), "updated");
    let third = configuration(&cloud, "scorer");
    assert_ne!(third.code_sha256, first.code_sha256);
    assert_eq!(third.memory_size, Some(512));
    // A copy of the code at another path has the same hash.
    cloud.file("copy.zip", compiled::zip("two"));
    let same = cloud.json(["deploy", "scorer", "--zip", "copy.zip"]);
    assert_eq!(results(&same), ["unchanged", "unchanged", "unchanged"]);
    assert_eq!(configuration(&cloud, "scorer").last_modified, third.last_modified);

    assert_eq!(
        results(&cloud.json(["undeploy", "scorer", "--yes"])),
        ["deleted"; 3]
    );
    assert_eq!(cloud.everything(), Vec::<String>::new());
}

#[test]
fn code_that_lambda_cannot_run_is_refused() {
    let cloud = Cloud::start();
    cloud.file("text", "Dear Lambda,\n");
    let said = cloud.fails(2, ["deploy", "scorer", "--bootstrap", "text"]);
    assert!(said.contains("hint: "), "{said}");
    cloud.file("rubbish.zip", "PK rubbish");
    assert!(
        cloud
            .fails(2, ["deploy", "scorer", "--zip", "rubbish.zip"])
            .contains("hint: ")
    );
    assert!(
        cloud
            .fails(2, ["deploy", "scorer", "--memory", "64"])
            .contains("128")
    );
    assert_eq!(cloud.everything(), Vec::<String>::new());
}

#[test]
fn invoke_prints_the_response_the_error_and_the_log() {
    let cloud = with_scorer(&[]);
    let answer = run(&cloud, ["invoke", "scorer", "--payload", r#"{"n":[1,2.50]}"#]);
    assert_eq!((answer.code, answer.stdout.as_str()), (0, "{\"n\":[1,2.50]}\n"));
    for word in [
        "START RequestId: ",
        "END RequestId: ",
        "REPORT RequestId: ",
        "Init Duration: ",
    ] {
        assert!(answer.stderr.contains(word), "{}", answer.stderr);
    }

    cloud.file("event.json", r#"{"do":"log a line;return 7"}"#);
    let logged = run(&cloud, ["invoke", "scorer", "--payload", "event.json"]);
    assert_eq!((logged.code, logged.stdout.as_str()), (0, "7\n"));
    assert!(logged.stderr.contains("\n  a line\n"), "{}", logged.stderr);
    let quiet = run(
        &cloud,
        ["invoke", "scorer", "--payload", "event.json", "--no-log"],
    );
    assert!(!quiet.stderr.contains("a line"), "{}", quiet.stderr);

    let failed = run(
        &cloud,
        ["invoke", "scorer", "--payload", r#"{"do":"throw Boom it broke"}"#],
    );
    assert_eq!(failed.code, 1);
    let object: Value = serde_json::from_str(&failed.stdout).unwrap();
    assert_eq!(object, json!({"errorType": "Boom", "errorMessage": "it broke"}));
    assert!(
        failed.stderr.contains("error: function scorer failed: "),
        "{}",
        failed.stderr
    );
    assert!(failed.stderr.contains("it broke"), "{}", failed.stderr);

    let crashed = run(
        &cloud,
        [
            "invoke",
            "scorer",
            "--payload",
            r#"{"do":"exit 3"}"#,
            "-o",
            "json",
        ],
    );
    assert_eq!(crashed.code, 1);
    let report: Value = serde_json::from_str(&crashed.stdout).unwrap();
    assert_eq!(report["payload"]["errorType"], "Runtime.ExitError");

    cloud.file("events.ndjson", "{\"a\":1}\n{\"a\":2}\n");
    let event = cloud.json(["invoke", "scorer", "--records", "events.ndjson"]);
    let records = event["payload"]["Records"].as_array().unwrap();
    assert_eq!(records.len(), 2);
    assert_eq!(records[0]["eventSource"], "aws:kinesis");
    assert_eq!(
        records[1]["kinesis"]["data"],
        base64_simd::STANDARD.encode_to_string("{\"a\":2}")
    );

    // The event names the stream that the function reads: a replay of its records goes there.
    let stream_of = |event: &Value| event["payload"]["Records"][0]["eventSourceARN"].clone();
    let default = "arn:aws:kinesis:us-east-1:000000000000:stream/concert-data-stream";
    assert_eq!(stream_of(&event), default);
    cloud.stream("orders", 1);
    cloud.ok(["attach", "scorer", "--stream", "orders"]);
    let event = cloud.json(["invoke", "scorer", "--records", "events.ndjson"]);
    assert_eq!(
        stream_of(&event),
        default.replace("concert-data-stream", "orders")
    );
    let named = [
        "invoke",
        "scorer",
        "--records",
        "events.ndjson",
        "--stream",
        "clicks",
    ];
    assert_eq!(
        stream_of(&cloud.json(named)),
        default.replace("concert-data-stream", "clicks")
    );

    let unknown = cloud.fails(1, ["invoke", "nobody"]);
    assert!(
        unknown.contains("nobody") && unknown.contains("hint: "),
        "{unknown}"
    );
}

#[test]
fn local_code_runs_on_records_of_a_stream() {
    let cloud = Cloud::start();
    let code = compiled::executable().to_str().unwrap();
    let answer = run(&cloud, ["invoke", "--local", code, "--payload", r#"{"n":1}"#]);
    assert_eq!((answer.code, answer.stdout.as_str()), (0, "{\"n\":1}\n"));

    cloud.stream("orders", 1);
    put(&cloud, "orders", [("k", "one"), ("k", "poison"), ("k", "three")]);
    let script = "SCRIPT=fail-if poison";
    let attached = Running::start(
        &cloud.machine,
        [
            "attach",
            "--local",
            code,
            "--stream",
            "orders",
            "--from",
            "trim",
            "--partial-failures",
            "--bisect",
            "--retries",
            "0",
            "--failed-file",
            "failed.ndjson",
            "--env",
            script,
        ],
    );
    attached.says("1 record given up");
    put(&cloud, "orders", [("k", "four")]);
    until("the three others", || {
        let said = attached.said();
        let processed = said
            .lines()
            .filter_map(|line| line.strip_prefix("shardId-000000000000: ")?.split_once(" record"))
            .filter(|(_, rest)| rest.contains(" in "))
            .map(|(number, _)| number.parse::<usize>().unwrap());
        match processed.sum() {
            3 => Ok(()),
            _ => Err(said),
        }
    });
    attached.signal("INT");
    let ended = attached.end();
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("3 records processed in "),
        "{}",
        ended.stderr
    );
    assert!(
        ended
            .stderr
            .contains("1 record given up: they are in failed.ndjson"),
        "{}",
        ended.stderr
    );
    let failed = std::fs::read_to_string(cloud.path().join("failed.ndjson")).unwrap();
    let poison = base64_simd::STANDARD.encode_to_string("poison");
    assert_eq!(
        failed,
        format!("{{\"Data\":\"{poison}\",\"PartitionKey\":\"k\"}}\n")
    );
}

#[test]
fn logs_of_an_asynchronous_invocation() {
    let cloud = with_scorer(&[]);
    let event = r#"{"do":"log first line;err second line;log {level:WARN}"}"#;
    cloud.ok(["invoke", "scorer", "--payload", event, "--async"]);
    let text = until("a report", || {
        let text = cloud.ok(["logs", "scorer", "-o", "text"]);
        match text.contains("REPORT RequestId") {
            true => Ok(text),
            false => Err(text),
        }
    });
    let at = |word: &str| text.find(word).unwrap_or_else(|| panic!("no {word:?} in {text}"));
    assert!(
        at("START RequestId") < at("first line") && at("first line") < at("REPORT"),
        "{text}"
    );
    assert!(at("second line") < at("REPORT RequestId"), "{text}");
    assert_eq!(
        cloud.ok(["logs", "scorer", "--filter", "first", "-o", "text"]),
        "first line\n"
    );
    assert_eq!(
        cloud.ok(["logs", "scorer", "--filter", "\"second line\"", "-o", "text"]),
        "second line\n"
    );
    assert_eq!(
        cloud
            .ok([
                "logs",
                "scorer",
                "--filter",
                "?first ?second",
                "-n",
                "1",
                "-o",
                "text"
            ])
            .lines()
            .count(),
        1
    );
    let json = cloud.ok(["logs", "scorer", "--filter", "first", "-o", "json"]);
    let line: Value = serde_json::from_str(json.trim()).unwrap();
    assert_eq!(
        (&line["group"], &line["message"]),
        (&json!("/aws/lambda/scorer"), &json!("first line"))
    );
    let nothing = run(&cloud, ["logs", "scorer", "--filter", "nowhere"]);
    assert_eq!((nothing.code, nothing.stdout.as_str()), (0, ""));
}

#[test]
fn a_mapping_is_created_changed_disabled_and_deleted() {
    let cloud = with_scorer(&["SCRIPT=return null"]);
    cloud.stream("orders", 1);
    put(&cloud, "orders", [("k", "before")]);
    let attach = ["attach", "scorer", "--stream", "orders"];
    let set = |further: &[&str]| -> Value {
        let output = cloud
            .streamctl(attach)
            .args(further)
            .args(["-o", "json"])
            .assert()
            .success();
        let printed = &output.get_output().stdout;
        schemas::check(&attach, printed);
        serde_json::from_slice(printed).unwrap()
    };
    // The role cannot read the stream yet. attach shows the permissions that it adds, and adds them.
    let dry = run(&cloud, ["attach", "scorer", "--stream", "orders", "--dry-run"]);
    assert!(
        dry.stderr
            .contains("For this, role function-scorer may read orders\n"),
        "{}",
        dry.stderr
    );
    assert_eq!(policies(&cloud), ["function-scorer"]);
    let made = set(&["--from", "trim", "--batch-size", "10"]);
    assert_eq!(policies(&cloud), ["function-scorer", "stream-orders"]);
    assert_eq!(
        (&made["action"], &made["state"]),
        (&json!("create"), &json!("Enabled"))
    );
    wait_for(&cloud, &["before"]);

    let changed = set(&["--batch-size", "500", "--retries", "2", "--bisect"]);
    assert_eq!(
        (&changed["action"], &changed["id"]),
        (&json!("update"), &made["id"])
    );
    let settings: Vec<&str> = changed["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["setting"].as_str().unwrap())
        .collect();
    assert_eq!(settings, ["batch_size", "retries", "bisect"]);
    assert_eq!(set(&["--batch-size", "500", "--bisect"])["action"], "none");

    let found = cloud.json(["mappings"]);
    assert_eq!(found.as_array().unwrap().len(), 1);
    let one = &found[0];
    assert_eq!(
        (&one["function"], &one["stream"]),
        (&json!("scorer"), &json!("orders"))
    );
    assert_eq!((&one["id"], &one["state"]), (&made["id"], &json!("Enabled")));
    assert_eq!(
        (&one["settings"]["batch_size"], &one["settings"]["retries"]),
        (&json!(500), &json!(2))
    );
    assert_eq!(one["settings"]["bisect"], true);
    assert_eq!(one["settings"]["starting_position"], "trim_horizon");
    let table = cloud.ok(["mappings", "scorer"]);
    assert!(table.contains("orders") && table.contains("scorer"), "{table}");

    // While the mapping is disabled, records wait. It then continues from its checkpoint.
    assert_eq!(set(&["--disabled"])["state"], "Disabled");
    put(&cloud, "orders", [("k", "meanwhile")]);
    assert_eq!(set(&["--enabled"])["state"], "Enabled");
    put(&cloud, "orders", [("k", "after")]);
    wait_for(&cloud, &["before", "meanwhile", "after"]);

    let nobody = cloud.fails(1, ["attach", "nobody", "--stream", "orders"]);
    assert!(
        nobody.contains("hint: `streamctl deploy HANDLER` creates the function"),
        "{nobody}"
    );
    for (bad, word) in [
        (["--batch-size", "0"], "10000"),
        (["--parallelization", "11"], "10"),
        (["--window", "301s"], ""),
    ] {
        let refused = run(&cloud, ["attach", "scorer", "--stream", "orders", bad[0], bad[1]]);
        assert_eq!(refused.code, 2, "{}", refused.stderr);
        assert!(refused.stderr.contains(word), "{}", refused.stderr);
    }
    let detached = cloud.json(["detach", "scorer"]);
    assert_eq!(detached, json!({"function": "scorer", "streams": ["orders"]}));
    assert_eq!(policies(&cloud), ["function-scorer"]);
    assert_eq!(cloud.json(["mappings"]), json!([]));
    assert_eq!(cloud.json(["detach", "scorer"])["streams"], json!([]));
}

#[test]
fn a_replay_keeps_to_the_filters_of_the_mapping() {
    let cloud = with_scorer(&["SCRIPT=throw Broken no"]);
    cloud.stream("orders", 1);
    cloud.queue("failed");
    let sales = [r#"{"kind":"sale","n":1}"#, r#"{"kind":"sale","n":2}"#];
    put(
        &cloud,
        "orders",
        [("k", sales[0]), ("k", r#"{"kind":"visit"}"#), ("k", sales[1])],
    );
    cloud.ok([
        "attach",
        "scorer",
        "--stream",
        "orders",
        "--from",
        "trim",
        "--retries",
        "0",
        "--filter",
        r#"{"data":{"kind":["sale"]},"partitionKey":["k"]}"#,
        "--on-failure",
        "queue:failed",
    ]);
    until("a dead letter", || {
        let listed = cloud.json(["dlq", "list", "scorer"]);
        match listed[0]["records"] == 2 {
            true => Ok(()),
            false => Err(listed.to_string()),
        }
    });
    cloud.ok(["deploy", "scorer", "--env", "SCRIPT=return null"]);
    cloud.ok(["dlq", "replay", "scorer"]);
    assert_eq!(batches(&cloud).last().unwrap(), &sales);
    assert_eq!(cloud.json(["dlq", "list", "failed"]), json!([]));
}

#[test]
fn a_failing_record_goes_to_the_queue_and_can_be_replayed() {
    let cloud = with_scorer(&["SCRIPT=fail-if poison"]);
    cloud.stream("orders", 1);
    let queue = cloud.queue("failed");
    cloud.ok([
        "attach",
        "scorer",
        "--stream",
        "orders",
        "--from",
        "trim",
        "--partial-failures",
        "--bisect",
        "--retries",
        "1",
        "--on-failure",
        "queue:failed",
    ]);
    put(
        &cloud,
        "orders",
        [("k", "one"), ("k", "poison two"), ("k", "three")],
    );
    let listed = until("a dead letter", || {
        let listed = cloud.json(["dlq", "list", "scorer"]);
        match listed.as_array().unwrap().len() {
            0 => Err(listed.to_string()),
            _ => Ok(listed),
        }
    });
    wait_for(&cloud, &["one", "poison two", "three"]);
    assert_eq!(
        listed.as_array().unwrap().len(),
        1,
        "only the bad one is given up: {listed}"
    );
    let letter = &listed[0];
    assert_eq!(
        (&letter["stream"], &letter["function"]),
        (&json!("orders"), &json!("scorer"))
    );
    assert_eq!(
        (&letter["records"], &letter["holds_data"]),
        (&json!(1), &json!(false))
    );
    assert_eq!(letter["first_sequence_number"], letter["last_sequence_number"]);
    assert_eq!(letter["shard_id"], "shardId-000000000000");
    // dlq list deletes no message.
    assert_eq!(cloud.json(["dlq", "list", "failed"])[0]["id"], letter["id"]);
    let dry = cloud.json(["dlq", "replay", "failed", "--dry-run"]);
    assert_eq!(
        (&dry[0]["id"], &dry[0]["deleted"]),
        (&letter["id"], &json!(false))
    );
    assert_eq!(cloud.records("orders").len(), 3);

    // After the function is fixed, only the failed record is replayed.
    cloud.ok(["deploy", "scorer", "--env", "SCRIPT=return null"]);
    let replayed = cloud.json(["dlq", "replay", "scorer"]);
    assert_eq!(
        (&replayed[0]["id"], &replayed[0]["deleted"]),
        (&letter["id"], &json!(true))
    );
    assert_eq!(
        cloud.records("orders").len(),
        3,
        "no other consumer sees it again"
    );
    until("the record again", || {
        let batches = batches(&cloud);
        match batches.last().is_some_and(|last| last == &["poison two"]) {
            true => Ok(()),
            false => Err(format!("{batches:?}")),
        }
    });
    assert_eq!(cloud.json(["dlq", "list", "failed"]), json!([]));
    let depth = cloud.sqs().get_queue_attributes().queue_url(queue);
    let depth = block_on(depth.attribute_names(QueueAttributeName::All).send())
        .unwrap()
        .attributes
        .unwrap();
    assert_eq!(depth[&QueueAttributeName::ApproximateNumberOfMessages], "0");
}

#[test]
fn handlers_are_small_and_run_on_lambda() {
    let cloud = Cloud::start();
    let handlers = cloud.json(["handlers"]);
    let handlers = handlers.as_array().unwrap();
    assert_eq!(handlers.len(), 9);
    for handler in handlers {
        let name = &handler["name"];
        assert!(handler["zip_bytes"].as_u64().unwrap() <= 4 << 20, "{name} zipped");
        assert!(
            handler["unpacked_bytes"].as_u64().unwrap() <= 10 << 20,
            "{name} unpacked"
        );
        let glibc = handler["glibc"].as_str().unwrap();
        let minor: u32 = glibc.strip_prefix("2.").unwrap().parse().unwrap();
        assert!(minor <= 34, "{name} needs glibc {glibc}");
    }
    // The listed code is the deployed code.
    cloud.ok(["deploy", "prices"]);
    let deployed = configuration(&cloud, "price-updater");
    let listed = handlers
        .iter()
        .find(|one| one["name"] == "price-updater")
        .unwrap();
    assert_eq!(listed["code_sha256"], deployed.code_sha256.unwrap());
}

#[test]
fn the_printed_policy_is_that_of_the_role() {
    let cloud = Cloud::start();
    let predicted = cloud.json(["policy", "--function", "realtime"]);
    assert_eq!(predicted["deployed"], false);
    cloud.ok(["deploy", "realtime"]);
    let found = cloud.json(["policy", "--function", "realtime"]);
    assert_eq!(found["deployed"], true);
    assert_eq!(found["role"], predicted["role"]);
    assert_eq!(found["policies"], predicted["policies"]);
    let statements = found["policies"][0]["document"]["Statement"]
        .as_array()
        .unwrap()
        .clone();
    let mut actions = Vec::new();
    for statement in &statements {
        actions.extend(
            statement["Action"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one.as_str().unwrap().to_owned()),
        );
        for resource in statement["Resource"].as_array().unwrap() {
            assert_ne!(resource, "*", "{statement}");
        }
    }
    actions.sort();
    assert_eq!(
        actions,
        [
            "dynamodb:BatchGetItem",
            "dynamodb:PutItem",
            "kinesis:DescribeStream",
            "kinesis:DescribeStreamSummary",
            "kinesis:GetRecords",
            "kinesis:GetShardIterator",
            "kinesis:ListShards",
            "logs:CreateLogStream",
            "logs:PutLogEvents",
            "s3:PutObject",
            "sqs:SendMessage",
        ]
    );
}

/// A cloud with the scripted function, which writes its payloads to a journal.
pub fn with_scorer(variables: &[&str]) -> Cloud {
    deployed_scorer(Cloud::start(), variables)
}

/// `cloud` with the scripted function `scorer`.
pub fn deployed_scorer(cloud: Cloud, variables: &[&str]) -> Cloud {
    let mut command = cloud.streamctl(["deploy", "scorer", "--bootstrap"]);
    command.arg(compiled::executable());
    command
        .arg("--env")
        .arg(format!("JOURNAL={}", journal(&cloud).display()));
    for variable in variables {
        command.args(["--env", variable]);
    }
    command.assert().success();
    cloud
}

/// The names of the policies of scorer's role.
fn policies(cloud: &Cloud) -> Vec<String> {
    let printed = cloud.json(["policy", "--function", "scorer"]);
    let policies = printed["policies"].as_array().unwrap().iter();
    let mut names: Vec<String> = policies
        .map(|one| one["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

fn journal(cloud: &Cloud) -> PathBuf {
    cloud.path().join("journal")
}

/// The data of the records in each batch that the scripted function received, in order.
pub fn batches(cloud: &Cloud) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(journal(cloud)).unwrap_or_default();
    // The last line may be incomplete.
    let events = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let data = |record: &Value| {
        let data = record["kinesis"]["data"].as_str().unwrap();
        let data = base64_simd::STANDARD.decode_to_vec(data).unwrap();
        String::from_utf8(data).unwrap()
    };
    events
        .map(|event| event["Records"].as_array().unwrap().iter().map(data).collect())
        .collect()
}

/// Waits until the function has received exactly these records, each at least once.
fn wait_for(cloud: &Cloud, wanted: &[&str]) {
    until(&format!("{wanted:?}"), || {
        let mut got: Vec<String> = Vec::new();
        for data in batches(cloud).into_iter().flatten() {
            if !got.contains(&data) {
                got.push(data);
            }
        }
        if got == wanted {
            Ok(())
        } else {
            Err(format!("{got:?}"))
        }
    });
}

fn configuration(
    cloud: &Cloud,
    name: &str,
) -> aws_sdk_lambda::operation::get_function_configuration::GetFunctionConfigurationOutput {
    block_on(
        cloud
            .lambda()
            .get_function_configuration()
            .function_name(name)
            .send(),
    )
    .unwrap()
}

fn results(report: &Value) -> Vec<&str> {
    report["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["result"].as_str().unwrap())
        .collect()
}

fn result_of<'a>(report: &'a Value, kind: &str) -> &'a str {
    let resources = report["resources"].as_array().unwrap();
    resources.iter().find(|one| one["kind"] == kind).unwrap()["result"]
        .as_str()
        .unwrap()
}
