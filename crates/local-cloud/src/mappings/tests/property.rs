//! In every scenario each record is delivered or reported to the destination, and each key stays in order.

use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::world::{Call, Reply, STREAM, World, queue, success};
use crate::kinesis::sequence::SequenceNumber;

#[derive(Debug, Clone)]
enum Step {
    Put(u8),
    Sleep(u16),
    Split,
    Merge,
    Restart,
    Factor(u8),
    Toggle,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (1..40_u8).prop_map(Step::Put),
        6 => (0..2_000_u16).prop_map(Step::Sleep),
        1 => Just(Step::Split),
        1 => Just(Step::Merge),
        1 => Just(Step::Restart),
        1 => (1..5_u8).prop_map(Step::Factor),
        1 => Just(Step::Toggle),
    ];
    prop::collection::vec(step, 1..25)
}

#[derive(Debug, Clone)]
struct Setup {
    batch: u8,
    window: u8,
    factor: u8,
    retries: i8,
    bisect: bool,
    reports: bool,
    trouble: u8,
    seed: u64,
}

fn setups() -> impl Strategy<Value = Setup> {
    (
        1..20_u8,
        0..3_u8,
        1..5_u8,
        0..4_i8,
        any::<bool>(),
        any::<bool>(),
        0..60_u8,
        any::<u64>(),
    )
        .prop_map(
            |(batch, window, factor, retries, bisect, reports, trouble, seed)| Setup {
                batch,
                window,
                factor,
                retries,
                bisect,
                reports,
                trouble,
                seed,
            },
        )
}

/// A function that randomly throws, is throttled, reports failures, returns invalid responses, or succeeds. Adds the
/// records that it processed to `done`.
fn failing(
    setup: &Setup,
    done: std::sync::Arc<std::sync::Mutex<HashSet<String>>>,
) -> impl FnMut(&Call) -> Reply + Send + 'static {
    let mut random = StdRng::seed_from_u64(setup.seed);
    let (trouble, reports) = (setup.trouble, setup.reports);
    move |call: &Call| {
        let bad = random.random_range(0..100) < trouble;
        let slow = random.random_range(0..300);
        let kind = random.random_range(0..4);
        let at = random.random_range(0..call.records.len());
        let reply = match kind {
            _ if !bad => success(),
            0 => Reply::Throw,
            1 => Reply::Throttle,
            2 if reports => call.report(&[&call.records[at].data]),
            _ if reports => Reply::Body(r#"{"batchItemFailures":[{"itemIdentifier":"?"}]}"#.to_owned()),
            _ => Reply::Throw,
        };
        let through = match (&reply, bad) {
            (_, false) => call.records.len(),
            (Reply::Body(_), true) if kind == 2 => at,
            _ => 0,
        };
        let mut done = done.lock().unwrap();
        done.extend(call.records[..through].iter().map(|record| record.number.clone()));
        Reply::After(slow, Box::new(reply))
    }
}

fn open_shards(world: &World) -> Vec<(u128, u128, String)> {
    let shards = world.kinesis("ListShards", json!({"StreamName": STREAM}));
    let number = |value: &Value| value.as_str().unwrap().parse::<u128>().unwrap();
    let open = shards["Shards"].as_array().unwrap().iter();
    let open = open.filter(|shard| shard["SequenceNumberRange"]["EndingSequenceNumber"].is_null());
    let mut open: Vec<_> = open
        .map(|shard| {
            let range = &shard["HashKeyRange"];
            let id = shard["ShardId"].as_str().unwrap().to_owned();
            (
                number(&range["StartingHashKey"]),
                number(&range["EndingHashKey"]),
                id,
            )
        })
        .collect();
    open.sort();
    open
}

