//! The operations: descriptions, statuses, versions, tags, encryption, limits, and what is refused.

use super::*;

#[test]
fn a_delivery_stream_is_created_described_updated_and_deleted() {
    let fire = Fire::new();
    let input = json!({
        "DeliveryStreamName": "carts",
        "ExtendedS3DestinationConfiguration": {"RoleARN": ROLE, "BucketARN": "arn:aws:s3:::lake"},
        "Tags": [{"Key": "team", "Value": "data"}],
    });
    let arn = format!("arn:aws:firehose:us-east-1:{ACCOUNT}:deliverystream/carts");
    assert_eq!(
        fire.ok("CreateDeliveryStream", input),
        json!({"DeliveryStreamARN": arn})
    );
    assert_eq!(fire.description("carts")["DeliveryStreamStatus"], "CREATING");
    let put = json!({"DeliveryStreamName": "carts", "Record": {"Data": ""}});
    assert_eq!(fire.refused("PutRecord", put), "ResourceNotFoundException");
    let delete = json!({"DeliveryStreamName": "carts"});
    assert_eq!(
        fire.refused("DeleteDeliveryStream", delete.clone()),
        "ResourceInUseException"
    );
    fire.world.settle();
    let s3 = json!({
        "RoleARN": ROLE,
        "BucketARN": "arn:aws:s3:::lake",
        "BufferingHints": {"SizeInMBs": 5, "IntervalInSeconds": 300},
        "CompressionFormat": "UNCOMPRESSED",
        "EncryptionConfiguration": {"NoEncryptionConfig": "NoEncryption"},
        "CloudWatchLoggingOptions": {"Enabled": false},
    });
    let mut extended = s3.clone();
    extended["S3BackupMode"] = json!("Disabled");
    assert_eq!(
        fire.description("carts"),
        json!({
            "DeliveryStreamName": "carts",
            "DeliveryStreamARN": arn,
            "DeliveryStreamStatus": "ACTIVE",
            "DeliveryStreamEncryptionConfiguration": {"Status": "DISABLED"},
            "DeliveryStreamType": "DirectPut",
            "VersionId": "1",
            "CreateTimestamp": 1_767_225_600.0,
            "Destinations": [{
                "DestinationId": "destinationId-000000000001",
                "S3DestinationDescription": s3,
                "ExtendedS3DestinationDescription": extended,
            }],
            "HasMoreDestinations": false,
        })
    );

    let update = json!({
        "DeliveryStreamName": "carts",
        "CurrentDeliveryStreamVersionId": "1",
        "DestinationId": "destinationId-000000000001",
        "ExtendedS3DestinationUpdate": {"Prefix": "a/", "CompressionFormat": "GZIP"},
    });
    fire.ok("UpdateDestination", update.clone());
    let shown = fire.extended("carts");
    assert_eq!(
        (&shown["Prefix"], &shown["CompressionFormat"], &shown["RoleARN"]),
        (&json!("a/"), &json!("GZIP"), &json!(ROLE))
    );
    assert_eq!(fire.description("carts")["VersionId"], "2");
    assert_eq!(
        fire.refused("UpdateDestination", update),
        "ConcurrentModificationException"
    );

    fire.ok("DeleteDeliveryStream", delete.clone());
    assert_eq!(fire.description("carts")["DeliveryStreamStatus"], "DELETING");
    fire.world.settle();
    assert_eq!(
        fire.err("DescribeDeliveryStream", delete),
        (
            "ResourceNotFoundException".to_owned(),
            format!("Firehose carts under account {ACCOUNT} not found.")
        )
    );
    let dir = fire.world.dir.path().join("firehose");
    assert_eq!(std::fs::read_dir(dir).unwrap().count(), 0);
}

#[test]
fn names_are_taken_until_the_deletion_is_complete() {
    let fire = Fire::new();
    fire.direct("carts", lake());
    let input = json!({"DeliveryStreamName": "carts", "ExtendedS3DestinationConfiguration": lake()});
    assert_eq!(
        fire.err("CreateDeliveryStream", input.clone()),
        (
            "ResourceInUseException".to_owned(),
            format!("Firehose carts under accountId {ACCOUNT} already exists")
        )
    );
    fire.ok("DeleteDeliveryStream", json!({"DeliveryStreamName": "carts"}));
    assert_eq!(
        fire.refused("CreateDeliveryStream", input.clone()),
        "ResourceInUseException"
    );
    fire.world.settle();
    fire.ok("CreateDeliveryStream", input);
}

