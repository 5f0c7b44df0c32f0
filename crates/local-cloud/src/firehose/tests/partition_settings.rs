//! The settings of dynamic partitioning: what is described, what can be changed, and what is refused.

use super::partitioning::{by_user, extraction, partitioned, processor};
use super::transforming::FUNCTION;
use super::*;

/// Settings of later records do not move records that wait.
#[test]
fn keys_and_prefix_can_be_changed_and_partitioning_cannot() {
    let fire = Fire::new();
    fire.direct("carts", by_user());
    fire.put("carts", "{\"user\":1,\"team\":\"x\"}");
    fire.pass(5_000);
    let update = |version: &str, update: Value| {
        json!({
            "DeliveryStreamName": "carts",
            "CurrentDeliveryStreamVersionId": version,
            "DestinationId": "destinationId-000000000001",
            "ExtendedS3DestinationUpdate": update,
        })
    };
    let (code, message) = fire.err(
        "UpdateDestination",
        update("1", json!({"DynamicPartitioningConfiguration": {"Enabled": false}, "Prefix": "a/", "ProcessingConfiguration": {"Enabled": false}})),
    );
    assert_eq!(
        (code.as_str(), message.as_str()),
        (
            "InvalidArgumentException",
            "Dynamic Partitioning cannot be disabled once it is enabled."
        )
    );
    fire.ok(
        "UpdateDestination",
        update(
            "1",
            json!({
                "Prefix": "team=!{partitionKeyFromQuery:team}/",
                "ProcessingConfiguration": {"Enabled": true, "Processors": [extraction("{team: .team}")]},
            }),
        ),
    );
    fire.put("carts", "{\"user\":1,\"team\":\"x\"}");
    fire.pass(70_000);
    let prefixes: Vec<String> = fire.by_prefix().into_iter().map(|(prefix, _)| prefix).collect();
    assert_eq!(prefixes, ["user=1/", "team=x/"]);

    let fire = Fire::new();
    fire.direct("carts", lake());
    let mut enabled = by_user();
    enabled.as_object_mut().unwrap().remove("RoleARN");
    let (_, message) = fire.err("UpdateDestination", update("1", enabled));
    assert_eq!(
        message,
        "Dynamic Partitioning can only be enabled when a delivery stream is created."
    );
}

#[test]
fn the_configuration_is_described_with_its_defaults() {
    let fire = Fire::new();
    let mut destination = by_user();
    destination.as_object_mut().unwrap().remove("BufferingHints");
    fire.direct("carts", destination);
    let shown = fire.extended("carts");
    assert_eq!(
        shown["DynamicPartitioningConfiguration"],
        json!({"RetryOptions": {"DurationInSeconds": 300}, "Enabled": true})
    );
    assert_eq!(
        shown["BufferingHints"],
        json!({"SizeInMBs": 128, "IntervalInSeconds": 300})
    );
    assert_eq!(
        shown["ProcessingConfiguration"]["Processors"][0]["Parameters"][0]["ParameterValue"],
        "{user: .user}"
    );
    let plain = &fire.description("carts")["Destinations"][0]["S3DestinationDescription"];
    assert!(plain["DynamicPartitioningConfiguration"].is_null());
    // A restart changes nothing.
    let fire = fire.restarted();
    assert_eq!(fire.extended("carts"), shown);
}

