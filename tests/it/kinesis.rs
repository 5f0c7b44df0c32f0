//! Every operation of Kinesis Data Streams, called with the AWS SDK for Rust over HTTP on a running local cloud. The
//! tests assert what AWS documents.

mod cbor;
mod consumers;
mod data;
mod encryption;
mod errors;
mod iterators;
mod limits;
mod modes;
mod raw;
mod reshard;
mod restart;
mod settings;
mod shards;
mod status;
mod streams;
mod subscribe;
mod tags;

use std::fmt::Debug;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_config::retry::RetryConfig;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::Region;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::put_record::PutRecordOutput;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{
    ChildShard, PutRecordsRequestEntry, Record, Shard, ShardIteratorType, StreamDescriptionSummary,
    StreamStatus,
};

use crate::support::Cloud;

/// The first hash key of the upper half of all hash keys: 2^127.
const MIDDLE: &str = "170141183460469231731687303715884105728";
/// The last hash key: 2^128 - 1.
const LAST: &str = "340282366920938463463374607431768211455";

/// Sends a request that must be refused with this typed error of the SDK. Returns the message.
macro_rules! refused {
    ($request:expr, $is:ident) => {{
        let error = $request.send().await.unwrap_err().into_service_error();
        assert!(error.$is(), "{error:?}");
        crate::kinesis::message(&error)
    }};
}
pub(crate) use refused;

/// The message of an error.
fn message(error: &impl ProvideErrorMetadata) -> String {
    error.message().unwrap_or_default().to_owned()
}

/// A client that does not retry, since many tests expect errors.
fn client(cloud: &Cloud) -> Client {
    client_in(cloud, "us-east-1")
}

fn client_in(cloud: &Cloud, region: &'static str) -> Client {
    let config = cloud
        .sdk()
        .into_builder()
        .region(Region::new(region))
        .retry_config(RetryConfig::disabled());
    Client::new(&config.build())
}

/// The code of an error for which the SDK has no type.
fn code<T: Debug, E: ProvideErrorMetadata + Debug, R: Debug>(outcome: Result<T, SdkError<E, R>>) -> String {
    let error = outcome.unwrap_err();
    error.code().unwrap_or_default().to_owned()
}

/// Calls `ask` until it returns a value, for at most ten seconds.
async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// Milliseconds of the wall clock.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// Waits until the clock has passed `ms`, so that the next record is later.
async fn after(ms: i64) {
    until("a later time", || async { (now_ms() > ms).then_some(()) }).await;
}

/// Creates a provisioned stream, waits until it is ACTIVE, and returns its ARN.
async fn create(client: &Client, name: &str, shards: i32) -> String {
    let request = client.create_stream().stream_name(name).shard_count(shards);
    request.send().await.unwrap();
    wait_active(client, name).await.stream_arn
}

async fn summary(client: &Client, name: &str) -> StreamDescriptionSummary {
    let request = client.describe_stream_summary().stream_name(name);
    request.send().await.unwrap().stream_description_summary.unwrap()
}

async fn wait_active(client: &Client, name: &str) -> StreamDescriptionSummary {
    until("the stream is ACTIVE", || async {
        let summary = summary(client, name).await;
        (*summary.stream_status() == StreamStatus::Active).then_some(summary)
    })
    .await
}

/// `shardId-00000000000n`.
fn shard_id(n: u32) -> String {
    format!("shardId-{n:012}")
}

async fn all_shards(client: &Client, name: &str) -> Vec<Shard> {
    let request = client.list_shards().stream_name(name);
    request.send().await.unwrap().shards.unwrap()
}

fn is_open(shard: &Shard) -> bool {
    let range = shard.sequence_number_range().unwrap();
    range.ending_sequence_number().is_none()
}

fn ids<'a>(shards: impl IntoIterator<Item = &'a Shard>) -> Vec<&'a str> {
    shards.into_iter().map(Shard::shard_id).collect()
}

async fn put(client: &Client, name: &str, key: &str, data: impl Into<Vec<u8>>) -> PutRecordOutput {
    let request = client.put_record().stream_name(name).partition_key(key);
    request.data(Blob::new(data)).send().await.unwrap()
}

fn entry(key: &str, data: impl Into<Vec<u8>>) -> PutRecordsRequestEntry {
    let entry = PutRecordsRequestEntry::builder().partition_key(key);
    entry.data(Blob::new(data)).build().unwrap()
}

async fn iterator(client: &Client, name: &str, shard: &str, kind: ShardIteratorType) -> String {
    let request = client.get_shard_iterator().stream_name(name).shard_id(shard);
    let answer = request.shard_iterator_type(kind).send().await.unwrap();
    answer.shard_iterator.unwrap()
}

/// All records from `iterator` to the current end of its shard, and the child shards if the shard is closed.
async fn drain(client: &Client, iterator: String) -> (Vec<Record>, Vec<ChildShard>) {
    let mut records = Vec::new();
    let mut iterator = iterator;
    loop {
        let page = client
            .get_records()
            .shard_iterator(&iterator)
            .send()
            .await
            .unwrap();
        records.extend(page.records);
        match page.next_shard_iterator {
            None => return (records, page.child_shards.unwrap_or_default()),
            Some(_) if page.millis_behind_latest == Some(0) => return (records, Vec::new()),
            Some(next) => iterator = next,
        }
    }
}

/// All records of a shard.
async fn read(client: &Client, name: &str, shard: &str) -> Vec<Record> {
    let start = iterator(client, name, shard, ShardIteratorType::TrimHorizon).await;
    drain(client, start).await.0
}

fn text(record: &Record) -> &str {
    std::str::from_utf8(record.data().as_ref()).unwrap()
}

fn texts(records: &[Record]) -> Vec<&str> {
    records.iter().map(text).collect()
}
