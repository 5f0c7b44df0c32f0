//! Faults that need a past: the clock of the local cloud begins behind, and is advanced.

use super::*;

/// A local cloud whose clock is `behind`.
fn behind(behind: &str) -> Cloud {
    Cloud::start_with(["--clock-behind", behind])
}

/// Lets `time` pass.
fn advance(cloud: &Cloud, time: &str) {
    cloud.ok(["local", "clock", "--advance", time]);
}

/// Goes to the time of the machine.
fn to_now(cloud: &Cloud) {
    let clock = cloud.json(["local", "clock", "--now"]);
    assert_eq!(clock["offset_ms"], 0);
}

#[test]
fn a_reader_that_is_half_the_retention_behind_is_named_with_its_closed_shards() {
    let cloud = crate::functions::deployed_scorer(behind("13h"), &[]);
    cloud.ok(["create", "orders", "--shards", "1"]);
    attach(&cloud, &["--retries", "3", "--disabled"]);
    put(&cloud, "orders", [("k", "{}")]);
    cloud.ok(["reshard", "orders", "--to", "2"]);
    to_now(&cloud);
    cloud.ok(["attach", "scorer", "--stream", "orders", "--enabled"]);
    let report = eventually(
        &cloud,
        &["orders"],
        "iterator-age",
        "fault",
        "retention orders 7d",
    );
    let age = finding(&report, "iterator-age", "fault", "--parallelization 2");
    assert!(
        age["evidence"]
            .to_string()
            .contains("the stream keeps records for 1d"),
        "{age}"
    );
    let unread = finding(&report, "closed-shards-unread", "fault", "retention orders 7d");
    assert_eq!(
        unread["summary"],
        "may not read closed shard shardId-000000000000 before the records expire"
    );
}

#[test]
fn records_that_reach_no_function_are_named() {
    let cloud = crate::functions::deployed_scorer(behind("20m"), &[]);
    cloud.ok(["create", "orders", "--shards", "1"]);
    attach(
        &cloud,
        &["--retries", "3", "--filter", r#"{"data":{"kind":["sale"]}}"#],
    );
    // Records of the minute in which the mapping was changed do not count.
    advance(&cloud, "2m");
    put(&cloud, "orders", [("k", r#"{"kind":"refund"}"#)]);
    to_now(&cloud);
    let report = eventually(
        &cloud,
        &["orders"],
        "not-processing",
        "caution",
        "mappings scorer",
    );
    let idle = finding(&report, "not-processing", "caution", "policy --function scorer");
    assert!(
        idle["summary"].as_str().unwrap().contains("filters match none"),
        "{idle}"
    );
}

#[test]
fn records_that_reach_no_table_are_named() {
    let cloud = behind("20m");
    cloud.ok(["setup", "retail"]);
    put(&cloud, "retail-events-stream-dev", [("k", "not JSON at all")]);
    let words = ["--pipeline", "retail"];
    // The function has run once the record is in the queue.
    eventually(&cloud, &words, "dead-letters", "fault", "dlq list");
    to_now(&cloud);
    let (code, report) = examined(&cloud, &words);
    assert_eq!(code, 5);
    let unwritten = finding(&report, "records-not-in-table", "fault", "verify retail");
    assert!(
        unwritten["evidence"].to_string().contains("1 records"),
        "{unwritten}"
    );
}

#[test]
fn what_a_week_shows_as_unused_is_named_with_its_cost() {
    let cloud = behind("8d");
    for name in ["idle", "silent"] {
        cloud.ok(["create", name, "--shards", "4", "--retention", "7d"]);
    }
    cloud.ok(["create", "steady", "--on-demand"]);
    cloud.ok(["consumer", "register", "idle", "analytics"]);
    cloud.ok(["monitoring", "enable", "idle", "--metrics", "IncomingBytes"]);
    advance(&cloud, "6d");
    for name in ["idle", "steady"] {
        put(&cloud, name, [("k", "some data")]);
        cloud.records(name);
    }
    to_now(&cloud);

    let (_, report) = examined(&cloud, &["idle", "--posture"]);
    let idle = finding(&report, "idle-shards", "caution", "reshard idle --to 1");
    assert!(
        idle["evidence"].to_string().contains("saves $32.85 in a month"),
        "{idle}"
    );
    finding(
        &report,
        "consumer-unused",
        "caution",
        "consumer deregister idle analytics",
    );
    finding(
        &report,
        "shard-metrics-unwatched",
        "caution",
        "monitoring disable idle",
    );
    finding(&report, "retention-unused", "caution", "retention idle 24h");

    let (_, silent) = examined(&cloud, &["silent"]);
    finding(&silent, "stream-unused", "caution", "delete silent");
    let (_, steady) = examined(&cloud, &["steady"]);
    finding(
        &steady,
        "on-demand-steady",
        "caution",
        "mode steady provisioned --shards 1",
    );
}

#[test]
fn a_budget_and_a_quota_that_are_nearly_used_are_named() {
    let cloud = behind("25h");
    cloud.ok(["create", "orders", "--shards", "1"]);
    for count in ["2", "1", "2", "1"] {
        cloud.ok(["reshard", "orders", "--to", count]);
    }
    to_now(&cloud);
    for count in ["2", "1", "2", "1"] {
        cloud.ok(["reshard", "orders", "--to", count]);
    }
    let (code, report) = examined(&cloud, &["orders", "--strict"]);
    assert_eq!(
        (code, found(&report)),
        (0, Vec::new()),
        "yesterday's do not count"
    );
    for count in ["2", "1", "2", "1"] {
        cloud.ok(["reshard", "orders", "--to", count]);
    }
    let (_, report) = examined(&cloud, &["orders"]);
    let budget = finding(&report, "reshard-budget", "caution", "mode orders on-demand");
    assert!(
        budget["evidence"].to_string().contains("8 of 10 changes"),
        "{budget}"
    );

    let far = "--region=eu-north-1";
    cloud.ok(["create", "orders", "--shards", "900", far]);
    let (_, report) = examined(&cloud, &["orders", far]);
    let quota = finding(&report, "shard-quota", "caution", "");
    assert!(
        quota["evidence"].to_string().contains("900 of 1000 shards"),
        "{quota}"
    );
}
