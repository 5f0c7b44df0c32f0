//! `destroy` deletes every resource of the pipeline and nothing else.

use std::time::Duration;

use insta::assert_snapshot;
use serde_json::json;

use crate::functions::{compiled, with_scorer};
use crate::provision::{
    foreign_stream, iam, interrupted, killed, policies, redacted, run, summary, transcript,
};
use crate::support::{Cloud, block_on};

#[test]
fn without_a_terminal_yes_is_required() {
    let cloud = Cloud::start();
    cloud.ok(["setup"]);
    redacted(|| assert_snapshot!("destroy_unconfirmed", transcript(&cloud, ["destroy"])));
    assert!(summary(&cloud, "concert-data-stream").is_some());
    assert_eq!(policies(&cloud).len(), 1);
    redacted(|| assert_snapshot!("destroy_dry_run", transcript(&cloud, ["destroy", "--dry-run"])));
    redacted(|| insta::assert_json_snapshot!("destroy_dry_run_json", cloud.json(["destroy", "--dry-run"])));
    assert!(summary(&cloud, "concert-data-stream").is_some());
}

#[test]
fn only_the_pipelines_resources_are_deleted() {
    let cloud = Cloud::start();
    foreign_stream(&cloud, "theirs");
    cloud.ok(["setup"]);
    cloud.ok(["setup", "--stream", "orders"]);
    redacted(|| assert_snapshot!("destroy", transcript(&cloud, ["destroy", "--yes"])));
    assert!(summary(&cloud, "concert-data-stream").is_none());
    assert!(summary(&cloud, "theirs").is_some());
    assert!(summary(&cloud, "orders").is_some());
    assert_eq!(policies(&cloud).len(), 1);
    redacted(|| assert_snapshot!("destroy_again", transcript(&cloud, ["destroy", "--yes"])));
    redacted(|| {
        insta::assert_json_snapshot!(
            "destroy_json",
            cloud.json(["destroy", "--stream", "orders", "--yes"])
        );
    });
    assert!(policies(&cloud).is_empty());
}

#[test]
fn a_stream_without_our_tags_is_not_deleted() {
    let cloud = Cloud::start();
    foreign_stream(&cloud, "theirs");
    redacted(|| {
        assert_snapshot!(
            "destroy_foreign",
            transcript(&cloud, ["destroy", "--stream", "theirs", "--yes"])
        );
    });
    assert!(summary(&cloud, "theirs").is_some());
    redacted(|| {
        assert_snapshot!(
            "destroy_foreign_dry_run",
            transcript(&cloud, ["destroy", "--stream", "theirs", "--dry-run"])
        );
    });
    cloud.ok(["destroy", "--stream", "theirs", "--adopt", "--yes"]);
    assert!(summary(&cloud, "theirs").is_none());
}

#[test]
fn consumers_are_listed_and_deleted_with_their_stream() {
    let cloud = Cloud::start();
    cloud.ok(["setup"]);
    let arn = summary(&cloud, "concert-data-stream").unwrap().stream_arn;
    let kinesis = cloud.kinesis();
    for name in ["billing", "search"] {
        let call = kinesis
            .register_stream_consumer()
            .stream_arn(&arn)
            .consumer_name(name);
        block_on(call.send()).unwrap();
    }
    redacted(|| assert_snapshot!("destroy_consumers", transcript(&cloud, ["destroy", "--yes"])));
    assert!(summary(&cloud, "concert-data-stream").is_none());
}

#[test]
fn a_policy_in_use_is_reported_and_not_deleted() {
    let cloud = Cloud::start();
    cloud.ok(["setup"]);
    let arn = policies(&cloud).remove(0);
    let iam = iam(&cloud);
    block_on(async {
        let trust = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ]});
        let call = iam.create_role().role_name("api-producer");
        call.assume_role_policy_document(trust.to_string())
            .send()
            .await
            .unwrap();
        let call = iam.attach_role_policy().role_name("api-producer");
        call.policy_arn(&arn).send().await.unwrap();
    });
    redacted(|| assert_snapshot!("destroy_attached", transcript(&cloud, ["destroy", "--yes"])));
    assert_eq!(policies(&cloud).len(), 1);
    block_on(
        iam.detach_role_policy()
            .role_name("api-producer")
            .policy_arn(&arn)
            .send(),
    )
    .unwrap();
    cloud.ok(["destroy", "--yes"]);
    assert!(policies(&cloud).is_empty());
    assert!(summary(&cloud, "concert-data-stream").is_none());
}

