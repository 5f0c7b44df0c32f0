//! The engine against a model: put, read, reshard, change of retention, expiry and restart in any order.
//!
//! The model knows the lineage of shards and which record went where. Retention runs at most once a second, so records of
//! the last second before the horizon may be seen or not.

use std::collections::HashMap;

use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use serde_json::{Value, json};

use super::world::{DELAY_MS, HOUR_MS, START_MS, World, base64, data_of};
use crate::kinesis::stream::lineage::{self, ShardMeta, shard_id};

const STREAM: &str = "orders";
/// Open shards at most.
const MOST: u32 = 6;
const DAY_MS: i64 = 24 * HOUR_MS;
/// UpdateShardCount calls in 24 hours.
const SCALINGS: usize = 10;

#[derive(Debug, Clone, Copy)]
enum Kind {
    TrimHorizon,
    Latest,
    /// At the record with this number, of those in the shard.
    At(usize),
    After(usize),
    /// So many milliseconds ago.
    Ago(i64),
}

#[derive(Debug, Clone)]
enum Step {
    Put(u128),
    PutRecords(Vec<u128>),
    /// One of the listed shards, in pages of this size.
    Read(usize, Kind, usize),
    /// One of the open shards, at this part of its range.
    Split(usize, u128),
    /// One of the open shards with the next one.
    Merge(usize),
    Scale(u32),
    Retention(i64),
    Wait(i64),
    Restart,
}

#[derive(Debug, Clone)]
struct Record {
    shard: u32,
    at_ms: i64,
}

#[derive(Debug, Clone)]
struct Model {
    now_ms: i64,
    shards: Vec<ShardMeta>,
    /// By id.
    records: Vec<Record>,
    retention_hours: i64,
    expired_before_ms: i64,
    scaled_ms: Vec<i64>,
}

impl Model {
    fn open(&self) -> Vec<&ShardMeta> {
        lineage::open_in_order(&self.shards)
    }

    fn put(&mut self, hash: u128) {
        let open = self.open();
        let shard = open.iter().find(|shard| shard.start <= hash && hash <= shard.end);
        let record = Record {
            shard: shard.unwrap().index,
            at_ms: self.now_ms,
        };
        self.records.push(record);
    }

    fn horizon_ms(&self) -> i64 {
        (self.now_ms - self.retention_hours * HOUR_MS).max(self.expired_before_ms)
    }

    /// The shards that are listed.
    fn listed(&self) -> Vec<&ShardMeta> {
        let horizon = self.horizon_ms();
        self.shards
            .iter()
            .filter(|shard| !shard.expired(horizon))
            .collect()
    }

    /// The ids of a shard's records, expired ones too.
    fn of_shard(&self, shard: u32) -> Vec<usize> {
        (0..self.records.len())
            .filter(|id| self.records[*id].shard == shard)
            .collect()
    }

    /// A split point in a shard's range. `None` if the range is too small.
    fn split_at(shard: &ShardMeta, part: u128) -> Option<u128> {
        let width = (shard.end - shard.start).checked_sub(4)?;
        Some(shard.start + 2 + part % (width + 1))
    }

