//! `reshard` against the engine of the local cloud: legal steps, interrupted runs, measured traffic, running readers.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ScalingType};
use domain::stream::reshard::plan;

use crate::kill_points::{complete, run as killed_at};
use crate::provision::{redacted, transcript};
use crate::proxy::Fate;
use crate::running::Running;
use crate::schemas;
use crate::support::{Cloud, block_on, is_active};

/// The first hash key of each open shard, in order.
fn boundaries(cloud: &Cloud, stream: &str) -> Vec<u128> {
    let shards = cloud.json(["describe", stream, "--shards"])["shards"].clone();
    let open = shards
        .as_array()
        .unwrap()
        .iter()
        .filter(|shard| shard["open"] == true);
    let first = |shard: &serde_json::Value| shard["first_hash_key"].as_str().unwrap().parse().unwrap();
    let mut all: Vec<u128> = open.map(first).collect();
    all.sort_unstable();
    all
}

async fn active(client: &Client, stream: &str) {
    while !is_active(client, stream).await {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

/// Puts `count` records of each key.
async fn put(client: &Client, stream: &str, keys: &[(&str, usize)]) {
    let records = keys
        .iter()
        .flat_map(|(key, count)| std::iter::repeat_n(*key, *count));
    let entries: Vec<PutRecordsRequestEntry> = records
        .map(|key| {
            let entry = PutRecordsRequestEntry::builder().partition_key(key);
            entry.data(Blob::new("x")).build().unwrap()
        })
        .collect();
    for chunk in entries.chunks(500) {
        let put = client
            .put_records()
            .stream_name(stream)
            .set_records(Some(chunk.to_vec()));
        assert_eq!(put.send().await.unwrap().failed_record_count(), Some(0));
    }
}

#[test]
fn the_engine_takes_the_steps_of_the_planner_and_refuses_others() {
    let cloud = Cloud::start();
    block_on(async {
        let client = cloud.kinesis();
        for from in [1u32, 2, 3, 5, 8] {
            for to in (1..=from * 2 + 2).filter(|to| *to != from) {
                let name = format!("s-{from}-{to}");
                let shards = i32::try_from(from).unwrap();
                client
                    .create_stream()
                    .stream_name(&name)
                    .shard_count(shards)
                    .send()
                    .await
                    .unwrap();
                active(&client, &name).await;
                let direct = client.update_shard_count().stream_name(&name);
                let direct = direct.target_shard_count(i32::try_from(to).unwrap());
                let direct = direct.scaling_type(ScalingType::UniformScaling).send().await;
                let steps = plan(from, to);
                assert_eq!(direct.is_ok(), steps.len() == 1, "{from} → {to}: {direct:?}");
                active(&client, &name).await;
                client.delete_stream().stream_name(&name).send().await.unwrap();
            }
        }
        client
            .create_stream()
            .stream_name("s")
            .shard_count(1)
            .send()
            .await
            .unwrap();
        active(&client, "s").await;
        let split = |at: String| {
            let split = client
                .split_shard()
                .stream_name("s")
                .shard_to_split("shardId-000000000000");
            split.new_starting_hash_key(at).send()
        };
        // What `reshard --split` refuses before the call, the engine refuses too.
        for at in [0, 1, u128::MAX] {
            cloud.fails(2, ["reshard", "s", "--split", &format!("0@{at}")]);
            split(at.to_string()).await.unwrap_err();
        }
    });
    for at in [2, u128::MAX - 1] {
        let cloud = Cloud::start();
        cloud.stream("s", 1);
        cloud.ok(["reshard", "s", "--split", &format!("0@{at}")]);
        assert_eq!(boundaries(&cloud, "s"), [0, at]);
    }
}

#[test]
fn a_reshard_that_was_killed_at_any_step_ends_at_the_same_shards() {
    let half = (u128::MAX / 2 + 1).to_string();
    let (at, quarter) = (format!("0@{half}"), format!("0@{}", u128::MAX / 4));
    let cloud = Cloud::start_with(["--status-delay", "60ms"]);
    // What makes the stream uneven before, the command, and the one that continues it.
    let cases: &[(i32, &[&str], &[&str])] = &[
        (1, &[], &["--to", "7"]),
        (7, &[], &["--to", "2"]),
        (2, &[], &["--split", "0@1000"]),
        (1, &[], &["--split", &at]),
        (2, &[], &["--merge", "0", "1"]),
        (2, &["--split", &quarter], &["--balance", "--to", "3"]),
        (3, &[], &["--balance", "--to", "2"]),
    ];
    for (number, (shards, before, how)) in cases.iter().enumerate() {
        let made = |name: &str| -> Vec<String> {
            cloud.stream(name, *shards);
            let args = |how: &[&str]| -> Vec<String> {
                let all = [&["reshard", name], how].concat();
                all.into_iter().map(str::to_owned).collect()
            };
            if !before.is_empty() {
                cloud.streamctl(args(before)).assert().success();
            }
            args(how)
        };
        let whole = format!("whole-{number}");
        let args = made(&whole);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let changes = killed_at(&cloud, &args, 0, Fate::Pass);
        let wanted = boundaries(&cloud, &whole);
        assert!(changes > 0, "{how:?}");
        for at in 1..=changes {
            for fate in [Fate::CutBefore, Fate::CutAfter] {
                let name = format!("killed-{number}-{at}-{}", fate == Fate::CutBefore);
                let args = made(&name);
                let args: Vec<&str> = args.iter().map(String::as_str).collect();
                killed_at(&cloud, &args, at, fate);
                complete(&cloud, &args, &format!("{how:?} killed at change {at}, {fate:?}"));
                assert_eq!(
                    boundaries(&cloud, &name),
                    wanted,
                    "{how:?} killed at change {at}, {fate:?}"
                );
                // A third run finds nothing to do.
                let last = cloud.streamctl(&args).args(["-o", "json"]).output().unwrap();
                let report: serde_json::Value = serde_json::from_slice(&last.stdout).unwrap();
                assert_eq!(report["changed"], false, "{how:?}");
            }
        }
    }
}

/// The records of each key are numbered; `lines` are "key number".
fn assert_whole(lines: &[String], keys: usize, count: usize) {
    let mut next: HashMap<&str, usize> = HashMap::new();
    for line in lines {
        let (key, number) = line.split_once(' ').unwrap();
        let expected = next.entry(key).or_default();
        assert_eq!(number.parse(), Ok(*expected), "of key {key}");
        *expected += 1;
    }
    assert_eq!(next.len(), keys);
    assert!(next.values().all(|&found| found == count), "{next:?}");
}

#[test]
fn nothing_is_lost_or_reordered_while_4_shards_become_8_and_3() {
    const KEYS: usize = 12;
    let cloud = Cloud::start_with(["--status-delay", "100ms"]);
    cloud.stream("orders", 4);
    let mut tail = Running::start(&cloud, ["tail", "orders", "-o", "text"]);
    tail.says("Waiting for new records");
    let stop = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (client, stop) = (cloud.kinesis(), Arc::clone(&stop));
        move || {
            block_on(async {
                let mut round = 0;
                while !stop.load(Ordering::SeqCst) {
                    let entries = (0..KEYS).map(|key| {
                        let entry = PutRecordsRequestEntry::builder().partition_key(format!("key-{key}"));
                        entry.data(Blob::new(format!("{key} {round}"))).build().unwrap()
                    });
                    let put = client.put_records().stream_name("orders");
                    let put = put.set_records(Some(entries.collect())).send().await.unwrap();
                    assert_eq!(put.failed_record_count(), Some(0));
                    round += 1;
                    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                }
                round
            })
        }
    });
    cloud.ok(["reshard", "orders", "--to", "8"]);
    cloud.ok(["reshard", "orders", "--to", "3"]);
    let first = format!(
        "{}@5000",
        cloud.json(["describe", "orders", "--shards"])["shards"]
            .as_array()
            .unwrap()
            .iter()
            .find(|shard| shard["open"] == true && shard["first_hash_key"] == "0")
            .unwrap()["id"]
            .as_str()
            .unwrap()
    );
    cloud.ok(["reshard", "orders", "--split", &first]);
    cloud.ok(["reshard", "orders", "--balance", "--to", "3"]);
    assert_eq!(boundaries(&cloud, "orders").len(), 3);
    stop.store(true, Ordering::SeqCst);
    let rounds = writer.join().unwrap();
    let lines: Vec<String> = (0..KEYS * rounds).map(|_| tail.line()).collect();
    assert_whole(&lines, KEYS, rounds);
    tail.signal("INT");
    assert_eq!(tail.end().lines, Vec::<String>::new(), "nothing comes twice");
    let again = cloud.ok(["tail", "orders", "--from", "trim", "--no-follow", "-o", "text"]);
    assert_whole(
        &again.lines().map(str::to_owned).collect::<Vec<_>>(),
        KEYS,
        rounds,
    );
}

