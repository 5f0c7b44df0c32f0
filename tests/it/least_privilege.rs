//! Least privilege: every action in a function's policy is needed. The test removes one action at a time and checks
//! which step then fails.

use std::collections::BTreeSet;
use std::io::{Cursor, Write};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_lambda::types::LastUpdateStatus;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::running::until;
use crate::support::{Cloud, block_on};

/// The step that fails without an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fails {
    /// The mapping cannot read the stream.
    Reading,
    /// The function stores nothing: its batch ends in the dead-letter queue.
    Storing,
    /// A failed batch does not reach the dead-letter queue. The batch fails because this other action is removed too.
    DeadLetters(&'static str),
    /// The same for a function that never fails: its code is replaced by code that always fails.
    DeadLettersOfNone,
    /// Nothing is logged.
    Logging,
}

use Fails::{DeadLetters, DeadLettersOfNone, Logging, Reading, Storing};

/// The actions that every function needs.
const COMMON: [(&str, Fails); 7] = [
    ("kinesis:GetRecords", Reading),
    ("kinesis:GetShardIterator", Reading),
    ("kinesis:DescribeStream", Reading),
    ("kinesis:DescribeStreamSummary", Reading),
    ("kinesis:ListShards", Reading),
    ("logs:CreateLogStream", Logging),
    ("logs:PutLogEvents", Logging),
];

struct World {
    cloud: Cloud,
    function: String,
    role: String,
    policy: String,
    document: Value,
    mapping: String,
    stream: String,
    queue: String,
}

impl World {
    fn new(template: &str, handler: &str) -> Self {
        let cloud = Cloud::start();
        let mut setup = cloud.streamctl(["setup", template, "--param", "batching_window=0"]);
        if handler == "concert-data-processor" {
            setup.args(["--param", "data_processor=true"]);
        }
        // No step depends on X-Ray, the only other permission of functions.
        setup.args(["--param", "tracing=false"]).assert().success();
        let printed: Value = serde_json::from_str(&cloud.ok(["policy", "--function", handler])).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let function = text(&printed["function"]);
        let [policy] = &printed["policies"].as_array().unwrap()[..] else {
            panic!("one policy: {printed}")
        };
        let (mapping, stream, queue) = block_on(async {
            let lambda = aws_sdk_lambda::Client::new(&cloud.sdk());
            let all = lambda.list_event_source_mappings().function_name(&function);
            let found = all.send().await.unwrap().event_source_mappings.unwrap().remove(0);
            let uuid = found.uuid.unwrap();
            let change = lambda.update_event_source_mapping().uuid(&uuid);
            change.maximum_retry_attempts(0).send().await.unwrap();
            let on_failure = found.destination_config.unwrap().on_failure.unwrap();
            let name = on_failure.destination.unwrap();
            let name = name.rsplit(':').next().unwrap();
            let sqs = aws_sdk_sqs::Client::new(&cloud.sdk());
            let queue = sqs.get_queue_url().queue_name(name).send().await.unwrap();
            (uuid, found.event_source_arn.unwrap(), queue.queue_url.unwrap())
        });
        Self {
            role: text(&printed["role"]),
            policy: text(&policy["name"]),
            document: policy["document"].clone(),
            cloud,
            function,
            mapping,
            stream,
            queue,
        }
    }

    fn actions(&self) -> BTreeSet<String> {
        let statements = self.document["Statement"].as_array().unwrap().iter();
        let lists = statements.map(|statement| match &statement["Action"] {
            Value::Array(actions) => actions.clone(),
            one => vec![one.clone()],
        });
        lists
            .flatten()
            .map(|action| action.as_str().unwrap().to_owned())
            .collect()
    }

