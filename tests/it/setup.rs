//! `setup`: the created resources, read with the AWS SDK, and repeated, interrupted and concurrent runs.

use std::time::Duration;

use aws_sdk_kinesis::types::{EncryptionType, MetricsName, StreamMode, StreamStatus};
use insta::assert_snapshot;
use serde_json::json;

use crate::provision::{
    document, foreign_stream, interrupted, killed, policies, redacted, run, settled, summary, tags,
    transcript,
};
use crate::support::{Cloud, block_on};

fn nothing_to_change<const N: usize>(cloud: &Cloud, args: [&str; N]) {
    let again = run(cloud, args);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(again.stderr.contains("Nothing to change"), "{}", again.stderr);
    let plan: Vec<&str> = std::iter::once("plan")
        .chain(args[1..].iter().copied())
        .filter(|arg| *arg != "--yes")
        .chain(["--check"])
        .collect();
    cloud.streamctl(plan).assert().code(0);
}

#[test]
fn the_default_settings() {
    let cloud = Cloud::start();
    cloud.ok(["setup"]);
    let stream = summary(&cloud, "concert-data-stream").unwrap();
    assert_eq!(stream.stream_status, StreamStatus::Active);
    assert_eq!(stream.open_shard_count, 1);
    assert_eq!(stream.retention_period_hours, 24);
    assert_eq!(stream.encryption_type, Some(EncryptionType::Kms));
    assert_eq!(stream.key_id.as_deref(), Some("alias/aws/kinesis"));
    let metrics = stream.enhanced_monitoring[0].shard_level_metrics();
    assert!(metrics.len() == 7 || metrics == [MetricsName::All], "{metrics:?}");
    let expected = [
        ("Environment", "development"),
        ("ManagedBy", "streamctl"),
        ("Project", "ConcertDataPlatform"),
        ("Purpose", "APIDataIngestion"),
        ("streamctl:pipeline", "stream/concert-data-stream"),
    ];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(tags(&cloud, "concert-data-stream"), expected.into());
    let [arn] = &policies(&cloud)[..] else {
        panic!("one policy")
    };
    assert!(arn.ends_with("/ConcertDataIngestionKinesisPolicy"), "{arn}");
    insta::assert_json_snapshot!("policy_document", document(&cloud, arn));
    nothing_to_change(&cloud, ["setup"]);
}

#[test]
fn every_flag_has_its_effect() {
    let cloud = Cloud::start();
    let args = [
        "setup",
        "--stream",
        "orders",
        "--shard-count",
        "3",
        "--retention",
        "2d",
        "--kms-key",
        "alias/aws/kinesis",
        "--monitoring",
        "IncomingBytes,OutgoingBytes",
        "--tag",
        "Cost Centre=Live Music",
        "--param",
        "project=Tour",
    ];
    let ran = run(&cloud, args);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let stream = summary(&cloud, "orders").unwrap();
    assert_eq!(stream.open_shard_count, 3);
    assert_eq!(stream.retention_period_hours, 48);
    assert_eq!(stream.key_id.as_deref(), Some("alias/aws/kinesis"));
    let mut metrics = stream.enhanced_monitoring[0].shard_level_metrics().to_vec();
    metrics.sort();
    assert_eq!(metrics, [MetricsName::IncomingBytes, MetricsName::OutgoingBytes]);
    let there = tags(&cloud, "orders");
    assert_eq!(there["Cost Centre"], "Live Music");
    assert_eq!(there["Project"], "Tour");
    assert_eq!(there.len(), 6, "{there:?}");
    assert!(policies(&cloud)[0].ends_with("/ConcertDataIngestionKinesisPolicy-orders"));
    nothing_to_change(&cloud, args);
    // A setting that is not given again does not change.
    nothing_to_change(&cloud, ["setup", "--stream", "orders"]);

    let args = [
        "setup",
        "--stream",
        "orders",
        "--no-encryption",
        "--monitoring",
        "none",
        "--untag",
        "Cost Centre",
        "--retention",
        "24h",
        "--yes",
    ];
    cloud.ok(args);
    let stream = summary(&cloud, "orders").unwrap();
    assert_eq!(stream.encryption_type, Some(EncryptionType::None));
    assert_eq!(stream.retention_period_hours, 24);
    assert!(stream.enhanced_monitoring[0].shard_level_metrics().is_empty());
    assert!(!tags(&cloud, "orders").contains_key("Cost Centre"));
    nothing_to_change(&cloud, args);
}