#[test]
fn a_source_is_described_and_takes_no_direct_puts() {
    let fire = Fire::new();
    fire.world.stream("orders", 1);
    fire.reading("carts", lake());
    let description = fire.description("carts");
    assert_eq!(description["DeliveryStreamType"], "KinesisStreamAsSource");
    let source = &description["Source"]["KinesisStreamSourceDescription"];
    assert_eq!(source["KinesisStreamARN"], fire.world.arn("orders"));
    assert_eq!(source["RoleARN"], ROLE);
    assert!(source["DeliveryStartTimestamp"].is_number());
    let put = json!({"DeliveryStreamName": "carts", "Record": {"Data": "YQ=="}});
    assert_eq!(
        fire.err("PutRecord", put),
        (
            "InvalidArgumentException".to_owned(),
            "This operation is not permitted on KinesisStreamAsSource delivery stream type.".to_owned()
        )
    );
    assert_eq!(
        fire.refused(
            "StartDeliveryStreamEncryption",
            json!({"DeliveryStreamName": "carts"})
        ),
        "InvalidArgumentException"
    );
}

#[test]
fn lists_have_pages_and_types() {
    let fire = Fire::new();
    fire.world.stream("orders", 1);
    for name in ["b", "a", "d"] {
        fire.direct(name, lake());
    }
    fire.reading("c", lake());
    let list = |input: Value| {
        let listed = fire.ok("ListDeliveryStreams", input);
        let more = listed["HasMoreDeliveryStreams"].as_bool().unwrap();
        (listed["DeliveryStreamNames"].clone(), more)
    };
    assert_eq!(list(json!({})), (json!(["a", "b", "c", "d"]), false));
    assert_eq!(list(json!({"Limit": 3})), (json!(["a", "b", "c"]), true));
    let next = json!({"Limit": 3, "ExclusiveStartDeliveryStreamName": "c"});
    assert_eq!(list(next), (json!(["d"]), false));
    let of_type = json!({"DeliveryStreamType": "KinesisStreamAsSource"});
    assert_eq!(list(of_type), (json!(["c"]), false));
    for name in 0..9 {
        fire.direct(&format!("x{name}"), lake());
    }
    let (names, more) = list(json!({}));
    assert_eq!((names.as_array().unwrap().len(), more), (10, true));
    assert_eq!(
        fire.refused("ListDeliveryStreams", json!({"Limit": 0})),
        "ValidationException"
    );
}

#[test]
fn tags_are_set_listed_and_removed() {
    let fire = Fire::new();
    fire.direct("carts", lake());
    let named = |more: Value| {
        let mut input = more;
        input["DeliveryStreamName"] = json!("carts");
        input
    };
    let tags = json!([{"Key": "a", "Value": "1"}, {"Key": "b"}, {"Key": "c", "Value": "3"}]);
    fire.ok("TagDeliveryStream", named(json!({ "Tags": tags })));
    fire.ok("UntagDeliveryStream", named(json!({"TagKeys": ["a"]})));
    let listed = fire.ok("ListTagsForDeliveryStream", named(json!({"Limit": 1})));
    assert_eq!(
        listed,
        json!({"Tags": [{"Key": "b", "Value": ""}], "HasMoreTags": true})
    );
    let rest = fire.ok(
        "ListTagsForDeliveryStream",
        named(json!({"ExclusiveStartTagKey": "b"})),
    );
    assert_eq!(
        rest,
        json!({"Tags": [{"Key": "c", "Value": "3"}], "HasMoreTags": false})
    );
    for (tags, code) in [
        (json!([{"Key": "aws:x", "Value": ""}]), "ValidationException"),
        (json!([{"Key": "", "Value": ""}]), "ValidationException"),
        (json!([{"Value": "x"}]), "ValidationException"),
        (json!([{"Key": "k"}, {"Key": "k"}]), "InvalidArgumentException"),
        (
            Value::from_iter((0..51).map(|n| json!({"Key": format!("k{n}")}))),
            "LimitExceededException",
        ),
    ] {
        let refused = fire.refused("TagDeliveryStream", named(json!({ "Tags": tags })));
        assert_eq!(refused, code, "{tags}");
    }
    use crate::service::Service;
    let tagged = fire.service.tagged(&fire.world.caller);
    assert_eq!(tagged.values().next().unwrap().len(), 2);
}

