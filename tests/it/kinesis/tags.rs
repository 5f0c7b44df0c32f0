//! AddTagsToStream, ListTagsForStream, RemoveTagsFromStream, TagResource, ListTagsForResource, UntagResource,
//! PutResourcePolicy, GetResourcePolicy, DeleteResourcePolicy.

use std::collections::HashMap;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::Tag;

use super::consumers::register;
use super::{client, code, create, refused};
use crate::support::{Cloud, block_on};

fn pairs(tags: &[Tag]) -> Vec<(&str, &str)> {
    let mut pairs: Vec<_> = tags
        .iter()
        .map(|t| (t.key(), t.value().unwrap_or_default()))
        .collect();
    pairs.sort_unstable();
    pairs
}

async fn tags_of(client: &Client, arn: &str) -> Vec<Tag> {
    client
        .list_tags_for_resource()
        .resource_arn(arn)
        .send()
        .await
        .unwrap()
        .tags
        .unwrap_or_default()
}

#[test]
fn a_stream_is_tagged_and_untagged() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        create(&client, "s", 1).await;
        let add = |key: &str, value: &str| client.add_tags_to_stream().stream_name("s").tags(key, value);
        add("stage", "test")
            .tags("a", "1")
            .tags("b", "")
            .send()
            .await
            .unwrap();
        // The value of an existing key is replaced.
        add("stage", "live").send().await.unwrap();
        let list = || client.list_tags_for_stream().stream_name("s");
        let all = list().send().await.unwrap();
        assert_eq!(pairs(all.tags()), [("a", "1"), ("b", ""), ("stage", "live")]);
        assert!(!all.has_more_tags());
        let page = list().limit(2).send().await.unwrap();
        assert!(page.has_more_tags());
        let last = page.tags().last().unwrap().key();
        let rest = list().exclusive_start_tag_key(last).send().await.unwrap();
        assert_eq!(pairs(rest.tags()), [("stage", "live")]);

        // A key that does not exist is ignored.
        let remove = client
            .remove_tags_from_stream()
            .stream_name("s")
            .tag_keys("a")
            .tag_keys("z");
        remove.send().await.unwrap();
        let left = list().send().await.unwrap();
        assert_eq!(pairs(left.tags()), [("b", ""), ("stage", "live")]);

        assert_eq!(code(list().limit(51).send().await), "ValidationException");
        refused!(list().stream_name("absent"), is_resource_not_found_exception);
        let absent = client
            .remove_tags_from_stream()
            .stream_name("absent")
            .tag_keys("a");
        refused!(absent, is_resource_not_found_exception);
        let nothing = client
            .remove_tags_from_stream()
            .stream_name("s")
            .set_tag_keys(Some(Vec::new()));
        assert_eq!(code(nothing.send().await), "ValidationException");
    });
}

#[test]
fn tags_have_limits() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        create(&client, "s", 1).await;
        let add = || client.add_tags_to_stream().stream_name("s");
        refused!(add().tags("semi;colon", "x"), is_invalid_argument_exception);
        refused!(add().tags("AWS:mine", "x"), is_invalid_argument_exception);
        refused!(
            add().tags("a", "1").stream_name("absent"),
            is_resource_not_found_exception
        );
        assert_eq!(code(add().tags("", "x").send().await), "ValidationException");
        assert_eq!(
            code(add().tags("k".repeat(129), "x").send().await),
            "ValidationException"
        );
        assert_eq!(
            code(add().tags("k", "v".repeat(257)).send().await),
            "ValidationException"
        );
        assert_eq!(
            code(add().set_tags(Some(HashMap::new())).send().await),
            "ValidationException"
        );

        let fifty: HashMap<String, String> = (0..50).map(|n| (format!("k{n}"), "v".repeat(256))).collect();
        add().set_tags(Some(fifty)).send().await.unwrap();
        refused!(add().tags("k50", "v"), is_invalid_argument_exception);
        // Replacing an existing key does not increase the number of tags.
        add().tags("k49", "new").send().await.unwrap();
        let all = client
            .list_tags_for_stream()
            .stream_name("s")
            .send()
            .await
            .unwrap();
        assert_eq!(all.tags().len(), 50);
    });
}

