//! Registered consumers.

use serde_json::json;

use super::world::World;

#[test]
fn a_consumer_is_registered_described_listed_and_deregistered() {
    let world = World::new();
    world.stream("orders", 1);
    let input = json!({"StreamARN": world.arn("orders"), "ConsumerName": "app", "Tags": {"team": "a"}});
    let consumer = world.ok("RegisterStreamConsumer", input.clone())["Consumer"].clone();
    assert_eq!(consumer["ConsumerStatus"], "CREATING");
    let arn = consumer["ConsumerARN"].as_str().unwrap().to_owned();
    assert_eq!(arn, format!("{}/consumer/app:1767225600", world.arn("orders")));
    assert_eq!(
        world.refused("RegisterStreamConsumer", input),
        "ResourceInUseException"
    );
    world.settle();
    for by in [
        json!({"ConsumerARN": arn}),
        json!({"StreamARN": world.arn("orders"), "ConsumerName": "app"}),
    ] {
        let description = world.ok("DescribeStreamConsumer", by)["ConsumerDescription"].clone();
        assert_eq!(description["ConsumerStatus"], "ACTIVE");
        assert_eq!(description["StreamARN"], world.arn("orders"));
    }
    assert_eq!(world.summary("orders")["ConsumerCount"], 1);
    let tags = world.ok("ListTagsForResource", json!({"ResourceARN": arn}));
    assert_eq!(tags["Tags"], json!([{"Key": "team", "Value": "a"}]));
    world.ok("DeregisterStreamConsumer", json!({"ConsumerARN": arn}));
    assert_eq!(
        world.ok("DescribeStreamConsumer", json!({"ConsumerARN": arn}))["ConsumerDescription"]["ConsumerStatus"],
        "DELETING"
    );
    world.settle();
    assert_eq!(
        world.refused("DescribeStreamConsumer", json!({"ConsumerARN": arn})),
        "ResourceNotFoundException"
    );
    assert_eq!(
        world.refused("DescribeStreamConsumer", json!({"ConsumerName": "app"})),
        "InvalidArgumentException"
    );
}

#[test]
fn a_stream_has_at_most_20_consumers_listed_in_pages() {
    let world = World::new();
    world.stream("orders", 1);
    for i in 0..20 {
        world.consumer("orders", &format!("app-{i:02}"));
    }
    let more = json!({"StreamARN": world.arn("orders"), "ConsumerName": "app-20"});
    assert_eq!(
        world.refused("RegisterStreamConsumer", more),
        "LimitExceededException"
    );
    let first = world.ok(
        "ListStreamConsumers",
        json!({"StreamARN": world.arn("orders"), "MaxResults": 15}),
    );
    assert_eq!(first["Consumers"].as_array().unwrap().len(), 15);
    let rest = world.ok(
        "ListStreamConsumers",
        json!({"StreamARN": world.arn("orders"), "NextToken": first["NextToken"]}),
    );
    assert_eq!(rest["Consumers"][0]["ConsumerName"], "app-15");
    assert_eq!(rest["Consumers"].as_array().unwrap().len(), 5);
    assert!(rest.get("NextToken").is_none());
}
