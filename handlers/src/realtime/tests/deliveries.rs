//! Any mix of failures, retries, splits, batches that are given up, and replays ends with each record counted and
//! archived once.

use std::cell::Cell;
use std::collections::VecDeque;

use super::*;
use crate::store::{AggregateKey, CallError, Object};

/// Services of which some calls fail.
struct Unreliable<'a> {
    memory: &'a Memory,
    /// One bit for each of the next calls: whether it fails.
    faults: Cell<u32>,
}

impl Unreliable<'_> {
    fn call(&self) -> Result<(), CallError> {
        let faults = self.faults.get();
        self.faults.set(faults >> 1);
        match faults & 1 {
            0 => Ok(()),
            _ => Err(CallError::new(CallErrorKind::Refused, "AccessDenied")),
        }
    }
}

impl Bucket for &Unreliable<'_> {
    async fn put(&self, object: &Object) -> Result<(), CallError> {
        self.call()?;
        self.memory.put(object).await
    }
}

impl Aggregates for &Unreliable<'_> {
    async fn read(&self, keys: Vec<AggregateKey>) -> Result<(Vec<Item>, Vec<AggregateKey>), CallError> {
        self.call()?;
        self.memory.read(keys).await
    }

    async fn replace(&self, item: Item, revision: Option<u64>) -> Result<bool, CallError> {
        self.call()?;
        self.memory.replace(item, revision).await
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// The mapping invokes the function with the next batch of a lane.
    Deliver {
        lane: usize,
        batch_size: usize,
        faults: u32,
        is_lost: bool,
        bisect: bool,
    },
    /// A failed range is replayed.
    Replay {
        message: usize,
        faults: u32,
        is_lost: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let faults = || prop_oneof![2 => Just(0_u32), 3 => 0..64_u32];
    let deliver = (
        0..2_usize,
        1..5_usize,
        faults(),
        proptest::bool::weighted(0.2),
        any::<bool>(),
    )
        .prop_map(|(lane, batch_size, faults, is_lost, bisect)| Step::Deliver {
            lane,
            batch_size,
            faults,
            is_lost,
            bisect,
        });
    let replay =
        (any::<usize>(), faults(), proptest::bool::weighted(0.2)).prop_map(|(message, faults, is_lost)| {
            Step::Replay {
                message,
                faults,
                is_lost,
            }
        });
    proptest::collection::vec(prop_oneof![3 => deliver, 1 => replay], 0..60)
}

/// A shard, a mapping with two lanes, and the messages about the batches that it gave up.
struct World {
    records: Vec<Value>,
    memory: Memory,
    lanes: [VecDeque<usize>; 2],
    /// What is left of a batch, and its failures so far.
    current: [VecDeque<(Vec<usize>, u32)>; 2],
    messages: Vec<(usize, usize)>,
}

impl World {
    fn new(records: Vec<Value>) -> Self {
        let lane = |lane: usize| {
            let is_in = |index: &usize| {
                let key = records[*index]["kinesis"]["partitionKey"].as_str().unwrap();
                usize::from(key.ends_with('1')) == lane
            };
            (0..records.len()).filter(is_in).collect()
        };
        Self {
            lanes: [lane(0), lane(1)],
            current: [VecDeque::new(), VecDeque::new()],
            memory: Memory::default(),
            messages: Vec::new(),
            records,
        }
    }

    /// Invokes the function. Returns the places in `indexes` that failed.
    fn invoke(&self, indexes: &[usize], faults: u32, is_lost: bool) -> Vec<usize> {
        let services = Unreliable {
            memory: &self.memory,
            faults: Cell::new(faults),
        };
        let settings = Settings::from_environment(&Environment::of(&[])).unwrap();
        let processor = RealtimeProcessor::new(&services, &services, At(ARRIVAL_MS + 1000), settings);
        let batch: Vec<Value> = indexes.iter().map(|index| self.records[*index].clone()).collect();
        let failed = testing::run_batches(&processor, &[batch]).remove(0);
        if is_lost {
            // The function timed out after it had written.
            return (0..indexes.len()).collect();
        }
        let place = |number: &String| {
            let index = number.parse::<usize>().unwrap() - 1;
            indexes.iter().position(|other| *other == index).unwrap()
        };
        failed.iter().map(place).collect()
    }

    fn deliver(&mut self, lane: usize, batch_size: usize, faults: u32, is_lost: bool, bisect: bool) {
        let (mut batch, failures) = self.current[lane].pop_front().unwrap_or_else(|| {
            let waiting = &mut self.lanes[lane];
            (waiting.drain(..batch_size.min(waiting.len())).collect(), 0)
        });
        if batch.is_empty() {
            return;
        }
        let failed = self.invoke(&batch, faults, is_lost);
        let Some(lowest) = failed.into_iter().min() else {
            return;
        };
        batch.drain(..lowest);
        match failures {
            2.. => self.messages.push((batch[0], batch[batch.len() - 1])),
            _ if bisect && batch.len() > 1 => {
                let second = batch.split_off(batch.len() / 2);
                self.current[lane].push_front((second, failures));
                self.current[lane].push_front((batch, failures));
            }
            _ => self.current[lane].push_front((batch, failures + 1)),
        }
    }

    /// Invokes the function with all records of a range, whatever their lane. Keeps the message if one fails.
    fn replay(&mut self, message: usize, faults: u32, is_lost: bool) {
        let (first, last) = self.messages.remove(message);
        let indexes: Vec<usize> = (first..=last).collect();
        if !self.invoke(&indexes, faults, is_lost).is_empty() {
            self.messages.push((first, last));
        }
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Deliver {
                lane,
                batch_size,
                faults,
                is_lost,
                bisect,
            } => self.deliver(lane, batch_size, faults, is_lost, bisect),
            Step::Replay { .. } if self.messages.is_empty() => {}
            Step::Replay {
                message,
                faults,
                is_lost,
            } => self.replay(message % self.messages.len(), faults, is_lost),
        }
    }

    /// Delivers and replays everything that is left. Nothing fails any more.
    fn finish(&mut self) {
        for lane in 0..2 {
            while !self.lanes[lane].is_empty() || !self.current[lane].is_empty() {
                self.deliver(lane, 3, 0, false, true);
            }
        }
        (0..self.messages.len()).for_each(|_| self.replay(0, 0, false));
    }

    fn counted(&self) -> u64 {
        let count = |item: &Value| {
            item["record_count"]["N"]
                .as_str()
                .unwrap()
                .parse::<u64>()
                .unwrap()
        };
        self.memory
            .items_json()
            .as_array()
            .unwrap()
            .iter()
            .map(count)
            .sum()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn each_record_is_counted_and_archived_once(
        records in proptest::collection::vec(
            (0..3_usize, proptest::collection::vec(-500..500_i32, 1..4), 0..3_i64, proptest::bool::weighted(0.1)),
            1..20,
        ),
        steps in steps(),
    ) {
        let make = |(sequence, (key, values, seconds, is_bad)): (u64, &(usize, Vec<i32>, i64, bool))| match is_bad {
            true => testing::record(sequence, &format!("s-{key}"), r#"{"value":"abc"}"#),
            false => record(sequence, &(*key, values.clone(), seconds * 1800)),
        };
        let records: Vec<_> = (1..).zip(&records).map(make).collect();
        let once = Memory::default();
        testing::run_batches(&processor(&once), std::slice::from_ref(&records));

        let mut world = World::new(records);
        for step in &steps {
            world.run(step);
            prop_assert!(world.counted() <= archived(&world.memory).len() as u64);
        }
        world.finish();
        prop_assert_eq!(aggregates(&world.memory), aggregates(&once));
        prop_assert_eq!(archived(&world.memory), archived(&once));
        // Only bad records are left, each reported.
        let bad = world.records.iter().enumerate().filter(|(_, record)| {
            record["kinesis"]["data"] == base64_simd::STANDARD.encode_to_string(r#"{"value":"abc"}"#)
        });
        for (index, _) in bad {
            prop_assert!(world.messages.iter().any(|(first, last)| (*first..=*last).contains(&index)));
        }
    }
}
