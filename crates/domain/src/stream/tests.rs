//! Complete changes, against a fake service that has one stream, which becomes ACTIVE slowly.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::context::Context;
use crate::settings::Settings;

/// The stream of the fake service.
struct Service {
    exists: bool,
    shards: u64,
    consumers: u64,
    tags: BTreeMap<String, String>,
    /// Number of descriptions that still say UPDATING.
    busy: u32,
    /// Number of changing calls rejected with ResourceInUseException although the stream is ACTIVE.
    refusals: u32,
    /// Number of changing calls that take effect but return a server error.
    lost_answers: u32,
    /// All calls except descriptions and lists of tags.
    calls: Vec<String>,
}

impl Service {
    /// The response to a call: HTTP status and body.
    fn answer(&mut self, operation: &str, body: &Value) -> (u16, Value) {
        let error = |code: &str| (400, json!({"__type": code, "message": "refused"}));
        match operation {
            "DescribeStreamSummary" if !self.exists => return error("ResourceNotFoundException"),
            "DescribeStreamSummary" => {
                let status = if self.busy > 0 { "UPDATING" } else { "ACTIVE" };
                self.busy = self.busy.saturating_sub(1);
                return (200, self.summary(status));
            }
            "ListTagsForStream" => {
                let tags = self.tags.iter().map(|(k, v)| json!({"Key": k, "Value": v}));
                return (
                    200,
                    json!({"Tags": tags.collect::<Vec<_>>(), "HasMoreTags": false}),
                );
            }
            _ => self.calls.push(match body["TargetShardCount"].as_u64() {
                Some(count) => format!("{operation} {count}"),
                None => operation.to_owned(),
            }),
        }
        if operation == "DescribeLimits" {
            let limits = json!({"ShardLimit": 20, "OpenShardCount": self.shards,
                "OnDemandStreamCount": 0, "OnDemandStreamCountLimit": 10});
            return (200, limits);
        }
        if self.busy > 0 || self.refusals > 0 || (operation == "CreateStream" && self.exists) {
            self.refusals = self.refusals.saturating_sub(1);
            return error("ResourceInUseException");
        }
        if body["TargetShardCount"].as_u64() == Some(self.shards) {
            return error("InvalidArgumentException");
        }
        match operation {
            "CreateStream" => self.exists = true,
            "DeleteStream" => self.exists = false,
            "UpdateShardCount" => self.shards = body["TargetShardCount"].as_u64().unwrap(),
            other => panic!("{other} is not expected"),
        }
        self.busy = 2;
        if self.lost_answers > 0 {
            self.lost_answers -= 1;
            self.busy = 0;
            return (
                500,
                json!({"__type": "InternalFailureException", "message": "lost"}),
            );
        }
        (200, json!({}))
    }

    fn summary(&self, status: &str) -> Value {
        json!({"StreamDescriptionSummary": {
            "StreamName": "orders",
            "StreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/orders",
            "StreamStatus": status,
            "StreamModeDetails": {"StreamMode": "PROVISIONED"},
            "RetentionPeriodHours": 24,
            "StreamCreationTimestamp": 1_767_225_600.0,
            "EnhancedMonitoring": [{"ShardLevelMetrics": []}],
            "EncryptionType": "NONE",
            "OpenShardCount": self.shards,
            "ConsumerCount": self.consumers,
        }})
    }
}

async fn serve(service: Arc<Mutex<Service>>, stream: TcpStream) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut operation, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            if line == "\r\n" {
                break;
            }
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                continue;
            };
            match name.to_ascii_lowercase().as_str() {
                "x-amz-target" => operation = value.rsplit('.').next()?.to_owned(),
                "content-length" => length = value.parse().ok()?,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let body = serde_json::from_slice(&body).ok()?;
        let (status, answer) = service.lock().unwrap().answer(&operation, &body);
        let answer = answer.to_string();
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        stream.write_all((head + &answer).as_bytes()).await.ok()?;
    }
}

/// A context with the stream `orders`, modified by `change`.
async fn service(change: impl FnOnce(&mut Service)) -> (Context, Arc<Mutex<Service>>) {
    let mut state = Service {
        exists: true,
        shards: 1,
        consumers: 0,
        tags: BTreeMap::new(),
        busy: 0,
        refusals: 0,
        lost_answers: 0,
        calls: Vec::new(),
    };
    change(&mut state);
    let service = Arc::new(Mutex::new(state));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let served = Arc::clone(&service);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(Arc::clone(&served), stream));
        }
    });
    let settings = Settings {
        environment: Some("test".to_owned()),
        ..Settings::of_endpoint(&endpoint)
    };
    (Context::connect(settings).await.unwrap(), service)
}

fn calls(service: &Mutex<Service>) -> Vec<String> {
    service.lock().unwrap().calls.clone()
}

fn new_stream(tags: &[(&str, &str)]) -> NewStream {
    NewStream {
        capacity: Capacity::Provisioned { shards: 1 },
        tags: tags.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        max_record_size_kib: None,
    }
}

