//! The control plane's rules.

use std::time::Duration;

use serde_json::{Value, json};

use super::world::{World, timings};
use crate::lambda::Timings;

const FUNCTIONS: &str = "/2015-03-31/functions";

async fn refusal(world: &World, more: Value) -> (String, String) {
    let (_, kind, body) = world.ask("POST", FUNCTIONS, World::input("f", &more)).await;
    let message = body["message"]
        .as_str()
        .or(body["Message"].as_str())
        .unwrap_or_default();
    (kind, message.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn values_out_of_range_are_rejected() {
    let world = World::new();
    for (more, kind, message) in [
        (
            json!({"MemorySize": 127}),
            "ValidationException",
            "greater than or equal to 128",
        ),
        (
            json!({"MemorySize": 10241}),
            "InvalidParameterValueException",
            "less than or equal to 10240",
        ),
        (
            json!({"Timeout": 0}),
            "ValidationException",
            "Value '0' at 'timeout'",
        ),
        (
            json!({"Timeout": 901}),
            "ValidationException",
            "less than or equal to 900",
        ),
        (
            json!({"Timeout": "x"}),
            "SerializationException",
            "could not be read",
        ),
        (
            json!({"Runtime": "python3.13"}),
            "InvalidParameterValueException",
            "provided.al2023",
        ),
        (
            json!({"Runtime": null}),
            "InvalidParameterValueException",
            "Runtime and Handler",
        ),
        (json!({"Role": "admin"}), "ValidationException", "at 'role'"),
        (json!({"Handler": "a b"}), "ValidationException", "at 'handler'"),
        (
            json!({"Layers": ["arn"]}),
            "InvalidParameterValueException",
            "layers",
        ),
        (
            json!({"EphemeralStorage": {"Size": 511}}),
            "ValidationException",
            "512",
        ),
        (
            json!({"Architectures": ["mips"]}),
            "ValidationException",
            "[x86_64, arm64]",
        ),
        (
            json!({"FunctionName": "a b"}),
            "ValidationException",
            "functionName",
        ),
        (
            json!({"Code": {"ImageUri": "x"}}),
            "InvalidParameterValueException",
            "container images",
        ),
        (
            json!({"Code": {"S3Bucket": "b", "S3Key": "k"}}),
            "InvalidParameterValueException",
            "not from S3",
        ),
        (
            json!({"Code": {"ZipFile": "aGVsbG8="}}),
            "InvalidParameterValueException",
            "Could not unzip",
        ),
        (
            json!({"Environment": {"Variables": {"AWS_REGION": "x"}}}),
            "InvalidParameterValueException",
            "in this request: AWS_REGION",
        ),
        (
            json!({"Environment": {"Variables": {"1A": "x"}}}),
            "ValidationException",
            "environment.variables",
        ),
        (
            json!({"Environment": {"Variables": {"AA": "x".repeat(4095)}}}),
            "InvalidParameterValueException",
            "4KB limit",
        ),
        (
            json!({"VpcConfig": {"SubnetIds": ["s"]}}),
            "InvalidParameterValueException",
            "VPC",
        ),
        (
            json!({"TracingConfig": {"Mode": "On"}}),
            "ValidationException",
            "tracingConfig.mode",
        ),
        (
            json!({"SnapStart": {"ApplyOn": "PublishedVersions"}}),
            "InvalidParameterValueException",
            "SnapStart",
        ),
    ] {
        let (got, text) = refusal(&world, more.clone()).await;
        assert_eq!(got, kind, "{more} {text}");
        assert!(text.contains(message), "{more}: {text}");
    }
    let (_, _, listed) = world.ask("GET", FUNCTIONS, Value::Null).await;
    assert_eq!(listed, json!({"Functions": [], "NextMarker": null}));
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_the_format_of_lambda() {
    let world = World::new();
    let (status, kind, body) = world.ask("GET", "/2015-03-31/functions/gone", Value::Null).await;
    assert_eq!((status, kind.as_str()), (404, "ResourceNotFoundException"));
    assert_eq!(
        body,
        json!({"Type": "User", "Message": "Function not found: arn:aws:lambda:us-east-1:000000000000:function:gone"})
    );
    world.function("f", json!({})).await;
    let (status, kind, body) = world.ask("POST", FUNCTIONS, World::input("f", &json!({}))).await;
    assert_eq!((status, kind.as_str()), (409, "ResourceConflictException"));
    assert_eq!(
        body,
        json!({"Type": "User", "message": "Function already exist: f"})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn states_are_visible_to_the_caller() {
    let world = World::with_timings(Timings {
        status_delay: Duration::from_millis(300),
        ..timings()
    });
    let (_, _, made) = world.ask("POST", FUNCTIONS, World::input("f", &json!({}))).await;
    assert_eq!(
        (&made["State"], &made["StateReasonCode"]),
        (&json!("Pending"), &json!("Creating"))
    );
    let (status, kind, body) = world
        .ask("POST", "/2015-03-31/functions/f/invocations", json!({}))
        .await;
    assert_eq!((status, kind.as_str()), (409, "ResourceConflictException"));
    assert!(body["message"].as_str().unwrap().ends_with("Pending"));
    let configuration = "/2015-03-31/functions/f/configuration";
    let settled = async || loop {
        let (_, _, now) = world.ask("GET", configuration, Value::Null).await;
        if now["State"] == "Active" && now["LastUpdateStatus"] == "Successful" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    settled().await;
    let (_, _, changed) = world.ask("PUT", configuration, json!({"Timeout": 5})).await;
    assert_eq!(
        (&changed["State"], &changed["LastUpdateStatus"]),
        (&json!("Active"), &json!("InProgress"))
    );
    let (status, _, body) = world.ask("PUT", configuration, json!({"Timeout": 6})).await;
    assert_eq!(status, 409);
    assert!(
        body["message"]
            .as_str()
            .unwrap()
            .contains("An update is in progress for resource: arn:")
    );
    settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_is_stored_by_hash_while_it_is_in_use() {
    let world = World::new();
    world.function("f", json!({})).await;
    let zip = super::scripted::zip("second");
    let code = base64_simd::STANDARD.encode_to_string(&zip);
    let path = "/2015-03-31/functions/f/code";
    let (_, _, before) = world
        .ask("GET", "/2015-03-31/functions/f/configuration", Value::Null)
        .await;
    let (_, _, dry) = world
        .ask("PUT", path, json!({"ZipFile": code, "DryRun": true}))
        .await;
    assert_ne!(dry["CodeSha256"], before["CodeSha256"]);
    let (status, kind, _) = world
        .ask("PUT", path, json!({"ZipFile": code, "RevisionId": "other"}))
        .await;
    assert_eq!((status, kind.as_str()), (412, "PreconditionFailedException"));
    let right = json!({"ZipFile": code, "RevisionId": before["RevisionId"]});
    let (_, _, after) = world.ask("PUT", path, right).await;
    assert_eq!(after["CodeSha256"], dry["CodeSha256"]);
    assert_ne!(after["RevisionId"], before["RevisionId"]);
    let kept: Vec<_> = std::fs::read_dir(world.dir.path().join("code"))
        .unwrap()
        .collect();
    assert_eq!(kept.len(), 1, "{kept:?}");

    let (_, _, shown) = world.ask("GET", "/2015-03-31/functions/f", Value::Null).await;
    let location = shown["Code"]["Location"].as_str().unwrap();
    let path = location.strip_prefix("http://127.0.0.1:9").unwrap();
    let response = world.raw("GET", path, &[], "").await;
    assert_eq!(response.body().as_ref(), zip);
    assert_eq!(
        world
            .ask("DELETE", "/2015-03-31/functions/f", Value::Null)
            .await
            .0,
        204
    );
    assert_eq!(world.raw("GET", path, &[], "").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_are_listed_in_pages() {
    let world = World::new();
    for name in ["a", "b", "c"] {
        world.function(name, json!({})).await;
    }
    let names = |page: &Value| -> Vec<String> {
        let functions = page["Functions"].as_array().unwrap();
        functions
            .iter()
            .map(|function| function["FunctionName"].as_str().unwrap().to_owned())
            .collect()
    };
    let (_, _, first) = world
        .ask("GET", "/2015-03-31/functions?MaxItems=2", Value::Null)
        .await;
    assert_eq!(names(&first), ["a", "b"]);
    let marker = first["NextMarker"].as_str().unwrap();
    let (_, _, second) = world
        .ask(
            "GET",
            &format!("/2015-03-31/functions?MaxItems=2&Marker={marker}"),
            Value::Null,
        )
        .await;
    assert_eq!(
        (names(&second), &second["NextMarker"]),
        (vec!["c".to_owned()], &Value::Null)
    );
    let (_, kind, _) = world
        .ask("GET", "/2015-03-31/functions?Marker=%20", Value::Null)
        .await;
    assert_eq!(kind, "InvalidParameterValueException");
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_settings_of_terraform_count_as_unset() {
    let world = World::new();
    let more = json!({
        "VpcConfig": {"SubnetIds": [], "SecurityGroupIds": [], "Ipv6AllowedForDualStack": false},
        "SnapStart": {"ApplyOn": "None"}, "Layers": [], "FileSystemConfigs": [], "ImageConfig": {},
        "DeadLetterConfig": {"TargetArn": ""}, "KMSKeyArn": "", "Environment": {"Variables": {}},
    });
    world.function("f", more).await;
    for path in [
        "/2020-06-30/functions/f/code-signing-config",
        "/2021-07-20/functions/f/runtime-management-config",
        "/2024-08-31/functions/f/recursion-config",
        "/2016-08-19/account-settings",
        "/2019-09-30/functions/f/concurrency",
    ] {
        assert_eq!(world.ask("GET", path, Value::Null).await.0, 200, "{path}");
    }
}