#[test]
fn encryption_is_started_stopped_and_shown() {
    let fire = Fire::new();
    fire.direct("carts", lake());
    let name = json!({"DeliveryStreamName": "carts"});
    let shown = || fire.description("carts")["DeliveryStreamEncryptionConfiguration"].clone();
    fire.ok("StartDeliveryStreamEncryption", name.clone());
    assert_eq!(shown(), json!({"Status": "ENABLING", "KeyType": "AWS_OWNED_CMK"}));
    assert_eq!(fire.put("carts", "a")["Encrypted"], false);
    fire.world.settle();
    assert_eq!(shown()["Status"], "ENABLED");
    assert_eq!(fire.put("carts", "a")["Encrypted"], true);
    let key = format!("arn:aws:kms:us-east-1:{ACCOUNT}:key/other");
    let mut other = name.clone();
    other["DeliveryStreamEncryptionConfigurationInput"] =
        json!({"KeyType": "CUSTOMER_MANAGED_CMK", "KeyARN": key});
    fire.ok("StartDeliveryStreamEncryption", other);
    fire.world.settle();
    let failed = shown();
    assert_eq!(failed["Status"], "ENABLING_FAILED");
    assert_eq!(failed["FailureDescription"]["Type"], "KMS_KEY_NOT_FOUND");
    // The earlier key stays in use.
    assert_eq!(fire.put("carts", "a")["Encrypted"], true);
    fire.ok("StopDeliveryStreamEncryption", name.clone());
    fire.world.settle();
    assert_eq!(shown(), json!({"Status": "DISABLED"}));
    for _ in 0..22 {
        fire.ok("StopDeliveryStreamEncryption", name.clone());
    }
    assert_eq!(
        fire.refused("StopDeliveryStreamEncryption", name.clone()),
        "LimitExceededException"
    );
    fire.world.clock.advance(86_400_000);
    fire.ok("StopDeliveryStreamEncryption", name);
}