#[tokio::test]
async fn a_reshard_waits_between_its_steps() {
    let (ctx, service) = service(|s| s.busy = 3).await;
    let events = Mutex::new(Vec::new());
    let tell = |event: Event| events.lock().unwrap().push(event);
    let state = Changer::new(&ctx, "orders", &tell)
        .set_shard_count(5)
        .await
        .unwrap();
    assert_eq!(state.open_shards, 5);
    assert_eq!(
        calls(&service),
        [
            "DescribeLimits",
            "UpdateShardCount 2",
            "UpdateShardCount 4",
            "UpdateShardCount 5"
        ]
    );
    let steps: Vec<String> = events
        .into_inner()
        .unwrap()
        .iter()
        .filter(|event| matches!(event, Event::Resharding { .. }))
        .map(Event::to_string)
        .collect();
    assert_eq!(
        steps,
        [
            "resharding 1 → 2 (step 1 of 3)",
            "resharding 2 → 4 (step 2 of 3)",
            "resharding 4 → 5 (step 3 of 3)"
        ]
    );
}

#[tokio::test]
async fn a_change_whose_answer_was_lost_is_not_a_failure() {
    let (ctx, service) = service(|s| s.lost_answers = 1).await;
    let changer = Changer::new(&ctx, "orders", &|_| {});
    let state = changer.set_shard_count(2).await.unwrap();
    assert_eq!(state.open_shards, 2);
    assert!(calls(&service).len() > 2, "the call is made again");
}

#[tokio::test]
async fn nothing_is_called_where_nothing_changes() {
    let (ctx, service) = service(|s| s.shards = 4).await;
    let changer = Changer::new(&ctx, "orders", &|_| {});
    changer.set_shard_count(4).await.unwrap();
    changer.set_retention(24).await.unwrap();
    changer.set_encryption(None).await.unwrap();
    changer.set_monitoring(&Default::default()).await.unwrap();
    changer.set_mode(Mode::Provisioned).await.unwrap();
    changer.set_max_record_size(1_024).await.unwrap();
    changer
        .change_tags(&BTreeMap::new(), &Default::default())
        .await
        .unwrap();
    assert_eq!(calls(&service), [""; 0]);
}

#[tokio::test]
async fn a_reshard_beyond_the_account_limit_is_not_begun() {
    let (ctx, service) = service(|s| s.shards = 8).await;
    let changer = Changer::new(&ctx, "orders", &|_| {});
    let error = changer.set_shard_count(32).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "24 more shards would exceed the account's limit of 20 in this region (8 are open)"
    );
    assert_eq!(calls(&service), ["DescribeLimits"]);
}

#[tokio::test]
async fn a_change_refused_as_busy_is_made_again() {
    let (ctx, service) = service(|s| s.refusals = 2).await;
    Changer::new(&ctx, "orders", &|_| {})
        .set_shard_count(2)
        .await
        .unwrap();
    assert_eq!(
        calls(&service)[1..],
        ["UpdateShardCount 2", "UpdateShardCount 2", "UpdateShardCount 2"]
    );
}

#[tokio::test]
async fn a_stream_is_created_and_waited_for() {
    let (ctx, service) = service(|s| s.exists = false).await;
    let changer = Changer::new(&ctx, "orders", &|_| {});
    let state = changer.create(&new_stream(&[])).await.unwrap();
    assert!(state.is_active());
    assert_eq!(calls(&service), ["CreateStream"]);
}

#[tokio::test]
async fn a_stream_that_exists_is_ours_only_with_our_tags() {
    let (ctx, _service) = service(|s| {
        s.tags = [("Pipeline".to_owned(), "a".to_owned())].into();
    })
    .await;
    let changer = Changer::new(&ctx, "orders", &|_| {});
    changer.create(&new_stream(&[("Pipeline", "a")])).await.unwrap();
    for tags in [&[][..], &[("Pipeline", "b")]] {
        let error = changer.create(&new_stream(tags)).await.unwrap_err();
        assert!(error.is("ResourceInUseException"), "{tags:?}");
    }
}

#[tokio::test]
async fn a_stream_with_consumers_is_deleted_only_together_with_them() {
    let (ctx, service) = service(|s| s.consumers = 2).await;
    let changer = Changer::new(&ctx, "orders", &|_| {});
    let error = changer.delete(false).await.unwrap_err();
    assert_eq!(error.to_string(), "stream orders has 2 registered consumers");
    changer.delete(true).await.unwrap();
    changer.delete(true).await.unwrap();
    assert_eq!(calls(&service), ["DeleteStream"]);
    assert_eq!(observe(&ctx, "orders").await.unwrap(), None);
}

#[tokio::test]
async fn patience_ends() {
    let (ctx, _service) = service(|s| s.busy = u32::MAX).await;
    let changer = Changer::new(&ctx, "orders", &|_| {}).patience(Duration::from_millis(30));
    let error = changer.set_retention(48).await.unwrap_err();
    assert_eq!(error.to_string(), "stream orders is still UPDATING after 0s");
}

#[test]
fn names_are_checked_as_the_service_does() {
    for name in ["a", "A.b_c-1", &"x".repeat(128)] {
        check_name(name).unwrap();
    }
    for name in ["", "a b", "ä", "a/b", &"x".repeat(129)] {
        assert_eq!(
            check_name(name).unwrap_err().exit(),
            ground::exit::Exit::Usage,
            "{name}"
        );
    }
}