#[test]
fn the_output_of_a_run() {
    let cloud = Cloud::start();
    let first = run(&cloud, ["setup", "--shard-count", "2"]);
    // The policy and the test record are created at the same time, so their lines are in any order.
    let stderr: Vec<&str> = first
        .stderr
        .lines()
        .filter(|line| !line.starts_with("managed policy ") && !line.starts_with("test record "))
        .collect();
    let stderr = stderr.join("\n");
    redacted(|| assert_snapshot!("setup_table", first.stdout));
    redacted(|| assert_snapshot!("setup_stderr", stderr));
    redacted(|| assert_snapshot!("setup_again", transcript(&cloud, ["setup"])));
    for line in first.stdout.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    let updated = transcript(
        &cloud,
        ["setup", "--shard-count", "5", "--tag", "Team=Blue", "-o", "json"],
    );
    let updated: Vec<&str> = updated.lines().take_while(|line| *line != "--- stderr").collect();
    redacted(|| assert_snapshot!("setup_update_json", updated.join("\n")));
    redacted(|| {
        insta::assert_json_snapshot!(
            "setup_json",
            cloud.json(["setup", "--stream", "orders-of-the-year", "--on-demand"])
        );
    });
    redacted(|| {
        assert_snapshot!(
            "setup_long_name_again",
            cloud.ok(["setup", "--stream", "orders-of-the-year"])
        )
    });
}

#[test]
fn the_suggested_commands_name_the_stream() {
    let cloud = Cloud::start();
    let said = run(&cloud, ["setup", "--stream", "orders", "--region", "eu-west-1"]).stderr;
    // A long command goes on in the next line.
    let said = said.replace(" \\\n      ", " ");
    for command in ["put", "tail", "metrics", "destroy"] {
        let start = format!("streamctl {command} --stream orders");
        let line = said.lines().find(|line| line.contains(&start));
        let line = line.unwrap_or_else(|| panic!("{start} is not in {said}"));
        assert!(line.contains(" --region eu-west-1"), "{line}");
    }
}

#[test]
fn a_dry_run_changes_nothing() {
    let cloud = Cloud::start();
    redacted(|| assert_snapshot!("setup_dry_run", transcript(&cloud, ["setup", "--dry-run"])));
    assert_eq!(cloud.json(["list"]), json!([]));
    assert!(policies(&cloud).is_empty());
}

#[test]
fn defaults_from_environment_and_files() {
    let cloud = Cloud::start();
    cloud.file(
        "streamctl.toml",
        "stream = \"from-file\"\nshard_count = 2\nenvironment = \"staging\"\n",
    );
    cloud.ok(["setup"]);
    assert_eq!(summary(&cloud, "from-file").unwrap().open_shard_count, 2);
    assert_eq!(tags(&cloud, "from-file")["Environment"], "staging");

    cloud.file(
        ".env",
        "AWS_KINESIS_STREAM_NAME=from-dotenv\nAWS_KINESIS_SHARD_COUNT=3\nAPP_ENVIRONMENT=\"test lab\"\n",
    );
    cloud.ok(["setup"]);
    assert_eq!(summary(&cloud, "from-dotenv").unwrap().open_shard_count, 3);
    assert_eq!(tags(&cloud, "from-dotenv")["Environment"], "test lab");

    // An environment variable takes precedence over .env, and a flag over both.
    cloud
        .streamctl(["setup", "--shard-count", "1"])
        .env("AWS_KINESIS_STREAM_NAME", "from-env")
        .env("APP_ENVIRONMENT", "production")
        .assert()
        .success();
    assert_eq!(summary(&cloud, "from-env").unwrap().open_shard_count, 1);
    assert_eq!(tags(&cloud, "from-env")["Environment"], "production");

    // An invalid value is refused before anything is created.
    let refused = cloud
        .streamctl(["setup", "--stream", "never"])
        .env("AWS_KINESIS_SHARD_COUNT", "0")
        .assert()
        .code(2)
        .get_output()
        .clone();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("AWS_KINESIS_SHARD_COUNT"), "{said}");
    assert!(summary(&cloud, "never").is_none());
}