    /// Replaces the policy of the role with one without the actions `removed`.
    fn allow_all_but(&self, removed: &[&str]) {
        let mut document = self.document.clone();
        let statements = document["Statement"].as_array_mut().unwrap();
        for statement in statements.iter_mut() {
            if let Value::String(one) = &statement["Action"] {
                statement["Action"] = json!([one]);
            }
            let actions = statement["Action"].as_array_mut().unwrap();
            actions.retain(|action| !removed.contains(&action.as_str().unwrap()));
        }
        statements.retain(|statement| !statement["Action"].as_array().unwrap().is_empty());
        let iam = aws_sdk_iam::Client::new(&self.cloud.sdk());
        let put = iam
            .put_role_policy()
            .role_name(&self.role)
            .policy_name(&self.policy);
        block_on(put.policy_document(document.to_string()).send()).unwrap();
    }

    fn put(&self, event: &Value) {
        let put = self.cloud.kinesis().put_record().stream_arn(&self.stream);
        let put = put.partition_key("a").data(Blob::new(event.to_string()));
        block_on(put.send()).unwrap();
    }

    fn result(&self) -> String {
        let lambda = aws_sdk_lambda::Client::new(&self.cloud.sdk());
        let mapping = block_on(lambda.get_event_source_mapping().uuid(&self.mapping).send()).unwrap();
        mapping.last_processing_result.unwrap()
    }

    fn result_is(&self, expected: &str) {
        until(expected, || self.result().starts_with(expected).then_some(()));
    }

    fn queued(&self) -> u32 {
        let sqs = aws_sdk_sqs::Client::new(&self.cloud.sdk());
        let name = QueueAttributeName::ApproximateNumberOfMessages;
        let call = sqs
            .get_queue_attributes()
            .queue_url(&self.queue)
            .attribute_names(name.clone());
        let attributes = block_on(call.send()).unwrap().attributes.unwrap();
        attributes[&name].parse().unwrap()
    }

    /// The number of invocations in the log.
    fn logged(&self) -> usize {
        let logs = aws_sdk_cloudwatchlogs::Client::new(&self.cloud.sdk());
        let group = format!("/aws/lambda/{}", self.function);
        let call = logs
            .filter_log_events()
            .log_group_name(group)
            .filter_pattern("START");
        block_on(call.send()).unwrap().events().len()
    }