#[test]
fn destroy_works_from_another_directory() {
    let cloud = Cloud::start();
    cloud.file("streamctl.toml", "stream = \"orders\"\n");
    cloud.ok(["setup", "--tag", "Team=Blue", "--param", "project=Tour"]);
    let elsewhere = tempfile::tempdir().unwrap();
    cloud
        .streamctl(["destroy", "--stream", "orders", "--yes"])
        .current_dir(elsewhere.path())
        .assert()
        .success();
    assert_eq!(cloud.json(["list"]), json!([]));
    assert!(policies(&cloud).is_empty());
}

#[test]
fn a_run_after_a_kill_finishes() {
    let cloud = Cloud::start_with(["--status-delay", "150ms"]);
    for delay in [30, 100, 200, 350] {
        cloud.ok(["setup"]);
        killed(&cloud, &["destroy", "--yes"], Duration::from_millis(delay));
        cloud.ok(["destroy", "--yes"]);
        assert!(summary(&cloud, "concert-data-stream").is_none());
        assert!(policies(&cloud).is_empty());
    }
}

#[test]
fn ctrl_c_reports_what_is_left_and_the_next_run_finishes() {
    let cloud = Cloud::start_with(["--status-delay", "1s"]);
    cloud.ok(["setup"]);
    let stopped = interrupted(&cloud, &["destroy", "--yes"], "deleting the stream");
    assert_eq!(stopped.code, 130, "{}{}", stopped.stdout, stopped.stderr);
    redacted(|| {
        assert_snapshot!(
            "destroy_interrupted",
            format!("{}--- stderr\n{}", stopped.stdout, stopped.stderr)
        );
    });
    cloud.ok(["destroy", "--yes"]);
    assert!(summary(&cloud, "concert-data-stream").is_none());
    assert!(policies(&cloud).is_empty());
}

#[test]
fn resources_of_a_killed_setup_are_deleted() {
    let cloud = Cloud::start_with(["--status-delay", "150ms"]);
    for delay in [60, 200, 400] {
        killed(&cloud, &["setup"], Duration::from_millis(delay));
        cloud.ok(["destroy", "--yes"]);
        assert!(summary(&cloud, "concert-data-stream").is_none());
        assert!(policies(&cloud).is_empty());
        assert_eq!(run(&cloud, ["destroy", "--yes"]).code, 0);
    }
}

#[test]
fn a_role_that_another_function_uses_is_kept() {
    let cloud = with_scorer(&[]);
    let lambda = aws_sdk_lambda::Client::new(&cloud.sdk());
    let role = block_on(async {
        let ours = lambda
            .get_function()
            .function_name("scorer")
            .send()
            .await
            .unwrap();
        let role = ours.configuration.unwrap().role.unwrap();
        let code = aws_sdk_lambda::types::FunctionCode::builder()
            .zip_file(aws_sdk_lambda::primitives::Blob::new(compiled::zip("two")));
        let call = lambda.create_function().function_name("theirs").role(&role);
        call.runtime(aws_sdk_lambda::types::Runtime::Providedal2023)
            .handler("bootstrap")
            .code(code.build())
            .send()
            .await
            .unwrap();
        role
    });
    let name = role.rsplit('/').next().unwrap().to_owned();
    // Kept both times, and named.
    for _ in 0..2 {
        let said = cloud.fails(3, ["undeploy", "scorer", "--yes"]);
        let kept = format!("role {name} is used by function theirs: it is kept");
        assert!(said.contains(&kept), "{said}");
        assert!(said.contains("hint: delete what uses it"), "{said}");
    }
    let roles = iam(&cloud);
    block_on(roles.get_role().role_name(&name).send()).unwrap();
    block_on(lambda.delete_function().function_name("theirs").send()).unwrap();
    cloud.ok(["undeploy", "scorer", "--yes"]);
    assert!(block_on(roles.get_role().role_name(&name).send()).is_err());
}

#[test]
fn a_log_group_that_lambda_made_again_is_in_nobodys_way() {
    let cloud = with_scorer(&[]);
    cloud.ok(["undeploy", "scorer", "--yes"]);
    let logs = aws_sdk_cloudwatchlogs::Client::new(&cloud.sdk());
    let late = || {
        let call = logs.create_log_group().log_group_name("/aws/lambda/scorer");
        block_on(call.send()).unwrap();
    };
    late();
    // A setup takes it on,
    let mut deploy = cloud.streamctl(["deploy", "scorer", "--bootstrap"]);
    deploy.arg(compiled::executable()).assert().success();
    let groups = block_on(logs.describe_log_groups().send()).unwrap();
    assert!(groups.log_groups()[0].retention_in_days().is_some());
    cloud.ok(["undeploy", "scorer", "--yes"]);
    // and a destroy deletes it.
    late();
    cloud.ok(["undeploy", "scorer", "--yes"]);
    assert!(
        block_on(logs.describe_log_groups().send())
            .unwrap()
            .log_groups()
            .is_empty()
    );
}
