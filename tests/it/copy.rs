//! `streamctl copy`: from stream to stream, and on after a checkpoint.

use crate::support::Cloud;

#[test]
fn records_are_copied_with_their_keys_and_order() {
    let cloud = Cloud::start();
    cloud.stream("from", 4);
    cloud.stream("to", 1);
    cloud.ok([
        "generate", "retail", "--seed", "3", "-n", "2000", "--into", "from",
    ]);
    let answer = cloud.json(["copy", "from", "to"]);
    assert_eq!(
        (&answer["copied"], &answer["end"]),
        (&2000.into(), &"complete".into())
    );
    let (mut from, mut to) = (cloud.records("from"), cloud.records("to"));
    from.sort();
    to.sort();
    assert_eq!(from, to);

    let said = cloud.fails(2, ["copy", "from", "from"]);
    assert!(said.contains("copied to itself"), "{said}");
    let said = cloud.fails(1, ["copy", "from", "nowhere"]);
    assert!(said.contains("nowhere"), "{said}");
    cloud.fails(2, ["copy", "from", "to", "--from", "seq:0:1"]);
}

/// How many records a copy with a checkpoint has copied.
fn copied(cloud: &Cloud, args: &[&str]) -> u64 {
    let copy = ["copy", "from", "to", "--checkpoint", "c.json", "-o", "json"];
    let output = cloud.streamctl(copy).args(args).assert().success();
    let answer: serde_json::Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    answer["copied"].as_u64().unwrap()
}

#[test]
fn a_copy_goes_on_after_its_checkpoint() {
    let mut cloud = Cloud::start();
    cloud.stream("from", 2);
    cloud.stream("to", 2);
    let lines: String = (0..500).map(|n| format!("{n}\n")).collect();
    cloud.file("in.ndjson", lines);
    cloud.ok(["put", "from", "--file", "in.ndjson"]);
    assert_eq!(copied(&cloud, &["--limit", "123"]), 123);
    // Another port does not make it another stream.
    cloud.restart();
    assert_eq!(copied(&cloud, &[]), 377);
    assert_eq!(copied(&cloud, &[]), 0);
    cloud.ok(["put", "from", "--data", "500"]);
    assert_eq!(copied(&cloud, &[]), 1);
    let (mut from, mut to) = (cloud.records("from"), cloud.records("to"));
    from.sort();
    to.sort();
    assert_eq!(from, to);
    cloud.stream("other", 1);
    let said = cloud.fails(2, ["copy", "from", "other", "--checkpoint", "c.json"]);
    assert!(said.contains("is the checkpoint of a copy from"), "{said}");
}