/// What cannot be done, with the code and a part of the message.
#[test]
fn what_is_not_valid_or_not_offered_is_refused() {
    let fire = Fire::new();
    fire.world.stream("orders", 1);
    let create =
        |more: Value| json!({"DeliveryStreamName": "carts", "ExtendedS3DestinationConfiguration": more});
    let with = |name: &str, value: Value| create(lake_with(&json!({ name: value })));
    let role = |name: &str| format!("arn:aws:iam::{ACCOUNT}:role/{name}");
    let mut source = fire.of_stream("carts", lake());
    source["KinesisStreamSourceConfiguration"]["RoleARN"] = json!(role("powerless"));
    let mut missing = fire.of_stream("carts", lake());
    missing["KinesisStreamSourceConfiguration"]["KinesisStreamARN"] = json!(fire.world.arn("gone"));
    let lambda = |parameters: Value| {
        let processor = json!({"Type": "Lambda", "Parameters": parameters});
        with(
            "ProcessingConfiguration",
            json!({"Enabled": true, "Processors": [processor]}),
        )
    };
    let processor = |kind: &str, name: &str, value: &str| {
        let parameters = json!([{"ParameterName": name, "ParameterValue": value}]);
        let processor = json!({"Type": kind, "Parameters": parameters});
        with(
            "ProcessingConfiguration",
            json!({"Enabled": true, "Processors": [processor]}),
        )
    };
    let named =
        |name: &str| json!({"DeliveryStreamName": name, "ExtendedS3DestinationConfiguration": lake()});
    let invalid = "InvalidArgumentException";
    let constraint = "ValidationException";
    for (input, code, part) in [
        (named("a b"), constraint, "[a-zA-Z0-9_.-]+"),
        (named(""), constraint, "pattern"),
        (named(&"x".repeat(65)), constraint, "64"),
        (
            json!({"ExtendedS3DestinationConfiguration": lake()}),
            constraint,
            "deliveryStreamName",
        ),
        (
            json!({"DeliveryStreamName": "carts"}),
            invalid,
            "destination in S3",
        ),
        (
            json!({"DeliveryStreamName": 7}),
            "SerializationException",
            "invalid type",
        ),
        (
            json!({"DeliveryStreamName": "carts", "RedshiftDestinationConfiguration": {}}),
            invalid,
            "RedshiftDestinationConfiguration",
        ),
        (
            json!({"DeliveryStreamName": "carts", "DeliveryStreamType": "MSKAsSource", "ExtendedS3DestinationConfiguration": lake()}),
            invalid,
            "MSKAsSource",
        ),
        (
            json!({"DeliveryStreamName": "carts", "DeliveryStreamType": "Mail", "ExtendedS3DestinationConfiguration": lake()}),
            constraint,
            "enum value set",
        ),
        (
            json!({"DeliveryStreamName": "carts", "DeliveryStreamType": "KinesisStreamAsSource", "ExtendedS3DestinationConfiguration": lake()}),
            invalid,
            "must be specified",
        ),
        (
            json!({"DeliveryStreamName": "carts", "S3DestinationConfiguration": lake(), "ExtendedS3DestinationConfiguration": lake()}),
            invalid,
            "one destination",
        ),
        (
            json!({"DeliveryStreamName": "carts", "S3DestinationConfiguration": lake_with(&json!({"FileExtension": ".a"}))}),
            invalid,
            "FileExtension",
        ),
        (
            create(json!({"BucketARN": "arn:aws:s3:::lake"})),
            constraint,
            "extendedS3DestinationConfiguration.roleARN",
        ),
        (with("RoleARN", json!("writer")), constraint, "roleARN"),
        (
            with("RoleARN", json!(role("nobody"))),
            invalid,
            "unable to assume role",
        ),
        (with("BucketARN", json!("lake")), constraint, "bucketARN"),
        (with("BufferingHints", json!({"SizeInMBs": 1})), invalid, "both"),
        (
            with("BufferingHints", json!({"SizeInMBs": 0, "IntervalInSeconds": 60})),
            constraint,
            "sizeInMBs",
        ),
        (
            with(
                "BufferingHints",
                json!({"SizeInMBs": 129, "IntervalInSeconds": 60}),
            ),
            constraint,
            "128",
        ),
        (
            with(
                "BufferingHints",
                json!({"SizeInMBs": 1, "IntervalInSeconds": 901}),
            ),
            constraint,
            "900",
        ),
        (
            with("CompressionFormat", json!("SNAPPY")),
            constraint,
            "compressionFormat",
        ),
        (
            with("CompressionFormat", json!("LZ4")),
            constraint,
            "compressionFormat",
        ),
        (
            with("Prefix", json!("!{timestamp:yyyy}/")),
            invalid,
            "ErrorOutputPrefix",
        ),
        (
            with("Prefix", json!("!{partitionKeyFromQuery:a}/")),
            invalid,
            "only be part of a prefix expression when Dynamic Partitioning is enabled",
        ),
        (with("FileExtension", json!("json")), constraint, "fileExtension"),
        (
            with("CustomTimeZone", json!("Mars/Olympus")),
            invalid,
            "Mars/Olympus",
        ),
        (with("S3BackupMode", json!("Enabled")), invalid, "backup"),
        (
            with("DataFormatConversionConfiguration", json!({})),
            invalid,
            "conversion",
        ),
        (
            with("DynamicPartitioningConfiguration", json!({"Enabled": true})),
            invalid,
            "S3 Prefix should contain Dynamic Partitioning namespaces",
        ),
        (with("EncryptionConfiguration", json!({})), invalid, "exactly one"),
        (
            with(
                "EncryptionConfiguration",
                json!({"KMSEncryptionConfig": {"AWSKMSKeyARN": "mine"}}),
            ),
            constraint,
            "kms",
        ),
        (
            with("CloudWatchLoggingOptions", json!({"Enabled": true})),
            invalid,
            "LogGroupName",
        ),
        (
            with("ProcessingConfiguration", json!({"Enabled": true})),
            invalid,
            "a minimum of 1 processor",
        ),
        (
            processor("MetadataExtraction", "JsonParsingEngine", "JQ-1.6"),
            invalid,
            "MetadataExtractionProcessor can only be present when Dynamic Partitioning is enabled",
        ),
        (
            processor("AppendDelimiterToRecord", "Delimiter", ";"),
            invalid,
            "delimiter",
        ),
        (
            processor("AppendDelimiterToRecord", "SubRecordType", "JSON"),
            invalid,
            "SubRecordType",
        ),
        (lambda(json!([])), invalid, "LambdaArn"),
        (
            lambda(json!([
                {"ParameterName": "LambdaArn", "ParameterValue": "arn:aws:lambda:us-east-1:000000000000:function:f"},
                {"ParameterName": "NumberOfRetries", "ParameterValue": "301"},
            ])),
            invalid,
            "NumberOfRetries",
        ),
        (
            source,
            invalid,
            "not authorized to perform: kinesis:DescribeStream",
        ),
        (missing, invalid, "Stream gone"),
    ] {
        let (found, message) = fire.err("CreateDeliveryStream", input.clone());
        assert!(
            found == code && message.contains(part),
            "{input}: {found}: {message}"
        );
    }
    assert_eq!(
        fire.refused("TagResource", json!({})),
        "UnknownOperationException"
    );
    assert_eq!(
        fire.ok("ListDeliveryStreams", json!({}))["DeliveryStreamNames"],
        json!([])
    );
}

