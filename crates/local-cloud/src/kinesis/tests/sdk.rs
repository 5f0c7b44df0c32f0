//! The AWS SDK for Rust against the engine: the SDK must be able to parse all answers.

use std::sync::Arc;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::error::ProvideErrorMetadata;
use aws_sdk_kinesis::primitives::{Blob, DateTime};
use aws_sdk_kinesis::types::{
    EncryptionType, MetricsName, PutRecordsRequestEntry, ScalingType, ShardFilter, ShardFilterType,
    ShardIteratorType, StartingPosition, StreamMode, StreamModeDetails, StreamStatus,
    SubscribeToShardEventStream as Event, Tag,
};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, StreamBody};

use super::world::World;
use crate::Caller;
use crate::kinesis::engine::Engine;
use crate::kinesis::service::Request;
use crate::test_support::{ok, refused};

/// Passes requests directly to the engine.
#[derive(Clone)]
struct InProcess(Arc<Engine>, Caller);

impl std::fmt::Debug for InProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InProcess")
    }
}

impl HttpConnector for InProcess {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Self(service, caller) = self.clone();
        HttpConnectorFuture::new(async move {
            let header = |name| request.headers().get(name).unwrap_or_default().to_owned();
            let body = Bytes::copy_from_slice(request.body().bytes().unwrap_or_default());
            let request = Request {
                target: header("x-amz-target"),
                content_type: header("content-type"),
                body,
            };
            let (parts, mut body) = service.call(caller, request).into_parts();
            // The SDK requires a `Sync` body. A channel provides one.
            let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
            tokio::spawn(async move {
                while let Some(frame) = body.frame().await {
                    if sender.send(frame).is_err() {
                        break;
                    }
                }
            });
            let frames = futures_util::stream::unfold(receiver, |mut receiver| async move {
                receiver.recv().await.map(|frame| (frame, receiver))
            });
            let mut response = HttpResponse::new(
                parts.status.as_u16().try_into().unwrap(),
                SdkBody::from_body_1_x(StreamBody::new(frames.fuse())),
            );
            for (name, value) in &parts.headers {
                response
                    .headers_mut()
                    .insert(name.as_str().to_owned(), value.to_str().unwrap().to_owned());
            }
            Ok(response)
        })
    }
}

fn client(world: &World) -> Client {
    let connector = InProcess(Arc::clone(&world.service), world.caller.clone());
    let http =
        http_client_fn(move |_: &HttpConnectorSettings, _| SharedHttpConnector::new(connector.clone()));
    let config = aws_sdk_kinesis::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .endpoint_url("http://127.0.0.1:4566")
        .http_client(http)
        .build();
    Client::from_conf(config)
}

#[tokio::test]
async fn the_sdk_drives_a_stream_through_its_life() {
    let world = World::new();
    let sdk = client(&world);
    ok!(sdk
        .create_stream()
        .stream_name("orders")
        .shard_count(1)
        .tags("a", "b"));
    world.settle();
    let summary = ok!(sdk.describe_stream_summary().stream_name("orders"));
    let summary = summary.stream_description_summary.unwrap();
    assert_eq!(summary.stream_status, StreamStatus::Active);
    let arn = summary.stream_arn.clone();
    assert_eq!(
        summary.stream_creation_timestamp,
        DateTime::from_millis(super::world::START_MS)
    );

    let change = || world.settle();
    ok!(sdk
        .start_stream_encryption()
        .stream_arn(&arn)
        .encryption_type(EncryptionType::Kms)
        .key_id("alias/aws/kinesis"));
    change();
    ok!(sdk
        .increase_stream_retention_period()
        .stream_arn(&arn)
        .retention_period_hours(48));
    change();
    ok!(sdk
        .enable_enhanced_monitoring()
        .stream_arn(&arn)
        .shard_level_metrics(MetricsName::All));
    change();
    let scaled = ok!(sdk
        .update_shard_count()
        .stream_arn(&arn)
        .target_shard_count(2)
        .scaling_type(ScalingType::UniformScaling));
    assert_eq!(scaled.target_shard_count, Some(2));
    change();
    let description = ok!(sdk.describe_stream().stream_arn(&arn))
        .stream_description
        .unwrap();
    assert_eq!(
        (description.shards.len(), description.encryption_type),
        (3, Some(EncryptionType::Kms))
    );
    let filter = ShardFilter::builder()
        .r#type(ShardFilterType::AtLatest)
        .build()
        .unwrap();
    let open = ok!(sdk.list_shards().stream_arn(&arn).shard_filter(filter))
        .shards
        .unwrap();
    assert_eq!(open[1].parent_shard_id.as_deref(), Some("shardId-000000000000"));
    let tags = ok!(sdk.list_tags_for_stream().stream_arn(&arn));
    assert_eq!(tags.tags, [Tag::builder().key("a").value("b").build().unwrap()]);
    let listed = ok!(sdk.list_streams());
    assert_eq!((listed.stream_names.len(), listed.has_more_streams), (1, false));
    ok!(sdk.describe_limits());
    ok!(sdk.describe_account_settings());
    let mode = StreamModeDetails::builder()
        .stream_mode(StreamMode::OnDemand)
        .build()
        .unwrap();
    ok!(sdk
        .update_stream_mode()
        .stream_arn(&arn)
        .stream_mode_details(mode));
    change();
    ok!(sdk.delete_stream().stream_arn(&arn));
    change();
    let gone = refused!(sdk.describe_stream().stream_name("orders"));
    assert!(gone.as_service_error().unwrap().is_resource_not_found_exception());
    assert_eq!(
        gone.message(),
        Some("Stream orders under account 000000000000 not found.")
    );
}

