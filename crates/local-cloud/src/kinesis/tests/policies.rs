//! Tags and resource policies.

use serde_json::{Map, Value, json};

use super::world::World;

#[test]
fn tags_are_added_replaced_listed_in_pages_and_removed() {
    let world = World::new();
    world.stream("orders", 1);
    world.ok(
        "AddTagsToStream",
        json!({"StreamName": "orders", "Tags": {"a": "1", "b": "2"}}),
    );
    world.ok(
        "TagResource",
        json!({"ResourceARN": world.arn("orders"), "Tags": {"b": "3", "c": ""}}),
    );
    let first = world.ok("ListTagsForStream", json!({"StreamName": "orders", "Limit": 2}));
    assert_eq!(
        first,
        json!({"Tags": [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "3"}], "HasMoreTags": true})
    );
    let rest = world.ok(
        "ListTagsForStream",
        json!({"StreamName": "orders", "ExclusiveStartTagKey": "b"}),
    );
    assert_eq!(
        rest,
        json!({"Tags": [{"Key": "c", "Value": ""}], "HasMoreTags": false})
    );
    world.ok(
        "RemoveTagsFromStream",
        json!({"StreamName": "orders", "TagKeys": ["a", "absent"]}),
    );
    world.ok(
        "UntagResource",
        json!({"ResourceARN": world.arn("orders"), "TagKeys": ["b"]}),
    );
    let all = world.ok("ListTagsForResource", json!({"ResourceARN": world.arn("orders")}));
    assert_eq!(all["Tags"], json!([{"Key": "c", "Value": ""}]));
}

#[test]
fn at_most_50_tags_of_allowed_characters() {
    let world = World::new();
    world.stream("orders", 1);
    let many = |range: std::ops::Range<u32>| {
        Value::from(
            range
                .map(|i| (format!("k{i}"), json!("v")))
                .collect::<Map<_, _>>(),
        )
    };
    world.ok(
        "AddTagsToStream",
        json!({"StreamName": "orders", "Tags": many(0..50)}),
    );
    assert_eq!(
        world.refused(
            "AddTagsToStream",
            json!({"StreamName": "orders", "Tags": many(50..51)})
        ),
        "InvalidArgumentException"
    );
    world.ok(
        "AddTagsToStream",
        json!({"StreamName": "orders", "Tags": many(0..10)}),
    );
    for bad in [json!({"k#": "v"}), json!({"k0": "a*b"}), json!({"aws:x": "v"})] {
        assert_eq!(
            world.refused("AddTagsToStream", json!({"StreamName": "orders", "Tags": bad})),
            "InvalidArgumentException"
        );
    }
    for bad in [json!({}), json!({"": "v"}), json!({"k": "v".repeat(257)})] {
        assert_eq!(
            world.refused("AddTagsToStream", json!({"StreamName": "orders", "Tags": bad})),
            "ValidationException"
        );
    }
}

#[test]
fn a_policy_is_put_got_and_deleted_for_streams_and_consumers() {
    let world = World::new();
    world.stream("orders", 1);
    let consumer = world.consumer("orders", "app");
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kinesis:GetRecords","Resource":"*"}]}"#;
    for arn in [world.arn("orders"), consumer] {
        assert_eq!(
            world.refused("GetResourcePolicy", json!({"ResourceARN": arn})),
            "ResourceNotFoundException"
        );
        world.ok("PutResourcePolicy", json!({"ResourceARN": arn, "Policy": policy}));
        assert_eq!(
            world.ok("GetResourcePolicy", json!({"ResourceARN": arn})),
            json!({"Policy": policy})
        );
        assert_eq!(
            world.refused("PutResourcePolicy", json!({"ResourceARN": arn, "Policy": "{"})),
            "InvalidArgumentException"
        );
        world.ok("DeleteResourcePolicy", json!({"ResourceARN": arn}));
        assert_eq!(
            world.refused("DeleteResourcePolicy", json!({"ResourceARN": arn})),
            "ResourceNotFoundException"
        );
    }
    let nowhere = json!({"ResourceARN": world.arn("bills"), "Policy": policy});
    assert_eq!(
        world.refused("PutResourcePolicy", nowhere),
        "ResourceNotFoundException"
    );
}