#[test]
fn settings_that_firehose_refuses_are_refused_with_its_words() {
    let fire = Fire::new();
    let user = "!{partitionKeyFromQuery:user}/";
    let query = extraction("{user: .user}");
    let with = |name: &str, value: Value| {
        let mut destination = by_user();
        destination[name] = value;
        destination
    };
    let lambda = processor("Lambda", &[("LambdaArn", FUNCTION)]);
    let invalid = "InvalidArgumentException";
    for (destination, code, part) in [
        (
            partitioned("a/", std::slice::from_ref(&query)),
            invalid,
            "S3 Prefix should contain Dynamic Partitioning namespaces when Dynamic Partitioning is enabled",
        ),
        (
            with("ErrorOutputPrefix", json!("")),
            invalid,
            "ErrorOutputPrefix cannot be null or empty",
        ),
        (
            with(
                "ErrorOutputPrefix",
                json!("!{firehose:error-output-type}/!{partitionKeyFromQuery:user}"),
            ),
            invalid,
            "Dynamic Partitioning Namespaces can't be part of an error prefix expression",
        ),
        (
            with(
                "BufferingHints",
                json!({"SizeInMBs": 63, "IntervalInSeconds": 60}),
            ),
            invalid,
            "BufferingHints.SizeInMBs must be at least 64 when Dynamic Partitioning is enabled.",
        ),
        (
            with(
                "BufferingHints",
                json!({"SizeInMBs": 64, "IntervalInSeconds": 59}),
            ),
            invalid,
            "BufferingHints.IntervalInSeconds must be at least 60 seconds when Dynamic Partitioning is enabled.",
        ),
        (
            with("ProcessingConfiguration", json!({"Enabled": false})),
            invalid,
            "Processing Configuration is not enabled when DataPartitioning is enabled",
        ),
        (
            with(
                "DynamicPartitioningConfiguration",
                json!({"Enabled": true, "RetryOptions": {"DurationInSeconds": 7201}}),
            ),
            "ValidationException",
            "less than or equal to 7200",
        ),
        (
            with("DynamicPartitioningConfiguration", json!({"Enabled": false})),
            invalid,
            "can only be part of a prefix expression when Dynamic Partitioning is enabled",
        ),
        (
            partitioned("!{partitionKeyFromLambda:a}/", std::slice::from_ref(&query)),
            invalid,
            "Lambda should be present when S3 Prefix contains keys from partitionKeyFromLambda namespace",
        ),
        (
            partitioned(user, &[lambda]),
            invalid,
            "MetadataExtraction processor should be present when S3 Prefix has partitionKeyFromQuery namespace",
        ),
        (
            partitioned(user, &[extraction("{user: .user, b: .b}")]),
            invalid,
            "MetaDataExtraction JQ Query can't contain keys that are not present in the S3 Prefix expression",
        ),
        (
            partitioned(
                "!{partitionKeyFromQuery:user}/!{partitionKeyFromQuery:b}/",
                std::slice::from_ref(&query),
            ),
            invalid,
            "contains the key b",
        ),
        (
            partitioned(user, &[extraction("{user: .user")]),
            invalid,
            "MetaDataExtraction JQ Query is not valid: at its end",
        ),
        (
            partitioned(user, &[extraction("{user: nosuch}")]),
            invalid,
            "jq does not have the function nosuch/0",
        ),
        (
            partitioned(user, &[extraction("{user: env}")]),
            invalid,
            "The local cloud does not offer the MetadataExtractionQuery",
        ),
        (
            partitioned(
                user,
                &[processor(
                    "MetadataExtraction",
                    &[
                        ("MetadataExtractionQuery", "{user: .user}"),
                        ("JsonParsingEngine", "JQ-1.7"),
                    ],
                )],
            ),
            invalid,
            "MetaDataExtraction JSON Parsing Engine has to be one of JQ-1.6",
        ),
        (
            partitioned(
                user,
                &[
                    query.clone(),
                    processor("RecordDeAggregation", &[("SubRecordType", "CSV")]),
                ],
            ),
            invalid,
            "SubRecordType has to be one of JSON, DELIMITED",
        ),
        (
            partitioned(
                user,
                &[
                    query.clone(),
                    processor("RecordDeAggregation", &[("SubRecordType", "DELIMITED")]),
                ],
            ),
            invalid,
            "Delimiter should be present for DELIMITED",
        ),
        (
            partitioned(
                user,
                &[
                    query,
                    processor(
                        "RecordDeAggregation",
                        &[("SubRecordType", "DELIMITED"), ("Delimiter", "####")],
                    ),
                ],
            ),
            invalid,
            "base64",
        ),
    ] {
        let input = json!({"DeliveryStreamName": "carts", "ExtendedS3DestinationConfiguration": destination});
        let (found, message) = fire.err("CreateDeliveryStream", input.clone());
        assert!(
            found == code && message.contains(part),
            "{input}: {found}: {message}"
        );
    }
}
