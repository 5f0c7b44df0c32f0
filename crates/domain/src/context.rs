//! The resolved target and its clients, passed to every domain function.
//!
//! Knows nothing of arguments or the terminal. The local cloud is treated as any other endpoint; it is started here if
//! it is the target and not running.

use std::sync::OnceLock;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_smithy_http_client::Builder as HttpBuilder;
use aws_smithy_http_client::tls;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use tokio::sync::OnceCell;

use crate::settings::{DEFAULT_REGION, Settings, Target, TargetReason};
use ground::error::{self, Error, Result};

/// Access to the target.
pub struct Context {
    settings: Settings,
    sdk: SdkConfig,
    endpoint: Option<String>,
    account: OnceCell<String>,
    kinesis: aws_sdk_kinesis::Client,
    cloudwatch: aws_sdk_cloudwatch::Client,
    iam: aws_sdk_iam::Client,
    sts: aws_sdk_sts::Client,
    lazy: Lazy,
}

/// Clients that few commands need, created on first use.
#[derive(Default)]
struct Lazy {
    kms: OnceLock<aws_sdk_kms::Client>,
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
    /// Exit 4 when the local cloud cannot be started or the region is invalid.
    pub async fn connect(settings: Settings) -> Result<Self> {
        let endpoint = match &settings.target {
            Target::Aws => None,
            Target::Endpoint(url) => Some(url.clone()),
            Target::Local => Some(daemon::ensure_running(&settings.home).await?),
        };
        let sdk = sdk_config(&settings, endpoint.as_deref()).await;
        // A profile can also set an endpoint: messages name the endpoint that is used.
        let endpoint = sdk.endpoint_url().map(str::to_owned);
        Ok(Self {
            kinesis: aws_sdk_kinesis::Client::new(&sdk),
            cloudwatch: aws_sdk_cloudwatch::Client::new(&sdk),
            iam: aws_sdk_iam::Client::new(&sdk),
            sts: aws_sdk_sts::Client::new(&sdk),
            lazy: Lazy::default(),
            account: OnceCell::new(),
            endpoint,
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

    pub fn kms(&self) -> &aws_sdk_kms::Client {
        let make = || aws_sdk_kms::Client::new(&self.sdk);
        self.lazy.kms.get_or_init(make)
    }

    pub fn lambda(&self) -> &aws_sdk_lambda::Client {
        let make = || aws_sdk_lambda::Client::new(&self.sdk);
        self.lazy.lambda.get_or_init(make)
    }

    pub fn logs(&self) -> &aws_sdk_cloudwatchlogs::Client {
        let make = || aws_sdk_cloudwatchlogs::Client::new(&self.sdk);
        self.lazy.logs.get_or_init(make)
    }

    pub fn dynamodb(&self) -> &aws_sdk_dynamodb::Client {
        let make = || aws_sdk_dynamodb::Client::new(&self.sdk);
        self.lazy.dynamodb.get_or_init(make)
    }

    /// S3 client. Endpoints other than AWS's use path-style bucket addresses.
    pub fn s3(&self) -> &aws_sdk_s3::Client {
        self.lazy.s3.get_or_init(|| {
            let config =
                aws_sdk_s3::config::Builder::from(&self.sdk).force_path_style(self.endpoint.is_some());
            aws_sdk_s3::Client::from_conf(config.build())
        })
    }

    pub fn sqs(&self) -> &aws_sdk_sqs::Client {
        let make = || aws_sdk_sqs::Client::new(&self.sdk);
        self.lazy.sqs.get_or_init(make)
    }

    pub fn sns(&self) -> &aws_sdk_sns::Client {
        let make = || aws_sdk_sns::Client::new(&self.sdk);
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
        if let Some(endpoint) = &self.endpoint {
            variables.push(("AWS_ENDPOINT_URL", endpoint.clone()));
        }
        let Some(provider) = self.sdk.credentials_provider() else {
            return Err(Error::unreachable("there are no AWS credentials"));
        };
        let credentials = provider
            .provide_credentials()
            .await
            .map_err(|e| Error::unreachable("the AWS credentials could not be loaded").cause(e))?;
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

    /// The region of all calls.
    pub fn region(&self) -> &str {
        self.sdk.region().map_or(DEFAULT_REGION, Region::as_ref)
    }

    /// The partition of the region (`aws`, `aws-cn`, `aws-us-gov`, …), the second part of an ARN.
    pub fn partition(&self) -> &'static str {
        partition_of(self.region())
    }

    /// A Kinesis client without retries, for callers with their own.
    pub fn kinesis_once(&self) -> aws_sdk_kinesis::Client {
        let config = self.kinesis.config().to_builder();
        aws_sdk_kinesis::Client::from_conf(config.retry_config(RetryConfig::disabled()).build())
    }

    /// The account of the credentials (STS GetCallerIdentity, called once).
    ///
    /// # Errors
    /// Exit 4 when the target cannot be reached or rejects the credentials.
    pub async fn account(&self) -> Result<&str> {
        let account = self.account.get_or_try_init(|| async {
            let identity = self
                .sts
                .get_caller_identity()
                .send()
                .await
                .map_err(|e| error::aws::failed("could not check the credentials", e))?;
            identity.account.ok_or_else(|| {
                Error::failed("the endpoint's answer names no account").hint("check --endpoint-url")
            })
        });
        account.await.map(String::as_str)
    }

    /// The ARN of the stream `name` in this account and region.
    ///
    /// # Errors
    /// As [`Context::account`].
    pub async fn stream_arn(&self, name: &str) -> Result<String> {
        let account = self.account().await?;
        Ok(format!(
            "arn:{}:kinesis:{}:{account}:stream/{name}",
            self.partition(),
            self.region()
        ))
    }

    /// The target's display name, as in "local cloud 127.0.0.1:4566" or "AWS".
    pub fn target_name(&self) -> String {
        match (&self.settings.target, &self.endpoint) {
            (Target::Local, Some(url)) => format!("local cloud {}", url.trim_start_matches("http://")),
            (_, Some(url)) => format!("endpoint {url}"),
            (_, None) => "AWS".to_owned(),
        }
    }

    /// Whether this is the embedded local cloud.
    pub fn is_local(&self) -> bool {
        self.settings.target == Target::Local
    }

    /// Whether the local cloud was chosen because nothing indicates AWS.
    pub fn fell_to_local(&self) -> bool {
        self.settings.target_reason == TargetReason::NoSignOfAws
    }
}

async fn sdk_config(settings: &Settings, endpoint: Option<&str>) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client(endpoint))
        .retry_config(
            // Not adaptive: its client-side rate can hold a call back until the operation times out, and the service's own
            // answer, such as a quota, would never be shown.
            RetryConfig::standard()
                .with_max_attempts(5)
                .with_initial_backoff(Duration::from_millis(100)),
        )
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(5))
                .operation_attempt_timeout(Duration::from_secs(30))
                .operation_timeout(Duration::from_secs(60))
                .build(),
        );
    if let Some(profile) = &settings.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(endpoint) = endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    // The local cloud accepts any key, and so does an emulator on this machine, unless the user has credentials.
    let placeholder = settings.target == Target::Local
        || (endpoint.is_some_and(is_loopback)
            && settings.profile.is_none()
            && std::env::var_os("AWS_ACCESS_KEY_ID").is_none());
    if placeholder {
        loader = loader.credentials_provider(Credentials::new("local", "local", None, None, "streamctl"));
    }
    match &settings.region {
        Some(region) => loader = loader.region(Region::new(region.clone())),
        // Looking up a region in the profile and the instance metadata takes seconds if neither exists.
        None if placeholder => loader = loader.region(Region::from_static(DEFAULT_REGION)),
        None => {}
    }
    let config = loader.load().await;
    let region = config.region().cloned();
    let endpoint = endpoint_in_use(settings, config.endpoint_url());
    let mut config = config
        .into_builder()
        .region(region.unwrap_or(Region::from_static(DEFAULT_REGION)));
    config.set_endpoint_url(endpoint);
    config.build()
}