#[test]
fn a_split_by_traffic_divides_what_was_measured_or_says_that_a_key_is_too_hot() {
    let cloud = Cloud::start();
    cloud.stream("orders", 1);
    block_on(put(
        &cloud.kinesis(),
        "orders",
        &[("a", 60), ("b", 60), ("c", 60), ("d", 60)],
    ));
    let plan = cloud.json(["reshard", "orders", "--split", "0@by-traffic", "--dry-run"]);
    let division = &plan["division"];
    assert_eq!(
        (&division["lower"], &division["upper"]),
        (&0.5.into(), &0.5.into()),
        "{division}"
    );
    assert_eq!(plan["changed"], false);
    cloud.ok(["reshard", "orders", "--split", "0@by-traffic"]);
    let at: u128 = division["hash_key"].as_str().unwrap().parse().unwrap();
    assert_eq!(boundaries(&cloud, "orders"), [0, at]);
    let again = cloud.json(["reshard", "orders", "--split", "0@by-traffic"]);
    assert_eq!(again["changed"], false);

    cloud.stream("hot", 2);
    block_on(put(&cloud.kinesis(), "hot", &[("a", 190), ("ab", 5), ("ac", 5)]));
    let shards = [0, 1].map(|shard| {
        transcript(
            &cloud,
            ["reshard", "hot", "--split", &format!("{shard}@by-traffic")],
        )
    });
    let hot = shards
        .iter()
        .find(|text| text.contains("no split can divide"))
        .unwrap();
    redacted(|| insta::assert_snapshot!("reshard_hot_key", hot));
    block_on(put(&cloud.kinesis(), "hot", &[("ad", 200)]));
    let hottest = cloud.json(["reshard", "hot", "--split", "hottest", "--dry-run"]);
    assert_eq!(hottest["traffic"]["source"], "sample");
    let shards = hottest["traffic"]["shards"].as_array().unwrap();
    let used = |shard: &serde_json::Value| shard["utilisation"].as_f64().unwrap();
    let most = shards.iter().max_by(|a, b| used(a).total_cmp(&used(b))).unwrap();
    assert_eq!(most["shard"], hottest["division"]["shard"], "{hottest}");
}