    fn scales(&self, target: u32) -> bool {
        let open = self.open().len() as u32;
        let recent = self
            .scaled_ms
            .iter()
            .filter(|at| **at > self.now_ms - DAY_MS)
            .count();
        target <= open * 2 && target * 2 >= open && recent < SCALINGS
    }
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        (1..4_u32)
            .prop_map(|shards| Self {
                now_ms: START_MS + DELAY_MS,
                shards: lineage::initial(shards, START_MS),
                records: Vec::new(),
                retention_hours: 24,
                expired_before_ms: i64::MIN,
                scaled_ms: Vec::new(),
            })
            .boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Step> {
        let kind = prop_oneof![
            3 => Just(Kind::TrimHorizon),
            1 => Just(Kind::Latest),
            2 => any::<usize>().prop_map(Kind::At),
            2 => any::<usize>().prop_map(Kind::After),
            2 => (0..3 * DAY_MS).prop_map(Kind::Ago),
        ];
        prop_oneof![
            4 => any::<u128>().prop_map(Step::Put),
            4 => prop::collection::vec(any::<u128>(), 1..12).prop_map(Step::PutRecords),
            6 => (any::<usize>(), kind, 1..9_usize).prop_map(|(shard, kind, page)| Step::Read(shard, kind, page)),
            2 => (any::<usize>(), any::<u128>()).prop_map(|(shard, part)| Step::Split(shard, part)),
            2 => any::<usize>().prop_map(Step::Merge),
            1 => (1..=MOST).prop_map(Step::Scale),
            1 => (24..72_i64).prop_map(Step::Retention),
            2 => (1..90_000_i64).prop_map(Step::Wait),
            1 => (HOUR_MS..30 * HOUR_MS).prop_map(Step::Wait),
            2 => Just(Step::Restart),
        ]
        .boxed()
    }

    fn preconditions(state: &Self, step: &Step) -> bool {
        let open = state.open();
        match step {
            Step::Split(shard, part) => {
                open.len() < MOST as usize && Self::split_at(open[shard % open.len()], *part).is_some()
            }
            Step::Merge(_) => open.len() > 1,
            Step::Scale(target) => state.scales(*target),
            _ => true,
        }
    }

    fn apply(mut state: Self, step: &Step) -> Self {
        let now = state.now_ms;
        match step {
            Step::Put(hash) => state.put(*hash),
            Step::PutRecords(hashes) => hashes.iter().for_each(|hash| state.put(*hash)),
            Step::Read(..) | Step::Restart => {}
            Step::Wait(ms) => state.now_ms += ms,
            Step::Split(shard, part) => {
                let open = state.open();
                let shard = open[shard % open.len()];
                let (index, at) = (shard.index, Self::split_at(shard, *part).unwrap());
                assert!(lineage::split(&mut state.shards, index, at, now));
                state.now_ms += DELAY_MS;
            }
            Step::Merge(shard) => {
                let open = state.open();
                let at = shard % (open.len() - 1);
                let (left, right) = (open[at].index, open[at + 1].index);
                assert!(lineage::merge(&mut state.shards, left, right, now));
                state.now_ms += DELAY_MS;
            }
            Step::Scale(target) => {
                lineage::rescale(&mut state.shards, *target, now);
                state.scaled_ms.push(now);
                state.now_ms += DELAY_MS;
            }
            Step::Retention(hours) => {
                if *hours != state.retention_hours {
                    state.expired_before_ms = state.horizon_ms();
                    state.retention_hours = *hours;
                }
                state.now_ms += DELAY_MS;
            }
        }
        state
    }
}

/// The engine, and the sequence number of each record.
struct System {
    world: Option<World>,
    numbers: Vec<String>,
    retention_hours: i64,
}

impl System {
    fn world(&self) -> &World {
        self.world.as_ref().unwrap()
    }

    fn put(&mut self, hashes: &[u128], model: &Model) {
        let first = self.numbers.len();
        let entry = |(at, hash): (usize, &u128)| json!({"PartitionKey": "k", "ExplicitHashKey": hash.to_string(), "Data": base64(&(first + at).to_string())});
        let answers = match hashes {
            [hash] => {
                let mut entry = entry((0, hash));
                entry["StreamName"] = json!(STREAM);
                vec![self.world().ok("PutRecord", entry)]
            }
            hashes => {
                let records: Vec<Value> = hashes.iter().enumerate().map(entry).collect();
                let answer = self
                    .world()
                    .ok("PutRecords", json!({"StreamName": STREAM, "Records": records}));
                answer["Records"].as_array().unwrap().clone()
            }
        };
        for answer in answers {
            let shard = model.records[self.numbers.len()].shard;
            assert_eq!(answer["ShardId"], shard_id(shard));
            let number = answer["SequenceNumber"].as_str().unwrap().to_owned();
            self.numbers.push(number);
        }
    }