async fn play(world: &mut World, steps: &[Step]) -> (Vec<(String, String)>, bool) {
    let (mut put, mut quiet, mut enabled) = (Vec::new(), true, true);
    for step in steps {
        match step {
            Step::Put(count) => {
                for _ in 0..*count {
                    let data = put.len().to_string();
                    let key = format!("key{}", put.len() % 5);
                    put.push((key.clone(), world.put(&key, &data)));
                }
            }
            Step::Sleep(ms) => world.sleep(u64::from(*ms)).await,
            Step::Split => {
                let shards = open_shards(world);
                let (start, end, id) = shards[put.len() % shards.len()].clone();
                let middle = (start + (end - start) / 2 + 1).to_string();
                let input = json!({"StreamName": STREAM, "ShardToSplit": id, "NewStartingHashKey": middle});
                world.kinesis("SplitShard", input);
            }
            Step::Merge => {
                if let [left, right, ..] = &open_shards(world)[..] {
                    let input = json!({"StreamName": STREAM, "ShardToMerge": left.2, "AdjacentShardToMerge": right.2});
                    world.kinesis("MergeShards", input);
                }
            }
            Step::Restart => {
                quiet = false;
                world.restart();
            }
            Step::Factor(factor) => {
                quiet = false;
                world.update(json!({"ParallelizationFactor": factor})).await;
            }
            Step::Toggle => {
                quiet = false;
                enabled = !enabled;
                world.update(json!({"Enabled": enabled})).await;
            }
        }
    }
    world.update(json!({"Enabled": true})).await;
    (put, quiet)
}

/// For each message to the destination: the indexes of its records, in the order of the puts.
fn covered(world: &World, put: &[(String, String)], numbers: &[SequenceNumber]) -> Vec<Vec<usize>> {
    let messages = world.inbox.messages.lock().unwrap();
    let covers = |message: &Value| {
        let info = &message["KinesisBatchInfo"];
        let number = |name: &str| SequenceNumber::parse(info[name].as_str().unwrap()).unwrap();
        let (from, to) = (number("startSequenceNumber"), number("endSequenceNumber"));
        let inside = (0..put.len()).filter(|index| {
            numbers[*index].shard_index() == from.shard_index() && (from..=to).contains(&numbers[*index])
        });
        inside.collect()
    };
    messages.iter().map(|(_, message, _)| covers(message)).collect()
}

async fn run(setup: Setup, steps: Vec<Step>) {
    let done = std::sync::Arc::new(std::sync::Mutex::new(HashSet::new()));
    let settings = json!({
        "BatchSize": setup.batch, "MaximumBatchingWindowInSeconds": setup.window,
        "ParallelizationFactor": setup.factor, "MaximumRetryAttempts": setup.retries,
        "BisectBatchOnFunctionError": setup.bisect, "DestinationConfig": queue(),
        "FunctionResponseTypes": if setup.reports { json!(["ReportBatchItemFailures"]) } else { json!([]) },
    });
    let mut world = World::with_shards(1, settings, failing(&setup, std::sync::Arc::clone(&done))).await;
    let (put, quiet) = play(&mut world, &steps).await;
    let numbers: Vec<_> = put
        .iter()
        .map(|(_, number)| SequenceNumber::parse(number).unwrap())
        .collect();
    world
        .until("all delivered or discarded", |world| {
            let covered: HashSet<usize> = covered(world, &put, &numbers).into_iter().flatten().collect();
            let done = done.lock().unwrap();
            put.iter()
                .enumerate()
                .all(|(index, (_, number))| done.contains(number) || covered.contains(&index))
        })
        .await;
    // With the same lanes throughout, no record is both processed and discarded.
    if quiet && setup.factor == 1 {
        let mut times = vec![0; put.len()];
        for index in covered(&world, &put, &numbers).into_iter().flatten() {
            times[index] += 1;
            assert!(
                !done.lock().unwrap().contains(&put[index].1),
                "{index} was processed and discarded"
            );
        }
        assert!(
            times.iter().all(|times| *times <= 1),
            "discarded twice: {times:?}"
        );
    }
    let mut order: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut first = HashSet::new();
    for record in world
        .function
        .calls
        .lock()
        .unwrap()
        .iter()
        .flat_map(|call| &call.records)
    {
        if first.insert(record.number.clone()) {
            order
                .entry(record.key.clone())
                .or_default()
                .push(record.data.parse().unwrap());
        }
    }
    for (key, order) in order {
        assert!(order.is_sorted(), "{key} came out of order: {order:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]
    #[test]
    fn every_record_is_delivered_or_discarded(setup in setups(), steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(run(setup, steps));
    }
}
