//! `tail --group` and `group`: members share the shards, and positions are shown and reset.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::resumed::{assert_nothing_missing, kills, reshard, write_until};
use super::{STREAM, put};
use crate::running::{Running, until};
use crate::support::Cloud;

const ARGS: [&str; 9] = [
    "tail",
    "--from",
    "trim",
    "--group",
    "billing",
    "--lease-time",
    "1s",
    "-o",
    "text",
];

#[test]
fn three_members_that_are_killed_again_and_again_miss_nothing() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 6);
    let stop = Arc::new(AtomicBool::new(false));
    let writer = write_until(&cloud, Arc::clone(&stop));
    let mut members: Vec<Running> = (0..3).map(|_| Running::start(&cloud, ARGS)).collect();
    let mut lines = Vec::new();
    let mut written = Vec::new();
    for kill in 0..kills() {
        match kill {
            1 => reshard(&cloud, 8),
            3 => reshard(&cloud, 4),
            _ => std::thread::sleep(Duration::from_millis(150 + 37 * (kill as u64 % 7))),
        }
        let old = std::mem::replace(&mut members[kill % 3], Running::start(&cloud, ARGS));
        old.signal("KILL");
        written.push(old.end().lines);
    }
    stop.store(true, Ordering::SeqCst);
    let count = writer.join().unwrap();
    // Every shard is at its tip once nothing is behind.
    until("the end of the stream", || {
        let shown = cloud.json(["group", "show", "billing", "--stream", STREAM]);
        let open: Vec<_> = shown
            .as_array()
            .unwrap()
            .iter()
            .filter(|one| one["checkpoint"] != "SHARD_END")
            .collect();
        let done = open
            .iter()
            .all(|one| one["behind_ms"] == 0 && one["owner"].is_string());
        (!open.is_empty() && done).then_some(())
    });
    for member in &members {
        member.signal("INT");
    }
    written.extend(members.into_iter().map(|member| member.end().lines));
    written.into_iter().for_each(|one| lines.extend(one));
    // Members write at the same time, so only the set is compared with what was put, not the order between files.
    lines.sort_by_key(|line| {
        let (key, number) = line.trim_end_matches('.').split_once(' ').unwrap_or((line, "0"));
        (key.to_owned(), number.parse::<u32>().unwrap_or(0))
    });
    let repeated = assert_nothing_missing(&lines, count);
    assert!(repeated <= kills() * 1000, "{repeated}");
}

#[test]
fn a_group_resumes_is_shown_and_is_reset() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 2);
    for n in 0..8 {
        put(&cloud, &n.to_string(), n.to_string().as_bytes());
    }
    let said = cloud.fails(1, ["group", "show", "billing"]);
    assert!(said.contains("there is no group billing"), "{said}");
    assert_eq!(cloud.json(["group", "list"]), serde_json::json!([]));
    let drain = || -> usize {
        let output = cloud.streamctl(ARGS).arg("--no-follow").assert().success();
        String::from_utf8_lossy(&output.get_output().stdout)
            .lines()
            .count()
    };
    assert_eq!(drain(), 8);
    assert_eq!(drain(), 0);
    put(&cloud, "k", b"more");
    assert_eq!(drain(), 1);
    let groups = cloud.json(["group", "list"]);
    assert_eq!(
        groups,
        serde_json::json!([{"name": "billing", "shards": 2, "ended": 0, "members": []}])
    );
    let shown = cloud.json(["group", "show", "billing", "--stream", STREAM]);
    for one in shown.as_array().unwrap() {
        assert_eq!(
            (&one["behind_ms"], &one["owner"]),
            (&0.into(), &serde_json::Value::Null)
        );
        assert!(one["checkpoint"].as_str().unwrap().starts_with("49"));
    }
    let said = cloud.fails(2, ["group", "reset", "billing", "--to", "trim"]);
    assert!(said.contains("--yes"), "{said}");
    let reset = cloud.json(["group", "reset", "billing", "--to", "trim", "--yes"]);
    assert_eq!((&reset["stream"], &reset["shards"]), (&STREAM.into(), &2.into()));
    let shown = cloud.json(["group", "show", "billing"]);
    assert!(
        shown
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["checkpoint"] == "TRIM_HORIZON")
    );
    assert_eq!(drain(), 9);
    cloud.ok(["group", "reset", "billing", "--to", "latest", "--yes"]);
    assert_eq!(drain(), 0);
    let said = cloud.fails(2, ["group", "reset", "no", "--to", "trim", "--yes"]);
    assert!(said.contains("is not the name of a group"), "{said}");
}

#[test]
fn a_group_with_a_living_member_is_not_reset() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    put(&cloud, "k", b"one");
    let mut member = Running::start(&cloud, ARGS);
    assert_eq!(member.line(), "one");
    let said = cloud.fails(1, ["group", "reset", "billing", "--to", "trim", "--yes"]);
    assert!(said.contains("reads for the group"), "{said}");
    member.signal("INT");
    assert_eq!(member.end().code, Some(130));
}