#[test]
fn shards_are_balanced_by_ranges_and_by_traffic() {
    let cloud = Cloud::start();
    cloud.stream("orders", 2);
    cloud.ok(["reshard", "orders", "--split", "0@1000"]);
    let show = |name: &str, args: &[&str]| {
        let output = cloud.streamctl(args).output().unwrap();
        let text = format!(
            "$ streamctl {}\n{}--- stderr\n{}",
            args.join(" "),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        redacted(|| insta::assert_snapshot!(name, text));
    };
    show(
        "reshard_balance_plan",
        &["reshard", "orders", "--balance", "--dry-run"],
    );
    cloud.ok(["reshard", "orders", "--balance"]);
    let third = u128::MAX / 3;
    assert_eq!(boundaries(&cloud, "orders"), [0, third, third * 2]);
    show("reshard_balance_same", &["reshard", "orders", "--balance"]);

    cloud.stream("skewed", 2);
    let keys: Vec<String> = (0..400).map(|n| format!("key-{n}")).collect();
    let upper: Vec<(&str, usize)> = keys.iter().map(|key| (key.as_str(), 1)).collect();
    block_on(put(&cloud.kinesis(), "skewed", &upper));
    // Keys are spread evenly, so nothing is better.
    let even = cloud.json(["reshard", "skewed", "--balance=traffic", "--dry-run"]);
    assert_eq!(even["steps"], serde_json::json!([]));
    cloud.ok([
        "reshard",
        "skewed",
        "--split",
        "1@340282366920938463463374607431768200000",
    ]);
    cloud.ok(["reshard", "skewed", "--merge", "0", "2"]);
    block_on(put(&cloud.kinesis(), "skewed", &upper));
    let plan = cloud.json(["reshard", "skewed", "--balance=traffic"]);
    assert_eq!(plan["steps"].as_array().unwrap().len(), 2, "{plan}");
    let found = boundaries(&cloud, "skewed");
    assert!(
        found.len() == 2 && found[1].abs_diff(u128::MAX / 2) < u128::MAX / 8,
        "{found:?}"
    );
}

#[test]
fn auto_keeps_to_its_range_and_says_why_it_does_nothing() {
    let cloud = Cloud::start();
    cloud.stream("orders", 2);
    let decided = |args: &[&str]| -> serde_json::Value {
        let all = [&["reshard", "orders", "--auto", "-o", "json"], args].concat();
        let output = cloud.streamctl(&all).assert().success().get_output().clone();
        schemas::check(&all, &output.stdout);
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let nothing = decided(&[]);
    assert_eq!(nothing["decision"]["direction"], "none");
    assert_eq!(nothing["decision"]["reason"]["code"], "no-figures");
    let up = decided(&["--min", "3", "--max", "6"]);
    assert_eq!(
        (&up["decision"]["direction"], &up["changed"]),
        (&"up".into(), &true.into())
    );
    assert_eq!(boundaries(&cloud, "orders").len(), 3);
    // The reshard is in the lineage of the shards.
    let cooling = decided(&["--min", "5"]);
    assert_eq!(cooling["decision"]["reason"]["code"], "cool-off", "{cooling}");
    cloud.fails(2, ["reshard", "orders", "--auto", "--min", "0"]);
    cloud.fails(2, ["reshard", "orders", "--auto", "--watch"]);
    cloud.fails(2, ["reshard", "orders", "--auto", "--to", "3"]);
    cloud.fails(2, ["reshard", "orders", "--to", "3", "--max", "3"]);
    cloud.fails(2, ["reshard", "orders", "--auto", "--target-utilization", "0%"]);

    let mut watch = Running::start(
        &cloud,
        [
            "reshard",
            "orders",
            "--auto",
            "--watch",
            "--max",
            "9",
            "--min",
            "4",
            "--cool-off",
            "0s",
            "--period",
            "1s",
        ],
    );
    assert!(
        watch
            .line()
            .contains("Up to 4 shards: the policy allows 4 to 9 shards")
    );
    assert!(
        watch
            .line()
            .contains("No change of 4 shards: CloudWatch has no figures")
    );
    watch.signal("INT");
    let ended = watch.end();
    assert_eq!(ended.code, Some(130));
    assert!(ended.stderr.contains("Stopped"), "{}", ended.stderr);
    assert_eq!(boundaries(&cloud, "orders").len(), 4);
}