#[test]
fn a_run_after_a_kill_finishes() {
    let cloud = Cloud::start_with(["--status-delay", "150ms"]);
    for delay in [40, 120, 250, 400, 600, 900, 1200] {
        let name = format!("killed-{delay}");
        let args = ["setup", "--stream", &name, "--retention", "48h"];
        killed(&cloud, &args, Duration::from_millis(delay));
        // A run puts the test record into a stream that it has finished, and no later run does.
        let finished =
            summary(&cloud, &name).is_some() && !tags(&cloud, &name).contains_key("streamctl:unfinished");
        cloud.ok(args);
        let stream = summary(&cloud, &name).unwrap();
        assert_eq!(stream.retention_period_hours, 48, "{name}");
        assert_eq!(stream.encryption_type, Some(EncryptionType::Kms), "{name}");
        assert!(
            !stream.enhanced_monitoring[0].shard_level_metrics().is_empty(),
            "{name}"
        );
        assert!(
            !tags(&cloud, &name).contains_key("streamctl:unfinished"),
            "{name}"
        );
        let records = cloud.ok([
            "tail",
            "--stream",
            &name,
            "--from",
            "trim",
            "--no-follow",
            "-o",
            "text",
        ]);
        match records.lines().count() {
            1 => {}
            count => assert!(count == 0 && finished, "{name}: {count} test records"),
        }
        nothing_to_change(&cloud, args);
    }
}

#[test]
fn a_run_after_a_kill_during_a_reshard_finishes() {
    let cloud = Cloud::start_with(["--status-delay", "150ms"]);
    cloud.ok(["setup"]);
    for (delay, shards) in [(100, "5"), (300, "2"), (500, "7")] {
        let args = ["setup", "--shard-count", shards];
        killed(&cloud, &args, Duration::from_millis(delay));
        cloud.ok(args);
        let open = summary(&cloud, "concert-data-stream").unwrap().open_shard_count;
        assert_eq!(open.to_string(), shards);
        nothing_to_change(&cloud, args);
    }
}

#[test]
fn ctrl_c_reports_what_was_done_and_the_next_run_finishes() {
    let cloud = Cloud::start_with(["--status-delay", "1s"]);
    let args = ["setup", "--retention", "48h"];
    let stopped = interrupted(&cloud, &args, "creating the stream");
    assert_eq!(stopped.code, 130, "{}{}", stopped.stdout, stopped.stderr);
    redacted(|| {
        assert_snapshot!(
            "setup_interrupted",
            format!("{}--- stderr\n{}", stopped.stdout, stopped.stderr)
        );
    });
    redacted(|| {
        assert_snapshot!(
            "plan_of_what_is_left",
            transcript(&cloud, ["plan", "--retention", "48h"])
        )
    });
    cloud.ok(args);
    nothing_to_change(&cloud, args);
    assert_eq!(
        summary(&cloud, "concert-data-stream").unwrap().encryption_type,
        Some(EncryptionType::Kms)
    );
}

#[test]
fn ctrl_c_during_a_reshard_reports_what_is_left() {
    let cloud = Cloud::start_with(["--status-delay", "1s"]);
    cloud.ok(["setup"]);
    let args = ["setup", "--shard-count", "8", "--tag", "Team=Blue"];
    let stopped = interrupted(&cloud, &args, "step 1 of 3");
    assert_eq!(stopped.code, 130, "{}{}", stopped.stdout, stopped.stderr);
    redacted(|| assert_snapshot!("setup_reshard_interrupted", stopped.stdout));
    cloud.ok(args);
    nothing_to_change(&cloud, args);
}

