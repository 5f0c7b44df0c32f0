//! Each record is in one object, in order, whatever happens: a property test of both sources.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::clock::utc;

#[derive(Debug, Clone)]
enum Step {
    /// Records with this many bytes of padding.
    Put(Vec<usize>),
    Pass(i64),
    Restart,
    Reshard(u32),
    /// Puts to S3 are refused, stored without an answer, or work.
    Bucket(u8),
    Update,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => prop::collection::vec(prop_oneof![3 => 0..200usize, 1 => 0..400_000usize], 1..8).prop_map(Step::Put),
        4 => (1..16i64).prop_map(|n| Step::Pass(n * 5_000)),
        2 => Just(Step::Restart),
        1 => (1..4u32).prop_map(Step::Reshard),
        2 => (0..3u8).prop_map(Step::Bucket),
        1 => Just(Step::Update),
    ]
}

/// What was put: for each key, the arrival of each record.
type Model = BTreeMap<String, Vec<i64>>;

const KEYS: usize = 4;

struct Run {
    fire: Fire,
    is_direct: bool,
    model: Model,
    next: usize,
    version: u32,
}

impl Run {
    fn new(is_direct: bool) -> Self {
        let fire = Fire::new();
        fire.world.stream("orders", 2);
        let destination = lake_with(&json!({"ProcessingConfiguration": newlines()}));
        match is_direct {
            true => fire.direct("carts", destination),
            false => fire.reading("carts", destination),
        }
        Self {
            fire,
            is_direct,
            model: Model::new(),
            next: 0,
            version: 1,
        }
    }

    fn put(&mut self, padding: usize) {
        // Direct puts have one order.
        let key = match self.is_direct {
            true => "k0".to_owned(),
            false => format!("k{}", self.next % KEYS),
        };
        self.next += 1;
        let arrivals = self.model.entry(key.clone()).or_default();
        let text = format!("{key} {} {}", arrivals.len(), "x".repeat(padding));
        arrivals.push(self.fire.service.now_ms());
        match self.is_direct {
            true => drop(self.fire.put("carts", &text)),
            false => drop(self.fire.world.put("orders", &key, &text)),
        }
        // Arrivals differ.
        self.fire.world.clock.advance(7);
    }

    fn set_bucket(&self, state: u8) {
        let objects = &self.fire.world.objects;
        *objects.refuses.lock().unwrap() = (state == 1).then_some("SlowDown");
        *objects.loses_answers.lock().unwrap() = state == 2;
    }

    fn run(mut self, step: Step) -> Self {
        match step {
            Step::Put(records) => records.into_iter().for_each(|padding| self.put(padding)),
            Step::Pass(ms) => self.fire.pass(ms),
            Step::Restart => self.fire = self.fire.restarted(),
            Step::Reshard(shards) => {
                // The same number is refused.
                let input = json!({"StreamName": "orders", "TargetShardCount": shards, "ScalingType": "UNIFORM_SCALING"});
                self.fire.world.call("UpdateShardCount", &input);
                self.fire.world.settle();
            }
            Step::Bucket(state) => self.set_bucket(state),
            Step::Update => {
                self.fire.ok(
                    "UpdateDestination",
                    json!({
                        "DeliveryStreamName": "carts",
                        "CurrentDeliveryStreamVersionId": self.version.to_string(),
                        "DestinationId": "destinationId-000000000001",
                        "ExtendedS3DestinationUpdate": {"Prefix": format!("v{}/", self.version + 1)},
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
        self.fire.pass(200_000);
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let objects = self.fire.objects();
        for (name, body) in &objects {
            let text = String::from_utf8(body.clone()).unwrap();
            assert!(text.ends_with('\n'));
            let mut oldest = i64::MAX;
            for line in text.lines() {
                let mut parts = line.split(' ');
                let (key, number) = (parts.next().unwrap(), parts.next().unwrap());
                let number: usize = number.parse().unwrap();
                oldest = oldest.min(self.model[key][number]);
                let next = seen.entry(key.to_owned()).or_default();
                assert_eq!(number, *next, "{key} in {name}");
                *next += 1;
            }
            let time = utc(oldest, "%Y-%m-%d-%H-%M-%S");
            assert!(name.contains(&time), "{name} has a record of {time}");
            assert!(name.contains(&utc(oldest, "%Y/%m/%d/%H/")), "{name}");
            // At most one record after the last byte that fits, and line feeds.
            assert!(body.len() < MIB + 400_100 + 1000, "{}", body.len());
        }
        let wanted: BTreeMap<String, usize> = self
            .model
            .iter()
            .map(|(key, arrivals)| (key.clone(), arrivals.len()))
            .collect();
        assert_eq!(seen, wanted);
        let bytes: usize = objects.iter().map(|(_, body)| body.len()).sum();
        let full = objects.iter().filter(|(_, body)| body.len() >= MIB).count();
        assert!(full <= bytes / MIB);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn each_record_is_in_one_object_in_order(
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
