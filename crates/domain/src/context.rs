//! The resolved target and its clients, passed to every domain function.
//!
//! Knows nothing of arguments or the terminal. The local cloud is treated as any other endpoint; it is started here if
//! it is the target and not running.

mod api_gateway;
mod calls;
pub(crate) mod cloudfront;
pub(crate) mod date;
mod endpoints;
pub(crate) mod formats;
mod identity;
mod json_api;
mod kms;
mod local;
mod regions;
mod renewal;
mod sdk;
mod shared_config;
mod signed;
mod tagging;
mod unsigned;

use std::sync::OnceLock;
use std::time::Duration;

use aws_config::Region;
use aws_config::retry::RetryConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use tokio::sync::OnceCell;

pub(crate) use self::calls::Watch;
pub use self::calls::{Call, Calls};
pub use self::formats::Formats;
pub use self::identity::Caller;
pub use self::json_api::JsonApi;
pub(crate) use self::json_api::{ATHENA, CLOUDTRAIL, GLUE, RegionalApi};
pub(crate) use self::kms::KeyMetadata;
pub use self::renewal::Renewal;
use self::sdk::Sdk;
pub use self::unsigned::{WebAnswer, WebRequest, without_query};
use crate::settings::{DEFAULT_REGION, SERVICES, Settings, Source, Target};
use crate::wire::DataPlane;
use ground::error::{self, Error, Result};

/// Makes the client of a service, whose calls are watched.
macro_rules! client {
    ($sdk:ident, $source:expr, $service:literal) => {
        $sdk::Client::from_conf(
            $sdk::config::Builder::from(&$source.of($service))
                .interceptor($source.watch.clone())
                .build(),
        )
    };
}

/// Access to the target.
pub struct Context {
    settings: Settings,
    sdk: Sdk,
    caller: OnceCell<Option<Caller>>,
    formats: Formats,
    kinesis: aws_sdk_kinesis::Client,
    cloudwatch: aws_sdk_cloudwatch::Client,
    iam: aws_sdk_iam::Client,
    sts: aws_sdk_sts::Client,
    lazy: Lazy,
}

/// Clients that few commands need, created on first use.
#[derive(Default)]
struct Lazy {
    firehose: OnceLock<aws_sdk_firehose::Client>,
    lambda: OnceLock<aws_sdk_lambda::Client>,
    logs: OnceLock<aws_sdk_cloudwatchlogs::Client>,
    dynamodb: OnceLock<aws_sdk_dynamodb::Client>,
    s3: OnceLock<aws_sdk_s3::Client>,
    sqs: OnceLock<aws_sdk_sqs::Client>,
    sns: OnceLock<aws_sdk_sns::Client>,
}

impl Context {
    /// Resolves credentials and region. Starts the local cloud if it is the target.
    ///
    /// # Errors
    /// Exit 4 when the local cloud cannot be started, exit 2 when the settings name a profile that does not exist or an
    /// endpoint that the user has not trusted.
    pub async fn connect(settings: Settings) -> Result<Self> {
        Self::connect_watched(settings, Calls::default()).await
    }

    /// As [`Context::connect`]. `calls` shows the calls of all clients while they run.
    ///
    /// # Errors
    /// As [`Context::connect`].
    pub async fn connect_watched(settings: Settings, calls: Calls) -> Result<Self> {
        let endpoint = match &settings.target {
            Target::Aws => None,
            Target::Endpoint(url) => Some(url.clone()),
            Target::Local => Some(daemon::ensure_running(&settings.home).await?),
        };
        Self::connect_with(settings, endpoint.as_deref(), None, calls).await
    }

    /// As [`Context::connect`]; `None` if the target is the local cloud and it does not run. Starts nothing.
    ///
    /// # Errors
    /// As [`Context::connect`].
    pub async fn connect_to_running(settings: Settings) -> Result<Option<Self>> {
        let endpoint = match &settings.target {
            Target::Aws => None,
            Target::Endpoint(url) => Some(url.clone()),
            Target::Local => match daemon::status(&settings.home).await?.endpoint {
                Some(url) => Some(url),
                None => return Ok(None),
            },
        };
        Self::connect_with(settings, endpoint.as_deref(), None, Calls::default())
            .await
            .map(Some)
    }

    async fn connect_with(
        settings: Settings,
        endpoint: Option<&str>,
        client: Option<SharedHttpClient>,
        calls: Calls,
    ) -> Result<Self> {
        let sdk = Sdk::load(&settings, endpoint, client, calls).await?;
        let is_known = settings.target == Target::Local || endpoints::is_of_aws(sdk.endpoints.of("Kinesis"));
        Ok(Self {
            formats: Formats::for_endpoint(is_known, settings.access.cbor),
            kinesis: client!(aws_sdk_kinesis, sdk, "Kinesis"),
            cloudwatch: client!(aws_sdk_cloudwatch, sdk, "CloudWatch"),
            iam: client!(aws_sdk_iam, sdk, "IAM"),
            sts: client!(aws_sdk_sts, sdk, "STS"),
            lazy: Lazy::default(),
            caller: OnceCell::new(),
            settings,
            sdk,
        })
    }