    /// The ids of the records that a reader gets, and whether the shard has ended.
    fn read(&self, input: Value, page: usize, model: &Model) -> (Vec<usize>, bool) {
        let iterator = self.world().ok("GetShardIterator", input)["ShardIterator"].clone();
        let (mut found, mut iterator) = (Vec::new(), iterator.as_str().map(str::to_owned));
        while let Some(at) = iterator {
            let answer = self
                .world()
                .ok("GetRecords", json!({"ShardIterator": at, "Limit": page}));
            let records = answer["Records"].as_array().unwrap();
            for record in records {
                let id: usize = data_of(record).parse().unwrap();
                assert_eq!(record["SequenceNumber"], self.numbers[id].as_str());
                let ms = (record["ApproximateArrivalTimestamp"].as_f64().unwrap() * 1000.0).round() as i64;
                assert_eq!(ms, model.records[id].at_ms);
                found.push(id);
            }
            iterator = answer["NextShardIterator"].as_str().map(str::to_owned);
            if iterator.is_none() {
                return (found, true);
            }
            if answer["MillisBehindLatest"] == 0 && records.len() < page {
                break;
            }
        }
        (found, false)
    }

    fn check_read(&self, shard: &ShardMeta, kind: Kind, page: usize, model: &Model) {
        let all = model.of_shard(shard.index);
        let numbered = |at: usize| (!all.is_empty()).then(|| at % all.len());
        let mut input =
            json!({"StreamName": STREAM, "ShardId": shard.id(), "ShardIteratorType": "TRIM_HORIZON"});
        let from = match kind {
            Kind::TrimHorizon => 0,
            Kind::Latest => {
                input["ShardIteratorType"] = json!("LATEST");
                all.len()
            }
            Kind::At(at) | Kind::After(at) => match numbered(at) {
                None => 0,
                Some(at) => {
                    let after = matches!(kind, Kind::After(_));
                    input["ShardIteratorType"] = json!(if after {
                        "AFTER_SEQUENCE_NUMBER"
                    } else {
                        "AT_SEQUENCE_NUMBER"
                    });
                    input["StartingSequenceNumber"] = json!(self.numbers[all[at]]);
                    at + usize::from(after)
                }
            },
            Kind::Ago(ms) => {
                let since = model.now_ms - ms;
                input["ShardIteratorType"] = json!("AT_TIMESTAMP");
                input["Timestamp"] = json!(since as f64 / 1000.0);
                all.iter()
                    .take_while(|id| model.records[**id].at_ms < since)
                    .count()
            }
        };
        let (found, ended) = self.read(input, page, model);
        assert_eq!(ended, shard.closed_ms.is_some());
        let horizon = model.horizon_ms();
        let wanted = &all[from..];
        let certain: Vec<usize> = wanted
            .iter()
            .copied()
            .filter(|id| model.records[*id].at_ms >= horizon)
            .collect();
        assert!(found.ends_with(&certain), "{found:?} without {certain:?}");
        assert!(
            wanted.ends_with(&found),
            "each once and in order: {found:?} of {wanted:?}"
        );
        let expired = |id: &usize| model.records[*id].at_ms < horizon - 1000;
        assert!(!found.iter().any(expired), "expired: {found:?}");
        let numbers: Vec<&String> = found.iter().map(|id| &self.numbers[*id]).collect();
        assert!(numbers.is_sorted_by(|a, b| a.len() == b.len() && a < b));
    }

