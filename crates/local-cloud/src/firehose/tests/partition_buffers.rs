//! Each record is in one object of its partition, in order, whatever happens: a property test of both sources.

use std::collections::BTreeMap;
use std::io::Write;

use proptest::prelude::*;

use super::partitioning::by_user;
use super::*;
use crate::clock::utc;

#[derive(Debug, Clone)]
enum Step {
    /// Records of these users.
    Put(Vec<usize>),
    Pass(i64),
    /// The process is killed while it appends to the files of partitions.
    Kill,
    Reshard(u32),
    /// Puts to S3 are refused, stored without an answer, or work.
    Bucket(u8),
    /// A new prefix.
    Update,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => prop::collection::vec(0..5usize, 1..12).prop_map(Step::Put),
        4 => (1..16i64).prop_map(|n| Step::Pass(n * 5_000)),
        2 => Just(Step::Kill),
        1 => (1..4u32).prop_map(Step::Reshard),
        2 => (0..3u8).prop_map(Step::Bucket),
        1 => Just(Step::Update),
    ]
}

struct Run {
    fire: Fire,
    is_direct: bool,
    /// For each user, the arrival of each record.
    model: BTreeMap<String, Vec<i64>>,
    version: u32,
}

impl Run {
    fn new(is_direct: bool) -> Self {
        let fire = Fire::new();
        fire.world.stream("orders", 2);
        let mut destination = by_user();
        destination["DynamicPartitioningConfiguration"]["RetryOptions"] = json!({"DurationInSeconds": 7200});
        match is_direct {
            true => fire.direct("carts", destination),
            false => fire.reading("carts", destination),
        }
        Self {
            fire,
            is_direct,
            model: BTreeMap::new(),
            version: 1,
        }
    }

    fn put(&mut self, user: usize) {
        let user = format!("u{user}");
        let arrivals = self.model.entry(user.clone()).or_default();
        let text = json!({"user": user, "n": arrivals.len()}).to_string();
        arrivals.push(self.fire.service.now_ms());
        match self.is_direct {
            true => drop(self.fire.put("carts", &text)),
            false => drop(self.fire.world.put("orders", &user, &text)),
        }
        // Arrivals differ.
        self.fire.world.clock.advance(7);
    }

    fn set_bucket(&self, state: u8) {
        let objects = &self.fire.world.objects;
        *objects.refuses.lock().unwrap() = (state == 1).then_some("SlowDown");
        *objects.loses_answers.lock().unwrap() = state == 2;
    }

    fn kill(mut self) -> Self {
        let dir = self.fire.service.store.every()[0].files.partition(0);
        let files = std::fs::read_dir(dir.parent().unwrap()).into_iter().flatten();
        for file in files.flatten() {
            let mut file = std::fs::OpenOptions::new()
                .append(true)
                .open(file.path())
                .unwrap();
            file.write_all(b"not saved with the progress").unwrap();
        }
        self.fire = self.fire.restarted();
        self
    }

    fn run(mut self, step: Step) -> Self {
        match step {
            Step::Put(users) => users.into_iter().for_each(|user| self.put(user)),
            Step::Pass(ms) => self.fire.pass(ms),
            Step::Kill => self = self.kill(),
            Step::Reshard(shards) => {
                // The same number is refused.
                let input = json!({"StreamName": "orders", "TargetShardCount": shards, "ScalingType": "UNIFORM_SCALING"});
                self.fire.world.call("UpdateShardCount", &input);
                self.fire.world.settle();
            }
            Step::Bucket(state) => self.set_bucket(state),
            Step::Update => {
                let prefix = format!("v{}/user=!{{partitionKeyFromQuery:user}}/", self.version + 1);
                self.fire.ok(
                    "UpdateDestination",
                    json!({
                        "DeliveryStreamName": "carts",
                        "CurrentDeliveryStreamVersionId": self.version.to_string(),
                        "DestinationId": "destinationId-000000000001",
                        "ExtendedS3DestinationUpdate": { "Prefix": prefix },
                    }),
                );
                self.version += 1;
            }
        }
        self.fire.deliver();
        self
    }

    /// Everything is delivered once the bucket works.
    fn finish(self) {
        self.set_bucket(0);
        self.fire.pass(300_000);
        let mut seen: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        // The last record of each prefix.
        let mut last: BTreeMap<String, usize> = BTreeMap::new();
        for (name, body) in self.fire.objects() {
            let prefix = name.split("carts-").next().unwrap().to_owned();
            let mut oldest = i64::MAX;
            for line in String::from_utf8(body).unwrap().lines() {
                let record: Value = serde_json::from_str(line).unwrap();
                let user = record["user"].as_str().unwrap().to_owned();
                let number = record["n"].as_u64().unwrap() as usize;
                assert!(name.contains(&format!("user={user}/")), "{name} has {line}");
                oldest = oldest.min(self.model[&user][number]);
                let before = last.insert(prefix.clone(), number);
                assert!(
                    before.is_none_or(|before| before < number),
                    "{name}: {before:?}, {number}"
                );
                seen.entry(user).or_default().push(number);
            }
            let time = utc(oldest, "%Y-%m-%d-%H-%M-%S");
            assert!(name.contains(&time), "{name} has a record of {time}");
        }
        for (user, arrivals) in &self.model {
            let mut numbers = seen.remove(user).unwrap_or_default();
            numbers.sort_unstable();
            assert_eq!(numbers, (0..arrivals.len()).collect::<Vec<_>>(), "{user}");
        }
        assert!(self.fire.service.store.damage().is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn each_record_is_in_one_object_of_its_partition(
        is_direct in any::<bool>(),
        steps in prop::collection::vec(step(), 1..30),
    ) {
        let mut run = Run::new(is_direct);
        for step in steps {
            run = run.run(step);
        }
        run.finish();
    }
}
