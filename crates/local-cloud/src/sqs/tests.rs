//! SQS and SNS through the SDK.

use std::collections::BTreeMap;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName,
    SendMessageBatchRequestEntry,
};
use serde_json::Value;

use crate::cloud::Cloud;
use crate::deliver::Deliver;
use crate::test_support::{ok, refused};
use crate::tests::Running;

async fn queue(client: &Client, name: &str) -> String {
    ok!(client.create_queue().queue_name(name)).queue_url.unwrap()
}

async fn bodies(client: &Client, url: &str) -> Vec<String> {
    let received = ok!(client.receive_message().queue_url(url).max_number_of_messages(10));
    received
        .messages()
        .iter()
        .map(|message| message.body().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn messages_are_sent_received_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let client = Client::new(&running.sdk);
    let url = queue(&client, "orders").await;
    assert!(url.ends_with("/000000000000/orders"), "{url}");
    let attribute = MessageAttributeValue::builder()
        .data_type("String")
        .string_value("x")
        .build()
        .unwrap();
    ok!(client
        .send_message()
        .queue_url(&url)
        .message_body("one")
        .message_attributes("kind", attribute));
    let entry = |id: &str| {
        SendMessageBatchRequestEntry::builder()
            .id(id)
            .message_body(id)
            .build()
            .unwrap()
    };
    let sent = ok!(client
        .send_message_batch()
        .queue_url(&url)
        .entries(entry("two"))
        .entries(entry("three")));
    assert_eq!(sent.successful().len(), 2);
    let received = ok!(client
        .receive_message()
        .queue_url(&url)
        .max_number_of_messages(10)
        .message_attribute_names("All")
        .message_system_attribute_names(MessageSystemAttributeName::All));
    let found: Vec<_> = received
        .messages()
        .iter()
        .filter_map(|message| message.body())
        .collect();
    assert_eq!(found, ["one", "two", "three"]);
    let first = &received.messages()[0];
    assert_eq!(
        first.message_attributes().unwrap()["kind"].string_value(),
        Some("x")
    );
    let count = &first.attributes().unwrap()[&MessageSystemAttributeName::ApproximateReceiveCount];
    assert_eq!(count, "1");
    assert!(bodies(&client, &url).await.is_empty(), "they are being processed");

    let entries = received.messages().iter().enumerate().map(|(i, message)| {
        let entry = DeleteMessageBatchRequestEntry::builder().id(i.to_string());
        entry
            .receipt_handle(message.receipt_handle().unwrap())
            .build()
            .unwrap()
    });
    let deleted = ok!(client
        .delete_message_batch()
        .queue_url(&url)
        .set_entries(Some(entries.take(2).collect())));
    assert_eq!(deleted.successful().len(), 2);
    ok!(client
        .change_message_visibility()
        .queue_url(&url)
        .receipt_handle(received.messages()[2].receipt_handle().unwrap())
        .visibility_timeout(0));
    assert_eq!(bodies(&client, &url).await, ["three"]);
    let missing = refused!(client.get_queue_url().queue_name("missing"));
    assert!(missing.into_service_error().is_queue_does_not_exist());
}

#[tokio::test]
async fn a_receiver_that_waits_is_woken() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let client = Client::new(&running.sdk);
    let url = queue(&client, "orders").await;
    let waiting = client
        .receive_message()
        .queue_url(&url)
        .wait_time_seconds(20)
        .send();
    let sending = async {
        tokio::task::yield_now().await;
        ok!(client.send_message().queue_url(&url).message_body("now"));
    };
    let (received, ()) = tokio::join!(waiting, sending);
    assert_eq!(received.unwrap().messages()[0].body(), Some("now"));
}

