//! The AWS SDK for Rust against the API: the SDK must be able to parse all answers.

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::retry::RetryConfig;
use aws_sdk_lambda::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_lambda::error::ProvideErrorMetadata;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{
    Architecture, DestinationConfig, Environment, FunctionCode, InvocationType, LastUpdateStatus, LogType,
    OnFailure, Runtime, State, TracingConfig, TracingMode,
};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body_util::BodyExt;

use super::scripted;
use super::world::{ROLE, World};
use crate::Caller;
use crate::lambda::Lambda;
use crate::test_support::{ok, refused};

/// Passes requests directly to Lambda.
#[derive(Clone)]
struct InProcess(Arc<Lambda>);

impl std::fmt::Debug for InProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InProcess")
    }
}

impl HttpConnector for InProcess {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let lambda = Arc::clone(&self.0);
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().unwrap();
            let (parts, body) = request.into_parts();
            let body = Bytes::copy_from_slice(body.bytes().unwrap_or_default());
            let response = lambda.handle(&Caller::default(), &parts, body).await.unwrap();
            let (parts, body) = response.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let response = http::Response::from_parts(parts, SdkBody::from(body));
            Ok(HttpResponse::try_from(response).unwrap())
        })
    }
}

fn client(world: &World) -> Client {
    let connector = SharedHttpConnector::new(InProcess(Arc::clone(&world.lambda)));
    let config = aws_sdk_lambda::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::for_tests())
        .endpoint_url("http://127.0.0.1:9")
        .retry_config(RetryConfig::disabled())
        .http_client(http_client_fn(move |_: &HttpConnectorSettings, _| {
            connector.clone()
        }))
        .build();
    Client::from_conf(config)
}

