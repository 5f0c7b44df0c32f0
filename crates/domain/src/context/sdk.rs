//! The configuration of all clients: credentials, region, endpoints, retries, time limits.

use std::sync::Arc;
use std::time::Duration;

use aws_config::ecs::EcsCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::Builder as HttpBuilder;
use aws_smithy_http_client::tls;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

use super::calls::{Calls, Watch};
use super::endpoints::Endpoints;
use super::json_api::Hosts;
use super::local;
use super::renewal::{FromFiles, Renewal};
use super::shared_config::SharedConfig;
use crate::settings::{CredentialSource, DEFAULT_REGION, Settings, Target};
use ground::error::{Error, Result};

/// What clients are made of.
pub(super) struct Sdk {
    pub(super) config: SdkConfig,
    pub(super) endpoints: Arc<Endpoints>,
    pub(super) renewal: Renewal,
    /// The interceptor of every client.
    pub(super) watch: Watch,
}

impl Sdk {
    /// `endpoint` is that of the target; `client` replaces the HTTP client, for tests.
    ///
    /// # Errors
    /// Exit 2 if the settings name a profile that does not exist, half of a pair of keys, an endpoint in a file that the user
    /// has not trusted, or FIPS or dual-stack hosts together with an endpoint.
    pub(super) async fn load(
        settings: &Settings,
        endpoint: Option<&str>,
        client: Option<SharedHttpClient>,
        calls: Calls,
    ) -> Result<Self> {
        check_trust(settings)?;
        // The local cloud takes the key of the home, and an emulator any key.
        let placeholder = settings.target == Target::Local || settings.sends_placeholder();
        let shared = match placeholder {
            true => None,
            false => Some(SharedConfig::read(settings).await?),
        };
        let endpoints = Arc::new(Endpoints::resolve(endpoint, &settings.access, shared.as_ref())?);
        let keys = &settings.access.credentials;
        let fixed_keys = matches!(keys, CredentialSource::Variables | CredentialSource::Keys(_));
        let client = client.unwrap_or_else(|| match settings.target {
            Target::Local => local::http_client(&settings.home),
            Target::Aws | Target::Endpoint(_) => http_client(&endpoints, placeholder || fixed_keys),
        });
        let renewal = Renewal::new();
        let mut loader = loader(settings, client.clone(), placeholder).identity_cache(renewal.clone());
        if let Some(shared) = &shared {
            loader = loader.profile_files(shared.files.clone());
        }
        if settings.target == Target::Local {
            // Hosts of AWS that an environment asks for. The clients refuse them together with another endpoint.
            loader = loader.use_fips(false).use_dual_stack(false);
        }
        let provider = match &settings.access.credentials {
            _ if placeholder => Some(fixed(local_credentials(settings))),
            CredentialSource::Keys(keys) => Some(fixed(keys.clone())),
            CredentialSource::Incomplete { set, missing, source } => {
                return Err(Error::usage(format!("{source} is set, and {missing} is not"))
                    .hint(format!("set both, or unset {set} to use a profile")));
            }
            CredentialSource::Machine | CredentialSource::Variables | CredentialSource::Profile => None,
        };
        loader = match (provider, &settings.access.credentials) {
            (Some(provider), _) => loader.credentials_provider(provider),
            (None, CredentialSource::Profile) => loader.no_credentials(),
            (None, _) => loader,
        };
        let loaded = loader.load().await;
        if let Some(endpoint) = &endpoints.all {
            let problem = Hosts::of(&loaded).problem(endpoint);
            if let Some((text, hint)) = problem {
                return Err(Error::usage(text).hint(hint));
            }
        }
        let region = loaded
            .region()
            .cloned()
            .unwrap_or(Region::from_static(DEFAULT_REGION));
        let loaded_provider = loaded.credentials_provider();
        let mut config = loaded
            .into_builder()
            .region(region.clone())
            .service_config(NoOverrides);
        config.set_endpoint_url(endpoints.all.clone());
        if let Some(shared) = &shared
            && let Some(first) = first_provider(settings, shared, &client, &region, loaded_provider)
        {
            let provider = FromFiles::new(settings, client, region, renewal.clone(), first);
            config.set_credentials_provider(Some(SharedCredentialsProvider::new(provider)));
        }
        Ok(Self {
            config: config.build(),
            watch: Watch::new(calls, endpoints.clone()),
            endpoints,
            renewal,
        })
    }

    /// The configuration of the clients of a service.
    pub(super) fn of(&self, service: &str) -> SdkConfig {
        let mut config = self.config.clone().into_builder();
        config.set_endpoint_url(self.endpoints.of(service).map(str::to_owned));
        config.build()
    }
}

/// A client reads endpoints of the environment and of the profile again, and would prefer them to those that it is given.
#[derive(Debug)]
struct NoOverrides;

impl LoadServiceConfig for NoOverrides {
    fn load_config(&self, _key: ServiceConfigKey<'_>) -> Option<String> {
        None
    }
}