#[tokio::test]
async fn queues_survive_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let client = Client::new(&running.sdk);
    let url = queue(&client, "orders").await;
    ok!(client
        .set_queue_attributes()
        .queue_url(&url)
        .attributes(QueueAttributeName::MessageRetentionPeriod, "1209600"));
    ok!(client.tag_queue().queue_url(&url).tags("a", "1"));
    ok!(client.send_message().queue_url(&url).message_body("kept"));
    drop(running);
    let running = Running::on(dir.path()).await;
    let client = Client::new(&running.sdk);
    let attributes = ok!(client
        .get_queue_attributes()
        .queue_url(&url)
        .attribute_names(QueueAttributeName::All))
    .attributes
    .unwrap();
    assert_eq!(attributes[&QueueAttributeName::MessageRetentionPeriod], "1209600");
    assert_eq!(attributes[&QueueAttributeName::ApproximateNumberOfMessages], "1");
    assert_eq!(
        attributes[&QueueAttributeName::QueueArn],
        "arn:aws:sqs:eu-west-1:000000000000:orders"
    );
    assert_eq!(
        ok!(client.list_queue_tags().queue_url(&url)).tags.unwrap()["a"],
        "1"
    );
    assert_eq!(bodies(&client, &url).await, ["kept"]);
}

#[tokio::test]
async fn what_is_received_too_often_goes_to_the_dead_letters() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let client = Client::new(&running.sdk);
    let dead = queue(&client, "dead").await;
    let policy = r#"{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:000000000000:dead","maxReceiveCount":"1"}"#;
    let url = ok!(client
        .create_queue()
        .queue_name("orders")
        .attributes(QueueAttributeName::RedrivePolicy, policy)
        .attributes(QueueAttributeName::VisibilityTimeout, "0"))
    .queue_url
    .unwrap();
    ok!(client.send_message().queue_url(&url).message_body("bad"));
    assert_eq!(bodies(&client, &url).await, ["bad"]);
    // The message is visible again one millisecond later.
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    assert!(bodies(&client, &url).await.is_empty());
    assert_eq!(bodies(&client, &dead).await, ["bad"]);
}

#[tokio::test]
async fn fifo_queues_keep_order_and_drop_repetitions() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let client = Client::new(&running.sdk);
    let url = ok!(client
        .create_queue()
        .queue_name("orders.fifo")
        .attributes(QueueAttributeName::FifoQueue, "true")
        .attributes(QueueAttributeName::ContentBasedDeduplication, "true"))
    .queue_url
    .unwrap();
    for body in ["1", "2", "2", "3"] {
        ok!(client
            .send_message()
            .queue_url(&url)
            .message_body(body)
            .message_group_id("g"));
    }
    let first = ok!(client.receive_message().queue_url(&url));
    assert_eq!(first.messages()[0].body(), Some("1"));
    assert!(
        bodies(&client, &url).await.is_empty(),
        "the group waits for its first"
    );
    let handle = first.messages()[0].receipt_handle().unwrap();
    ok!(client.delete_message().queue_url(&url).receipt_handle(handle));
    assert_eq!(bodies(&client, &url).await, ["2", "3"]);
}

#[tokio::test]
async fn the_query_protocol_is_spoken_too() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let url = queue(&Client::new(&running.sdk), "orders").await;
    for (form, expected) in [
        ("Action=SendMessage&MessageBody=a%3Cb", "<MD5OfMessageBody>"),
        ("Action=ReceiveMessage&AttributeName.1=All", "<Body>a&lt;b</Body>"),
        (
            "Action=GetQueueUrl&QueueName=missing",
            "AWS.SimpleQueueService.NonExistentQueue",
        ),
    ] {
        let answer = running.form("sqs", "/000000000000/orders", form).await;
        assert!(answer.contains(expected), "{answer}");
    }
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
}

