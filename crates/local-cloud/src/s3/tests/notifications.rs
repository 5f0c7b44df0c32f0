//! Notifications to queues, topics and functions.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::Value;

use super::*;
use crate::deliver::{Deliver, Undelivered};
use crate::invoke::{Functions, Invocation, Invoke};
use crate::s3::Targets;
use crate::test_support::Inbox;

/// Takes events of one function.
#[derive(Default)]
struct Recorder(Mutex<Vec<Value>>);

const FUNCTION: &str = "arn:aws:lambda:eu-west-1:000000000000:function:f";
const QUEUE: &str = "arn:aws:sqs:eu-west-1:000000000000:q";
const TOPIC: &str = "arn:aws:sns:eu-west-1:000000000000:t";

impl Invoke for Recorder {
    fn invoke<'a>(&'a self, _: &'a str, _: ::bytes::Bytes) -> BoxFuture<'a, Invocation> {
        unreachable!("notifications are asynchronous")
    }

    fn invoke_async(&self, _: &str, payload: ::bytes::Bytes) -> Result<(), Undelivered> {
        self.0
            .lock()
            .unwrap()
            .push(serde_json::from_slice(&payload).unwrap());
        Ok(())
    }

    fn exists(&self, arn: &str) -> bool {
        arn == FUNCTION
    }

    fn timeout_seconds(&self, _: &str) -> Option<u32> {
        None
    }
}

struct World {
    s3: Arc<S3>,
    inbox: Arc<Inbox>,
    functions: Arc<Recorder>,
}

impl World {
    fn on(dir: &std::path::Path) -> Self {
        let s3 = Arc::new(service(dir));
        std::fs::create_dir_all(dir.join("services")).unwrap();
        let (inbox, functions) = (Arc::new(Inbox::default()), Arc::new(Recorder::default()));
        let deliver = Arc::clone(&inbox) as Arc<dyn Deliver>;
        let invoke = Arc::clone(&functions) as Arc<dyn Invoke>;
        let connected = Functions::default();
        connected.connect(&invoke);
        s3.connect(Targets {
            deliver: Arc::downgrade(&deliver),
            functions: connected,
        });
        Self { s3, inbox, functions }
    }

