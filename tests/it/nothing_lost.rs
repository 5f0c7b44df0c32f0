//! Functions process every record and end with the correct state, even if the local cloud is killed during a batch or
//! the stream is resharded.

use std::collections::{BTreeMap, HashSet};

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ScalingType};

use crate::contents::{plain, put, until};
use crate::functions::{batches, with_scorer};
use crate::support::{Cloud, block_on, is_active};

const STREAM: &str = "retail-events-stream-dev";
const TABLE: &str = "retail-events-data-dev";
const USERS: usize = 7;

#[test]
fn a_batch_interrupted_by_kill_9_is_retried_complete() {
    let mut cloud = with_scorer(&["SCRIPT=first 1 sleep 60000;return null"]);
    cloud.stream("orders", 1);
    cloud.ok([
        "attach",
        "scorer",
        "--stream",
        "orders",
        "--batch-size",
        "10",
        "--window",
        "1s",
    ]);
    let names: Vec<String> = (0..10).map(|n| format!("order {n}")).collect();
    put(&cloud, "orders", names.iter().map(|name| ("k", name.as_str())));
    // The function has the batch and does not respond.
    let first = until("a batch", || {
        batches(&cloud).into_iter().next().ok_or_else(String::new)
    });
    cloud.kill();
    cloud.restart_in_place();
    let all = until("the whole batch again", || {
        let batches = batches(&cloud);
        let later: Vec<String> = batches.iter().skip(1).flatten().cloned().collect();
        match later.len() {
            found if found >= names.len() => Ok(later),
            _ => Err(format!("{batches:?}")),
        }
    });
    assert_eq!(all, names, "from the record on that was not done, in order");
    assert_eq!(first, names[..first.len()]);
}

