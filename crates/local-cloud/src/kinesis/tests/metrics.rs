//! Metrics sent to CloudWatch.

use serde_json::json;

use super::world::{World, base64};

impl World {
    /// Sum and unit of a metric.
    fn metric(&self, key: &str) -> Option<(f64, String)> {
        let metrics = self.metrics.0.lock().unwrap();
        let samples = metrics.iter().filter(|metric| {
            assert_eq!(metric.namespace, "AWS/Kinesis");
            format!("{} {}", metric.name, metric.dimensions) == key
        });
        samples.fold(None, |found, metric| {
            let sum = found.map_or(0.0, |(sum, _)| sum);
            Some((sum + metric.sample.sum, metric.unit.clone()))
        })
    }

    fn sum(&self, key: &str) -> f64 {
        self.metric(key).unwrap_or_else(|| panic!("no {key}")).0
    }
}

#[test]
fn puts_and_gets_are_recorded_per_stream() {
    let world = World::new();
    world.stream("orders", 2);
    let records = vec![json!({"PartitionKey": "k", "Data": base64("1234")}); 3];
    world.ok("PutRecords", json!({"StreamName": "orders", "Records": records}));
    world.put("orders", "k", "1234");
    let s = "StreamName=orders";
    assert_eq!(
        world.metric(&format!("IncomingBytes {s}")),
        Some((20.0, "Bytes".to_owned()))
    );
    assert_eq!(
        world.metric(&format!("IncomingRecords {s}")),
        Some((4.0, "Count".to_owned()))
    );
    assert_eq!(world.sum(&format!("PutRecords.Bytes {s}")), 15.0);
    assert_eq!(world.sum(&format!("PutRecords.TotalRecords {s}")), 3.0);
    assert_eq!(world.sum(&format!("PutRecords.SuccessfulRecords {s}")), 3.0);
    assert_eq!(world.sum(&format!("PutRecords.FailedRecords {s}")), 0.0);
    assert_eq!(world.sum(&format!("PutRecord.Success {s}")), 1.0);
    assert_eq!(world.sum(&format!("WriteProvisionedThroughputExceeded {s}")), 0.0);
    assert_eq!(
        world.metric(&format!("PutRecord.Latency {s}")).unwrap().1,
        "Milliseconds"
    );
    world.clock.advance(2000);
    let shard = world.ok(
        "PutRecord",
        json!({"StreamName": "orders", "PartitionKey": "k", "Data": ""}),
    );
    world.clock.advance(1000);
    let index: u32 = shard["ShardId"].as_str().unwrap()[8..].parse().unwrap();
    world.get(&world.iterator("orders", index, "TRIM_HORIZON"));
    assert_eq!(world.sum(&format!("GetRecords.Records {s}")), 5.0);
    assert_eq!(world.sum(&format!("GetRecords.Bytes {s}")), 21.0);
    assert_eq!(
        world.sum(&format!("GetRecords.IteratorAgeMilliseconds {s}")),
        1000.0
    );
    assert_eq!(world.sum(&format!("ReadProvisionedThroughputExceeded {s}")), 0.0);
    assert!(
        world
            .metric(&format!(
                "IncomingBytes {s},ShardId={}",
                shard["ShardId"].as_str().unwrap()
            ))
            .is_none()
    );
}

#[test]
fn shard_metrics_are_recorded_when_enabled() {
    let world = World::new();
    world.stream("orders", 1);
    world.ok(
        "EnableEnhancedMonitoring",
        json!({"StreamName": "orders", "ShardLevelMetrics": ["IncomingRecords", "OutgoingBytes"]}),
    );
    world.put("orders", "k", "1234");
    world.get(&world.iterator("orders", 0, "TRIM_HORIZON"));
    let s = "StreamName=orders,ShardId=shardId-000000000000";
    assert_eq!(world.sum(&format!("IncomingRecords {s}")), 1.0);
    assert_eq!(world.sum(&format!("OutgoingBytes {s}")), 5.0);
    assert!(world.metric(&format!("IncomingBytes {s}")).is_none());
}

#[test]
fn throttling_is_recorded() {
    let world = World::strict();
    world.stream("orders", 1);
    for _ in 0..3 {
        let records = vec![json!({"PartitionKey": "k", "Data": ""}); 400];
        world.ok("PutRecords", json!({"StreamName": "orders", "Records": records}));
    }
    assert_eq!(world.sum("PutRecords.ThrottledRecords StreamName=orders"), 200.0);
    assert_eq!(
        world.sum("WriteProvisionedThroughputExceeded StreamName=orders"),
        200.0
    );
    assert_eq!(world.sum("IncomingRecords StreamName=orders"), 1000.0);
}
