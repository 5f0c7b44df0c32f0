//! `tail --fan-out`: SubscribeToShard, and the consumer that the tail registers and removes.

use super::resumed::reshard;
use super::{STREAM, put};
use crate::running::{Running, until};
use crate::support::Cloud;

/// The names of the registered consumers.
fn consumers(cloud: &Cloud) -> Vec<String> {
    let listed = cloud.json(["consumer", "list"]);
    let names = listed.as_array().unwrap().iter();
    names
        .map(|one| one["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_consumer_is_registered_and_removed() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 2);
    put(&cloud, "k", b"0");
    let mut tail = Running::start(&cloud, ["tail", "--from", "trim", "--fan-out", "-o", "text"]);
    assert_eq!(tail.line(), "0");
    let names = consumers(&cloud);
    assert!(
        names.len() == 1 && names[0].starts_with("streamctl-tail-"),
        "{names:?}"
    );
    for n in 1..50_u32 {
        if n == 20 {
            reshard(&cloud, 4);
        }
        put(&cloud, &n.to_string(), n.to_string().as_bytes());
        assert_eq!(tail.line(), n.to_string(), "across the reshard too");
    }
    tail.signal("INT");
    let ended = tail.end();
    assert_eq!((ended.code, ended.lines), (Some(130), Vec::<String>::new()));
    until("the consumer to be gone", || {
        consumers(&cloud).is_empty().then_some(())
    });
}

#[test]
fn a_named_consumer_stays_and_a_left_over_is_named() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    cloud.ok(["consumer", "register", STREAM, "analytics"]);
    put(&cloud, "k", b"one");
    let args = [
        "tail",
        "--from",
        "trim",
        "--fan-out=analytics",
        "-n",
        "1",
        "-o",
        "text",
    ];
    assert_eq!(cloud.ok(args), "one\n");
    assert_eq!(consumers(&cloud), ["analytics"]);
    let mut killed = Running::start(&cloud, ["tail", "--from", "trim", "--fan-out", "-o", "text"]);
    killed.line();
    killed.signal("KILL");
    killed.end();
    let left = consumers(&cloud)
        .into_iter()
        .find(|name| name != "analytics")
        .unwrap();
    let output = cloud
        .streamctl(["tail", "--from", "trim", "--fan-out", "-n", "1"])
        .assert()
        .success();
    let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(
        said.contains(&format!("streamctl consumer deregister {STREAM} {left}")),
        "{said}"
    );
}
