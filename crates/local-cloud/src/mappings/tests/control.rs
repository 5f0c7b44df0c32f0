//! The operations: inputs, outputs and errors.

use serde_json::{Value, json};

use super::world::{PATH, STREAM, World, arn, queue, success};

#[tokio::test(start_paused = true)]
async fn a_new_mapping_has_the_output_of_aws() {
    let world = World::bare(1, |_| success());
    let (status, mapping) = world.create(json!({"StartingPosition": "LATEST"})).await;
    assert_eq!(status, 202);
    let uuid = mapping["UUID"].as_str().unwrap().to_owned();
    let text = serde_json::to_string_pretty(&mapping)
        .unwrap()
        .replace(&uuid, "<uuid>");
    insta::assert_snapshot!(text, @r#"
    {
      "UUID": "<uuid>",
      "BatchSize": 100,
      "BisectBatchOnFunctionError": false,
      "DestinationConfig": {
        "OnFailure": {}
      },
      "EventSourceArn": "arn:aws:kinesis:us-east-1:000000000000:stream/orders",
      "EventSourceMappingArn": "arn:aws:lambda:us-east-1:000000000000:event-source-mapping:<uuid>",
      "FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:work",
      "FunctionResponseTypes": [],
      "LastModified": 1767225600.0,
      "LastProcessingResult": "No records processed",
      "MaximumBatchingWindowInSeconds": 0,
      "MaximumRecordAgeInSeconds": -1,
      "MaximumRetryAttempts": -1,
      "ParallelizationFactor": 1,
      "StartingPosition": "LATEST",
      "State": "Creating",
      "StateTransitionReason": "User action",
      "TumblingWindowInSeconds": 0
    }
    "#);
    world.sleep(10).await;
    let (status, mapping) = world.call("GET", &format!("{PATH}/{uuid}"), Value::Null).await;
    assert_eq!((status, &mapping["State"]), (200, &json!("Enabled")));
}

#[tokio::test(start_paused = true)]
async fn all_settings_are_returned() {
    let settings = json!({
        "BatchSize": 10_000, "MaximumBatchingWindowInSeconds": 300, "ParallelizationFactor": 10,
        "MaximumRetryAttempts": 10_000, "MaximumRecordAgeInSeconds": 604_800, "TumblingWindowInSeconds": 0,
        "BisectBatchOnFunctionError": true, "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "DestinationConfig": queue(), "MetricsConfig": {"Metrics": ["EventCount"]},
        "FilterCriteria": {"Filters": [{"Pattern": "{\"data\":{\"x\":[1]}}"}]},
    });
    let mut world = World::bare(1, |_| success());
    world.uuid = world.map(settings.clone()).await;
    let got = world.get().await;
    for (name, value) in settings.as_object().unwrap() {
        assert_eq!(got[name], *value, "{name}");
    }
    world
        .update(json!({"DestinationConfig": {}, "FilterCriteria": {}, "FunctionResponseTypes": []}))
        .await;
    let got = world.get().await;
    assert_eq!(got["DestinationConfig"], json!({"OnFailure": {}}));
    assert_eq!(got["FilterCriteria"], Value::Null);
    assert_eq!(got["FunctionResponseTypes"], json!([]));
    assert_eq!(got["BatchSize"], 10_000, "what is not named stays");
}

#[tokio::test(start_paused = true)]
async fn a_change_is_checked_together_with_what_stays() {
    let world = World::new(json!({"ParallelizationFactor": 2}), |_| success()).await;
    let path = format!("{PATH}/{}", world.uuid);
    let forbidden = json!({"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:000000000000:forbidden"}});
    for settings in [
        json!({"TumblingWindowInSeconds": 30}),
        json!({"DestinationConfig": forbidden}),
    ] {
        let (status, answer) = world.call("PUT", &path, settings).await;
        assert_eq!(status, 400, "{answer}");
    }
    world
        .update(json!({"TumblingWindowInSeconds": 30, "ParallelizationFactor": 1}))
        .await;
}

