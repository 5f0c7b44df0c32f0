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

#[test]
fn a_subscription_is_renewed_after_five_minutes_without_a_gap_or_a_repeat() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 2);
    put(&cloud, "first", b"first");
    let mut tail = Running::start(&cloud, ["tail", "--from", "trim", "--fan-out", "-o", "text"]);
    assert_eq!(tail.line(), "first");
    for round in 0..4 {
        // The subscriptions are older than five minutes, and end before the next event.
        cloud.ok(["local", "clock", "--advance", "301s"]);
        let written: Vec<String> = (0..20).map(|n| format!("{round}-{n}")).collect();
        for text in &written {
            put(&cloud, text, text.as_bytes());
        }
        let mut read: Vec<String> = written.iter().map(|_| tail.line()).collect();
        let mut expected = written;
        read.sort();
        expected.sort();
        assert_eq!(read, expected);
    }
    tail.signal("INT");
    let ended = tail.end();
    assert_eq!((ended.code, ended.lines), (Some(130), Vec::<String>::new()));
    assert!(!ended.stderr.contains("trying again"), "{}", ended.stderr);
}

#[test]
fn two_readers_with_one_consumer_take_turns_and_lose_nothing() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    cloud.ok(["consumer", "register", STREAM, "analytics"]);
    put(&cloud, "k", b"one");
    let args = ["tail", "--from", "trim", "--fan-out=analytics", "-o", "text"];
    let mut readers = [Running::start(&cloud, args), Running::start(&cloud, args)];
    let both = |readers: &mut [Running; 2], text: &str| {
        for reader in readers {
            assert_eq!(reader.line(), text);
        }
    };
    // For five seconds the second one is refused. Then it takes the subscription over, and the first one is refused.
    both(&mut readers, "one");
    put(&cloud, "k", b"two");
    both(&mut readers, "two");
    assert!(
        readers
            .iter()
            .any(|reader| reader.said().contains("the consumer has another subscription")),
        "{}{}",
        readers[0].said(),
        readers[1].said()
    );
    for reader in readers {
        reader.signal("INT");
        let ended = reader.end();
        assert_eq!((ended.code, ended.lines), (Some(130), Vec::<String>::new()));
    }
    assert_eq!(consumers(&cloud), ["analytics"]);
}

#[test]
fn its_own_consumer_is_removed_at_every_end() {
    let cloud = Cloud::start_with(["--status-delay", "2s"]);
    cloud.stream(STREAM, 1);
    put(&cloud, "k", b"one");
    let gone = || {
        until("the consumer to be gone", || {
            consumers(&cloud).is_empty().then_some(())
        });
    };
    cloud.ok(["tail", "--from", "trim", "--fan-out", "-n", "1"]);
    gone();
    cloud.ok(["tail", "--from", "trim", "--fan-out=mine", "--no-follow"]);
    gone();
    // An error: this is no number of the shard.
    cloud.fails(1, ["tail", "--from", "seq:0:123", "--fan-out"]);
    gone();
    // Ctrl-C while the consumer is not ACTIVE yet.
    let tail = Running::start(&cloud, ["tail", "--from", "trim", "--fan-out"]);
    until("the consumer", || (!consumers(&cloud).is_empty()).then_some(()));
    tail.signal("INT");
    assert_eq!(tail.end().code, Some(130));
    gone();
}
