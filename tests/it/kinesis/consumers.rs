//! RegisterStreamConsumer, DescribeStreamConsumer, ListStreamConsumers, DeregisterStreamConsumer.

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{ConsumerDescription, ConsumerStatus};

use super::{client, code, create, refused, summary, until};
use crate::support::{Cloud, block_on};

/// Registers a consumer, waits until it is ACTIVE, and returns its ARN.
pub(super) async fn register(client: &Client, stream_arn: &str, name: &str) -> String {
    let request = client.register_stream_consumer().stream_arn(stream_arn);
    let consumer = request
        .consumer_name(name)
        .send()
        .await
        .unwrap()
        .consumer
        .unwrap();
    until("the consumer is ACTIVE", || async {
        let description = describe(client, consumer.consumer_arn()).await;
        (*description.consumer_status() == ConsumerStatus::Active).then_some(())
    })
    .await;
    consumer.consumer_arn
}

async fn describe(client: &Client, arn: &str) -> ConsumerDescription {
    let request = client.describe_stream_consumer().consumer_arn(arn);
    request.send().await.unwrap().consumer_description.unwrap()
}

#[test]
fn a_consumer_is_registered_described_and_deregistered() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        let stream = create(&client, "s", 1).await;
        let register = |name: &str| {
            client
                .register_stream_consumer()
                .stream_arn(&stream)
                .consumer_name(name)
        };
        let answer = register("reader").tags("team", "data").send().await.unwrap();
        let registered = answer.consumer.unwrap();
        assert_eq!(registered.consumer_name(), "reader");
        assert_eq!(*registered.consumer_status(), ConsumerStatus::Creating);
        let arn = registered.consumer_arn();
        let seconds = registered.consumer_creation_timestamp().secs();
        assert_eq!(arn, format!("{stream}/consumer/reader:{seconds}"));
        let active = until("the consumer is ACTIVE", || async {
            let description = describe(&client, arn).await;
            (*description.consumer_status() == ConsumerStatus::Active).then_some(description)
        })
        .await;
        assert_eq!(active.stream_arn(), stream);
        let tags = client
            .list_tags_for_resource()
            .resource_arn(arn)
            .send()
            .await
            .unwrap();
        assert_eq!(tags.tags()[0].key(), "team");
        assert_eq!(summary(&client, "s").await.consumer_count(), Some(1));

        // A consumer can also be named by its stream's ARN and its own name.
        let named = client
            .describe_stream_consumer()
            .stream_arn(&stream)
            .consumer_name("reader");
        let named = named.send().await.unwrap().consumer_description.unwrap();
        assert_eq!(named.consumer_arn(), arn);

        refused!(register("reader"), is_resource_in_use_exception);
        assert_eq!(code(register("bad name").send().await), "ValidationException");
        let absent = client
            .register_stream_consumer()
            .stream_arn(format!("{stream}-absent"));
        refused!(absent.consumer_name("reader"), is_resource_not_found_exception);

        // A stream with consumers is deleted only with EnforceConsumerDeletion.
        refused!(
            client.delete_stream().stream_name("s"),
            is_resource_in_use_exception
        );
        client
            .deregister_stream_consumer()
            .consumer_arn(arn)
            .send()
            .await
            .unwrap();
        until("the consumer is gone", || async {
            let gone = client.describe_stream_consumer().consumer_arn(arn).send().await;
            gone.err()
                .map(|e| assert!(e.into_service_error().is_resource_not_found_exception()))
        })
        .await;
        refused!(
            client.deregister_stream_consumer().consumer_arn(arn),
            is_resource_not_found_exception
        );
        client.delete_stream().stream_name("s").send().await.unwrap();
    });
}

#[test]
fn consumers_are_listed_in_pages() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        let stream = create(&client, "s", 1).await;
        for name in ["a", "b", "c"] {
            register(&client, &stream, name).await;
        }
        let list = || client.list_stream_consumers().stream_arn(&stream);
        let first = list().max_results(2).send().await.unwrap();
        assert_eq!(first.consumers().len(), 2);
        let rest = list()
            .next_token(first.next_token().unwrap())
            .send()
            .await
            .unwrap();
        assert_eq!(rest.next_token(), None);
        let all = first.consumers().iter().chain(rest.consumers());
        assert_eq!(
            all.map(|c| c.consumer_name()).collect::<Vec<_>>(),
            ["a", "b", "c"]
        );

        refused!(list().next_token("rubbish"), is_invalid_argument_exception);
        assert_eq!(code(list().max_results(0).send().await), "ValidationException");
        let absent = client
            .list_stream_consumers()
            .stream_arn(format!("{stream}-absent"));
        refused!(absent, is_resource_not_found_exception);

        // The request has the ARN of one consumer and the name of another.
        let arn = first.consumers()[0].consumer_arn();
        let two = client
            .describe_stream_consumer()
            .consumer_arn(arn)
            .consumer_name("b");
        refused!(two, is_invalid_argument_exception);
        refused!(
            client.describe_stream_consumer().stream_arn(&stream),
            is_invalid_argument_exception
        );
        let nobody = client
            .deregister_stream_consumer()
            .stream_arn(&stream)
            .consumer_name("nobody");
        refused!(nobody, is_resource_not_found_exception);
        let by_name = client
            .deregister_stream_consumer()
            .stream_arn(&stream)
            .consumer_name("a");
        by_name.send().await.unwrap();
    });
}

#[test]
fn a_stream_has_at_most_twenty_consumers_and_is_deleted_with_them() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        let stream = create(&client, "s", 1).await;
        let register = |name: String| {
            client
                .register_stream_consumer()
                .stream_arn(&stream)
                .consumer_name(name)
        };
        for n in 0..20 {
            register(format!("c{n}")).send().await.unwrap();
        }
        refused!(register("c20".to_owned()), is_limit_exceeded_exception);
        let request = client
            .delete_stream()
            .stream_name("s")
            .enforce_consumer_deletion(true);
        request.send().await.unwrap();
        until("the stream is gone", || async {
            client
                .describe_stream_summary()
                .stream_name("s")
                .send()
                .await
                .err()
        })
        .await;
    });
}