#[test]
fn two_concurrent_runs_succeed() {
    let cloud = Cloud::start_with(["--status-delay", "100ms"]);
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..2).map(|_| scope.spawn(|| run(&cloud, ["setup"]))).collect();
        for run in runs {
            let run = run.join().unwrap();
            assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
        }
    });
    nothing_to_change(&cloud, ["setup"]);
}

#[test]
fn a_stream_without_our_tags_is_not_changed_until_adopted() {
    let cloud = Cloud::start();
    foreign_stream(&cloud, "theirs");
    redacted(|| {
        assert_snapshot!(
            "setup_foreign",
            transcript(&cloud, ["setup", "--stream", "theirs"])
        )
    });
    assert!(tags(&cloud, "theirs").is_empty());
    assert!(policies(&cloud).is_empty());

    cloud.ok(["setup", "--stream", "theirs", "--adopt"]);
    assert_eq!(tags(&cloud, "theirs")["ManagedBy"], "streamctl");
    assert_eq!(policies(&cloud).len(), 1);
    // It now belongs to the pipeline.
    nothing_to_change(&cloud, ["setup", "--stream", "theirs"]);
    cloud.ok(["destroy", "--stream", "theirs", "--yes"]);
    assert!(summary(&cloud, "theirs").is_none());
}

#[test]
fn shard_counts_are_reached_in_steps_or_refused_before_any_call() {
    let cloud = Cloud::start();
    cloud.ok(["setup"]);
    let up = run(&cloud, ["setup", "--shard-count", "5"]).stderr;
    let down = run(&cloud, ["setup", "--shard-count", "2"]).stderr;
    for step in [
        "1 → 2 (step 1 of 3)",
        "2 → 4 (step 2 of 3)",
        "4 → 5 (step 3 of 3)",
    ] {
        assert!(up.contains(step), "{step} is not in {up}");
    }
    for step in ["5 → 3 (step 1 of 2)", "3 → 2 (step 2 of 2)"] {
        assert!(down.contains(step), "{step} is not in {down}");
    }
    let before = cloud.json(["describe", "--shards"]);
    redacted(|| {
        assert_snapshot!(
            "setup_too_many_steps",
            transcript(&cloud, ["setup", "--shard-count", "9000"])
        )
    });
    assert_eq!(cloud.json(["describe", "--shards"]), before);
}

#[test]
fn a_shorter_retention_needs_confirmation() {
    let cloud = Cloud::start();
    cloud.ok(["setup", "--retention", "7d"]);
    redacted(|| {
        assert_snapshot!(
            "setup_shorter_retention",
            transcript(&cloud, ["setup", "--retention", "24h"])
        )
    });
    assert_eq!(
        summary(&cloud, "concert-data-stream")
            .unwrap()
            .retention_period_hours,
        168
    );
    cloud.ok(["setup", "--retention", "24h", "--yes"]);
    assert_eq!(
        summary(&cloud, "concert-data-stream")
            .unwrap()
            .retention_period_hours,
        24
    );
}

#[test]
fn the_capacity_mode_changes_only_on_request() {
    let cloud = Cloud::start();
    let mode = || {
        let stream = summary(&cloud, "concert-data-stream").unwrap();
        stream.stream_mode_details.unwrap().stream_mode
    };
    cloud.ok(["setup", "--on-demand"]);
    assert_eq!(mode(), StreamMode::OnDemand);
    nothing_to_change(&cloud, ["setup", "--on-demand"]);
    nothing_to_change(&cloud, ["setup"]);
    redacted(|| {
        assert_snapshot!(
            "setup_shards_on_demand",
            transcript(&cloud, ["setup", "--shard-count", "2"])
        )
    });
    let args = ["setup", "--provisioned", "--shard-count", "2"];
    cloud.ok(args);
    assert_eq!(mode(), StreamMode::Provisioned);
    assert_eq!(
        summary(&cloud, "concert-data-stream").unwrap().open_shard_count,
        2
    );
    nothing_to_change(&cloud, args);
    let both = cloud.fails(2, ["setup", "--on-demand", "--provisioned"]);
    assert!(both.contains("cannot be used with"), "{both}");
}