    fn invoke(&self) {
        let lambda = aws_sdk_lambda::Client::new(&self.cloud.sdk());
        let call = lambda.invoke().function_name(&self.function);
        block_on(call.payload(Blob::new(r#"{"Records":[]}"#)).send()).unwrap();
    }

    /// Changes the configuration, so that the next invocation uses a new instance.
    fn renew(&self, description: &str) {
        let lambda = aws_sdk_lambda::Client::new(&self.cloud.sdk());
        let change = lambda
            .update_function_configuration()
            .function_name(&self.function);
        block_on(change.description(description).send()).unwrap();
        self.updated();
    }

    fn replace_code(&self, script: &str) {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().unix_permissions(0o755);
        zip.start_file("bootstrap", options).unwrap();
        zip.write_all(script.as_bytes()).unwrap();
        let zip = zip.finish().unwrap().into_inner();
        let lambda = aws_sdk_lambda::Client::new(&self.cloud.sdk());
        let change = lambda.update_function_code().function_name(&self.function);
        block_on(change.zip_file(Blob::new(zip)).send()).unwrap();
        self.updated();
    }

    fn updated(&self) {
        let lambda = aws_sdk_lambda::Client::new(&self.cloud.sdk());
        until("the update", || {
            let call = lambda.get_function_configuration().function_name(&self.function);
            let status = block_on(call.send()).unwrap().last_update_status;
            (status == Some(LastUpdateStatus::Successful)).then_some(())
        });
    }

    /// Shows what fails without `action`.
    fn check(&self, action: &str, fails: Fails, event: &Value) {
        let before = self.queued();
        match fails {
            Reading => {
                self.allow_all_but(&[action]);
                // The worker caches the role's permissions for 50 ms.
                std::thread::sleep(std::time::Duration::from_millis(60));
                self.put(event);
                self.result_is("PROBLEM: Cannot access stream");
            }
            Storing => {
                self.allow_all_but(&[action]);
                self.put(event);
                until(action, || (self.queued() > before).then_some(()));
            }
            DeadLetters(other) => {
                self.allow_all_but(&[action, other]);
                self.put(event);
                self.result_is("PROBLEM: Function call failed");
            }
            DeadLettersOfNone => {
                self.replace_code("#!/bin/sh\nexit 1\n");
                self.allow_all_but(&[action]);
                self.put(event);
                self.result_is("PROBLEM: Function call failed");
                self.allow_all_but(&[]);
                self.put(event);
                until(action, || (self.queued() > before).then_some(()));
                assert_eq!(self.queued(), before + 1, "{action}");
                return;
            }
            Logging => {
                self.renew(action);
                let logged = self.logged();
                self.allow_all_but(&[action]);
                self.invoke();
                self.allow_all_but(&[]);
                self.invoke();
                until(action, || (self.logged() > logged).then_some(()));
                assert_eq!(self.logged(), logged + 1, "{action}");
                return;
            }
        }
        self.allow_all_but(&[]);
        self.put(event);
        // A shard is processed in order, so the first event has been fully processed by now.
        self.result_is("OK");
        if matches!(fails, DeadLetters(_)) {
            assert_eq!(self.queued(), before, "{action}");
        }
    }
}

fn check(template: &str, handler: &str, events: &str, own: &[(&str, Fails)]) {
    let events: Value = serde_json::from_str(events).unwrap();
    let world = World::new(template, handler);
    if template == "prices" {
        // The function changes only the prices of existing products.
        let id = AttributeValue::S(events[0]["product_id"].as_str().unwrap().to_owned());
        let dynamodb = aws_sdk_dynamodb::Client::new(&world.cloud.sdk());
        let put = dynamodb.put_item().table_name("products").item("id", id);
        block_on(put.send()).unwrap();
    }
    let table: Vec<(&str, Fails)> = COMMON.iter().chain(own).copied().collect();
    let named: BTreeSet<String> = table.iter().map(|(action, _)| (*action).to_owned()).collect();
    assert_eq!(world.actions(), named, "the policy of {handler} and the table");
    for (action, fails) in table {
        world.check(action, fails, &events[0]);
    }
}

#[test]
fn retail() {
    check(
        "retail",
        "retail-event-processor",
        include_str!("../../templates/retail/events.json"),
        &[
            ("dynamodb:BatchWriteItem", Storing),
            ("sqs:SendMessage", DeadLetters("dynamodb:BatchWriteItem")),
        ],
    );
}

#[test]
fn realtime() {
    check(
        "realtime",
        "realtime-data-processor",
        include_str!("../../templates/realtime/events.json"),
        &[
            ("s3:PutObject", Storing),
            ("dynamodb:BatchGetItem", Storing),
            ("dynamodb:PutItem", Storing),
            ("sqs:SendMessage", DeadLetters("s3:PutObject")),
        ],
    );
}

#[test]
fn prices() {
    check(
        "prices",
        "price-updater",
        include_str!("../../templates/prices/events.json"),
        &[
            ("dynamodb:UpdateItem", Storing),
            ("sqs:SendMessage", DeadLetters("dynamodb:UpdateItem")),
        ],
    );
}

#[test]
fn concert() {
    check(
        "concert",
        "concert-stream-processor",
        include_str!("../../templates/concert/events.json"),
        &[
            ("s3:PutObject", Storing),
            ("sqs:SendMessage", DeadLetters("s3:PutObject")),
        ],
    );
}

#[test]
fn concert_data() {
    check(
        "concert",
        "concert-data-processor",
        include_str!("../../templates/concert/events.json"),
        &[("sqs:SendMessage", DeadLettersOfNone)],
    );
}