fn fixed(credentials: Credentials) -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(credentials)
}

fn check_trust(settings: &Settings) -> Result<()> {
    let Some(path) = &settings.access.untrusted else {
        return Ok(());
    };
    Err(Error::usage(format!(
        "{} names the endpoint {}, and you have not trusted this file: your credentials would be sent there",
        path.display(),
        settings.target
    ))
    .hint("read the file, then run `streamctl config trust`; or name the endpoint with --endpoint-url"))
}

/// The local cloud knows its user by the secret of the home, where it does not by the connection.
fn local_credentials(settings: &Settings) -> Credentials {
    let secret = daemon::secret_access_key(&settings.home);
    Credentials::new(daemon::ACCESS_KEY, secret, None, None, "streamctl")
}

fn loader(settings: &Settings, client: SharedHttpClient, placeholder: bool) -> ConfigLoader {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(client)
        .retry_config(
            // Not adaptive: its client-side rate can hold a call back until the operation times out, and the service's own
            // answer, such as a quota, would never be shown.
            RetryConfig::standard()
                .with_max_attempts(5)
                .with_initial_backoff(Duration::from_millis(100)),
        )
        .timeout_config(time_limits(settings.timeout));
    if let Some(profile) = settings.profile.as_ref().filter(|_| !placeholder) {
        loader = loader.profile_name(profile);
    }
    match &settings.region {
        Some(region) => loader.region(Region::new(region.clone())),
        // Looking up a region in the profile and the instance metadata takes seconds if neither exists.
        None if placeholder => loader.region(Region::from_static(DEFAULT_REGION)),
        None => loader,
    }
}

/// The time limits of a call; `limit` is that of the user for the call with all its attempts.
pub(super) fn time_limits(limit: Option<Duration>) -> TimeoutConfig {
    let at_most = |time: Duration| limit.map_or(time, |limit| limit.min(time));
    TimeoutConfig::builder()
        .connect_timeout(at_most(Duration::from_secs(5)))
        .operation_attempt_timeout(at_most(Duration::from_secs(30)))
        .operation_timeout(limit.unwrap_or(Duration::from_secs(60)))
        .build()
}

/// The credentials of the profile that `--profile` names, also where the environment has keys, as in the AWS CLI. A profile
/// that only has settings takes those of the container or the instance.
fn profile_first(
    settings: &Settings,
    shared: &SharedConfig,
    client: SharedHttpClient,
    region: Region,
) -> SharedCredentialsProvider {
    let config = ProviderConfig::without_region()
        .with_http_client(client)
        .with_region(Some(region));
    let profile = ProfileFileCredentialsProvider::builder()
        .configure(&config)
        .profile_files(shared.files.clone())
        .profile_name(settings.profile.clone().unwrap_or_default())
        .build();
    let chain = CredentialsProviderChain::first_try("Profile", profile)
        .or_else(
            "EcsContainer",
            EcsCredentialsProvider::builder().configure(&config).build(),
        )
        .or_else(
            "Ec2InstanceMetadata",
            ImdsCredentialsProvider::builder().configure(&config).build(),
        );
    SharedCredentialsProvider::new(chain)
}

/// The provider for settings whose credentials can come from the shared configuration; `loaded` is that of the SDK.
fn first_provider(
    settings: &Settings,
    shared: &SharedConfig,
    client: &SharedHttpClient,
    region: &Region,
    loaded: Option<SharedCredentialsProvider>,
) -> Option<SharedCredentialsProvider> {
    match settings.access.credentials {
        CredentialSource::Profile => Some(profile_first(settings, shared, client.clone(), region.clone())),
        CredentialSource::Machine => loaded,
        _ => None,
    }
}

/// The credentials that the shared configuration names at this moment, or that the machine has without it.
///
/// # Errors
/// Exit 2 if the files cannot be read, or the profile of the settings is gone; exit 4 if there is no provider.
pub(super) async fn from_files(
    settings: &Settings,
    client: SharedHttpClient,
    region: Region,
) -> Result<SharedCredentialsProvider> {
    let shared = SharedConfig::read(settings).await?;
    if settings.access.credentials == CredentialSource::Profile {
        return Ok(profile_first(settings, &shared, client, region));
    }
    let loader = loader(settings, client, false)
        .region(region)
        .profile_files(shared.files);
    let loaded = loader.load().await;
    loaded
        .credentials_provider()
        .ok_or_else(|| Error::unreachable("no AWS credentials were found"))
}

/// An HTTP client without TLS where nothing needs it: reading the system's root certificates takes tens of milliseconds.
/// Other credentials than `fixed_keys` may come from AWS, whatever the endpoint.
fn http_client(endpoints: &Endpoints, fixed_keys: bool) -> SharedHttpClient {
    let plain = endpoints.all.is_some() && endpoints.iter().all(|url| url.starts_with("http://"));
    match fixed_keys && plain {
        true => HttpBuilder::new().build_http(),
        false => HttpBuilder::new()
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
            .build_https(),
    }
}