/// The endpoint, given the one that the SDK `found` in the environment and the profile. A target set to AWS by name
/// means AWS, even if AWS_ENDPOINT_URL points to the local cloud.
fn endpoint_in_use(settings: &Settings, found: Option<&str>) -> Option<String> {
    let aws_by_name = settings.target == Target::Aws && settings.target_reason == TargetReason::Asked;
    found.filter(|_| !aws_by_name).map(str::to_owned)
}

/// Source: "Regions, Availability Zones, and Local Zones" and `partitions.json` of the AWS SDKs.
fn partition_of(region: &str) -> &'static str {
    const PARTITIONS: &[(&str, &str)] = &[
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-iso-", "aws-iso"),
        ("us-isob-", "aws-iso-b"),
        ("eu-isoe-", "aws-iso-e"),
        ("us-isof-", "aws-iso-f"),
        ("eusc-", "aws-eusc"),
    ];
    let found = PARTITIONS.iter().find(|(prefix, _)| region.starts_with(prefix));
    found.map_or("aws", |(_, partition)| partition)
}

/// An HTTP client without TLS for `http` endpoints: reading the system's root certificates takes tens of milliseconds.
fn http_client(endpoint: Option<&str>) -> SharedHttpClient {
    match endpoint {
        Some(url) if url.starts_with("http://") => HttpBuilder::new().build_http(),
        _ => HttpBuilder::new()
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
            .build_https(),
    }
}

fn is_loopback(url: &str) -> bool {
    let host = url.split("://").nth(1).unwrap_or_default();
    ["127.0.0.1", "localhost", "[::1]"]
        .iter()
        .any(|name| host.starts_with(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aws_by_name_is_aws_whatever_endpoint_the_shell_names() {
        let endpoint = |target: Target, target_reason| {
            let settings = Settings {
                target,
                target_reason,
                region: None,
                profile: None,
                stream: "orders".into(),
                shard_count: None,
                environment: None,
                home: "/nowhere".into(),
            };
            endpoint_in_use(&settings, Some("http://127.0.0.1:4566"))
        };
        assert_eq!(endpoint(Target::Aws, TargetReason::Asked), None);
        let found = Some("http://127.0.0.1:4566".to_owned());
        assert_eq!(endpoint(Target::Aws, TargetReason::SignOfAws), found);
        let named = Target::Endpoint("http://127.0.0.1:4566".into());
        assert_eq!(endpoint(named, TargetReason::Asked), found);
    }

    #[test]
    fn regions_are_in_their_partition() {
        let regions = [
            "eu-west-1",
            "cn-north-1",
            "us-gov-west-1",
            "us-isob-east-1",
            "eusc-de-east-1",
        ];
        let expected = ["aws", "aws-cn", "aws-us-gov", "aws-iso-b", "aws-eusc"];
        assert_eq!(regions.map(partition_of), expected);
    }
}
