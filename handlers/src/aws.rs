//! Implements the traits of [`crate::store`] with the AWS SDK. Makes calls and classifies errors; retries are
//! elsewhere.

mod bucket;
mod catalogue;
mod features;
mod images;
mod post;
mod signed;

use std::collections::HashMap;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_dynamodb as dynamodb;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, KeysAndAttributes, PutRequest, ReturnValuesOnConditionCheckFailure, WriteRequest,
};
use aws_smithy_http_client::{Builder as HttpBuilder, tls};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;

use crate::attribute::{number, text};
use crate::environment::{Environment, InvalidVariable};
use crate::store::{AggregateKey, Aggregates, CallError, CallErrorKind, Item, PriceUpdate, Products, Table};

pub use bucket::S3Bucket;
pub use post::{KinesisStream, SageMakerEndpoint, SqsQueue};

/// Creates AWS clients from Lambda's environment variables: region, credentials, and an optional endpoint.
///
/// No other source is read (no files, no metadata service), to keep init short.
pub struct Clients {
    region: Region,
    credentials: Credentials,
    endpoints: Endpoints,
    plain: std::sync::OnceLock<SharedHttpClient>,
    encrypted: std::sync::OnceLock<SharedHttpClient>,
}

/// Endpoint URLs from the environment, by service.
struct Endpoints(HashMap<&'static str, String>);

impl Clients {
    /// # Errors
    /// Region or credentials are missing.
    pub fn from_environment(environment: &Environment) -> Result<Self, InvalidVariable> {
        let region = environment.required("AWS_REGION", "the function's region, and Lambda sets it")?;
        let key = environment.required(
            "AWS_ACCESS_KEY_ID",
            "the credentials of the function's role, and Lambda sets it",
        )?;
        let secret = environment.required(
            "AWS_SECRET_ACCESS_KEY",
            "the credentials of the function's role, and Lambda sets it",
        )?;
        let token = environment.optional("AWS_SESSION_TOKEN").map(str::to_owned);
        let mut endpoints = HashMap::new();
        for (service, variable) in [
            ("dynamodb", "AWS_ENDPOINT_URL_DYNAMODB"),
            ("kinesis", "AWS_ENDPOINT_URL_KINESIS"),
            ("s3", "AWS_ENDPOINT_URL_S3"),
            ("sagemaker", "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME"),
            ("sqs", "AWS_ENDPOINT_URL_SQS"),
        ] {
            let url = environment
                .optional(variable)
                .or_else(|| environment.optional("AWS_ENDPOINT_URL"));
            endpoints.extend(url.map(|url| (service, url.to_owned())));
        }
        Ok(Self {
            region: Region::new(region.to_owned()),
            credentials: Credentials::new(key, secret, token, None, "environment"),
            endpoints: Endpoints(endpoints),
            plain: std::sync::OnceLock::new(),
            encrypted: std::sync::OnceLock::new(),
        })
    }

    pub fn table(&self, name: &str) -> DynamoTable {
        let mut config = dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(self.region.clone())
            .credentials_provider(self.credentials.clone())
            .http_client(self.http("dynamodb"))
            .retry_config(retries())
            .timeout_config(timeouts());
        config.set_endpoint_url(self.url_of("dynamodb"));
        DynamoTable {
            client: dynamodb::Client::from_conf(config.build()),
            name: name.to_owned(),
        }
    }

    fn url_of(&self, service: &str) -> Option<String> {
        self.endpoints.0.get(service).cloned()
    }

    /// Uses a client without TLS for HTTP endpoints: loading the system's root certificates takes tens of milliseconds.
    fn http(&self, service: &str) -> SharedHttpClient {
        let is_plain = self
            .endpoints
            .0
            .get(service)
            .is_some_and(|url| url.starts_with("http://"));
        if is_plain {
            return self.plain.get_or_init(|| HttpBuilder::new().build_http()).clone();
        }
        let ring = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
        self.encrypted
            .get_or_init(|| HttpBuilder::new().tls_provider(ring).build_https())
            .clone()
    }
}

/// Short retries in the SDK; [`crate::deliver`] retries until the deadline.
fn retries() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(3)
        .with_initial_backoff(Duration::from_millis(50))
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(Duration::from_secs(15))
        .build()
}

/// Classifies an SDK error.
fn call_error<E>(error: &SdkError<E, HttpResponse>) -> CallError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let (code, message) = (error.code(), error.message());
    let status = error
        .raw_response()
        .map_or(0, |response| response.status().as_u16());
    let text = match (code, message) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => DisplayErrorContext(error).to_string(),
    };
    CallError::new(kind(code.unwrap_or_default(), status), text)
}