#[test]
fn streams_and_consumers_are_tagged_by_arn() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        let stream = create(&client, "s", 1).await;
        let consumer = register(&client, &stream, "reader").await;
        for arn in [&stream, &consumer] {
            let request = client
                .tag_resource()
                .resource_arn(arn)
                .tags("kind", "x")
                .tags("owner", "me");
            request.send().await.unwrap();
        }
        assert_eq!(
            pairs(&tags_of(&client, &consumer).await),
            [("kind", "x"), ("owner", "me")]
        );
        client
            .untag_resource()
            .resource_arn(&consumer)
            .tag_keys("kind")
            .send()
            .await
            .unwrap();
        assert_eq!(pairs(&tags_of(&client, &consumer).await), [("owner", "me")]);
        // Both operations return the tags of the stream and not those of its consumer.
        assert_eq!(
            pairs(&tags_of(&client, &stream).await),
            [("kind", "x"), ("owner", "me")]
        );
        let by_name = client
            .list_tags_for_stream()
            .stream_name("s")
            .send()
            .await
            .unwrap();
        assert_eq!(by_name.tags().len(), 2);

        let absent = format!("{stream}-absent");
        let tag = client.tag_resource().resource_arn(&absent).tags("a", "1");
        refused!(tag, is_resource_not_found_exception);
        let untag = client.untag_resource().resource_arn(&absent).tag_keys("a");
        refused!(untag, is_resource_not_found_exception);
        refused!(
            client.list_tags_for_resource().resource_arn(&absent),
            is_resource_not_found_exception
        );
        let no_arn = client.list_tags_for_resource().resource_arn("s");
        assert_eq!(code(no_arn.send().await), "ValidationException");
        let tag = client
            .tag_resource()
            .resource_arn(&stream)
            .tags("semi;colon", "x");
        refused!(tag, is_invalid_argument_exception);
        let untag = client.untag_resource().resource_arn(&stream).tag_keys("");
        assert_eq!(code(untag.send().await), "ValidationException");
    });
}

#[test]
fn resource_policies_are_stored_and_returned() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        let stream = create(&client, "s", 1).await;
        let consumer = register(&client, &stream, "reader").await;
        let policy = |action: &str, arn: &str| {
            format!(
                r#"{{"Version": "2012-10-17", "Statement": [{{"Sid": "read", "Effect": "Allow", "Action": "{action}",
                "Principal": {{"AWS": "arn:aws:iam::111122223333:root"}}, "Resource": "{arn}"}}]}}"#
            )
        };
        let get = |arn: &str| client.get_resource_policy().resource_arn(arn);
        refused!(get(&stream), is_resource_not_found_exception);
        for (arn, action) in [
            (&stream, "kinesis:GetRecords"),
            (&consumer, "kinesis:SubscribeToShard"),
        ] {
            let document = policy(action, arn);
            let put = client.put_resource_policy().resource_arn(arn).policy(&document);
            put.send().await.unwrap();
            assert_eq!(get(arn).send().await.unwrap().policy(), document);
        }
        // A second policy replaces the first.
        let document = policy("kinesis:ListShards", &stream);
        client
            .put_resource_policy()
            .resource_arn(&stream)
            .policy(&document)
            .send()
            .await
            .unwrap();
        assert_eq!(get(&stream).send().await.unwrap().policy(), document);

        client
            .delete_resource_policy()
            .resource_arn(&stream)
            .send()
            .await
            .unwrap();
        refused!(get(&stream), is_resource_not_found_exception);
        refused!(
            client.delete_resource_policy().resource_arn(&stream),
            is_resource_not_found_exception
        );
        get(&consumer).send().await.unwrap();

        let malformed = client
            .put_resource_policy()
            .resource_arn(&stream)
            .policy("let me in");
        refused!(malformed, is_invalid_argument_exception);
        let absent = client
            .put_resource_policy()
            .resource_arn(format!("{stream}-absent"));
        refused!(absent.policy(&document), is_resource_not_found_exception);
        assert_eq!(code(get("s").send().await), "ValidationException");
    });
}
