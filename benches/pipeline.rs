//! The `retail` pipeline on a new local cloud: time to set it up, latency and throughput of events, and the overhead of
//! an invocation.
//!
//! `cargo bench --bench pipeline [-- EVENTS]`. The binary sets up the pipeline, the bundled
//! handler runs behind an event source mapping, and the AWS SDK puts events and looks at the table.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints, and has no use for errors"
)]

mod common;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::{AttributeValue, Select};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use aws_sdk_lambda::client::Waiters;
use aws_sdk_lambda::types::LogType;
use common::Cloud;
use serde_json::json;

const STREAM: &str = "retail-events-stream-dev";
const FUNCTION: &str = "retail-event-processor-dev";
const TABLE: &str = "retail-events-data-dev";
const SAMPLES: usize = 100;

fn main() {
    common::run(50_000, bench);
}

struct Clients {
    kinesis: aws_sdk_kinesis::Client,
    dynamodb: aws_sdk_dynamodb::Client,
}

async fn bench(events: usize) {
    let begun = Instant::now();
    let cloud = Cloud::start();
    cloud.streamctl(&[
        "setup",
        "retail",
        "--param",
        "batching_window=0",
        "--param",
        "batch_size=1000",
    ]);
    let setup = begun.elapsed();
    let sdk = cloud.sdk().await;
    let clients = Clients {
        kinesis: aws_sdk_kinesis::Client::new(&sdk),
        dynamodb: aws_sdk_dynamodb::Client::new(&sdk),
    };
    clients.stored("first").await;
    println!(
        "setup {:.2} s, first event stored {:.2} s after the beginning",
        setup.as_secs_f64(),
        begun.elapsed().as_secs_f64()
    );
    let mut latencies = Vec::with_capacity(SAMPLES);
    for number in 0..SAMPLES {
        latencies.push(clients.stored(&format!("sample-{number}")).await);
    }
    let worst = latencies.iter().max().unwrap().as_secs_f64() * 1e3;
    let middle = common::median(latencies).as_secs_f64() * 1e3;
    println!("put to stored: median {middle:.1} ms, worst of {SAMPLES} {worst:.1} ms");
    clients.through(&cloud, events).await;
    executor(&aws_sdk_lambda::Client::new(&sdk)).await;
}

/// Overhead of an invocation: its time without the duration in the function's log.
async fn executor(lambda: &aws_sdk_lambda::Client) {
    let mut warm = Vec::with_capacity(SAMPLES);
    let mut cold = Vec::with_capacity(SAMPLES / 10);
    overhead(lambda).await;
    for _ in 0..SAMPLES {
        warm.push(overhead(lambda).await);
    }
    for number in 0..SAMPLES / 10 {
        // After a change the next invocation begins with a new process.
        let change = lambda.update_function_configuration().function_name(FUNCTION);
        change.description(number.to_string()).send().await.unwrap();
        let settled = lambda.wait_until_function_updated_v2().function_name(FUNCTION);
        settled.wait(Duration::from_secs(10)).await.unwrap();
        cold.push(overhead(lambda).await);
    }
    println!(
        "an invocation beside the function itself: {:.2} ms warm, {:.2} ms cold (medians of {SAMPLES} and {})",
        common::median(warm).as_secs_f64() * 1e3,
        common::median(cold).as_secs_f64() * 1e3,
        SAMPLES / 10
    );
}

/// The time of one invocation without its duration and its initialisation.
async fn overhead(lambda: &aws_sdk_lambda::Client) -> Duration {
    let begun = Instant::now();
    let call = lambda.invoke().function_name(FUNCTION).log_type(LogType::Tail);
    let answer = call.payload(Blob::new(r#"{"Records":[]}"#)).send().await.unwrap();
    let all = begun.elapsed();
    assert_eq!(answer.function_error(), None);
    let log = base64_simd::STANDARD
        .decode_to_vec(answer.log_result().unwrap())
        .unwrap();
    let log = String::from_utf8(log).unwrap();
    let milliseconds = |name: &str| {
        let text = log.split(name).nth(1)?.split_whitespace().next()?;
        text.parse::<f64>().ok()
    };
    let own = milliseconds("\tDuration: ").unwrap() + milliseconds("Init Duration: ").unwrap_or_default();
    all.saturating_sub(Duration::from_secs_f64(own / 1e3))
}

impl Clients {
    /// Puts one event of the user `user` and waits until it is in the table.
    async fn stored(&self, user: &str) -> Duration {
        let begun = Instant::now();
        let event = event(user, 0);
        let put = self.kinesis.put_record().stream_name(STREAM).partition_key(user);
        put.data(Blob::new(event)).send().await.unwrap();
        loop {
            let query = self
                .dynamodb
                .query()
                .table_name(TABLE)
                .key_condition_expression("userId = :user")
                .set_expression_attribute_values(Some(HashMap::from([(
                    ":user".to_owned(),
                    AttributeValue::S(user.to_owned()),
                )])))
                .select(Select::Count);
            if query.send().await.unwrap().count > 0 {
                return begun.elapsed();
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "the event never came");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Puts `events` events and waits until all are in the table.
    async fn through(&self, cloud: &Cloud, events: usize) {
        let before = self.count().await;
        let cpu = common::cpu_time(cloud.pid);
        let begun = Instant::now();
        for chunk in (0..events).collect::<Vec<_>>().chunks(500) {
            let entries = chunk.iter().map(|number| {
                let user = format!("user-{:03}", number % 500);
                let entry = PutRecordsRequestEntry::builder().partition_key(&user);
                entry.data(Blob::new(event(&user, *number))).build().unwrap()
            });
            let put = self.kinesis.put_records().stream_name(STREAM);
            let put = put.set_records(Some(entries.collect())).send().await.unwrap();
            assert_eq!(put.failed_record_count(), Some(0));
        }
        let put = begun.elapsed();
        // The only shard is read in order: once the last event is stored, all are. Reading one user's events is cheap
        // enough not to distort the result.
        self.stored("last").await;
        let all = begun.elapsed();
        let cpu = common::cpu_time(cloud.pid) - cpu;
        while self.count().await < before + events + 1 {
            assert!(begun.elapsed() < Duration::from_secs(120), "not all events came");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        println!(
            "{events} events: put in {:.2} s, stored in {:.2} s: {:.0} events/s; the local cloud used {:.2} s of CPU",
            put.as_secs_f64(),
            all.as_secs_f64(),
            events as f64 / all.as_secs_f64(),
            cpu.as_secs_f64()
        );
    }

    async fn count(&self) -> usize {
        let mut pages = self
            .dynamodb
            .scan()
            .table_name(TABLE)
            .select(Select::Count)
            .into_paginator()
            .send();
        let mut count = 0;
        while let Some(page) = pages.next().await {
            count += usize::try_from(page.unwrap().count).unwrap();
        }
        count
    }
}

fn event(user: &str, number: usize) -> Vec<u8> {
    let event = json!({
        "userId": user, "eventType": "purchase", "productId": format!("P{:04}", number % 100 + 1),
        "timestamp": 1_795_251_600_000_u64 + number as u64, "sessionId": format!("session-{}", number / 7),
        "price": 29.99,
    });
    event.to_string().into_bytes()
}