#[test]
fn an_accepted_event_is_processed_after_kill_9() {
    let mut cloud = with_scorer(&["SCRIPT=first 1 sleep 60000;log it ran;return null"]);
    let accepted = cloud.json(["invoke", "scorer", "--async", "--payload", r#"{"Records":[]}"#]);
    until("the first try", || match batches(&cloud).len() {
        0 => Err(String::new()),
        _ => Ok(()),
    });
    cloud.kill();
    cloud.restart_in_place();
    until("the second try", || {
        let log = cloud.ok(["logs", "scorer", "--filter", "\"it ran\"", "-o", "text"]);
        if log.is_empty() { Err(log) } else { Ok(()) }
    });
    assert_eq!(batches(&cloud).len(), 2, "{accepted}");
}

#[test]
fn a_stop_during_an_event_is_not_counted_as_a_failure() {
    let mut cloud = with_scorer(&["SCRIPT=first 1 sleep 60000;log it ran;return null"]);
    let once = cloud.lambda().put_function_event_invoke_config();
    block_on(once.function_name("scorer").maximum_retry_attempts(0).send()).unwrap();
    cloud.ok(["invoke", "scorer", "--async", "--payload", r#"{"Records":[]}"#]);
    until("the first try", || match batches(&cloud).len() {
        0 => Err(String::new()),
        _ => Ok(()),
    });
    cloud.ok(["local", "stop"]);
    cloud.restart_in_place();
    until("the second try", || match batches(&cloud).len() {
        2 => Ok(()),
        found => Err(found.to_string()),
    });
}

#[test]
fn retail_stores_each_event_once_despite_three_kills() {
    let total = 1500;
    let mut cloud = Cloud::start();
    cloud.ok([
        "setup",
        "retail",
        "--param",
        "batching_window=0",
        "--param",
        "batch_size=25",
    ]);
    block_on(put_events(&cloud, 0..total));
    for kill in 1..=3 {
        // Some events are stored and some are not: kill it now.
        until("events stored", || match cloud.items(TABLE).len() {
            found if found >= kill * total / 5 => Ok(()),
            found => Err(found.to_string()),
        });
        cloud.kill();
        cloud.restart_in_place();
    }
    all_stored_once(&cloud, total);
    // It continues to work.
    block_on(put_events(&cloud, total..total + 100));
    all_stored_once(&cloud, total + 100);
}

#[test]
fn retail_stores_each_event_once_while_shards_split_and_merge() {
    let total = 2000;
    let cloud = Cloud::start();
    cloud.ok([
        "setup",
        "retail",
        "--param",
        "batching_window=0",
        "--param",
        "shard_count=2",
    ]);
    block_on(async {
        let client = cloud.kinesis();
        let mut put = 0;
        for shards in [4, 2, 3] {
            put_events(&cloud, put..put + 250).await;
            let call = client
                .update_shard_count()
                .stream_name(STREAM)
                .target_shard_count(shards);
            call.scaling_type(ScalingType::UniformScaling)
                .send()
                .await
                .unwrap();
            // Put records while the stream is resharded.
            put_events(&cloud, put + 250..put + 500).await;
            put += 500;
            while !is_active(&client, STREAM).await {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        }
        put_events(&cloud, put..total).await;
    });
    all_stored_once(&cloud, total);
    // No record was discarded.
    assert_eq!(cloud.json(["dlq", "list", "retail"]), serde_json::json!([]));
}

#[test]
fn records_of_a_key_stay_in_order_across_a_split_and_a_merge() {
    let cloud = with_scorer(&["SCRIPT=return null"]);
    cloud.stream("orders", 1);
    cloud.ok(["attach", "scorer", "--stream", "orders", "--from", "trim"]);
    let keys = ["a", "b", "c", "d", "e"];
    let mut round = 0;
    let mut rounds = |count: usize| {
        for _ in 0..count {
            let data: Vec<(&str, String)> = keys
                .iter()
                .map(|key| (*key, format!("{key} {round:03}")))
                .collect();
            put(
                &cloud,
                "orders",
                data.iter().map(|(key, data)| (*key, data.as_str())),
            );
            round += 1;
        }
    };
    let client = cloud.kinesis();
    for shards in [2, 1] {
        rounds(10);
        let call = client
            .update_shard_count()
            .stream_name("orders")
            .target_shard_count(shards);
        block_on(call.scaling_type(ScalingType::UniformScaling).send()).unwrap();
        rounds(10);
        while !block_on(is_active(&client, "orders")) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
    rounds(10);
    let wanted = 50 * keys.len();
    let all = until("all records", || {
        let all: Vec<String> = batches(&cloud).into_iter().flatten().collect();
        match all.len() {
            found if found >= wanted => Ok(all),
            found => Err(format!("{found} of {wanted}")),
        }
    });
    for key in keys {
        let of_key: Vec<&String> = all.iter().filter(|data| data.starts_with(key)).collect();
        let expected: Vec<String> = (0..50).map(|n| format!("{key} {n:03}")).collect();
        assert_eq!(of_key, expected.iter().collect::<Vec<_>>());
    }
}

/// Puts numbered events and retries the refused ones.
async fn put_events(cloud: &Cloud, numbers: std::ops::Range<usize>) {
    let client = cloud.kinesis();
    let numbers: Vec<usize> = numbers.collect();
    for chunk in numbers.chunks(250) {
        let mut entries: Vec<PutRecordsRequestEntry> = chunk.iter().map(|number| entry(*number)).collect();
        while !entries.is_empty() {
            let call = client
                .put_records()
                .stream_name(STREAM)
                .set_records(Some(entries.clone()));
            let answer = call.send().await.unwrap();
            let refused = answer
                .records()
                .iter()
                .map(|record| record.error_code().is_some());
            entries = entries
                .into_iter()
                .zip(refused)
                .filter_map(|(entry, refused)| refused.then_some(entry))
                .collect();
        }
    }
}

fn entry(number: usize) -> PutRecordsRequestEntry {
    let user = format!("user-{}", number % USERS);
    // Many events share a user and a millisecond.
    let event = serde_json::json!({
        "userId": user, "eventType": "review", "productId": "P1", "sessionId": format!("s{number}"),
        "timestamp": 1_780_336_807_000_u64 + (number / 50) as u64,
    });
    let entry = PutRecordsRequestEntry::builder().partition_key(user);
    entry.data(Blob::new(event.to_string())).build().unwrap()
}

/// Waits until events 0 to `total` are in the table, each once and with the correct state.
fn all_stored_once(cloud: &Cloud, total: usize) {
    let items = cloud.items_once_there(TABLE, total);
    let sessions: HashSet<String> = items.iter().map(|item| plain(item, "sessionId")).collect();
    assert_eq!(sessions, (0..total).map(|number| format!("s{number}")).collect());
    assert_eq!(items.len(), total);
    let mut of_user = BTreeMap::new();
    for item in &items {
        assert_eq!(
            (
                plain(item, "eventScore").as_str(),
                plain(item, "engagementLevel").as_str()
            ),
            ("8", "high")
        );
        *of_user.entry(plain(item, "userId")).or_insert(0) += 1;
    }
    for (user, count) in of_user {
        let number: usize = user.strip_prefix("user-").unwrap().parse().unwrap();
        assert_eq!(count, (number..total).step_by(USERS).count(), "{user}");
    }
}