#[test]
fn puts_are_checked_before_any_record_is_stored() {
    let fire = Fire::new();
    fire.direct("carts", lake());
    let record = |bytes: usize| json!({"Data": base64_simd::STANDARD.encode_to_string("x".repeat(bytes))});
    let one = |record: Value| json!({"DeliveryStreamName": "carts", "Record": record});
    let batch = |records: Vec<Value>| json!({"DeliveryStreamName": "carts", "Records": records});
    for (operation, input, code) in [
        ("PutRecord", one(Value::Null), "ValidationException"),
        ("PutRecord", one(json!({})), "ValidationException"),
        ("PutRecord", one(json!({"Data": "?"})), "SerializationException"),
        ("PutRecord", one(record(1_024_001)), "ValidationException"),
        (
            "PutRecord",
            one(json!({"Data": "", "PartitionKey": "a"})),
            "InvalidArgumentException",
        ),
        ("PutRecordBatch", batch(vec![]), "ValidationException"),
        (
            "PutRecordBatch",
            batch(vec![record(1); 501]),
            "ValidationException",
        ),
        (
            "PutRecordBatch",
            batch(vec![record(1 << 20); 5]),
            "ValidationException",
        ),
        (
            "PutRecordBatch",
            batch(vec![record(1_000_000); 5]),
            "InvalidArgumentException",
        ),
        (
            "PutRecordBatch",
            batch(vec![record(1), json!({"Data": "?"})]),
            "SerializationException",
        ),
    ] {
        assert_eq!(fire.refused(operation, input), code, "{operation}");
    }
    fire.ok("PutRecord", one(record(1_024_000)));
    let answer = fire.ok("PutRecordBatch", batch(vec![record(1); 500]));
    assert_eq!(
        (&answer["FailedPutCount"], &answer["Encrypted"]),
        (&json!(0), &json!(false))
    );
    let ids: std::collections::BTreeSet<&str> = answer["RequestResponses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|response| response["RecordId"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), 500);
    fire.pass(60_000);
    assert_eq!(fire.texts().concat().len(), 1_024_000 + 500);
}

#[test]
fn limits_throttle_single_records_of_a_batch() {
    let fire = Fire::with(true);
    fire.direct("carts", lake());
    let data = base64_simd::STANDARD.encode_to_string("x".repeat(1_000_000));
    let batch = json!({"DeliveryStreamName": "carts", "Records": vec![json!({"Data": data}); 4]});
    fire.ok("PutRecordBatch", batch.clone());
    let answer = fire.ok("PutRecordBatch", batch);
    assert_eq!(answer["FailedPutCount"], 3);
    assert!(answer["RequestResponses"][0]["RecordId"].is_string());
    assert_eq!(
        answer["RequestResponses"][3],
        json!({"ErrorCode": "ServiceUnavailableException", "ErrorMessage": "Slow down."})
    );
    assert_eq!(fire.metric("IncomingRecords"), Some(1.0));
}

#[test]
fn settings_survive_a_restart_and_damage_is_reported() {
    let fire = Fire::new();
    fire.direct(
        "carts",
        lake_with(&json!({"ProcessingConfiguration": newlines()})),
    );
    fire.direct("other", lake());
    let before = fire.description("carts");
    let fire = fire.restarted();
    assert_eq!(fire.description("carts"), before);
    // Both copies of the settings of one.
    let carts = fire.service.store.every().into_iter();
    let carts = carts.map(|hose| hose.meta()).find(|meta| meta.name == "carts");
    let dir = fire.world.dir.path().join("firehose").join(&carts.unwrap().id);
    for file in ["progress.json", "progress.json.copy"] {
        std::fs::write(dir.join(file), "?").unwrap();
    }
    let fire = fire.restarted();
    let name = json!({"DeliveryStreamName": "carts"});
    assert_eq!(
        fire.refused("DescribeDeliveryStream", name),
        "ResourceNotFoundException"
    );
    fire.put("other", "a");
    let damage = fire.service.store.damage();
    assert_eq!(damage.len(), 1, "{damage:?}");
    assert!(damage[0].message.contains("progress.json"), "{damage:?}");
    assert!(dir.exists(), "damaged files are left as they are");
}