#[tokio::test]
async fn the_sdk_reads_what_it_wrote() {
    let world = World::new();
    let sdk = client(&world);
    world.stream("orders", 1);
    let entry = |i: i32| {
        PutRecordsRequestEntry::builder()
            .partition_key("k")
            .data(Blob::new(i.to_be_bytes()))
            .build()
            .unwrap()
    };
    let put = ok!(sdk
        .put_records()
        .stream_name("orders")
        .set_records(Some((0..100).map(entry).collect())));
    assert_eq!(put.failed_record_count, Some(0));
    let single = ok!(sdk
        .put_record()
        .stream_name("orders")
        .partition_key("k")
        .data(Blob::new("x")));
    let kind = ShardIteratorType::TrimHorizon;
    let start = sdk
        .get_shard_iterator()
        .stream_name("orders")
        .shard_id("shardId-000000000000")
        .shard_iterator_type(kind);
    let iterator = ok!(start).shard_iterator.unwrap();
    let page = ok!(sdk.get_records().shard_iterator(iterator));
    assert_eq!(page.records.len(), 101);
    assert_eq!(page.records[7].data.as_ref(), 7_i32.to_be_bytes());
    assert_eq!(page.records[100].sequence_number, single.sequence_number);
    assert_eq!(page.millis_behind_latest, Some(0));
    let dry = sdk
        .put_record()
        .stream_name("orders")
        .partition_key("k")
        .data(Blob::new("x"))
        .dry_run(true)
        .send()
        .await;
    assert!(
        dry.unwrap_err()
            .as_service_error()
            .unwrap()
            .is_dry_run_operation_exception()
    );
}

#[tokio::test(start_paused = true)]
async fn the_sdk_follows_a_subscription_to_the_end_of_its_shard() {
    let world = World::new();
    let sdk = client(&world);
    world.stream("orders", 1);
    let consumer = world.consumer("orders", "app");
    world.put("orders", "k", "pushed");
    let start = StartingPosition::builder()
        .r#type(ShardIteratorType::TrimHorizon)
        .build()
        .unwrap();
    let call = sdk
        .subscribe_to_shard()
        .consumer_arn(&consumer)
        .shard_id("shardId-000000000000")
        .starting_position(start);
    let mut events = ok!(call).event_stream;
    let Some(Event::SubscribeToShardEvent(first)) = events.recv().await.unwrap() else {
        panic!("no event")
    };
    assert_eq!(first.records[0].data.as_ref(), b"pushed");
    assert_eq!(
        first.continuation_sequence_number,
        first.records[0].sequence_number
    );
    ok!(sdk
        .split_shard()
        .stream_name("orders")
        .shard_to_split("shardId-000000000000")
        .new_starting_hash_key("1000"));
    let mut children = Vec::new();
    while let Some(Event::SubscribeToShardEvent(event)) = events.recv().await.unwrap() {
        children = event.child_shards.unwrap_or_default();
    }
    assert_eq!(children.len(), 2);
}