#[tokio::test(start_paused = true)]
async fn invalid_input_is_rejected_as_by_aws() {
    let world = World::bare(1, |_| success());
    let mut refusals = Vec::new();
    for settings in [
        json!({"BatchSize": 0}),
        json!({"BatchSize": 10_001}),
        json!({"MaximumBatchingWindowInSeconds": 301}),
        json!({"ParallelizationFactor": 11}),
        json!({"MaximumRetryAttempts": -2}),
        json!({"MaximumRecordAgeInSeconds": 59}),
        json!({"TumblingWindowInSeconds": 901}),
        json!({"FunctionResponseTypes": ["X"]}),
        json!({"StartingPosition": null}),
        json!({"StartingPosition": "NOW"}),
        json!({"StartingPosition": "AT_TIMESTAMP"}),
        json!({"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 9_999_999_999.0}),
        json!({"FunctionName": "nobody"}),
        json!({"FunctionName": "a b"}),
        json!({"FunctionName": null}),
        json!({"EventSourceArn": arn().replace(STREAM, "none")}),
        json!({"EventSourceArn": format!("{}/consumer/none:1", arn())}),
        json!({"EventSourceArn": "arn:aws:sqs:us-east-1:000000000000:q"}),
        json!({"EventSourceArn": null}),
        json!({"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:lambda:us-east-1:000000000000:x"}}}),
        json!({"DestinationConfig": {"OnSuccess": {}}}),
        json!({"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:000000000000:forbidden"}}}),
        json!({"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sns:us-east-1:000000000000:forbidden"}}}),
        json!({"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:s3:::forbidden"}}}),
        json!({"TumblingWindowInSeconds": 30, "ParallelizationFactor": 2}),
        json!({"FilterCriteria": {"Filters": vec![json!({"Pattern": "{\"data\":{\"x\":[1]}}"}); 6]}}),
        json!({"FilterCriteria": {"Filters": [{"Pattern": "no"}]}}),
        json!({"ScalingConfig": {"MaximumConcurrency": 2}}),
        json!({"BatchSize": "ten"}),
    ] {
        let (status, answer) = world.create(settings.clone()).await;
        refusals.push(format!(
            "{settings} -> {status} {}",
            answer["message"].as_str().unwrap_or("?")
        ));
    }
    insta::assert_snapshot!(refusals.join("\n"), @r#"
    {"BatchSize":0} -> 400 1 validation error detected: Value '0' at 'batchSize' failed to satisfy constraint: Member must have value greater than or equal to 1
    {"BatchSize":10001} -> 400 1 validation error detected: Value '10001' at 'batchSize' failed to satisfy constraint: Member must have value less than or equal to 10000
    {"MaximumBatchingWindowInSeconds":301} -> 400 1 validation error detected: Value '301' at 'maximumBatchingWindowInSeconds' failed to satisfy constraint: Member must have value less than or equal to 300
    {"ParallelizationFactor":11} -> 400 1 validation error detected: Value '11' at 'parallelizationFactor' failed to satisfy constraint: Member must have value less than or equal to 10
    {"MaximumRetryAttempts":-2} -> 400 1 validation error detected: Value '-2' at 'maximumRetryAttempts' failed to satisfy constraint: Member must have value greater than or equal to -1
    {"MaximumRecordAgeInSeconds":59} -> 400 MaximumRecordAgeInSeconds must be -1, or at least 60 and at most 604800.
    {"TumblingWindowInSeconds":901} -> 400 1 validation error detected: Value '901' at 'tumblingWindowInSeconds' failed to satisfy constraint: Member must have value less than or equal to 900
    {"FunctionResponseTypes":["X"]} -> 400 1 validation error detected: Value 'X' at 'functionResponseTypes' failed to satisfy constraint: Member must satisfy enum value set: [ReportBatchItemFailures]
    {"StartingPosition":null} -> 400 1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: Member must not be null.
    {"StartingPosition":"NOW"} -> 400 1 validation error detected: Value 'NOW' at 'startingPosition' failed to satisfy constraint: Member must satisfy enum value set: [LATEST, AT_TIMESTAMP, TRIM_HORIZON]
    {"StartingPosition":"AT_TIMESTAMP"} -> 400 StartingPositionTimestamp is required with StartingPosition AT_TIMESTAMP.
    {"StartingPosition":"AT_TIMESTAMP","StartingPositionTimestamp":9999999999.0} -> 400 StartingPositionTimestamp cannot be in the future.
    {"FunctionName":"nobody"} -> 400 Function does not exist
    {"FunctionName":"a b"} -> 400 1 validation error detected: Value 'a b' at 'functionName' failed to satisfy constraint: Member must satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}(-gov)?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?
    {"FunctionName":null} -> 400 1 validation error detected: Value 'null' at 'functionName' failed to satisfy constraint: Member must not be null
    {"EventSourceArn":"arn:aws:kinesis:us-east-1:000000000000:stream/none"} -> 400 Stream not found: arn:aws:kinesis:us-east-1:000000000000:stream/none
    {"EventSourceArn":"arn:aws:kinesis:us-east-1:000000000000:stream/orders/consumer/none:1"} -> 400 Stream not found: arn:aws:kinesis:us-east-1:000000000000:stream/orders/consumer/none:1
    {"EventSourceArn":"arn:aws:sqs:us-east-1:000000000000:q"} -> 400 Unrecognized event source: the local cloud reads Kinesis data streams only.
    {"EventSourceArn":null} -> 400 Unrecognized event source.
    {"DestinationConfig":{"OnFailure":{"Destination":"arn:aws:lambda:us-east-1:000000000000:x"}}} -> 400 The destination ARN arn:aws:lambda:us-east-1:000000000000:x is invalid.
    {"DestinationConfig":{"OnSuccess":{}}} -> 400 Unsupported DestinationConfig parameter for given event source mapping type.
    {"DestinationConfig":{"OnFailure":{"Destination":"arn:aws:sqs:us-east-1:000000000000:forbidden"}}} -> 400 The provided execution role does not have permissions to call SendMessage on SQS
    {"DestinationConfig":{"OnFailure":{"Destination":"arn:aws:sns:us-east-1:000000000000:forbidden"}}} -> 400 The provided execution role does not have permissions to call Publish on SNS
    {"DestinationConfig":{"OnFailure":{"Destination":"arn:aws:s3:::forbidden"}}} -> 400 The provided execution role does not have permissions to call PutObject on S3
    {"TumblingWindowInSeconds":30,"ParallelizationFactor":2} -> 400 ParallelizationFactor must be 1 if TumblingWindowInSeconds is greater than 0.
    {"FilterCriteria":{"Filters":[{"Pattern":"{\"data\":{\"x\":[1]}}"},{"Pattern":"{\"data\":{\"x\":[1]}}"},{"Pattern":"{\"data\":{\"x\":[1]}}"},{"Pattern":"{\"data\":{\"x\":[1]}}"},{"Pattern":"{\"data\":{\"x\":[1]}}"},{"Pattern":"{\"data\":{\"x\":[1]}}"}]}} -> 400 The number of filters exceeds the maximum of 5.
    {"FilterCriteria":{"Filters":[{"Pattern":"no"}]}} -> 400 Invalid filter pattern definition.
    {"ScalingConfig":{"MaximumConcurrency":2}} -> 400 Unsupported ScalingConfig parameter for given event source mapping type.
    {"BatchSize":"ten"} -> 400 Could not parse request body into json: invalid type: string "ten", expected i64 at line 1 column 146
    "#);
    let (_, list) = world.call("GET", PATH, Value::Null).await;
    assert_eq!(list, json!({"EventSourceMappings": []}));
}

