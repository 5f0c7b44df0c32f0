use std::sync::{Arc, Mutex};

use serde_json::{Map, Value, json};

use super::super::test_support::{Endpoint, changes, context, location, refusal, spec, there, with_step};
use super::*;
use crate::pipeline::resource::{Observed, Resource};
use crate::pipeline::tags::Owner;

const DECLARED: &str = r#"
name = "carts"
stream = "arn:aws:kinesis:us-east-1:000000000000:stream/carts"
bucket = "carts-lake"
role = "arn:aws:iam::000000000000:role/carts"
"#;
const ARN: &str = "arn:aws:kinesis:us-east-1:000000000000:channel/carts/1";

/// Kinesis with at most one channel.
#[derive(Default)]
struct Service {
    /// `ChannelDescription`.
    channel: Option<Value>,
    tags: Map<String, Value>,
    /// Refusals of the next calls to CreateChannel.
    refusals: Vec<&'static str>,
}

impl Service {
    fn answer(&mut self, call: &str, input: &Value) -> (u16, String) {
        let answer = match call {
            "CreateChannel" => {
                if let Some(message) = self.refusals.pop() {
                    let refused = json!({"__type": "AccessDeniedException", "message": message});
                    return (400, refused.to_string());
                }
                let mut destination = input["S3DestinationConfiguration"].clone();
                destination["DeadLetterQueueS3Configuration"] = json!({"BucketARN": "arn:aws:s3:::carts-lake", "ErrorOutputPrefix": "kinesis-channel/errors/carts/"});
                self.channel = Some(json!({
                    "ChannelName": "carts",
                    "ChannelARN": ARN,
                    "ChannelStatus": "ACTIVE",
                    "ChannelCreationTimestamp": 1_760_000_000,
                    "ServiceExecutionRoleARN": input["ServiceExecutionRoleARN"],
                    "StreamConfigurationList": input["StreamConfigurationList"],
                    "S3DestinationConfiguration": destination,
                }));
                self.tags.extend(input["Tags"].as_object().unwrap().clone());
                json!({"ChannelDescription": self.channel})
            }
            "ListChannels" => {
                let summary = self.channel.as_ref().map(|channel| {
                    json!({
                        "ChannelName": "carts",
                        "ChannelARN": ARN,
                        "ChannelStatus": channel["ChannelStatus"],
                        "ChannelCreationTimestamp": 1_760_000_000,
                        "ChannelDestinationType": "S3",
                        "Streams": [{"StreamARN": channel["StreamConfigurationList"][0]["StreamARN"]}],
                    })
                });
                json!({"ChannelSummaries": summary.into_iter().collect::<Vec<_>>()})
            }
            "DescribeChannel" => json!({"ChannelDescription": self.channel}),
            "UpdateChannel" => {
                let seconds = input["S3DestinationConfiguration"]["DataFreshnessInSeconds"].clone();
                let channel = self.channel.as_mut().unwrap();
                channel["S3DestinationConfiguration"]["DataFreshnessInSeconds"] = seconds;
                json!({})
            }
            "DeleteChannel" => {
                self.channel = None;
                json!({})
            }
            "ListTagsForResource" => {
                let tags = self.tags.iter();
                let tags: Vec<Value> = tags
                    .map(|(key, value)| json!({"Key": key, "Value": value}))
                    .collect();
                json!({"Tags": tags})
            }
            other => panic!("{other}"),
        };
        (200, answer.to_string())
    }
}

async fn endpoint() -> (Endpoint, Arc<Mutex<Service>>) {
    let service: Arc<Mutex<Service>> = Arc::default();
    let state = Arc::clone(&service);
    let endpoint = Endpoint::start(move |call, body| {
        let input = serde_json::from_str(body).unwrap_or_default();
        state.lock().unwrap().answer(call, &input)
    })
    .await;
    (endpoint, service)
}