async fn create(sdk: &Client, name: &str) {
    let code = FunctionCode::builder()
        .zip_file(Blob::new(scripted::zip("")))
        .build();
    let environment = Environment::builder().variables("TABLE_NAME", "orders").build();
    let made = ok!(sdk
        .create_function()
        .function_name(name)
        .runtime(Runtime::Providedal2023)
        .role(ROLE)
        .handler("scripted")
        .code(code)
        .timeout(30)
        .memory_size(256)
        .architectures(Architecture::X8664)
        .environment(environment)
        .tracing_config(TracingConfig::builder().mode(TracingMode::Active).build())
        .tags("pipeline", "retail"));
    assert_eq!(made.timeout(), Some(30));
    assert_eq!(made.runtime(), Some(&Runtime::Providedal2023));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_creates_updates_invokes_and_deletes_a_function() {
    let world = World::new();
    let sdk = client(&world);
    create(&sdk, "f").await;
    let shown = ok!(sdk.get_function().function_name("f"));
    let configuration = shown.configuration().unwrap();
    assert_eq!(configuration.state(), Some(&State::Active));
    assert_eq!(
        configuration.last_update_status(),
        Some(&LastUpdateStatus::Successful)
    );
    assert_eq!(
        configuration.environment().unwrap().variables().unwrap()["TABLE_NAME"],
        "orders"
    );
    assert_eq!(configuration.architectures(), [Architecture::X8664]);
    assert_eq!(shown.tags().unwrap()["pipeline"], "retail");
    let arn = configuration.function_arn().unwrap();

    let run = ok!(sdk
        .invoke()
        .function_name(arn)
        .payload(Blob::new(r#"{"do":"log hi; env TABLE_NAME"}"#))
        .log_type(LogType::Tail));
    assert_eq!(run.payload().unwrap().as_ref(), b"\"orders\"");
    assert_eq!(
        (run.status_code(), run.function_error(), run.executed_version()),
        (200, None, Some("$LATEST"))
    );
    assert!(run.log_result().is_some());
    let thrown = ok!(sdk
        .invoke()
        .function_name("f")
        .payload(Blob::new(r#"{"do":"throw E m"}"#)));
    assert_eq!(thrown.function_error(), Some("Unhandled"));
    let queued = ok!(sdk
        .invoke()
        .function_name("f")
        .invocation_type(InvocationType::Event));
    assert_eq!(queued.status_code(), 202);

    let updated = ok!(sdk
        .update_function_configuration()
        .function_name("f")
        .memory_size(512));
    assert_eq!(updated.memory_size(), Some(512));
    let zip = Blob::new(scripted::zip("new"));
    let updated = ok!(sdk
        .update_function_code()
        .function_name("f")
        .zip_file(zip)
        .publish(true));
    assert_eq!(updated.version(), Some("1"));
    let again = ok!(sdk.publish_version().function_name("f"));
    assert_eq!(again.version(), Some("1"));
    let versions = ok!(sdk.list_versions_by_function().function_name("f"));
    assert_eq!(versions.versions().len(), 2);

    ok!(sdk
        .put_function_concurrency()
        .function_name("f")
        .reserved_concurrent_executions(5));
    let reserved = ok!(sdk.get_function_concurrency().function_name("f"));
    assert_eq!(reserved.reserved_concurrent_executions(), Some(5));
    ok!(sdk.delete_function_concurrency().function_name("f"));
    let settings = ok!(sdk.get_account_settings());
    assert_eq!(settings.account_limit().unwrap().concurrent_executions(), 1000);

    ok!(sdk.delete_function().function_name("f"));
    let gone = refused!(sdk.get_function().function_name("f"));
    assert!(gone.as_service_error().unwrap().is_resource_not_found_exception());
    assert_eq!(
        gone.message(),
        Some("Function not found: arn:aws:lambda:us-east-1:000000000000:function:f")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_uses_aliases_tags_policies_and_event_configs() {
    let world = World::new();
    let sdk = client(&world);
    create(&sdk, "f").await;
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:f";
    ok!(sdk.publish_version().function_name("f"));
    let alias = ok!(sdk
        .create_alias()
        .function_name("f")
        .name("live")
        .function_version("1"));
    assert_eq!(alias.alias_arn(), Some(format!("{arn}:live").as_str()));
    let twice = refused!(
        sdk.create_alias()
            .function_name("f")
            .name("live")
            .function_version("1")
    );
    assert!(twice.as_service_error().unwrap().is_resource_conflict_exception());
    let pinned = refused!(sdk.delete_function().function_name("f").qualifier("1"));
    assert!(
        pinned
            .as_service_error()
            .unwrap()
            .is_resource_conflict_exception()
    );
    ok!(sdk
        .update_alias()
        .function_name("f")
        .name("live")
        .function_version("$LATEST"));
    let aliases = ok!(sdk.list_aliases().function_name("f"));
    assert_eq!(aliases.aliases()[0].function_version(), Some("$LATEST"));
    ok!(sdk.get_alias().function_name("f").name("live"));
    ok!(sdk.delete_alias().function_name("f").name("live"));

    ok!(sdk.tag_resource().resource(arn).tags("team", "a b"));
    ok!(sdk.untag_resource().resource(arn).tag_keys("pipeline"));
    let tags = ok!(sdk.list_tags().resource(arn));
    assert_eq!(
        tags.tags().unwrap(),
        &HashMap::from([("team".to_owned(), "a b".to_owned())])
    );

    let permission = ok!(sdk
        .add_permission()
        .function_name("f")
        .statement_id("sns")
        .action("lambda:InvokeFunction")
        .principal("sns.amazonaws.com")
        .source_arn("arn:aws:sns:us-east-1:000000000000:t"));
    assert!(permission.statement().unwrap().contains("ArnLike"));
    let policy = ok!(sdk.get_policy().function_name("f"));
    assert!(policy.policy().unwrap().contains("\"Sid\":\"sns\""));
    ok!(sdk.remove_permission().function_name("f").statement_id("sns"));
    let none = refused!(sdk.get_policy().function_name("f"));
    assert!(none.as_service_error().unwrap().is_resource_not_found_exception());

    let queue = "arn:aws:sqs:us-east-1:000000000000:q";
    let destinations = DestinationConfig::builder()
        .on_failure(OnFailure::builder().destination(queue).build())
        .build();
    ok!(sdk
        .put_function_event_invoke_config()
        .function_name("f")
        .maximum_retry_attempts(1)
        .destination_config(destinations));
    ok!(sdk
        .update_function_event_invoke_config()
        .function_name("f")
        .maximum_event_age_in_seconds(60));
    let config = ok!(sdk.get_function_event_invoke_config().function_name("f"));
    assert_eq!(
        (
            config.maximum_retry_attempts(),
            config.maximum_event_age_in_seconds()
        ),
        (Some(1), Some(60))
    );
    let on_failure = config.destination_config().unwrap().on_failure().unwrap();
    assert_eq!(on_failure.destination(), Some(queue));
    ok!(sdk.delete_function_event_invoke_config().function_name("f"));
    let none = refused!(sdk.get_function_event_invoke_config().function_name("f"));
    assert!(none.as_service_error().unwrap().is_resource_not_found_exception());
}
