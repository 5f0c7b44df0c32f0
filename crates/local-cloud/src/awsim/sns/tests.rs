//! Publishing: what is refused, and what queues and functions get.

use std::sync::Mutex;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::*;
use crate::clock::SystemClock;
use crate::deliver::Undelivered;
use crate::invoke::{Invocation, Invoke};
use crate::metrics::NoMetrics;
use crate::sqs::Received;

const FUNCTION: &str = "arn:aws:lambda:us-east-1:000000000000:function:f";

/// Keeps the events of functions.
#[derive(Default)]
struct Events(Mutex<Vec<Value>>);

impl Invoke for Events {
    /// Topics invoke asynchronously.
    fn invoke<'a>(&'a self, _: &'a str, _: Bytes) -> BoxFuture<'a, Invocation> {
        panic!("a topic waits for no function")
    }

    fn invoke_async(&self, arn: &str, event: Bytes) -> Result<(), Undelivered> {
        if arn != FUNCTION {
            return Err(Undelivered {
                code: "ResourceNotFoundException".to_owned(),
                message: "Function not found".to_owned(),
            });
        }
        self.0
            .lock()
            .unwrap()
            .push(serde_json::from_slice(&event).unwrap());
        Ok(())
    }

    fn exists(&self, _: &str) -> bool {
        true
    }

    fn timeout_seconds(&self, _: &str) -> Option<u32> {
        None
    }
}

struct World {
    sns: Sns,
    events: Arc<Events>,
    _dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let queues = Arc::new(Sqs::new(dir.path(), Arc::new(SystemClock), Arc::new(NoMetrics)));
        let events = Arc::new(Events::default());
        let functions = Functions::default();
        functions.connect(&(Arc::clone(&events) as Arc<dyn Invoke>));
        Self {
            sns: Sns::new(queues, functions),
            events,
            _dir: dir,
        }
    }

    async fn try_call(&self, operation: &str, input: Value) -> Result<Value, String> {
        let ctx = RequestContext::new("sns", "us-east-1");
        let result = self.sns.handle(operation, input, &ctx).await;
        result.map_err(|error| format!("{}: {}", error.code, error.message))
    }

    async fn call(&self, operation: &str, input: Value) -> Value {
        self.try_call(operation, input).await.unwrap()
    }

    async fn refused(&self, operation: &str, input: Value) -> String {
        self.try_call(operation, input).await.unwrap_err()
    }

    async fn topic(&self, name: &str, attributes: Value) -> String {
        let topic = self
            .call("CreateTopic", json!({"Name": name, "Attributes": attributes}))
            .await;
        topic["TopicArn"].as_str().unwrap().to_owned()
    }

    /// A queue that gets what is published to `topic`.
    async fn queue(&self, topic: &str, name: &str, attributes: Value) -> String {
        let arn = self.sns.queues.created(name);
        let input = json!({"TopicArn": topic, "Protocol": "sqs", "Endpoint": arn, "Attributes": attributes});
        self.call("Subscribe", input).await;
        arn
    }

    fn received(&self, queue: &str) -> Vec<Received> {
        self.sns.queues.taken(queue)
    }
}