    /// The settings of this context.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn kinesis(&self) -> &aws_sdk_kinesis::Client {
        &self.kinesis
    }

    pub fn cloudwatch(&self) -> &aws_sdk_cloudwatch::Client {
        &self.cloudwatch
    }

    pub fn iam(&self) -> &aws_sdk_iam::Client {
        &self.iam
    }

    pub fn firehose(&self) -> &aws_sdk_firehose::Client {
        let make = || client!(aws_sdk_firehose, self.sdk, "Firehose");
        self.lazy.firehose.get_or_init(make)
    }

    pub fn lambda(&self) -> &aws_sdk_lambda::Client {
        let make = || client!(aws_sdk_lambda, self.sdk, "Lambda");
        self.lazy.lambda.get_or_init(make)
    }

    pub fn logs(&self) -> &aws_sdk_cloudwatchlogs::Client {
        let make = || client!(aws_sdk_cloudwatchlogs, self.sdk, "CloudWatch Logs");
        self.lazy.logs.get_or_init(make)
    }

    pub fn dynamodb(&self) -> &aws_sdk_dynamodb::Client {
        let make = || client!(aws_sdk_dynamodb, self.sdk, "DynamoDB");
        self.lazy.dynamodb.get_or_init(make)
    }

    /// S3 client. Endpoints other than AWS's use path-style bucket addresses.
    pub fn s3(&self) -> &aws_sdk_s3::Client {
        self.lazy.s3.get_or_init(|| {
            let path_style = self.sdk.endpoints.of("S3").is_some();
            let config = aws_sdk_s3::config::Builder::from(&self.sdk.of("S3")).force_path_style(path_style);
            aws_sdk_s3::Client::from_conf(config.interceptor(self.sdk.watch.clone()).build())
        })
    }

    pub fn sqs(&self) -> &aws_sdk_sqs::Client {
        let make = || client!(aws_sdk_sqs, self.sdk, "SQS");
        self.lazy.sqs.get_or_init(make)
    }

    pub fn sns(&self) -> &aws_sdk_sns::Client {
        let make = || client!(aws_sdk_sns, self.sdk, "SNS");
        self.lazy.sns.get_or_init(make)
    }

    /// Environment variables with which an AWS SDK in another process reaches this target: region, endpoint and
    /// credentials.
    ///
    /// # Errors
    /// Exit 4 when there are no credentials.
    pub async fn environment(&self) -> Result<Vec<(&'static str, String)>> {
        let mut variables = vec![
            ("AWS_REGION", self.region().to_owned()),
            ("AWS_DEFAULT_REGION", self.region().to_owned()),
        ];
        if let Some(endpoint) = &self.sdk.endpoints.all {
            variables.push(("AWS_ENDPOINT_URL", endpoint.clone()));
        }
        for (service, variable) in SERVICES {
            let own = self
                .sdk
                .endpoints
                .of(service)
                .filter(|_| self.sdk.endpoints.has(service));
            variables.extend(own.map(|url| (*variable, url.to_owned())));
        }
        let credentials = self.credentials().await?;
        variables.extend([
            ("AWS_ACCESS_KEY_ID", credentials.access_key_id().to_owned()),
            (
                "AWS_SECRET_ACCESS_KEY",
                credentials.secret_access_key().to_owned(),
            ),
        ]);
        if let Some(token) = credentials.session_token() {
            variables.push(("AWS_SESSION_TOKEN", token.to_owned()));
        }
        Ok(variables)
    }

    /// The credentials of the next call.
    ///
    /// # Errors
    /// Exit 4 when there are none.
    pub async fn credentials(&self) -> Result<Credentials> {
        let Some(provider) = self.sdk.config.credentials_provider() else {
            return Err(Error::unreachable("there are no AWS credentials"));
        };
        let loaded = provider.provide_credentials().await;
        loaded.map_err(|e| Error::unreachable("the AWS credentials could not be loaded").cause(e))
    }

    /// The time limit of a call that may take up to `longest`, unless the user allows less.
    pub fn time_limit(&self, longest: Duration) -> Duration {
        self.settings.timeout.map_or(longest, |limit| limit.min(longest))
    }

    /// The region of all calls.
    pub fn region(&self) -> &str {
        self.sdk.config.region().map_or(DEFAULT_REGION, Region::as_ref)
    }

    /// The partition of the region (`aws`, `aws-cn`, `aws-us-gov`, …), the second part of an ARN.
    pub fn partition(&self) -> &'static str {
        regions::partition(self.region())
    }

    /// The other regions in which a stream of this account may be: those of the partition, whether or not the account has
    /// enabled them. None if one endpoint in place of AWS's serves Kinesis, except the local cloud, which has all regions.
    pub fn other_regions(&self) -> impl Iterator<Item = &'static str> {
        let has_others = self.is_local() || self.sdk.endpoints.of("Kinesis").is_none();
        let all = regions::regions(self.region()).iter().copied();
        all.filter(move |region| has_others && *region != self.region())
    }

    /// A Kinesis client of another region, without retries.
    pub fn kinesis_in(&self, region: &'static str) -> aws_sdk_kinesis::Client {
        let config = self.kinesis.config().to_builder();
        let config = config.region(Region::from_static(region));
        aws_sdk_kinesis::Client::from_conf(config.retry_config(RetryConfig::disabled()).build())
    }

    /// A Kinesis client without retries, for callers with their own.
    pub fn kinesis_once(&self) -> aws_sdk_kinesis::Client {
        let config = self.kinesis.config().to_builder();
        aws_sdk_kinesis::Client::from_conf(config.retry_config(RetryConfig::disabled()).build())
    }

    /// What calls of Kinesis's data plane are made with.
    pub(crate) fn data_plane(&self) -> DataPlane {
        DataPlane::new(self.sdk.of("Kinesis"), self.formats.clone()).watched(self.sdk.watch.clone())
    }

    /// What loads the credentials of all clients anew.
    pub fn renewal(&self) -> Renewal {
        self.sdk.renewal.clone()
    }

    /// The account of the credentials (STS GetCallerIdentity, called once).
    ///
    /// # Errors
    /// Exit 4 when the target cannot be reached or rejects the credentials, exit 1 when it does not tell the account.
    pub async fn account(&self) -> Result<&str> {
        self.known_account().await?.ok_or_else(|| {
            Error::failed("this command needs the account ID, and STS does not return one here")
                .hint("an endpoint without STS serves streams and their records; check --endpoint-url")
        })
    }

    /// As [`Context::account`]; `None` when there is no STS to ask: the endpoint does not have it, as a VPC endpoint of
    /// Kinesis, or the network does not lead to it.
    ///
    /// # Errors
    /// Exit 4 when the target cannot be reached or rejects the credentials.
    pub async fn known_account(&self) -> Result<Option<&str>> {
        let caller = self.caller().await?;
        Ok(caller.map(|caller| caller.account.as_str()))
    }

    /// Whose the credentials are; `None` when there is no STS to ask, as in [`Context::known_account`].
    ///
    /// # Errors
    /// Exit 4 when the target cannot be reached or rejects the credentials.
    pub async fn caller(&self) -> Result<Option<&Caller>> {
        let caller = self.caller.get_or_try_init(|| async {
            match identity::ask(&self.sts, self.time_limit(Duration::from_secs(10))).await {
                Ok(caller) => Ok(Some(caller)),
                Err(error) if identity::is_absent(&error, self.sdk.endpoints.of("STS")) => Ok(None),
                Err(error) => Err(error::aws::failed("could not check the credentials", error)),
            }
        });
        caller.await.map(Option::as_ref)
    }

    /// The ARN of the stream `name` in this account and region.
    ///
    /// # Errors
    /// As [`Context::account`].
    pub async fn stream_arn(&self, name: &str) -> Result<String> {
        Ok(self.stream_arn_in(self.account().await?, name))
    }

    /// The ARN of the stream `name` for a sample event: where the account is not known, that of the examples in AWS's
    /// documentation.
    ///
    /// # Errors
    /// As [`Context::known_account`].
    pub async fn sample_stream_arn(&self, name: &str) -> Result<String> {
        let account = self.known_account().await?.unwrap_or("123456789012");
        Ok(self.stream_arn_in(account, name))
    }

    fn stream_arn_in(&self, account: &str, name: &str) -> String {
        let (partition, region) = (self.partition(), self.region());
        format!("arn:{partition}:kinesis:{region}:{account}:stream/{name}")
    }

    /// The target's display name, as in "local cloud 127.0.0.1:4566" or "AWS". Names every endpoint that is not AWS's.
    pub fn target_name(&self) -> String {
        match (&self.settings.target, &self.sdk.endpoints.all) {
            (Target::Local, Some(url)) => format!("local cloud {}", url.trim_start_matches("http://")),
            _ => self.sdk.endpoints.in_words(),
        }
    }

    /// Whether this is the embedded local cloud.
    pub fn is_local(&self) -> bool {
        self.settings.target == Target::Local
    }

    /// Whether an endpoint is neither of AWS nor of the local cloud.
    pub fn is_foreign(&self) -> bool {
        !self.is_local() && self.sdk.endpoints.iter().next().is_some()
    }

    /// Whether the local cloud was chosen because nothing indicates AWS.
    pub fn fell_to_local(&self) -> bool {
        self.settings.target_source == Source::Default
    }
}

#[cfg(test)]
mod tests;