#[tokio::test]
async fn it_is_created_observed_changed_and_deleted() {
    let (endpoint, service) = endpoint().await;
    // A new role is not visible at once.
    service.lock().unwrap().refusals =
        vec!["Kinesis cannot assume the role arn:aws:iam::000000000000:role/carts"];
    let declared = spec("channel", DECLARED, &[]);
    let channel = KinesisChannel::new(&endpoint.context, location(), declared.clone()).unwrap();
    assert_eq!(Resource::observe(&channel).await.unwrap(), Observed::Absent);
    let (created, said) = with_step(async |step| Kind::create(&channel, step).await).await;
    created.unwrap();
    assert!(
        said.contains(&"Kinesis does not see the role yet".to_owned()),
        "{said:?}"
    );
    let observed = Resource::observe(&channel).await.unwrap();
    assert_eq!(observed.owner(&declared.identity), Some(Owner::Us));
    assert_eq!(changes(&channel, &observed), "");
    assert_eq!(Resource::outputs(&channel, &observed)["arn"], ARN);
    let checks = Resource::verify(&channel, &observed, false).await;
    assert_eq!(checks[0].detail, "delivers to carts-lake within 300 s, JSON GZIP");

    let later = spec("channel", &format!("{DECLARED}freshness_seconds = 600"), &[]);
    let channel = KinesisChannel::new(&endpoint.context, location(), later).unwrap();
    assert_eq!(changes(&channel, &observed), "freshness: 300 s → 600 s");
    let planned = Resource::diff(&channel, &observed, &Default::default()).unwrap();
    for change in &planned {
        let (done, _) =
            with_step(async |step| Resource::apply(&channel, change, &observed, step).await).await;
        done.unwrap();
    }
    let observed = Resource::observe(&channel).await.unwrap();
    assert_eq!(changes(&channel, &observed), "");
    let (deleted, _) = with_step(async |step| Resource::delete(&channel, &observed, step).await).await;
    deleted.unwrap();
    assert_eq!(Resource::observe(&channel).await.unwrap(), Observed::Absent);
}

fn facts() -> Facts {
    Facts {
        arn: ARN.to_owned(),
        status: "ACTIVE".to_owned(),
        failure: None,
        stream: "arn:aws:kinesis:us-east-1:000000000000:stream/carts".to_owned(),
        bucket: "carts-lake".to_owned(),
        role: "arn:aws:iam::000000000000:role/carts".to_owned(),
        format: "JSON".to_owned(),
        compression: "GZIP".to_owned(),
        freshness_seconds: 300,
        key_template: "a/!{yyyy}".to_owned(),
        dead_letter_bucket: "carts-lake".to_owned(),
        kms_key: String::new(),
    }
}

#[tokio::test]
async fn what_cannot_be_changed_is_refused() {
    let context = context().await;
    let of = |more: &str| {
        let declared = DECLARED.replace("carts-lake", "lake");
        let text = if more.is_empty() {
            declared
        } else {
            format!("{DECLARED}{more}")
        };
        KinesisChannel::new(&context, location(), spec("channel", &text, &[])).unwrap()
    };
    let observed = there(facts(), &[]);
    for (more, what) in [
        ("", "bucket"),
        ("format = \"bytes\"", "format"),
        ("compression = \"zstd\"", "compression"),
        ("key_template = \"b/!{yyyy}\"", "key template"),
        ("dead_letter_bucket = \"dead\"", "dead letter bucket"),
        ("kms_key = \"alias/carts\"", "KMS key"),
    ] {
        let said = changes(&of(more), &observed);
        assert!(
            said.contains(&format!("has another {what}, which cannot be changed")),
            "{said}"
        );
    }
    let failed = Facts {
        status: "FAILED".to_owned(),
        failure: Some("there is no bucket".to_owned()),
        ..facts()
    };
    let said = changes(&of("format = \"json\""), &there(failed, &[]));
    assert!(said.contains("is FAILED: there is no bucket"), "{said}");
}

#[tokio::test]
async fn what_kinesis_refuses_is_refused_before_the_first_call() {
    let context = context().await;
    for (from, to, why) in [
        ("name = \"carts\"", "name = \"a b\"", "is not a channel name"),
        (
            "bucket = \"carts-lake\"",
            "bucket = \"s3://lake\"",
            "is not a bucket name",
        ),
        (
            "bucket",
            "freshness_seconds = 60\nbucket",
            "is not a data freshness",
        ),
        ("bucket", "format = \"csv\"\nbucket", "is not a record format"),
        (
            "bucket",
            "key_template = \"!{shard}\"\nbucket",
            "is not a variable",
        ),
    ] {
        let declared = DECLARED.replacen(from, to, 1);
        let made = KinesisChannel::new(&context, location(), spec("channel", &declared, &[]));
        let said = refusal(made);
        assert!(said.contains(why), "{said}");
    }
}
