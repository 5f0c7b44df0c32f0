//! Successful functions.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::world::{World, open, timings};
use crate::invoke::{Invoke, InvokeResult};

#[tokio::test(flavor = "multi_thread")]
async fn sequential_calls_share_an_instance() {
    let world = World::new();
    let arn = world.function("f", json!({})).await;
    let first = world.returned(&arn, "pid").await;
    for _ in 0..20 {
        assert_eq!(world.returned(&arn, "pid").await, first);
    }
    assert_eq!(world.returned(&arn, "echo").await, json!({"do": "echo"}));
    // Logs are written after the responses.
    let deadline = Instant::now() + Duration::from_secs(10);
    while world.kept.streams().is_empty() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(world.kept.streams().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_calls_use_separate_instances() {
    let world = World::new();
    let arn = world.function("f", json!({"Timeout": 60})).await;
    let calls = (0..4).map(|_| world.returned(&arn, "sleep 200; pid"));
    let pids: BTreeSet<String> = futures_util::future::join_all(calls)
        .await
        .iter()
        .map(Value::to_string)
        .collect();
    assert_eq!(pids.len(), 4);
    // The most recently used instance is used next.
    let next = world.returned(&arn, "pid").await.to_string();
    assert!(pids.contains(&next));
    assert_eq!(world.returned(&arn, "pid").await.to_string(), next);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_sees_only_its_own_environment() {
    let world = World::new();
    let more = json!({
        "Environment": {"Variables": {"TABLE_NAME": "orders", "TZ": "Europe/Berlin"}},
        "MemorySize": 256,
    });
    let arn = world.function("f", more).await;
    for (name, value) in [
        ("TABLE_NAME", "orders"),
        ("TZ", "Europe/Berlin"),
        ("_HANDLER", "scripted"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_LAMBDA_FUNCTION_NAME", "f"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/f"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
        ("LANG", "en_US.UTF-8"),
    ] {
        assert_eq!(
            world.returned(&arn, &format!("env {name}")).await,
            value,
            "{name}"
        );
    }
    assert_eq!(world.returned(&arn, "env CARGO_MANIFEST_DIR").await, Value::Null);
    assert_eq!(world.returned(&arn, "env HOME").await, Value::Null);
    let root = world.returned(&arn, "env LAMBDA_TASK_ROOT").await;
    assert!(
        std::path::Path::new(root.as_str().unwrap())
            .join("bootstrap")
            .is_file()
    );
    let key = world.returned(&arn, "env AWS_ACCESS_KEY_ID").await;
    assert_eq!(
        world.lambda.role_of_access_key(key.as_str().unwrap()),
        Some((super::world::ROLE.to_owned(), "f".to_owned()))
    );
    assert_eq!(world.lambda.role_of_access_key("AKIAIOSFODNN7EXAMPLE"), None);
    let header = world
        .returned(&arn, "header lambda-runtime-invoked-function-arn")
        .await;
    assert_eq!(header, arn.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_lines_for_each_invocation() {
    let world = World::new();
    let arn = world.function("f", json!({})).await;
    let run = world.run(&arn, "log hello; err there; print open").await;
    world.run(&arn, "log again").await;
    world
        .until("the second REPORT", |kept| {
            kept.log().matches("REPORT").count() == 2
        })
        .await;
    let log = world.kept.log().replace(&run.request_id, "ID");
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(
        lines[..6],
        [
            "INIT_START Runtime Version: provided.al2023",
            "START RequestId: ID Version: $LATEST",
            "hello",
            "there",
            "open",
            "END RequestId: ID",
        ]
    );
    let report = lines[6];
    assert!(report.starts_with("REPORT RequestId: ID\tDuration: "), "{report}");
    assert!(
        report.contains(" ms\tMemory Size: 128 MB\tMax Memory Used: "),
        "{report}"
    );
    assert!(report.contains("Init Duration: "), "{report}");
    assert!(!lines[10].contains("Init Duration: "), "{}", lines[10]);
    let stream = &world.kept.streams()[0];
    let (day, name) = stream.split_at(11);
    assert_eq!(day.matches('/').count(), 3, "{stream}");
    assert!(name.starts_with("[$LATEST]") && name.len() == 9 + 32, "{stream}");
}

#[tokio::test(flavor = "multi_thread")]
async fn json_logs_have_platform_events() {
    let world = World::new();
    let more = json!({
        "LoggingConfig": {"LogFormat": "JSON", "LogGroup": "/aws/lambda/other"},
        "Environment": {"Variables": {"SCRIPT": "log {\"level\":\"INFO\"}"}},
    });
    let arn = world.function("f", more).await;
    world.run(&arn, "").await;
    world
        .until("the report", |kept| kept.log().contains("platform.report"))
        .await;
    let log = world.kept.log();
    assert!(
        log.contains("platform.start") && log.contains("{\"level\":\"INFO\"}"),
        "{log}"
    );
    assert!(!log.contains("REPORT RequestId"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tail_is_the_end_of_the_log_of_the_call() {
    let world = World::new();
    world.function("f", json!({})).await;
    let path = "/2015-03-31/functions/f/invocations";
    let tail = async |script: &str| {
        let body = json!({"do": script}).to_string();
        let response = world.raw("POST", path, &[("x-amz-log-type", "Tail")], body).await;
        assert_eq!(response.headers()["x-amz-executed-version"], "$LATEST");
        let tail = response.headers()["x-amz-log-result"].as_bytes().to_vec();
        String::from_utf8(base64_simd::STANDARD.decode_to_vec(tail).unwrap()).unwrap()
    };
    let first = tail("log one").await;
    assert!(
        first.contains("START") && first.contains("\none\n") && first.contains("REPORT"),
        "{first}"
    );
    let second = tail("spam 1000 20; log last").await;
    assert_eq!(second.len(), 4096);
    assert!(
        second.contains("\nlast\nEND") && !second.contains("one"),
        "{second}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn large_output_is_complete_and_long_lines_are_split() {
    let world = World::new();
    let arn = world.function("f", json!({"Timeout": 60})).await;
    world.run(&arn, "spam 20000 99; log done").await;
    world.run(&arn, "spam 1 600000; log done").await;
    world
        .until("all lines", |kept| kept.log().matches("done\n").count() == 2)
        .await;
    let logs = world.kept.logs.lock().unwrap();
    let short = "x".repeat(99);
    assert_eq!(logs.iter().filter(|(_, text)| *text == short).count(), 20_000);
    let long: Vec<usize> = logs
        .iter()
        .filter(|(_, text)| text.len() > 1000)
        .map(|(_, text)| text.len())
        .collect();
    assert_eq!(long.iter().sum::<usize>(), 600_000);
    assert!(long.iter().all(|length| *length <= 262_144 + 8192), "{long:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_recorded_and_extracted_from_the_log() {
    let world = World::new();
    let arn = world.function("f", json!({})).await;
    let metric = r#"{"_aws":{"CloudWatchMetrics":[{"Namespace":"Retail","Dimensions":[["S"]],"Metrics":[{"Name":"Events"}]}]},"S":"a","Events":4}"#;
    let script = json!({ "SCRIPT": format!("log {metric}") });
    let other = world
        .function("g", json!({"Environment": {"Variables": script}}))
        .await;
    world.run(&other, "").await;
    world.failed(&arn, "throw E m").await;
    world
        .until("the metrics", |kept| {
            kept.has_metric("AWS/Lambda/Errors[FunctionName=f]=1")
        })
        .await;
    for metric in [
        "Retail/Events[S=a]=4",
        "AWS/Lambda/Invocations[]=1",
        "AWS/Lambda/Invocations[FunctionName=g]=1",
        "AWS/Lambda/Invocations[FunctionName=g,Resource=g]=1",
        "AWS/Lambda/Errors[FunctionName=g]=0",
        "AWS/Lambda/Throttles[FunctionName=g]=0",
        "AWS/Lambda/ConcurrentExecutions[FunctionName=g]=1",
    ] {
        assert!(
            world.kept.has_metric(metric),
            "{metric}: {:?}",
            world.kept.metrics
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_code_and_configuration_use_new_instances_and_old_ones_finish() {
    let world = World::new();
    let arn = world.function("f", json!({"Timeout": 60})).await;
    let before = world.returned(&arn, "pid").await;
    let slow = world.returned(&arn, "sleep 400; pid");
    let update = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let change = json!({"Environment": {"Variables": {"KEY": "new"}}});
        let (status, ..) = world
            .ask("PUT", "/2015-03-31/functions/f/configuration", change)
            .await;
        assert_eq!(status, 200);
        assert_eq!(world.returned(&arn, "env KEY").await, "new");
        world.returned(&arn, "pid").await
    };
    let (old, new) = tokio::join!(slow, update);
    assert_eq!(old, before);
    assert_ne!(new, before);
    assert_eq!(world.returned(&arn, "pid").await, new);
    let zip = base64_simd::STANDARD.encode_to_string(super::scripted::zip("other"));
    let (status, ..) = world
        .ask("PUT", "/2015-03-31/functions/f/code", json!({"ZipFile": zip}))
        .await;
    assert_eq!(status, 200);
    assert_ne!(world.returned(&arn, "pid").await, new);
}

#[tokio::test(flavor = "multi_thread")]
async fn aliases_and_versions_run_their_version() {
    let world = World::new();
    let arn = world
        .function("f", json!({"Environment": {"Variables": {"KEY": "one"}}}))
        .await;
    let functions = "/2015-03-31/functions/f";
    world
        .ask("POST", &format!("{functions}/versions"), json!({}))
        .await;
    let alias = json!({"Name": "live", "FunctionVersion": "1"});
    world.ask("POST", &format!("{functions}/aliases"), alias).await;
    let change = json!({"Environment": {"Variables": {"KEY": "two"}}});
    world
        .ask("PUT", &format!("{functions}/configuration"), change)
        .await;
    assert_eq!(world.returned(&arn, "env KEY").await, "two");
    assert_eq!(world.returned(&format!("{arn}:1"), "env KEY").await, "one");
    let live = format!("{arn}:live");
    assert_eq!(world.returned(&live, "env KEY").await, "one");
    assert_eq!(
        world.returned(&live, "env AWS_LAMBDA_FUNCTION_VERSION").await,
        "1"
    );
    let header = world
        .returned(&live, "header lambda-runtime-invoked-function-arn")
        .await;
    assert_eq!(header, live.as_str());
    world
        .until("metrics", |kept| {
            kept.has_metric("AWS/Lambda/Invocations[FunctionName=f,Resource=f:live]=1")
        })
        .await;
    assert!(world.lambda.exists(&live) && !world.lambda.exists(&format!("{arn}:gone")));
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_survive_a_restart_and_loss_of_their_unpacked_code() {
    let world = World::new();
    let arn = world
        .function("f", json!({"Timeout": 7, "Tags": {"a": "b"}}))
        .await;
    std::fs::remove_dir_all(world.dir.path().join("run")).unwrap();
    let again = open(world.dir.path(), timings(), &world.kept);
    assert_eq!(again.timeout_seconds(&arn), Some(7));
    let run = again.invoke(&arn, r#"{"do":"return 1"}"#.into()).await;
    assert_eq!(run.result, InvokeResult::Returned("1".into()));
    again.shutdown();
    let stopped = again.invoke(&arn, r#"{}"#.into()).await;
    assert!(
        matches!(stopped.result, InvokeResult::Refused { .. }),
        "{stopped:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn shutting_down_ends_functions_and_their_children() {
    let world = World::new();
    let arn = world.function("f", json!({"Timeout": 60})).await;
    let file = world.dir.path().join("child");
    let script = format!("fork 600 {}; sleep 60000", file.display());
    let stop = async {
        while std::fs::read_to_string(&file).unwrap_or_default().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let lambda = std::sync::Arc::clone(&world.lambda);
        tokio::task::spawn_blocking(move || lambda.shutdown())
            .await
            .unwrap();
    };
    let (run, ()) = tokio::join!(world.run(&arn, &script), stop);
    assert!(matches!(run.result, InvokeResult::Refused { .. }), "{run:?}");
    assert_gone(&file).await;
}

/// Waits until the process with the id in `file` has ended.
pub(super) async fn assert_gone(file: &std::path::Path) {
    let pid = std::fs::read_to_string(file).unwrap();
    for _ in 0..200 {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if state.is_empty() || state.contains(") Z ") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{pid} lives on");
}

/// Prints the figures. They are not asserted because tests run concurrently.
#[tokio::test(flavor = "multi_thread")]
async fn overhead() {
    let world = World::new();
    let arn = world.function("f", json!({})).await;
    let mut cold = Vec::new();
    for round in 0..5 {
        let change = json!({"Description": round.to_string()});
        world
            .ask("PUT", "/2015-03-31/functions/f/configuration", change)
            .await;
        let began = Instant::now();
        world.returned(&arn, "return 1").await;
        cold.push(began.elapsed());
    }
    let mut warm = Vec::new();
    for _ in 0..500 {
        let began = Instant::now();
        world.returned(&arn, "return 1").await;
        warm.push(began.elapsed());
    }
    cold.sort();
    warm.sort();
    println!("cold {:?}, warm p50 {:?} p99 {:?}", cold[2], warm[250], warm[495]);
    assert!(warm[250] < Duration::from_millis(50) && cold[2] < Duration::from_secs(1));
}