#[test]
fn a_policy_changed_elsewhere_is_restored() {
    let cloud = Cloud::start();
    cloud.ok(["setup"]);
    let arn = policies(&cloud).remove(0);
    let before = document(&cloud, &arn);
    let iam = crate::provision::iam(&cloud);
    // More changes than a policy can have versions.
    for round in 0..7 {
        let text = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "s3:*", "Resource": format!("*{round}")}
        ]});
        block_on(async {
            let call = iam.list_policy_versions().policy_arn(&arn);
            let versions = call.send().await.unwrap().versions.unwrap();
            // If there are five versions, delete one for this change. setup then has no free version.
            if let Some(old) = versions
                .iter()
                .find(|v| versions.len() == 5 && !v.is_default_version)
            {
                let call = iam.delete_policy_version().policy_arn(&arn);
                let id = old.version_id.clone().unwrap();
                call.version_id(id).send().await.unwrap();
            }
            let call = iam.create_policy_version().policy_arn(&arn).set_as_default(true);
            call.policy_document(text.to_string()).send().await.unwrap();
        });
        cloud.ok(["setup"]);
        assert_eq!(document(&cloud, &arn), before);
    }
}

#[test]
fn a_policy_without_our_tags_is_not_changed_until_adopted() {
    let cloud = Cloud::start();
    let iam = crate::provision::iam(&cloud);
    let text = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    ]});
    let call = iam
        .create_policy()
        .policy_name("ConcertDataIngestionKinesisPolicy");
    block_on(call.policy_document(text.to_string()).send()).unwrap();
    redacted(|| assert_snapshot!("setup_foreign_policy", transcript(&cloud, ["setup"])));
    // No resource was created, not even one without a conflict.
    assert_eq!(cloud.json(["list"]), json!([]));
    cloud.ok(["setup", "--adopt"]);
    nothing_to_change(&cloud, ["setup"]);
    let arn = policies(&cloud).remove(0);
    assert_eq!(document(&cloud, &arn)["Statement"][0]["Sid"], "StreamAccess");
    cloud.ok(["destroy", "--yes"]);
    assert!(policies(&cloud).is_empty());
}

#[test]
fn an_unusable_key_is_reported_and_can_be_replaced() {
    let cloud = Cloud::start();
    redacted(|| {
        assert_snapshot!(
            "setup_bad_key",
            transcript(&cloud, ["setup", "--kms-key", "alias/nobodys"])
        );
    });
    cloud.ok(["setup"]);
    assert_eq!(
        summary(&cloud, "concert-data-stream").unwrap().key_id.as_deref(),
        Some("alias/aws/kinesis")
    );
    nothing_to_change(&cloud, ["setup"]);
}

#[test]
fn regions_are_independent() {
    let cloud = Cloud::start();
    cloud.ok(["setup", "--region", "eu-west-1"]);
    assert_eq!(cloud.json(["list"]), json!([]));
    assert_eq!(
        cloud.json(["list", "--region", "eu-west-1"])[0]["name"],
        "concert-data-stream"
    );
    cloud.ok(["setup"]);
    // IAM has no regions, so each region has its own policy.
    let mut names: Vec<String> = policies(&cloud);
    names.sort();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names[1].ends_with("-eu-west-1"), "{names:?}");
    cloud.ok(["destroy", "--yes"]);
    assert_eq!(policies(&cloud).len(), 1);
    nothing_to_change(&cloud, ["setup", "--region", "eu-west-1"]);
    cloud.ok(["destroy", "--yes", "--region", "eu-west-1"]);
    assert!(policies(&cloud).is_empty());
}

#[test]
fn a_deleting_stream_is_created_again_after_it_is_gone() {
    let cloud = Cloud::start_with(["--status-delay", "300ms"]);
    cloud.ok(["setup"]);
    let call = cloud.kinesis().delete_stream().stream_name("concert-data-stream");
    block_on(call.send()).unwrap();
    cloud.ok(["setup"]);
    settled(&cloud, "concert-data-stream");
    nothing_to_change(&cloud, ["setup"]);
}