#[tokio::test(start_paused = true)]
async fn a_second_mapping_of_the_same_pair_is_a_conflict() {
    let world = World::new(json!({}), |_| success()).await;
    let (status, answer) = world.create(json!({})).await;
    assert_eq!(status, 409);
    let expected = format!(
        "The event source arn (\" {} \") and function (\" work \") provided mapping already exists. Please update or \
         delete the existing mapping with UUID {}",
        arn(),
        world.uuid
    );
    assert_eq!(answer["message"], expected);
    // Another version is a different function.
    assert_eq!(world.create(json!({"FunctionName": "work:live"})).await.0, 202);
}

#[tokio::test(start_paused = true)]
async fn lists_are_filtered_and_paged() {
    let world = World::bare(1, |_| success());
    for n in 0..5 {
        world.map(json!({"FunctionName": format!("work{n}")})).await;
    }
    let (_, one) = world
        .call("GET", &format!("{PATH}/?FunctionName=work3"), Value::Null)
        .await;
    assert_eq!(one["EventSourceMappings"].as_array().unwrap().len(), 1);
    let encoded = arn().replace(':', "%3A").replace('/', "%2F");
    let (_, all) = world
        .call("GET", &format!("{PATH}?EventSourceArn={encoded}"), Value::Null)
        .await;
    assert_eq!(all["EventSourceMappings"].as_array().unwrap().len(), 5);
    let (_, first) = world
        .call("GET", &format!("{PATH}?MaxItems=3"), Value::Null)
        .await;
    let marker = first["NextMarker"].as_str().unwrap();
    let (_, second) = world
        .call("GET", &format!("{PATH}?MaxItems=3&Marker={marker}"), Value::Null)
        .await;
    assert_eq!(second["EventSourceMappings"].as_array().unwrap().len(), 2);
    assert_eq!(second["NextMarker"], Value::Null);
    assert_eq!(
        world
            .call("GET", &format!("{PATH}?MaxItems=0"), Value::Null)
            .await
            .0,
        400
    );
}

