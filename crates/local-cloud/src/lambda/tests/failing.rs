//! Failing functions, and Lambda's responses.

use std::time::{Duration, Instant};

use serde_json::json;

use super::executing::assert_gone;
use super::world::{World, timings};
use crate::invoke::{Invoke, InvokeResult};
use crate::lambda::Timings;

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_returned_and_the_instance_is_reused() {
    let world = World::new();
    let arn = world.function("f", json!({})).await;
    let pid = world.returned(&arn, "pid").await;
    assert_eq!(
        world.failed(&arn, "throw ApiError it broke").await,
        json!({"errorType": "ApiError", "errorMessage": "it broke"})
    );
    assert_eq!(world.returned(&arn, "pid").await, pid);
    assert!(!world.kept.log().contains("Status:"), "{}", world.kept.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_kills_the_process_and_its_children() {
    let world = World::new();
    let arn = world.function("f", json!({"Timeout": 1})).await;
    let pid = world.returned(&arn, "pid").await;
    let file = world.dir.path().join("child");
    let run = world
        .run(
            &arn,
            &format!("log before; fork 600 {}; sleep 60000", file.display()),
        )
        .await;
    let InvokeResult::FunctionError { payload, .. } = &run.result else {
        panic!("{run:?}")
    };
    let error: serde_json::Value = serde_json::from_slice(payload).unwrap();
    let id = &run.request_id;
    assert_eq!(
        error,
        json!({
            "errorType": "Sandbox.Timedout",
            "errorMessage": format!("RequestId: {id} Error: Task timed out after 1.00 seconds"),
        })
    );
    assert_gone(&file).await;
    assert_ne!(world.returned(&arn, "pid").await, pid);
    world
        .until("the report", |kept| kept.log().contains("Status: timeout"))
        .await;
    let log = world.kept.log();
    assert!(
        log.contains(&format!(
            "Z {id} Task timed out after 1.00 seconds\nEND RequestId: {id}"
        )),
        "{log}"
    );
    assert!(
        log.contains("before\n") && log.contains("Duration: 1000.00 ms"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_function_that_prints_without_end_is_bounded() {
    let world = World::new();
    let arn = world.function("f", json!({"Timeout": 60})).await;
    let began = Instant::now();
    world.run(&arn, "spam 300000 99; log done").await;
    let seconds = began.elapsed().as_secs() as usize;
    world
        .until("the report", |kept| kept.log().contains("REPORT"))
        .await;
    let log = world.kept.log();
    assert!(
        log.len() < (12 + seconds) << 20,
        "{} bytes in {seconds} s",
        log.len()
    );
    let kept = log.lines().filter(|line| line.starts_with("xxx")).count();
    let dropped = log.lines().filter_map(|line| {
        let rest = line.strip_prefix("LOGS_DROPPED Records: ")?;
        rest.split('\t').next()?.parse::<usize>().ok()
    });
    // The last line may have been dropped too.
    let all = kept + dropped.sum::<usize>() + log.lines().filter(|line| *line == "done").count();
    assert_eq!(all, 300_001);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_is_reported_with_its_cause() {
    let world = World::new();
    let arn = world.function("f", json!({})).await;
    for (script, how) in [
        ("exit 3", "Runtime exited with error: exit status 3"),
        ("exit 0", "Runtime exited without providing a reason"),
        ("abort", "Runtime exited with error: signal: aborted"),
    ] {
        let run = world.run(&arn, script).await;
        let InvokeResult::FunctionError { payload, .. } = &run.result else {
            panic!("{run:?}")
        };
        let error: serde_json::Value = serde_json::from_slice(payload).unwrap();
        assert_eq!(error["errorType"], "Runtime.ExitError");
        let message = format!("RequestId: {} Error: {how}", run.request_id);
        assert_eq!(error["errorMessage"], message.as_str(), "{script}");
    }
    // A new process takes over.
    assert_eq!(world.returned(&arn, "return 1").await, 1);
    world
        .until("three reports", |kept| {
            kept.log()
                .matches("Status: error\tError Type: Runtime.ExitError")
                .count()
                == 3
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_ends_between_invocations_is_not_used() {
    let world = World::new();
    let arn = world.function("f", json!({})).await;
    let pid = world.returned(&arn, "pid").await;
    for _ in 0..3 {
        assert_eq!(world.returned(&arn, "leave 0").await, json!(null));
    }
    assert_ne!(world.returned(&arn, "pid").await, pid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_does_not_wait_for_the_runtime_to_be_ready() {
    let world = World::new();
    let arn = world.function("f", json!({"Timeout": 5})).await;
    let pid = world.returned(&arn, "pid").await;
    let began = Instant::now();
    assert_eq!(world.returned(&arn, "late 1000").await, json!(null));
    assert!(
        began.elapsed() < Duration::from_millis(900),
        "{:?}",
        began.elapsed()
    );
    // The instance is still busy.
    assert_ne!(world.returned(&arn, "pid").await, pid);
    assert_eq!(world.returned(&arn, "twice").await, json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn exceeding_the_memory_limit_ends_the_process() {
    let world = World::new();
    let arn = world.function("f", json!({"Timeout": 30})).await;
    assert_eq!(world.returned(&arn, "alloc 40; return 1").await, 1);
    if cfg!(not(target_os = "linux")) {
        return;
    }
    let error = world.failed(&arn, "alloc 200; sleep 20000").await;
    assert_eq!(error["errorType"], "Runtime.OutOfMemory");
    let message = error["errorMessage"].as_str().unwrap();
    assert!(
        message.ends_with("Error: Runtime exited with error: signal: killed"),
        "{message}"
    );
    world
        .until("the report", |kept| {
            kept.log().contains("Max Memory Used: 128 MB")
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn init_is_tried_twice() {
    let world = World::new();
    for (name, init, kind) in [
        (
            "reports",
            "log init; init-error Config TABLE_NAME is missing",
            "Config",
        ),
        ("exits", "log init; exit 7", "Runtime.ExitError"),
    ] {
        let variables = json!({"Environment": {"Variables": {"INIT": init}}});
        let arn = world.function(name, variables).await;
        let error = world.failed(&arn, "return 1").await;
        assert_eq!(error["errorType"], kind);
    }
    world
        .until("both reports", |kept| {
            kept.log().matches("REPORT RequestId").count() == 2
        })
        .await;
    let log = world.kept.log();
    assert_eq!(log.matches("init\n").count(), 4, "{log}");
    assert!(
        log.contains("Phase: init\tStatus: error\tError Type: Runtime.ExitError"),
        "{log}"
    );
    assert_eq!(world.kept.streams().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_init_is_repeated_within_the_timeout() {
    let world = World::with_timings(Timings {
        init_timeout: Duration::from_millis(200),
        ..timings()
    });
    let slow = |ms: u32| json!({"Timeout": 1, "Environment": {"Variables": {"INIT": format!("sleep {ms}")}}});
    let arn = world.function("slow", slow(400)).await;
    assert_eq!(world.returned(&arn, "return 1").await, 1);
    let log_has = |text: &'static str| move |kept: &super::world::Kept| kept.log().contains(text);
    world
        .until("the report", log_has("Phase: init\tStatus: timeout"))
        .await;
    let arn = world.function("never", slow(60_000)).await;
    let error = world.failed(&arn, "return 1").await;
    assert_eq!(error["errorType"], "Sandbox.Timedout");
    assert!(
        error["errorMessage"]
            .as_str()
            .unwrap()
            .ends_with("Task timed out after 1.00 seconds")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_cannot_run_is_reported() {
    let world = World::new();
    for (name, file, mode, bytes, message) in [
        (
            "none",
            "other",
            0o755,
            &b"x"[..],
            "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]",
        ),
        (
            "mode",
            "bootstrap",
            0o644,
            b"#!/bin/sh\n",
            "fork/exec /var/task/bootstrap: permission denied",
        ),
        (
            "form",
            "bootstrap",
            0o755,
            b"\x7fELF garbage",
            "fork/exec /var/task/bootstrap: exec format error",
        ),
    ] {
        let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default().unix_permissions(mode);
        writer.start_file(file, options).unwrap();
        std::io::Write::write_all(&mut writer, bytes).unwrap();
        let code = base64_simd::STANDARD.encode_to_string(writer.finish().unwrap().into_inner());
        let arn = world.function(name, json!({"Code": {"ZipFile": code}})).await;
        let error = world.failed(&arn, "").await;
        assert_eq!(error["errorType"], "Runtime.InvalidEntrypoint");
        let told = error["errorMessage"].as_str().unwrap();
        assert!(told.ends_with(message), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_are_limited() {
    let world = World::new();
    let arn = world.function("f", json!({"Timeout": 30})).await;
    let most = 6 * 1024 * 1024;
    let payload = |length: usize| format!("\"{}\"", "p".repeat(length - 2));
    let run = world.lambda.invoke(&arn, payload(most).into()).await;
    assert_eq!(run.result, InvokeResult::Returned(payload(most).into()));
    let run = world.lambda.invoke(&arn, payload(most + 1).into()).await;
    let InvokeResult::Refused { code, message } = run.result else {
        panic!()
    };
    assert_eq!(code, "RequestTooLargeException");
    assert_eq!(
        message,
        "Request must be smaller than 6291456 bytes for the InvokeFunction operation"
    );
    let error = world.failed(&arn, &format!("big {}", most + 101)).await;
    assert_eq!(
        error,
        json!({
            "errorType": "Function.ResponseSizeTooLarge",
            "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
        })
    );
    // The response is not parsed.
    let run = world.run(&arn, "return not json").await;
    assert_eq!(run.result, InvokeResult::Returned("not json".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn reserved_concurrency_throttles() {
    let world = World::new();
    let arn = world.function("f", json!({"Timeout": 30})).await;
    let put = json!({"ReservedConcurrentExecutions": 1});
    let path = "/2017-10-31/functions/f/concurrency";
    assert_eq!(world.ask("PUT", path, put).await.0, 200);
    let file = world.dir.path().join("started");
    let script = format!("fork 0 {}; sleep 300; return 1", file.display());
    let second = async {
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(world.run(&arn, "return 2").await.result, InvokeResult::Throttled);
        world
            .ask("POST", "/2015-03-31/functions/f/invocations", json!({}))
            .await
    };
    let (first, (status, kind, body)) = tokio::join!(world.returned(&arn, &script), second);
    assert_eq!(first, 1);
    assert_eq!((status, kind.as_str()), (429, "TooManyRequestsException"));
    assert_eq!(
        body,
        json!({"Reason": "ReservedFunctionConcurrentInvocationLimitExceeded", "Type": "User", "message": "Rate Exceeded."})
    );
    assert!(world.kept.has_metric("AWS/Lambda/Throttles[FunctionName=f]=1"));
    assert_eq!(world.ask("DELETE", path, json!(null)).await.0, 204);
    assert_eq!(world.returned(&arn, "return 2").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_functions_and_versions_are_rejected() {
    let world = World::new();
    let run = world
        .lambda
        .invoke("arn:aws:lambda:us-east-1:000000000000:function:gone", "{}".into())
        .await;
    let InvokeResult::Refused { code, message } = run.result else {
        panic!()
    };
    assert_eq!(code, "ResourceNotFoundException");
    assert_eq!(
        message,
        "Function not found: arn:aws:lambda:us-east-1:000000000000:function:gone"
    );
}

/// When the local cloud is killed, its functions end. The test runs itself again as the process to kill.
#[cfg(target_os = "linux")]
#[test]
fn functions_end_when_the_local_cloud_is_killed() {
    const DIR: &str = "STREAMCTL_TEST_VICTIM";
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    if let Some(dir) = std::env::var_os(DIR) {
        let file = std::path::Path::new(&dir).join("child");
        runtime.block_on(async {
            let world = World::new();
            let arn = world.function("f", json!({"Timeout": 60})).await;
            world
                .run(&arn, &format!("fork 600 {}; sleep 60000", file.display()))
                .await;
        });
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("child");
    let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "lambda::tests::failing::functions_end_when_the_local_cloud_is_killed",
        ])
        .env(DIR, dir.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while std::fs::read_to_string(&file).unwrap_or_default().is_empty() {
        assert!(victim.try_wait().unwrap().is_none(), "it ended early");
        std::thread::sleep(Duration::from_millis(10));
    }
    victim.kill().unwrap();
    victim.wait().unwrap();
    runtime.block_on(assert_gone(&file));
}
