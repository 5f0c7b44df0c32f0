//! Credentials that a service calls expired are loaded anew.
//!
//! The SDK keeps credentials until the time that their source names, or for 15 minutes. A service can refuse them earlier, and
//! what replaces them is then already in the file or the answer that they come from.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_config::Region;
use aws_config::identity::IdentityCache;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, SharedCredentialsProvider, future};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::identity::{
    IdentityFuture, ResolveCachedIdentity, SharedIdentityCache, SharedIdentityResolver,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use ground::error::find_cause;
use tokio::time::Instant;

use super::sdk;
use crate::settings::Settings;

/// Shortest time between two loads: many shards can find the same credentials expired.
const OFTEN: Duration = Duration::from_secs(1);

/// The credentials that all clients of a context share.
#[derive(Debug, Clone)]
pub struct Renewal(Arc<Mutex<Kept>>);

#[derive(Debug)]
struct Kept {
    cache: SharedIdentityCache,
    since: Instant,
    /// How often they were forgotten.
    turn: u64,
}

impl Renewal {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Kept {
            cache: IdentityCache::lazy().build(),
            since: Instant::now(),
            turn: 0,
        })))
    }

    /// The next call loads the credentials anew, unless they were loaded within the last second.
    pub fn forget(&self) {
        let mut kept = self.kept();
        if kept.since.elapsed() >= OFTEN {
            *kept = Kept {
                cache: IdentityCache::lazy().build(),
                since: Instant::now(),
                turn: kept.turn + 1,
            };
        }
    }

    /// Whether credentials that worked before may work again once they are loaded anew: a service calls them expired, or
    /// their source has failed.
    pub(crate) fn is_due<E>(failure: &SdkError<E, HttpResponse>) -> bool
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let code = failure.as_service_error().and_then(ProvideErrorMetadata::code);
        let has_expired = matches!(code, Some("ExpiredTokenException" | "ExpiredToken"));
        has_expired || find_cause::<CredentialsError>(failure).is_some()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolveCachedIdentity for Renewal {
    fn resolve_cached_identity<'a>(
        &'a self,
        resolver: SharedIdentityResolver,
        components: &'a RuntimeComponents,
        config: &'a ConfigBag,
    ) -> IdentityFuture<'a> {
        let cache = self.kept().cache.clone();
        IdentityFuture::new(async move { cache.resolve_cached_identity(resolver, components, config).await })
    }
}

/// Credentials from the shared configuration files, which are read again after [`Renewal::forget`].
#[derive(Debug)]
pub(super) struct FromFiles {
    settings: Settings,
    client: SharedHttpClient,
    region: Region,
    renewal: Renewal,
    /// What the files said, and at which turn.
    read: Mutex<(u64, SharedCredentialsProvider)>,
}

impl FromFiles {
    /// `first` is what the files say now.
    pub(super) fn new(
        settings: &Settings,
        client: SharedHttpClient,
        region: Region,
        renewal: Renewal,
        first: SharedCredentialsProvider,
    ) -> Self {
        Self {
            settings: settings.clone(),
            client,
            region,
            renewal,
            read: Mutex::new((0, first)),
        }
    }

    async fn load(&self) -> provider::Result {
        let turn = self.renewal.kept().turn;
        let (read, provider) = self.read().clone();
        if read == turn {
            return provider.provide_credentials().await;
        }
        let again = sdk::from_files(&self.settings, self.client.clone(), self.region.clone()).await;
        let provider = again.map_err(CredentialsError::provider_error)?;
        *self.read() = (turn, provider.clone());
        provider.provide_credentials().await
    }

    fn read(&self) -> MutexGuard<'_, (u64, SharedCredentialsProvider)> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProvideCredentials for FromFiles {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.load())
    }

    fn fallback_on_interrupt(&self) -> Option<Credentials> {
        self.read().1.fallback_on_interrupt()
    }
}
