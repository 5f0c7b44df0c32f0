//! Reads the contents of tables, buckets and queues of a local cloud with the AWS SDK, and waits for them.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::primitives::Blob;
use serde_json::Value;

use crate::support::{Cloud, block_on};
use crate::web::exchange;

/// Time limit for work in the background, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);

pub type Item = HashMap<String, AttributeValue>;

/// Calls `look` until it succeeds. Its error describes what it found instead.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) => assert!(Instant::now() < deadline, "no {what}; instead: {seen}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The sample events of a bundled template: the path of the file, and the events.
pub fn sample_events(template: &str) -> (PathBuf, Vec<Value>) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("templates/{template}/events.json"));
    let events = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    (path, events)
}

/// An attribute as text: a string or a number.
pub fn plain(item: &Item, name: &str) -> String {
    match item.get(name) {
        Some(AttributeValue::S(text) | AttributeValue::N(text)) => text.clone(),
        other => panic!("{name} is {other:?}"),
    }
}

/// Puts records one at a time. Each record is a partition key and data.
pub fn put<'a>(cloud: &Cloud, stream: &str, records: impl IntoIterator<Item = (&'a str, &'a str)>) {
    block_on(async {
        let client = cloud.kinesis();
        for (key, data) in records {
            let call = client.put_record().stream_name(stream).partition_key(key);
            call.data(Blob::new(data)).send().await.unwrap();
        }
    });
}

impl Cloud {
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.sdk())
    }

    pub fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.sdk());
        aws_sdk_s3::Client::from_conf(config.force_path_style(true).build())
    }

    pub fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.sdk())
    }

    pub fn lambda(&self) -> aws_sdk_lambda::Client {
        aws_sdk_lambda::Client::new(&self.sdk())
    }

    /// All items of a table.
    pub fn items(&self, table: &str) -> Vec<Item> {
        block_on(async {
            let pages = self.dynamodb().scan().table_name(table).into_paginator();
            let all = pages.items().send().collect::<Result<Vec<_>, _>>().await;
            all.unwrap()
        })
    }

    /// All items of a table, as soon as it has at least `count`.
    pub fn items_once_there(&self, table: &str, count: usize) -> Vec<Item> {
        until(&format!("{count} items in {table}"), || {
            let items = self.items(table);
            match items.len() {
                found if found >= count => Ok(items),
                found => Err(format!("{found}")),
            }
        })
    }

    /// All objects of a bucket, by key.
    pub fn objects(&self, bucket: &str) -> BTreeMap<String, Vec<u8>> {
        block_on(async {
            let client = self.s3();
            let mut pages = client.list_objects_v2().bucket(bucket).into_paginator().send();
            let mut objects = BTreeMap::new();
            while let Some(page) = pages.next().await {
                for key in page.unwrap().contents().iter().filter_map(|object| object.key()) {
                    let object = client.get_object().bucket(bucket).key(key).send().await.unwrap();
                    let body = object.body.collect().await.unwrap().to_vec();
                    objects.insert(key.to_owned(), body);
                }
            }
            objects
        })
    }

    /// Creates a queue and returns its URL.
    pub fn queue(&self, name: &str) -> String {
        let made = block_on(self.sqs().create_queue().queue_name(name).send()).unwrap();
        made.queue_url.unwrap()
    }

    /// Receives and deletes messages until there are at least `count`. Returns their bodies as JSON.
    pub fn messages(&self, queue_url: &str, count: usize) -> Vec<Value> {
        let mut taken = Vec::new();
        until(&format!("{count} messages"), || {
            let client = self.sqs();
            let call = client.receive_message().queue_url(queue_url);
            let page = block_on(call.max_number_of_messages(10).send()).unwrap();
            for message in page.messages() {
                taken.push(serde_json::from_str(message.body().unwrap()).unwrap());
                let call = client.delete_message().queue_url(queue_url);
                let call = call.receipt_handle(message.receipt_handle().unwrap());
                block_on(call.send()).unwrap();
            }
            match taken.len() {
                found if found >= count => Ok(()),
                _ => Err(format!("{taken:?}")),
            }
        });
        taken
    }

    /// All existing resources of the kinds that pipelines use, each as `kind name`.
    pub fn everything(&self) -> Vec<String> {
        block_on(async {
            let sdk = self.sdk();
            let mut all = Vec::new();
            let mut add = |kind: &str, names: Vec<String>| {
                all.extend(names.into_iter().map(|name| format!("{kind} {name}")));
            };
            let streams = self.kinesis().list_streams().send().await.unwrap();
            add("stream", streams.stream_names);
            let functions = self.lambda().list_functions().send().await.unwrap();
            let functions = functions.functions.unwrap_or_default().into_iter();
            add(
                "function",
                functions.filter_map(|one| one.function_name).collect(),
            );
            let mappings = self.lambda().list_event_source_mappings().send().await.unwrap();
            let mappings = mappings.event_source_mappings.unwrap_or_default().into_iter();
            add("mapping", mappings.filter_map(|one| one.function_arn).collect());
            let tables = self.dynamodb().list_tables().send().await.unwrap();
            add("table", tables.table_names.unwrap_or_default());
            let buckets = self.s3().list_buckets().send().await.unwrap();
            let buckets = buckets.buckets.unwrap_or_default().into_iter();
            add("bucket", buckets.filter_map(|one| one.name).collect());
            let queues = self.sqs().list_queues().send().await.unwrap();
            add("queue", queues.queue_urls.unwrap_or_default());
            let topics = aws_sdk_sns::Client::new(&sdk).list_topics().send().await.unwrap();
            let topics = topics.topics.unwrap_or_default().into_iter();
            add("topic", topics.filter_map(|one| one.topic_arn).collect());
            let logs = aws_sdk_cloudwatchlogs::Client::new(&sdk);
            let groups = logs.describe_log_groups().send().await.unwrap();
            let groups = groups.log_groups.unwrap_or_default().into_iter();
            add("log group", groups.filter_map(|one| one.log_group_name).collect());
            let cloudwatch = aws_sdk_cloudwatch::Client::new(&sdk);
            let alarms = cloudwatch.describe_alarms().send().await.unwrap();
            let alarms = alarms.metric_alarms.unwrap_or_default().into_iter();
            add("alarm", alarms.filter_map(|one| one.alarm_name).collect());
            let boards = cloudwatch.list_dashboards().send().await.unwrap();
            let boards = boards.dashboard_entries.unwrap_or_default().into_iter();
            add("dashboard", boards.filter_map(|one| one.dashboard_name).collect());
            let iam = crate::provision::iam(self);
            let roles = iam.list_roles().send().await.unwrap().roles;
            add("role", roles.into_iter().map(|one| one.role_name).collect());
            add("distribution", self.of_cloudfront("distribution", "Comment"));
            add(
                "origin access control",
                self.of_cloudfront("origin-access-control", "Name"),
            );
            all
        })
    }

    /// The texts of an element in a listing of CloudFront.
    fn of_cloudfront(&self, path: &str, element: &str) -> Vec<String> {
        let key = "Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/cloudfront/aws4_request, \
                   SignedHeaders=host, Signature=0\r\n";
        let url = format!("{}/2020-05-31/{path}", self.endpoint);
        let answer = exchange("GET", &url, key, b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let text = answer.text();
        let start = format!("<{element}>");
        let parts = text.split(&start).skip(1);
        parts
            .map(|part| part.split('<').next().unwrap().to_owned())
            .collect()
    }
}
