//! The short way of a call, without the orchestration of the SDK: endpoint, credentials, signature and connection are the
//! SDK's, and nothing else is done: `put` makes thousands of calls a second.
//!
//! It is for calls that succeed. The result of one that does not is put through the orchestration ([`Attempt::replayed`]),
//! which makes of it what it would have made of its own.

use std::fmt;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use aws_runtime::auth::sigv4::SCHEME_ID;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::auth::{AuthScheme as _, AuthSchemeEndpointConfig};
use aws_smithy_runtime_api::client::connection::CaptureSmithyConnection;
use aws_smithy_runtime_api::client::endpoint::{EndpointResolverParams, ResolveEndpoint as _};
use aws_smithy_runtime_api::client::http::{
    HttpClient as _, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
    http_client_fn,
};
use aws_smithy_runtime_api::client::identity::{
    IdentityCacheLocation, IdentityFuture, ResolveCachedIdentity, ResolveIdentity as _,
    SharedIdentityResolver,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::{RuntimeComponents, RuntimeComponentsBuilder};
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::{ConfigBag, FrozenLayer};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame};

use crate::context::Watch;

/// What calls of an operation have in common.
#[derive(Debug)]
pub(super) struct Direct {
    components: RuntimeComponents,
    config: ConfigBag,
    resolver: SharedIdentityResolver,
    connector: SharedHttpConnector,
    /// Scheme, host and port.
    endpoint: String,
    watch: Option<Watch>,
}

/// What came of a request.
#[allow(clippy::large_enum_variant, reason = "nearly all requests are sent")]
pub(super) enum Attempt {
    /// There are no credentials.
    Unsigned(BoxError),
    Sent {
        result: Result<HttpResponse, ConnectorError>,
        connection: CaptureSmithyConnection,
    },
}

impl Direct {
    /// `None` where the orchestration has more to do than this knows of.
    pub(super) fn new(
        components: RuntimeComponentsBuilder,
        layer: FrozenLayer,
        connect_limit: Duration,
        watch: Option<Watch>,
    ) -> Option<Self> {
        let components = components.build().ok()?;
        let mut config = ConfigBag::base();
        config.push_shared_layer(layer);
        let scheme = components.auth_scheme(SCHEME_ID)?;
        let resolver = scheme.identity_resolver(&components)?;
        if resolver.cache_location() != IdentityCacheLocation::RuntimeComponents {
            return None;
        }
        let params = config.load::<EndpointResolverParams>()?;
        let endpoint = components
            .endpoint_resolver()
            .resolve_endpoint(params)
            .now_or_never()?
            .ok()?;
        let url: http::Uri = endpoint.url().parse().ok()?;
        let has_more = endpoint.headers().count() > 0
            || !endpoint.properties().is_empty()
            || url.path() != "/"
            || url.query().is_some();
        if has_more {
            return None;
        }
        let settings = HttpConnectorSettings::builder()
            .connect_timeout(connect_limit)
            .build();
        let connector = components.http_client()?.http_connector(&settings, &components);
        Some(Self {
            endpoint: format!("{}://{}", url.scheme_str()?, url.authority()?),
            connector,
            resolver,
            config,
            components,
            watch,
        })
    }

    /// Sends a request to the path `/`. `None` if it could not be made, and was not sent.
    pub(super) async fn attempt(
        &self,
        service: &str,
        operation: &str,
        mut request: HttpRequest,
    ) -> Option<Attempt> {
        let call = self.watch.as_ref().map(|watch| watch.begin(service, operation));
        let cache = self.components.identity_cache();
        let resolving = cache.resolve_cached_identity(self.resolver.clone(), &self.components, &self.config);
        let identity = match resolving.await {
            Ok(identity) => identity,
            Err(error) => return Some(Attempt::Unsigned(error)),
        };
        request.set_uri(format!("{}/", self.endpoint)).ok()?;
        let endpoint = AuthSchemeEndpointConfig::empty();
        let scheme = self.components.auth_scheme(SCHEME_ID)?;
        scheme
            .signer()
            .sign_http_request(&mut request, &identity, endpoint, &self.components, &self.config)
            .ok()?;
        let connection = CaptureSmithyConnection::new();
        request.add_extension(connection.clone());
        if let Some(call) = &call {
            call.sent(&self.endpoint);
        }
        let result = match self.connector.call(request).await {
            Ok(response) => Ok(in_memory(response).await),
            Err(error) => Err(error),
        };
        Some(Attempt::Sent { result, connection })
    }
}

impl Attempt {
    /// The answer, if it is a success.
    pub(super) fn success(&self) -> Option<&HttpResponse> {
        match self {
            Self::Sent {
                result: Ok(response), ..
            } if response.status().is_success() => Some(response),
            _ => None,
        }
    }

    /// What makes the orchestration of a call have this result in place of one of its own.
    pub(super) fn replayed(self) -> StaticRuntimePlugin {
        let none = RuntimeComponentsBuilder::new("Replay");
        let components = match self {
            Self::Unsigned(error) => none.with_identity_cache(Some(NoIdentity(Mutex::new(Some(error))))),
            Self::Sent { result, connection } => {
                let connector = SharedHttpConnector::new(Replay(Mutex::new(Some((result, connection)))));
                none.with_http_client(Some(http_client_fn(move |_, _| connector.clone())))
            }
        };
        StaticRuntimePlugin::new().with_runtime_components(components)
    }
}

/// Reads the body of a response. What fails then fails again when it is read.
async fn in_memory(mut response: HttpResponse) -> HttpResponse {
    let body = response.take_body().collect().await;
    *response.body_mut() = match body {
        Ok(body) => SdkBody::from(body.to_bytes()),
        Err(error) => SdkBody::from_body_1_x(Broken(Some(error))),
    };
    response
}

/// Has the reason why there are no credentials: what loads them may take long, or ask the user.
#[derive(Debug)]
struct NoIdentity(Mutex<Option<BoxError>>);

impl ResolveCachedIdentity for NoIdentity {
    fn resolve_cached_identity<'a>(
        &'a self,
        _: SharedIdentityResolver,
        _: &'a RuntimeComponents,
        _: &'a ConfigBag,
    ) -> IdentityFuture<'a> {
        let error = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        IdentityFuture::ready(Err(error.unwrap_or_else(|| "there are no credentials".into())))
    }
}

/// Has the result of an attempt, and the connection that it was made on.
struct Replay(Mutex<Option<(Result<HttpResponse, ConnectorError>, CaptureSmithyConnection)>>);

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Replay")
    }
}

impl HttpConnector for Replay {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let attempt = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((result, connection)) = attempt else {
            return HttpConnectorFuture::ready(Err(ConnectorError::user(
                "the request was sent before".into(),
            )));
        };
        // What is learnt of the result may be that the connection is not to be used again.
        if let Some(capture) = request.extension::<CaptureSmithyConnection>() {
            capture.set_connection_retriever(move || connection.get());
        }
        HttpConnectorFuture::ready(result)
    }
}

/// A body that cannot be read.
struct Broken(Option<BoxError>);

impl Body for Broken {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(self.0.take().map(Err))
    }
}