#[tokio::test]
async fn topics_deliver_to_queues() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let (sns, sqs) = (aws_sdk_sns::Client::new(&running.sdk), Client::new(&running.sdk));
    let topic = ok!(sns
        .create_topic()
        .name("alerts")
        .attributes("DisplayName", "Alerts")
        .tags(
            aws_sdk_sns::types::Tag::builder()
                .key("a")
                .value("1")
                .build()
                .unwrap(),
        ))
    .topic_arn
    .unwrap();
    let subscribe = |queue: &str| {
        sns.subscribe()
            .topic_arn(&topic)
            .protocol("sqs")
            .endpoint(format!("arn:aws:sqs:eu-west-1:000000000000:{queue}"))
            .return_subscription_arn(true)
    };
    let mut urls = Vec::new();
    for name in ["wrapped", "raw", "filtered"] {
        urls.push(queue(&sqs, name).await);
    }
    let first = ok!(subscribe("wrapped")).subscription_arn.unwrap();
    let again = ok!(subscribe("wrapped")).subscription_arn.unwrap();
    assert_eq!(first, again);
    ok!(subscribe("raw").attributes("RawMessageDelivery", "true"));
    ok!(subscribe("filtered").attributes("FilterPolicy", r#"{"kind":["big"]}"#));
    let pending = ok!(sns
        .subscribe()
        .topic_arn(&topic)
        .protocol("email")
        .endpoint("a@example.com"));
    assert_eq!(pending.subscription_arn(), Some("pending confirmation"));

    let kind = aws_sdk_sns::types::MessageAttributeValue::builder()
        .data_type("String")
        .string_value("small");
    ok!(sns
        .publish()
        .topic_arn(&topic)
        .subject("Stock")
        .message("low")
        .message_attributes("kind", kind.build().unwrap()));
    let wrapped = bodies(&sqs, &urls[0]).await;
    let envelope: Value = serde_json::from_str(&wrapped[0]).unwrap();
    assert_eq!(wrapped.len(), 1);
    for (field, expected) in [
        ("Type", "Notification"),
        ("Message", "low"),
        ("Subject", "Stock"),
        ("TopicArn", &topic),
    ] {
        assert_eq!(envelope[field], expected);
    }
    assert_eq!(envelope["MessageAttributes"]["kind"]["Value"], "small");
    let time = envelope["Timestamp"].as_str().unwrap();
    assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
    assert!(envelope["UnsubscribeURL"].as_str().unwrap().contains(&first));
    assert_eq!(bodies(&sqs, &urls[1]).await, ["low"]);
    assert!(bodies(&sqs, &urls[2]).await.is_empty());

    drop(running);
    let running = Running::on(dir.path()).await;
    let sns = aws_sdk_sns::Client::new(&running.sdk);
    let listed = ok!(sns.list_subscriptions_by_topic().topic_arn(&topic));
    let arns: Vec<_> = listed
        .subscriptions()
        .iter()
        .filter_map(|one| one.subscription_arn())
        .collect();
    assert_eq!(arns.len(), 4);
    assert!(arns.contains(&"PendingConfirmation"), "{arns:?}");
    let attributes = ok!(sns.get_topic_attributes().topic_arn(&topic));
    assert_eq!(attributes.attributes().unwrap()["DisplayName"], "Alerts");
    let tags = ok!(sns.list_tags_for_resource().resource_arn(&topic));
    assert_eq!(tags.tags()[0].value(), "1");
    ok!(sns.unsubscribe().subscription_arn(&first));
    ok!(sns.delete_topic().topic_arn(&topic));
    let gone = refused!(sns.get_topic_attributes().topic_arn(&topic));
    assert_eq!(gone.code(), Some("NotFound"));
}

#[tokio::test]
async fn a_fifo_topic_delivers_to_a_fifo_queue() {
    use aws_sdk_sns::types::PublishBatchRequestEntry;
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let (sqs, sns) = (Client::new(&running.sdk), aws_sdk_sns::Client::new(&running.sdk));
    let created = ok!(sns
        .create_topic()
        .name("orders.fifo")
        .attributes("FifoTopic", "true"));
    let topic = created.topic_arn.unwrap();
    let created = ok!(sqs
        .create_queue()
        .queue_name("orders.fifo")
        .attributes(QueueAttributeName::FifoQueue, "true"));
    let url = created.queue_url.unwrap();
    ok!(sns
        .subscribe()
        .topic_arn(&topic)
        .protocol("sqs")
        .endpoint("arn:aws:sqs:eu-west-1:000000000000:orders.fifo")
        .attributes("RawMessageDelivery", "true"));
    let entry = |id: &str, message: &str| {
        PublishBatchRequestEntry::builder()
            .id(id)
            .message(message)
            .message_group_id("g")
            .message_deduplication_id(id)
            .build()
            .unwrap()
    };
    let batch = ok!(sns
        .publish_batch()
        .topic_arn(&topic)
        .publish_batch_request_entries(entry("1", "one"))
        .publish_batch_request_entries(entry("2", "")));
    assert_eq!(batch.failed()[0].id(), "2");
    assert_eq!(
        batch.failed()[0].message(),
        Some("Invalid parameter: Empty message")
    );
    let first = &batch.successful()[0];
    let publish = |id: &str, message: &str| {
        sns.publish()
            .topic_arn(&topic)
            .message(message)
            .message_group_id("g")
            .message_deduplication_id(id)
    };
    let again = ok!(publish("1", "one"));
    assert_eq!(again.message_id(), first.message_id());
    assert_eq!(again.sequence_number(), first.sequence_number());
    let second = ok!(publish("3", "two"));
    assert!(second.sequence_number() > first.sequence_number());
    assert_eq!(bodies(&sqs, &url).await, ["one", "two"]);
    let refused = refused!(sns.publish().topic_arn(&topic).message("m").message_group_id("g"));
    assert_eq!(refused.code(), Some("InvalidParameter"));
}

#[tokio::test]
async fn a_queue_is_purged_once_a_minute() {
    use crate::clock::ManualClock;
    use crate::sqs::Sqs;
    use serde_json::json;
    let dir = tempfile::tempdir().unwrap();
    let clock = std::sync::Arc::new(ManualClock::new(1_000_000));
    let metrics = std::sync::Arc::new(crate::metrics::NoMetrics);
    let sqs = Sqs::new(dir.path(), std::sync::Arc::clone(&clock) as _, metrics);
    let queue = sqs.created("q");
    let caller = crate::Caller::default();
    let input = || json!({"QueueUrl": "http://h/000000000000/q"});
    sqs.send(&queue, &json!({"MessageBody": "one"})).unwrap();
    sqs.run(&caller, "h", "PurgeQueue", input()).await.unwrap();
    assert!(sqs.taken(&queue).is_empty());
    sqs.send(&queue, &json!({"MessageBody": "two"})).unwrap();
    clock.advance(59_999);
    let refused = sqs.run(&caller, "h", "PurgeQueue", input()).await.unwrap_err();
    assert_eq!(
        refused.query_code(),
        "AWS.SimpleQueueService.PurgeQueueInProgress"
    );
    assert_eq!(
        refused.message,
        "Only one PurgeQueue operation on q is allowed every 60 seconds."
    );
    assert_eq!(sqs.taken(&queue).len(), 1, "a refused purge deletes nothing");
    clock.advance(1);
    sqs.run(&caller, "h", "PurgeQueue", input()).await.unwrap();
    assert!(sqs.taken(&queue).is_empty());
}

#[tokio::test]
async fn other_services_hand_over_directly() {
    let dir = tempfile::tempdir().unwrap();
    let cloud = Cloud::open(
        dir.path(),
        daemon::Options::default(),
        "http://127.0.0.1:1",
        &daemon::secret::Secret::for_tests(),
    )
    .unwrap();
    let services = &cloud.deliveries;
    let attributes = BTreeMap::from([("RequestID".to_owned(), "x".to_owned())]);
    let arn = "arn:aws:sqs:us-east-1:000000000000:missing";
    let error = services.to_queue(arn, "body", &attributes).await.unwrap_err();
    assert_eq!(error.code, "AWS.SimpleQueueService.NonExistentQueue");
    let error = services
        .to_topic("arn:aws:sns:us-east-1:000000000000:t", None, "m")
        .await
        .unwrap_err();
    assert_eq!(error.code, "NotFound");
    let caller = crate::Caller::default();
    let error = services
        .to_bucket(&caller, "missing", "key", "x".into())
        .await
        .unwrap_err();
    assert_eq!(error.code, "NoSuchBucket");
}
