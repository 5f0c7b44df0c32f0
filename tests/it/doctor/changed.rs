//! Faults of states that the local cloud does not have: what it answers is changed on the way.

use std::sync::Arc;

use super::*;
use crate::proxy::{self, Call, Fate, Judge};

/// The report of `doctor orders`, where in answers to requests of paths with `path` the text `to` stands for `from`.
fn changed(cloud: &Cloud, path: &'static str, from: &'static str, to: &'static str) -> Value {
    let judge = move |call: &Call| match call.path.contains(path) {
        true => Fate::Replace(from, to),
        false => Fate::Pass,
    };
    let url = proxy::start(&cloud.endpoint, Arc::new(judge) as Arc<dyn Judge>);
    let mut command = cloud.streamctl(["doctor", "orders", "-o", "json", "--endpoint-url", &url]);
    command.envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")]);
    serde_json::from_slice(&command.output().unwrap().stdout).unwrap()
}

#[test]
fn a_function_that_cannot_be_used_is_named() {
    let cloud = with_reader(&["--retries", "3"]);
    let path = "/2015-03-31/functions/scorer";
    let report = changed(&cloud, path, r#""State":"Active""#, r#""State":"Failed""#);
    let failed = finding(&report, "function-state", "fault", "scorer");
    assert_eq!(failed["summary"], "cannot be used");
    let report = changed(&cloud, path, r#""State":"Active""#, r#""State":"Pending""#);
    finding(&report, "function-state", "caution", "mappings scorer");
}

#[test]
fn a_queue_that_shows_messages_again_too_early_is_named() {
    let cloud = with_reader(&["--retries", "3"]);
    cloud.ok(["deploy", "scorer", "--timeout", "10s"]);
    make_queue(&cloud, "jobs");
    let report = changed(
        &cloud,
        "FunctionName=",
        "arn:aws:kinesis:us-east-1:000000000000:stream/orders",
        "arn:aws:sqs:us-east-1:000000000000:jobs",
    );
    let early = finding(&report, "queue-visibility", "caution", "set-queue-attributes");
    assert_eq!(early["subject"], "queue jobs");
}

#[test]
fn an_account_that_nearly_uses_its_concurrency_is_named() {
    let cloud = with_reader(&["--retries", "3"]);
    put(&cloud, "orders", [("k", "{}")]);
    until("concurrency", || {
        let report = changed(
            &cloud,
            "/account-settings",
            r#""ConcurrentExecutions":1000"#,
            r#""ConcurrentExecutions":1"#,
        );
        match found(&report)
            .iter()
            .any(|one| one.starts_with("account-concurrency"))
        {
            true => {
                let near = finding(&report, "account-concurrency", "caution", "list-service-quotas");
                assert!(
                    near["evidence"].to_string().contains("1 of 1 concurrent"),
                    "{near}"
                );
                Ok(())
            }
            false => Err(report.to_string()),
        }
    });
}