fn kind(code: &str, status: u16) -> CallErrorKind {
    match code {
        "ValidationException"
        | "ItemCollectionSizeLimitExceededException"
        | "InvalidMessageContents"
        | "EntityTooLarge"
        | "KeyTooLongError"
        | "RequestEntityTooLarge"
        | "SerializationException" => CallErrorKind::Rejected,
        _ if status == 413 => CallErrorKind::Rejected,
        "ProvisionedThroughputExceededException"
        | "RequestLimitExceeded"
        | "ThrottlingException"
        | "Throttling"
        | "TransactionConflictException"
        | "ReplicatedWriteConflictException"
        | "KMSThrottlingException"
        | "RequestThrottled"
        | "RequestTimeout"
        | "SlowDown" => CallErrorKind::Transient,
        // No response, or a server error.
        _ if status == 0 || status >= 500 || status == 429 => CallErrorKind::Transient,
        _ => CallErrorKind::Refused,
    }
}

pub struct DynamoTable {
    client: dynamodb::Client,
    name: String,
}

impl Table for DynamoTable {
    async fn put_items(&self, items: Vec<Item>) -> Result<Vec<Item>, CallError> {
        let mut writes = Vec::with_capacity(items.len());
        for item in items {
            let put = PutRequest::builder()
                .set_item(Some(item))
                .build()
                .map_err(unbuildable)?;
            writes.push(WriteRequest::builder().put_request(put).build());
        }
        let call = self.client.batch_write_item().request_items(&self.name, writes);
        let output = call.send().await.map_err(|error| call_error(&error))?;
        let left = output
            .unprocessed_items
            .unwrap_or_default()
            .into_values()
            .flatten();
        Ok(left
            .filter_map(|write| write.put_request)
            .map(|put| put.item)
            .collect())
    }
}

impl Products for DynamoTable {
    async fn set_price(&self, id: &str, price: &str, position: &str) -> Result<PriceUpdate, CallError> {
        let call = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("id", text(id))
            .update_expression("SET price = :p, price_sequence = :s")
            .condition_expression(
                "attribute_exists(id) AND (attribute_not_exists(price_sequence) OR price_sequence < :s)",
            )
            .expression_attribute_values(":p", number(price))
            .expression_attribute_values(":s", text(position))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match call.send().await {
            Ok(_) => Ok(PriceUpdate::Stored),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failed)) => Ok(match failed.item() {
                    Some(item) if !item.is_empty() => PriceUpdate::Older,
                    _ => PriceUpdate::UnknownProduct,
                }),
                _ => Err(call_error(&error)),
            },
        }
    }
}

impl Aggregates for DynamoTable {
    async fn read(&self, keys: Vec<AggregateKey>) -> Result<(Vec<Item>, Vec<AggregateKey>), CallError> {
        let key = |(partition_key, timestamp): AggregateKey| {
            HashMap::from([
                ("partition_key".to_owned(), text(partition_key)),
                ("timestamp".to_owned(), text(timestamp)),
            ])
        };
        let keys = KeysAndAttributes::builder()
            .set_keys(Some(keys.into_iter().map(key).collect()))
            .consistent_read(true)
            .build()
            .map_err(unbuildable)?;
        let call = self.client.batch_get_item().request_items(&self.name, keys);
        let output = call.send().await.map_err(|error| call_error(&error))?;
        let items = output
            .responses
            .unwrap_or_default()
            .into_values()
            .flatten()
            .collect();
        let left = output.unprocessed_keys.unwrap_or_default().into_values();
        let name = |key: &Item, name: &str| key.get(name).and_then(|value| value.as_s().ok().cloned());
        let left = left.flat_map(|keys| keys.keys);
        let left = left.filter_map(|key| Some((name(&key, "partition_key")?, name(&key, "timestamp")?)));
        Ok((items, left.collect()))
    }

    async fn replace(&self, item: Item, revision: Option<u64>) -> Result<bool, CallError> {
        let call = self.client.put_item().table_name(&self.name).set_item(Some(item));
        let call = match revision {
            Some(revision) => call
                .condition_expression("revision = :r")
                .expression_attribute_values(":r", AttributeValue::N(revision.to_string())),
            None => call.condition_expression("attribute_not_exists(revision)"),
        };
        match call.send().await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(false),
            Err(error) => Err(call_error(&error)),
        }
    }
}

/// A request without a required parameter. This code sets all of them.
fn unbuildable(error: impl std::error::Error) -> CallError {
    CallError::new(CallErrorKind::Rejected, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_says_what_to_do_about_it() {
        assert_eq!(kind("ValidationException", 400), CallErrorKind::Rejected);
        assert_eq!(
            kind("ProvisionedThroughputExceededException", 400),
            CallErrorKind::Transient
        );
        assert_eq!(kind("AccessDeniedException", 400), CallErrorKind::Refused);
        assert_eq!(kind("ResourceNotFoundException", 400), CallErrorKind::Refused);
        assert_eq!(kind("InternalServerError", 500), CallErrorKind::Transient);
        assert_eq!(kind("", 0), CallErrorKind::Transient);
        assert_eq!(kind("", 413), CallErrorKind::Rejected);
    }

    #[test]
    fn a_missing_region_is_an_init_error() {
        let error = Clients::from_environment(&Environment::default())
            .err()
            .map(|error| error.0);
        assert_eq!(
            error.as_deref(),
            Some(
                "the environment variable AWS_REGION is not set: it names the function's region, and Lambda sets it"
            )
        );
    }
}