    fn check_lineage(&self, model: &Model) {
        let shards = self.world().shards(STREAM);
        let number = |value: &Value| value.as_str().unwrap().parse::<u128>().unwrap();
        let mut open: Vec<(u128, u128)> = Vec::new();
        let mut first: HashMap<&str, &str> = HashMap::new();
        for shard in &shards {
            let range = &shard["HashKeyRange"];
            let numbers = &shard["SequenceNumberRange"];
            if numbers["EndingSequenceNumber"].is_null() {
                open.push((number(&range["StartingHashKey"]), number(&range["EndingHashKey"])));
            }
            let id = shard["ShardId"].as_str().unwrap();
            let start = numbers["StartingSequenceNumber"].as_str().unwrap();
            first.insert(id, start);
            for parent in ["ParentShardId", "AdjacentParentShardId"] {
                // A parent that expired is not listed.
                if let Some(parent) = shard[parent].as_str().and_then(|parent| first.get(parent)) {
                    assert!(*parent < start, "parents before children");
                }
            }
        }
        open.sort_unstable();
        assert_eq!(open.first().unwrap().0, 0);
        assert_eq!(open.last().unwrap().1, u128::MAX);
        assert!(open.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0), "{open:?}");
        let listed: Vec<String> = model.listed().iter().map(|shard| shard.id()).collect();
        let found: Vec<&str> = shards
            .iter()
            .map(|shard| shard["ShardId"].as_str().unwrap())
            .collect();
        assert_eq!(found, listed);
    }

    fn check_all(&self, model: &Model) {
        self.check_lineage(model);
        for shard in model.listed() {
            self.check_read(shard, Kind::TrimHorizon, 1_000, model);
        }
        assert!(self.world().service.damage().is_empty());
    }
}

impl StateMachineTest for System {
    type SystemUnderTest = Self;
    type Reference = Model;

    fn init_test(model: &Model) -> Self {
        let world = World::new();
        world.stream(STREAM, model.shards.len() as u32);
        Self {
            world: Some(world),
            numbers: Vec::new(),
            retention_hours: 24,
        }
    }

    /// `model` is the state after the step.
    fn apply(mut system: Self, model: &Model, step: Step) -> Self {
        let control = |system: &Self, operation: &str, mut input: Value| {
            input["StreamName"] = json!(STREAM);
            system.world().ok(operation, input);
            system.world().settle();
        };
        match step {
            Step::Put(hash) => system.put(&[hash], model),
            Step::PutRecords(hashes) => system.put(&hashes, model),
            Step::Read(shard, kind, page) => {
                let listed = model.listed();
                system.check_read(listed[shard % listed.len()], kind, page, model);
            }
            Step::Split(..) => {
                let [.., left, right] = &model.shards[..] else {
                    unreachable!()
                };
                let parent = shard_id(left.parent.unwrap());
                let at = right.start.to_string();
                control(
                    &system,
                    "SplitShard",
                    json!({"ShardToSplit": parent, "NewStartingHashKey": at}),
                );
            }
            Step::Merge(_) => {
                let child = model.shards.last().unwrap();
                let [left, right] =
                    [child.parent, child.adjacent_parent].map(|parent| shard_id(parent.unwrap()));
                control(
                    &system,
                    "MergeShards",
                    json!({"ShardToMerge": left, "AdjacentShardToMerge": right}),
                );
            }
            Step::Scale(target) => {
                let input = json!({"TargetShardCount": target, "ScalingType": "UNIFORM_SCALING"});
                control(&system, "UpdateShardCount", input);
            }
            Step::Retention(hours) => {
                let operation = match hours > system.retention_hours {
                    true => "IncreaseStreamRetentionPeriod",
                    false => "DecreaseStreamRetentionPeriod",
                };
                control(&system, operation, json!({"RetentionPeriodHours": hours}));
                system.retention_hours = hours;
            }
            Step::Wait(ms) => {
                system.world().clock.advance(ms);
                // As housekeeping does.
                system.world().service.sweep();
            }
            Step::Restart => {
                system.world = system.world.take().map(World::restarted);
                system.check_all(model);
            }
        }
        system
    }

    fn check_invariants(system: &Self, model: &Model) {
        system.check_lineage(model);
    }

    fn teardown(system: Self, model: Model) {
        system.check_all(&model);
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_matches_the_model(sequential 1..40 => System);
}
