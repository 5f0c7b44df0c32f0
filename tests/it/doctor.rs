//! `doctor`: each fault is produced on the local cloud, and named with its fix; what is healthy has no finding.

use aws_sdk_cloudwatch::types::{ComparisonOperator, Dimension, StateValue, Statistic};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::StreamModeDetails;
use aws_sdk_kinesis::types::{
    PutRecordsRequestEntry, RecordDistributionStrategy, ShardIteratorType, StreamMode,
};
use aws_sdk_lambda::types::Runtime;
use serde_json::Value;

use crate::contents::{put, until};
use crate::provision::run;
use crate::schemas;
use crate::support::{Cloud, block_on};

mod changed;
mod past;

/// Exit code and JSON of `doctor WORDS -o json`.
fn examined(cloud: &Cloud, words: &[&str]) -> (i32, Value) {
    let output = cloud
        .streamctl(["doctor"])
        .args(words)
        .args(["-o", "json"])
        .output()
        .unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    schemas::check(&["doctor"], stdout.as_bytes());
    let report = serde_json::from_str(&stdout)
        .unwrap_or_else(|_| panic!("{stdout}{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), report)
}

fn findings(report: &Value) -> Vec<Value> {
    let checks = report["checks"].as_array().unwrap().iter();
    checks
        .flat_map(|check| check["findings"].as_array().unwrap().clone())
        .collect()
}

/// The ids of the checks that found something, and of those that could not run.
fn found(report: &Value) -> Vec<String> {
    let checks = report["checks"].as_array().unwrap().iter();
    let bad = checks.filter(|check| check["state"] != "good");
    bad.map(|check| format!("{} {}", check["check"].as_str().unwrap(), check["skipped"]))
        .collect()
}

/// The finding of `check`, which has to be of `severity` and to propose a command that contains `fix`.
fn finding(report: &Value, check: &str, severity: &str, fix: &str) -> Value {
    let all = findings(report);
    let one = all.iter().find(|finding| finding["check"] == check);
    let one = one.unwrap_or_else(|| panic!("no {check} in {:?}", found(report)));
    assert_eq!(one["severity"], severity, "{one}");
    let fixes = one["fixes"].as_array().unwrap();
    assert!(
        fixes
            .iter()
            .any(|one| one["command"].as_str().unwrap().contains(fix)),
        "{one}"
    );
    one.clone()
}

/// Runs `doctor` until it has the finding of `check`: metrics and last results come a moment later.
fn eventually(cloud: &Cloud, words: &[&str], check: &str, severity: &str, fix: &str) -> Value {
    let report = until(check, || {
        let (_, report) = examined(cloud, words);
        let all = findings(&report);
        match all
            .iter()
            .any(|one| one["check"] == check && one["severity"] == severity)
        {
            true => Ok(report),
            false => Err(format!("{all:?}")),
        }
    });
    finding(&report, check, severity, fix);
    report
}

/// A local cloud with the scripted function `scorer` and the stream `orders` of one shard, attached with `flags`.
fn with_reader(flags: &[&str]) -> Cloud {
    let cloud = crate::functions::with_scorer(&[]);
    cloud.ok(["create", "orders", "--shards", "1"]);
    attach(&cloud, flags);
    cloud
}

fn attach(cloud: &Cloud, flags: &[&str]) {
    let mut command = cloud.streamctl(["attach", "scorer", "--stream", "orders", "--from", "trim"]);
    command.args(flags).assert().success();
}

/// Lets `scorer` do the same in every invocation.
fn script(cloud: &Cloud, text: &str) {
    cloud.ok(["deploy", "scorer", "--env", &format!("SCRIPT={text}")]);
}

const QUEUE: &str = "scorer-failed";

fn make_queue(cloud: &Cloud, name: &str) -> String {
    block_on(async {
        let made = cloud.sqs().create_queue().queue_name(name).send().await.unwrap();
        made.queue_url.unwrap()
    })
}

#[test]
fn a_healthy_pipeline_has_no_finding_and_its_faults_are_named() {
    let cloud = Cloud::start();
    let absent = examined(&cloud, &["--pipeline", "retail"]);
    assert_eq!(absent.0, 5);
    finding(&absent.1, "pipeline-missing", "fault", "streamctl setup retail");

    // What `--fix` runs is what the finding proposes.
    let fixed = run(&cloud, ["doctor", "--pipeline", "retail", "--fix", "--yes"]);
    assert_eq!(fixed.code, 0, "{}", fixed.stderr);
    assert!(
        fixed.stderr.contains("Done: streamctl setup retail"),
        "{}",
        fixed.stderr
    );
    assert!(fixed.stderr.contains("no finding"), "{}", fixed.stderr);

    let healthy = |cloud: &Cloud| {
        let (code, report) = examined(cloud, &["--pipeline", "retail", "--strict"]);
        assert_eq!((code, found(&report)), (0, Vec::new()));
        report
    };
    let report = healthy(&cloud);
    assert_eq!(report["subject"], "pipeline retail/dev");
    let of_stream = examined(&cloud, &["retail-events-stream-dev", "--strict"]);
    assert_eq!((of_stream.0, found(&of_stream.1)), (0, Vec::new()));

    let good = r#"{"userId":"u1","eventType":"purchase","productId":"P1"}"#;
    put(&cloud, "retail-events-stream-dev", [("k", good)]);
    cloud.items_once_there("retail-events-data-dev", 1);
    healthy(&cloud);

    put(&cloud, "retail-events-stream-dev", [("k", "not JSON at all")]);
    let words = ["--pipeline", "retail"];
    let report = eventually(
        &cloud,
        &words,
        "dead-letters",
        "fault",
        "dlq replay failed-events-dlq-dev",
    );
    let bad = finding(&report, "bad-data", "fault", "dlq list failed-events-dlq-dev");
    assert!(bad["evidence"].to_string().contains("JSON_DECODE_ERROR"), "{bad}");

    block_on(async {
        let client = aws_sdk_cloudwatch::Client::new(&cloud.sdk());
        let alarm = "retail-dead-letters-dev";
        client.delete_alarms().alarm_names(alarm).send().await.unwrap();
        let alarm = "retail-failed-events-dev";
        client
            .disable_alarm_actions()
            .alarm_names(alarm)
            .send()
            .await
            .unwrap();
        let logs = aws_sdk_cloudwatchlogs::Client::new(&cloud.sdk());
        let group = "/aws/lambda/retail-event-processor-dev";
        logs.delete_retention_policy()
            .log_group_name(group)
            .send()
            .await
            .unwrap();
    });
    let (code, report) = examined(&cloud, &words);
    assert_eq!(code, 5);
    finding(&report, "pipeline-missing", "fault", "setup retail");
    finding(&report, "pipeline-drift", "caution", "setup retail");
    finding(&report, "alarm-disabled", "caution", "alarms unmute");
    finding(&report, "log-retention", "caution", "put-retention-policy");
    let (_, posture) = examined(&cloud, &["--pipeline", "retail", "--posture"]);
    finding(&posture, "alarm-without-action", "caution", "sns");
}

#[test]
fn junit_and_text_have_the_same_findings() {
    let cloud = Cloud::start();
    cloud.ok(["create", "orders"]);
    let missing = run(&cloud, ["doctor", "ordrs", "--junit", "report.xml", "-o", "text"]);
    assert_eq!(missing.code, 5, "{}", missing.stderr);
    assert!(
        missing
            .stdout
            .starts_with("fault\tstream-missing\tstream ordrs\tdoes not exist"),
        "{}",
        missing.stdout
    );
    let xml = std::fs::read_to_string(cloud.path().join("report.xml")).unwrap();
    assert!(
        xml.contains("name=\"stream-missing: ") && xml.contains("failures=\"1\""),
        "{xml}"
    );
    let (code, report) = examined(&cloud, &["ordrs"]);
    assert_eq!(code, 5);
    finding(&report, "stream-missing", "fault", "streamctl doctor orders");

    let healthy = run(&cloud, ["doctor", "orders"]);
    assert_eq!((healthy.code, healthy.stdout.as_str()), (0, ""));
    assert!(healthy.stderr.contains("no finding"), "{}", healthy.stderr);

    // Without a default stream, the account is looked at.
    let account = run(&cloud, ["doctor"]);
    assert_eq!(account.code, 0, "{}", account.stderr);
    assert!(account.stderr.contains("account only"), "{}", account.stderr);

    let refused = cloud.fails(2, ["doctor", "orders", "--pipeline", "retail"]);
    assert!(refused.contains("--pipeline"), "{refused}");
    let refused = cloud.fails(2, ["doctor", "--pipeline", "retial"]);
    assert!(refused.contains("retail"), "{refused}");
    let unwritable = cloud.fails(1, ["doctor", "orders", "--junit", "none/report.xml"]);
    assert!(unwritable.contains("report.xml"), "{unwritable}");
}

#[test]
fn streams_that_are_uneven_or_ignore_keys_are_named() {
    let cloud = Cloud::start();
    cloud.ok(["create", "orders", "--shards", "1"]);
    cloud.ok(["reshard", "orders", "--split", "shardId-000000000000"]);
    cloud.ok(["reshard", "orders", "--split", "shardId-000000000001"]);
    for index in 0..18 {
        cloud.ok(["consumer", "register", "orders", &format!("reader-{index}")]);
    }
    block_on(async {
        let client = cloud.kinesis();
        let details = StreamModeDetails::builder()
            .stream_mode(StreamMode::OnDemand)
            .build()
            .unwrap();
        let made = client.create_stream().stream_name("clicks");
        made.stream_mode_details(details).send().await.unwrap();
        while !crate::support::is_active(&client, "clicks").await {}
        let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/clicks";
        let call = client
            .update_stream_record_distribution_strategy()
            .stream_arn(arn);
        let call = call.record_distribution_strategy(RecordDistributionStrategy::Auto);
        call.send().await.unwrap();
    });
    let (code, report) = examined(&cloud, &["orders"]);
    assert_eq!(code, 0, "cautions only: {:?}", found(&report));
    finding(
        &report,
        "uneven-hash-ranges",
        "caution",
        "reshard orders --balance",
    );
    let limit = finding(&report, "consumer-limit", "caution", "consumer list orders");
    assert_eq!(limit["summary"], "accepts only 2 more consumers");
    assert_eq!(examined(&cloud, &["orders", "--strict"]).0, 5);
    let clicks = until("a stream that is ACTIVE again", || {
        let (_, report) = examined(&cloud, &["clicks"]);
        match found(&report).iter().any(|one| one.starts_with("stream-status")) {
            true => Err(report.to_string()),
            false => Ok(report),
        }
    });
    finding(&clicks, "partition-keys-ignored", "caution", "USER_PARTITION_KEY");
}

#[test]
fn a_stream_that_is_not_active_is_named() {
    let cloud = Cloud::start_with(["--status-delay", "1h"]);
    block_on(async {
        let call = cloud
            .kinesis()
            .create_stream()
            .stream_name("orders")
            .shard_count(1);
        call.send().await.unwrap();
    });
    let (code, report) = examined(&cloud, &["orders"]);
    assert_eq!(code, 0);
    finding(&report, "stream-status", "caution", "describe orders");
}

#[test]
fn throttled_writes_and_reads_and_the_hot_key_are_named() {
    let cloud = Cloud::start_with(["--enforce-limits"]);
    cloud.ok(["create", "orders", "--shards", "2"]);
    block_on(async {
        let client = cloud.kinesis();
        let entry = || {
            let entry = PutRecordsRequestEntry::builder().partition_key("everything");
            entry.data(Blob::new("x")).build().unwrap()
        };
        for _ in 0..6 {
            let records = Some((0..500).map(|_| entry()).collect());
            let call = client.put_records().stream_name("orders").set_records(records);
            call.send().await.unwrap();
        }
        let call = client.get_shard_iterator().stream_name("orders");
        let call = call.shard_id("shardId-000000000000");
        let iterator = call
            .shard_iterator_type(ShardIteratorType::TrimHorizon)
            .send()
            .await;
        let iterator = iterator.unwrap().shard_iterator.unwrap();
        let once = aws_sdk_kinesis::config::retry::RetryConfig::disabled();
        let config = client.config().to_builder().retry_config(once).build();
        let client = aws_sdk_kinesis::Client::from_conf(config);
        for _ in 0..8 {
            let _ = client.get_records().shard_iterator(&iterator).send().await;
        }
    });
    let report = eventually(
        &cloud,
        &["orders"],
        "write-throttles",
        "fault",
        "monitoring enable orders",
    );
    finding(&report, "read-throttles", "caution", "consumer register orders");
    let hot = eventually(&cloud, &["orders"], "hot-shards", "fault", "@by-traffic");
    let hot = finding(&hot, "hot-shards", "fault", "reshard orders --split");
    assert!(hot["evidence"].to_string().contains("everything"), "{hot}");
}

#[test]
fn settings_of_a_mapping_that_lose_or_hold_up_records_are_named() {
    let cloud = with_reader(&[]);
    let words = ["orders"];
    let (code, report) = examined(&cloud, &words);
    assert_eq!(code, 0);
    finding(
        &report,
        "poison-pill-risk",
        "caution",
        "attach scorer --stream orders --retries 3 --bisect",
    );

    attach(
        &cloud,
        &["--retries", "3", "--max-record-age", "2d", "--disabled"],
    );
    cloud.ok(["reshard", "orders", "--to", "2"]);
    let (code, report) = examined(&cloud, &words);
    assert_eq!(code, 5);
    finding(
        &report,
        "mapping-disabled",
        "fault",
        "attach scorer --stream orders --enabled",
    );
    finding(&report, "closed-shards-unread", "caution", "retention orders 7d");
    finding(
        &report,
        "record-age-beyond-retention",
        "caution",
        "retention orders 7d",
    );
    finding(
        &report,
        "no-failure-destination",
        "caution",
        "--on-failure queue:scorer-failed",
    );

    // The commands of the safe fixes work as they are shown.
    let fixed = run(&cloud, ["doctor", "orders", "--fix", "--yes"]);
    assert_eq!(fixed.code, 0, "{}", fixed.stderr);
    for line in [
        "Done: streamctl attach scorer --stream orders --enabled",
        "Done: streamctl retention orders 7d",
    ] {
        assert!(fixed.stderr.contains(line), "{}", fixed.stderr);
    }
    make_queue(&cloud, QUEUE);
    attach(&cloud, &["--on-failure", "queue:scorer-failed"]);
    let (code, report) = examined(&cloud, &["orders", "--strict"]);
    assert_eq!((code, found(&report)), (0, Vec::new()));
    let nothing = run(&cloud, ["doctor", "orders", "--fix"]);
    assert_eq!(nothing.code, 0);
    assert!(nothing.stderr.contains("Nothing to apply"), "{}", nothing.stderr);
}

#[test]
fn fixes_are_not_applied_without_a_confirmation() {
    let cloud = with_reader(&["--disabled"]);
    let refused = run(&cloud, ["doctor", "orders", "--fix"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("--yes"), "{}", refused.stderr);
    let (_, report) = examined(&cloud, &["orders"]);
    finding(&report, "mapping-disabled", "fault", "--enabled");
}

#[test]
fn functions_that_fail_are_named_with_the_error_and_what_it_loses() {
    let cloud = with_reader(&["--retries", "0"]);
    script(&cloud, "log ERROR invalid JSON;throw Boom it broke");
    put(&cloud, "orders", [("k", "{}")]);
    let words = ["orders"];
    let report = eventually(
        &cloud,
        &words,
        "function-errors",
        "fault",
        "logs scorer --since 1h",
    );
    finding(
        &report,
        "no-failure-destination",
        "fault",
        "--on-failure queue:scorer-failed",
    );
    let report = eventually(&cloud, &words, "bad-data", "fault", "logs scorer");
    let errors = finding(&report, "function-errors", "fault", "logs scorer");
    assert!(
        errors["evidence"].to_string().contains("last error in its log"),
        "{errors}"
    );
    eventually(&cloud, &words, "mapping-failing", "fault", "logs scorer");

    // Failed records whose queue is gone are lost.
    let url = make_queue(&cloud, QUEUE);
    attach(&cloud, &["--on-failure", "queue:scorer-failed"]);
    put(&cloud, "orders", [("k", "{}")]);
    eventually(
        &cloud,
        &words,
        "dead-letters",
        "fault",
        "dlq replay scorer-failed",
    );
    block_on(async {
        cloud.sqs().delete_queue().queue_url(url).send().await.unwrap();
    });
    put(&cloud, "orders", [("k", "{}")]);
    let report = eventually(
        &cloud,
        &words,
        "delivery-failures",
        "fault",
        "policy --function scorer",
    );
    finding(&report, "failure-queue-missing", "fault", "--on-failure none");
}

#[test]
fn functions_that_are_slow_limited_or_old_are_named() {
    let cloud = with_reader(&["--retries", "3", "--disabled"]);
    cloud.ok([
        "deploy",
        "scorer",
        "--timeout",
        "3s",
        "--env",
        "SCRIPT=sleep 2500",
    ]);
    block_on(async {
        let call = cloud.lambda().update_function_configuration();
        let call = call.function_name("scorer").runtime(Runtime::Providedal2);
        call.send().await.unwrap();
        let records = (0..20).map(|_| {
            let entry = PutRecordsRequestEntry::builder().partition_key("k");
            entry.data(Blob::new("{}")).build().unwrap()
        });
        let call = cloud.kinesis().put_records().stream_name("orders");
        call.set_records(Some(records.collect())).send().await.unwrap();
    });
    cloud.ok(["attach", "scorer", "--stream", "orders", "--enabled"]);
    let words = ["orders"];
    let report = eventually(
        &cloud,
        &words,
        "function-timeout",
        "caution",
        "deploy scorer --timeout 6s",
    );
    finding(
        &report,
        "batch-too-large",
        "caution",
        "attach scorer --stream orders --batch-size",
    );
    finding(&report, "runtime-deprecated", "caution", "provided.al2023");

    script(&cloud, "sleep 5000");
    put(&cloud, "orders", [("k", "{}")]);
    eventually(
        &cloud,
        &words,
        "function-timeout",
        "fault",
        "deploy scorer --timeout 6s",
    );

    // Its last lines may make the log group again.
    cloud.ok(["attach", "scorer", "--stream", "orders", "--disabled"]);
    let report = until("a function without a log", || {
        block_on(async {
            let logs = aws_sdk_cloudwatchlogs::Client::new(&cloud.sdk());
            let call = logs.delete_log_group().log_group_name("/aws/lambda/scorer");
            let _ = call.send().await;
        });
        let (_, report) = examined(&cloud, &words);
        match found(&report)
            .iter()
            .any(|one| one.starts_with("log-group-missing"))
        {
            true => Ok(report),
            false => Err(report.to_string()),
        }
    });
    finding(&report, "log-group-missing", "fault", "create-log-group");

    cloud.ok(["deploy", "scorer", "--reserved-concurrency", "0"]);
    let (code, report) = examined(&cloud, &words);
    assert_eq!(code, 5);
    finding(
        &report,
        "function-concurrency",
        "fault",
        "deploy scorer --reserved-concurrency 1",
    );

    block_on(async {
        cloud
            .lambda()
            .delete_function()
            .function_name("scorer")
            .send()
            .await
            .unwrap();
    });
    let (_, report) = examined(&cloud, &words);
    finding(&report, "function-missing", "fault", "deploy scorer");
}

#[test]
fn too_little_concurrency_throttles() {
    let cloud = with_reader(&["--retries", "3", "--parallelization", "2"]);
    cloud.ok(["deploy", "scorer", "--reserved-concurrency", "1"]);
    let words = ["orders"];
    let (_, report) = examined(&cloud, &words);
    finding(
        &report,
        "function-concurrency",
        "caution",
        "deploy scorer --reserved-concurrency 2",
    );
    script(&cloud, "sleep 1500");
    let keys: Vec<String> = (0..40).map(|index| format!("k{index}")).collect();
    put(&cloud, "orders", keys.iter().map(|key| (key.as_str(), "{}")));
    eventually(
        &cloud,
        &words,
        "function-throttles",
        "fault",
        "deploy scorer --reserved-concurrency 2",
    );
}

#[test]
fn alarms_that_watch_nothing_or_are_in_alarm_are_named() {
    let cloud = Cloud::start();
    cloud.ok(["create", "orders", "--shards", "1"]);
    let dimension = |name: &str, value: &str| Dimension::builder().name(name).value(value).build();
    block_on(async {
        let client = aws_sdk_cloudwatch::Client::new(&cloud.sdk());
        let alarm = |name: &str, metric: &str| {
            let call = client.put_metric_alarm().alarm_name(name).metric_name(metric);
            let call = call.namespace("AWS/Kinesis").period(60).evaluation_periods(1);
            let call = call.threshold(1.0).statistic(Statistic::Maximum);
            let call = call.comparison_operator(ComparisonOperator::GreaterThanThreshold);
            call.dimensions(dimension("StreamName", "orders"))
        };
        alarm("typo", "IteratorAgeMilliseconds").send().await.unwrap();
        let shard = dimension("ShardId", "shardId-000000000000");
        alarm("shard", "IncomingBytes")
            .dimensions(shard)
            .send()
            .await
            .unwrap();
        alarm("late", "GetRecords.IteratorAgeMilliseconds")
            .send()
            .await
            .unwrap();
        let call = client
            .set_alarm_state()
            .alarm_name("late")
            .state_value(StateValue::Alarm);
        call.state_reason("for a test").send().await.unwrap();
    });
    let (code, report) = examined(&cloud, &["orders"]);
    assert_eq!(code, 5);
    let subjects: Vec<String> = findings(&report)
        .iter()
        .filter(|one| one["check"] == "alarm-without-data")
        .map(|one| one["subject"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(subjects, ["alarm shard", "alarm typo"]);
    finding(
        &report,
        "alarm-without-data",
        "fault",
        "monitoring enable orders --metrics IncomingBytes",
    );
    finding(&report, "alarm-firing", "caution", "alarms history");
}

/// A maximum record age of a minute is half used after half a minute.
#[test]
fn a_reader_that_is_about_to_discard_records_is_named() {
    let cloud = with_reader(&["--retries", "3", "--max-record-age", "1m", "--disabled"]);
    put(&cloud, "orders", [("k", "{}")]);
    std::thread::sleep(std::time::Duration::from_secs(32));
    cloud.ok(["attach", "scorer", "--stream", "orders", "--enabled"]);
    let report = eventually(
        &cloud,
        &["orders"],
        "iterator-age",
        "fault",
        "attach scorer --stream orders",
    );
    let age = finding(&report, "iterator-age", "fault", "logs scorer");
    assert!(
        age["evidence"].to_string().contains("gives up records after 1m"),
        "{age}"
    );
}