#[tokio::test]
async fn messages_that_aws_refuses_are_refused() {
    let world = World::new();
    let topic = &world.topic("t", json!({})).await;
    let fifo = &world.topic("t.fifo", json!({"FifoTopic": "true"})).await;
    let attribute =
        |value: Value| json!({"TopicArn": topic, "Message": "m", "MessageAttributes": {"a": value}});
    let mut refusals = Vec::new();
    for input in [
        json!({"TopicArn": "arn:aws:sns:us-east-1:000000000000:none", "Message": "m"}),
        json!({"TopicArn": topic}),
        json!({"TopicArn": topic, "Message": ""}),
        json!({"TopicArn": topic, "Message": "x".repeat((256 << 10) + 1)}),
        json!({"TopicArn": topic, "Message": "m", "Subject": ""}),
        json!({"TopicArn": topic, "Message": "m", "Subject": "x".repeat(101)}),
        json!({"TopicArn": topic, "Message": "m", "Subject": "two\nlines"}),
        json!({"TopicArn": topic, "Message": "m", "MessageStructure": "json"}),
        json!({"TopicArn": topic, "Message": "{\"sqs\":\"m\"}", "MessageStructure": "json"}),
        json!({"TopicArn": topic, "Message": "m", "MessageDeduplicationId": "d"}),
        json!({"TopicArn": fifo, "Message": "m"}),
        json!({"TopicArn": fifo, "Message": "m", "MessageGroupId": "g"}),
        json!({"TopicArn": fifo, "Message": "m", "MessageGroupId": "two words", "MessageDeduplicationId": "d"}),
        json!({"PhoneNumber": "+100", "Message": "m"}),
        attribute(json!({"DataType": "Text", "StringValue": "v"})),
        attribute(json!({"DataType": "String", "StringValue": ""})),
        attribute(json!({"DataType": "Binary", "BinaryValue": "?"})),
    ] {
        refusals.push(world.refused("Publish", input).await);
    }
    insta::assert_snapshot!(refusals.join("\n"), @r"
    NotFound: Topic does not exist
    ValidationError: 1 validation error detected: Value null at 'message' failed to satisfy constraint: Member must not be null
    InvalidParameter: Invalid parameter: Empty message
    InvalidParameter: Invalid parameter: Message too long
    InvalidParameter: Invalid parameter: Subject
    InvalidParameter: Invalid parameter: Subject
    InvalidParameter: Invalid parameter: Subject
    InvalidParameter: Invalid parameter: Message Structure - JSON message body failed to parse
    InvalidParameter: Invalid parameter: Message Structure - No default entry in JSON message body
    InvalidParameter: Invalid parameter: MessageDeduplicationId Reason: The request includes MessageDeduplicationId parameter that is not valid for this topic type
    InvalidParameter: Invalid parameter: The MessageGroupId parameter is required for FIFO topics
    InvalidParameter: Invalid parameter: The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly
    InvalidParameter: Invalid parameter: MessageGroupId Reason: MessageGroupId can only include alphanumeric and punctuation characters. 1 to 128 in length
    InvalidParameter: Invalid parameter: PhoneNumber Reason: the local cloud sends no SMS
    ParameterValueInvalid: The message attribute 'a' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String.
    ParameterValueInvalid: The message attribute 'a' must contain non-empty message attribute value for message attribute type 'String'.
    ParameterValueInvalid: The message attribute 'a' is not base64.
    ");
    let largest = json!({"TopicArn": topic, "Message": "x".repeat(256 << 10), "Subject": "x".repeat(100)});
    world.call("Publish", largest).await;
}

#[tokio::test]
async fn batches_that_aws_refuses_are_refused_and_bad_entries_fail_alone() {
    let world = World::new();
    let topic = &world.topic("t", json!({})).await;
    let queue = &world
        .queue(topic, "q", json!({"RawMessageDelivery": "true"}))
        .await;
    let entry = |id: &str, message: &str| json!({"Id": id, "Message": message});
    let batch = |entries: Vec<Value>| json!({"TopicArn": topic, "PublishBatchRequestEntries": entries});
    let large = "x".repeat(200 << 10);
    let mut refusals = Vec::new();
    for entries in [
        vec![],
        (0..11).map(|i| entry(&i.to_string(), "m")).collect(),
        vec![entry("a", "m"), entry("a", "m")],
        vec![entry("a b", "m")],
        vec![entry("a", &large), entry("b", &large)],
    ] {
        refusals.push(world.refused("PublishBatch", batch(entries)).await);
    }
    insta::assert_snapshot!(refusals.join("\n"), @r"
    EmptyBatchRequest: The batch request doesn't contain any entries.
    TooManyEntriesInBatchRequest: The batch request contains more entries than permissible.
    BatchEntryIdsNotDistinct: Two or more batch entries in the request have the same Id.
    InvalidBatchEntryId: The Id of a batch entry in a batch request doesn't abide by the specification.
    BatchRequestTooLong: The length of all the batch messages put together is more than the limit.
    ");
    let output = world
        .call(
            "PublishBatch",
            batch(vec![entry("a", "one"), entry("b", ""), entry("c", "three")]),
        )
        .await;
    assert_eq!(output["Failed"]["member"][0]["Id"], "b");
    assert_eq!(
        output["Failed"]["member"][0]["Message"],
        "Invalid parameter: Empty message"
    );
    assert_eq!(output["Successful"]["member"].as_array().unwrap().len(), 2);
    let bodies: Vec<String> = world
        .received(queue)
        .into_iter()
        .map(|message| message.body)
        .collect();
    assert_eq!(bodies, ["one", "three"]);
}

#[tokio::test]
async fn functions_are_invoked_with_the_event_of_sns() {
    let world = World::new();
    let topic = &world.topic("t", json!({})).await;
    let subscribed = json!({"TopicArn": topic, "Protocol": "lambda", "Endpoint": FUNCTION});
    let subscription = world.call("Subscribe", subscribed).await["SubscriptionArn"].clone();
    let published = world
        .call(
            "Publish",
            json!({
                "TopicArn": topic, "Message": "hello", "Subject": "greeting",
                "MessageAttributes": {"kind": {"DataType": "String", "StringValue": "k"}},
            }),
        )
        .await;
    world
        .call("Publish", json!({"TopicArn": topic, "Message": "again"}))
        .await;
    let events = std::mem::take(&mut *world.events.0.lock().unwrap());
    let mut record = events[0]["Records"][0].clone();
    assert_eq!(record["EventSubscriptionArn"], subscription);
    assert_eq!(record["Sns"]["MessageId"], published["MessageId"]);
    for field in [
        "MessageId",
        "Timestamp",
        "UnsubscribeUrl",
        "SigningCertUrl",
        "Signature",
    ] {
        let value = record["Sns"].as_object_mut().unwrap().remove(field);
        assert!(value.is_some_and(|value| value.is_string()), "{field}");
    }
    assert_eq!(
        record,
        json!({
            "EventSource": "aws:sns", "EventVersion": "1.0", "EventSubscriptionArn": subscription,
            "Sns": {
                "Type": "Notification", "TopicArn": topic, "Subject": "greeting", "Message": "hello",
                "SignatureVersion": "1", "MessageAttributes": {"kind": {"Type": "String", "Value": "k"}},
            },
        })
    );
    assert_eq!(events[1]["Records"][0]["Sns"]["Subject"], Value::Null);
}

#[tokio::test]
async fn a_fifo_topic_keeps_order_and_deduplicates() {
    let world = World::new();
    let topic = &world
        .topic(
            "t.fifo",
            json!({"FifoTopic": "true", "ContentBasedDeduplication": "true"}),
        )
        .await;
    let queue = &world.queue(topic, "q.fifo", json!({})).await;
    let raw = &world
        .queue(topic, "raw.fifo", json!({"RawMessageDelivery": "true"}))
        .await;
    let publish = |message: &str, group: &str| {
        let input = json!({"TopicArn": topic, "Message": message, "MessageGroupId": group});
        world.call("Publish", input)
    };
    let first = publish("one", "g").await;
    let second = publish("two", "g").await;
    assert_eq!(
        publish("one", "g").await,
        first,
        "a repeated message is the same message"
    );
    let sequence = |output: &Value| output["SequenceNumber"].as_str().unwrap().to_owned();
    assert_eq!(sequence(&first).len(), 20);
    assert!(sequence(&first) < sequence(&second));
    let bodies: Vec<String> = world
        .received(raw)
        .into_iter()
        .map(|message| message.body)
        .collect();
    assert_eq!(bodies, ["one", "two"]);
    let received = world.received(queue);
    assert_eq!(received.len(), 2);
    let envelope: Value = serde_json::from_str(&received[1].body).unwrap();
    assert_eq!(envelope["SequenceNumber"], second["SequenceNumber"]);
    assert_eq!(received[1].group.as_deref(), Some("g"));
    use sha2::Digest;
    let digest = hex::encode(sha2::Sha256::digest(b"two"));
    assert_eq!(received[1].deduplication.as_deref(), Some(digest.as_str()));

    let standard = &world.topic("t", json!({})).await;
    let subscribe = |topic: &str, protocol: &str, endpoint: &str| {
        world.refused(
            "Subscribe",
            json!({"TopicArn": topic, "Protocol": protocol, "Endpoint": endpoint}),
        )
    };
    let refusals = [
        subscribe(standard, "sqs", queue).await,
        subscribe(standard, "sqs", "q").await,
        subscribe(standard, "lambda", "f").await,
        subscribe(topic, "lambda", FUNCTION).await,
    ];
    insta::assert_snapshot!(refusals.join("\n"), @r"
    InvalidParameter: Invalid parameter: Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics
    InvalidParameter: Invalid parameter: SQS endpoint ARN
    InvalidParameter: Invalid parameter: Lambda endpoint ARN
    InvalidParameter: Invalid parameter: Protocol Reason: FIFO topics deliver to SQS queues only, not to lambda
    ");
}

#[tokio::test]
async fn filters_raw_delivery_and_dead_letters() {
    let world = World::new();
    let topic = &world.topic("t", json!({})).await;
    let raw = &world
        .queue(topic, "raw", json!({"RawMessageDelivery": "true"}))
        .await;
    let filtered = &world
        .queue(topic, "filtered", json!({"FilterPolicy": "{\"kind\":[\"a\"]}"}))
        .await;
    let by_body =
        json!({"FilterPolicy": "{\"n\":[{\"numeric\":[\">\",1]}]}", "FilterPolicyScope": "MessageBody"});
    let by_body = &world.queue(topic, "by-body", by_body).await;
    let dead = &world.sns.queues.created("dead");
    let redrive = json!({"RedrivePolicy": json!({"deadLetterTargetArn": dead}).to_string()});
    let gone = FUNCTION.replace(":function:f", ":function:gone");
    let subscribed =
        json!({"TopicArn": topic, "Protocol": "lambda", "Endpoint": gone, "Attributes": redrive});
    world.call("Subscribe", subscribed).await;
    for (kind, body) in [("a", "{\"n\":1}"), ("b", "{\"n\":2}")] {
        let attributes = json!({
            "kind": {"DataType": "String", "StringValue": kind}, "bytes": {"DataType": "Binary", "BinaryValue": "AAE="},
        });
        let input = json!({"TopicArn": topic, "Message": body, "MessageAttributes": attributes});
        world.call("Publish", input).await;
    }
    assert_eq!(world.received(raw).len(), 2);
    let one = world.received(filtered);
    assert_eq!(one.len(), 1);
    let envelope: Value = serde_json::from_str(&one[0].body).unwrap();
    assert_eq!(
        envelope["MessageAttributes"]["bytes"],
        json!({"Type": "Binary", "Value": "AAE="})
    );
    let bodies = world.received(by_body);
    assert_eq!(bodies.len(), 1);
    assert!(bodies[0].body.contains("{\\\"n\\\":2}"));
    assert_eq!(world.received(dead).len(), 2, "a function that is gone");
}
