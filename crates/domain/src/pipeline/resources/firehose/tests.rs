use std::sync::{Arc, Mutex};

use serde_json::{Map, Value, json};

use super::super::test_support::{Endpoint, changes, context, location, refusal, spec, there, with_step};
use super::*;
use crate::pipeline::resource::{Observed, Resource};
use crate::pipeline::tags::Owner;

const DECLARED: &str = r#"
name = "carts"
stream = "arn:aws:kinesis:us-east-1:000000000000:stream/carts"
bucket = "carts-data"
role = "arn:aws:iam::000000000000:role/carts"
buffer_mb = 1
buffer_seconds = 60
newline = true
"#;

/// A Firehose with at most one stream.
#[derive(Default)]
struct Service {
    /// `DeliveryStreamDescription`.
    stream: Option<Value>,
    tags: Map<String, Value>,
    has_log_stream: bool,
    /// Refusals of the next calls, before they are answered.
    refusals: Vec<(&'static str, &'static str)>,
}

impl Service {
    fn destination(&mut self) -> &mut Value {
        &mut self.stream.as_mut().unwrap()["Destinations"][0]["ExtendedS3DestinationDescription"]
    }

    fn answer(&mut self, call: &str, input: &Value) -> (u16, String) {
        let refused =
            |code: &str, message: &str| (400, json!({"__type": code, "message": message}).to_string());
        if !["DescribeDeliveryStream", "CreateLogStream"].contains(&call)
            && let Some((code, message)) = self.refusals.pop()
        {
            return refused(code, message);
        }
        if call == "CreateLogStream" {
            let name = json!({"logGroupName": "/aws/firehose/carts", "logStreamName": "DestinationDelivery"});
            assert_eq!(*input, name);
            self.has_log_stream = true;
            return (200, "{}".to_owned());
        }
        let missing = || refused("ResourceNotFoundException", "Firehose carts not found.");
        if self.stream.is_none() && call != "CreateDeliveryStream" {
            return missing();
        }
        let answer = match call {
            "CreateDeliveryStream" => {
                let mut destination = input["ExtendedS3DestinationConfiguration"].clone();
                if destination["CompressionFormat"].is_null() {
                    destination["CompressionFormat"] = json!("UNCOMPRESSED");
                }
                self.stream = Some(json!({
                    "DeliveryStreamName": "carts",
                    "DeliveryStreamARN": "arn:aws:firehose:us-east-1:000000000000:deliverystream/carts",
                    "DeliveryStreamStatus": "ACTIVE",
                    "DeliveryStreamType": input["DeliveryStreamType"],
                    "VersionId": "1",
                    "Source": {"KinesisStreamSourceDescription": input["KinesisStreamSourceConfiguration"]},
                    "Destinations": [{
                        "DestinationId": "destinationId-000000000001",
                        "ExtendedS3DestinationDescription": destination,
                    }],
                    "HasMoreDestinations": false,
                }));
                self.tag(input);
                json!({"DeliveryStreamARN": "arn"})
            }
            "DescribeDeliveryStream" => json!({"DeliveryStreamDescription": self.stream}),
            "ListTagsForDeliveryStream" => {
                let tags = self.tags.iter();
                let tags: Vec<Value> = tags
                    .map(|(key, value)| json!({"Key": key, "Value": value}))
                    .collect();
                json!({"Tags": tags, "HasMoreTags": false})
            }
            "TagDeliveryStream" => {
                self.tag(input);
                json!({})
            }
            "UntagDeliveryStream" => {
                for key in input["TagKeys"].as_array().unwrap() {
                    self.tags.remove(key.as_str().unwrap());
                }
                json!({})
            }
            "UpdateDestination" => {
                let stream = self.stream.as_mut().unwrap();
                let version: u64 = stream["VersionId"].as_str().unwrap().parse().unwrap();
                if input["CurrentDeliveryStreamVersionId"] != stream["VersionId"] {
                    return refused("ConcurrentModificationException", "another version");
                }
                stream["VersionId"] = json!((version + 1).to_string());
                let update = input["ExtendedS3DestinationUpdate"].as_object().unwrap().clone();
                self.destination().as_object_mut().unwrap().extend(update);
                json!({})
            }
            "DeleteDeliveryStream" => {
                self.stream = None;
                json!({})
            }
            other => panic!("{other}"),
        };
        (200, answer.to_string())
    }

