//! Overhead of the mapping.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::world::{World, arn, success};
use crate::Caller;
use crate::invoke::{Invocation, Invoke, InvokeResult};
use crate::mappings::{Mappings, MappingsConfig};
use crate::metrics::NoMetrics;

/// Counts records and does nothing.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Invoke for Counter {
    fn invoke<'a>(&'a self, _: &'a str, payload: Bytes) -> BoxFuture<'a, Invocation> {
        let records = payload.windows(9).filter(|bytes| bytes == b"\"eventID\"").count();
        self.0.fetch_add(records, Ordering::Relaxed);
        let request_id = String::new();
        let result = InvokeResult::Returned(Bytes::from_static(b"null"));
        async move {
            Invocation {
                request_id,
                executed_version: None,
                result,
            }
        }
        .boxed()
    }

    fn exists(&self, _: &str) -> bool {
        true
    }

    fn timeout_seconds(&self, _: &str) -> Option<u32> {
        None
    }
}

/// 50,000 events through one shard. The mapping takes less than a second of it in an unoptimized build.
#[tokio::test]
async fn a_shard_is_read_faster_than_it_can_be_written() {
    let world = World::bare(1, |_| success());
    let data: Vec<String> = (0..50_000)
        .map(|n| format!("{{\"n\":{n},\"pad\":\"{:0100}\"}}", n))
        .collect();
    for chunk in data.chunks(500) {
        world.put_all(&chunk.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let counter = Arc::new(Counter::default());
    let mappings = Mappings::open(MappingsConfig {
        data_dir: world.dir.path().join("counted"),
        clock: Arc::clone(&world.clock) as _,
        kinesis: Arc::clone(&world.kinesis),
        invoke: Arc::clone(&counter) as _,
        deliver: Arc::clone(&world.inbox) as _,
        metrics: Arc::new(NoMetrics),
        max_filters: 5,
    })
    .unwrap();
    let input: Value =
        json!({"FunctionName": "work", "EventSourceArn": arn(), "StartingPosition": "TRIM_HORIZON"});
    let request = http::Request::post(super::world::PATH).body(()).unwrap();
    let started = std::time::Instant::now();
    let answer = mappings
        .handle(
            &Caller::default(),
            &request.into_parts().0,
            input.to_string().as_bytes(),
        )
        .await;
    assert_eq!(answer.unwrap().status(), 202);
    while counter.0.load(Ordering::Relaxed) < data.len() {
        assert!(started.elapsed().as_secs() < 60, "{:?} events", counter.0);
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    println!("{} events in {:?}", data.len(), started.elapsed());
    mappings.shutdown();
}
