//! `plan`: its output, and its exit code in scripts.

use insta::assert_snapshot;

use crate::provision::{redacted, run, transcript};
use crate::support::Cloud;

#[test]
fn before_and_after_setup() {
    let cloud = Cloud::start();
    redacted(|| assert_snapshot!("plan_new", transcript(&cloud, ["plan"])));
    redacted(|| insta::assert_json_snapshot!("plan_new_json", cloud.json(["plan"])));
    assert_eq!(run(&cloud, ["plan", "--check"]).code, 5);
    cloud.ok(["setup"]);
    redacted(|| assert_snapshot!("plan_nothing", transcript(&cloud, ["plan", "--check"])));
    redacted(|| {
        assert_snapshot!(
            "plan_changes",
            transcript(
                &cloud,
                [
                    "plan",
                    "--check",
                    "--shard-count",
                    "4",
                    "--retention",
                    "7d",
                    "--no-encryption",
                    "--monitoring",
                    "IncomingBytes,OutgoingBytes",
                    "--tag",
                    "Cost Centre=Live Music"
                ]
            )
        );
    });
    redacted(|| {
        insta::assert_json_snapshot!(
            "plan_changes_json",
            cloud.json(["plan", "--shard-count", "4", "--tag", "Team=Blue"])
        );
    });
    redacted(|| {
        assert_snapshot!(
            "plan_changes_text",
            cloud.ok(["plan", "--shard-count", "4", "-o", "text"])
        )
    });
    // plan has changed nothing.
    assert_eq!(run(&cloud, ["plan", "--check"]).code, 0);
}

#[test]
fn a_refused_change_is_shown_and_is_an_error() {
    let cloud = Cloud::start();
    cloud.ok(["setup", "--on-demand"]);
    redacted(|| assert_snapshot!("plan_refused", transcript(&cloud, ["plan", "--shard-count", "2"])));
}

#[test]
fn iam_permissions_of_the_operator() {
    let cloud = Cloud::start();
    let policy: serde_json::Value = serde_json::from_str(&cloud.ok(["plan", "--iam"])).unwrap();
    insta::assert_json_snapshot!("plan_iam", policy);
    assert_eq!(cloud.json(["plan", "--iam"]), policy);
}