    fn tag(&mut self, input: &Value) {
        for tag in input["Tags"].as_array().into_iter().flatten() {
            let key = tag["Key"].as_str().unwrap().to_owned();
            self.tags.insert(key, tag["Value"].clone());
        }
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
async fn it_is_created_observed_and_deleted() {
    let (endpoint, service) = endpoint().await;
    // A new role is not visible at once.
    service.lock().unwrap().refusals = vec![(
        "InvalidArgumentException",
        "Firehose is unable to assume role arn:aws:iam::000000000000:role/carts. Please check the role provided.",
    )];
    let spec = spec("firehose", DECLARED, &[]);
    let hose = Hose::new(&endpoint.context, location(), spec.clone()).unwrap();
    assert_eq!(Resource::observe(&hose).await.unwrap(), Observed::Absent);
    let (created, said) = with_step(async |step| Kind::create(&hose, step).await).await;
    created.unwrap();
    assert!(
        said.contains(&"Firehose does not see the role yet".to_owned()),
        "{said:?}"
    );
    let observed = Resource::observe(&hose).await.unwrap();
    assert_eq!(observed.owner(&spec.identity), Some(Owner::Us));
    assert_eq!(changes(&hose, &observed), "");
    assert_eq!(
        Resource::outputs(&hose, &observed)["arn"],
        "arn:aws:firehose:us-east-1:000000000000:deliverystream/carts"
    );
    let checks = Resource::verify(&hose, &observed, false).await;
    insta::assert_snapshot!(
        checks[0].detail,
        @"reads its stream, buffers 1 MB or 60 s, to arn:aws:s3:::carts-data"
    );
    insta::assert_snapshot!(service.lock().unwrap().destination(), @r#"{"RoleARN":"arn:aws:iam::000000000000:role/carts","BucketARN":"arn:aws:s3:::carts-data","BufferingHints":{"SizeInMBs":1,"IntervalInSeconds":60},"ProcessingConfiguration":{"Enabled":true,"Processors":[{"Type":"AppendDelimiterToRecord","Parameters":[{"ParameterName":"Delimiter","ParameterValue":"\\n"}]}]},"CompressionFormat":"UNCOMPRESSED"}"#);
    let deleted = with_step(async |step| Resource::delete(&hose, &observed, step).await).await;
    deleted.0.unwrap();
    assert_eq!(Resource::observe(&hose).await.unwrap(), Observed::Absent);
}

#[tokio::test]
async fn each_difference_is_changed() {
    let (endpoint, service) = endpoint().await;
    let hose = Hose::new(&endpoint.context, location(), spec("firehose", DECLARED, &[])).unwrap();
    with_step(async |step| Kind::create(&hose, step).await)
        .await
        .0
        .unwrap();
    // A processor of others stays.
    let theirs = json!({"Type": "RecordDeAggregation", "Parameters": []});
    service.lock().unwrap().destination()["ProcessingConfiguration"]["Processors"]
        .as_array_mut()
        .unwrap()
        .push(theirs);
    let changed = r#"
        name = "carts"
        stream = "arn:aws:kinesis:us-east-1:000000000000:stream/carts"
        bucket = "other-data"
        role = "arn:aws:iam::000000000000:role/other"
        prefix = "year=!{timestamp:yyyy}/"
        error_prefix = "errors/!{firehose:error-output-type}/"
        buffer_seconds = 120
        compression = "gzip"
        file_extension = ".json.gz"
        time_zone = "Asia/Tokyo"
        newline = false
        transform = "arn:aws:lambda:us-east-1:000000000000:function:clean"
        kms_key = "arn:aws:kms:us-east-1:000000000000:key/a"
        log_group = "/aws/firehose/carts"
    "#;
    let hose = Hose::new(&endpoint.context, location(), spec("firehose", changed, &[])).unwrap();
    let observed = Resource::observe(&hose).await.unwrap();
    insta::assert_snapshot!(changes(&hose, &observed), @r"
    role: arn:aws:iam::000000000000:role/carts → arn:aws:iam::000000000000:role/other
    bucket: arn:aws:s3:::carts-data → arn:aws:s3:::other-data
    buffer: 1 MB or 60 s → 1 MB or 120 s
    prefix: none → year=!{timestamp:yyyy}/
    error prefix: none → errors/!{firehose:error-output-type}/
    compression: UNCOMPRESSED → GZIP
    file extension: none → .json.gz
    time zone: none → Asia/Tokyo
    encryption: none → arn:aws:kms:us-east-1:000000000000:key/a
    log group: none → /aws/firehose/carts
    newline: on → off
    transform: none → arn:aws:lambda:us-east-1:000000000000:function:clean
    ");
    service.lock().unwrap().refusals = vec![("ConcurrentModificationException", "another version")];
    for change in hose.diff(&observed, &Default::default()).unwrap() {
        with_step(async |step| hose.apply(&change, &observed, step).await)
            .await
            .0
            .unwrap();
    }
    let observed = Resource::observe(&hose).await.unwrap();
    assert_eq!(changes(&hose, &observed), "");
    let mut service = service.lock().unwrap();
    assert!(service.has_log_stream);
    let processing = service.destination()["ProcessingConfiguration"].to_string();
    assert!(
        processing.contains("RecordDeAggregation") && !processing.contains("AppendDelimiter"),
        "{processing}"
    );
}

fn facts() -> Facts {
    Facts {
        status: "ACTIVE".to_owned(),
        stream: Some("arn:aws:kinesis:us-east-1:000000000000:stream/carts".to_owned()),
        role: "arn:aws:iam::000000000000:role/carts".to_owned(),
        bucket_arn: "arn:aws:s3:::carts-data".to_owned(),
        buffer_mb: 1,
        buffer_seconds: 60,
        compression: "UNCOMPRESSED".to_owned(),
        newline: true,
        ..Facts::default()
    }
}

#[tokio::test]
async fn what_cannot_be_changed_is_refused_with_a_hint() {
    let context = context().await;
    let hose = Hose::new(&context, location(), spec("firehose", DECLARED, &[])).unwrap();
    let shown = |facts: Facts| changes(&hose, &there(&facts, &[]));
    assert_eq!(shown(facts()), "");
    let other = Facts {
        stream: None,
        ..facts()
    };
    insta::assert_snapshot!(shown(other), @"has another source, which cannot be changed: direct puts instead of arn:aws:kinesis:us-east-1:000000000000:stream/carts");
    let failed = Facts {
        status: "CREATING_FAILED".to_owned(),
        failure: Some("the key is disabled".to_owned()),
        ..facts()
    };
    insta::assert_snapshot!(shown(failed.clone()), @"is CREATING_FAILED: the key is disabled");
    let checks = Resource::verify(&hose, &there(&failed, &[]), false).await;
    assert_eq!(checks[0].state, CheckState::Fault);
    let creating = Facts {
        status: "CREATING".to_owned(),
        ..facts()
    };
    assert_eq!(shown(creating), "status: CREATING → ACTIVE");
}

#[tokio::test]
async fn bad_properties_are_refused() {
    let context = context().await;
    let made = |more: &str| {
        let declared = format!("bucket = \"b\"\nrole = \"r\"\n{more}");
        Hose::new(&context, location(), spec("firehose", &declared, &[])).map(drop)
    };
    let refusals = [
        "name = \"a b\"",
        "name = \"a\"\nbuffer_mb = 0",
        "name = \"a\"\nbuffer_seconds = 901",
        "name = \"a\"\nprefix = \"!{timestamp:yyyy}/\"",
        "name = \"a\"\nerror_prefix = \"!{timestamp:yyyy}/\"",
        "name = \"a\"\nfile_extension = \"json\"",
    ]
    .map(|more| refusal(made(more)))
    .join("\n");
    insta::assert_snapshot!(refusals, @r#"
    "a b" is not a Firehose stream name
    hint: use 1 to 64 letters, digits or any of _ . -
    line 1: resource it: buffer_mb must be from 1 to 128, not 0
    line 1: resource it: buffer_seconds must be from 0 to 900, not 901
    line 1: resource it: a prefix with expressions needs an error_prefix
    line 1: resource it: an error_prefix with expressions must have !{firehose:error-output-type}
    line 1: resource it: file_extension must begin with a dot, not "json"
    "#);
    assert!(made("name = \"a\"\nbuffer_seconds = 0").is_ok());
}

const PARTITIONED: &str = r#"
name = "carts"
stream = "arn:aws:kinesis:us-east-1:000000000000:stream/carts"
bucket = "carts-data"
role = "arn:aws:iam::000000000000:role/carts"
prefix = "user=!{partitionKeyFromQuery:user}/year=!{partitionKeyFromQuery:year}/"
error_prefix = "errors/!{firehose:error-output-type}/"
buffer_seconds = 60
deaggregate = "json"
newline = true
[partition_keys]
user = ".user_id"
year = ".at / 1000 | strftime(\"%Y\")"
"#;

#[tokio::test]
async fn dynamic_partitioning_is_created_and_its_keys_are_changed() {
    let (endpoint, service) = endpoint().await;
    let hose = Hose::new(&endpoint.context, location(), spec("firehose", PARTITIONED, &[])).unwrap();
    insta::assert_snapshot!(Kind::summary(&hose), @"reads a stream, buffers 128 MB or 60 s, to carts-data, partitioned by user, year");
    with_step(async |step| Kind::create(&hose, step).await)
        .await
        .0
        .unwrap();
    let observed = Resource::observe(&hose).await.unwrap();
    assert_eq!(changes(&hose, &observed), "");
    let checks = Resource::verify(&hose, &observed, false).await;
    assert!(
        checks[0].detail.ends_with(", partitioned"),
        "{}",
        checks[0].detail
    );
    let made = service.lock().unwrap().destination().clone();
    assert_eq!(
        made["DynamicPartitioningConfiguration"],
        json!({"RetryOptions": {"DurationInSeconds": 300}, "Enabled": true})
    );
    assert_eq!(
        made["BufferingHints"],
        json!({"SizeInMBs": 128, "IntervalInSeconds": 60})
    );
    let processors = made["ProcessingConfiguration"]["Processors"].as_array().unwrap();
    let kinds: Vec<&str> = processors
        .iter()
        .map(|one| one["Type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "RecordDeAggregation",
            "MetadataExtraction",
            "AppendDelimiterToRecord"
        ]
    );
    assert_eq!(
        processors[1]["Parameters"],
        json!([
            {
                "ParameterName": "MetadataExtractionQuery",
                "ParameterValue": "{\"user\":.user_id,\"year\":(.at / 1000 | strftime(\"%Y\"))}",
            },
            {"ParameterName": "JsonParsingEngine", "ParameterValue": "JQ-1.6"},
        ])
    );

    let changed = PARTITIONED
        .replace("year=!{partitionKeyFromQuery:year}/", "")
        .replace("year = ", "#")
        .replace(
            "deaggregate = \"json\"",
            "deaggregate = \"none\"\npartition_retry_seconds = 60",
        );
    let hose = Hose::new(&endpoint.context, location(), spec("firehose", &changed, &[])).unwrap();
    let observed = Resource::observe(&hose).await.unwrap();
    insta::assert_snapshot!(changes(&hose, &observed), @r#"
    prefix: user=!{partitionKeyFromQuery:user}/year=!{partitionKeyFromQuery:year}/ → user=!{partitionKeyFromQuery:user}/
    partition keys: {"user":.user_id,"year":(.at / 1000 | strftime("%Y"))} → {"user":.user_id}
    deaggregation: JSON → none
    partition retries: 300 s → 60 s
    "#);
    for change in hose.diff(&observed, &Default::default()).unwrap() {
        with_step(async |step| hose.apply(&change, &observed, step).await)
            .await
            .0
            .unwrap();
    }
    let observed = Resource::observe(&hose).await.unwrap();
    assert_eq!(changes(&hose, &observed), "");
}

#[tokio::test]
async fn dynamic_partitioning_cannot_be_switched() {
    let context = context().await;
    let hose = Hose::new(&context, location(), spec("firehose", PARTITIONED, &[])).unwrap();
    insta::assert_snapshot!(
        changes(&hose, &there(facts(), &[])),
        @"has no dynamic partitioning, which Firehose enables at creation only"
    );
    let partitioned = Facts {
        partitioned: true,
        ..facts()
    };
    let declared = format!("{DECLARED}prefix = \"a/\"");
    let hose = Hose::new(&context, location(), spec("firehose", &declared, &[])).unwrap();
    insta::assert_snapshot!(
        changes(&hose, &there(&partitioned, &[])),
        @"has dynamic partitioning, which Firehose cannot disable"
    );
}

#[tokio::test]
async fn partition_keys_that_firehose_refuses_are_refused_before_the_first_call() {
    let context = context().await;
    let made = |more: &str| {
        let declared = format!("name = \"a\"\nbucket = \"b\"\nrole = \"r\"\nerror_prefix = \"e/\"\n{more}");
        Hose::new(&context, location(), spec("firehose", &declared, &[])).map(drop)
    };
    let user = "prefix = \"!{partitionKeyFromQuery:user}/\"\n";
    let refusals = [
        "partition_retry_seconds = 1".to_owned(),
        "deaggregate = \"json\"".to_owned(),
        format!("{user}partition_keys = {{ user = \".user |\" }}"),
        format!("{user}partition_keys = {{ user = \"nosuch\" }}"),
        format!("{user}partition_keys = {{ user = \".a\", b = \".b\" }}"),
        user.to_owned(),
        "prefix = \"!{partitionKeyFromLambda:user}/\"".to_owned(),
        "prefix = \"a/\"\npartition_keys = {}".to_owned(),
        format!("{user}buffer_mb = 63\npartition_keys = {{ user = \".a\" }}"),
        format!("{user}buffer_seconds = 59\npartition_keys = {{ user = \".a\" }}"),
        format!("{user}partition_retry_seconds = 7201\npartition_keys = {{ user = \".a\" }}"),
    ]
    .map(|more| refusal(made(&more)))
    .join("\n");
    insta::assert_snapshot!(refusals, @r#"
    line 1: resource it: partition_retry_seconds needs partition_keys
    line 1: resource it: deaggregate needs partition_keys
    line 1: resource it: partition_keys.user is not a jq expression that Firehose takes, ".user |": at character 16, found ) where jq expects a term
    line 1: resource it: partition_keys.user is not a jq expression that Firehose takes, "nosuch": at character 9, jq does not have the function nosuch/0
    line 1: resource it: prefix must have !{partitionKeyFromQuery:b}, since partition_keys has b
    line 1: resource it: partition_keys must have user, since prefix has !{partitionKeyFromQuery:user}
    line 1: resource it: a prefix with partitionKeyFromLambda needs transform
    line 1: resource it: partition_keys must have a key
    line 1: resource it: partition_keys need buffer_mb of at least 64 and buffer_seconds of at least 60
    line 1: resource it: partition_keys need buffer_mb of at least 64 and buffer_seconds of at least 60
    line 1: resource it: partition_retry_seconds must be from 0 to 7200, not 7201
    "#);
    for expression in [".a + 1", "def f: .a; f", ".a | ascii"] {
        assert!(made(&format!("{user}partition_keys = {{ user = \"{expression}\" }}")).is_ok());
    }
    let by_function = "prefix = \"!{partitionKeyFromLambda:user}/\"\ntransform = \"arn:aws:lambda:us-east-1:000000000000:function:f\"";
    assert!(made(by_function).is_ok());
}