    async fn call(&self, method: &str, uri: &str, body: &str) -> (u16, String) {
        let parts = http::Request::builder()
            .method(method)
            .uri(uri)
            .body(())
            .unwrap()
            .into_parts()
            .0;
        let request = crate::service::Request {
            caller: Caller {
                region: "eu-west-1".to_owned(),
                ..Caller::default()
            },
            parts,
            body: body.to_owned().into(),
        };
        let response = crate::service::Service::call(Arc::clone(&self.s3), request).await;
        let status = response.status().as_u16();
        let body = crate::test_support::whole_body(response);
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    async fn must(&self, method: &str, uri: &str, body: &str) {
        let (status, answer) = self.call(method, uri, body).await;
        assert!(status < 300, "{method} {uri}: {answer}");
    }

    fn received(&self) -> Vec<(String, Value)> {
        let messages = self.inbox.messages.lock().unwrap();
        let shown = messages
            .iter()
            .map(|(to, message, _)| (to.clone(), message.clone()));
        shown.collect()
    }

    /// Waits until `count` messages have come.
    async fn messages(&self, count: usize) -> Vec<(String, Value)> {
        for _ in 0..1000 {
            let received = self.received();
            if received.len() >= count {
                return received;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{count} messages expected, {:?} came", self.received());
    }
}

fn rule(element: &str, target: &str, arn: &str, event: &str, prefix: &str) -> String {
    format!(
        "<{element}><{target}>{arn}</{target}><Event>{event}</Event><Filter><S3Key><FilterRule><Name>prefix</Name>\
         <Value>{prefix}</Value></FilterRule></S3Key></Filter></{element}>"
    )
}

fn configuration(rules: &[String]) -> String {
    format!(
        "<NotificationConfiguration>{}</NotificationConfiguration>",
        rules.concat()
    )
}

const BUCKET: &str = "<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>";

#[tokio::test]
async fn changes_reach_queues_topics_and_functions() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::on(dir.path());
    world.must("PUT", "/orders", BUCKET).await;
    let rules = [
        rule("QueueConfiguration", "Queue", QUEUE, "s3:ObjectCreated:*", "in/"),
        rule("TopicConfiguration", "Topic", TOPIC, "s3:ObjectRemoved:*", ""),
        rule(
            "CloudFunctionConfiguration",
            "CloudFunction",
            FUNCTION,
            "s3:ObjectCreated:Copy",
            "copy/",
        ),
    ];
    world
        .must("PUT", "/orders?notification", &configuration(&rules))
        .await;
    let tests = world.messages(2).await;
    assert!(
        tests
            .iter()
            .all(|(_, message)| message["Event"] == "s3:TestEvent" && message["Bucket"] == "orders")
    );

    world.must("PUT", "/orders/in/a%20b%2Bc.json", "{}").await;
    world.must("PUT", "/orders/other", "{}").await;
    world.must("DELETE", "/orders/other", "").await;
    world.must("DELETE", "/orders/never-was", "").await;
    let messages = world.messages(4).await;
    assert_eq!(messages.len(), 4);
    let (to, message) = &messages[2];
    assert_eq!(to, QUEUE);
    let record = &message["Records"][0];
    assert_eq!(record["eventSource"], "aws:s3");
    assert_eq!(record["eventName"], "ObjectCreated:Put");
    assert_eq!(record["awsRegion"], "eu-west-1");
    assert_eq!(record["s3"]["bucket"]["arn"], "arn:aws:s3:::orders");
    assert_eq!(record["s3"]["object"]["key"], "in/a+b%2Bc.json");
    assert_eq!(record["s3"]["object"]["size"], 2);
    assert_eq!(record["s3"]["object"]["eTag"], "99914b932bd37a50b983c5e7c90ae93b");
    let (to, message) = &messages[3];
    assert_eq!(
        (to.as_str(), &message["Records"][0]["eventName"]),
        (TOPIC, &Value::from("ObjectRemoved:Delete"))
    );
    assert!(message["Records"][0]["s3"]["object"]["size"].is_null());
    assert!(world.functions.0.lock().unwrap().is_empty());
    let (status, got) = world.call("GET", "/orders?notification", "").await;
    assert!(
        status == 200 && got.contains("<Id>") && got.contains(FUNCTION),
        "{got}"
    );
}

#[tokio::test]
async fn a_destination_that_does_not_exist_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::on(dir.path());
    world.must("PUT", "/orders", BUCKET).await;
    let put = |rule: String| {
        let world = &world;
        async move {
            let (status, answer) = world
                .call("PUT", "/orders?notification", &configuration(&[rule]))
                .await;
            assert_eq!(status, 400, "{answer}");
            answer
        }
    };
    let function = FUNCTION.replace(":f", ":other");
    let answer = put(rule(
        "CloudFunctionConfiguration",
        "CloudFunction",
        &function,
        "s3:ObjectCreated:*",
        "",
    ))
    .await;
    assert!(
        answer.contains("Unable to validate the following destination configurations"),
        "{answer}"
    );
    let fifo = format!("{QUEUE}.fifo");
    put(rule(
        "QueueConfiguration",
        "Queue",
        &fifo,
        "s3:ObjectCreated:*",
        "",
    ))
    .await;
    let far = QUEUE.replace("eu-west-1", "us-east-1");
    let answer = put(rule(
        "QueueConfiguration",
        "Queue",
        &far,
        "s3:ObjectCreated:*",
        "",
    ))
    .await;
    assert!(answer.contains("region is not valid"), "{answer}");
    *world.inbox.refuses.lock().unwrap() = true;
    put(rule(
        "QueueConfiguration",
        "Queue",
        QUEUE,
        "s3:ObjectCreated:*",
        "",
    ))
    .await;
    let (_, got) = world.call("GET", "/orders?notification", "").await;
    assert!(!got.contains("Queue"), "{got}");
}

#[tokio::test]
async fn notifications_survive_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::on(dir.path());
    world.must("PUT", "/orders", BUCKET).await;
    let rules = [rule(
        "QueueConfiguration",
        "Queue",
        QUEUE,
        "s3:ObjectCreated:*",
        "",
    )];
    world
        .must("PUT", "/orders?notification", &configuration(&rules))
        .await;
    world.messages(1).await;
    *world.inbox.refuses.lock().unwrap() = true;
    let begun = std::time::Instant::now();
    world.must("PUT", "/orders/k", "x").await;
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "the request waits for no destination"
    );
    drop(world);
    // As after a kill: the notification is in the database, and due at some time.
    let again = World::on(dir.path());
    let messages = again.messages(1).await;
    assert_eq!(messages[0].1["Records"][0]["s3"]["object"]["key"], "k");
}

#[tokio::test]
async fn a_queue_of_the_cloud_gets_the_event() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let (s3, sqs) = (client(&running), aws_sdk_sqs::Client::new(&running.sdk));
    bucket(&s3, "orders").await;
    let queue = ok!(sqs.create_queue().queue_name("q")).queue_url.unwrap();
    let events = aws_sdk_s3::types::NotificationConfiguration::builder()
        .queue_configurations(
            aws_sdk_s3::types::QueueConfiguration::builder()
                .queue_arn(QUEUE)
                .events(aws_sdk_s3::types::Event::S3ObjectCreated)
                .build()
                .unwrap(),
        )
        .build();
    ok!(s3
        .put_bucket_notification_configuration()
        .bucket("orders")
        .notification_configuration(events));
    put(&s3, "k", "x").await;
    let mut names = Vec::new();
    while names.len() < 2 {
        let got = ok!(sqs.receive_message().queue_url(&queue).wait_time_seconds(10));
        assert!(!got.messages().is_empty());
        for message in got.messages() {
            let body: Value = serde_json::from_str(message.body().unwrap()).unwrap();
            names.push(
                body.get("Event")
                    .unwrap_or(&body["Records"][0]["eventName"])
                    .clone(),
            );
        }
    }
    assert_eq!(names, ["s3:TestEvent", "ObjectCreated:Put"]);
}