#[tokio::test(start_paused = true)]
async fn unknown_mappings_are_not_found() {
    let world = World::bare(1, |_| success());
    for method in ["GET", "PUT", "DELETE"] {
        let (status, answer) = world.call(method, &format!("{PATH}/none"), json!({})).await;
        assert_eq!(status, 404, "{method}");
        assert_eq!(answer["Message"], "The resource you requested does not exist.");
    }
}

#[tokio::test(start_paused = true)]
async fn tags_are_added_and_removed() {
    let world = World::new(json!({"Tags": {"a": "1"}}), |_| success()).await;
    let mapping = world.get().await;
    let arn = mapping["EventSourceMappingArn"]
        .as_str()
        .unwrap()
        .replace(':', "%3A");
    let path = format!("/2017-03-31/tags/{arn}");
    assert_eq!(
        world.call("POST", &path, json!({"Tags": {"b": "2"}})).await.0,
        204
    );
    assert_eq!(
        world
            .call("DELETE", &format!("{path}?tagKeys=a"), Value::Null)
            .await
            .0,
        204
    );
    let (status, tags) = world.call("GET", &path, Value::Null).await;
    assert_eq!((status, tags), (200, json!({"Tags": {"b": "2"}})));
}

#[tokio::test(start_paused = true)]
async fn a_consumer_of_the_stream_can_be_the_source() {
    let world = World::bare(1, |_| success());
    let consumer = world.kinesis(
        "RegisterStreamConsumer",
        json!({"StreamARN": arn(), "ConsumerName": "fast"}),
    );
    let consumer = consumer["Consumer"]["ConsumerARN"].as_str().unwrap().to_owned();
    world.map(json!({"EventSourceArn": consumer})).await;
    world.put("k", "a");
    assert_eq!(world.calls(1).await[0].text(), "a");
}
